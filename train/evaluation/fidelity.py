"""Compares the answers of the fast paths with those of the plain path, on people that no model was trained on.

    realtime train evaluation.fidelity --data DATA [--windows 200] [--model nano] [--narrow int8 fp8]
        [--weights int8 int4] [--json FILE]

The windows are up to eight seconds long, at any time of a session. They have faces of FER+'s validation set, voices of
RAVDESS's validation actors, or both. The label of the plain modules, prefilled as in training, is compared with two
others:

- that of the fused modules, which read the same tokens at the same positions, so only rounding differs;
- that from the ring, where evidence was prefilled as it came, so its position differs (`READ_AT_S`).

The answer of a chain decoded with full weights is compared with the answers of the formats in `--narrow`. `--weights`
compares labels and answers of a language model that is kept in 8 or 4 bits with those of full weights, on the same
evidence. Windows with one modality have annotated labels, and every label is compared with these, too. The command
prints a table and one JSON line. It exits with 1 where fewer than 99.5 % of the labels, or of the answers, are equal.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import Device, LoadedModel, load
from realtime.errors import BadSettings
from realtime.model.experts import EXPERT_LABELS
from realtime.model.products import Narrow, Weights
from realtime.outputs import refuse_input
from realtime.reason.chain import read_answer
from realtime.reason.reasoner import Reasoner
from realtime.records import FrameEvidence, Question, ReasonDone, SpeechEvidence, SpeechSegment, VideoFrame, Window
from train.command import run_command, tell_result
from train.nano import ferplus, ravdess

WANTED = 0.995
SPAN_S = 8.0


def faces(model: LoadedModel, data: Path, n: int, rng: np.random.Generator) -> Iterator[tuple[FrameEvidence, str]]:
    """One frame each of `n` validation faces, and what was seen in it; each is another person, so each begins with the
    population's neutral."""
    found = ferplus.load(data)
    for index in rng.choice(found.part("valid"), n, replace=False):
        frame = VideoFrame(0.0, ferplus.as_camera_frame(found.images_NHW[index]))
        yield model.perceiver(0).see(frame), EXPERT_LABELS[found.labels_N[index]]


def voices(model: LoadedModel, data: Path, n: int, rng: np.random.Generator) -> Iterator[tuple[SpeechEvidence, str]]:
    """`n` clips of validation actors, and what each was to play."""
    clips = [clip for clip in ravdess.load(data) if clip.actor in ravdess.ACTORS["valid"]]
    for index in rng.choice(len(clips), n, replace=n > len(clips)):
        samples_N = ravdess.read_samples(data, clips[index].file)
        middle_N = samples_N[len(samples_N) // 4 : len(samples_N) // 4 + 32_000].astype(np.float32)
        segment = SpeechSegment(0.0, middle_N.shape[0] / 16_000, middle_N)
        yield model.perceiver(0).hear(segment), EXPERT_LABELS[clips[index].label]


def windows(model: LoadedModel, data: Path, n: int, seed: int) -> Iterator[tuple[Window, str | None]]:
    """Windows, and what was annotated; None where a face and a voice of two people meet."""
    rng = np.random.default_rng(seed)
    pairs = zip(faces(model, data, n, rng), voices(model, data, n, rng), strict=True)
    for index, ((face, shown), (voice, played)) in enumerate(pairs):
        start_s = float(rng.uniform(0, 3600))
        end_s, first = start_s + SPAN_S, int(rng.integers(0, 8))
        frames = tuple(replace(face, at_s=start_s + second + 0.5, ring=0) for second in range(first, 8))
        length_s = voice.end_s - voice.start_s
        speech = replace(voice, start_s=end_s - length_s, end_s=end_s, ring=0)
        window = Window(index, start_s, end_s, frames if index % 3 != 1 else (), (speech,) if index % 3 != 2 else ())
        yield window, (None, played, shown)[index % 3]


def in_ring(model: LoadedModel, window: Window, question: Question) -> Window:
    ring = model.thinker.open_ring(question)
    if ring is None:
        return window
    return replace(
        window,
        frames=tuple(ring.add_frame(frame) for frame in window.frames),
        speech=tuple(ring.add_speech(part) for part in window.speech),
    )


def answered(thinker: Reasoner, window: Window, question: Question) -> tuple[str | None, dict[str, str]]:
    """The label that the chain arrives at, and its words."""
    done = list(thinker.reason(window, question))[-1]
    assert isinstance(done, ReasonDone)
    return read_answer(done.sections["answer"], question.labels).label, dict(done.sections)


def compare(
    model: LoadedModel,
    data: Path,
    n: int,
    *,
    kinds: Sequence[Narrow] = ("int8",),
    kept: Mapping[Weights, Reasoner] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    question = Question(labels=model.labels)
    weights = model.weights
    full = model.thinker
    narrow = {kind: Reasoner(weights, full.vocabulary, narrow=kind) for kind in kinds}
    apart: dict[str, list[float]] = {"fused": [], "ring": []}
    same: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    drift: dict[str, list[float]] = defaultdict(list)
    margins = []
    for window, truth in windows(model, data, n, seed):
        plain = np.array(list(full.read_plainly(window, question).label.probabilities.values()))
        answer, words = answered(full, window, question)
        told: dict[str, str | None] = {"full_answer": answer}
        read = {
            "fused": full.fast_label(window, question),
            "ring": full.fast_label(in_ring(model, window, question), question),
        }
        other = {name: np.array(list(label.probabilities.values())) for name, label in read.items()}
        for name, shares in other.items():
            same[name].append(bool(plain.argmax() == shares.argmax()))
            apart[name].append(float(np.abs(plain - shares).max()))
        ring = other["ring"].argmax()
        if not same["ring"][-1]:
            margins.append(round(float(plain.max() - plain[ring]), 4))
        for kind, thinker in narrow.items():
            narrow_answer, narrow_words = answered(thinker, window, question)
            same[f"{kind}_same_answer"].append(answer == narrow_answer)
            same[f"{kind}_same_words"].append(words == narrow_words)
            told[f"{kind}_answer"] = narrow_answer
        for form, thinker in (kept or {}).items():
            shares = np.array(list(thinker.fast_label(window, question).probabilities.values()))
            kept_answer, _ = answered(thinker, window, question)
            same[f"weights_{form}_same_label"].append(bool(other["fused"].argmax() == shares.argmax()))
            same[f"weights_{form}_same_answer"].append(answer == kept_answer)
            drift[form].append(float(np.abs(other["fused"] - shares).max()))
            told |= {f"weights_{form}_label": model.labels[shares.argmax()], f"weights_{form}_answer": kept_answer}
        if truth is not None:
            told |= {"plain_label": model.labels[plain.argmax()], "ring_label": model.labels[ring]}
            for name, label in told.items():
                right[f"{name}_right"].append(label == truth)
        full.close_rings()
    return {
        "model": model.name,
        "windows": n,
        "fused_same_label": share(same["fused"]),
        "fused_largest_difference": round(max(apart["fused"]), 7),
        "ring_same_label": share(same["ring"]),
        "ring_largest_difference": round(max(apart["ring"]), 4),
        "ring_mean_difference": round(float(np.mean(apart["ring"])), 5),
        "ring_margins_of_changed": margins,
        **{name: share(values) for name, values in same.items() if name not in apart},
        **{f"weights_{form}_mean_difference": round(float(np.mean(values)), 5) for form, values in drift.items()},
        "annotated": len(right["plain_label_right"]),
        **{name: share(values) for name, values in right.items()},
    }


def share(values: list[bool]) -> float:
    return round(float(np.mean(values)), 4)


def main() -> int:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", choices=get_args(Device), default="cpu")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument(
        "--narrow", nargs="+", choices=get_args(Narrow), default=["int8"], help="how chains' weights are narrowed"
    )
    parser.add_argument(
        "--weights", nargs="+", choices=("int8", "int4"), default=[], help="what the language model is kept in"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.model)
    model = load(args.model, engine="torch", device=args.device, narrow=None)
    kept = {form: load(args.model, engine="torch", device=args.device, weights=form).thinker for form in args.weights}
    try:
        with torch.inference_mode():
            figures = compare(model, args.data, args.windows, kinds=args.narrow, kept=kept)
    except FileNotFoundError as error:
        hint = "Name the folder that holds FER+ and RAVDESS with --data."
        raise BadSettings(f"There is no {error.filename}.", hint) from error
    tell_result(figures, args.json, [f"{name:<26} {value}" for name, value in figures.items()])
    held_to = [figures["ring_same_label"], *(figures[f"weights_{form}_same_label"] for form in args.weights)]
    held_to += [*(figures[f"{kind}_same_answer"] for kind in args.narrow)]
    return 0 if min(held_to) >= WANTED else 1


if __name__ == "__main__":
    run_command(main, "train.evaluation.fidelity")
