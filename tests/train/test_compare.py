"""Paired comparison of two runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train.evaluation.compare import paired, read_hits


def test_a_clear_gain_is_told_from_none() -> None:
    a = np.arange(400) % 2 == 0
    gain = paired(a, a | (np.arange(400) % 4 == 1))
    assert gain["difference"] == pytest.approx(0.25)
    assert gain["low"] > 0
    same = paired(a, a)
    assert (same["low"], same["high"], same["not_better"]) == (0, 0, 1)


def test_an_unreadable_line_is_named(tmp_path: Path) -> None:
    rows = [json.dumps({"key": "1", "answer": None, "truth": "sad"}), '{"key": "2", "ans']
    (tmp_path / "answers.jsonl").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        read_hits(tmp_path)


def test_a_missing_run_ends_in_a_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train.evaluation.compare", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "is missing" in done.stderr
    assert "Traceback" not in done.stderr
