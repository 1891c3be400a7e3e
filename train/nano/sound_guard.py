"""Measures what tells a voice from noise, and a telephone from a microphone, on people and sounds kept apart.

    realtime train nano.sound_guard --data DATA [--sentences N]

The thresholds of `realtime.evidence.voice` are fitted on every other speaker and noise, and on the others the command
counts errors: with the thresholds that are served, and with the fitted ones. It prints one line of JSON.

Noises are the stretches that the live segmenter cuts from DATA/noises (`file,type`). Sentences are N of every speaker
of the data folder: as they are; as whispers (linear prediction with noise in place of the pulses); and through 8 kHz,
linear and µ-law by turns.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.signal

from realtime.commands.program_parser import ProgramParser
from realtime.evidence.voice import (
    ARTICULATION,
    NARROW_BELOW_DB,
    ROLLOFF_SPREAD,
    WhisperThresholds,
    high_band,
    sound_kind,
    voice_features,
)
from realtime.ingest.speech import SpeechCutter, SpeechSettings
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, SoundKind, SpeechSegment
from train.command import run_command
from train.readers import sound, tables, voices

ORDER, FRAME, HOP = 16, 400, 160
"Of the linear prediction: poles, samples of a frame, and samples between two."
OF_PEOPLE = frozenset({"crowd", "cry", "laugh", "cough", "yawn", "snore", "baby", "speech"})
"Types of noise that people make with their voices or mouths; they are counted apart."
MISSED = 1.0
"Per cent of the fitted whispers and sentences that each threshold may cost."


@dataclass(frozen=True)
class Measured:
    """What decides about one sound."""

    values: dict[str, float]
    features_P: Float32
    seconds: float
    of_people: bool = False

    def kind(self, thresholds: WhisperThresholds) -> SoundKind:
        return sound_kind(self.values, self.features_P, seconds=self.seconds, thresholds=thresholds)

    @classmethod
    def of(cls, samples_N: Float32, *, of_people: bool = False) -> Measured:
        return cls(*voice_features(samples_N), len(samples_N) / SAMPLE_RATE_HZ, of_people)


@dataclass(frozen=True)
class Half:
    """The sounds of one half of the speakers and noises."""

    noises: list[Measured]
    sentences: list[Measured]
    whispers: list[Measured]
    wide_db: list[float]
    "Of the sentences as they are, the energy above 4.5 kHz against that of the telephone's band."
    narrow_db: list[float]
    "Of the same sentences through 8 kHz."


def whispered(samples_N: Float32, seed: int) -> Float32:
    """(N,) the sentence excited by noise, in place of what excited it: the mouth stays, the voice goes."""
    rng = np.random.default_rng(seed)
    window_F = scipy.signal.get_window("hann", FRAME)
    out_N = np.zeros(len(samples_N) + FRAME)
    for start in range(0, max(len(samples_N) - FRAME, 0), HOP):
        frame_F = samples_N[start : start + FRAME].astype(np.float64) * window_F
        products = np.correlate(frame_F, frame_F, "full")[FRAME - 1 : FRAME + ORDER]
        # A little white noise keeps the equations solvable in silence.
        products[0] = products[0] * 1.0001 + 1e-9
        poles = scipy.linalg.solve_toeplitz(products[:-1], products[1:])
        power = max(products[0] - poles @ products[1:], 0.0) / FRAME
        excited_F = scipy.signal.lfilter([1.0], [1.0, *-poles], rng.normal(0.0, power**0.5, FRAME))
        out_N[start : start + FRAME] += excited_F * window_F
    return np.asarray(out_N[: len(samples_N)].clip(-1.0, 1.0), np.float32)


def through_telephone(samples_N: Float32, *, mu_law: bool) -> Float32:
    """(N,) the sentence sampled at 8 kHz, with `mu_law` in the 8 bits of G.711, and brought back to 16 kHz."""
    narrow_N = scipy.signal.resample_poly(samples_N, 1, 2)
    if mu_law:
        coded_N = np.sign(narrow_N) * np.log1p(255.0 * np.abs(narrow_N).clip(0, 1)) / np.log(256.0)
        coded_N = np.round(coded_N * 127.0) / 127.0
        narrow_N = np.sign(coded_N) * (256.0 ** np.abs(coded_N) - 1.0) / 255.0
    return np.asarray(scipy.signal.resample_poly(narrow_N, 2, 1), np.float32)


def stretches(samples_N: Float32) -> list[Float32]:
    """What the live segmenter takes for speech."""
    cutter = SpeechCutter(SpeechSettings())
    heard = [*cutter.push(AudioChunk(0.0, samples_N)), *cutter.flush()]
    return [part.samples_N for part in heard if isinstance(part, SpeechSegment)]


def halves(data: Path, n_sentences: int) -> tuple[Half, Half]:
    """The half to fit on and the half to report. Raises DataMissing, and NotMedia for a file that is damaged."""
    made = tuple(Half([], [], [], [], []) for _ in range(2))
    rows = tables.read(data / "noises" / "labels.csv", ("file", "type"))
    # By type, so that both halves have some of each.
    for place, row in enumerate(sorted(rows, key=lambda row: (row["type"], row["file"]))):
        for samples_N in stretches(sound.read(data / "noises" / row["file"])):
            made[place % 2].noises.append(Measured.of(samples_N, of_people=row["type"] in OF_PEOPLE))
    everything = voices.load(data)
    for place, speaker in enumerate(sorted({voice.speaker for voice in everything})):
        own, half = [voice for voice in everything if voice.speaker == speaker], made[place % 2]
        for index in np.random.default_rng(place).permutation(len(own))[:n_sentences]:
            samples_N = max(stretches(sound.read(own[index].path)), key=len, default=np.zeros(0, np.float32))
            if len(samples_N) == 0:
                continue
            half.sentences.append(Measured.of(samples_N))
            half.whispers.append(Measured.of(whispered(samples_N, seed=int(index))))
            half.wide_db.append(high_band(samples_N))
            half.narrow_db.append(high_band(through_telephone(samples_N, mu_law=bool(index % 2))))
    return made[0], made[1]


def fitted(half: Half) -> tuple[WhisperThresholds, float]:
    """The thresholds, and the one for a narrow band in dB, by which `half` is told apart."""
    unvoiced_below = float(np.percentile([one.values["voiced_ratio"] for one in half.sentences], MISSED))
    unvoiced = [one for one in half.whispers if one.values["voiced_ratio"] < unvoiced_below] or half.whispers
    thresholds = WhisperThresholds(
        unvoiced_below=unvoiced_below,
        articulation=float(np.percentile([one.features_P[ARTICULATION].mean() for one in unvoiced], MISSED)),
        rolloff_spread_hz=float(np.percentile([one.features_P[ROLLOFF_SPREAD] for one in unvoiced], MISSED)),
    )
    between_db = (np.percentile(half.wide_db, MISSED) + np.percentile(half.narrow_db, 100 - MISSED)) / 2
    return thresholds, float(between_db)


def errors(half: Half, thresholds: WhisperThresholds, narrow_below_db: float) -> dict[str, object]:
    """Shares of wrong decisions, each with the number of sounds it is a share of."""
    machines = [one for one in half.noises if not one.of_people]
    unvoiced = [one for one in machines if one.values["voiced_ratio"] < thresholds.unvoiced_below]
    people = [one for one in half.noises if one.of_people]
    return {
        "noise_taken_for_voice": _share([one.kind(thresholds) == "voice" for one in machines]),
        "unvoiced_noise_taken_for_voice": _share([one.kind(thresholds) == "voice" for one in unvoiced]),
        "noise_of_people_taken_for_voice": _share([one.kind(thresholds) == "voice" for one in people]),
        "whisper_missed": _share([one.kind(thresholds) != "voice" for one in half.whispers]),
        "speech_missed": _share([one.kind(thresholds) != "voice" for one in half.sentences]),
        "wide_called_narrow": _share([db < narrow_below_db for db in half.wide_db]),
        "narrow_called_wide": _share([db >= narrow_below_db for db in half.narrow_db]),
    }


def _share(wrong: Sequence[bool]) -> tuple[float, int]:
    return (round(float(np.mean(wrong)), 4) if wrong else float("nan")), len(wrong)


def measure(data: Path, n_sentences: int) -> dict[str, object]:
    """Thresholds and errors on the half that they were not fitted on."""
    fit, held_out = halves(data, n_sentences)
    thresholds, narrow_below_db = fitted(fit)
    return {
        "served": asdict(WhisperThresholds()) | {"narrow_below_db": NARROW_BELOW_DB},
        "fitted": asdict(thresholds) | {"narrow_below_db": narrow_below_db},
        "held_out_served": errors(held_out, WhisperThresholds(), NARROW_BELOW_DB),
        "held_out_fitted": errors(held_out, thresholds, narrow_below_db),
        "fit_fitted": errors(fit, thresholds, narrow_below_db),
    }


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=6, help="of every speaker")
    args = parser.parse_args()
    print(json.dumps(measure(args.data, args.sentences)))


if __name__ == "__main__":
    run_command(main, "train.nano.sound_guard")
