"""Whether the fast paths say what the plain one says, on people that no weight was fitted to.

    python -m train.fidelity --data DATA [--windows 200] [--model nano] [--narrow int8|fp8] [--json FILE]

Windows of up to eight seconds at any time of a session: faces of FER+'s validation set, voices of RAVDESS's validation
actors, and both. The label of the plain modules, read as in training, is compared with the one from the ring; the
answer of a chain decoded in full precision with the one decoded with 8-bit weights. Prints a table and one JSON line;
exits with 1 where fewer than 99.5 % of the labels, or of the answers, are the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from realtime.loading import LoadedModel, load
from realtime.model.products import Narrow
from realtime.reason.chain import read_answer
from realtime.reason.stream import Reasoner
from realtime.records import Ask, FrameEvidence, ReasonDone, SpeechEvidence, SpeechSegment, VideoFrame, Window
from train import ferplus, ravdess

WANTED = 0.995
SPAN_S = 8.0


def faces(model: LoadedModel, data: Path, n: int, rng: np.random.Generator) -> Iterator[FrameEvidence]:
    """One frame each of `n` validation faces; each is another person, so each begins with the population's neutral."""
    found = ferplus.load(data)
    for index in rng.choice(found.part("valid"), n, replace=False):
        yield model.perceiver(0).see(VideoFrame(0.0, ferplus.as_camera_frame(found.images_NHW[index])))


def voices(model: LoadedModel, data: Path, n: int, rng: np.random.Generator) -> Iterator[SpeechEvidence]:
    """`n` clips of validation actors."""
    clips = [clip for clip in ravdess.load(data) if clip.actor in ravdess.ACTORS["valid"]]
    for index in rng.choice(len(clips), n, replace=n > len(clips)):
        samples_N = ravdess.read_samples(data, clips[index].file)
        middle_N = samples_N[len(samples_N) // 4 : len(samples_N) // 4 + 32_000].astype(np.float32)
        yield model.perceiver(0).hear(SpeechSegment(0.0, middle_N.shape[0] / 16_000, middle_N))


def windows(model: LoadedModel, data: Path, n: int, seed: int) -> Iterator[Window]:
    rng = np.random.default_rng(seed)
    pairs = zip(faces(model, data, n, rng), voices(model, data, n, rng), strict=True)
    for index, (face, voice) in enumerate(pairs):
        start_s = float(rng.uniform(0, 3600))
        end_s, first = start_s + SPAN_S, int(rng.integers(0, 8))
        frames = tuple(replace(face, at_s=start_s + second + 0.5, ring=0) for second in range(first, 8))
        length_s = voice.end_s - voice.start_s
        speech = replace(voice, start_s=end_s - length_s, end_s=end_s, ring=0)
        yield Window(index, start_s, end_s, frames if index % 3 != 1 else (), (speech,) if index % 3 != 2 else ())


def in_ring(model: LoadedModel, window: Window, ask: Ask) -> Window:
    ring = model.thinker.open_ring(ask)
    if ring is None:
        return window
    return replace(
        window,
        frames=tuple(ring.add_frame(frame) for frame in window.frames),
        speech=tuple(ring.add_speech(part) for part in window.speech),
    )


def answered(thinker: Reasoner, window: Window, ask: Ask) -> tuple[str | None, dict[str, str]]:
    """The label that the chain arrives at, and its words."""
    done = list(thinker.reason(window, ask))[-1]
    assert isinstance(done, ReasonDone)
    return read_answer(done.sections["answer"], ask.labels).label, dict(done.sections)


def compare(model: LoadedModel, data: Path, n: int, *, kind: Narrow = "int8", seed: int = 0) -> dict[str, Any]:
    ask = Ask(labels=model.labels)
    weights = model.weights
    full = model.thinker
    narrow = Reasoner(weights, full.vocabulary, narrow=kind)
    same, same_answer, same_words, apart, margins = [], [], [], [], []
    for window in windows(model, data, n, seed):
        plain = np.array(list(full.read(window, ask).label.probabilities.values()))
        ring = np.array(list(full.fast_label(in_ring(model, window, ask), ask).probabilities.values()))
        same.append(bool(plain.argmax() == ring.argmax()))
        apart.append(float(np.abs(plain - ring).max()))
        if not same[-1]:
            margins.append(round(float(plain.max() - plain[ring.argmax()]), 4))
        (answer, words), (narrow_answer, narrow_words) = (answered(each, window, ask) for each in (full, narrow))
        same_answer.append(answer == narrow_answer)
        same_words.append(words == narrow_words)
        full.close_rings()
    return {
        "model": model.name,
        "windows": n,
        "ring_same_label": round(float(np.mean(same)), 4),
        "ring_largest_difference": round(max(apart), 4),
        "ring_mean_difference": round(float(np.mean(apart)), 5),
        "ring_margins_of_changed": margins,
        f"{kind}_same_answer": round(float(np.mean(same_answer)), 4),
        f"{kind}_same_words": round(float(np.mean(same_words)), 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--narrow", choices=get_args(Narrow), default="int8", help="how chains' weights are narrowed")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with torch.inference_mode():
        figures = compare(load(args.model, engine="torch"), args.data, args.windows, kind=args.narrow)
    for name, value in figures.items():
        print(f"{name:<26} {value}", file=sys.stderr)
    line = json.dumps(figures)
    print(line)
    if args.json is not None:
        args.json.write_text(line + "\n")
    return 0 if min(figures["ring_same_label"], figures[f"{args.narrow}_same_answer"]) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
