"""The programs in `examples/` run as they are written, against a scripted server or the embedded model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.serve.live_server import sender, serving, until

ROOT = Path(__file__).parents[2]


async def example(name: str, *arguments: str) -> asyncio.subprocess.Process:
    # An example reaches its server directly, whatever proxy the machine has.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "localhost"}
    program = str(ROOT / "examples" / name)
    return await create_subprocess_exec(sys.executable, program, *arguments, stdout=PIPE, stderr=PIPE, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["read_events.py", "follow_session.py"])
async def test_events_are_read_while_a_session_is_live(name: str) -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        address = f"http://localhost:{running.port}{path}"
        words = [address, running.secret] if name == "read_events.py" else [f"{address}#{running.secret}"]
        reading = await example(name, *words)
        assert reading.stdout is not None
        async with asyncio.timeout(60):
            line = await reading.stdout.readline()
        assert line.split()[1:3] == [b"s", b"fast"]
        await running.http.delete(path)
        _, errors = await reading.communicate()
        assert (reading.returncode, errors) == (0, b"")


@pytest.mark.slow
async def test_a_question_is_asked() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        address = f"http://localhost:{running.port}{path}"
        asking = await example("own_labels.py", address, running.secret, "Is this sarcasm?", "sincere", "sarcastic")
        out, errors = await asking.communicate()
        assert errors == b""
        assert json.loads(out) == {"query": "Is this sarcasm?", "labels": ["sincere", "sarcastic"]}
        async with running.events(path) as socket:
            window = (await until(socket, "window"))[-1]
        assert window["query"] == "Is this sarcasm?"


@pytest.mark.slow
async def test_the_first_five_lines_in_the_readme_analyse_a_recording(a_recording: Path, tmp_path: Path) -> None:
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[0]
    assert sum(bool(line.strip()) for line in program.splitlines()) <= 5
    (tmp_path / "talk.mp4").symlink_to(a_recording)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    analysing = await create_subprocess_exec(
        sys.executable, "-c", program, stdout=PIPE, stderr=PIPE, env=environment, cwd=tmp_path
    )
    out, errors = await analysing.communicate()
    assert analysing.returncode == 0, errors.decode()
    said = [line.split()[1:3] for line in out.decode().splitlines()]
    assert ["s", "fast"] in said
    assert ["s", "chain"] in said


@pytest.mark.slow
async def test_a_recording_is_analysed(a_recording: Path) -> None:
    analysing = await example("analyze_file.py", str(a_recording))
    out, errors = await analysing.communicate()
    assert analysing.returncode == 0, errors.decode()
    lines = out.decode().splitlines()
    assert any(" fast " in line and line.endswith("%") for line in lines)
    assert any(" chain " in line for line in lines)
    refused = await example("analyze_file.py", "none.mp4")
    _, errors = await refused.communicate()
    assert refused.returncode == 1
    assert b"There is no file none.mp4. Check the path." in errors
    assert b"Traceback" not in errors
