"""IEMOCAP: five sessions of two actors each; four classes as published (excited counts as happy), a fold per session.

Session1 … Session5/dialog/EmoEvaluation/*.txt          [start - end]  utterance  label  [valence, arousal, dominance]
                    dialog/transcriptions/*.txt         utterance [start-end]: words
                    dialog/avi/DivX/*.avi               the recordings
"""

from __future__ import annotations

import re
from pathlib import Path

from train.readers.clip import Clip, DataMissing, DataSet, need

ASK = "Ask for IEMOCAP at https://sail.usc.edu/iemocap/iemocap_release.htm, and unpack IEMOCAP_full_release there."
LABELS = ("happy", "sad", "neutral", "angry")
LABEL_OF = {"hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral", "ang": "angry"}
TURN = re.compile(r"^\[(\d+\.?\d*) - (\d+\.?\d*)\]\t(Ses\w+)\t(\w+)\t", re.MULTILINE)
WORDS = re.compile(r"^(Ses\w+) \[[\d.]+-[\d.]+\]:\s*(.*)$", re.MULTILINE)
SESSIONS = 5


def read(folder: Path) -> DataSet:
    """The set in `folder`. Raises DataMissing."""
    wanted = {}
    for session in range(1, SESSIONS + 1):
        wanted[f"Session{session}/dialog/EmoEvaluation/Ses*.txt"] = f"labels of session {session}"
        wanted[f"Session{session}/dialog/avi/DivX/Ses*.avi"] = f"recordings of session {session}"
    need(folder, wanted, name="IEMOCAP", ask=ASK)
    clips: list[Clip] = []
    for session in range(1, SESSIONS + 1):
        dialog = folder / f"Session{session}" / "dialog"
        for path in sorted((dialog / "EmoEvaluation").glob("Ses*.txt")):
            clips += _turns(path, dialog, session)
    if not clips:
        raise DataMissing(f"IEMOCAP: no utterance of {', '.join(LABEL_OF)} in {folder}.", ASK)
    return DataSet("iemocap", LABELS, tuple(clips), n_folds=SESSIONS)


def _turns(path: Path, dialog: Path, session: int) -> list[Clip]:
    recording = dialog / "avi" / "DivX" / f"{path.stem}.avi"
    if not recording.is_file():
        raise DataMissing(f"IEMOCAP: {recording} is missing.", ASK)
    told = dialog / "transcriptions" / path.name
    words = dict(WORDS.findall(told.read_text("utf-8", errors="replace"))) if told.is_file() else {}
    clips = []
    for start, end, name, label in TURN.findall(path.read_text("utf-8", errors="replace")):
        if label not in LABEL_OF:
            continue
        sex = "female" if name.rsplit("_", 1)[-1].startswith("F") else "male"
        clips.append(
            Clip(
                key=name,
                path=recording,
                label=LABEL_OF[label],
                speaker=f"{session}{sex[0].upper()}",
                split="test",
                start_s=float(start),
                end_s=float(end),
                text=words.get(name, "").strip(),
                slices={"sex": sex, "acting": "improvised" if "impro" in name else "scripted"},
                folds=frozenset({session}),
            )
        )
    return clips
