"""Calibrate nano's probabilities on validation people, none of whom was trained on.

    realtime train nano.calibrate --data DATA --work WORK [--model realtime/nano] [--windows 600]

The stage draws windows of validation faces and voices in every modality state and answers them with the packaged
model. It also answers validation people as perception gives them live. Then it maximises
the likelihood of the observers' majority vote (`fit_calibration.py`): a temperature and a bias per label for the fast
label of each state, and the weight of face alone and of voice alone where there are both. A last temperature for each
state, and what the chain adds, are fitted on the live windows alone. The stage writes WORK/calibration.json
(for `train.nano.package`) and prints the calibration error before and after.

Rare emotions are drawn more often than they occur. Windows with a face alone are weighted to make up for that. How
often pairs occur is not known, so pairs are weighted by one over the root of their emotion's frequency in the draw.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import LoadedModel, load
from realtime.model.experts import EXPERT_LABELS
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from realtime.reason import calibrate
from realtime.reason.branches import n_faces
from realtime.reason.chain import read_answer
from realtime.reason.prompt import Question
from train.arrays import Floats
from train.command import run_command
from train.evaluation.answering import ModelUnderTest, perceive
from train.evaluation.batch import ChainAnswer, chains
from train.evaluation.samples import SAMPLES
from train.metrics import calibration_error
from train.nano.fit_calibration import (
    AnsweredWindow,
    calibrated,
    fit,
    fit_chain,
    log_softmax,
    matched_to_live,
    uncalibrated,
)
from train.nano.sequences import NanoLayout
from train.nano.thinker_inputs import ThinkerInputs

BATCH = 24
LIVE = {"face": ("ferplus",), "voice": ("voices",), "both": ("agree", "conflict")}
"Modality state → the benchmarks whose validation samples have it."
LIVE_MOST = {"ferplus": 600, "voices": 80, "agree": 60, "conflict": 60}
"How many samples of a benchmark are answered; of voices and pairs, how many of each speaker."


def answer_drawn(model: LoadedModel, inputs: ThinkerInputs, layout: NanoLayout, n: int) -> list[AnsweredWindow]:
    """Fast labels and chains of `n` drawn windows."""
    question, answered = Question(labels=model.labels), []
    # The mean weight over the draw is 1.
    drawn_often = inputs.sampler.face_p * len(inputs.sampler.face_rows)
    counts = dict(zip(inputs.sampler.face_rows.tolist(), (1 / drawn_often).tolist(), strict=True))
    for start in range(0, n, BATCH):
        rng = np.random.default_rng(50_000 + start)
        windows = [e for e in (inputs.draw(rng) for _ in range(BATCH)) if e.seen.shares is not None]
        answers = chains(model, [layout.served_window(inputs, e, rng) for e in windows], question)
        for drawn, each in zip(windows, answers, strict=True):
            state = "both" if drawn.n_faces and drawn.voice_row >= 0 else "face" if drawn.n_faces else "voice"
            assert drawn.seen.shares is not None
            often = counts[drawn.face_rows[0]] if drawn.n_faces else 1.0
            answered.append(of_answer(state, each, drawn.seen.shares, often))
        print(f"{len(answered)} windows answered", flush=True)
    return answered


def answer_live(model: LoadedModel, data: Path) -> list[AnsweredWindow]:
    """Fast labels and chains of validation pictures and sentences that went through serving's perception.

    Drawn windows are many and of every kind, but easier than live ones: most of their earlier sentences were acted like
    the last. A calibration fitted on them alone is too sure of live windows.
    """
    asked, answered = ModelUnderTest(model.name, labels=tuple(model.labels)), []
    for state, benchmarks in LIVE.items():
        for benchmark in benchmarks:
            samples = list(SAMPLES[benchmark](data, "valid", LIVE_MOST.get(benchmark)))
            seen = [
                (sample, window)
                for sample, window in perceive(model, asked, samples, frozenset())[0]
                # Where the face was not found the state is another.
                if calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech)) == state
            ]
            for first in range(0, len(seen), BATCH):
                part = seen[first : first + BATCH]
                answers = chains(model, [window for _, window in part], asked.question_for(model))
                answered += [
                    of_answer(state, each, np.eye(len(EXPERT_LABELS))[EXPERT_LABELS.index(sample.truth)])
                    for (sample, _), each in zip(part, answers, strict=True)
                ]
            print(f"{len(answered)} live windows answered", flush=True)
    return answered


def of_answer(state: str, answer: ChainAnswer, target: Floats, counts: float = 1.0) -> AnsweredWindow:
    """What the calibration is fitted to, of one answer and what its observers say."""
    read = read_answer(answer.sections["answer"], EXPERT_LABELS).label
    return AnsweredWindow(
        state,
        uncalibrated(answer.label),
        EXPERT_LABELS.index(read) if read in EXPERT_LABELS else -1,
        target,
        counts,
        np.array([answer.judged[name] for name in EXPERT_LABELS]) if answer.judged else None,
    )


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="nano", help="packaged without calibration")
    parser.add_argument("--windows", type=int, default=600)
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    model = load(args.model, engine="torch")
    inputs = ThinkerInputs(args.data, args.work, "valid", n_entries=500, towers=model.weights)
    layout = NanoLayout(model.weights, Vocabulary.read(args.work))
    answered = answer_drawn(model, inputs, layout, args.windows)
    # The packaged expert knows the validation speakers; this one does not (`train.nano.voice_expert`).
    expert = model.weights.emotion.voice_expert
    assert expert is not None
    expert.load_state_dict(torch.load(args.work / "voice_expert_calibration.pt", weights_only=True))
    live = answer_live(model, args.data)
    calibration, found = matched_to_live(fit([*answered, *live]), live)
    calibration = replace(calibration, chain=fit_chain(live, calibration))
    target = np.stack([a.target for a in answered]).argmax(1)
    before = np.exp(np.stack([np.atleast_2d(a.log_p)[0] for a in answered]))
    after = np.exp(log_softmax(calibrated(answered, calibration)))
    values = asdict(calibration)
    (args.work / "calibration.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(
        f"{len(answered)} windows: ECE {calibration_error(before, target):.3f} → {calibration_error(after, target):.3f}"
    )
    agreed = np.mean([a.chain == t for a, t in zip(answered, target, strict=True)])
    labels = f"{np.mean(before.argmax(1) == target):.3f} → {np.mean(after.argmax(1) == target):.3f}"
    print("as they come live: " + ", ".join(f"{state} {each}" for state, each in found.items()))
    print(f"fast label right {labels}, chain {agreed:.3f}; {json.dumps(values)}")


if __name__ == "__main__":
    run_command(main, "train.nano.calibrate")
