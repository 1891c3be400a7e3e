"""Windows and macOS lack modules and names that Linux has. Here they are hidden from what we import."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import httpx
import pytest

from realtime.ingest import files
from realtime.outputs import write_utf8
from realtime.recording.vault import EVENT, KEY_BYTES, Vault

ROOT = Path(__file__).parents[1]

MODULES = ("resource", "fcntl", "termios", "pwd", "grp", "pty", "tty", "syslog", "curses", "readline", "posix")
"What the standard library has on no Windows."

NAMES = {
    "os": "O_DIRECTORY O_NOFOLLOW chown fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid "
    "getpgrp getpriority getuid killpg lchown mkfifo mknod nice openpty posix_fadvise posix_fallocate pread "
    "posix_spawn pwrite sched_getaffinity sched_setaffinity setgid setpgid setpriority setsid setuid sysconf uname "
    "wait3 wait4",
    "signal": "SIGALRM SIGCONT SIGHUP SIGPROF SIGQUIT SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH alarm getitimer pause setitimer",
    "socket": "SO_REUSEPORT AF_NETLINK SCM_RIGHTS send_fds recv_fds",
}
"The same of these three modules."

NEEDED_HERE = {
    "os": "O_CLOEXEC O_NONBLOCK O_SYNC WNOHANG confstr fdatasync pipe2 register_at_fork sendfile statvfs sync ttyname",
    "signal": "SIGCHLD SIGKILL SIGPIPE SIGSTOP pthread_kill pthread_sigmask sigwait",
    "socket": "AF_UNIX MSG_DONTWAIT",
}
"What no Windows has either, but the standard library takes on Linux: ours may not, and it cannot be hidden."

GUARDED = {
    ("realtime/commands/machine.py", "os.sched_getaffinity"),
    ("realtime/commands/doctor.py", "os.sysconf"),
    ("realtime/recording/vault.py", "os.O_DIRECTORY"),
    ("realtime/words/transcriber.py", "os.nice"),
}
"Where it is asked first whether the name is there."

HIDING = f"""
import asyncio, builtins, importlib, os, signal, socket, sys

import concurrent.futures.process, multiprocessing.popen_spawn_posix
# What others import on Linux is theirs.
import aiortc, av, cryptography.x509, onnxruntime, starlette.applications, torch, uvicorn, websockets

for module, names in {NAMES!r}.items():
    for name in names.split():
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)

def on_windows(name, globals=None, locals=None, fromlist=(), level=0, found=builtins.__import__):
    importer = (globals or {{}}).get("__name__", "")
    if name.partition(".")[0] in {MODULES!r} and importer.partition(".")[0] in ("realtime", "emothinker", "export"):
        raise ModuleNotFoundError(f"No module named {{name!r}}")
    return found(name, globals, locals, fromlist, level)
builtins.__import__ = on_windows

def none(self, *args):
    raise NotImplementedError
asyncio.SelectorEventLoop.add_signal_handler = none
asyncio.SelectorEventLoop.remove_signal_handler = none

for name in (
    "emothinker", "emothinker.devices", "emothinker_start", "export.folder", "realtime.bench", "realtime.cli",
    "realtime.commands.analyze", "realtime.commands.completion", "realtime.commands.config", "realtime.commands.doctor",
    "realtime.commands.models", "realtime.commands.serve", "realtime.commands.study", "realtime.commands.watch",
    "realtime.engine.child", "realtime.engine.loading", "realtime.engine.process", "realtime.engine.start",
    "realtime.evidence.faces", "realtime.recording.__main__", "realtime.serve.app", "realtime.serve.hosting",
    "realtime.words.transcriber",
):
    importlib.import_module(name)

from realtime.cli import main
from realtime.commands.doctor import _machine
from realtime.observe.metrics import rss_mb
assert rss_mb() == 0.0
assert "cores" in _machine().detail
"""
"A program in which what imports work like on Windows, as far as Linux can."


@pytest.mark.slow
def test_without_what_windows_lacks_all_is_imported_and_a_server_begins_and_ends() -> None:
    """`realtime serve` and `analyze` failed with "No module named 'resource'", and then at the handler of Ctrl+C."""
    scripted = "realtime.engine.loading.load = lambda *args, **options: ScriptedModel()"
    serve = "sys.exit(main(['serve', '--port', '0', '--worker', 'thread']))"
    program = f"{HIDING}\nimport realtime\nfrom tests.scripted import ScriptedModel\n{scripted}\n{serve}\n"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdout is not None
        began = server.stdout.readline()
        # Its handlers are there before it answers.
        answer = httpx.get(f"{began.split()[1]}/readyz") if began else None
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=300)
    assert answer is not None, told
    assert answer.json()["status"] == "ready"
    assert server.returncode == 0, told
    assert "Traceback" not in told


def test_what_windows_lacks_is_taken_nowhere_or_only_where_it_is() -> None:
    names = {module: f"{NAMES[module]} {NEEDED_HERE[module]}".split() for module in NAMES}
    taken = re.compile("|".join(rf"\b{module}\.(?:{'|'.join(each)})\b" for module, each in names.items()))
    imported = re.compile(rf"^(?:import|from) (?:{'|'.join(MODULES)})\b", re.M)
    found = set()
    for folder in ("realtime", "emothinker", "export", "train", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
            assert not imported.search(text), f"{name} cannot be imported on Windows: import it where it is needed"
            found |= {(name, each) for each in taken.findall(text)}
    assert found == GUARDED


@pytest.mark.skipif(sys.platform != "linux", reason="looks up the names of Linux")
def test_what_is_said_to_be_missing_on_windows_is_on_linux() -> None:
    """A name that is misspelt would be found nowhere."""
    for module, known in (("os", dir(os)), ("signal", dir(signal)), ("socket", dir(socket))):
        assert set(f"{NAMES[module]} {NEEDED_HERE[module]}".split()) <= set(known)
    assert set(MODULES) <= sys.stdlib_module_names


def test_without_dev_stdin_what_is_piped_in_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.STANDARD_INPUT.exists() or sys.platform == "win32"
    monkeypatch.setattr(files, "STANDARD_INPUT", tmp_path / "no such device")
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"RIFF\r\n\x1a")))
    with files.standard_input() as path:
        assert Path(path).read_bytes() == b"RIFF\r\n\x1a"
    assert not Path(path).exists()


def test_what_is_piped_out_is_utf8_where_the_system_has_a_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="cp1252"))
    write_utf8()
    print("glücklich → 悲しい", flush=True)  # noqa: T201
    assert written.getvalue().decode().strip() == "glücklich → 悲しい"


def test_a_recording_is_deleted_where_no_folder_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault(tmp_path, bytes(KEY_BYTES), days=1)
    with vault.begin("0" * 32, "secret") as recording:
        recording.add(EVENT, b"{}")
    monkeypatch.delattr(os, "O_DIRECTORY")
    vault.delete("0" * 32)
    assert not list(tmp_path.iterdir())
