"""The examples for studies and for operators run as they are written."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from pympi import Elan

import emothinker
from realtime.publish.events import LabelEvent, encode
from realtime.publish.open_sinks import opened
from realtime.publish.parse import parse
from realtime.sample import or_sample
from realtime.settings import ServerSettings, Settings
from tests.examples.programs import ROOT, example
from tests.serve.live_server import sender, serving, until

OPERATOR = "an-operator-token-of-today"

pytestmark = pytest.mark.slow


def test_each_example_is_listed_and_run_by_a_test() -> None:
    """A test says with a mark which examples it runs, and may then not be skipped where CI is set."""
    listed = (ROOT / "examples" / "README.md").read_text("utf-8")
    tests = {path: path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    run = {name: text for text in tests.values() for name in marked(text)}
    examples = [path for path in (ROOT / "examples").rglob("*") if path.is_file() and path.name != "README.md"]
    assert len(examples) > 10
    assert set(run) == {path.name for path in examples}
    for path in examples:
        assert f"{path.relative_to(ROOT / 'examples').as_posix()}`" in listed
        # In the mark, and where it is run.
        assert run[path.name].count(path.name) >= 2, path.name


def marked(source: str) -> list[str]:
    """The examples that the tests of a module say they run."""
    if "pytest.mark.example(" not in source:
        return []
    decorators = [
        each
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_")
        for each in function.decorator_list
    ]
    return [
        ast.literal_eval(name)
        for each in decorators
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.example"
        for name in each.args
    ]


def test_an_example_that_nothing_runs_fails_where_ci_is_set(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\n@pytest.mark.example('osc_meter.py')\n"
        "def test_one() -> None:\n    pytest.importorskip('no_such_package')\n"
    )
    # Without the plugins of the other tests, which take seconds to load.
    environment = {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "tests.skipped_examples", "-p", "no:cacheprovider", "."]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stdout
    assert "Nothing runs osc_meter.py of examples/ here. Skipped: could not import 'no_such_package'" in ran.stdout


async def line_of(running: asyncio.subprocess.Process) -> str:
    assert running.stdout is not None
    async with asyncio.timeout(120):
        return (await running.stdout.readline()).decode().rstrip()


@pytest.mark.example("share_session.py")
async def test_an_operator_shares_a_session_and_revokes_its_address(tmp_path: Path) -> None:
    (tmp_path / "operator").write_text(f"{OPERATOR}\n")
    settings = Settings(server=ServerSettings(operator_token=OPERATOR))
    async with serving(settings) as running, sender() as peer:
        path = await running.whip(peer, "?name=study-7")
        server = f"http://localhost:{running.port}"
        listing = await example("share_session.py", server, str(tmp_path / "operator"))
        out, errors = await listing.communicate()
        assert errors == b""
        assert out.decode().split()[:2] == [path.rsplit("/", 1)[-1], "study-7"]

        sharing = await example("share_session.py", server, str(tmp_path / "operator"), "study-7", stdin=PIPE)
        address = await line_of(sharing)
        assert address.startswith(f"{server}/sessions/study-7#")
        first = await anext(aiter(emothinker.follow(address)))
        assert (first.seq, first.type) == (1, "session.opened")
        out, errors = await sharing.communicate(b"\n")
        assert (out.strip(), errors) == (b"Revoked.", b"")
        with pytest.raises(emothinker.Error, match="revoked"):
            await anext(aiter(emothinker.follow(address)))

        refused = await example("share_session.py", server, str(tmp_path / "operator"), "nobody")
        _, errors = await refused.communicate()
        assert refused.returncode == 1
        assert b"Traceback" not in errors


@pytest.mark.example("mark_trials.py")
async def test_trials_are_marked_and_the_session_is_kept_for_elan(tmp_path: Path) -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        async with running.events(path) as socket:
            await until(socket, "label")
        address = f"http://localhost:{running.port}{path}#{running.secret}"
        marking = await example("mark_trials.py", address, str(tmp_path / "s.eaf"), "holiday", "exam")
        said = [await line_of(marking) for _ in range(3)]
        await running.http.delete(path)
        _, errors = await marking.communicate()
        assert (marking.returncode, errors) == (0, b"")
    times_s = [float(line.split()[0]) for line in said[:2]]
    assert [line.split()[-1] for line in said[:2]] == ["holiday", "exam"]
    marks = Elan.Eaf(str(tmp_path / "s.eaf")).get_annotation_data_for_tier("mark")
    assert [text for _, _, text in marks] == [
        'trial {"number": 1, "word": "holiday"}',
        'trial {"number": 2, "word": "exam"}',
    ]
    assert [at for at, _, _ in marks] == pytest.approx([1000 * at_s for at_s in times_s], abs=10)


@pytest.mark.example("study_table.py")
async def test_a_folder_is_analysed_and_told(a_recording: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    os.link(a_recording, clips / "a.mp4")
    (clips / "notes.txt").write_text("no recording")
    analysing = await example("study_table.py", str(clips), str(tmp_path / "study"))
    out, errors = await analysing.communicate()
    assert analysing.returncode == 0, errors.decode()
    told = dict(line.split(": ", 1) for line in out.decode().splitlines())
    assert re.fullmatch(r"\w+ \d s(, \w+ \d s)*", told["a.mp4"])
    # The last second has begun.
    assert sum(int(count) for count in re.findall(r"(\d) s", told["a.mp4"])) in (5, 6)
    assert "is text" in told["notes.txt"]


@pytest.mark.example("action_units.py")
async def test_action_units_come_more_often_than_pictures_are_read() -> None:
    measuring = await example("action_units.py", or_sample("sample"))
    out, errors = await measuring.communicate()
    assert measuring.returncode == 0, errors.decode()
    lines = out.decode().splitlines()
    pattern = r"[\d.]+ s  face 1  [+-]\d+° [+-]\d+° [+-]\d+°  AU1=[\d.]+ (AU\d+=[\d.]+ ?)+"
    assert all(re.fullmatch(pattern, line) for line in lines)
    times_s = sorted({float(line.split()[0]) for line in lines})
    assert len(times_s) > 3 * times_s[-1]


async def test_blendshapes_have_the_names_of_arkit(a_recording: Path) -> None:
    measuring = await example("action_units.py", str(a_recording), "--blendshapes", scripted=True)
    out, errors = await measuring.communicate()
    assert measuring.returncode == 0, errors.decode()
    # The scripted face has one cue, and looks straight ahead.
    said = {line.partition(" s  ")[2] for line in out.decode().splitlines()}
    assert said == {"face 1  +0° +0° +0°  jawOpen=0.30"}


@pytest.mark.example("osc_meter.py")
async def test_a_receiver_of_open_sound_control_shows_probabilities() -> None:
    pytest.importorskip("pythonosc")
    showing = await example("osc_meter.py", "0")
    try:
        port = (await line_of(showing)).rsplit(":", 1)[1]
        with opened(osc=f"127.0.0.1:{port}") as (sink,):
            event = parse(encode(LabelEvent(0, "happy", {"happy": 0.75}, "fast", None), session="s", seq=1, at_s=4.0))
            assert event is not None
            sink.send(event)
            assert (await line_of(showing)).split() == ["happy", "#" * 30]
    finally:
        showing.terminate()
        await showing.wait()
