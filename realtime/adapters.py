"""Adapters that a new session may choose by name, loaded while others go on: `--adapters DIR`, one folder per adapter.

Names are those of DIR's own subfolders and nothing else, so that no caller can name a path. Only safetensors are read.
Each adapter in use is a model of its own beside the one the server began with; the two asked for last are kept.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from realtime.errors import RealtimeError
from realtime.model.checkpoint import ADAPTER_CONFIG, EMOTION_CONFIG
from realtime.roles import Model

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEPT = 2


class UnknownAdapter(RealtimeError):
    """No adapter of that name is offered. Choose one that is."""

    code = "unknown_adapter"
    status = 404


class Adapters:
    """`load` makes a model from an adapter's folder; blocking, it runs in a thread of its own."""

    def __init__(self, folder: Path | None, load: Callable[[Path], Model]) -> None:
        self._folder = folder
        self._load = load
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._loading = asyncio.Lock()

    def names(self) -> list[str]:
        """What is offered now; a folder put there later is offered from then on."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if self._is_adapter(path))

    def _is_adapter(self, path: Path) -> bool:
        # A link could lead anywhere.
        fits = NAME.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()
        return fits and ((path / ADAPTER_CONFIG).is_file() or (path / EMOTION_CONFIG).is_file())

    async def model(self, name: str) -> Model:
        """The model with that adapter. Raises UnknownAdapter, or BadModel for one that does not fit."""
        if self._folder is None or name not in self.names():
            offered = ", ".join(self.names()) or "none"
            raise UnknownAdapter("There is no such adapter here.", f"Offered: {offered}.")
        async with self._loading:
            if name not in self._models:
                self._models[name] = await asyncio.to_thread(self._load, self._folder / name)
            self._models.move_to_end(name)
            model = self._models[name]
            while len(self._models) > KEPT:
                # Sessions that still use it hold it; it is freed with the last of them.
                self._models.popitem(last=False)
        return model
