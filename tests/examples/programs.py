"""Runs the programs in `examples/` as a person would."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

ROOT = Path(__file__).parents[2]


SCRIPTED = (
    "import realtime.engine.loading; from tests.scripted import ScriptedModel;"
    "realtime.engine.loading.load = lambda *args, **options: ScriptedModel()"
)
"Puts the scripted model in place of nano."
RUN = f"import runpy, sys; {SCRIPTED}; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"


async def example(
    name: str, *arguments: str, stdin: int | None = None, scripted: bool = False
) -> asyncio.subprocess.Process:
    """Run the program as it is written. `scripted` puts the scripted model in place of nano, which takes seconds."""
    # An example reaches its server directly, whatever proxy the machine has.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "localhost"}
    program = [*(["-c", RUN] if scripted else []), str(ROOT / "examples" / name)]
    return await create_subprocess_exec(
        *(sys.executable, *program, *arguments), stdin=stdin, stdout=PIPE, stderr=PIPE, env=environment
    )
