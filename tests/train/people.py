"""A data folder with the sentences of two people."""

from __future__ import annotations

from pathlib import Path

from tests.ingest.media_files import voice as spoken
from train.readers import sound


def people(folder: Path) -> Path:
    """One person for validation and one for tests, who say three sentences each."""
    (folder / "voices" / "ours").mkdir(parents=True)
    lines = ["file,speaker,sex,emotion,language,seconds,text,split"]
    for speaker, split in (("a", "valid"), ("b", "test")):
        for number, emotion in enumerate(("happy", "sad", "angry")):
            file = f"{speaker}_{number}.flac"
            sound.write(folder / "voices" / "ours" / file, spoken(1.2))
            lines.append(f"{file},{speaker},female,{emotion},en,1.2,,{split}")
    (folder / "voices" / "ours" / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
