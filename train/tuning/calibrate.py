"""Calibrate a tuned model's labels on validation people, none of whom was trained on.

    python -m train.tuning.calibrate --model FOLDER --data DATA --out calibration.json [--expert FILE]
    python -m train.compose --model NEW --adapter OUT --calibration calibration.json --out SMALL

Validation pictures and sentences go through serving's perception, alone and in pairs, and the model's fast label is
read. A temperature and a bias for each label are fitted for each modality state, and the weight of face alone and of
voice alone where there are both (`nano/fit_calibration.py`). No chain is written: what one adds is not calibrated, and
the answer has the label's probabilities.

The packaged voice expert was fitted on validation speakers too. `--expert` names one that was not
(WORK/voice_expert_calibration.pt of `train/runs/nano.sh`). Without it the probabilities of voices become a little too
high.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from realtime.engine.loading import LoadedModel, load
from realtime.errors import BadSettings
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.reason import calibrate
from realtime.reason.branches import n_faces
from realtime.reason.prompt import Question
from train.command import run_command
from train.evaluation.answering import ModelUnderTest, perceive
from train.evaluation.samples import SAMPLES
from train.metrics import calibration_error
from train.nano.fit_calibration import AnsweredWindow, calibrated, fit, log_softmax, uncalibrated
from train.tuning.run import write_json

BENCHMARKS = ("ferplus", "voices", "agree", "conflict")


def labelled(model: LoadedModel, data: Path, *, faces: int, each: int) -> list[AnsweredWindow]:
    """Fast labels of validation samples: so many faces, and so many sentences and pairs of each speaker."""
    asked, question = ModelUnderTest(model.name, labels=tuple(model.labels)), Question(labels=model.labels)
    found = []
    for benchmark in BENCHMARKS:
        samples = list(SAMPLES[benchmark](data, "valid", faces if benchmark == "ferplus" else each))
        seen, _ = perceive(model, asked, samples, frozenset())
        for sample, window in tqdm(seen, unit="window", desc=benchmark, disable=None):
            state = calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech))
            label = model.thinker.read_plainly(window, question).label
            target = np.eye(len(EXPERT_LABELS))[EXPERT_LABELS.index(sample.truth)]
            found.append(AnsweredWindow(state, uncalibrated(label), -1, target, 1.0))
        print(f"{benchmark}: {len(seen)} of {len(samples)} windows", flush=True)
    return [one for one in found if one.state != "none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder of train.compose, without calibration")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--expert", type=Path, help="a voice expert that does not know the validation speakers")
    parser.add_argument("--faces", type=int, default=240, help="default: %(default)s")
    parser.add_argument(
        "--each", type=int, default=16, help="sentences and pairs of each speaker (default: %(default)s)"
    )
    args = parser.parse_args()
    refuse_input(args.out, args.data, args.expert)
    model = load(args.model, engine="torch")
    if model.weights.config.emotion.calibration.fast:
        raise BadSettings(f"{args.model} is calibrated already.", "Name the folder that was composed without.")
    expert = model.weights.emotion.voice_expert
    if args.expert is not None and expert is not None:
        expert.load_state_dict(torch.load(args.expert, weights_only=True))
    answered = labelled(model, args.data, faces=args.faces, each=args.each)
    fitted = fit(answered)
    write_json(args.out, asdict(fitted))
    for state in fitted.fast:
        rows = [one for one in answered if one.state == state]
        target = np.stack([one.target for one in rows]).argmax(1)
        before = np.exp(np.stack([np.atleast_2d(one.log_p)[0] for one in rows]))
        after = np.exp(log_softmax(calibrated(rows, fitted)))
        right = f"{np.mean(before.argmax(1) == target):.3f} → {np.mean(after.argmax(1) == target):.3f}"
        ece = f"{calibration_error(before, target):.3f} → {calibration_error(after, target):.3f}"
        print(f"{state}: {len(rows)} windows, right {right}, calibration error {ece} (on the same people)")
    print(json.dumps(asdict(fitted)))


if __name__ == "__main__":
    run_command(main, "train.tuning.calibrate")
