"""Pictures beside the sound of their moment, whatever the network does to one of both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from realtime.ingest.clock import ArrivalClock
from realtime.ingest.peers import close_peer
from realtime.ingest.sender_reports import (
    MOST_S,
    MOVED_S,
    NTP_ERA_S,
    STAMPED_S,
    UNIX_BY_NTP_S,
    Alignment,
    SenderReports,
    SendersStart,
    listen,
)
from realtime.ingest.settings import IceSettings, IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.ingest.webrtc import answer
from realtime.records import SourceStarted, VideoFrame
from tests.ingest.datagrams import Bytes, PassedOn
from tests.ingest.telling_track import TellingTrack
from tests.waiting import WITHIN_S

LATE_S = 0.4


def pair(*, sound_arrives_s: float) -> tuple[Alignment, dict[str, SenderReports]]:
    """Two tracks that begin together at the sender; the sound arrives so much later."""
    clocks = {kind: ArrivalClock() for kind in ("audio", "video")}
    reports = {"audio": SenderReports(48_000), "video": SenderReports(90_000)}
    clocks["video"].place(0.0, arrived_s=0.0)
    clocks["audio"].place(0.0, arrived_s=sound_arrives_s)
    return Alignment(clocks, reports), reports


def report(reports: SenderReports, *, stamp_s: float, ntp_s: float, rate_hz: int) -> None:
    origin = (1 << 32) - 1000
    reports.take(ntp_s=ntp_s, rtp=(origin + round(stamp_s * rate_hz)) % (1 << 32), newest=origin + 10, origin=origin)


@pytest.mark.parametrize("late_s", [0.3, -0.3])
def test_pictures_go_to_the_sound_from_the_first_reports_on_and_never_back(late_s: float) -> None:
    """The stamps wrap between the newest frame and the report."""
    alignment, reports = pair(sound_arrives_s=late_s)
    assert alignment.place(1.0) == 1.0
    for second in (1, 2):
        report(reports["video"], stamp_s=second, ntp_s=1000.0 + second, rate_hz=90_000)
    assert alignment.place(1.1) == 1.1, "one track's reports say nothing"
    for second in (2, 3):
        report(reports["audio"], stamp_s=second, ntp_s=1000.0 + second, rate_hz=48_000)
    assert alignment.place(1.2) == pytest.approx(max(1.2 + late_s, 1.1))
    assert alignment.place(2.0) == pytest.approx(2.0 + late_s)


def test_noise_is_not_followed_and_a_report_that_is_late_once_neither() -> None:
    alignment, reports = pair(sound_arrives_s=0.2)
    for second in range(5):
        report(reports["video"], stamp_s=second, ntp_s=50.0 + second + 0.01 * (second % 2), rate_hz=90_000)
        report(reports["audio"], stamp_s=second, ntp_s=50.0 + second + (0.09 if second == 3 else 0.0), rate_hz=48_000)
        alignment.place(float(second))
    assert alignment.shift_s == pytest.approx(0.2, abs=0.02)


def test_tracks_by_two_clocks_are_left_as_they_arrive(caplog: pytest.LogCaptureFixture) -> None:
    alignment, reports = pair(sound_arrives_s=0.1)
    for second in range(3):
        report(reports["video"], stamp_s=second, ntp_s=50.0 + second, rate_hz=90_000)
        report(reports["audio"], stamp_s=second, ntp_s=50.0 + second + 2 * MOST_S, rate_hz=48_000)
        assert alignment.place(float(second)) == float(second)
    assert caplog.text.count("are not followed") == 1


def test_a_clock_that_is_set_in_between_says_nothing() -> None:
    reports = SenderReports(48_000)
    report(reports, stamp_s=1.0, ntp_s=101.0, rate_hz=48_000)
    assert reports.zero_s is None, "one alone"
    report(reports, stamp_s=1.5, ntp_s=101.5, rate_hz=48_000)
    assert reports.zero_s == pytest.approx(100.0)
    report(reports, stamp_s=2.0, ntp_s=3602.0, rate_hz=48_000)
    assert reports.zero_s is None


BEGAN = SourceStarted(1_764_323_439.5, 0.15)
"What arrival alone says: the first frame came at 39.65 s."


def starting(clocks: dict[str, ArrivalClock], reports: dict[str, SenderReports]) -> SendersStart:
    return SendersStart(clocks, reports, Alignment(clocks, reports))


def told_by(sender_zero_s: float, *, kind: str = "audio", n: int = 2, late_s: float = 0.0) -> SourceStarted | None:
    """What two reports of a sender make of it whose clock showed `sender_zero_s` (Unix) at media second 0."""
    rate_hz = {"audio": 48_000, "video": 90_000}[kind]
    clock, reports = ArrivalClock(), SenderReports(rate_hz)
    clock.place(7.0, arrived_s=0.0)
    start = starting({kind: clock}, {kind: reports})
    told = None
    for second in range(n):
        ntp_s = (sender_zero_s + UNIX_BY_NTP_S + second + late_s * second) % NTP_ERA_S
        report(reports, stamp_s=7.0 + second, ntp_s=ntp_s, rate_hz=rate_hz)
        told = start.news(BEGAN)
    return told


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_senders_clock_tells_when_the_session_began(kind: str) -> None:
    told = told_by(BEGAN.unix_s + 0.09, kind=kind)
    assert told is not None
    assert told.by_sender
    assert told.unix_s == pytest.approx(BEGAN.unix_s + 0.09, abs=1e-4)
    assert told.error_s == pytest.approx(STAMPED_S, abs=1e-4)
    assert told_by(BEGAN.unix_s + 0.09, kind=kind, n=1) is None, "one report alone may be off"


def test_reports_that_are_apart_are_told_as_less_exact() -> None:
    told = told_by(BEGAN.unix_s, late_s=0.06)
    assert told is not None
    assert told.error_s == pytest.approx(STAMPED_S + 0.06, abs=1e-4)


@pytest.mark.parametrize("off_s", [-3600.0, -0.21, 0.21, 30.0])
def test_another_clock_than_ours_is_not_followed(off_s: float, caplog: pytest.LogCaptureFixture) -> None:
    assert told_by(BEGAN.unix_s + off_s, n=4) is None
    assert caplog.text.count("is not followed") == 1


def test_the_seconds_of_ntp_begin_again_in_2036() -> None:
    clock, reports = ArrivalClock(), SenderReports(48_000)
    clock.place(0.0, arrived_s=0.0)
    began = SourceStarted(NTP_ERA_S - UNIX_BY_NTP_S + 5.0, 0.15)
    start = starting({"audio": clock}, {"audio": reports})
    for second in (1, 2):
        report(reports, stamp_s=second, ntp_s=5.0 + second, rate_hz=48_000)
    told = start.news(began)
    assert told is not None
    assert told.unix_s == pytest.approx(began.unix_s)


def test_a_start_is_told_again_only_where_it_has_moved() -> None:
    clock, reports = ArrivalClock(), SenderReports(48_000)
    clock.place(0.0, arrived_s=0.0)
    start = starting({"audio": clock}, {"audio": reports})
    told = []
    for second in range(12):
        moved_s = 0.0 if second < 4 else MOVED_S * 1.5
        report(reports, stamp_s=second, ntp_s=BEGAN.unix_s + UNIX_BY_NTP_S + second + moved_s, rate_hz=48_000)
        told.append(start.news(BEGAN))
        assert start.news(BEGAN) is None, "nothing has come since"
    starts = [each.unix_s - BEGAN.unix_s for each in told if each is not None]
    assert starts == pytest.approx([0.0, MOVED_S * 1.5], abs=1e-3)


def test_the_start_is_that_of_the_pictures_where_they_lie_now() -> None:
    """Sound whose reports scatter says less of it than the pictures that were moved beside it."""
    alignment, reports = pair(sound_arrives_s=0.1)
    start = SendersStart(alignment._clocks, reports, alignment)
    for second in range(2):
        ntp_s = BEGAN.unix_s + UNIX_BY_NTP_S + second
        report(reports["video"], stamp_s=second, ntp_s=ntp_s, rate_hz=90_000)
    told = start.news(BEGAN)
    assert told is not None
    assert told.unix_s == pytest.approx(BEGAN.unix_s, abs=1e-3)
    for second in range(3, 6):
        scattered_s = 0.08 if second == 4 else 0.0
        ntp_s = BEGAN.unix_s + UNIX_BY_NTP_S + second
        report(reports["audio"], stamp_s=second, ntp_s=ntp_s + scattered_s, rate_hz=48_000)
    alignment.place(6.0)
    moved = start.news(BEGAN)
    assert moved is not None
    assert alignment.shift_s > 0.0
    assert moved.unix_s == pytest.approx(BEGAN.unix_s - alignment.shift_s, abs=1e-3)
    assert moved.error_s == pytest.approx(STAMPED_S, abs=1e-3)


async def test_an_aiortc_that_shows_no_reports_is_said(caplog: pytest.LogCaptureFixture) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    (receiver,) = peer.getReceivers()
    receiver._track = AudioStreamTrack()  # type: ignore[assignment]
    assert set(listen([receiver])) == {"audio"}
    del receiver._RTCRtpReceiver__timestamp_mapper  # type: ignore[attr-defined]
    assert listen([receiver]) == {}
    assert "placed by their arrival" in caplog.text
    await close_peer(peer)


class SlowSound(PassedOn):
    """Holds up every RTP packet of one stream, which its SSRC tells."""

    def __init__(self, transport: asyncio.DatagramTransport, ssrc: int) -> None:
        super().__init__(transport)
        self._ssrc = ssrc.to_bytes(4, "big")

    def sendto(self, data: Bytes, addr: Any = None) -> None:
        # Media begins with version 2, and RTCP's packet types lie above 191 (RFC 5761).
        if data[0] >> 6 == 2 and not 192 <= data[1] <= 223 and bytes(data[8:12]) == self._ssrc:
            asyncio.get_running_loop().call_later(LATE_S, self.deliver, data, addr)
        else:
            self._transport.sendto(data, addr)


@pytest.mark.slow
async def test_sound_that_the_network_holds_up_is_beside_its_pictures_once_the_sender_has_reported() -> None:
    """A picture's media time is that of the sound of its moment. Before, it is off by the network's delay."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pictures, sound = TellingTrack(), AudioStreamTrack()
    sound_sender = peer.addTrack(sound)
    peer.addTrack(pictures)
    await peer.setLocalDescription(await peer.createOffer())
    sdp, source = await answer(
        peer.localDescription.sdp, ingest=IngestSettings(), speech=SpeechSettings(), ice=IceSettings()
    )
    for protocol in sound_sender.transport.transport._connection._protocols:
        protocol.transport = SlowSound(protocol.transport, sound_sender._ssrc)
    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    off_s, at_s = [], []
    async with asyncio.timeout(WITHIN_S):
        async for item in source.items():
            sound_zero_s = source.clocks["audio"].offset_s
            if isinstance(item, VideoFrame) and sound_zero_s is not None:
                # Brightness repeats every 80 pictures; it is the newest of that brightness.
                newest = len(pictures.taken_s) - 1
                number = newest - (newest - round(float(item.rgb_HW3.mean()) / 3)) % 80
                sound_of_the_moment_s = pictures.taken_s[number] - sound._start + sound_zero_s
                off_s.append(item.at_s - sound_of_the_moment_s)
                at_s.append(item.at_s)
                if abs(off_s[-1]) < LATE_S / 4:
                    break
    assert off_s[0] < -LATE_S / 2
    assert source.alignment.shift_s > LATE_S / 2
    assert at_s == sorted(at_s)
    await source.close()
    await close_peer(peer)
