"""The programs in `examples/` run as they are written, against a scripted server or the embedded model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from datetime import UTC, datetime
from pathlib import Path

import pytest

from realtime.publish.events import Event, LabelEvent, SessionOpenedEvent, encode
from realtime.publish.open_sinks import opened
from realtime.publish.parse import parse
from realtime.settings import PublishSettings, Settings
from tests.examples.programs import ROOT, SCRIPTED, example
from tests.ingest.virtual_devices import PICTURE, SOUND
from tests.publish.broker import free_port, mosquitto
from tests.serve.live_server import sender, serving, until


@pytest.mark.example("read_events.py", "follow_session.py")
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


@pytest.mark.example("own_labels.py")
@pytest.mark.slow
async def test_a_question_is_asked() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        address = f"http://localhost:{running.port}{path}"
        asking = await example("own_labels.py", address, running.secret, "Do face and voice agree?", "joy", "other")
        out, errors = await asking.communicate()
        assert errors == b""
        assert json.loads(out) == {"query": "Do face and voice agree?", "labels": ["joy", "other"]}
        async with running.events(path) as socket:
            window = (await until(socket, "window"))[-1]
        assert window["query"] == "Do face and voice agree?"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read_events.py", [], "python examples/read_events.py http://localhost:8080/sessions/ID SECRET"),
        ("own_labels.py", ["http://localhost:8080/sessions/ID"], "python examples/own_labels.py"),
        ("follow_session.py", [], "python examples/follow_session.py"),
        ("read_events.py", ["http://localhost:9/sessions/x", "y"], "does not answer"),
        ("mqtt_reader.py", ["127.0.0.1", "9"], "No MQTT broker answers at 127.0.0.1:9"),
        ("own_labels.py", ["nowhere", "y"], "nowhere is not the address of a session."),
        ("follow_session.py", ["http://localhost:9/sessions/x"], "The address has no secret"),
        ("live_camera.py", ["77", "none"], "There is no camera at"),
        ("read_events.py", ["SERVER/sessions/none", "y"], "There is no such session."),
        ("own_labels.py", ["SERVER/sessions/none", "y"], "There is no such session."),
        # Neither package is in this environment: each takes one of its own.
        ("openai_realtime.py", [], "pip install 'openai[realtime]'"),
        ("from_hume.py", [], "pip install hume==0.13.0"),
    ],
)
async def test_a_users_mistake_ends_in_a_sentence(name: str, arguments: list[str], said: str) -> None:
    """The newcomer's review of 28 November: each of these ended in a traceback."""
    async with serving() as running:
        here = f"http://localhost:{running.port}"
        wrong = await example(name, *(word.replace("SERVER", here) for word in arguments))
        _, errors = await wrong.communicate()
    assert wrong.returncode == 1
    assert said in errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.example("mqtt_reader.py")
@pytest.mark.slow
async def test_labels_are_read_from_a_broker() -> None:
    pytest.importorskip("paho.mqtt")
    port = free_port()
    with mosquitto(port):
        reading = await example("mqtt_reader.py", "127.0.0.1", str(port))
        assert reading.stdout is not None
        async with asyncio.timeout(60):
            assert await reading.stdout.readline() == f"Listening to 127.0.0.1:{port}\n".encode()
            settings = Settings(publish=PublishSettings(mqtt=f"mqtt://127.0.0.1:{port}"))
            async with serving(settings) as running, sender(audio=False) as peer:
                await running.whip(peer)
                line = await reading.stdout.readline()
        assert line.split()[1:3] == [b"s", b"fast"]
        reading.send_signal(signal.SIGINT)
        _, errors = await reading.communicate()
    assert (reading.returncode, errors) == (0, b"")


@pytest.mark.slow
async def test_the_first_five_lines_in_the_readme_analyse_the_sample(tmp_path: Path) -> None:
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[0]
    assert sum(bool(line.strip()) for line in program.splitlines()) <= 5
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    analysing = await create_subprocess_exec(
        sys.executable, "-c", program, stdout=PIPE, stderr=PIPE, env=environment, cwd=tmp_path
    )
    out, errors = await analysing.communicate()
    assert analysing.returncode == 0, errors.decode()
    said = [line.split()[1:3] for line in out.decode().splitlines()]
    assert ["s", "fast"] in said
    assert ["s", "chain"] in said


@pytest.mark.example("analyze_file.py")
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


@pytest.mark.example("live_camera.py")
@pytest.mark.slow
async def test_a_camera_and_a_microphone_are_analysed_until_somebody_stops_it() -> None:
    live = await example("live_camera.py", PICTURE, SOUND, scripted=True)
    assert live.stdout is not None
    async with asyncio.timeout(120):
        line = await live.stdout.readline()
    assert line.split()[1:] == [b"s", b"fast", b"happy"]
    live.send_signal(signal.SIGINT)
    _, errors = await live.communicate()
    assert (live.returncode, errors) == (0, b"")


@pytest.mark.example("first_look.ipynb")
@pytest.mark.slow
async def test_the_notebook_runs_from_top_to_bottom(a_recording: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    # A file of that name wins over the sample that ships.
    (tmp_path / "sample").symlink_to(a_recording)
    cells = json.loads((ROOT / "examples" / "first_look.ipynb").read_text("utf-8"))["cells"]
    program = [SCRIPTED, *("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = await create_subprocess_exec(
        *(sys.executable, "-c", "\n".join(program)), stdout=PIPE, stderr=PIPE, env=environment, cwd=tmp_path
    )
    out, errors = await running.communicate()
    assert running.returncode == 0, errors.decode()
    assert "fast   happy  60%" in out.decode()
    # What a notebook showed of somebody is not published with it.
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.example("psychopy_trials.py")
@pytest.mark.slow
async def test_an_experiment_reads_probabilities_through_lab_streaming_layer() -> None:
    pytest.importorskip("pylsl")
    stand_ins = ROOT / "tests" / "examples" / "stand_ins"
    environment = {**os.environ, "PYTHONPATH": f"{stand_ins}{os.pathsep}{ROOT}"}
    probabilities = {"happy": 0.75, "sad": 0.25}
    began_at = datetime.now(UTC).isoformat()
    with opened(lsl=True) as (sink,):

        def send(event: Event, at_s: float) -> None:
            placed = parse(encode(event, session="s", seq=1, at_s=at_s))
            assert placed is not None
            sink.send(placed)

        send(SessionOpenedEvent("nano", "torch", ("happy", "sad"), started_at=began_at), 0.0)
        send(LabelEvent(0, "happy", probabilities, "fast", None), 0.0)
        running = await create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / "psychopy_trials.py"), "holiday", "exam"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
        )
        assert running.stdin is not None
        assert running.stderr is not None
        async with asyncio.timeout(120):
            while "holiday" not in (await running.stderr.readline()).decode():
                pass
            # Its moment is half a minute ahead: whenever the trial began, this belongs to it.
            send(LabelEvent(1, "happy", probabilities, "fast", None), 600.0)
            running.stdin.write(b"\n\n")
            out, _ = await running.communicate()
    assert out.decode().splitlines() == ["holiday: happy (75%, 1 windows)", "exam: nothing was analysed"]
