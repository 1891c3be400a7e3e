"""What every test shares. pytest-asyncio runs the async tests, each in a loop of its own; warnings are errors."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.model.checkpoint import NANO
from realtime.records import UInt8
from tests.ingest.media_files import room, voice, write_clip
from tests.sharing import pytest_xdist_make_scheduler
from tests.skipped_examples import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport", "pytest_xdist_make_scheduler"]

if TYPE_CHECKING:
    from realtime.engine.loading import LoadedModel

SLOW_FIXTURES = {"cluster", "deployed", "nano_exports", "root"}
"They take half a minute: a Ray cluster, a deployment on it, exported towers."


def pytest_configure() -> None:
    """What tests import stays. To look for garbage in it, over and over, took an eighth of the time of its import."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Garbage is looked for again, but not after every 700 new objects: 7,000 searches took 7 s of a run."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def logging_is_left_as_found() -> Iterator[None]:
    """A library's caller who silences the root logger silences everybody; a later test's log lines went missing so."""
    level = logging.getLogger().level
    yield
    assert logging.getLogger().level == level


@pytest.fixture(scope="session")
def nano() -> LoadedModel:
    """nano on torch. It is shared by all tests, so none may change it."""
    # Loading torch takes seconds that most parts of the tests do without.
    from realtime.engine.loading import load

    return load("nano", engine="torch")


@pytest.fixture(scope="session")
def nano_exports(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the embedded checkpoint's towers for onnxruntime."""
    from tests.export.kept import exported

    return exported(pytestconfig, NANO, tmp_path_factory.mktemp("nano"), name="nano", formats=[("fp32", 20)])


@pytest.fixture(scope="session")
def a_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of a moving picture; something with a voice's pitch speaks from the first second to the third."""
    sound_N = np.concatenate([room(1.0), voice(2.0), room(2.0, seed=1)])
    path = tmp_path_factory.mktemp("recording") / "clip.mp4"
    return write_clip(path, pictures_s=[index / 10 for index in range(50)], sound_N=sound_N)


@pytest.fixture(scope="session")
def portrait() -> UInt8:
    """A NASA portrait (public domain) that scikit-image ships: one smiling face in 512×512."""
    from skimage import data

    return np.asarray(data.astronaut())
