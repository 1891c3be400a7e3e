"""How often the guard of transcripts is wrong: English that it refuses, other languages and noise that it believes.

    realtime train words.guard_check --data DATA --model FOLDER [--limit 60]

`--model` is what `speech.words_model` takes. It prints, for each corpus of the data folder (`train/DATA.md`), how many
sentences were believed at several limits of confidence. One thread; 0.15 s of CPU a sentence for tiny.en.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from realtime.commands.program_parser import ProgramParser
from realtime.words.guard import SURE, Transcript, doubt
from realtime.words.whisper import Whisper
from train.command import run_command
from train.readers import sound, tables
from train.readers.clip import DataMissing

CORPORA = {"ravdess": "en", "voices/spanish": "es", "voices/emovo": "it", "voices/nemo": "pl", "noises": ""}
"Language by folder of the data folder."
LIMITS = (0.37, 0.5, SURE, 0.7, 0.8)
LONGEST_S = 8
"As `speech.max_segment_ms` cuts."


def transcripts(whisper: Whisper, folder: Path, limit: int) -> list[Transcript]:
    """Of `limit` files of a corpus, drawn with a fixed seed. Raises DataMissing."""
    if not (folder / "labels.csv").is_file():
        raise DataMissing(f"{folder} has no labels.csv.", "Name the data folder; train/DATA.md says what lies in it.")
    files = [row["file"] for row in tables.read(folder / "labels.csv", ("file",))]
    random.Random(0).shuffle(files)
    return [whisper.transcribe(sound.read(folder / name)[: LONGEST_S * 16_000]) for name in files[:limit]]


def believed(found: list[Transcript], limit: float) -> int:
    """How many are believed when the limit of confidence is `limit` in place of `SURE`."""
    # Moving what is measured moves the limit.
    return sum(doubt(replace(each, confidence=each.confidence - limit + SURE)) is None for each in found)


def table(found: Mapping[str, list[Transcript]]) -> str:
    lines = [f"{'corpus':16} {'language':8} {'n':>5} " + " ".join(f"{limit:>6.2f}" for limit in LIMITS)]
    for name, each in found.items():
        counts = " ".join(f"{believed(each, limit):>6}" for limit in LIMITS)
        lines.append(f"{name:16} {CORPORA[name] or 'noise':8} {len(each):>5} {counts}")
    return "\n".join(lines)


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True, help="a name that faster-whisper knows, a hub id, or a folder")
    parser.add_argument("--limit", type=int, default=60, help="sentences of each corpus")
    args = parser.parse_args()
    whisper = Whisper(args.model)
    print(table({name: transcripts(whisper, args.data / name, args.limit) for name in CORPORA}))


if __name__ == "__main__":
    run_command(main, "train.words.guard_check")
