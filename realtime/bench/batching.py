"""Decodes chains of several sessions as a batch and one after the other, in alternation, to show what batching saves.

The figures are tokens per second of all chains, on the same windows in the same run. `ratio` is how much longer one
after the other took, as the median of all repeats. Both decode the same text (`tests/reason/test_batched_decoder.py`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from realtime.bench.paired import SpokenWindow, collect_windows
from realtime.engine.loading import LoadedModel
from realtime.records import Question, ReasonDone, SpeechEvidence, Window
from realtime.settings import Settings

SIZES = (2, 4, 8)
REPEATS = 3


def batching(
    files: Sequence[str],
    model: LoadedModel,
    settings: Settings,
    *,
    sizes: Sequence[int] = SIZES,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    spoken, question = collect_windows(files, settings, max(sizes)), Question(labels=model.labels)
    windows = [_window(model, one) for one in spoken]
    figures: dict[str, Any] = {}
    for n in sizes:
        some = [windows[at % len(windows)] for at in range(n)]
        alone, shared, ratios = [], [], []
        for _ in range(repeats):
            apart_s, n_tokens = _decoded(model, some, question, at_once=1)
            at_once_s, _ = _decoded(model, some, question, at_once=n)
            alone.append(n_tokens / apart_s)
            shared.append(n_tokens / at_once_s)
            ratios.append(apart_s / at_once_s)
        figures[f"chains_{n}"] = {
            "tokens_per_s_apart": round(statistics.median(alone), 1),
            "tokens_per_s": round(statistics.median(shared), 1),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_least": round(min(ratios), 2),
        }
    return figures


def _window(model: LoadedModel, spoken: SpokenWindow) -> Window:
    perceiver = model.perceiver(0)
    try:
        frames = tuple(perceiver.see(frame) for frame in spoken.frames)
        speech: SpeechEvidence = perceiver.hear(spoken.segment)
    finally:
        perceiver.close()
    return Window(0, frames[0].at_s, spoken.segment.end_s, frames, (speech,))


def _decoded(model: LoadedModel, windows: Sequence[Window], question: Question, *, at_once: int) -> tuple[float, float]:
    """Decode all chains, `at_once` together. Returns the seconds, without labels, and the number of tokens."""
    passed_s, n_tokens = 0.0, 0.0
    for first in range(0, len(windows), at_once):
        chains = [
            model.thinker.reason(_labelled(model, window, question), question)
            for window in windows[first : first + at_once]
        ]
        began_s = time.perf_counter()
        while chains:
            for chain in list(chains):
                step = next(chain)
                if isinstance(step, ReasonDone):
                    n_tokens += step.timings_ms["chain_tokens"]
                    chains.remove(chain)
        passed_s += time.perf_counter() - began_s
    return passed_s, n_tokens


def _labelled(model: LoadedModel, window: Window, question: Question) -> Window:
    """A copy of the window that has been labelled, so that its chain goes on from the label's KV cache."""
    again = Window(window.index, window.start_s, window.end_s, window.frames, window.speech)
    model.thinker.fast_label(again, question)
    return again
