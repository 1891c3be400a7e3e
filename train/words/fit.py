"""Fits the expert on words (`realtime/words/expert.py`) on GoEmotions with Ekman's labels, and reports its F1.

    realtime train words.fit --data DATA --out realtime/words/expert.safetensors

A softmax regression on hashed TF-IDF, fitted by L-BFGS. The dev lines choose the penalty, the temperature and the
thresholds of the F1. What is reported is measured on the test lines, by the 8-bit weights through serving's own code.
The last line is one JSON object. Three minutes of one CPU core; nothing in it is random.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize, minimize_scalar
from sklearn.metrics import f1_score

from realtime.commands.program_parser import ProgramParser
from realtime.outputs import refuse_input
from realtime.records import LABELS, Float32
from realtime.words.expert import WordsExpert
from realtime.words.features import EMPTY, Fingerprints, features, places, rows
from train.arrays import Float64
from train.command import run_command
from train.readers.clip import DataMissing

N_PLACES = 120_000
"Seven weights and a rarity each, and the biases: 0.96 M parameters."
LEAST_TEXTS = (2, 5)
"Texts that must have a word or a pair, and a piece of a word, for it to be a feature."
PENALTIES = (0.5, 0.7, 1.0)
STEPS = 80
LABEL_OF = {"joy": "happy", "sadness": "sad", "neutral": "neutral", "anger": "angry"} | {
    name: name for name in ("surprise", "disgust", "fear")
}
"Our label by Ekman's in the files."


@dataclass(frozen=True)
class Texts:
    """One part of the set."""

    texts: list[str]
    labels_T7: Float64
    "(T, 7) 1 for each label of a text, in the order of `LABELS`."

    @property
    def shares_T7(self) -> Float64:
        """The labels as a distribution: several share the text evenly."""
        shares: Float64 = self.labels_T7 / self.labels_T7.sum(1, keepdims=True)
        return shares


def read(folder: Path, part: str) -> Texts:
    """`goemotions_ekman_PART.tsv`: text, indices into labels.txt, id. Raises DataMissing that names file and line."""
    path = folder / f"goemotions_ekman_{part}.tsv"
    try:
        names = (folder / "labels.txt").read_text("utf-8").split()
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DataMissing(f"{error.filename} cannot be read: {error.strerror}.", "See train/DATA.md.") from error
    texts, labels_T7 = [], np.zeros((len(lines), len(LABELS)))
    for number, line in enumerate(lines):
        try:
            text, indices, _ = line.split("\t")
            for index in indices.split(","):
                labels_T7[number, LABELS.index(LABEL_OF[names[int(index)]])] = 1
        except (ValueError, LookupError) as error:
            raise DataMissing(f"{path}, line {number + 1} is no text with labels.", "Fetch the file again.") from error
        texts.append(text)
    return Texts(texts, labels_T7)


def table(texts: Sequence[str]) -> tuple[Fingerprints, Float32]:
    """(N,) fingerprints and (N,) rarities. The commonest features choose their places first; a few find none."""
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for text in texts:
        for count, group in zip(counts, features(text), strict=True):
            count.update(group.keys())
    known = zip(counts, LEAST_TEXTS, strict=True)
    enough = [(n, name) for count, least in known for name, n in count.items() if n >= least]
    fingerprints_N, rarity_N = np.full(N_PLACES, EMPTY, np.uint16), np.zeros(N_PLACES, np.float32)
    for n, name in sorted(enough, key=lambda each: (-each[0], each[1])):
        *both, fingerprint = places(name, N_PLACES)
        if any(fingerprints_N[place] == fingerprint for place in both):
            continue
        free = next((place for place in both if fingerprints_N[place] == EMPTY), None)
        if free is not None:
            fingerprints_N[free] = fingerprint
            rarity_N[free] = np.log((len(texts) + 1) / (n + 1)) + 1
    return fingerprints_N, rarity_N.astype(np.float16).astype(np.float32)


def matrix(texts: Sequence[str], fingerprints_N: Fingerprints, rarity_N: Float32) -> sp.csr_matrix:
    """(T, N) weights of the features of each text."""
    starts, columns, values = [0], [], []
    for text in texts:
        found, weights = rows(text, fingerprints_N, rarity_N)
        columns += found
        values += weights
        starts.append(len(columns))
    return sp.csr_matrix((np.array(values, np.float32), columns, starts), shape=(len(texts), len(fingerprints_N)))


def fit(values_TN: sp.csr_matrix, shares_T7: Float64, penalty: float) -> tuple[Float64, Float64]:
    """(N, 7) weights and (7,) biases of the softmax regression with the least cross-entropy and penalty."""
    n, turned_NT = values_TN.shape[1], values_TN.T.tocsr()

    def loss(flat: Float64) -> tuple[float, Float64]:
        weights_R7 = flat.reshape(n + 1, -1)
        scores_T7 = values_TN @ weights_R7[:-1] + weights_R7[-1]
        shares = softmax(scores_T7)
        error_T7 = shares - shares_T7
        slope = np.vstack([turned_NT @ error_T7 + penalty * weights_R7[:-1], error_T7.sum(0)])
        entropy = -(shares_T7 * np.log(np.maximum(shares, 1e-12))).sum()
        return float(entropy + penalty / 2 * (weights_R7[:-1] ** 2).sum()), slope.ravel()

    start = np.zeros((n + 1) * len(LABELS))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": 5})
    weights_R7: Float64 = found.x.reshape(n + 1, -1)
    return weights_R7[:-1], weights_R7[-1]


def softmax(scores_T7: Float64) -> Float64:
    raised: Float64 = np.exp(scores_T7 - scores_T7.max(1, keepdims=True))
    shares: Float64 = raised / raised.sum(1, keepdims=True)
    return shares


def temperature(scores_T7: Float64, shares_T7: Float64) -> float:
    """What the scores are divided by for the least cross-entropy."""

    def entropy(log_t: float) -> float:
        return float(-(shares_T7 * np.log(np.maximum(softmax(scores_T7 / np.exp(log_t)), 1e-12))).sum())

    return float(np.exp(minimize_scalar(entropy, bounds=(-2, 2), method="bounded").x))


def thresholds(found_T7: Float64, labels_T7: Float64) -> Float64:
    """The share from which each label is given, for its best F1."""
    chosen = []
    for found, labels in zip(found_T7.T, labels_T7.T.astype(bool), strict=True):
        tried = np.quantile(found, np.linspace(0.3, 0.999, 200))
        given = found[None] > tried[:, None]
        scores = 2 * (given & labels).sum(1) / (given.sum(1) + labels.sum())
        chosen.append(tried[int(scores.argmax())])
    return np.array(chosen)


def macro_f1(found_T7: Float64, texts: Texts, from_7: Float64) -> float:
    return float(f1_score(texts.labels_T7, found_T7 > from_7, average="macro", zero_division=0))


def narrowed(fingerprints_N: Fingerprints, rarity_N: Float32, weights_N7: Float64, bias_7: Float64) -> WordsExpert:
    """The expert with weights of eight bits, each label with a scale of its own."""
    scale_7 = np.abs(weights_N7).max(0) / 127
    rounded = np.round(weights_N7 / scale_7).astype(np.int8)
    return WordsExpert(fingerprints_N, rarity_N, rounded, scale_7.astype(np.float32), bias_7.astype(np.float32))


def judged(expert: WordsExpert, texts: Texts) -> Float64:
    """(T, 7) by serving's code. A text of which nothing is known is told nothing of: every label alike."""
    nothing = dict.fromkeys(LABELS, 1 / len(LABELS))
    return np.array([list((expert.probabilities(text) or nothing).values()) for text in texts.texts])


def calibration_error(found_T7: Float64, texts: Texts, n_bins: int = 15) -> float:
    """Expected calibration error of the likeliest label, on equal bins."""
    sure = found_T7.max(1)
    right = texts.labels_T7[np.arange(len(sure)), found_T7.argmax(1)]
    place = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    of_bins = [place == number for number in set(place)]
    gaps = [abs(sure[of_bin].mean() - right[of_bin].mean()) * of_bin.mean() for of_bin in of_bins]
    return float(sum(gaps))


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data folder, which holds words/")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .safetensors")
    args = parser.parse_args()
    refuse_input(args.out, args.data)
    train, dev, test = (read(args.data / "words", part) for part in ("train", "dev", "test"))
    fingerprints_N, rarity_N = table(train.texts)
    print(f"{(fingerprints_N != EMPTY).sum()} features in {N_PLACES} places")
    values, of_dev = (matrix(part.texts, fingerprints_N, rarity_N) for part in (train, dev))
    best = (-1.0, np.zeros(0), np.zeros(0), 0.0)
    for penalty in PENALTIES:
        weights_N7, bias_7 = fit(values, train.shares_T7, penalty)
        found = softmax(of_dev @ weights_N7 + bias_7)
        score = macro_f1(found, dev, thresholds(found, dev.labels_T7))
        print(f"penalty {penalty}: macro F1 on dev {score:.4f}", flush=True)
        best = max(best, (score, weights_N7, bias_7, penalty), key=lambda each: each[0])
    _, weights_N7, bias_7, penalty = best
    warmth = temperature(of_dev @ weights_N7 + bias_7, dev.shares_T7)
    expert = narrowed(fingerprints_N, rarity_N, weights_N7 / warmth, bias_7 / warmth)
    expert.save(args.out)
    expert = WordsExpert.load(args.out)
    from_7 = thresholds(judged(expert, dev), dev.labels_T7)
    found_T7 = judged(expert, test)
    of_labels = f1_score(test.labels_T7, found_T7 > from_7, average=None)
    one = test.labels_T7.sum(1) == 1
    report = {
        "n": len(test.texts),
        "macro_f1": round(macro_f1(found_T7, test, from_7), 4),
        "macro_f1_one_label": round(
            float(f1_score(test.labels_T7[one].argmax(1), found_T7[one].argmax(1), average="macro")), 4
        ),
        "f1": {label: round(float(score), 3) for label, score in zip(LABELS, of_labels, strict=True)},
        "likeliest_is_a_label": round(float(test.labels_T7[np.arange(len(one)), found_T7.argmax(1)].mean()), 4),
        "calibration_error": round(calibration_error(found_T7, test), 4),
        "temperature": round(warmth, 3),
        "penalty": penalty,
        "bytes": args.out.stat().st_size,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    run_command(main, "train.words.fit")
