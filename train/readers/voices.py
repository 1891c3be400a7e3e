"""All spoken sentences of the data folder (`train/DATA.md`), and who of the speakers is for training.

    DATA/ravdess/labels.csv          file,emotion,intensity,statement,repetition,actor,sex
    DATA/voices/NAME/labels.csv      file,speaker,sex,emotion,language,seconds,text[,split]

`SPLITS` fixes the part of every speaker that a reported figure is about. A speaker of such a corpus that no part names
is in `reserve`: more of a corpus than was used here changes no figure. A corpus of one's own has the parts that its
column `split` gives, and `train` without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realtime.errors import NotMedia
from realtime.records import LABELS
from train.nano.ravdess import ACTORS, LABEL_OF
from train.readers import sound, tables
from train.readers.clip import DataMissing, need_files

PARTS = ("train", "valid", "test", "reserve")
COLUMNS = ("file", "speaker", "sex", "emotion", "language", "seconds", "text")
"Of `voices/NAME/labels.csv`."
RAVDESS = "ravdess"
RAVDESS_COLUMNS = ("file", "emotion", "intensity", "statement", "repetition", "actor", "sex")
SEXES = {"M": "male", "F": "female"}
STATEMENTS = {"kids": "Kids are talking by the door.", "dogs": "Dogs are sitting by the door."}
MAKE = "Make it: realtime train convert {} SOURCE --data DATA."

Split = Mapping[str, tuple[str, ...]]
"Speakers by part."

SPLITS: Mapping[str, Split] = {
    RAVDESS: {part: tuple(f"{RAVDESS}_{actor:02}" for actor in actors) for part, actors in ACTORS.items()},
    "crema_d": {
        "train": tuple(f"crema_d_{actor}" for actor in range(1001, 1072)),
        "valid": tuple(f"crema_d_{actor}" for actor in range(1072, 1082)),
        "test": tuple(f"crema_d_{actor}" for actor in range(1082, 1092)),
    },
    # KD0 and WR0 are in reserve.
    "nemo": {
        "train": ("nemo_EB0", "nemo_SM0", "nemo_TP0"),
        "valid": ("nemo_MK0", "nemo_MP0"),
        "test": ("nemo_IC0", "nemo_KS0"),
    },
    "emovo": {
        "train": ("emovo_f1", "emovo_m1"),
        "valid": ("emovo_f2", "emovo_m2"),
        "test": ("emovo_f3", "emovo_m3"),
    },
    "spanish": {
        "train": tuple(f"rc_{speaker}" for speaker in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)),
        "valid": ("rc_5", "rc_12"),
        "test": ("rc_6", "rc_13"),
    },
}
"""Of each corpus: one man and one woman at least to validate and to test on. No speaker is in two parts. The emotion of
a test speaker is never looked at for training, calibration or a choice."""


@dataclass(frozen=True)
class Voice:
    """One spoken sentence."""

    path: Path
    corpus: str
    speaker: str
    "Unique across all corpora."
    sex: str
    "`female`, `male`, or empty where it is not known."
    language: str
    "Two letters (ISO 639-1), or empty where it is not known."
    emotion: str
    "One of LABELS; RAVDESS's calm counts as neutral."
    seconds: float
    text: str
    part: str
    "One of PARTS."
    strong: bool | None = None
    "Whether the emotion was acted strongly; None where the corpus does not say."

    @property
    def key(self) -> str:
        """The corpus and the name of the file, which samples of benchmarks are told by."""
        return f"{self.corpus}/{self.path.name}"


def corpora(data: Path) -> list[str]:
    """The names of the voice corpora that the data folder holds, in a fixed order."""
    named = [RAVDESS] if (data / RAVDESS / "labels.csv").exists() else []
    return named + sorted(path.parent.name for path in (data / "voices").glob("*/labels.csv"))


def load(data: Path) -> list[Voice]:
    """The sentences of all corpora. Raises DataMissing where there is none, or where one is not whole."""
    found = [voice for corpus in corpora(data) for voice in read(data, corpus)]
    if not found:
        raise DataMissing(f"{data} holds no voices.", MAKE.format("ravdess"))
    return found


def read(data: Path, corpus: str) -> list[Voice]:
    """The sentences of one corpus in the order of its labels. Raises DataMissing that names the file and the line."""
    folder = home(data, corpus)
    labels = folder / "labels.csv"
    rows = tables.read(labels, RAVDESS_COLUMNS if corpus == RAVDESS else COLUMNS)
    ask = MAKE.format(corpus if corpus in SPLITS and corpus != "spanish" else "folder")
    need_files([folder / row["file"] for row in rows], name=corpus, ask=ask)
    voices = []
    for line, row in enumerate(rows, start=2):
        try:
            voices.append(_acted(folder, row) if corpus == RAVDESS else _voice(folder, row))
        except (KeyError, ValueError, NotMedia) as error:
            told = f"nobody knows what {error} is." if isinstance(error, KeyError) else error
            raise DataMissing(f"{labels}, line {line}: {told}", f"Correct that line, or remove it. {ask}") from error
    return voices


def home(data: Path, corpus: str) -> Path:
    """The folder of a corpus."""
    return data / RAVDESS if corpus == RAVDESS else data / "voices" / corpus


def part_of(corpus: str, speaker: str, told: str = "") -> str:
    """The part of a speaker: from SPLITS, or for another corpus as its labels tell, and `train` where they do not.

    Raises ValueError for a part that there is not.
    """
    if corpus in SPLITS:
        return next((part for part, speakers in SPLITS[corpus].items() if speaker in speakers), "reserve")
    if told not in ("", *PARTS):
        raise ValueError(f"split {told} is none of {', '.join(PARTS)}.")
    return told or "train"


def _voice(folder: Path, row: Mapping[str, str]) -> Voice:
    if row["emotion"] not in LABELS:
        raise ValueError(f"emotion {row['emotion']!r} is none of {', '.join(LABELS)}.")
    if not row["speaker"]:
        raise ValueError("the speaker is not named.")
    return Voice(
        path=folder / row["file"],
        corpus=folder.name,
        speaker=row["speaker"],
        sex=row["sex"],
        language=row["language"],
        emotion=row["emotion"],
        seconds=float(row["seconds"]),
        text=row["text"],
        part=part_of(folder.name, row["speaker"], row.get("split") or ""),
    )


def _acted(folder: Path, row: Mapping[str, str]) -> Voice:
    """A sentence of RAVDESS; its labels do not tell its length."""
    path = folder / row["file"]
    speaker = f"{RAVDESS}_{int(row['actor']):02}"
    if row["emotion"] not in LABEL_OF:
        raise ValueError(f"emotion {row['emotion']!r} is none of {', '.join(LABEL_OF)}.")
    return Voice(
        path=path,
        corpus=RAVDESS,
        speaker=speaker,
        sex=SEXES[row["sex"]],
        language="en",
        emotion=LABEL_OF[row["emotion"]],
        seconds=sound.seconds(path),
        text=STATEMENTS[row["statement"]],
        part=part_of(RAVDESS, speaker),
        strong=row["intensity"] == "strong",
    )
