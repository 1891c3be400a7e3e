"""Settings of recording. Off unless a folder and a key are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kept = Literal["events", "media"]


@dataclass(frozen=True)
class RecordSettings:
    dir: Path | None = None
    "Where recordings go; none: nothing is kept."
    key_file: Path | None = None
    "The operator's key, from `python -m realtime.recording new-key FILE`. Without it, recordings are noise."
    what: Kept = "events"
    "At most: `events`, or `media` as well, where a session agrees to that."
    days: float = 30.0
    "Then a recording is deleted, at the latest an hour later; while the server is off, when it starts again."

    def __post_init__(self) -> None:
        if (self.dir is None) != (self.key_file is None):
            raise ValueError("record.dir and record.key_file belong together (--record DIR --record-key FILE)")
        if self.what == "media" and self.dir is None:
            raise ValueError("record.what is media, but record.dir is not set (--record-media needs --record DIR)")
        if not 0 < self.days <= 3_650:
            raise ValueError(f"record.days must lie between 0 and 3650, got {self.days}")
