"""`emothinker.analyze` as a program uses it: in a loop, in an event loop, left early, and as a table."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

import emothinker
from realtime.errors import BadAsk, BadSettings, NotJudged, NotMedia
from tests.scripted import ScriptedModel

pytestmark = pytest.mark.usefixtures("loaded")


def test_a_loop_gets_every_event_once_and_in_order(a_recording: Path) -> None:
    events = list(emothinker.analyze(a_recording))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], emothinker.SessionOpenedEvent)
    assert isinstance(events[-1], emothinker.SessionClosedEvent)
    assert any(isinstance(event, emothinker.LabelEvent) and event.t > 0 for event in events)


async def test_an_event_loop_gets_the_same(a_recording: Path) -> None:
    events = [event async for event in emothinker.analyze(a_recording)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_a_plain_loop_works_where_an_event_loop_runs(a_recording: Path) -> None:
    """In a notebook one always runs in the very thread of the cell."""
    assert list(emothinker.analyze(a_recording))


def test_the_model_is_loaded_once(a_recording: Path, loaded: list[ScriptedModel]) -> None:
    events = emothinker.analyze(a_recording)
    assert len(list(events)) == len(list(events))
    assert len(loaded) == 1


def test_a_loop_that_is_left_frees_everything(a_recording: Path) -> None:
    for _ in emothinker.analyze(a_recording):
        break
    assert not [thread for thread in threading.enumerate() if thread.name == "emothinker events"]


async def test_an_async_loop_that_is_left_frees_everything(a_recording: Path) -> None:
    before = asyncio.all_tasks()
    async with aclosing(aiter(emothinker.analyze(a_recording))) as events:  # type: ignore[type-var]
        await anext(events)
    assert asyncio.all_tasks() == before


async def test_a_slow_reader_loses_nothing(a_recording: Path) -> None:
    """The log keeps the events of some seconds only; a recording that ran ahead of its reader lost the first ones."""
    events = []
    async for event in emothinker.analyze(a_recording, settings={"publish.kept_events": 100, "analysis.every_s": 0.5}):
        events.append(event)
        await asyncio.sleep(0.002)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert not [event for event in events if isinstance(event, emothinker.ErrorEvent) and event.code == "events_lost"]


def test_a_question_and_labels_are_asked(a_recording: Path) -> None:
    events = list(emothinker.analyze(a_recording, question="Do they agree?", labels=["joy", "other"]))
    window = next(event for event in events if isinstance(event, emothinker.WindowEvent))
    assert (window.query, window.labels) == ("Do they agree?", ("joy", "other"))


def test_mistakes_are_errors_of_ours(a_recording: Path, tmp_path: Path) -> None:
    with pytest.raises(NotMedia, match=r"none\.mp4"):
        list(emothinker.analyze("none.mp4"))
    with pytest.raises(BadAsk):
        list(emothinker.analyze(a_recording, labels=["one"]))
    with pytest.raises(BadAsk, match="“tense” is no emotion"):
        list(emothinker.analyze(a_recording, labels=["calm", "tense"]))
    with pytest.raises(NotJudged, match="how old"):
        list(emothinker.analyze(a_recording, question="How old is she?"))
    with pytest.raises(BadSettings, match="Did you mean"):
        list(emothinker.analyze(a_recording, settings={"model.nam": "nano"}))
    # These were an AttributeError, and a TypeError.
    with pytest.raises(BadSettings, match=r"The settings are 3\. Give them by their names"):
        list(emothinker.analyze(a_recording, settings=3))  # type: ignore[arg-type]
    with pytest.raises(BadSettings, match=r"The settings are \{3: 4\}"):
        list(emothinker.analyze(a_recording, settings={3: 4}))  # type: ignore[dict-item]
    with pytest.raises(emothinker.Error):
        emothinker.analyze(tmp_path).to_pandas()
    # It was a KeyError, after the whole recording had been analysed.
    with pytest.raises(BadSettings, match=r"no table 'second'. The tables are seconds, windows, reasons"):
        emothinker.analyze("none.mp4").to_pandas("second")  # type: ignore[arg-type]


def test_it_becomes_tables(a_recording: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    events = emothinker.analyze(a_recording)
    seconds = events.to_pandas()
    assert list(seconds["t"]) == list(range(len(seconds)))
    assert seconds["label"].iloc[0] == "happy"
    windows = events.to_pandas("windows")
    assert windows.groupby(["window", "source"])["probability"].sum().tolist() == pytest.approx(
        [1.0] * windows.groupby(["window", "source"]).ngroups, abs=1e-5
    )
    events.to_parquet(tmp_path / "reasons.parquet", "reasons")
    assert pq.read_table(tmp_path / "reasons.parquet").num_rows == windows["window"].nunique()
    events.to_jsonl(tmp_path / "events.jsonl")
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [emothinker.parse(line).seq for line in lines] == list(range(1, len(lines) + 1))  # type: ignore[union-attr]
    assert json.loads(lines[0])["v"] == 1


def test_a_table_never_replaces_its_recording(a_recording: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(a_recording.read_bytes())
    with pytest.raises(BadSettings, match="Name another output"):
        emothinker.analyze(clip).to_parquet(clip)
    with pytest.raises(BadSettings, match="cannot be written"):
        emothinker.analyze(clip).to_jsonl(tmp_path / "none" / "events.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert clip.read_bytes() == a_recording.read_bytes()


def test_on_a_full_disk_the_table_of_before_stays(a_recording: Path, tmp_path: Path) -> None:
    """A limit on the size of files does here what a full disk does: the write fails in the middle."""
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "seconds.parquet"
    path.write_bytes(b"the table of before")
    events = emothinker.analyze(a_recording)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, unlimited[1]))
    try:
        with pytest.raises(emothinker.Error, match="takes no more: File too large"):
            events.to_parquet(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert path.read_bytes() == b"the table of before"
    assert list(tmp_path.iterdir()) == [path]
    events.to_parquet(path)
    assert pq.read_table(path).num_rows > 3


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
def test_a_missing_package_is_one_sentence(
    a_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    events = emothinker.analyze(a_recording)
    with pytest.raises(emothinker.Error, match=rf"A table needs {package}.*pip install 'emothinker\[studies\]'"):
        events.to_pandas() if package == "pandas" else events.to_parquet(tmp_path / "table.parquet")


def test_importing_it_loads_nothing() -> None:
    program = "import sys, emothinker; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "torch", "av", "mediapipe", "realtime", "asyncio", "pandas"} & set(loaded)


def test_every_name_is_there() -> None:
    assert all(getattr(emothinker, name) for name in emothinker.__all__)
    assert set(dir(emothinker)) == set(emothinker.__all__)
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        emothinker.analyse  # noqa: B018


ENDS = """
import sys, time
import emothinker
from emothinker import recordings
from realtime.engine import loading
from tests.scripted import ScriptedModel

loading.load = lambda *args, **options: ScriptedModel()
events = iter(emothinker.analyze(sys.argv[1]))
next(events)
[engine] = recordings._engines.values()
engine._worker.submit("late", lambda: (time.sleep(0.5), print("The last job has ended.", flush=True)))
"""


@pytest.mark.slow
def test_a_program_that_ends_lets_the_model_finish_its_job(a_recording: Path) -> None:
    """Python would end the model's thread inside a C++ library, which aborts the process (exit status -6)."""
    words = [sys.executable, "-c", ENDS, str(a_recording)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "The last job has ended.\n"
