"""Measures what grows: the cost of a second in minute 1, 10 and 60, with longer windows, and with more faces.

A few frames are perceived once and then repeated, one per second; the KV-cache ring takes each as new. The times are of
a second of evidence, which is its prefill into the ring, and of a label at that moment. For more faces, copies of the
picture are put side by side, and perceiving the result is timed too.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from realtime.bench.paired import collect_windows
from realtime.engine.loading import LoadedModel
from realtime.reason.session_ring import SessionRing
from realtime.records import FrameEvidence, Question, SpeechEvidence, VideoFrame, Window
from realtime.settings import Settings

MINUTES = (1, 10, 60)
WINDOWS_S = (2, 4, 8)
FACES = (1, 2, 5)
LABELS_TIMED = 9


def growth(files: Sequence[str], model: LoadedModel, settings: Settings, *, minutes: int) -> dict[str, Any]:
    (spoken, *_), question = collect_windows(files, settings, 1), Question(labels=model.labels)
    perceiver = model.perceiver(0)
    frames = [perceiver.see(frame) for frame in spoken.frames]
    speech = perceiver.hear(spoken.segment)
    perceiver.close()
    ring = model.thinker.open_ring(question)
    if ring is None:
        return {"ring": "this checkpoint was not trained for one"}
    by_minute, reached = {}, 0
    for minute in (minute for minute in MINUTES if minute <= minutes):
        append_ms = _append(ring, frames, range(60 * reached, 60 * minute), model.weights.device)
        by_minute[f"minute_{minute}"] = {
            "append_ms": round(statistics.median(append_ms[-60:]), 3),
            "label_ms": _label_ms(model, ring, frames, speech, question, end_s=60.0 * minute, span_s=8),
            "ring_mb": round(ring.ring.n_bytes / 1e6, 1),
        }
        reached = minute
    first, last = (by_minute[f"minute_{minute}"] for minute in (MINUTES[0], reached))
    windows = {
        f"window_{span_s}s_label_ms": _label_ms(
            model, ring, frames, speech, question, end_s=60.0 * reached, span_s=span_s
        )
        for span_s in WINDOWS_S
    }
    faces = {f"pictures_{n}": _crowd(model, ring, spoken.frames, speech, question, n, 60.0 * reached) for n in FACES}
    ring.close()
    ratio = round(last["append_ms"] / first["append_ms"], 3)
    return {**by_minute, "last_to_first_append": ratio, **windows, **faces}


def _crowd(
    model: LoadedModel,
    ring: SessionRing,
    frames: Sequence[VideoFrame],
    speech: SpeechEvidence,
    question: Question,
    n: int,
    end_s: float,
) -> dict[str, float]:
    """Perceive frames with `n` copies of the person, and label eight of them."""
    perceiver, took, seen = model.perceiver(0), [], []
    for frame in frames[:LABELS_TIMED]:
        crowded = replace(frame, rgb_HW3=beside_each_other(frame.rgb_HW3, n))
        began_s = time.process_time()
        seen.append(perceiver.see(crowded))
        took.append((time.process_time() - began_s) * 1000)
    perceiver.close()
    return {
        "faces": statistics.median(len(each.faces) for each in seen),
        "see_ms": round(statistics.median(took), 1),
        "label_ms": _label_ms(model, ring, seen, speech, question, end_s=end_s, span_s=8),
    }


def beside_each_other(rgb_HW3: npt.NDArray[np.uint8], n: int) -> npt.NDArray[np.uint8]:
    """`n` copies of a picture in rows and columns, about as many of each. Empty places are black."""
    across = math.ceil(math.sqrt(n))
    copies = [rgb_HW3] * n + [np.zeros_like(rgb_HW3)] * (-n % across)
    rows = [np.concatenate(copies[first : first + across], axis=1) for first in range(0, len(copies), across)]
    return np.concatenate(rows)


def _append(ring: SessionRing, frames: Sequence[FrameEvidence], seconds: range, device: torch.device) -> list[float]:
    passed = (replace(frames[second % len(frames)], at_s=float(second)) for second in seconds)
    return [_ms(device, ring.add_frame, frame) for frame in passed]


def _label_ms(
    model: LoadedModel,
    ring: SessionRing,
    frames: Sequence[FrameEvidence],
    speech: SpeechEvidence,
    question: Question,
    *,
    end_s: float,
    span_s: int,
) -> float:
    said = ring.add_speech(replace(speech, start_s=end_s - min(span_s, speech.end_s - speech.start_s), end_s=end_s))
    seen = tuple(
        ring.add_frame(replace(frames[index % len(frames)], at_s=end_s - span_s + index)) for index in range(span_s)
    )
    took = []
    for index in range(LABELS_TIMED):
        window = Window(index, end_s - span_s, end_s, seen, (said,))
        took.append(_ms(model.weights.device, model.thinker.fast_label, window, question))
    return round(statistics.median(took), 2)


def _ms(device: torch.device, work: Callable[..., object], *args: object) -> float:
    """Milliseconds of CPU time in this thread, which other load on the machine does not change.

    On a GPU, milliseconds of wall time until the launched kernels have ended.
    """
    on_gpu = device.type == "cuda"
    now_s = time.perf_counter if on_gpu else time.thread_time
    began_s = now_s()
    work(*args)
    if on_gpu:
        torch.cuda.synchronize()
    return (now_s() - began_s) * 1000
