"""The models of one host: the one it began with, and those with other adapters that sessions asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from realtime.errors import BadModel
from realtime.records import ModelInfo
from realtime.roles import Model

KEPT = 2
"Adapters kept loaded beside those that sessions use."

LoadAdapter = Callable[[Path], Model]


class Models:
    """Blocking, from any thread: a checkpoint is best read outside the thread that answers sessions."""

    def __init__(self, model: Model, load_adapter: LoadAdapter | None = None) -> None:
        """`load_adapter` makes the model with the adapter of that folder; without it there is one model only."""
        self._own = model
        self._load_adapter = load_adapter
        self._adapted: OrderedDict[Path, Model] = OrderedDict()
        self._loading = threading.Lock()

    def info(self, adapter: Path | None = None) -> ModelInfo:
        """Of the model with that adapter, loaded now if it is not there. Raises BadModel where it does not fit."""
        model = self.get(adapter)
        return ModelInfo(model.name, model.engine_reason, model.labels, adapter)

    def get(self, adapter: Path | None = None) -> Model:
        if adapter is None:
            return self._own
        with self._loading:
            if adapter not in self._adapted:
                if self._load_adapter is None:
                    raise BadModel("This engine was started without adapters.", "Start it with --adapters.")
                self._adapted[adapter] = self._load_adapter(adapter)
            self._adapted.move_to_end(adapter)
            model = self._adapted[adapter]
            while len(self._adapted) > KEPT:
                # Sessions that still use it hold it; it is freed with the last of them.
                self._adapted.popitem(last=False)
        return model
