"""Pictures beside the sound of their moment, whatever the network does to one of both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from realtime.ingest.clock import ArrivalClock
from realtime.ingest.peers import close_peer
from realtime.ingest.sender_reports import MOST_S, Alignment, SenderReports, listen
from realtime.ingest.settings import IceSettings, IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.ingest.webrtc import answer
from realtime.records import VideoFrame
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
