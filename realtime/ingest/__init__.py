"""Ingest: whatever carries a face and a voice becomes sampled frames and stretches of speech on one media clock."""

from __future__ import annotations

from typing import Protocol

from realtime.records import SpeechEdge, SpeechSegment, SpeechSoFar, VideoFrame


class Sink(Protocol):
    """Takes what a source hands on, in media-time order, one call at a time.

    A live session returns at once (its mailboxes keep the newest); an offline one may wait, and so nothing is skipped.
    """

    async def frame(self, frame: VideoFrame) -> None: ...

    async def speech_started(self, edge: SpeechEdge) -> None: ...

    async def speech_so_far(self, so_far: SpeechSoFar) -> None:
        """Open speech, at a pause and each 2 s: a head start, nothing that has to be taken."""

    async def speech_ended(self, segment: SpeechSegment) -> None: ...

    async def clock(self, at_s: float) -> None:
        """Media time has reached `at_s`; said four times per media second."""

    async def ended(self, reason: str) -> None:
        """Nothing more will come. Said once, unless the source is cancelled or closed from our side."""


class Source(Protocol):
    """One stream of media: a peer, a file, a camera's address."""

    @property
    def live(self) -> bool:
        """Whether media arrives by itself, so that a slow sink has to skip."""

    @property
    def has_video(self) -> bool: ...

    @property
    def has_audio(self) -> bool: ...

    @property
    def silent_s(self) -> float:
        """Seconds of digital silence (every sample zero) up to now: a muted microphone, not a quiet room."""

    async def run(self, sink: Sink) -> None:
        """Hand media to the sink until there is no more, then return; frees what it holds however it ends."""
