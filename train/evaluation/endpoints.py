"""Compares the voice activity detectors where speech begins and ends, in silence and in noise.

    realtime train evaluation.endpoints --data DATA [--sentences N]

N sentences of each corpus of voices stand between 1 s and 2 s of noise, at each signal-to-noise ratio (against the
level of the spoken part), as they are and whispered (`train.nano.sound_guard`). The true beginning and end are where
the clean sentence first and last comes within 30 dB of its loudest 30 ms. For each detector a row tells: sentences of
which no stretch was found, sentences cut in pieces, the median of the time from the true end until the end was known,
and how many ends were known later than 1 s. Another tells the stretches per minute of noise alone, without noises that
people make, and what deciding costs. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.ingest.speech import DetectorName, SpeechCutter, SpeechSettings
from realtime.ingest.vad import FRAME_S, FRAME_SAMPLES
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, SpeechSegment
from train.command import run_command
from train.nano.sound_guard import OF_PEOPLE, whispered
from train.readers import sound, tables, voices

VADS: tuple[DetectorName, ...] = get_args(DetectorName)
SNR_DB: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0, 0.0)
BEFORE_S, AFTER_S = 1.0, 2.0
SPOKEN_DB = 30.0
ROOM = 10 ** (-70 / 20)
"RMS of a quiet room, beneath everything."
STEP = SAMPLE_RATE_HZ // 50


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data folder (train/DATA.md)")
    parser.add_argument("--sentences", type=int, default=20, metavar="N", help="of each corpus (default: 20)")
    args = parser.parse_args()
    rows = tables.read(args.data / "noises" / "labels.csv", ("file", "type"))
    noises = [sound.read(args.data / "noises" / row["file"]) for row in rows if row["type"] not in OF_PEOPLE]
    by_corpus = corpora(args.data, args.sentences)
    found = [false_alarms(vad, noises) for vad in VADS]
    for vad in VADS:
        for name, sentences in by_corpus.items():
            found += [compared(vad, name, sentences, noises, snr_db) for snr_db in SNR_DB]
        whispers = [whispered(one, seed=index) for index, one in enumerate(by_corpus["ravdess"])]
        found += [compared(vad, "ravdess, whispered", whispers, noises, snr_db) for snr_db in SNR_DB[:3]]
    for row in found:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps(found))


def corpora(data: Path, n: int) -> dict[str, list[Float32]]:
    """n sentences of each corpus, drawn from all of its speakers. Raises DataMissing and NotMedia."""
    everything, drawn = voices.load(data), {}
    for name in sorted({voice.path.parent.name for voice in everything}):
        own = [voice for voice in everything if voice.path.parent.name == name]
        chosen = np.random.default_rng(0).permutation(len(own))[:n]
        drawn[name] = [sound.read(own[index].path) for index in chosen]
    return drawn


def spoken(samples_N: Float32) -> tuple[float, float]:
    """Seconds of the true beginning and end of a clean sentence."""
    frames_FN = samples_N[: samples_N.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    level_F = 10 * np.log10(np.square(frames_FN, dtype=np.float64).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level_F > level_F.max() - SPOKEN_DB)
    return float(loud[0]) * FRAME_S, float(loud[-1] + 1) * FRAME_S


def among(noise_N: Float32, samples_N: Float32, snr_db: float | None, rng: np.random.Generator) -> Float32:
    """(N,) the sentence between noise and over it."""
    whole_N = np.pad(samples_N, (round(BEFORE_S * SAMPLE_RATE_HZ), round(AFTER_S * SAMPLE_RATE_HZ)))
    heard_N = whole_N + rng.normal(0, ROOM, whole_N.size)
    if snr_db is not None:
        first, end = (round(at_s * SAMPLE_RATE_HZ) for at_s in spoken(samples_N))
        beside_N = np.resize(noise_N, whole_N.size)
        power = float(np.square(samples_N[first:end]).mean()) / 10 ** (snr_db / 10)
        heard_N += beside_N * (power / max(float(np.square(beside_N).mean()), 1e-12)) ** 0.5
    return np.asarray(heard_N.clip(-1, 1), np.float32)


def cut(vad: DetectorName, samples_N: Float32) -> list[tuple[SpeechSegment, float]]:
    """The stretches, each with the second at which its end was known."""
    cutter, found = SpeechCutter(SpeechSettings(vad=vad)), []
    for start in range(0, samples_N.size, STEP):
        chunk = AudioChunk(start / SAMPLE_RATE_HZ, samples_N[start : start + STEP])
        found += [(item, cutter.heard_s) for item in cutter.push(chunk) if isinstance(item, SpeechSegment)]
    return found + [(item, cutter.heard_s) for item in cutter.flush()]


def compared(
    vad: DetectorName, corpus: str, sentences: Sequence[Float32], noises: Sequence[Float32], snr_db: float | None
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    missed = pieces = 0
    late_s: list[float] = []
    for samples_N in sentences:
        heard_N = among(noises[int(rng.integers(len(noises)))], samples_N, snr_db, rng)
        first_s, end_s = (BEFORE_S + at_s for at_s in spoken(samples_N))
        own = [(part, known_s) for part, known_s in cut(vad, heard_N) if part.start_s < end_s and part.end_s > first_s]
        missed, pieces = missed + (not own), pieces + (len(own) > 1)
        late_s += [own[-1][1] - end_s] if own else []
    return {
        "vad": vad,
        "corpus": corpus,
        "snr_db": snr_db,
        "sentences": len(sentences),
        "missed": missed,
        "in_pieces": pieces,
        "known_after_s": round(statistics.median(late_s), 2) if late_s else None,
        "later_than_1_s": sum(late > 1.0 for late in late_s),
    }


def false_alarms(vad: DetectorName, noises: Sequence[Float32]) -> dict[str, Any]:
    """Stretches found in noise alone, and what deciding costs."""
    began_s = time.process_time()
    n_found = sum(len(cut(vad, noise_N)) for noise_N in noises)
    heard_s = sum(noise_N.size for noise_N in noises) / SAMPLE_RATE_HZ
    return {
        "vad": vad,
        "noises": len(noises),
        "stretches_per_minute": round(n_found / heard_s * 60, 2),
        "cpu_ms_per_s": round((time.process_time() - began_s) / heard_s * 1000, 1),
    }


if __name__ == "__main__":
    run_command(main, "train.evaluation.endpoints")
