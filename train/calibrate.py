"""Make nano's probabilities mean what they say: fitted on validation people, none of whom trained anything.

    python -m train.calibrate --data DATA --work WORK [--model realtime/nano] [--windows 600]

Draws windows of validation faces and voices in every modality state, answers them with the packaged model, and fits by
likelihood of the observers' vote: for the fast label of each state a temperature, and a bias for each label; for face
and voice together what each alone counts beside both; then power and bonus that join it with the label the chain
arrived at. Writes WORK/calibration.json (for `train.package`), prints the error before and after.

Rare emotions are drawn more often than they occur. A face alone counts for as much as makes up for that; of pairs it
is not known how often they occur, and the rarer an emotion among those drawn, the more it counts, by the root.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from realtime.loading import LoadedModel, load
from realtime.model.config import Calibration
from realtime.model.experts import EXPERT_LABELS
from realtime.reason import calibrate
from realtime.reason.chain import read_answer
from realtime.reason.prompt import Ask
from realtime.records import Label
from train.batch import chains
from train.corpus import TextEncoder
from train.layout import Layout
from train.material import Material
from train.metrics import calibration_error

UNSURE_BELOW = 0.4
"Calibrated top probability under which a verdict is told as unsure: with seven labels, less likely right than wrong."
BIAS_RIDGE = 0.02
"On the sum of squared biases, beside a mean log-likelihood: a few hundred windows should not bend a label far."
BATCH = 24


@dataclass(frozen=True)
class Answered:
    state: str
    log_p: np.ndarray
    "(7,) or, with both modalities, (3, 7): uncalibrated log-probabilities of the fast label, of face and voice alone."
    chain: int
    "Index of the chain's label, −1 for none."
    target: np.ndarray
    "(7,) vote shares."
    drawn_p: float
    "How likely this face was drawn against the others; 1 without a face."


def collect(model: LoadedModel, material: Material, layout: Layout, n: int) -> list[Answered]:
    ask, answered = Ask(labels=model.labels), []
    face_p = dict(zip(material.corpus.face_rows.tolist(), material.corpus.face_p.tolist(), strict=True))
    for start in range(0, n, BATCH):
        rng = np.random.default_rng(50_000 + start)
        examples = [e for e in (material.draw(rng) for _ in range(BATCH)) if e.seen.verdict is not None]
        labels, sections = chains(model, [layout.window(material, e, rng) for e in examples], ask)
        for example, label, chain in zip(examples, labels, sections, strict=True):
            read = read_answer(chain["answer"], ask.labels).label
            state = "both" if example.n_faces and example.voice_row >= 0 else "face" if example.n_faces else "voice"
            assert example.seen.verdict is not None
            answered.append(
                Answered(
                    state,
                    uncalibrated(label),
                    EXPERT_LABELS.index(read) if read in EXPERT_LABELS else -1,
                    example.seen.verdict,
                    face_p[example.face_rows[0]] if example.n_faces else 1.0,
                )
            )
        print(f"{len(answered)} windows answered", flush=True)
    return answered


def uncalibrated(label: Label) -> np.ndarray:
    parts = [label.probabilities, *((label.conflict.face, label.conflict.voice) if label.conflict else ())]
    rows = np.log(np.maximum([[part[name] for name in EXPERT_LABELS] for part in parts], 1e-9))
    return rows if label.conflict else rows[0]


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def majority_nll(scores: np.ndarray, target: np.ndarray) -> float:
    """Mean negative log-likelihood of the majority vote."""
    return float(-log_softmax(scores)[np.arange(len(target)), target.argmax(1)].mean())


def fit_state(log_p_NB7: np.ndarray, target_N: np.ndarray, weight_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (B,) of the branches and (7,) biases of the most likely calibration."""
    scores, target = torch.from_numpy(log_p_NB7), torch.from_numpy(target_N)
    weight = torch.from_numpy(weight_N / weight_N.sum())
    counts = torch.full((scores.shape[1],), 1 / scores.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(scores.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([counts, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        nll = F.cross_entropy((scores * counts[:, None]).sum(1) + bias, target, reduction="none")
        loss = (weight * nll).sum() + BIAS_RIDGE * bias.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return counts.detach().numpy(), bias.detach().numpy()


def fit(answered: list[Answered]) -> Calibration:
    fast: dict[str, float] = {}
    biases: dict[str, dict[str, float]] = {}
    alone: dict[str, float] = {}
    for state in ("both", "face", "voice"):
        rows = [a for a in answered if a.state == state]
        if len(rows) < 30:
            continue
        target = np.stack([a.target for a in rows]).argmax(1)
        weight = {
            "both": np.bincount(target, minlength=len(EXPERT_LABELS)).clip(1)[target] ** -0.5,
            "face": 1 / np.array([a.drawn_p for a in rows]),
            "voice": np.ones(len(rows)),
        }[state]
        counts, bias = fit_state(np.stack([np.atleast_2d(a.log_p) for a in rows]), target, weight)
        if counts[0] <= 0:
            raise SystemExit(
                f"No calibration was found for {state}: its label does not count. Were the labels trained?"
            )
        fast[state] = round(1 / float(counts[0]), 3)
        biases[state] = dict(zip(EXPERT_LABELS, (round(float(value), 3) for value in bias), strict=True))
        alone |= dict(zip(("face", "voice"), (round(float(value), 3) for value in counts[1:]), strict=False))
    fitted = Calibration(fast, biases, alone)
    log_p, target = log_softmax(calibrated(answered, fitted)), np.stack([a.target for a in answered])
    said = np.stack(
        [np.eye(len(EXPERT_LABELS))[a.chain] if a.chain >= 0 else np.zeros(len(EXPERT_LABELS)) for a in answered]
    )
    pairs = [(power, bonus) for power in np.linspace(0.3, 1.3, 21) for bonus in np.linspace(0, 3, 31)]
    power, bonus = min(pairs, key=lambda pair: majority_nll(pair[0] * log_p + pair[1] * said, target))
    chain = {"power": round(float(power), 3), "bonus": round(float(bonus), 3)}
    return Calibration(fast, biases, alone, chain, UNSURE_BELOW)


def calibrated(answered: list[Answered], calibration: Calibration) -> np.ndarray:
    """(N, 7) log-probabilities of the fast labels as they are told."""
    told = []
    for a in answered:
        scores = [dict(zip(EXPERT_LABELS, row, strict=True)) for row in np.atleast_2d(a.log_p).tolist()]
        alone = dict(zip(("face", "voice"), scores[1:], strict=False))
        told.append(list(calibrate.fast(scores[0], a.state, calibration, alone=alone).values()))
    return np.log(np.maximum(told, 1e-9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="nano", help="packaged without calibration")
    parser.add_argument("--windows", type=int, default=600)
    args = parser.parse_args()
    model = load(args.model, engine="torch")
    material = Material(args.data, args.work, "valid", n_entries=500, towers=model.weights)
    layout = Layout(model.weights, TextEncoder.read(args.work))
    answered = collect(model, material, layout, args.windows)
    calibration = fit(answered)
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
    print(f"fast label right {labels}, chain {agreed:.3f}; {json.dumps(values)}")


if __name__ == "__main__":
    main()
