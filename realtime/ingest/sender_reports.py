"""When the sender took pictures and sound, by its sender reports (RTCP), and not by when they happened to arrive.

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
from realtime.records import SourceStarted

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
STAMPED_S = 0.04
"How far a report may be off the moment of capture: a picture's length, where its stamp is that of the last picture."
MOVED_S = 0.05
"A start that moved by less is not told again."
NTP_ERA_S = float(1 << 32)
"After so many seconds, the next time in 2036, NTP's seconds begin again."
UNIX_BY_NTP_S = 2_208_988_800.0
"1970 in seconds since 1900."


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

    @property
    def spread_s(self) -> float:
        """How far the reports that count are apart."""
        return max(self._zeros_s) - min(self._zeros_s)

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
        sound_s, pictures_s = (_senders_zero_s(self._clocks, self._reports, kind) for kind in ("audio", "video"))
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


class SendersStart:
    """When media second 0 was by the sender's clock, where that clock can be believed.

    The server knows when the first frame came, and so the interval in which it was taken. A sender's clock that names a
    moment outside of it is another clock than the server's (a phone's may be wrong by seconds, and some programs count
    from their own start), and is not followed.
    """

    def __init__(
        self, clocks: Mapping[str, ArrivalClock], reports: Mapping[str, SenderReports], alignment: Alignment
    ) -> None:
        self._clocks, self._reports, self._alignment = clocks, reports, alignment
        self._n_seen = 0
        self._told_s: float | None = None
        self._refused = False

    def news(self, arrived: SourceStarted) -> SourceStarted | None:
        """The start by the newest reports, if it is not told yet. `arrived`: what arrival alone says of it."""
        n_received = sum(reports.n_received for reports in self._reports.values())
        if n_received == self._n_seen:
            return None
        self._n_seen = n_received
        starts: list[tuple[float, float]] = []
        for kind, reports in self._reports.items():
            zero_s = _senders_zero_s(self._clocks, self._reports, kind)
            if zero_s is not None:
                # Sound keeps its media times; pictures are moved.
                placed_s = zero_s + (self._alignment.shift_s if kind == "video" else 0.0)
                starts.append((STAMPED_S + reports.spread_s, -placed_s - UNIX_BY_NTP_S))
        if not starts:
            return None
        error_s, unix_s = min(starts)
        return self._judge(unix_s, error_s, arrived)

    def _judge(self, unix_s: float, error_s: float, arrived: SourceStarted) -> SourceStarted | None:
        unix_s += round((arrived.unix_s - unix_s) / NTP_ERA_S) * NTP_ERA_S
        if abs(unix_s - arrived.unix_s) > arrived.error_s + error_s:
            if not self._refused:
                self._refused = True
                logger.warning(
                    "the sender's clock is %+.1f s off ours, and is not followed for when the session began",
                    unix_s - arrived.unix_s,
                )
            return None
        if self._told_s is not None and abs(unix_s - self._told_s) <= MOVED_S:
            return None
        self._told_s = unix_s
        return SourceStarted(unix_s, error_s, by_sender=True)


def _senders_zero_s(
    clocks: Mapping[str, ArrivalClock], reports: Mapping[str, SenderReports], kind: str
) -> float | None:
    """Where arrival puts the moment at which the sender's clock showed 0, in media time, by this track."""
    of_track, clock = reports.get(kind), clocks.get(kind)
    if of_track is None or clock is None or of_track.zero_s is None or clock.offset_s is None:
        return None
    return clock.offset_s - of_track.zero_s
