"""The models of one host: the one it began with, and those with adapters that sessions asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime.errors import BadModel
from realtime.records import ModelInfo
from realtime.roles import Model

KEPT = 2
"Models with adapters that stay loaded. Others live as long as a session uses them."

LoadAdapter = Callable[[Path], Model]


class Models:
    """Loads and finds models. Its methods block and run in any thread; load outside the model's thread."""

    def __init__(self, model: Model, load_adapter: LoadAdapter | None = None) -> None:
        """`load_adapter` loads the model with the adapter in a folder; without it there is one model only."""
        self._plain = model
        self._load_adapter = load_adapter
        self._adapted: OrderedDict[Path, Model] = OrderedDict()
        self._loading = threading.Lock()
        self._counted = Appended(models=(model,))

    def info(self, adapter: Path | None = None) -> ModelInfo:
        """Describe the model with an adapter, loading it if needed. Raises BadModel where the adapter does not fit."""
        model = self.get(adapter)
        return ModelInfo(
            model.name,
            model.runtime_reason,
            model.labels,
            adapter,
            open_labels=model.open_labels,
            stock=model.stock,
            label_model=model.label_model,
            answer_model=model.answer_model,
            words=model.words,
            summarises=model.summariser is not None,
        )

    def get(self, adapter: Path | None = None) -> Model:
        """The model with an adapter, loaded now if needed. Raises BadModel where the adapter does not fit."""
        if adapter is None:
            return self._plain
        with self._loading:
            if adapter not in self._adapted:
                if self._load_adapter is None:
                    raise BadModel("This engine was started without adapters.", "Start it with --adapters.")
                self._adapted[adapter] = self._load_adapter(adapter)
            self._adapted.move_to_end(adapter)
            model = self._adapted[adapter]
            gone = []
            while len(self._adapted) > KEPT:
                # Sessions that use it hold a reference; it is freed with the last of them.
                gone.append(self._adapted.popitem(last=False)[1])
            self._counted = self._counted.after(gone, (self._plain, *self._adapted.values()))
        return model

    def stats(self) -> Mapping[str, float]:
        """Evidence that was prefilled together, under the names of `Engine.stats`; empty where there was none."""
        # Not under the lock: loading an adapter takes seconds.
        n_chunks, n_passes = self._counted.counts()
        return {"appended": n_chunks, "append_passes": n_passes} if n_chunks else {}


@dataclass(frozen=True, slots=True)
class Appended:
    """Which models' appends are counted, and the counts of those that were let go."""

    models: tuple[Model, ...]
    past: tuple[int, int] = (0, 0)

    def counts(self) -> tuple[int, int]:
        """Frames and utterances that were gathered, and the passes that prefilled them."""
        n_chunks, n_passes = self.past
        for model in self.models:
            if (appends := model.appends) is not None:
                n_chunks, n_passes = n_chunks + appends.n_chunks, n_passes + appends.n_passes
        return n_chunks, n_passes

    def after(self, gone: Sequence[Model], models: tuple[Model, ...]) -> Appended:
        """The same once some models are gone and these are left."""
        return Appended(models, Appended(tuple(gone), self.past).counts())
