"""Calibrate a tuned model on validation people, none of whom was trained on.

    realtime train tuning.calibrate --model FOLDER --data DATA --out calibration.json [--expert FILE] [--label auto]
    realtime train tuning.calibrate --model SMALL --data DATA --out calibration.json --only-words
    realtime train compose --model NEW --adapter OUT --calibration calibration.json --out SMALL

Validation pictures and sentences go through serving's perception, alone and in pairs. Fitted are

- of the model's own fast label, a temperature and a bias for each label and modality state, and the weight of face
  alone and of voice alone where there are both (`nano/fit_calibration.py`);
- how much what it judges after its texts counts beside the label that it is served with (`--label`: its own, or
  nano's), without words and, where it reads them, with sentences of GoEmotions as if they had been said
  (`evaluation/said.py`). No argument is written for that;
- with words, the temperature and the bias of what these say alone, and how much they decide where face and voice show
  nothing.

The packaged voice expert was fitted on validation speakers too. `--expert` names one that was not
(WORK/voice_expert_calibration.pt of `train/runs/nano.sh`). Without it the probabilities of voices become a little too
high.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import load
from realtime.engine.pair import PairedModel
from realtime.errors import BadSettings
from realtime.model.config import Calibration
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.reason import calibrate
from realtime.reason.branches import n_faces
from realtime.reason.prompt import Question
from realtime.records import Window
from realtime.words.expert import WordsExpert
from train.arrays import Floats, Int64
from train.command import run_command, write_json
from train.evaluation.answering import ModelUnderTest, perceive
from train.evaluation.judged import JudgedWindow, judgements
from train.evaluation.questions import one_hot
from train.evaluation.said import spoken, with_words
from train.evaluation.samples import SAMPLES
from train.evaluation.served import Served, add_label_argument, load_served, writer_of
from train.metrics import calibration_error
from train.nano.fit_calibration import AnsweredWindow, calibrated, fit, fit_state, log_softmax, uncalibrated
from train.words.fit import read

ORDER = 5
"Seed of the order in which windows with words are taken."
LEAST = 0.02
"Weight of a label of both that is worth nothing, so that it still has a temperature."
BENCHMARKS = ("ferplus", "voices", "agree", "conflict")


def seen_of(model: Served, data: Path, *, faces: int, each: int) -> list[tuple[str, Window]]:
    """Windows of validation samples with their truth: so many faces, so many sentences and pairs of each speaker."""
    asked, found = ModelUnderTest(model.name, labels=tuple(model.labels)), []
    for benchmark in BENCHMARKS:
        samples = list(SAMPLES[benchmark](data, "valid", faces if benchmark == "ferplus" else each))
        seen, _ = perceive(model, asked, samples, frozenset())
        found += [(sample.truth, window) for sample, window in seen if state_of(window) != "none"]
        print(f"{benchmark}: {len(seen)} of {len(samples)} windows", flush=True)
    return found


def state_of(window: Window) -> str:
    return calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech))


def labelled(model: Served, seen: Sequence[tuple[str, Window]]) -> list[AnsweredWindow]:
    """The writer's own fast labels."""
    writer, question = writer_of(model).thinker, Question(labels=model.labels)
    found = []
    for truth, window in tqdm(seen, unit="window", desc="own labels", disable=None):
        label = writer.read_plainly(window, question).label
        found.append(
            AnsweredWindow(state_of(window), uncalibrated(label), -1, one_hot(EXPERT_LABELS.index(truth)), 1.0)
        )
    return found


def fit_judged(found: Sequence[JudgedWindow]) -> dict[str, float]:
    """The likeliest weights of the served label and of the judgement; empty for chains that judge nothing.

    With words, they are fitted together with what these decide where face and voice show nothing (`decided`).
    """
    if not found or not all(each.judged for each in found):
        return {}

    def rows(shares: Sequence[Mapping[str, float]]) -> Floats:
        of_labels: Floats = np.array([[each[name] for name in EXPERT_LABELS] for each in shares])
        return of_labels

    fast = np.log(np.maximum(rows([each.fast for each in found]), 1e-9))
    parts = np.stack([fast, log_softmax(rows([each.judged for each in found]))], 1)
    target = np.array([EXPERT_LABELS.index(each.truth) for each in found])
    if all(each.said is None for each in found):
        weights, _ = fit_state(parts, target, np.ones(len(found)), biased=False)
        return dict(zip(("fast", "judged"), (round(max(0.0, float(weight)), 3) for weight in weights), strict=True))
    neutral = np.eye(len(EXPERT_LABELS))[EXPERT_LABELS.index(calibrate.NEUTRAL)]
    # Words that nobody knows leave neutral what is neutral.
    said = np.array([[each.said.get(name, 0.0) for name in EXPERT_LABELS] if each.said else neutral for each in found])
    return fit_with_words(parts, said, target)


def fit_with_words(parts_NB7: Floats, said_N7: Floats, target_N: Int64) -> dict[str, float]:
    """The likeliest weights where words decide: of the two log-distributions, and of `decide`, from 0 to 1."""
    parts, said, target = torch.from_numpy(parts_NB7), torch.from_numpy(said_N7), torch.from_numpy(target_N)
    neutral = EXPERT_LABELS.index(calibrate.NEUTRAL)
    weights = torch.full((2,), 0.5, dtype=torch.float64, requires_grad=True)
    share = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, share], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        shares = (parts * weights.clamp(min=0)[:, None]).sum(1).softmax(-1)
        moved = share.sigmoid() * shares[:, neutral : neutral + 1]
        after = shares + moved * (said - F.one_hot(torch.tensor(neutral), said.shape[1]))
        loss: torch.Tensor = F.nll_loss(after.clamp(min=1e-9).log(), target)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fitted = [*weights.detach().clamp(min=0).tolist(), float(share.detach().sigmoid())]
    return dict(zip(("fast", "judged", "decide"), (round(value, 3) for value in fitted), strict=True))


def fit_said(data: Path, expert: WordsExpert) -> tuple[float, dict[str, float]]:
    """Temperature and bias of what the words alone say, on GoEmotions' validation lines.

    Comments are happy eight times as often as they are sad, and what is said in a session need not be. So the six
    emotions count alike, and neutral lines as much as all of them: words that say nothing must not decide.
    """
    lines = read(data / "words", "dev")
    told = [
        (np.log(np.maximum(list(shares.values()), 1e-9)), int(labels_7.argmax()))
        for text, labels_7 in zip(lines.texts, lines.labels_T7, strict=True)
        if labels_7.sum() == 1 and (shares := expert.probabilities(text))
    ]
    target = np.array([label for _, label in told])
    n_of = np.bincount(target, minlength=len(EXPERT_LABELS)).clip(1)
    neutral = EXPERT_LABELS.index(calibrate.NEUTRAL)
    each = 1 / n_of
    each[neutral] *= len(EXPERT_LABELS) - 1
    # Thousands of lines need no ridge.
    counts, bias = fit_state(np.stack([log_p for log_p, _ in told])[:, None], target, each[target], ridge=0.0)
    return round(1 / float(counts[0]), 3), dict(
        zip(EXPERT_LABELS, (round(float(value), 3) for value in bias), strict=True)
    )


def worth(found: Sequence[JudgedWindow], weights: Mapping[str, float]) -> tuple[float, float]:
    """The share of labels that are right before the texts, and after them with these weights."""
    calibration = Calibration(chain=weights, words=weights)
    sides = (
        [each.fast for each in found],
        [calibrate.joined(each.fast, None, calibration, judged=each.judged, said=each.said) for each in found],
    )
    before, after = (
        float(np.mean([max(p, key=lambda name: p[name]) == each.truth for p, each in zip(side, found, strict=True)]))
        for side in sides
    )
    return before, after


def kept_weights(what: str, found: Sequence[JudgedWindow]) -> dict[str, float]:
    """The weights of what was judged; empty, so that it counts for nothing, where no more labels become right by it.

    It would not be right more often about people that the weights were not fitted to.
    """
    weights = fit_judged(found)
    if not weights:
        return {}
    before, after = worth(found, weights)
    kept = after > before
    print(
        f"{what}: {len(found)} windows, right {before:.3f} → {after:.3f} (on the same people) with {weights}; "
        f"{'kept' if kept else 'what is judged counts for nothing'}",
        flush=True,
    )
    return weights if kept else {}


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder of train.compose, without calibration")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--expert", type=Path, help="a voice expert that does not know the validation speakers")
    add_label_argument(parser)
    parser.add_argument("--faces", type=int, default=240, help="default: %(default)s")
    parser.add_argument(
        "--each", type=int, default=16, help="sentences and pairs of each speaker (default: %(default)s)"
    )
    parser.add_argument(
        "--chains", type=int, default=240, help="windows of each kind whose texts are written (default: %(default)s)"
    )
    parser.add_argument(
        "--only-words", action="store_true", help="fit what concerns words alone; the rest stays the model's own"
    )
    args = parser.parse_args()
    refuse_input(args.out, args.data, args.expert)
    model = load_served(args.model, label=args.label)
    if args.only_words:
        own = writer_of(model).weights.config.emotion.calibration
        fitted = with_said(model, args.data, own, n=args.chains, each=args.each)
        write_json(args.out, asdict(fitted))
        print(json.dumps(asdict(fitted)))
        return
    if writer_of(model).weights.config.emotion.calibration.fast:
        raise BadSettings(f"{args.model} is calibrated already.", "Name the folder that was composed without.")
    if args.expert is not None:
        take_expert(model, args.expert)
    seen = seen_of(model, args.data, faces=args.faces, each=args.each)
    answered = labelled(model, seen)
    fitted = fit(answered, least=LEAST)
    # What follows takes as long again, and is not lost with it.
    write_json(args.out, asdict(fitted))
    for state in fitted.fast:
        rows = [one for one in answered if one.state == state]
        target = np.stack([one.target for one in rows]).argmax(1)
        before = np.exp(np.stack([np.atleast_2d(one.log_p)[0] for one in rows]))
        after = np.exp(log_softmax(calibrated(rows, fitted)))
        right = f"{np.mean(before.argmax(1) == target):.3f} → {np.mean(after.argmax(1) == target):.3f}"
        ece = f"{calibration_error(before, target):.3f} → {calibration_error(after, target):.3f}"
        print(f"{state}: {len(rows)} windows, right {right}, calibration error {ece} (on the same people)", flush=True)
    if not isinstance(model, PairedModel):
        # Its judgement counts beside its calibrated label.
        model = load(args.model, engine="torch", calibration=fitted)
        if args.expert is not None:
            take_expert(model, args.expert)
    fitted = with_judgement(model, args.data, seen, fitted, n=args.chains, each=args.each)
    write_json(args.out, asdict(fitted))
    print(json.dumps(asdict(fitted)))


def take_expert(model: Served, file: Path) -> None:
    """Put another voice expert into every model that measures."""
    experts = torch.load(file, weights_only=True)
    for each in (model.labeller, model.writer) if isinstance(model, PairedModel) else (model,):
        for weights in (each.weights, each.instruments):
            if weights is not None and weights.emotion.voice_expert is not None:
                weights.emotion.voice_expert.load_state_dict(experts)


def with_judgement(
    model: Served, data: Path, seen: Sequence[tuple[str, Window]], fitted: Calibration, *, n: int, each: int
) -> Calibration:
    """The calibration with the weights of what is judged after the texts, without words and with them."""
    rng = np.random.default_rng(0)
    some = [seen[at] for at in sorted(rng.permutation(len(seen))[:n])]
    fitted = replace(fitted, chain=kept_weights("after the texts", judgements(model, some)))
    return with_said(model, data, fitted, n=n, each=each) if writer_of(model).words else fitted


def with_said(model: Served, data: Path, fitted: Calibration, *, n: int, each: int) -> Calibration:
    """The calibration with what the words alone say, and the weights of what is judged after the texts with words."""
    expert, rng = WordsExpert.load(), np.random.default_rng(0)
    temperature, bias = fit_said(data, expert)
    fast, biases = {**fitted.fast, calibrate.WORDS: temperature}, {**fitted.bias, calibrate.WORDS: bias}
    fitted = replace(fitted, fast=fast, bias=biases)
    every = list(spoken(model, data, "valid", each, rng))
    # Of every speaker, where there are more than are wanted.
    windows = [every[at] for at in np.random.default_rng(ORDER).permutation(len(every))[:n]]
    found = judgements(model, [(one.truth, with_words(model, one)) for one in windows])
    # The model was loaded with another calibration of its words, or with none.
    told = [expert.probabilities(one.text) for one in windows]
    read_so = [
        replace(one, said=calibrate.of_words(shares, fitted) if shares else {})
        for one, shares in zip(found, told, strict=True)
    ]
    return replace(fitted, words=kept_weights("with words", read_so))


if __name__ == "__main__":
    run_command(main, "train.tuning.calibrate")
