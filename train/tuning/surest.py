"""Count how often a model's surest labels are right on validation people, and bound what it tells by that.

    realtime train tuning.surest --model nano --data DATA --out calibration.json [--expert FILE]

A confidence of 99.7 % says that one label in 300 is wrong, and a few hundred windows cannot show that. So validation
windows are ordered by their confidence: those with a face, with a voice, with both, and with both that disagree. The
bound of each kind is the largest share of its surest windows that was right, of a hundred or more. One right and one
wrong window are added to them (Laplace's rule of succession), so that no bound is 1. OUT is the model's calibration
with these bounds (`at_most`), for `emothinker.json`. Labels stay what they are.

The packaged voice expert was fitted on validation speakers too. `--expert` names one that was not
(WORK/voice_expert_calibration.pt of `train/runs/nano.sh`). Without it the bounds of voices may be a little too high.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import load
from realtime.errors import BadSettings
from realtime.outputs import refuse_input
from realtime.reason import calibrate
from realtime.reason.prompt import Question
from realtime.records import DISAGREE_BITS
from train.arrays import Bools, Floats
from train.command import run_command, write_json
from train.tuning.calibrate import seen_of, state_of, take_expert

LEAST = 100
"Windows whose share is counted at least. Fewer would let chance set a bound."


def bound(confidence_N: Floats, right_N: Bools) -> float | None:
    """The largest share of the surest windows that was right, rounded down to a thousandth.

    None with fewer than `LEAST` windows, and where no such share is above a half: those labels need no bound, but
    another calibration.
    """
    if len(confidence_N) < LEAST:
        return None
    surest_first = np.argsort(-confidence_N, kind="stable")
    n_right = np.cumsum(right_N[surest_first])
    shares = (n_right + 1) / (np.arange(1, len(n_right) + 1) + 2)
    largest = math.floor(1000 * float(shares[LEAST - 1 :].max())) / 1000
    return largest if largest > 0.5 else None


def bounds(told: Sequence[tuple[str, float, bool]]) -> dict[str, float]:
    """By kind, from (kind, confidence, whether it was right) of each window. Kinds without a bound are left out."""
    kinds: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for kind, confidence, right in told:
        kinds[kind].append((confidence, right))
    found = {}
    for kind, rows in sorted(kinds.items()):
        confidence_N = np.array([confidence for confidence, _ in rows], np.float64)
        right_N = np.array([right for _, right in rows], np.bool_)
        largest = bound(confidence_N, right_N)
        above = 0 if largest is None else int((confidence_N > largest).sum())
        note = f"bound {largest}, {above} were told surer" if largest else "no bound"
        print(f"{kind}: {len(rows)} windows, {right_N.mean():.3f} right; {note}", flush=True)
        if largest is not None:
            found[kind] = largest
    return found


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a calibrated model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--expert", type=Path, help="a voice expert that does not know the validation speakers")
    parser.add_argument("--faces", type=int, default=3600, help="default: %(default)s, which is all of them")
    parser.add_argument(
        "--each", type=int, default=80, help="sentences and pairs of each speaker (default: %(default)s)"
    )
    args = parser.parse_args()
    refuse_input(args.out, args.data, args.expert)
    calibrated = load(args.model, engine="torch").weights.config.emotion.calibration
    if not calibrated.fast:
        raise BadSettings(f"{args.model} has no calibration.", "Run `realtime train tuning.calibrate` first.")
    # What is told now may be bounded already.
    model = load(args.model, engine="torch", calibration=replace(calibrated, at_most={}))
    if args.expert is not None:
        take_expert(model, args.expert)
    question, told = Question(labels=model.labels), []
    for truth, window in seen_of(model, args.data, faces=args.faces, each=args.each):
        label = model.thinker.label_window(window, question).label
        best = max(label.probabilities, key=lambda name: label.probabilities[name])
        apart = label.conflict is not None and label.conflict.score >= DISAGREE_BITS
        told.append((calibrate.APART if apart else state_of(window), label.probabilities[best], best == truth))
    bounded = replace(calibrated, at_most=bounds(told))
    write_json(args.out, asdict(bounded))
    print(json.dumps(asdict(bounded)))


if __name__ == "__main__":
    run_command(main, "train.tuning.surest")
