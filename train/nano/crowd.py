"""What people conclude when face and voice conflict, learnt from CREMA-D's crowd votes.

    realtime train nano.crowd --data DATA

The command fits the teacher and prints its agreement with the crowd on actors that it was not fitted to.

The crowd rated 7,442 clips three times: heard only, seen only, and both. The teacher is a multinomial logistic
regression from the vote shares of both single modalities and their products to the audio-visual vote. Its coefficients
say which modality people trust for which emotion. CREMA-D has no surprise; that label gets the mean coefficients of the
six others.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from realtime.commands.program_parser import ProgramParser
from realtime.model.experts import EXPERT_LABELS
from train.arrays import Bools, Floats, Int64
from train.command import run_command
from train.readers.clip import DataMissing

COLUMNS = {"happy": "H", "sad": "S", "neutral": "N", "angry": "A", "disgust": "D", "fear": "F"}
SIX = tuple(label for label in EXPERT_LABELS if label in COLUMNS)
INTENDED = {"HAP": "happy", "SAD": "sad", "NEU": "neutral", "ANG": "angry", "DIS": "disgust", "FEA": "fear"}
"The emotion that was acted, in the name of a clip."
VOICE, FACE, BOTH = "1", "2", "3"
SMOOTHING = 0.03
ASK = "Fetch processedResults/tabulatedVotes.csv again from CREMA-D's repository."


@dataclass(frozen=True)
class CrowdVotes:
    """Votes on each clip: shares (N, 6) over `SIX` for each way of showing it, (N,) actor numbers."""

    voice: Floats
    face: Floats
    both: Floats
    actor: Int64
    file: tuple[str, ...]


def load(folder: Path) -> CrowdVotes:
    """Read `crema_d/tabulatedVotes.csv`: the first digit of the row number says what was shown.

    Raises DataMissing where the table is missing, or names the line that is not of CREMA-D.
    """
    shares: dict[str, dict[str, Floats]] = defaultdict(dict)
    path = folder / "crema_d" / "tabulatedVotes.csv"
    try:
        lines = path.open(newline="", encoding="utf-8-sig")
    except OSError as error:
        raise DataMissing(f"{path} cannot be read: {error.strerror}.", ASK) from error
    with lines:
        table = csv.DictReader(lines)
        for row in table:
            try:
                counts = np.array([float(row[COLUMNS[label]]) for label in SIX])
                name, shown = row["fileName"], row[""][0]
                int(name[:4]), INTENDED[name.split("_")[2]]
                if not (np.isfinite(counts).all() and (counts >= 0).all()):
                    raise ValueError("a vote is no count")
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise DataMissing(f"{path}, line {table.line_num}, is not of CREMA-D ({error!r:.80}).", ASK) from error
            if counts.sum() > 0:
                shares[name][shown] = counts / counts.sum()
    files = tuple(sorted(name for name, kinds in shares.items() if {VOICE, FACE, BOTH} <= set(kinds)))
    if not files:
        raise DataMissing(f"{path} holds no clip with votes on voice, face and both.", ASK)
    return CrowdVotes(
        voice=np.stack([shares[name][VOICE] for name in files]),
        face=np.stack([shares[name][FACE] for name in files]),
        both=np.stack([shares[name][BOTH] for name in files]),
        actor=np.array([int(name[:4]) for name in files]),
        file=files,
    )


class Teacher:
    """Predicts the vote on face and voice together from the votes on each alone."""

    def __init__(self, weights: Floats, bias: Floats) -> None:
        self.weights, self.bias = weights, bias

    @staticmethod
    def features(face_N6: Floats, voice_N6: Floats) -> Floats:
        """(N, 6, 5): for each label both shares, their logarithms and their product."""
        return np.stack(
            [
                face_N6,
                voice_N6,
                np.log(face_N6 + SMOOTHING),
                np.log(voice_N6 + SMOOTHING),
                face_N6 * voice_N6,
            ],
            axis=-1,
        )

    @classmethod
    def fit(cls, face_N6: Floats, voice_N6: Floats, both_N6: Floats) -> Teacher:
        """Fit over `SIX` by soft-label maximum likelihood with a small ridge (L-BFGS), then extend to seven labels."""
        x = torch.from_numpy(cls.features(face_N6, voice_N6)).float()
        target = torch.from_numpy(both_N6).float()
        weights = torch.zeros(x.shape[1], x.shape[2], requires_grad=True)
        cross = torch.zeros(2, x.shape[1], x.shape[1], requires_grad=True)
        bias = torch.zeros(x.shape[1], requires_grad=True)
        optimizer = torch.optim.LBFGS([weights, cross, bias], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            logits = (x * weights).sum(-1) + x[:, :, 0] @ cross[0] + x[:, :, 1] @ cross[1] + bias
            loss = -(target * torch.log_softmax(logits, -1)).sum(1).mean()
            loss = loss + 1e-3 * (weights.square().sum() + cross.square().sum())
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return cls._extend(weights.detach().numpy(), cross.detach().numpy(), bias.detach().numpy())

    @classmethod
    def _extend(cls, weights: Floats, cross: Floats, bias: Floats) -> Teacher:
        """Coefficients over EXPERT_LABELS; a label that the crowd never had gets the mean of the others."""
        n, places = len(EXPERT_LABELS), [EXPERT_LABELS.index(label) for label in SIX]
        full = np.tile(weights.mean(0), (n, 1))
        full[places] = weights
        full_cross = np.zeros((2, n, n))
        full_cross[np.ix_([0, 1], places, places)] = cross
        full_bias = np.full(n, bias.mean())
        full_bias[places] = bias
        return cls(np.concatenate([full.ravel(), full_cross.ravel()]), full_bias)

    def __call__(self, face_N7: Floats, voice_N7: Floats) -> Floats:
        """(N, 7) shares over EXPERT_LABELS, from shares over EXPERT_LABELS."""
        n = len(EXPERT_LABELS)
        weights, cross = self.weights[: n * 5].reshape(n, 5), self.weights[n * 5 :].reshape(2, n, n)
        x = self.features(face_N7, voice_N7)
        logits = (x * weights).sum(-1) + face_N7 @ cross[0] + voice_N7 @ cross[1] + self.bias
        logits -= logits.max(1, keepdims=True)
        shares: Floats = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return shares


def expected_voice_votes(votes: CrowdVotes) -> Floats:
    """(7, 7) the mean vote (columns) on voices that were heard as each label (rows).

    CREMA-D has no surprise; its row puts most votes on surprise itself.
    """
    shares = seven(votes.voice)
    uncertain = np.full(len(EXPERT_LABELS), 0.05)
    heard = []
    for label in range(len(EXPERT_LABELS)):
        rows = shares[shares.argmax(1) == label]
        mean = rows.mean(0) if len(rows) else uncertain + np.eye(len(EXPERT_LABELS))[label]
        heard.append(mean / mean.sum())
    return np.stack(heard)


def seven(shares_N6: Floats) -> Floats:
    """Shares over SIX as shares over EXPERT_LABELS, surprise at 0."""
    wide = np.zeros((len(shares_N6), len(EXPERT_LABELS)))
    wide[:, [EXPERT_LABELS.index(label) for label in SIX]] = shares_N6
    return wide


def clear(shares: Floats) -> Bools:
    """(N,) True where no second label has as many votes as the first."""
    ordered = np.sort(shares, axis=1)
    return ordered[:, -1] > ordered[:, -2]


def agreement(votes: CrowdVotes, folds: int = 5) -> dict[str, float]:
    """How often the teacher gives the crowd's vote, on actors it was not fitted to: of all clips, and of conflicts."""
    actors = np.unique(votes.actor)
    hits, conflict = [], []
    for fold in range(folds):
        held = np.isin(votes.actor, actors[fold::folds])
        usable = clear(votes.voice) & clear(votes.face) & clear(votes.both)
        teacher = Teacher.fit(votes.face[~held], votes.voice[~held], votes.both[~held])
        rows = held & usable
        guess = teacher(seven(votes.face[rows]), seven(votes.voice[rows])).argmax(1)
        hits.append(guess == seven(votes.both[rows]).argmax(1))
        conflict.append(votes.face[rows].argmax(1) != votes.voice[rows].argmax(1))
    hit, differ = np.concatenate(hits), np.concatenate(conflict)
    return {
        "clips": float(len(hit)),
        "agreement": float(hit.mean()),
        "conflict_clips": float(differ.sum()),
        "conflict_agreement": float(hit[differ].mean()),
    }


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    print(json.dumps(agreement(load(parser.parse_args().data))))


if __name__ == "__main__":
    run_command(main, "train.nano.crowd")
