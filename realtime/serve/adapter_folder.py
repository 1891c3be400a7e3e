"""Adapters that a new session may choose by name: `--adapters DIR`, one folder per adapter.

A name has to be that of a subfolder of DIR, so that no caller can name a path. The engine loads the adapter while other
sessions go on (`engine/models.py`), and reads safetensors only. It may run on another machine; then DIR has to be there
as well.
"""

from __future__ import annotations

import re
from pathlib import Path

from realtime.errors import BadSettings, RealtimeError
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class UnknownAdapter(RealtimeError):
    """No adapter of that name is offered. Choose one that is."""

    code = "unknown_adapter"
    status = 404


class Adapters:
    """The adapters in `folder`. Without a folder there are none."""

    def __init__(self, folder: Path | None) -> None:
        """Raises BadSettings when there is no such folder."""
        if folder is not None and not folder.is_dir():
            raise BadSettings(f"{folder} is no folder.", "Make it, or leave --adapters out.")
        self._folder = folder

    def names(self) -> list[str]:
        """The names on offer now. A folder that is put there later is offered from then on."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if self._is_adapter(path))

    def folder(self, name: str) -> Path:
        """The folder of the adapter of that name. Raises UnknownAdapter."""
        names = self.names()
        if self._folder is None or name not in names:
            raise UnknownAdapter("There is no such adapter here.", f"Offered: {', '.join(names) or 'none'}.")
        return self._folder / name

    def _is_adapter(self, path: Path) -> bool:
        # A link could lead anywhere.
        fits = NAME.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()
        return fits and ((path / ADAPTER_CONFIG).is_file() or (path / EMOTION_CONFIG).is_file())
