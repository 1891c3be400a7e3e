"""CREMA-D: 7,442 acted clips with crowd votes for voice, face and both (91 actors, six emotions).

    tabulatedVotes.csv (or processedResults/)   the first digit of the row number: 1 voice, 2 face, 3 both
    VideoDemographics.csv                       ActorID,Age,Sex,Race,Ethnicity
    VideoFlash/*.flv, clips/*.flv or AudioWAV/*.wav

Labels are the crowd's audio-visual vote, `votes` its shares. A slice says where its votes on voice and face differ.
Recordings that are missing are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from train.readers import tables
from train.readers.clip import Clip, DataMissing, DataSet, find_media, need, tell_skipped

ASK = "Fetch CREMA-D from https://github.com/CheyneyComputerScience/CREMA-D (git lfs)."
LABELS = ("happy", "sad", "neutral", "angry", "disgust", "fear")
COLUMNS = {"H": "happy", "S": "sad", "N": "neutral", "A": "angry", "D": "disgust", "F": "fear"}
VOICE, FACE, BOTH = "1", "2", "3"
"The first digit of a row's number: which modality the crowd was given."
CONFLICT = "crowd's votes on voice and face"


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    need(folder, {"**/tabulatedVotes.csv": "votes", "**/VideoDemographics.csv": "actors"}, name="CREMA-D", ask=ASK)
    people = {row["ActorID"]: row for row in tables.read(next(folder.glob("**/VideoDemographics.csv")), ("ActorID",))}
    held = find_media(folder)
    counts: dict[tuple[str, str], dict[str, float]] = {}
    skipped: list[str] = []
    for row in tables.read(next(folder.glob("**/tabulatedVotes.csv")), ("", "fileName", *COLUMNS)):
        try:
            found = {label: float(row[column] or 0) for column, label in COLUMNS.items()}
        except ValueError:
            skipped.append(row["fileName"])
            continue
        if any(found.values()):
            counts[row[""][:1], row["fileName"]] = found
    tell_skipped("CREMA-D", tuple(skipped), "their votes are no numbers")
    clips = []
    for (given, name), both in counts.items():
        if given != BOTH or name not in held:
            continue
        alone = [_clear(counts.get((one, name), {})) for one in (VOICE, FACE)]
        told = "undecided" if None in alone else "differ" if alone[0] != alone[1] else "agree"
        clips.append(
            Clip(
                key=name, path=held[name], label=max(both, key=lambda key: both[key]), speaker=name[:4], split="test",
                votes={label: count / sum(both.values()) for label, count in both.items()},
                slices=_slices(people.get(name[:4], {})) | {CONFLICT: told},
            )
        )  # fmt: skip
    if not clips:
        raise DataMissing(f"CREMA-D: {folder} holds votes, but none of the recordings they are for.", ASK)
    return DataSet("crema-d", LABELS, tuple(clips))


def _clear(counts: Mapping[str, float]) -> str | None:
    """The label with the most votes; None where two share the first place, or there are no votes."""
    best = max(counts.values(), default=0)
    first = [label for label, count in counts.items() if count == best]
    return first[0] if len(first) == 1 else None


def _slices(person: Mapping[str, str]) -> dict[str, str]:
    age = person.get("Age", "")
    band = "" if not age.isdigit() else "under 30" if int(age) < 30 else "30 to 49" if int(age) < 50 else "50 and over"
    told = {"sex": person.get("Sex", "").lower(), "age": band, "people": person.get("Race", "")}
    return {name: value for name, value in told.items() if value}
