"""Cut, roughen and measure the sentences of all corpora once, and make sounds in which nobody speaks.

    realtime train nano.voice_sounds --data DATA --work WORK

The stage writes three pairs of archives into WORK/voices and skips what is there. NAME.pcm.npz holds sounds at 16 kHz,
NAME.npz their prosody, length and `session`: sentences that one person said through one microphone. `clean` is what the
live segmenter cuts from each recording, `rough` the same through other microphones, rooms and lines, both in the order
of `readers/voices.load`; `no_speech` is recorded noise, breath, typing, music and hum. It takes about 25 minutes on one
core.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.evidence.voice import voice_features
from realtime.outputs import refuse_input
from realtime.records import SAMPLE_RATE_HZ, Float32
from train.arrays import Int64
from train.command import run_command
from train.nano import roughen
from train.nano.prepare import save
from train.readers import sound, voices

NAMES = ("clean", "rough", "no_speech")
N_NO_SPEECH = 1500
SESSION_LENGTH = 12
"Sentences that share a microphone, a room and a line, where they are roughened."
NO_SPEECH_SEED = 10_000_000


class Sounds:
    """The sounds of one archive."""

    def __init__(self, work: Path, name: str) -> None:
        with np.load(work / "voices" / f"{name}.pcm.npz") as file:
            self._pcm, self._end = file["pcm"], file["end"]

    def __len__(self) -> int:
        return len(self._end)

    def __getitem__(self, index: int) -> Float32:
        start = self._end[index - 1] if index else 0
        out: Float32 = self._pcm[start : self._end[index]].astype(np.float32) / 32768
        return out


def store(work: Path, name: str, sounds: Iterable[Float32]) -> Sounds:
    """Write sounds as 16-bit PCM, unless the archive exists."""
    path = work / "voices" / f"{name}.pcm.npz"
    if not path.exists():
        parts = [np.round(samples * 32768).clip(-32768, 32767).astype(np.int16) for samples in sounds]
        save(path, {"pcm": np.concatenate(parts), "end": np.cumsum([len(part) for part in parts])})
    return Sounds(work, name)


def measure(work: Path, name: str, sounds: Sounds, session: Int64) -> None:
    """Write prosody and length of all sounds, unless the archive exists."""
    path = work / "voices" / f"{name}.npz"
    if path.exists():
        return
    started, features = time.monotonic(), []
    for index in range(len(sounds)):
        features.append(voice_features(sounds[index])[1])
        if index % 500 == 499:
            print(f"{name} {index + 1}/{len(sounds)}, {time.monotonic() - started:.0f} s", flush=True)
    seconds = np.array([len(sounds[index]) / SAMPLE_RATE_HZ for index in range(len(sounds))], np.float32)
    save(path, {"features": np.stack(features), "seconds": seconds, "session": session})


def sessions(spoken: Sequence[voices.Voice], seed: int) -> Int64:
    """(N,) the session of each sentence: each speaker's sentences in a random order, `SESSION_LENGTH` at a time."""
    rng = np.random.default_rng(seed)
    speakers = np.array([voice.speaker for voice in spoken])
    out, n_sessions = np.zeros(len(spoken), np.int64), 0
    for speaker in np.unique(speakers):
        rows = rng.permutation(np.flatnonzero(speakers == speaker))
        out[rows] = n_sessions + np.arange(len(rows)) // SESSION_LENGTH
        n_sessions = int(out[rows].max()) + 1
    return out


def rough_sentence(
    spoken: Sequence[voices.Voice], clean: Sounds, session: Int64, noises: Sequence[Float32]
) -> Callable[[int], Float32]:
    """A function that roughens a sentence: all those of a session through the same microphone, room and line.

    Voices behind are of the same part, so that no test speaker is heard in training.
    """
    n = len(spoken)
    of_part = {part: [row for row in range(n) if spoken[row].part == part] for part in voices.PARTS}

    def rough(index: int) -> Float32:
        seed = zlib.crc32(f"0 {session[index]}".encode())
        same = of_part[spoken[index].part][:: max(1, n // 200)]
        behind = [clean[int(row)] for row in np.random.default_rng(seed).permutation(same)[:6]]
        return roughen.roughened(clean[index], np.random.default_rng(seed), noises=noises, others=behind)

    return rough


def train_noises(data: Path) -> list[Float32]:
    """Every second recorded noise. The others are left for tests."""
    return [sound.read(path) for _, _, path in roughen.read_noises(data / "noises")[::2]]


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    (args.work / "voices").mkdir(parents=True, exist_ok=True)
    spoken, noises = voices.load(args.data), train_noises(args.data)
    cut = (sound.longest_speech(sound.read(voice.path)).samples_N for voice in spoken)
    clean = store(args.work, "clean", cut)
    if len(clean) != len(spoken):
        raise SystemExit(f"{args.work} holds {len(clean)} sentences and the data {len(spoken)}: remove its voices.")
    _, speaker = np.unique([voice.speaker for voice in spoken], return_inverse=True)
    measure(args.work, "clean", clean, speaker)
    session = sessions(spoken, 0)
    rough = rough_sentence(spoken, clean, session, noises)
    measure(args.work, "rough", store(args.work, "rough", map(rough, range(len(spoken)))), session)

    def no_speech(index: int) -> Float32:
        rng = np.random.default_rng(NO_SPEECH_SEED + index)
        return roughen.no_speech(int(rng.uniform(0.4, 5) * SAMPLE_RATE_HZ), rng, noises=noises)

    made = store(args.work, "no_speech", map(no_speech, range(N_NO_SPEECH)))
    measure(args.work, "no_speech", made, np.arange(N_NO_SPEECH))


if __name__ == "__main__":
    run_command(main, "train.nano.voice_sounds")
