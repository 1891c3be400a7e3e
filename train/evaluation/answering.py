"""Samples through the very perception and reasoning that serve a live session, many together, in worker processes.

A worker perceives its sessions one sample after the other, as live, and answers a batch of windows in one go
(`train.batch`, which gives what answering one by one gives).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from realtime.loading import LoadedModel, load
from realtime.reason import calibrate
from realtime.reason.chain import read_answer
from realtime.reason.prompt import Ask
from realtime.records import Label, Window
from train.batch import chains
from train.coet.measured import faithful
from train.evaluation.samples import Sample

BATCH = 32


@dataclass(frozen=True)
class Asked:
    """Which model answers."""

    model: str
    adapter: Path | None = None


_loaded: LoadedModel | None = None
"Of this worker process."


def start_worker(asked: Asked) -> None:
    global _loaded
    torch.set_num_threads(1)
    _loaded = load(asked.model, adapter=asked.adapter, engine="torch")


def answer_part(samples: Sequence[Sample], done: frozenset[str]) -> list[dict[str, Any]]:
    """Rows for the samples that are not `done`; done sentences are heard all the same, for the session's baseline."""
    assert _loaded is not None, "start_worker runs first"
    rows, windows = [], []
    perception, session = None, None
    for sample in samples:
        if sample.key in done and sample.speech is None:
            continue
        if sample.session != session:
            if perception is not None:
                perception.close()
            perception, session = _loaded.perceiver(seed=0), sample.session
        assert perception is not None
        frames = (perception.see(sample.frame),) if sample.frame is not None else ()
        speech = (perception.hear(sample.speech),) if sample.speech is not None else ()
        if sample.key not in done:
            end_s = speech[0].end_s if speech else 0.0
            windows.append(Window(0, max(0.0, end_s - 8.0), end_s, frames, speech))
            rows.append(sample)
    if perception is not None:
        perception.close()
    out = []
    for first in range(0, len(rows), BATCH):
        part = windows[first : first + BATCH]
        labels, sections = chains(_loaded, part, Ask(labels=_loaded.labels))
        out += [
            row(_loaded, sample, window, label, told)
            for sample, window, label, told in zip(rows[first : first + BATCH], part, labels, sections, strict=True)
        ]
    return out


def row(model: LoadedModel, sample: Sample, window: Window, fast: Label, sections: dict[str, str]) -> dict[str, Any]:
    """One answer with everything the report needs."""
    calibration = model.weights.config.emotion.calibration
    read = read_answer(sections["answer"], model.labels)
    probabilities = calibrate.joined(fast.probabilities, read.label, calibration)
    answer = calibrate.verdict(probabilities, read.label, read.intensity, calibration)
    cues = window.frames[0].cues[0].intensities if window.frames and window.frames[0].cues else {}
    relative = window.speech[0].cues.relative if window.speech else {}
    told = faithful(sections, cues, relative)
    return {
        "key": sample.key,
        "truth": sample.truth,
        "answer": read.label,
        "told": answer.label,
        "fast": max(fast.probabilities, key=lambda label: fast.probabilities[label]),
        "fast_probabilities": dict(fast.probabilities),
        "alone": {name: max(p, key=lambda label: p[label]) for name, p in alone(fast).items()},
        "probabilities": probabilities,
        "sections": sections,
        "statements": told.n_statements,
        "true_statements": told.n_true,
        "faces": len(window.frames[0].faces) if window.frames else None,
        "slices": dict(sample.slices),
    }


def alone(fast: Label) -> dict[str, Mapping[str, float]]:
    """What each modality alone would say, where there are two."""
    return {} if fast.conflict is None else {"face": fast.conflict.face, "voice": fast.conflict.voice}


def answers(
    asked: Asked, parts: Iterable[list[Sample]], done: frozenset[str], *, n_workers: int
) -> Iterator[list[dict[str, Any]]]:
    """Rows of each part as it is answered, in no fixed order. At most two parts a worker are held in memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, initializer=start_worker, initargs=(asked,)) as pool:
        waiting: set[Future[list[dict[str, Any]]]] = set()
        for part in parts:
            if all(sample.key in done for sample in part):
                continue
            waiting.add(pool.submit(answer_part, part, done))
            if len(waiting) >= 2 * n_workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        for future in waiting:
            yield future.result()
