"""How the programs of training and evaluation end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime.errors import BadSettings
from train.command import run_command, tell_result


def test_figures_are_a_table_for_people_and_a_line_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_result({"größer": 1.5}, tmp_path / "figures.json", ["| größer |", "| 1.5 |"])
    told = capsys.readouterr()
    assert told.err.splitlines() == ["| größer |", "| 1.5 |"]
    assert json.loads(told.out) == {"größer": 1.5}
    assert (tmp_path / "figures.json").read_text("utf-8") == told.out


def test_figures_are_printed_even_if_they_cannot_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` into a folder that is not there ended minutes of measuring in a traceback."""
    with pytest.raises(BadSettings, match="cannot be written"):
        tell_result({"n": 1}, tmp_path / "nowhere" / "figures.json")
    assert json.loads(capsys.readouterr().out) == {"n": 1}

    def main() -> None:
        tell_result({"n": 1}, tmp_path / "nowhere" / "figures.json")

    with pytest.raises(SystemExit) as ended:
        run_command(main, "train.x")
    assert ended.value.code == BadSettings.exit_code
