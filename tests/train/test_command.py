"""How the programs of training and evaluation end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime.errors import BadSettings
from train.command import run_command, tell_result, write_json
from train.evaluation.staged import paraphrases


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


def test_a_missing_file_is_a_sentence_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "faces.npz"

    def main() -> None:
        missing.read_bytes()

    with pytest.raises(SystemExit) as end:
        run_command(main, "train.tuning.surest")
    assert end.value.code == 3
    assert capsys.readouterr().err == f"train.tuning.surest: {missing} is missing.\n"


def test_what_took_long_is_written_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    out = tmp_path / "new" / "calibration.json"
    write_json(out, {"face": 0.998})
    assert json.loads(out.read_text(encoding="utf-8")) == {"face": 0.998}


@pytest.mark.parametrize("text", ["", "[]", '{"when": ["at what time"]}', '{"when": [{"cue": "jaw_drop"}]}'])
def test_wordings_of_another_form_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "wordings.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings, match="is no file of wordings"):
        paraphrases(file)
