"""Settings of recording, which is off unless a folder and a key are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kept = Literal["events", "media"]


@dataclass(frozen=True)
class RecordSettings:
    """Encrypted recordings of sessions whose owner agreed."""

    dir: Path | None = None
    "Folder of the recordings. None: nothing is kept."
    key_file: Path | None = None
    "The operator's key, from `python -m realtime.recording new-key FILE`. Nobody can read a recording without it."
    what: Kept = "events"
    "What is kept at most: `events`, or `media` as well, where a session agrees to that."
    days: float = 30.0
    "Days after which a recording is deleted, at most an hour late; by a server that was off, when it starts again."

    def __post_init__(self) -> None:
        if (self.dir is None) != (self.key_file is None):
            raise ValueError("record.dir and record.key_file belong together (--record DIR --record-key FILE)")
        if self.what == "media" and self.dir is None:
            raise ValueError("record.what is media, but record.dir is not set (--record-media needs --record DIR)")
        if not 0 < self.days <= 3_650:
            raise ValueError(f"record.days must lie between 0 and 3650, got {self.days}")
