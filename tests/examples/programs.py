"""Runs the programs in `examples/` as a person would."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def example(name: str, *arguments: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    # An example reaches its server directly, whatever proxy the machine has.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "localhost"}
    program = str(ROOT / "examples" / name)
    return await create_subprocess_exec(
        *(sys.executable, program, *arguments), stdin=stdin, stdout=PIPE, stderr=PIPE, env=environment
    )
