"""Baselines on the same samples, fitted with scikit-learn on the train split. None of them was fitted on these people.

For pairs, an expert's labels are also given a bias that makes validation pairs likeliest, of those that agree and those
that do not. Faces of pairs are drawn evenly over the emotions, and the face expert learnt from faces as frequent as
they are. A model that knows how frequent they are among pairs would seem to hear the voice.

    ferplus          mesh geometry (whitened components) and a perceptron
    ravdess          prosody and cepstral statistics with a support vector machine, raw and against the speaker's mean
    agree, conflict  the model's own experts without its Thinker (`experts.py`)

Measurements (`train.nano.prepare`) are made once and kept in OUT/measured; crops.npz of a training run
work too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from realtime.errors import BadSettings
from realtime.evidence.voice import voice_features
from realtime.model.experts import EXPERT_LABELS
from train import metrics
from train.arrays import Bools, Float64, Int64
from train.evaluation import experts
from train.evaluation.samples import PAIRS, wanted_actors, wanted_faces
from train.nano import ferplus, prepare, ravdess
from train.nano.fit_calibration import fit_state, log_softmax
from train.readers.sound import longest_speech

COMPONENTS = 100
HIDDEN = (256, 128)
FITTED_ON = 60
"Validation pairs of each speaker on which a bias is fitted, of those that agree and as many that do not."
LEAST = 1e-6
"Least probability that a logarithm is taken of."


def measure(benchmark: str, data: Path, split: str, out: Path, model: str) -> dict[str, dict[str, Any]]:
    """The figures of each baseline by name. Raises BadSettings for a set without baselines."""
    refuse(benchmark, split)
    if benchmark in PAIRS:
        found, truth = experts.measure(benchmark, data, split, model)
        rows = {name: figures(shares, truth) for name, shares in found.items()}
        if split == "valid":
            return rows
        known = [experts.measure(name, data, "valid", model, limit=FITTED_ON) for name in PAIRS]
        fitted_on = np.concatenate([labels for _, labels in known])
        for name, shares in found.items():
            seen = np.concatenate([each[name] for each, _ in known])
            given = with_bias(seen, fitted_on, shares)
            rows[f"{name}, with a bias of validation pairs"] = figures(given, truth, len(fitted_on))
        return rows
    work = out / "measured"
    work.mkdir(parents=True, exist_ok=True)
    return of_faces(data, split, work) if benchmark == "ferplus" else of_voices(data, split, work)


def refuse(benchmark: str, split: str) -> None:
    """Raise BadSettings for a set or split without baselines, before anything is answered."""
    if benchmark not in ("ferplus", "ravdess", *PAIRS):
        raise BadSettings(f"There is no baseline for {benchmark}.", "ferplus, ravdess, agree and conflict have one.")
    if split in ("train", "all"):
        raise BadSettings("Baselines are fitted on train, so they are measured on valid or test.", "Choose --split.")


def with_bias(known_N7: Float64, truth_N: Int64, asked_M7: Float64) -> Float64:
    """(M, 7) probabilities with the temperature and the bias of each label that make `known_N7` likeliest."""
    counts, bias = fit_state(log_p(known_N7)[:, None], truth_N, np.ones(len(truth_N)), ridge=0.0)
    told: Float64 = np.exp(log_softmax(log_p(asked_M7) * counts[0] + bias))
    return told


def log_p(shares: Float64) -> Float64:
    logs: Float64 = np.log(np.maximum(shares, LEAST))
    return logs


def of_faces(data: Path, split: str, work: Path) -> dict[str, dict[str, Any]]:
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    if not (work / "crops.npz").exists():
        prepare.prepare_faces(data, work)
    faces = ferplus.load(data)
    with np.load(work / "crops.npz") as file:
        geometry, found = file["geometry"].astype(np.float32), file["found"]
    train = faces.part("train")
    train = train[found[train]]
    test = wanted_faces(faces, split)
    model = make_pipeline(
        PCA(COMPONENTS, whiten=True, random_state=0),
        MLPClassifier(HIDDEN, alpha=1e-3, early_stopping=True, max_iter=60, random_state=0),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(geometry[train], faces.labels_N[train])
    p = np.zeros((len(test), len(EXPERT_LABELS)))
    seen = found[test]
    p[np.ix_(seen, model.classes_)] = model.predict_proba(geometry[test[seen]])
    # Where no mesh was found, the answer is the commonest class of the train split.
    commonest = int(np.bincount(faces.labels_N[train]).argmax())
    p[~seen, commonest] = 1.0
    return {"mesh geometry and a perceptron": figures(p, faces.labels_N[test], len(train))}


def of_voices(data: Path, split: str, work: Path) -> dict[str, dict[str, Any]]:
    clips = ravdess.load(data)
    if not (work / "prosody.npz").exists():
        samples = (ravdess.read_samples(data, clip.file) for clip in clips)
        measured = np.stack([voice_features(longest_speech(sound).samples_N)[1] for sound in samples])
        np.savez(work / "prosody.npz", features=measured)
    with np.load(work / "prosody.npz") as file:
        features = np.nan_to_num(file["features"].astype(np.float64))
    actors = np.array([clip.actor for clip in clips])
    labels = np.array([clip.label for clip in clips])
    own = np.zeros_like(features)
    for actor in np.unique(actors):
        rows = actors == actor
        own[rows] = (features[rows] - features[rows].mean(0)) / (features[rows].std(0) + 1e-6)
    train = np.isin(actors, list(ravdess.ACTORS["train"]))
    test = np.isin(actors, list(wanted_actors(clips, split)))
    return {
        name: _machine(x, labels, train, test)
        for name, x in (
            ("prosody and cepstral statistics, support vectors", features),
            ("the same, each speaker against their own mean and spread", own),
        )
    }


def _machine(x_NP: Float64, labels_N: Int64, train_N: Bools, test_N: Bools) -> dict[str, Any]:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = make_pipeline(StandardScaler(), SVC(C=10.0, gamma="scale", class_weight="balanced"))
    model.fit(x_NP[train_N], labels_N[train_N])
    given = np.eye(len(EXPERT_LABELS))[model.predict(x_NP[test_N])]
    return figures(given, labels_N[test_N], int(train_N.sum()))


def figures(p_NL: Float64, truth_N: Int64, n_train: int | None = None) -> dict[str, Any]:
    """The metrics of one baseline. `n_train` is the number of samples that it was fitted on here."""
    truth = [EXPERT_LABELS[place] for place in truth_N]
    given = [EXPERT_LABELS[place] for place in p_NL.argmax(1)]
    interval = metrics.intervals(metrics.with_unread(truth, given, EXPERT_LABELS))["accuracy"]
    return {
        "n": len(truth),
        **({} if n_train is None else {"n_train": n_train}),
        "accuracy": round(float(np.mean(p_NL.argmax(1) == truth_N)), 4),
        "accuracy_95": [round(interval.low, 4), round(interval.high, 4)],
        "uar": round(metrics.uar(truth, given, EXPERT_LABELS), 4),
        "weighted_f1": round(metrics.weighted_f1(truth, given, EXPERT_LABELS), 4),
    }


def table(found: Mapping[str, Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown; the evaluated model comes last."""
    lines = ["| | n | accuracy | 95 % | UAR | weighted F1 |", "| --- | --- | --- | --- | --- | --- |"]
    ours = {**result["metrics"], "n": result["n"], "accuracy_95": result["intervals_95"]["accuracy"]}
    for name, row in {**found, result["model"]: ours}.items():
        low, high = row["accuracy_95"]
        lines.append(
            f"| {name} | {row['n']} | {row['accuracy']} | {low} – {high} | {row['uar']} | {row['weighted_f1']} |"
        )
    return lines
