"""Says what the data folder holds: faces, votes, and of each voice corpus its speakers, sentences, hours and split."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from realtime.errors import BadSettings
from realtime.records import LABELS
from train.nano import crowd, ferplus
from train.readers import voices
from train.readers.clip import DataMissing
from train.readers.voices import MAKE, PARTS, RAVDESS, SPLITS, Voice

NAMED = 6
"This many speakers of a part are named; the rest are counted."


def check(data: Path) -> int:
    """Print the report.

    0 where FER+, RAVDESS and CREMA-D's votes are there, as the recipe of nano needs, and all is whole; else 3.
    """
    if not data.is_dir():
        raise BadSettings(f"There is no folder {data}.", "Name the data folder with --data, or make it first.")
    whole = [_told("ferplus", faces, data), _told("crema_d", votes, data)]
    held = voices.corpora(data)
    for corpus in dict.fromkeys([*SPLITS, *held]):
        if corpus in held:
            whole.append(_told(corpus, voices_of, data))
        else:
            print(f"{corpus}: no voices there. {_how(corpus)}")
            whole.append(corpus != RAVDESS)
    return 0 if all(whole) else DataMissing.exit_code


def faces(data: Path, name: str) -> Iterator[str]:
    found = ferplus.load(data)
    parts = ", ".join(f"{part} {len(found.part(part))}" for part in ("train", "valid", "test"))
    yield f"{name}: {len(found.index_N)} faces whose majority vote is one of the seven labels: {parts}"
    counts = Counter(LABELS[label] for label in found.labels_N)
    yield f"  {', '.join(f'{label} {counts[label]}' for label in LABELS)}"


def votes(data: Path, name: str) -> Iterator[str]:
    found = crowd.load(data)
    yield f"{name}: crowd votes on {len(found.file)} clips of {len(set(found.actor))} actors"


def voices_of(data: Path, name: str) -> Iterator[str]:
    """The lines about one voice corpus. Raises DataMissing."""
    found = voices.read(data, name)
    yield f"{name}: {_size(found)}; {', '.join(sorted({voice.language or 'language unknown' for voice in found}))}"
    counts = Counter(voice.emotion for voice in found)
    yield f"  {', '.join(f'{label} {counts[label]}' for label in LABELS)}"
    for part in PARTS:
        own = [voice for voice in found if voice.part == part]
        if own:
            yield f"  {part}: {_size(own)}: {_names({voice.speaker for voice in own})}"
    there = {voice.speaker for voice in found}
    for part, speakers in SPLITS.get(name, {}).items():
        if lacking := [speaker for speaker in speakers if speaker not in there]:
            yield f"  {part} lacks {_names(lacking)}"
    sexes = {voice.sex for voice in found if voice.part == "valid"}
    if lacking := [what for what, sex in (("man", "male"), ("woman", "female")) if sex not in sexes]:
        yield f"  no {' and no '.join(lacking)} to validate on"


def _names(speakers: Collection[str]) -> str:
    first = ", ".join(sorted(speakers)[:NAMED])
    return f"{first} and {len(speakers) - NAMED} more" if len(speakers) > NAMED else first


def _size(found: Sequence[Voice]) -> str:
    sexes = Counter({voice.speaker: voice.sex for voice in found}.values())
    told = ", ".join(f"{n} {sex or 'of unknown sex'}" for sex, n in sorted(sexes.items()))
    hours = sum(voice.seconds for voice in found) / 3600
    return f"{sexes.total()} speakers ({told}), {len(found)} sentences, {hours:.2f} h"


def _told(name: str, of: Callable[[Path, str], Iterator[str]], data: Path) -> bool:
    """Print a part of the report; False where that part of the folder is missing or broken."""
    try:
        for line in of(data, name):
            print(line)
    except DataMissing as error:
        print(f"{name}: {error.message}\n  {error.hint}")
    except FileNotFoundError as error:
        print(f"{name}: {error.filename} is missing. {_how(name)}")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        print(f"{name}: its file is damaged ({error}). {_how(name)}")
    else:
        return True
    return False


def _how(name: str) -> str:
    return MAKE.format("folder" if name == "spanish" else name)
