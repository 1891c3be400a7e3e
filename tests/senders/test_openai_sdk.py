"""OpenAI's own Python SDK and its realtime client, as `examples/openai_realtime.py` uses them, against the server."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import numpy as np
import pytest

from realtime.engine.start import load_model
from realtime.records import LABELS, SECTIONS, UInt8
from realtime.settings import ModelSettings, ServerSettings, Settings
from tests.ingest.media_files import room, voice
from tests.ingest.uploads import png, wav
from tests.serve.live_server import Running, serving

ROOT = Path(__file__).parents[2]
PYTHON = Path(__file__).parent / "sdk_venv" / "bin" / "python"
KEY = "k" * 16

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="OpenAI's SDK is not installed; `make test` does it, or: make .venv/.done/sdks"
    ),
]


async def example(running: Running, *words: object, key: str = KEY) -> tuple[int | None, str, str]:
    """The exit code, what is printed and what goes wrong."""
    program = await create_subprocess_exec(
        *(str(PYTHON), str(ROOT / "examples" / "openai_realtime.py"), *map(str, words)),
        stdout=PIPE,
        stderr=PIPE,
        env={
            **os.environ,
            "PYTHONPATH": "",
            "EMOTHINKER": f"http://localhost:{running.port}",
            "OPENAI_API_KEY": key,
            "NO_PROXY": "localhost",
        },
    )
    async with asyncio.timeout(120):
        out, errors = await program.communicate()
    return program.returncode, out.decode(), errors.decode()


@pytest.fixture
def shown_and_heard(tmp_path: Path, portrait: UInt8) -> tuple[Path, Path]:
    picture, sound = tmp_path / "smile.png", tmp_path / "speech.wav"
    picture.write_bytes(png(portrait))
    sound.write_bytes(wav(np.concatenate([room(0.6), voice(1.4), room(1.0)])))
    return picture, sound


@pytest.mark.example("openai_realtime.py")
async def test_the_sdk_reads_the_whole_chain(shown_and_heard: tuple[Path, Path]) -> None:
    model = await asyncio.to_thread(load_model, ModelSettings())
    async with serving(Settings(server=ServerSettings(token=KEY)), model=model) as running:
        code, out, errors = await example(running, *shown_and_heard)
        assert (code, errors) == (0, "")
        *chain, end = out.splitlines()
        assert [line.partition(": ")[0] for line in chain] == list(SECTIONS)
        assert all(line.partition(": ")[2] for line in chain)
        assert end.removeprefix("completed: ") in (*LABELS, "unsure")

        code, _, errors = await example(running, *shown_and_heard, key="wrong")
        assert code == 1
        assert "401" in errors
