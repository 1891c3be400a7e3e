"""Where speech begins and ends, and the sound of it.

The segmenter works on decisions, one per 30-ms frame, and never on sound. The cutter splits the sound into frames, asks
the voice detector about each, and cuts the segments out. A segment is known to have ended `hangover_ms` after its last
voiced frame. That is the only wait between the end of speech and the start of its analysis.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from realtime.ingest.vad import FRAME_MS, FRAME_S, FRAME_SAMPLES, Detector, SileroDetector, VoiceDetector
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, SpeechSegment, SpeechSoFar, SpeechStarted

ONSET_MS, ONSET_SHARE = 150, 0.8
"Speech begins when this share of the frames of the last `ONSET_MS` is voiced."
HANGOVER_SHARE = 0.9
"Speech ends when this share of the frames of the last `hangover_ms` is unvoiced."
PAD_BEFORE_MS = 180
"Sound kept before the first voiced frame."
PAD_AFTER_MS = 150
"Sound kept after the last voiced frame."
DetectorName = Literal["webrtc", "silero"]
MIN_SPEECH_MS = 240
"Less voiced sound than this is a click or a cough, and is never announced."
MAX_GAP_MS = 1000
"A hole in the stamps up to this long is filled with silence; a longer one ends the stretch."


@dataclass(frozen=True)
class SpeechSettings:
    """Where a stretch of speech begins and ends, and whether its words are written down."""

    vad: DetectorName = "webrtc"
    "What tells voices from other sound: WebRTC's detector, or Silero's network (the extra `silero`)."
    aggressiveness: int = 2
    "Of `webrtc`: 0 (takes much for speech) to 3 (takes little), as WebRTC's voice detector defines it."
    hangover_ms: int = 300
    "Milliseconds of quiet after which speech has ended. An analysis of speech cannot begin sooner."
    max_segment_ms: int = 8000
    "Milliseconds after which speech that goes on is cut; the rest becomes the next segment."
    words: Literal["off", "whisper"] = "off"
    """`whisper` writes down what was said, once the label of that speech is out (the extra `words`). A server does it
    only for sessions that agree (`POST /whip?words=true`)."""
    words_model: str = "tiny.en"
    """The Whisper model for it: `tiny.en` or another name that faster-whisper knows, a Hugging Face id, or a folder
    with a model of CTranslate2. `tiny.en` knows English alone."""

    def __post_init__(self) -> None:
        least_ms = MIN_SPEECH_MS + ONSET_MS + PAD_BEFORE_MS + PAD_AFTER_MS
        checks = {
            "aggressiveness must be 0, 1, 2 or 3": self.aggressiveness in range(4),
            f"hangover_ms must be at least {PAD_AFTER_MS}": self.hangover_ms >= PAD_AFTER_MS,
            f"max_segment_ms must be more than {least_ms}": self.max_segment_ms > least_ms,
        }
        for rule, holds in checks.items():
            if not holds:
                raise ValueError(f"speech.{rule}")


SO_FAR_MS = 2013
"""Speech that goes on is passed on each 2 s, so that it can be encoded ahead: the length of the audio tower's chunks,
and half a spectrum's window more."""


@dataclass(frozen=True, slots=True)
class Began:
    frame: int
    "First frame of the segment, padding included."


@dataclass(frozen=True, slots=True)
class Ended:
    first: int
    end: int
    "One past the last frame of the segment, padding included."


@dataclass(frozen=True, slots=True)
class SoFar:
    first: int
    end: int
    paused: bool
    "Whether there is a pause. If no voice follows, `Ended(first, end)` does."


class Segmenter:
    """Finds segments of speech from one decision per frame, with hysteresis. Frames are numbered from 0.

    A candidate begins when enough of the last `ONSET_MS` is voiced. It becomes speech, and is announced, when it holds
    `MIN_SPEECH_MS` of voice; it is dropped when the hangover passes first. Speech ends when the hangover passes or when
    it is too long.
    """

    def __init__(self, settings: SpeechSettings) -> None:
        self._n_onset, self._n_hangover = _frames(ONSET_MS), _frames(settings.hangover_ms)
        self._n_before, self._n_after = _frames(PAD_BEFORE_MS), _frames(PAD_AFTER_MS)
        self._n_min, self._n_max = _frames(MIN_SPEECH_MS), _frames(settings.max_segment_ms)
        self._ring: deque[bool] = deque(maxlen=max(self._n_onset, self._n_hangover))
        self._n_frames = 0
        self._floor = 0
        "No segment begins before this frame, the end of the one before."
        self._first: int | None = None
        "First voiced frame of the candidate or of the speech."
        self._began: int | None = None
        "First frame of the announced segment, padding included. None while there is silence or a candidate."
        self._n_voiced = 0
        self._last_voiced = 0

    def push(self, voiced: bool) -> tuple[Began | Ended, ...]:
        """Take the decision on the next frame. Mostly returns nothing; an end when speech ends or is cut."""
        self._ring.append(voiced)
        self._n_frames += 1
        if voiced:
            self._n_voiced += 1
            self._last_voiced = self._n_frames - 1
        if self._first is None:
            self._look_for_onset()
        elif self._share(False, self._n_hangover) >= HANGOVER_SHARE:
            return self.flush()
        if self._first is not None and self._began is None and self._n_voiced >= self._n_min:
            self._began = max(self._first - self._n_before, self._floor)
            return (Began(self._began),)
        if self._began is not None and self._n_frames - self._began >= self._n_max:
            return self._cut()
        return ()

    def so_far(self) -> SoFar | None:
        """The open segment, when it has just paused for as long as the padding, or gone on for another 2 s."""
        if self._began is None:
            return None
        if 0 < self._n_frames - (self._last_voiced + 1) == self._n_after:
            return SoFar(self._began, self._n_frames, paused=True)
        n_parts = [(self._n_frames - self._began - age) * FRAME_MS // SO_FAR_MS for age in (0, 1)]
        return SoFar(self._began, self._n_frames, paused=False) if n_parts[0] > n_parts[1] else None

    def flush(self) -> tuple[Ended, ...]:
        """End the open segment here, because the hangover has passed or no more sound follows."""
        began, self._first, self._began = self._began, None, None
        if began is None:
            return ()
        end = min(self._last_voiced + 1 + self._n_after, self._n_frames)
        self._floor = end
        return (Ended(began, end),)

    def _look_for_onset(self) -> None:
        if len(self._ring) < self._n_onset or self._share(True, self._n_onset) < ONSET_SHARE:
            return
        recent = list(self._ring)[-self._n_onset :]
        self._first = self._n_frames - self._n_onset + recent.index(True)
        self._n_voiced = sum(recent)

    def _cut(self) -> tuple[Ended, ...]:
        # What follows is a candidate again: if the person stops here, no segment of silence is announced.
        assert self._began is not None
        cut = Ended(self._began, self._n_frames)
        self._floor = self._first = self._n_frames
        self._began, self._n_voiced = None, 0
        return (cut,)

    def _share(self, voiced: bool, n_frames: int) -> float:
        """Share of the last `n_frames` decisions that are `voiced`; 0 while there are fewer."""
        if len(self._ring) < n_frames:
            return 0.0
        return sum(last is voiced for last in list(self._ring)[-n_frames:]) / n_frames


def _frames(ms: int) -> int:
    return math.ceil(ms / FRAME_MS)


def detector(settings: SpeechSettings) -> Detector:
    """A new one for a track. Raises EngineMissing where the package of Silero's is not installed."""
    if settings.vad == "silero":
        return SileroDetector()
    return VoiceDetector(aggressiveness=settings.aggressiveness)


class SpeechCutter:
    """Cuts speech out of one track: chunks of any length in, starts and segments of speech out."""

    TOLERANCE_S = 0.03
    "Seconds by which stamps may be off (coarse time bases, jitter) before samples are added or dropped."

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._detector = detector(settings)
        self._segmenter = Segmenter(settings)
        # The longest stretch, and what a slow candidate can hold before it is announced.
        n_kept = _frames(settings.max_segment_ms) + _frames(MIN_SPEECH_MS) * _frames(settings.hangover_ms)
        self._kept: deque[Float32] = deque(maxlen=n_kept + _frames(PAD_BEFORE_MS))
        self._tail_N = np.zeros(0, np.float32)
        self._origin_s: float | None = None
        self._n_frames = 0
        self.n_filled_gaps = 0
        "Gaps in the stamps (lost packets) that were filled with silence."
        self.n_resets = 0
        "Gaps too long to fill. The open segment ended there, and counting began anew."
        self.n_overlaps = 0
        "Chunks that began before the one before had ended; the overlap was dropped."

    @property
    def heard_s(self) -> float:
        """Media time up to which the detector has decided. While `push` is iterated: when its item became known."""
        return (self._origin_s or 0.0) + self._n_frames * FRAME_S

    @property
    def silent_s(self) -> float:
        """Seconds of digital silence up to now."""
        return self._detector.n_silent * FRAME_S

    def push(self, chunk: AudioChunk) -> Iterator[SpeechStarted | SpeechSegment | SpeechSoFar]:
        """Take a chunk, and yield what it settles, in order. The work is done while the result is iterated."""
        samples_N = chunk.samples_N
        if self._origin_s is None:
            self._origin_s = chunk.start_s
        off_s = chunk.start_s - (self.heard_s + self._tail_N.size / SAMPLE_RATE_HZ)
        if abs(off_s) * 1000 > MAX_GAP_MS:
            yield from self.flush()
            self._origin_s = chunk.start_s
            self.n_resets += 1
        elif off_s > self.TOLERANCE_S:
            samples_N = np.concatenate([np.zeros(round(off_s * SAMPLE_RATE_HZ), np.float32), samples_N])
            self.n_filled_gaps += 1
        elif off_s < -self.TOLERANCE_S:
            samples_N = samples_N[round(-off_s * SAMPLE_RATE_HZ) :]
            self.n_overlaps += 1

        # The detector takes exactly 10, 20 or 30 ms: a short tail waits here for the next chunk.
        samples_N = np.concatenate([self._tail_N, samples_N])
        whole = samples_N.size // FRAME_SAMPLES * FRAME_SAMPLES
        self._tail_N = samples_N[whole:]
        for frame_F in samples_N[:whole].reshape(-1, FRAME_SAMPLES):
            self._kept.append(frame_F)
            self._n_frames += 1
            voiced = self._detector.is_voiced(frame_F, coarse=chunk.coarse)
            yield from map(self._timed, self._segmenter.push(voiced))
            if (so_far := self._segmenter.so_far()) is not None:
                yield SpeechSoFar(self._segment(Ended(so_far.first, so_far.end)), so_far.paused)

    def flush(self) -> Iterator[SpeechSegment]:
        """End the open segment, because no sound follows or there is a long gap. Counting starts anew."""
        ended = [self._segment(stretch) for stretch in self._segmenter.flush()]
        self._segmenter = Segmenter(self._settings)
        self._kept.clear()
        self._tail_N = np.zeros(0, np.float32)
        self._origin_s, self._n_frames = self.heard_s, 0
        yield from ended

    def _timed(self, settled: Began | Ended) -> SpeechStarted | SpeechSegment:
        if isinstance(settled, Ended):
            return self._segment(settled)
        return SpeechStarted(start_s=self._media_s(settled.frame))

    def _segment(self, stretch: Ended) -> SpeechSegment:
        kept_from = self._n_frames - len(self._kept)
        frames = itertools.islice(self._kept, stretch.first - kept_from, stretch.end - kept_from)
        return SpeechSegment(
            start_s=self._media_s(stretch.first),
            end_s=self._media_s(stretch.end),
            samples_N=np.concatenate(list(frames)),
        )

    def _media_s(self, frame: int) -> float:
        assert self._origin_s is not None, "frames are numbered from the first chunk on"
        return self._origin_s + frame * FRAME_S
