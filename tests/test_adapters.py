"""Which adapters a session may choose, and what becomes of names that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.adapters import KEPT, Adapters, UnknownAdapter
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


async def test_adapters_are_loaded_once_and_the_last_asked_for_are_kept(folder: Path) -> None:
    loaded: list[str] = []

    def load(path: Path) -> ScriptedModel:
        loaded.append(path.name)
        return ScriptedModel()

    adapters = Adapters(folder, load)
    assert adapters.names() == ["one", "three", "two"]
    first = await adapters.model("one")
    assert await adapters.model("one") is first
    await adapters.model("two")
    await adapters.model("three")
    assert await adapters.model("one") is not first
    assert loaded == ["one", "two", "three", "one"]
    assert KEPT == 2


@pytest.mark.parametrize("name", ["link", "empty", ".hidden", "../outside", "..", "", "one/", "/etc", "One"])
async def test_a_name_that_is_none_of_the_folders_is_refused(folder: Path, name: str) -> None:
    adapters = Adapters(folder, lambda path: ScriptedModel())
    with pytest.raises(UnknownAdapter, match="one, three, two"):
        await adapters.model(name)


async def test_without_a_folder_nothing_is_offered() -> None:
    adapters = Adapters(None, lambda path: ScriptedModel())
    assert adapters.names() == []
    with pytest.raises(UnknownAdapter, match="none"):
        await adapters.model("one")
