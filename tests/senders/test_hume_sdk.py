"""Hume's own Python SDK (0.13.0, the last with expression measurement), in a virtual environment of its own.

`examples/from_hume.py` is what it runs, against the server with the embedded model.
"""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import numpy as np
import pytest

from realtime.engine.start import load_model
from realtime.records import UInt8
from realtime.settings import ModelSettings, ServerSettings, Settings
from tests.ingest.media_files import room, voice
from tests.ingest.uploads import png, wav
from tests.serve.live_server import Running, serving

ROOT = Path(__file__).parents[2]
PYTHON = Path(__file__).parent / "sdk_venv" / "bin" / "python"
EVENTS = """
import asyncio, json, sys
from hume import AsyncHumeClient, HumeClientEnvironment
from hume.core.api_error import ApiError
from hume.expression_measurement.stream import Config, StreamErrorMessage, StreamLanguage, StreamModelPredictions

async def main(server, key, sound):
    environment = HumeClientEnvironment(base=server, evi=server, tts=server, stream=server + "/v0/stream")
    stream = AsyncHumeClient(api_key=key, environment=environment).expression_measurement.stream
    async with stream.connect() as socket:
        print(json.dumps([type(each).__name__ for each in (
            await socket.send_file(sound, config=Config(prosody={})),
            await socket.send_text("I am fine.", config=Config(language=StreamLanguage())),
            await socket.send_facemesh([[[0.0, 0.0, 0.0]]], config=Config(facemesh={})),
            await socket.send_file("%%%", config=Config(face={})),
            await socket.get_job_details(),
            await socket.reset(),
        )]))
    try:
        async with AsyncHumeClient(api_key="wrong", environment=environment).expression_measurement.stream.connect():
            print("let in")
    except ApiError as error:
        print(error.status_code, error.body)

asyncio.run(main(*sys.argv[1:]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="Hume's SDK is not installed; `make test` does it, or: make .venv/.done/sdks"
    ),
]


async def runs(running: Running, *words: object, key: str = "none") -> tuple[int | None, list[str], str]:
    """The exit code, the lines and the errors of a program that has the SDK."""
    server = f"ws://localhost:{running.port}"
    program = await create_subprocess_exec(
        *(str(PYTHON), *map(str, words)),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": "", "EMOTHINKER": server, "HUME_API_KEY": key, "NO_PROXY": "localhost"},
    )
    async with asyncio.timeout(120):
        out, errors = await program.communicate()
    return program.returncode, out.decode().splitlines(), errors.decode()


@pytest.fixture
def files(tmp_path: Path, portrait: UInt8) -> list[Path]:
    written = {"smile.png": png(portrait), "speech.wav": wav(np.concatenate([room(0.6), voice(1.4), room(1.0)]))}
    written |= {"room.wav": wav(room(1.0)), "notes.png": b"no picture"}
    for name, data in written.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in written]


@pytest.mark.example("from_hume.py")
async def test_the_example_measures_a_face_and_a_voice(files: list[Path]) -> None:
    model = await asyncio.to_thread(load_model, ModelSettings())
    key = "k" * 16
    async with serving(Settings(server=ServerSettings(token=key)), model=model) as running:
        code, lines, errors = await runs(running, ROOT / "examples" / "from_hume.py", *files, key=key)
        assert (code, errors) == (1, "")
        smile, speech, quiet, notes = (line.partition(": ")[2] for line in lines)
        assert smile.startswith("Joy ")
        assert "AU12 Lip Corner Puller" in smile
        name, score, *_ = speech.split()
        assert name in {"Anger", "Calmness", "Disgust", "Fear", "Joy", "Sadness"} or speech.startswith("Surprise")
        assert 1 / 7 <= float(score) <= 1
        assert quiet == "No speech was heard."
        assert notes.startswith("E0200 What was sent cannot be decoded")


async def test_every_call_of_the_sdk_is_answered_in_a_type_of_its_own(files: list[Path]) -> None:
    key = "k" * 16
    async with serving(Settings(server=ServerSettings(token=key))) as running:
        code, lines, errors = await runs(running, "-c", EVENTS, f"ws://localhost:{running.port}", key, files[1])
        assert (code, errors) == (0, "")
        found, wrong = "StreamModelPredictions", "StreamErrorMessage"
        assert json.loads(lines[0]) == [found, found, found, wrong, found, found]
        assert lines[1].startswith("401 ")
