"""Several recordings at once: they share one model, give the same events as alone, and hold no memory afterwards."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.commands import study
from realtime.commands.study import Progress
from realtime.commands.study_folder import JournalEntry
from realtime.commands.study_inputs import StudyRecording
from realtime.engine.start import load_model, started
from realtime.roles import Engine, Model
from realtime.settings import ModelSettings, Settings
from tests.scripted import ScriptedModel

Load = Callable[[], Model]


def counted(loads: Path, load: Load) -> Model:
    """Load a model and note in a file which process did; pickled for the model's process."""
    with loads.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    return load()


def analyse(clips: Path, out: Path, load: Load, *, jobs: int, copies: int = 1) -> study.Outcome:
    made = study.run([str(clips)], out, load, Settings(), jobs=jobs, copies=copies, progress_to=io.StringIO())
    return asyncio.run(made)


@pytest.fixture
def clips(a_recording: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(6):
        os.link(a_recording, folder / f"{number}.mp4")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 2])
def test_jobs_share_the_copies_of_the_model(clips: Path, tmp_path: Path, copies: int) -> None:
    """Each job used to load a model of its own: four jobs took four times the memory."""
    loads, out = tmp_path / "loads", tmp_path / "out"
    assert analyse(clips, out, partial(counted, loads, ScriptedModel), jobs=4, copies=copies).done == 6
    processes = loads.read_text().split()
    assert len(processes) == len(set(processes)) == copies
    assert str(os.getpid()) not in processes
    lines = (out / "files.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["file"] for line in lines) == sorted(path.name for path in clips.iterdir())


def test_nano_is_loaded_once_for_each_core_and_a_large_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "usable_cores", lambda: 2)
    assert study.copies_of(ModelSettings(name="nano")) == 2
    assert study.copies_of(ModelSettings(name="Qwen/Qwen2.5-Omni-3B")) == 1
    assert study.copies_of(ModelSettings(name="nano", device="cuda")) == 1
    monkeypatch.setattr(study, "usable_cores", lambda: 64)
    assert study.copies_of(ModelSettings(name="nano")) == study.MAX_COPIES


def without_times_of_the_day(path: Path) -> list[str]:
    """The events of a recording without what differs from run to run, and without their order: stages overlap."""
    kept = []
    for line in path.read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        # A delta may have one token or several. `reason.done` has the whole text.
        if event["type"] != "reason.delta":
            kept.append(json.dumps({key: event[key] for key in event.keys() - {"session", "seq", "t", "timings_ms"}}))
    return sorted(kept)


@pytest.mark.slow
def test_a_recording_says_the_same_whatever_runs_beside_it(a_recording: Path, clips: Path, tmp_path: Path) -> None:
    """Chains of several recordings are decoded in one pass of the real model."""
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    load = partial(load_model, Settings().model)
    assert analyse(a_recording.parent, alone, load, jobs=1).done == 1
    assert analyse(clips, beside, load, jobs=3).done == 6
    expected = without_times_of_the_day(alone / "events" / f"{a_recording.name}.jsonl")
    assert any('"reason.done"' in line for line in expected)
    for path in (beside / "events").iterdir():
        assert without_times_of_the_day(path) == expected


@pytest.mark.slow
def test_memory_stays_flat(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty recordings hold no more than ten did, here and in the model's process."""
    psutil = pytest.importorskip("psutil")
    for number in range(6, 60):
        os.link(clips / "0.mp4", clips / f"{number}.mp4")
    engines: list[Engine] = []
    held: list[tuple[float, float]] = []
    ended = Progress.ended

    @asynccontextmanager
    async def kept(*args: Any, **options: Any) -> AsyncIterator[Engine]:
        async with started(*args, **options) as engine:
            engines.append(engine)
            yield engine

    def measured(self: Progress, recording: StudyRecording, entry: JournalEntry) -> None:
        ended(self, recording, entry)
        held.append((psutil.Process().memory_info().rss / 1e6, engines[0].stats()["rss_mb"]))

    monkeypatch.setattr(study, "started", kept)
    monkeypatch.setattr(Progress, "ended", measured)
    # As the program has it: the tests look for garbage seldom (`conftest.py`), and frames are in what is left.
    seldom = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        assert analyse(clips, tmp_path / "out", ScriptedModel, jobs=3).done == 60
    finally:
        gc.set_threshold(*seldom)
    early, late = np.max(held[5:10], axis=0), np.max(held[50:], axis=0)
    assert (late - early < 20).all(), held
