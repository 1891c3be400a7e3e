"""The scripted model in place of nano, for what `emothinker` gives a program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emothinker import recordings
from realtime.engine import loading
from tests.scripted import ScriptedModel


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ScriptedModel]]:
    """The models that were loaded, all scripted."""
    models: list[ScriptedModel] = []

    def load(*args: object, **options: object) -> ScriptedModel:
        models.append(ScriptedModel())
        return models[-1]

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(recordings, "_engines", {})
    yield models
    for engine in recordings._engines.values():
        engine._worker.__exit__(None, None, None)
