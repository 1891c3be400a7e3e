"""Makes the data folder, which all stages of training and evaluation read, from official downloads (train/DATA.md).

    realtime train convert SET SOURCE --data DATA
    realtime train convert check --data DATA

SET is ferplus, ravdess, crema_d, nemo, emovo or folder (recordings of your own with labels.csv). SOURCE is the folder
where the set was unpacked; nothing in it is changed. Sound becomes 16 kHz mono. The command prints what it wrote, and
what it skipped and why. It can be stopped, and the same command goes on. `check` prints what the data folder holds, how
it is split by speaker, and what is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime.commands.program_parser import ProgramParser
from realtime.outputs import DiskFull
from train.command import run_command
from train.convert import check, faces, official, voices
from train.readers import cremad
from train.readers.clip import DataMissing, need

TABLES = ("tabulatedVotes.csv", "VideoDemographics.csv", "SentenceFilenames.csv", "summaryTable.csv", "LICENSE.txt")
"Of CREMA-D, kept as published; the first two are needed."


def parser() -> argparse.ArgumentParser:
    args = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = args.add_subparsers(dest="set", required=True, metavar="SET")
    for name in ("ferplus", *official.OFFICIAL, "folder"):
        one = sets.add_parser(name)
        one.add_argument("source", type=Path, metavar="SOURCE", help="where the set was unpacked")
        one.add_argument("--data", type=Path, required=True, help="the data folder")
        one.add_argument("--partial", action="store_true", help="convert what is there, though the set is not whole")
        if name == "folder":
            one.add_argument("--name", help="of the corpus (default: the name of SOURCE)")
    sets.add_parser("check").add_argument("--data", type=Path, required=True, help="the data folder")
    return args


def main() -> int:
    args = parser().parse_args()
    if args.set == "check":
        return check.check(args.data)
    try:
        return convert_faces(args) if args.set == "ferplus" else convert_voices(args)
    except OSError as error:
        raise DiskFull(
            f"{error.filename or args.data} cannot be read or written: {error.strerror}.",
            "Free some space, or correct the rights, and run the same command again; it goes on where it stopped.",
        ) from error


def convert_faces(args: argparse.Namespace) -> int:
    out, counts = faces.write(args.source, args.data, partial=args.partial)
    print(f"{out}: {', '.join(f'{name} {count}' for name, count in counts.items())}")
    return 0


def convert_voices(args: argparse.Namespace) -> int:
    """0, or 3 where recordings could not be converted."""
    corpus = (args.name or args.source.resolve().name) if args.set == "folder" else args.set
    found = official.read(args.set, args.source, corpus=corpus)
    if args.set == "crema_d":
        need(args.source, {f"**/{TABLES[0]}": "the crowd's votes"}, name="CREMA-D", ask=cremad.ASK)
        copied = voices.copy_tables(TABLES, args.source, args.data / "crema_d")
        print(f"{args.data / 'crema_d'}: {', '.join(copied)}")
    for line in voices.listed(found.skipped):
        print(f"skipped {line}")
    if not found.sentences:
        print("No recordings there: votes alone.")
        return 0
    written = voices.write(found, args.data, args.source, partial=args.partial)
    for line in voices.listed(written.failed):
        print(f"failed {line}")
    print(f"{written.folder}: {written.n_written} sentences, {written.n_new} of them new")
    for line in check.voices_of(args.data, found.corpus):
        print(line)
    return DataMissing.exit_code if written.failed and not args.partial else 0


if __name__ == "__main__":
    run_command(main, "train.convert")
