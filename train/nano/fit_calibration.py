"""Fit the numbers of a calibration to answered windows. `train.nano.calibrate` collects them and writes the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from realtime.model.config import Calibration
from realtime.model.experts import EXPERT_LABELS
from realtime.reason import calibrate
from realtime.records import Label
from train.arrays import Floats, Int64
from train.metrics import calibration_error

UNSURE_BELOW = 0.4
"Threshold of the calibrated top probability; below it the outcome is unsure. It is then more often wrong than right."
BIAS_RIDGE = 0.02
"Penalty on the sum of squared biases, beside a mean log-likelihood: a few hundred windows should not move a label far."


@dataclass(frozen=True)
class AnsweredWindow:
    """The scores of one window before calibration, and what its observers say."""

    state: str
    log_p: Floats
    "(7,) log-probabilities of the fast label, uncalibrated. With both modalities (3, 7): of both, of face, of voice."
    chain: int
    "Index of the chain's label, −1 for none."
    target: Floats
    "(7,) vote shares."
    counts: float
    "Weight of a window with a face alone: how much more often such faces occur than they are drawn."
    judged: Floats | None = None
    "(7,) log-probabilities after the texts of an evidence-first chain."


def uncalibrated(label: Label) -> Floats:
    """(7,) or (3, 7) log-probabilities, as in `AnsweredWindow.log_p`."""
    parts = [label.probabilities, *((label.conflict.face, label.conflict.voice) if label.conflict else ())]
    rows: Floats = np.log(np.maximum([[part[name] for name in EXPERT_LABELS] for part in parts], 1e-9))
    return rows if label.conflict else rows[0]


def log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def majority_nll(scores: Floats, target: Floats) -> float:
    """Mean negative log-likelihood of the majority vote."""
    return float(-log_softmax(scores)[np.arange(len(target)), target.argmax(1)].mean())


def fit_state(
    log_p_NB7: Floats, target_N: Int64, weight_N: Floats, *, biased: bool = True, ridge: float = BIAS_RIDGE
) -> tuple[Floats, Floats]:
    """Maximum-likelihood weights (B,) of the label branches, and biases (7,), which are 0 unless `biased`."""
    scores, target = torch.from_numpy(log_p_NB7), torch.from_numpy(target_N)
    weight = torch.from_numpy(weight_N / weight_N.sum())
    counts = torch.full((scores.shape[1],), 1 / scores.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(scores.shape[2], dtype=torch.float64, requires_grad=biased)
    optimizer = torch.optim.LBFGS([counts, bias] if biased else [counts], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        nll = F.cross_entropy((scores * counts[:, None]).sum(1) + bias, target, reduction="none")
        loss = (weight * nll).sum() + ridge * bias.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return counts.detach().numpy(), bias.detach().numpy()


def fit(answered: list[AnsweredWindow], *, least: float | None = None) -> Calibration:
    """The calibration of every state with at least 30 windows.

    A fast label of both modalities may be worth nothing beside those of each alone. With `least` it then gets that
    weight, a few hundredths; without, SystemExit is raised.
    """
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
            "face": np.array([a.counts for a in rows]),
            "voice": np.ones(len(rows)),
        }[state]
        counts, bias = fit_state(np.stack([np.atleast_2d(a.log_p) for a in rows]), target, weight)
        if counts[0] <= (least or 0.0) and least is not None and len(counts) > 1:
            print(f"{state}: the label of both counts for nothing beside face and voice alone ({counts[0]:.3f})")
            counts[0] = least
        if counts[0] <= 0:
            raise SystemExit(
                f"No calibration was found for {state}: its label does not count. Were the labels trained?"
            )
        fast[state] = round(1 / float(counts[0]), 3)
        biases[state] = dict(zip(EXPERT_LABELS, (round(float(value), 3) for value in bias), strict=True))
        alone |= dict(zip(("face", "voice"), (round(float(value), 3) for value in counts[1:]), strict=False))
    fitted = Calibration(fast, biases, alone)
    return replace(fitted, unsure_below=UNSURE_BELOW)


def fit_chain(answered: Sequence[AnsweredWindow], fitted: Calibration) -> dict[str, float]:
    """The weights of the fast label, of what was judged, and of the chain's own label, by maximum likelihood.

    Windows whose chain names no label have no part in it.
    """
    rows = [a for a in answered if a.chain >= 0]
    if not rows:
        return {}
    log_p, target = log_softmax(calibrated(rows, fitted)), np.stack([a.target for a in rows])
    said = np.eye(len(EXPERT_LABELS))[[a.chain for a in rows]]
    judged = [a.judged for a in rows if a.judged is not None]
    if len(judged) < len(rows):
        bonus = min(np.linspace(0, 3, 31), key=lambda bonus: majority_nll(log_p + bonus * said, target))
        return {"bonus": round(float(bonus), 3)}
    parts = np.stack([log_p, log_softmax(np.stack(judged)), said], 1)
    weights, _ = fit_state(parts, target.argmax(1), np.ones(len(rows)), biased=False)
    names = ("fast", "judged", "bonus")
    return dict(zip(names, (round(max(0.0, float(weight)), 3) for weight in weights), strict=True))


def calibrated(answered: list[AnsweredWindow], calibration: Calibration) -> Floats:
    """(N, 7) calibrated log-probabilities of the fast labels."""
    told = []
    for a in answered:
        scores = [dict(zip(EXPERT_LABELS, row, strict=True)) for row in np.atleast_2d(a.log_p).tolist()]
        alone = dict(zip(("face", "voice"), scores[1:], strict=False))
        told.append(list(calibrate.fast(scores[0], a.state, calibration, alone=alone).values()))
    log_p: Floats = np.log(np.maximum(told, 1e-9))
    return log_p


@dataclass(frozen=True)
class TemperatureChange:
    """What the temperature fitted on live windows did to one modality state."""

    n: int
    temperature: float
    before: float
    "Expected calibration error."
    after: float

    def __str__(self) -> str:
        return f"temperature {self.temperature:.2f}, ECE {self.before:.3f} → {self.after:.3f} ({self.n})"


def matched_to_live(
    fitted: Calibration, live: Sequence[AnsweredWindow]
) -> tuple[Calibration, dict[str, TemperatureChange]]:
    """`fitted` with one more temperature for each state, the likeliest on live windows; and what each of them changed.

    It is one number per state, because the live windows show few people.
    """
    done: dict[str, TemperatureChange] = {}
    for state in fitted.fast:
        rows = [a for a in live if a.state == state]
        if not rows:
            continue
        scores, target = calibrated(rows, fitted), np.stack([a.target for a in rows])
        by = min(np.geomspace(0.4, 2.5, 200), key=lambda t: majority_nll(scores / t, target))
        errors = [calibration_error(np.exp(log_softmax(scores / t)), target.argmax(1)) for t in (1.0, by)]
        done[state] = TemperatureChange(len(rows), round(float(by), 3), *errors)
    flatter = {state: each.temperature for state, each in done.items()}
    both = flatter.get("both", 1.0)
    return replace(
        fitted,
        fast={state: round(t * flatter.get(state, 1.0), 3) for state, t in fitted.fast.items()},
        bias={
            state: {label: round(value / flatter.get(state, 1.0), 3) for label, value in values.items()}
            for state, values in fitted.bias.items()
        },
        alone={name: round(weight / both, 3) for name, weight in fitted.alone.items()},
    ), done
