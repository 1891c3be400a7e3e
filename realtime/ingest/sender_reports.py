"""Puts pictures beside sound as the sender took them, by its sender reports (RTCP), and not as they happened to arrive.

A sender report tells what the sender's clock showed at an RTP time stamp of a track. One clock serves both tracks, so
two such pairs say how far apart the tracks were taken. aiortc keeps the time and not the stamp, and no public call of
it hands reports on. They are therefore read on their way to its receivers. Where an aiortc has no such way, arrival
decides.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtcpSrPacket

from realtime.ingest.clock import ArrivalClock

logger = logging.getLogger(__name__)

RATE_HZ = {"audio": 48_000, "video": 90_000}
"RTP clock rates of Opus, and of every codec for pictures."
N_REPORTS, LEAST_REPORTS = 5, 2
"""Newest reports of a track whose median counts, for a sender may stamp one while it is busy. One alone says nothing: a
sender that pairs the time of the report with the stamp of its last picture is off by up to a picture's length."""
AGREE_S = 0.1
"How far apart these reports may be. Where they are further, the rate is another one, or the sender's clock was set."
MOST_S = 0.5
"A larger shift is no delay of an encoder or a network but a sender that stamps its tracks by two clocks."
LEAST_S = 0.02
"A smaller change of the shift is noise, and is not followed."


class SenderReports:
    """The sender reports of one track."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._zeros_s: deque[float] = deque(maxlen=N_REPORTS)
        self.n_received = 0

    @property
    def zero_s(self) -> float | None:
        """What the sender's clock showed at stamp 0 of the track; None as long as its reports do not say."""
        if len(self._zeros_s) < LEAST_REPORTS or max(self._zeros_s) - min(self._zeros_s) > AGREE_S:
            return None
        return median(self._zeros_s)

    def take(self, *, ntp_s: float, rtp: int, newest: int, origin: int) -> None:
        """One report. `newest` and `origin` are RTP stamps of the track's newest frame and of its stamp 0."""
        # RTP stamps have 32 bits. A report is about a moment near the newest frame.
        ahead = (rtp - newest + (1 << 31)) % (1 << 32) - (1 << 31)
        self._zeros_s.append(ntp_s - (newest - origin + ahead) / self._rate_hz)
        self.n_received += 1


def listen(receivers: Iterable[RTCRtpReceiver]) -> dict[str, SenderReports]:
    """By kind of track: its sender reports, as they come from now on. Empty where this aiortc shows none."""
    heard: dict[str, SenderReports] = {}
    for receiver in receivers:
        kind = receiver.track.kind
        handle = getattr(receiver, "_handle_rtcp_packet", None)
        stamps = getattr(receiver, "_RTCRtpReceiver__timestamp_mapper", None)
        if handle is None or not (hasattr(stamps, "_origin") and hasattr(stamps, "_last")):
            logger.warning("this aiortc shows no sender reports; sound and pictures are placed by their arrival")
            return {}
        heard[kind] = SenderReports(RATE_HZ[kind])
        receiver._handle_rtcp_packet = _passing_on(handle, stamps, heard[kind])  # type: ignore[method-assign]
    return heard


def _passing_on(handle: Any, stamps: Any, reports: SenderReports) -> Any:
    async def handle_rtcp_packet(packet: object) -> None:
        # Before the first frame there is no stamp 0. A sender that knows no time yet sends 0.
        if isinstance(packet, RtcpSrPacket) and stamps._origin is not None and packet.sender_info.ntp_timestamp:
            told = packet.sender_info
            # NTP counts seconds in 32 bits, and parts of one in 32 more.
            ntp_s, rtp = told.ntp_timestamp / (1 << 32), told.rtp_timestamp
            reports.take(ntp_s=ntp_s, rtp=rtp, newest=stamps._last, origin=stamps._origin)
        await handle(packet)

    return handle_rtcp_packet


class Alignment:
    """Shifts the media times of pictures so that they lie beside the sound of their moment.

    Sound keeps its times, because speech is cut in it. A shift forward is a gap between two pictures. After a shift
    back, the pictures of so long share one time, and none of them is sampled: `MOST_S` at most. Media times never
    decrease.
    """

    def __init__(self, clocks: Mapping[str, ArrivalClock], reports: Mapping[str, SenderReports]) -> None:
        self._clocks, self._reports = clocks, reports
        self._n_seen = 0
        self._at_s = 0.0
        self._refused = False
        self.shift_s = 0.0
        "Seconds that are added to the time of a picture."

    def place(self, at_s: float) -> float:
        """The media time of a picture that its arrival puts at `at_s`."""
        n_received = sum(reports.n_received for reports in self._reports.values())
        if n_received != self._n_seen:
            self._n_seen = n_received
            self._follow()
        self._at_s = max(self._at_s, at_s + self.shift_s)
        return self._at_s

    def _follow(self) -> None:
        places_s = {kind: self._place_of_the_senders_zero(kind) for kind in ("audio", "video")}
        sound_s, pictures_s = places_s["audio"], places_s["video"]
        if sound_s is None or pictures_s is None:
            return
        wanted_s = sound_s - pictures_s
        if abs(wanted_s) > MOST_S:
            if not self._refused:
                self._refused = True
                logger.warning("sender reports put pictures and sound %.1f s apart, and are not followed", wanted_s)
            self.shift_s = 0.0
        elif abs(wanted_s - self.shift_s) > LEAST_S:
            self.shift_s = wanted_s

    def _place_of_the_senders_zero(self, kind: str) -> float | None:
        """Where arrival puts the moment at which the sender's clock showed 0, in media time, by this track."""
        reports, clock = self._reports.get(kind), self._clocks.get(kind)
        if reports is None or clock is None or reports.zero_s is None or clock.offset_s is None:
            return None
        return clock.offset_s - reports.zero_s
