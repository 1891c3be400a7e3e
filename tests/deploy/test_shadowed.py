"""A user's `train.py` before our package: what a wheel and an editable installation say, and where they say nothing.

Both are built here from the modules without the models, and installed without what they depend on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("export", "realtime", "train")
SOURCES = ("*.toml", "README.md", "LICENSE", "build_hook.py", "emothinker*", *(f"{name}/*.py" for name in PACKAGES))
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
RUNS = "open('ran', 'w').close()\n"
"A program of the user's, which leaves a file."

pytestmark = pytest.mark.slow


def environ() -> dict[str, str]:
    """Without the tests' own PYTHONPATH: with a checkout there, pip would take the package for installed."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Installed:
    """An environment that has our package alone, and a folder in which a user starts Python."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.home = folder / "ein Ort für alles"
        tree = folder / "tree"
        tracked = subprocess.run(["git", "ls-files", *SOURCES], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in tracked.stdout.splitlines():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
        built = subprocess.run(
            [sys.executable, "-c", BUILD, f"build_{kind}", str(folder)],
            cwd=tree, capture_output=True, text=True, check=True,
        )  # fmt: skip
        venv.create(folder / "env", symlinks=os.name != "nt")
        self.python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.pip("install", "--no-deps", "--no-compile", str(folder / built.stdout.splitlines()[-1]))

    def pip(self, *given: str) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(self.python)]
        subprocess.run([*pip, *given], env=environ(), capture_output=True, check=True)

    def holds(self, **files: str) -> None:
        """Only these files are in the user's folder. `train_of_mine` stands for `train/mine.py`."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        for name, text in files.items():
            path = self.home / f"{name.replace('_of_', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def run(self, *given: str, **env: str) -> tuple[int, str]:
        """The exit code and what was said on stderr."""
        done = subprocess.run(
            [str(self.python), *given], cwd=self.home, env=environ() | {"PYTHONUTF8": "1"} | env,
            capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    def ran(self) -> bool:
        return (self.home / "ran").exists()


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize("text", [RUNS, "def broken(:\n", RUNS + "raise SystemExit(0)\n", "# ein Wörtchen\n"])
@pytest.mark.parametrize(
    ("given", "name"),
    [
        (("-m", "train.warmup", "--data", "x"), "train.warmup"),
        (("-mtrain.nano.package",), "train.nano.package"),
        (("-W", "ignore", "-um", "export.onnx"), "export.onnx"),
        (("-m", "train.evaluate"), "train.evaluate"),
    ],
)
def test_a_file_that_hides_our_package_is_told_and_not_run(
    installed: Installed, given: tuple[str, ...], name: str, text: str
) -> None:
    package, _, program = name.partition(".")
    installed.holds(**{package: text})
    code, said = installed.run(*given)
    assert said == (
        f"python -m {name}: {installed.home / package}.py hides EmoThinker's package `{package}`; run "
        f"`realtime {package} {program} …` instead, start from another folder, or rename it.\n"
    )
    assert code == 2
    assert not installed.ran()


def test_a_file_on_pythonpath_is_told_too(installed: Installed) -> None:
    installed.holds(mine_of_train=RUNS)
    code, said = installed.run("-P", "-m", "train.warmup", PYTHONPATH=str(installed.home / "mine"))
    assert code == 2
    assert f"{installed.home / 'mine' / 'train.py'} hides" in said
    assert "take its folder out of PYTHONPATH" in said


@pytest.mark.parametrize(
    ("files", "given"),
    [
        # Packages of the user's own, one of them a file that passes for a package.
        ({"train_of___init__": "", "train_of_warmup": RUNS}, ("-m", "train.warmup")),
        ({"train": "__path__ = ['inner']\n", "inner_of_warmup": RUNS}, ("-m", "train.warmup")),
        # The file itself, a name that no program of ours has, and words of other programs.
        ({"train": RUNS}, ("-m", "train")),
        ({"train": RUNS}, ("-m", "train.mine")),
        ({"train": "", "mine": RUNS}, ("mine.py", "-m", "train.warmup")),
        ({"train": "", "mine": RUNS}, ("-m", "mine", "-m", "train.warmup")),
        ({"train": ""}, ("-c", RUNS, "-m", "train.warmup")),
    ],
)
def test_what_is_the_users_own_is_run(installed: Installed, files: dict[str, str], given: tuple[str, ...]) -> None:
    installed.holds(**files)
    _, said = installed.run(*given)
    assert "hides" not in said
    assert installed.ran(), said


def test_where_python_does_not_look_nothing_is_hidden(installed: Installed) -> None:
    """Without its dependencies our program fails, and says the same as from an empty folder."""
    installed.holds()
    ours = installed.run("-m", "train.warmup")
    assert ours[0] == 1
    installed.holds(train=RUNS)
    assert installed.run("-m", "train.warmup")[0] == 2
    for given, env in ((("-I",), {}), (("-P",), {}), ((), {"PYTHONSAFEPATH": "1"})):
        assert installed.run(*given, "-m", "train.warmup", **env) == ours
    assert not installed.ran()


@pytest.mark.parametrize("name", ["train_of___init__", "train_of_angry"])
def test_a_folder_is_pythons_to_tell(installed: Installed, name: str) -> None:
    """A package without our program, or a folder of data. Behind either, Python finds an editable installation."""
    installed.holds(**{name: ""})
    code, said = installed.run("-m", "train.warmup")
    assert code == 1
    assert "hides" not in said


def test_nothing_is_raised_and_uninstalling_leaves_nothing(installed: Installed) -> None:
    """Last, as it takes the installation away."""
    (pth,) = installed.python.parents[1].rglob("emothinker_shadowed.pth")
    line = pth.read_text("utf-8")
    installed.holds(train=RUNS)
    installed.pip("uninstall", "--yes", "emothinker")
    assert not pth.exists()
    code, said = without = installed.run("-m", "train.warmup")
    assert (code, "hides" in said) == (1, False), said
    # The line alone, as after an installation that broke off. pip took the folder away with the last package in it.
    pth.parent.mkdir(exist_ok=True)
    pth.write_text(line, "utf-8")
    assert installed.run("-m", "train.warmup") == without
