"""Fit the voice expert on the sentences of all corpora, told by themselves and against what a person said before.

    realtime train nano.voice_expert --data DATA --work WORK [--abroad]

The stage reads what `train.nano.voice_sounds` and `train.nano.voice_layers` measured, and writes

    WORK/voice_expert.pt              fitted on all training and validation speakers
    WORK/voice_expert_calibration.pt  fitted on the training speakers alone, to answer validation speakers with
    WORK/voice_verdicts.npz           log-probabilities of every sentence, in several running orders

The tower was tuned on the training speakers, so an expert that reads it is right about them more often than about
people it never met. The verdicts on training speakers are therefore those of experts that read Whisper's own layers and
were not fitted on the speaker (four folds): they are about as often right as a live session's. Those on validation
speakers are of the expert that was fitted without them.

The stage prints accuracies by corpus: in sessions in which a person varies, in sessions of one emotion only, and
roughened. With --abroad it also leaves out each corpus in turn (the tower has heard its training speakers, though, so
these figures flatter). The temperature, which grows with the distance from the training people, is fitted on validation
speakers alone, at home and abroad.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from realtime.commands.program_parser import ProgramParser
from realtime.evidence.baseline import (
    USUAL_S,
    USUAL_UTTERANCES,
    VOICE_MEMORY,
    VOICE_PSEUDO_COUNT,
    Z_LIMIT,
    population,
)
from realtime.model.experts import EXPERT_LABELS, VoiceExpert
from realtime.outputs import refuse_input
from realtime.records import Float32
from train.arrays import Bools, Float64, Floats, Int64
from train.command import run_command
from train.metrics import calibration_error
from train.nano import config as nano_config
from train.nano.voice_sounds import NAMES
from train.readers import voices

FOLDS = 4
ORDERS = 6
"Number of running orders: every sentence is judged early in a session and late."
N_LABELS = len(EXPERT_LABELS)
TRUSTED = 0.6
"Weight of the true label, the rest being even, when a sentence moves the usual in the first round of a fit."
ONE_MOOD, ROUGH_ONE_MOOD = 0.5, 0.25
"Weights of sessions in which a person shows one emotion only, as they are and roughened; varied ones weigh 1."
RIDGE, SPEECH_RIDGE = 1e-2, 1e-2
LEAST_VARIANCE = 1e-5
"Of a direction, beside the largest one."
ALONE_SCALE = 0.5
"Scale of an utterance by itself beside the utterance against the usual: the smaller, the stronger its ridge."


@dataclass(frozen=True)
class Spoken:
    """All sentences as they are, then all of them roughened: 2·N rows."""

    features_NS: Float32
    "What the expert reads: layers, then prosody."
    labels: Int64
    speaker: Int64
    session: Int64
    "One person through one microphone."
    corpus: Sequence[str]
    part: Sequence[str]
    strong: Sequence[bool | None]
    seconds: Float32
    no_speech_MS: Float32

    @property
    def n_sentences(self) -> int:
        return len(self.labels) // 2

    @property
    def clean(self) -> Bools:
        return np.arange(len(self.labels)) < self.n_sentences

    @property
    def prosody(self) -> Float32:
        """(2·N, P)."""
        return self.features_NS[:, -len(population()["voice"]["mean"]) :]

    def rows(self, parts: Sequence[str], *, without: str = "", only: str = "") -> Int64:
        """The sentences, as they are, of speakers in these parts."""
        corpus, part = np.array(self.corpus), np.array(self.part)
        wanted = np.isin(part, parts) & (corpus != without) & self.clean
        return np.flatnonzero(wanted & (corpus == only) if only else wanted)


def load(data: Path, work: Path, kind: str = "layers") -> Spoken:
    """Read what was measured; `kind` is `layers` or `plain` (`train.nano.voice_layers`).

    Raises FileNotFoundError that names the archive which is missing.
    """
    spoken = voices.load(data)
    read: dict[str, dict[str, Floats]] = {}
    for name in NAMES:
        with (
            np.load(work / "voices" / f"{name}.npz") as prosody,
            np.load(work / "voices" / f"{kind}_{name}.npz") as file,
        ):
            read[name] = {**{key: prosody[key] for key in prosody.files}, "layers": file["layers"]}

    def features(measured: Mapping[str, Floats]) -> Float32:
        joined = np.concatenate([measured["layers"].astype(np.float32), measured["features"]], axis=1)
        finite: Float32 = np.nan_to_num(joined).astype(np.float32)
        return finite

    _, speaker = np.unique([voice.speaker for voice in spoken], return_inverse=True)
    labels = np.array([EXPERT_LABELS.index(voice.emotion) for voice in spoken])
    n_speakers = int(speaker.max()) + 1
    return Spoken(
        features_NS=np.concatenate([features(read["clean"]), features(read["rough"])]),
        labels=np.tile(labels, 2),
        speaker=np.tile(speaker, 2),
        session=np.concatenate([speaker, n_speakers + read["rough"]["session"]]),
        corpus=[voice.corpus for voice in spoken] * 2,
        part=[voice.part for voice in spoken] * 2,
        strong=[voice.strong for voice in spoken] * 2,
        seconds=np.concatenate([read["clean"]["seconds"], read["rough"]["seconds"]]),
        no_speech_MS=features(read["no_speech"]),
    )


# One session after the other, as live.

Told = Callable[[Int64, Float32, Float32], Float32]
"(rows, their features (B, K), the usual of each voice (B, K)) → what moves each usual (B, K)."


def run_sessions(x_NK: Float32, session_N: Int64, told: Told, rng: np.random.Generator) -> Int64:
    """Let every session run in a random order, as `baseline.RunningMean` does. Returns each row's place in its own.

    All sessions run side by side: `told` is called with the first rows of all, then with the second ones, and so on.
    """
    order = np.argsort(session_N + 0.5 * rng.random(len(session_N)))
    starts = np.flatnonzero(np.r_[True, np.diff(session_N[order]) != 0])
    lengths = np.diff(np.r_[starts, len(order)])
    usual = np.zeros((len(starts), x_NK.shape[1]), np.float32)
    weight = np.full(len(starts), VOICE_PSEUDO_COUNT)
    place = np.zeros(len(order), np.int64)
    for step in range(int(lengths.max())):
        on = np.flatnonzero(lengths > step)
        rows = order[starts[on] + step]
        place[rows] = step
        moves = told(rows, x_NK[rows], usual[on])
        weight[on] = np.minimum(weight[on] + 1, VOICE_MEMORY)
        usual[on] += (moves - usual[on]) / weight[on, None].astype(np.float32)
    return place


def log_softmax(scores: Floats) -> Float64:
    shifted = (scores - scores.max(1, keepdims=True)).astype(np.float64)
    out: Float64 = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return out


@torch.no_grad()
def judged(
    expert: VoiceExpert, features_NS: Float32, session_N: Int64, rng: np.random.Generator
) -> tuple[Float32, Int64]:
    """(N, 7) log-probabilities of sentences in sessions of a random order, and each one's place."""
    x_NK = expert.read(torch.from_numpy(features_NS)).numpy()
    out = np.zeros((len(x_NK), N_LABELS), np.float32)

    def told(rows: Int64, x: Float32, usual: Float32) -> Float32:
        x_BK = torch.from_numpy(x)
        log_p, _ = expert(x_BK, torch.from_numpy(usual))
        out[rows] = log_p.numpy()
        left: Float32 = expert.without_emotion(x_BK, log_p).numpy()
        return left

    return out, run_sessions(x_NK, session_N, told, rng)


# The fit.


def space(features_NS: Float32, speaker_N: Int64, corpus_N: Sequence[str], width: int) -> tuple[Floats, Floats, Floats]:
    """Mean (S,) over corpora, spread (S,) within speakers, and (S, K) whitened principal components within speakers."""
    corpus = np.array(corpus_N)
    mean = np.mean([features_NS[corpus == name].mean(0) for name in np.unique(corpus)], axis=0)
    centred = features_NS.copy()
    for speaker in np.unique(speaker_N):
        centred[speaker_N == speaker] -= features_NS[speaker_N == speaker].mean(0)
    spread = np.sqrt((centred**2).mean(0)) + 1e-4
    z = np.clip(centred / spread, -VoiceExpert.LIMIT, VoiceExpert.LIMIT)
    values, vectors = np.linalg.eigh((z.T @ z / len(z)).astype(np.float64))
    kept = slice(-1, -1 - width, -1)
    # Of fewer sentences than directions, the last ones hold nothing and would be blown up.
    return mean, spread, vectors[:, kept] / np.sqrt(np.maximum(values[kept], LEAST_VARIANCE * values[-1]))


def emotion_effects(x_NK: Float32, labels: Int64, speaker: Int64) -> Float32:
    """(7, K) how far each emotion is from the mean of a speaker's emotions, over all speakers."""
    total, n = np.zeros((N_LABELS, x_NK.shape[1])), np.zeros(N_LABELS)
    for one in np.unique(speaker):
        own = speaker == one
        means = {int(k): x_NK[own & (labels == k)].mean(0) for k in np.unique(labels[own])}
        middle = np.mean(list(means.values()), axis=0)
        for label, mean in means.items():
            total[label] += mean - middle
            n[label] += 1
    effects: Float32 = (total / np.maximum(n, 1)[:, None]).astype(np.float32)
    return effects


def regression(
    x_ND: Float32, labels: Int64, weights: Floats, *, ridge: float, n_labels: int = N_LABELS
) -> tuple[Float64, Float64]:
    """Weights (D, L) and biases (L,) of a multinomial logistic regression (L-BFGS)."""
    n_features, truth = x_ND.shape[1], np.eye(n_labels)[labels]
    share = (weights / weights.sum()).astype(np.float64)

    def loss(flat: Float64) -> tuple[float, Float64]:
        w, bias = flat[: n_features * n_labels].reshape(n_features, n_labels), flat[n_features * n_labels :]
        log_p = log_softmax(x_ND @ w.astype(np.float32) + bias)
        error = (np.exp(log_p) - truth) * share[:, None]
        slope = x_ND.T @ error.astype(np.float32) + 2 * ridge * w
        value = -(share * (log_p * truth).sum(1)).sum() + ridge * (w**2).sum()
        return float(value), np.concatenate([slope.ravel(), error.sum(0)])

    found = minimize(
        loss, np.zeros((n_features + 1) * n_labels), jac=True, method="L-BFGS-B", options={"maxiter": 150}
    ).x
    return found[: n_features * n_labels].reshape(n_features, n_labels), found[n_features * n_labels :]


def fit(spoken: Spoken, rows: Int64, *, seed: int = 0) -> VoiceExpert:
    """Fit the expert on sentences (numbers of those as they are); their roughened twins come with them."""
    n, rng = spoken.n_sentences, np.random.default_rng(seed)
    corpus = [spoken.corpus[row] for row in rows]
    expert = VoiceExpert(spoken.features_NS.shape[1], nano_config.VOICE_WIDTH)
    mean, spread, basis = space(spoken.features_NS[rows], spoken.speaker[rows], corpus, nano_config.VOICE_WIDTH)
    for buffer, value in ((expert.mean_S, mean), (expert.spread_S, spread), (expert.basis_SK, basis)):
        buffer.copy_(torch.from_numpy(np.ascontiguousarray(value)).float())
    read: list[Float32] = [expert.read(torch.from_numpy(spoken.features_NS[part])).numpy() for part in (rows, rows + n)]
    labels = spoken.labels[rows]
    effects = emotion_effects(read[0], labels, spoken.speaker[rows])
    expert.effects_7K.copy_(torch.from_numpy(effects))
    cells = np.unique(corpus, return_inverse=True)[1] * N_LABELS + labels
    weights = 1 / np.sqrt(np.bincount(cells)[cells])
    weights /= weights.mean()
    moods = [spoken.session[part] * N_LABELS + labels for part in (rows, rows + n)]
    runs = [
        (read[0], spoken.session[rows], 1.0),
        (read[0], moods[0], ONE_MOOD),
        (read[1], spoken.session[rows + n], 1.0),
        (read[1], moods[1], ROUGH_ONE_MOOD),
    ]
    even = np.full((len(rows), N_LABELS), (1 - TRUSTED) / N_LABELS)
    even[np.arange(len(rows)), labels] += TRUSTED
    found: tuple[Float64, Float64] | None = None
    for _ in range(2):  # what moves the usual: first nearly the truth, then half of it what the first fit finds
        parts: list[Float32] = []
        for x_NK, session, _ in runs:
            joined = np.zeros((len(rows), 2 * x_NK.shape[1]), np.float32)

            run_sessions(x_NK, session, partial(_told, joined, found, even, effects), rng)
            parts.append(joined)
        x_ND, scale = np.concatenate(parts), np.concatenate([weights * weight for _, _, weight in runs])
        found = regression(x_ND, np.tile(labels, len(runs)), scale, ridge=RIDGE)
    assert found is not None
    w, bias = found
    w = w * np.r_[np.full(len(w) // 2, ALONE_SCALE), np.ones(len(w) // 2)][:, None]
    no_speech = expert.read(torch.from_numpy(spoken.no_speech_MS)).numpy()
    speech = np.concatenate([*read, no_speech])
    spoke = np.r_[np.ones(2 * len(rows), np.int64), np.zeros(len(no_speech), np.int64)]
    even_weight = np.where(spoke == 1, 0.5 / (2 * len(rows)), 0.5 / len(no_speech))
    v, v_bias = regression(speech, spoke, even_weight, ridge=SPEECH_RIDGE, n_labels=2)
    with torch.no_grad():
        expert.label.weight.copy_(torch.from_numpy(w.T))
        expert.label.bias.copy_(torch.from_numpy(bias))
        expert.speech.weight.copy_(torch.from_numpy((v[:, 1] - v[:, 0])[None]))
        expert.speech.bias.copy_(torch.from_numpy(v_bias[1:] - v_bias[:1]))
    return expert.eval().requires_grad_(False)


def _told(
    kept_ND: Float32,
    found: tuple[Float64, Float64] | None,
    truth_N7: Float64,
    effects_7K: Float32,
    rows: Int64,
    x: Float32,
    usual: Float32,
) -> Float32:
    """Keep what the regression reads of these rows, and take the likely emotions away from what moves the usual."""
    kept_ND[rows] = np.concatenate([ALONE_SCALE * x, x - usual], axis=1)
    shares = truth_N7[rows]
    if found is not None:
        w, bias = found
        shares = 0.5 * shares + 0.5 * np.exp(log_softmax(kept_ND[rows] @ w + bias))
    left: Float32 = x - shares.astype(np.float32) @ effects_7K
    return left


# Calibration and reports.


def folds(spoken: Spoken, rows: Int64) -> Int64:
    """The fold of each row: speakers of every corpus are dealt out in turn."""
    place: dict[str, dict[int, int]] = {}
    out = []
    for row in rows:
        own = place.setdefault(spoken.corpus[row], {})
        out.append(own.setdefault(int(spoken.speaker[row]), len(own)) % FOLDS)
    return np.array(out)


def fitted_temperature(log_p: Float32, labels: Int64, distance: Floats) -> tuple[float, float, float]:
    """(base, per distance, usual distance) of the likeliest temperature, of predictions made at temperature 1."""
    usual = float(np.median(distance))
    # Of single-precision steps the slope of the loss would be 0, and the fit would stay where it begins.
    beyond, wide = np.clip(distance - usual, 0, None).astype(np.float64), log_p.astype(np.float64)

    def loss(values: Float64) -> float:
        scaled = log_softmax(wide / (values[0] + values[1] * beyond)[:, None])
        return float(-scaled[np.arange(len(labels)), labels].mean())

    found = minimize(loss, np.array([1.0, 0.5]), bounds=[(0.3, 4.0), (0.0, 8.0)], method="L-BFGS-B").x
    return float(found[0]), float(found[1]), usual


def distances(expert: VoiceExpert, features_NS: Float32) -> Floats:
    """(N,) root mean square of the features in the expert's space."""
    out: Floats = expert.read(torch.from_numpy(features_NS)).square().mean(-1).sqrt().numpy()
    return out


@dataclass(frozen=True)
class HeldOut:
    """Predictions for sentences whose speakers, or whose corpus, the expert was not fitted on."""

    rows: Int64
    varied: Float32
    one_mood: Float32
    rough: Float32
    distance: Floats

    @classmethod
    def by(cls, expert: VoiceExpert, spoken: Spoken, rows: Int64, seed: int = 5) -> HeldOut:
        n = spoken.n_sentences

        def run(at: Int64, session: Int64) -> Float32:
            return judged(expert, spoken.features_NS[at], session, np.random.default_rng(seed))[0]

        return cls(
            rows,
            run(rows, spoken.session[rows]),
            run(rows, spoken.session[rows] * N_LABELS + spoken.labels[rows]),
            run(rows + n, spoken.session[rows + n]),
            distances(expert, spoken.features_NS[rows]),
        )

    def told(self, spoken: Spoken) -> str:
        """Accuracies by corpus: varied / one emotion only / roughened, and the calibration error of the varied ones."""
        corpus, labels, lines = np.array([spoken.corpus[row] for row in self.rows]), spoken.labels[self.rows], []
        for name in np.unique(corpus):
            own = corpus == name
            hits = [
                float((log_p[own].argmax(1) == labels[own]).mean())
                for log_p in (self.varied, self.one_mood, self.rough)
            ]
            error = calibration_error(np.exp(self.varied[own]).astype(np.float64), labels[own])
            lines.append(f"{name} " + " / ".join(f"{hit:.3f}" for hit in hits) + f", ECE {error:.3f} ({own.sum()})")
        return "; ".join(lines)


def joined(parts: Sequence[HeldOut]) -> HeldOut:
    return HeldOut(*(np.concatenate([getattr(part, name) for part in parts]) for name in HeldOut.__dataclass_fields__))


def live_prosody(spoken: Spoken, rng: np.random.Generator) -> tuple[Float32, Int64]:
    """Prosody relative to the voice so far (2·N, 10) with a last column that is 1 where its usual is known."""
    stored = population()["voice"]
    mean, spread = np.array(stored["mean"]), np.array(stored["spread"])
    z = ((spoken.prosody - mean) / spread).astype(np.float32)
    relative = np.zeros_like(z)

    def told(rows: Int64, x: Float32, usual: Float32) -> Float32:
        relative[rows] = x - usual
        return x

    place = run_sessions(z, spoken.session, told, rng)
    # About as many seconds as that many sentences have.
    known = place >= max(USUAL_UTTERANCES, round(USUAL_S / float(spoken.seconds.mean())))
    measures = np.clip(relative[:, :10], -Z_LIMIT, Z_LIMIT) * known[:, None]
    return np.concatenate([measures, known[:, None]], axis=1).astype(np.float32), place


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--abroad", action="store_true", help="also leave out each corpus in turn")
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    spoken, plain = load(args.data, args.work), load(args.data, args.work, "plain")
    train, valid = spoken.rows(("train",)), spoken.rows(("valid",))
    fold = folds(plain, train)
    by_fold = [fit(plain, train[fold != k], seed=k) for k in range(FOLDS)]
    met = joined([HeldOut.by(expert, plain, train[fold == k]) for k, expert in enumerate(by_fold)])
    print(f"training speakers, Whisper's own layers: {met.told(plain)}", flush=True)
    calibration, final = fit(spoken, train, seed=FOLDS), fit(spoken, np.union1d(train, valid), seed=FOLDS)
    held = [HeldOut.by(calibration, spoken, valid)]
    print(f"validation speakers: {held[0].told(spoken)}", flush=True)
    if args.abroad:
        for corpus in np.unique(np.array(spoken.corpus)):
            expert = fit(spoken, spoken.rows(("train",), without=corpus), seed=FOLDS)
            held.append(HeldOut.by(expert, spoken, spoken.rows(("valid",), only=corpus)))
            print(f"abroad: {held[-1].told(spoken)}", flush=True)
    for experts, of, parts in ((by_fold, plain, [met]), ([calibration, final], spoken, held)):
        told = joined(parts)
        fitted = fitted_temperature(told.varied, of.labels[told.rows], told.distance)
        print(f"temperature {fitted}", flush=True)
        for expert in experts:
            expert.temperature_3.copy_(torch.tensor(fitted))
    calibrated = HeldOut.by(calibration, spoken, valid)
    print(f"validation speakers, calibrated: {calibrated.told(spoken)}", flush=True)
    n = spoken.n_sentences
    judges = [(expert, plain, train[fold == k]) for k, expert in enumerate(by_fold)]
    judges += [(calibration, spoken, valid), (final, spoken, np.setdiff1d(np.arange(n), np.union1d(train, valid)))]
    out = np.zeros((ORDERS, 2 * n, N_LABELS), np.float32)
    live, places = [], []
    for order in range(ORDERS):
        measures, place = live_prosody(spoken, np.random.default_rng(100 + order))
        live.append(measures)
        places.append(place)
        for expert, of, own in judges:
            for at in (own, own + n):
                rng = np.random.default_rng(100 + order)
                out[order, at] = judged(expert, of.features_NS[at], of.session[at], rng)[0]
    np.savez(args.work / "voice_verdicts.npz", log_p=out, place=np.stack(places), live=np.stack(live))
    torch.save(calibration.state_dict(), args.work / "voice_expert_calibration.pt")
    torch.save(final.state_dict(), args.work / "voice_expert.pt")


if __name__ == "__main__":
    run_command(main, "train.nano.voice_expert")
