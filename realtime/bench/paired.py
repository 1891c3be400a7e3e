"""Answers the same windows with our engine and with plain transformers, in alternation, so that the load is the same.

Times count from the moment speech is known to have ended. By then our engine has seen every frame and has heard the
speech at its pause (`evidence/listen.py`); the plain model begins then. `unprepared` includes our hearing, as for
speech that was cut off.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from realtime.bench.live import GAP_S, later, spread
from realtime.engine.loading import LoadedModel
from realtime.ingest.media import MediaSource
from realtime.records import ClockTick, Question, ReasonDelta, SpeechSegment, SpeechSoFar, VideoFrame, Window
from realtime.settings import Settings


@dataclass(frozen=True)
class SpokenWindow:
    """An utterance, and the frames of the window that ends with it."""

    frames: tuple[VideoFrame, ...]
    segment: SpeechSegment


def collect_windows(files: Sequence[str], settings: Settings, n_windows: int) -> list[SpokenWindow]:
    """The last `n_windows` utterances of the recordings, played one after the other, each with its full window."""
    span_s = settings.buffer.window_s
    shown: list[VideoFrame] = []
    segments: list[SpeechSegment] = []
    offset_s = reached_s = 0.0
    n_played = 0
    while n_played < 200 and sum(segment.end_s > span_s for segment in segments) < n_windows:
        file = files[n_played % len(files)]
        for item in MediaSource.open(file, ingest=settings.ingest, speech=settings.speech).read():
            item = later(item, offset_s)
            match item:
                case VideoFrame(at_s):
                    shown.append(item)
                    reached_s = max(reached_s, at_s)
                case SpeechSegment():
                    segments.append(item)
                    reached_s = max(reached_s, item.end_s)
                case ClockTick(at_s):
                    reached_s = max(reached_s, at_s)
        offset_s = reached_s + GAP_S
        n_played += 1
    windows = []
    for segment in segments:
        frames = [frame for frame in shown if segment.end_s - span_s <= frame.at_s <= segment.end_s]
        if frames:
            windows.append(SpokenWindow(tuple(frames), segment))
    return windows[-n_windows:]


def paired(files: Sequence[str], model: LoadedModel, settings: Settings, *, repeats: int) -> dict[str, Any]:
    """Compare `repeats` windows; without transformers, measure ours only."""
    windows, question = collect_windows(files, settings, repeats), Question(labels=model.labels)
    if not windows:
        return {"paired": "no speech in the recordings"}
    ours = [answer(model, spoken, question) for spoken in windows]
    figures: dict[str, Any] = {
        "paired_windows": len(windows),
        "ours_label_ms": spread(each["label"] for each in ours),
        "ours_first_word_ms": spread(each["first_word"] for each in ours),
        "ours_unprepared_label_ms": spread(each["unprepared_label"] for each in ours),
        "tokens_per_s": round(statistics.median(each["tokens_per_s"] for each in ours), 1),
    }
    if importlib.util.find_spec("transformers") is None:
        return {**figures, "plain": "transformers is not installed (pip install 'emothinker[train]')"}
    from realtime.bench.plain import TOKENS_OF_A_WORD, TOKENS_TIMED, PlainModel

    plain = PlainModel(model)
    plain.label(windows[0].frames, windows[0].segment, question)
    labels, words, ratios, word_ratios, rates = [], [], [], [], []
    for spoken in windows:
        mine = answer(model, spoken, question)
        began_s = time.perf_counter()
        plain.label(spoken.frames, spoken.segment, question)
        labels.append((time.perf_counter() - began_s) * 1000)
        word_s = plain.write(spoken.frames, spoken.segment, question, TOKENS_OF_A_WORD)
        words.append(word_s * 1000)
        longer_s = plain.write(spoken.frames, spoken.segment, question, TOKENS_OF_A_WORD + TOKENS_TIMED)
        rates.append(TOKENS_TIMED / max(longer_s - word_s, 1e-6))
        ratios.append(labels[-1] / mine["label"])
        word_ratios.append(words[-1] / mine["first_word"])
    return {
        **figures,
        "plain_label_ms": spread(labels),
        "plain_first_word_ms": spread(words),
        "plain_tokens_per_s": round(statistics.median(rates), 1),
        "ratio_label": round(statistics.median(ratios), 1),
        "ratio_label_least": round(min(ratios), 1),
        "ratio_first_word": round(statistics.median(word_ratios), 1),
        "ratio_first_word_least": round(min(word_ratios), 1),
    }


def answer(model: LoadedModel, spoken: SpokenWindow, question: Question) -> dict[str, float]:
    """Milliseconds from the end of speech to label and first word, heard ahead or not, and the chain's tokens/s."""
    perceiver, took = model.perceiver(0), {}
    try:
        frames = tuple(perceiver.see(frame) for frame in spoken.frames)
        start_s = frames[0].at_s
        for name, paused in (("unprepared_", False), ("", True)):
            if paused:
                perceiver.hear_ahead(SpeechSoFar(spoken.segment, paused=True))
            began_s = time.perf_counter()
            speech = perceiver.hear(spoken.segment)
            window = Window(0, start_s, spoken.segment.end_s, frames, (speech,))
            model.thinker.fast_label(window, question)
            took[f"{name}label"] = (time.perf_counter() - began_s) * 1000
        steps = model.thinker.reason(window, question)
        next(step for step in steps if isinstance(step, ReasonDelta))
        took["first_word"] = (time.perf_counter() - began_s) * 1000
        done = list(steps)[-1]
    finally:
        perceiver.close()
    timings = getattr(done, "timings_ms", {})
    took["tokens_per_s"] = timings["chain_tokens"] / timings["chain"] * 1000
    return took
