"""The wheel carries the page, the models and the licences: what setuptools would pack, and the check of a wheel."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from realtime.serve.page_build import wire_sha256
from tests.deploy import wheel

ROOT = Path(__file__).parents[2]
# Asked in a process of its own: setuptools looks into the folder that it runs in. Building takes ten times as long.
PACKED = """
import json
from setuptools.dist import Distribution

ours = Distribution({"script_name": "setup.py"})
ours.parse_config_files(["pyproject.toml"])
ours.set_defaults()
build = ours.get_command_obj("build_py")
build.ensure_finalized()
files = [*build.get_source_files(), *(f"{folder}/{name}" for _, folder, _, names in build.data_files for name in names)]
print(json.dumps({"files": files, "licences": ours.metadata.license_files}))
"""


@pytest.mark.slow
def test_the_wheel_takes_along_what_it_needs() -> None:
    told = subprocess.run([sys.executable, "-c", PACKED], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    packed = json.loads(told.splitlines()[-1])
    files = {Path(name).as_posix() for name in packed["files"]}
    assert not wheel.missing(files, lambda name: (ROOT / name).read_text("utf-8"))
    assert set(wheel.LICENCES) <= set(packed["licences"])
    # Whatever else the program reads lies beside its modules.
    tracked = subprocess.run(
        ["git", "ls-files", "realtime", "emothinker"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in tracked if not name.startswith("realtime/deploy/")} <= files


def made(path: Path, left_out: str = "", wire: str = "") -> Path:
    """A wheel with everything, or with everything but one file. `wire` is the hash of other events than ours."""
    built = json.dumps({"wire": wire or hashlib.sha256(wheel.EVENTS.read_bytes()).hexdigest()})
    page = '<script src="./assets/a.js"></script><link href="./icon.svg">'
    names = [*(name.replace("*", "x") for name in wheel.WANTED), "realtime/web_dist/assets/a.js"]
    names += ["realtime/web_dist/icon.svg", *(f"emothinker-1.dist-info/licenses/{name}" for name in wheel.LICENCES)]
    with zipfile.ZipFile(path, "w") as opened:
        for name in names:
            if not name.endswith(left_out or "/"):
                opened.writestr(name, page if name.endswith(".html") else built if name == wheel.BUILT else "")
    return path


@pytest.mark.parametrize(
    "left_out", ["index.html", "assets/a.js", ".onnx", "licenses/LICENSE", "realtime/nano/model.safetensors"]
)
def test_a_wheel_that_lacks_something_is_told(
    left_out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, short = made(tmp_path / "whole.whl"), made(tmp_path / "short.whl", left_out)
    assert wheel.main([str(whole)]) == 0
    assert wheel.main([str(short)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "make wheel" in said
    assert Path(left_out.strip(".")).name in said


def test_a_wheel_with_the_page_of_other_events_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wheel.main([str(made(tmp_path / "old.whl", wire="other"))]) == 1
    assert "lacks a page that was built for these events" in capsys.readouterr().err


def test_the_events_of_a_page_are_compared_as_the_server_does() -> None:
    assert hashlib.sha256(wheel.EVENTS.read_bytes()).hexdigest() == wire_sha256()
