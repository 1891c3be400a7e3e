"""Compares ways to choose background tokens where the background moves: a face before a camera that pans and cuts.

    realtime train evaluation.moving --data DATA [--model nano] [--adapter OUT] [--split test] [--faces 100]
                                      [--drop 0.5] [--json FILE]

A face of FER+ is seen once a second for eight seconds, in front of a drawn room that moves behind it, and at some
second is another room. All rows see the same pictures. Each drops the same share of the background on average, so
that the number of tokens is the same:

    random                a fixed share, chosen by chance
    attention             a fixed share, that with the least attention
    random, adaptive      the share follows the content (`realtime/model/methods/selection.py`)
    attention, adaptive   both

The answer is the fast label of all eight pictures. Beside each row is its difference from `random` with a 95 %
interval, a paired bootstrap over the faces. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import LoadedModel, load
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.records import Question, UInt8, VideoFrame, Window
from train import metrics
from train.arrays import Floats
from train.command import run_command, tell_result
from train.evaluation.samples import wanted_faces
from train.evaluation.variants import Variant, VariedPerception
from train.nano import ferplus
from train.nano.recordings import FACE_BOUNDS, HEIGHT, WIDTH
from train.nano.synthetic_frames import backdrop, paste

SECONDS = 8
"Pictures of a session, one a second; as many as a window holds."
FASTEST_PX = 80.0
"How far a room moves in a second at most."


@dataclass(frozen=True)
class MovingAnswer:
    """One face's answer in one row."""

    probabilities: Mapping[str, float]
    tokens: Sequence[int]
    "Of each picture."
    dropped: Sequence[float]
    "The share of each picture's background."


def rows_of(drop: float) -> dict[str, Variant]:
    """The rows; the first is what the others are compared with."""
    return {
        "random": Variant(drop=drop),
        "attention": Variant(drop=drop, attention=True),
        "random, adaptive": Variant(drop=drop, adaptive=True),
        "attention, adaptive": Variant(drop=drop, attention=True, adaptive=True),
    }


def pictures(face_HW: UInt8, rng: np.random.Generator) -> Iterator[UInt8]:
    """(360, 640, 3) each: the face, moving a little, before a room that moves, and from some second on another room."""
    cut, across_px = int(rng.integers(1, SECONDS)), float(rng.uniform(-FASTEST_PX, FASTEST_PX))
    scale = float(rng.uniform(2.6, 5.5))
    light, contrast = float(rng.uniform(-0.18, 0.18)), float(rng.uniform(0.6, 1.15))
    centre = np.array([WIDTH * rng.uniform(0.35, 0.65), HEIGHT * rng.uniform(0.42, 0.58)])
    room = wide_room(rng)
    for second in range(SECONDS):
        if second == cut:
            room = wide_room(rng)
        left = round((room.shape[1] - WIDTH) / 2 + across_px * (second - SECONDS / 2))
        image = room[:, left : left + WIDTH].clone()
        x, y = (centre + rng.normal(0, 3, 2)).tolist()
        paste(image, face_HW, FACE_BOUNDS, scale, (x, y))
        lit = ((image - 0.5) * contrast + 0.5 + light).clamp(0, 1)
        picture: UInt8 = (lit[..., None].expand(-1, -1, 3) * 255).round().to(torch.uint8).numpy()
        yield picture


def wide_room(rng: np.random.Generator) -> torch.Tensor:
    """(360, 1920) in 0–1: three pictures wide, so that it can move."""
    room = F.interpolate(backdrop(rng)[None, None], size=(HEIGHT, 3 * WIDTH), mode="bicubic", align_corners=False)
    return room[0, 0].clamp(0, 1)


def answer(model: LoadedModel, variant: Variant, seen: Sequence[UInt8]) -> MovingAnswer | None:
    """What a session with this variant answers after the pictures; None where a picture's face was not found."""
    own, question = model.weights.config, Question(labels=model.labels)
    # The variant sets the model's settings in place.
    perception = VariedPerception(model, variant, question)
    try:
        frames = [perception.see(VideoFrame(float(at), picture)) for at, picture in enumerate(seen)]
        shown = [frame for frame in frames if frame is not None and frame.cues]
        if len(shown) < len(seen):
            return None
        window = Window(0, 0.0, float(SECONDS), tuple(shown), ())
        label = model.thinker.label_window(window, question).label
    finally:
        perception.close()
        model.weights.config = own
    counts = [frame.counts for frame in shown]
    return MovingAnswer(
        label.probabilities,
        [len(frame.tokens_ND) for frame in shown],
        [one.dropped / max(one.dropped + one.background, 1) for one in counts],
    )


def count(model: LoadedModel, data: Path, split: str, *, n_faces: int, drop: float) -> dict[str, Any]:
    """The figures of each row over the faces that every row found in every picture."""
    faces, variants = ferplus.load(data), rows_of(drop)
    chosen = np.sort(np.random.default_rng(0).permutation(wanted_faces(faces, split))[:n_faces])
    truths, told = list[str](), list[list[MovingAnswer]]()
    for row in tqdm(chosen, unit="face", disable=None):
        seen = list(pictures(faces.images_NHW[row], np.random.default_rng(int(row))))
        answers = [answer(model, variant, seen) for variant in variants.values()]
        found = [one for one in answers if one is not None]
        if len(found) == len(variants):
            truths.append(EXPERT_LABELS[int(faces.labels_N[row])])
            told.append(found)
    of_rows = [list(row) for row in zip(*told, strict=True)]
    return {
        "model": model.name,
        "split": split,
        "drop": drop,
        "n": len(truths),
        "rows": {name: figures(of_rows[0], row, truths) for name, row in zip(variants, of_rows, strict=True)},
    }


def figures(reference: Sequence[MovingAnswer], row: Sequence[MovingAnswer], truths: Sequence[str]) -> dict[str, Any]:
    """Of one row: right answers and their difference from the reference, what differs, and the tokens."""
    own_N, other_N = (np.array([likeliest(one) == truth for one, truth in zip(side, truths, strict=True)])
                      for side in (row, reference))  # fmt: skip
    difference_N: Floats = own_N.astype(np.float64) - other_N
    interval = metrics.bootstrap(difference_N)
    tokens, dropped = (np.array([getattr(one, name) for one in row], np.float64) for name in ("tokens", "dropped"))
    pairs = list(zip(row, reference, strict=True))
    return {
        "right": round(float(own_N.mean()), 4),
        "difference": round(float(difference_N.mean()), 4),
        "difference_95": [round(interval.low, 4), round(interval.high, 4)],
        "answers_that_differ": sum(likeliest(one) != likeliest(other) for one, other in pairs),
        "probability_moved": round(float(np.mean([moved(one, other) for one, other in pairs])), 4),
        "tokens_of_a_picture": round(float(tokens.mean()), 2),
        "dropped": round(float(dropped.mean()), 4),
        "dropped_least_and_most": [round(float(end), 3) for end in (dropped.min(), dropped.max())],
    }


def likeliest(one: MovingAnswer) -> str:
    return max(one.probabilities, key=lambda name: one.probabilities[name])


def moved(one: MovingAnswer, other: MovingAnswer) -> float:
    """How much of the probability lies elsewhere, 0 to 1."""
    return sum(abs(share - other.probabilities[name]) for name, share in one.probabilities.items()) / 2


def table(result: Mapping[str, Any]) -> list[str]:
    lines = [f"{'':<20}{'right':>8}{'difference':>26}{'differ':>8}{'moved':>8}{'tokens':>8}{'dropped':>9}"]
    for name, row in result["rows"].items():
        low, high = row["difference_95"]
        change = f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        lines.append(
            f"{name:<20}{row['right']:>8.3f}{change:>26}{row['answers_that_differ']:>8}{row['probability_moved']:>8.3f}"
            f"{row['tokens_of_a_picture']:>8.1f}{row['dropped']:>9.3f}"
        )
    return lines


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--adapter", type=Path, help="of train.lora, on the model")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--faces", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--drop", type=float, default=0.5, help="share of the background (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.model, args.adapter)
    model = load(args.model, adapter=args.adapter, engine="torch", threads=1)
    result = count(model, args.data, args.split, n_faces=args.faces, drop=args.drop)
    tell_result(result, args.json, table(result))


if __name__ == "__main__":
    run_command(main, "train.evaluation.moving")
