"""`export/gpu.sh`, whose commands are noted and not run: they exist, take what they are given, and end in time."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "export" / "gpu.sh"


def run_script(tmp_path: Path, does: str, **more: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """The script with a `python` that notes its arguments and then does something else; what it asked for."""
    noted, stand_in = tmp_path / "asked", tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(noted))}\n{does}\n')
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path / "out"), "talk.mp4"],
        env={**os.environ, "PYTHON": str(stand_in), **more},
        cwd=SCRIPT.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, [line.split() for line in noted.read_text().splitlines()]


def test_every_command_exists_and_knows_its_options(tmp_path: Path) -> None:
    # The stages of training are tested with the script that runs them.
    _, asked = run_script(tmp_path, "exit 0")
    assert len(asked) > 15
    told: dict[str, str] = {}
    for flag, module, *arguments in asked:
        assert flag == "-m"
        assert find_spec(module) is not None
        if module in ("pytest", "realtime.cli") or module.startswith("train."):
            continue
        if module not in told:
            told[module] = subprocess.run(
                [sys.executable, "-m", module, "--help"], capture_output=True, text=True, timeout=60
            ).stdout
        for option in (each for each in arguments if each.startswith("--")):
            assert re.search(rf"{option}\b", told[module]), (module, option)


def test_it_ends_in_time_and_names_what_it_left_out(tmp_path: Path) -> None:
    began_s = time.monotonic()
    done, asked = run_script(tmp_path, "exec sleep 30", SECONDS_IN_ALL="12")
    assert time.monotonic() - began_s < 25
    assert done.returncode == 1
    assert len(asked) == 1
    assert re.search(r"FAILED +doctor \(exit 124", done.stdout)
    assert "left out  3B-decode: no time" in done.stdout


def test_a_step_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    done, asked = run_script(tmp_path, 'case "$*" in *random_weights*7B*) exit 3 ;; esac')
    assert done.returncode == 1
    failed = re.findall(r"FAILED +(\S+) \(exit (\d)", done.stdout)
    # Nothing trains without files of a model.
    assert failed == [("7B-weights", "3"), ("training", "1")]
    assert asked[-1][1] == "export.bench"
