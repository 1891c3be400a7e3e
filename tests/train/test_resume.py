"""An evaluation that was killed goes on where it was."""

from __future__ import annotations

from pathlib import Path

from train.evaluation.runs import read_answers


def test_a_line_cut_in_half_is_answered_again_and_nothing_else_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert read_answers(path) == []
    path.write_text('{"key": "1"}\n{"key": "2"}\n{"ke', encoding="utf-8")
    assert [row["key"] for row in read_answers(path)] == ["1", "2"]
    assert path.read_text("utf-8") == '{"key": "1"}\n{"key": "2"}\n'
    assert len(read_answers(path)) == 2
