"""What a shell completes `realtime` with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from realtime import cli


def test_bash_completes_commands_and_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="the extra `completion` is not installed")
    if (bash := shutil.which("bash")) is None:
        pytest.skip("needs bash")
    assert cli.main(["completion", "bash"]) == 0
    made = tmp_path / "realtime.bash"
    made.write_text(capsys.readouterr().out, encoding="utf-8")
    asked = (
        f"source {made}; f=$(complete -p realtime | sed 's/.*-F \\([^ ]*\\).*/\\1/');"
        'COMP_WORDS=(realtime an); COMP_CWORD=1; $f; echo "${COMPREPLY[@]}";'
        'COMP_WORDS=(realtime analyze --fo); COMP_CWORD=2; COMPREPLY=(); $f; echo "${COMPREPLY[@]}"'
    )
    ran = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["analyze", "--format"], ran.stderr


def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 5
    assert "pip install 'emothinker[completion]'" in capsys.readouterr().err
