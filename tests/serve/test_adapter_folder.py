"""Which adapters a session may choose, and what becomes of names that are none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from realtime.engine.models import KEPT, Models
from realtime.errors import BadModel
from realtime.serve.adapter_folder import Adapters, UnknownAdapter
from tests.scripted import ScriptedModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / "shelf" / name).mkdir(parents=True)
        (tmp_path / "shelf" / name / "adapter_config.json").write_text("{}")
    (tmp_path / "shelf" / "empty").mkdir()
    (tmp_path / "shelf" / ".hidden").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "adapter_config.json").write_text("{}")
    (tmp_path / "shelf" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "shelf"


def test_adapters_are_loaded_once_and_the_last_asked_for_are_kept(folder: Path) -> None:
    loaded: list[str] = []

    def load(path: Path) -> ScriptedModel:
        loaded.append(path.name)
        return ScriptedModel(name=f"scripted + {path.name}")

    own, adapters = ScriptedModel(), Adapters(folder)
    models = Models(own, load)
    assert adapters.names() == ["one", "three", "two"]
    one = adapters.folder("one")
    first = models.get(one)
    assert models.get(one) is first
    assert models.info(one).name == "scripted + one"
    models.get(adapters.folder("two"))
    models.get(adapters.folder("three"))
    assert models.get(one) is not first
    assert models.get() is own
    assert loaded == ["one", "two", "three", "one"]
    assert KEPT == 2


@dataclass
class CountedAppends:
    n_chunks: int
    n_passes: int

    def gathered(self) -> AbstractContextManager[Mapping[tuple[int, int], Exception]]:
        return nullcontext({})


def test_counters_never_fall_when_a_model_is_let_go(folder: Path) -> None:
    models = Models(ScriptedModel(), lambda path: ScriptedModel(appends=CountedAppends(5, 2)))
    assert models.stats() == {}
    for n, name in enumerate(Adapters(folder).names(), 1):
        models.get(folder / name)
        assert models.stats() == {"appended": 5 * n, "append_passes": 2 * n}
    assert n > KEPT


@pytest.mark.parametrize("name", ["link", "empty", ".hidden", "../outside", "..", "", "one/", "/etc", "One"])
def test_a_name_that_is_none_of_the_folders_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UnknownAdapter, match="one, three, two"):
        Adapters(folder).folder(name)


def test_without_a_folder_nothing_is_offered() -> None:
    assert Adapters(None).names() == []
    with pytest.raises(UnknownAdapter, match="none"):
        Adapters(None).folder("one")
    with pytest.raises(BadModel, match="without adapters"):
        Models(ScriptedModel()).get(Path("one"))
