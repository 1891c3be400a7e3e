"""The command line as a person meets it: what is wrong is said in two lines, never as a traceback."""

from __future__ import annotations

import io
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from realtime import cli
from realtime.commands.watch import events_url
from realtime.engine import loading
from realtime.engine.start import load_model
from realtime.errors import BadModel, BadSettings
from realtime.settings import ModelSettings, Settings
from realtime.settings_sources import load
from tests.scripted import ScriptedModel


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["serve", "--port", "many"], 2, "server.port is 'many'.\n          It has to be a whole number."),
        (["serve", "--max-sessions", "0"], 2, "between 1 and"),
        (["serve", "--host", "0.0.0.0"], 2, "Add --token or --token-file and --tls self-signed"),
        (["serve", "--config", "none.toml"], 2, "none.toml cannot be read"),
        (["serve", "--tls-cert", "pyproject.toml", "--tls-key", "pyproject.toml"], 2, "cannot be used for TLS"),
        (["serve", "--tls-cert", "none.pem", "--tls-key", "none.pem"], 2, "cannot be used for TLS: No such file"),
        (["serve", "--adapters", "none"], 2, "none is no folder."),
        (["serve", "--token-file", "none.txt"], 2, "none.txt cannot be read: No such file"),
        (["serve", "--token-file", "/dev/null"], 2, "/dev/null is empty."),
        (["serve", "--token-file", "realtime"], 2, "realtime cannot be read: Is a directory."),
        (["serve", "--record-media"], 2, "--record-media needs --record DIR"),
        (
            ["serve", "--record", "pyproject.toml", "--record-key", "none.key"],
            2,
            "none.key cannot be read: No such",
        ),
        (["analyze", "none.mp4"], 3, "none.mp4"),
        (["analyze", f"{'a' * 300}.mp4"], 3, "File name too long"),
        (["analyze", "sample", "--out", f"{'a' * 300}.jsonl"], 2, "cannot be written: File name too long"),
        (["analyze", "sample", "--out", f"{'a' * 300}", "--format", "csv"], 2, "File name too long"),
        (["analyze", "sample", "--out", ""], 2, "The argument after --out is empty."),
        (["analyze", ""], 2, "The argument after analyze is empty."),
        (["watch", "http://127.0.0.1:9"], 2, "is not a session's address"),
        (["watch", "http://127.0.0.1:9/sessions/abc"], 2, "The address has no secret after a #."),
        (["analyse", "none.mp4"], 2, "There is no command analyse.\n          Did you mean analyze?"),
        (["--verbose", "frobnicate"], 2, "`realtime --help` lists the commands."),
        (
            ["analyze", "sample", "--fps", "0"],
            2,
            "--fps is 0.\n          It has to be a number above 0 and at most 10.",
        ),
        (["analyze", "sample", "--fps", "30"], 2, "--fps is 30."),
        (["analyze", "sample", "--fps", "two"], 2, "--fps is two."),
        (["analyze", "sample", "--labels", "happy"], 2, "There is 1 label.\n          Give 2 to 12."),
        (["analyze", "sample", "--labels", ","], 2, "A label is empty."),
        (["analyze", "sample", "--labels", "male,female"], 2, "“male” and “female” are about sex or gender"),
        (["analyze", "sample", "--labels", "joy,stressed"], 2, "“stressed” is no emotion that this model knows."),
        (["analyze", "sample", "--question", ""], 2, "The question is empty."),
        (["analyze", "sample", "--question", "x" * 201], 2, "The question has 201 characters.\n          Ask in 200"),
        (["analyze", "sample", "--question", "Who is this?"], 2, "EmoThinker does not judge who somebody is."),
        (["analyze", "realtime/sample", "--out", "none", "--labels", "ill,well"], 2, "“ill” is about health"),
    ],
)
def test_a_mistake_is_said_in_plain_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    # A model takes seconds to load; what is wrong here is known before.
    monkeypatch.setattr(loading, "load", None)
    got, out, err = run(capsys, *arguments)
    assert (got, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_a_text_file_is_not_media(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "notes.mp4"
    file.write_text("these are notes")
    code, out, err = run(capsys, "analyze", str(file))
    assert (code, out) == (3, "")
    assert "notes.mp4" in err


def test_nothing_to_read_is_said_as_that(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An empty folder was “no recording”, and an empty file “invalid data”."""
    (tmp_path / "clips").mkdir()
    code, _, err = run(capsys, "analyze", str(tmp_path / "clips"), "--out", str(tmp_path / "out"))
    assert (code, f"The folder {tmp_path / 'clips'} holds no recordings." in err) == (3, True)
    (tmp_path / "empty.mp4").touch()
    code, _, err = run(capsys, "analyze", str(tmp_path / "empty.mp4"))
    assert (code, err.startswith("realtime: empty.mp4 is empty")) == (3, True)


def test_a_key_can_come_where_no_list_of_processes_shows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("http://127.0.0.1:9/no-session\n"))
    code, _, err = run(capsys, "watch", "-")
    assert code == 2
    assert "http://127.0.0.1:9/no-session is not a session's address." in err


@pytest.mark.parametrize("command", ["serve", "analyze", "watch", "doctor", "models", "config", "bench"])
def test_each_commands_help_says_what_it_does_and_how_it_is_called(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert f"\nExample: realtime {command} " in said
    example, _, codes = said.rpartition("Example: realtime ")[2].partition("\n\nExit codes: ")
    assert "4 bad model" in codes
    # The example is one that the command takes.
    cli._parser().parse_args(shlex.split(example))


def test_a_model_that_cannot_be_loaded_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, a_recording: Path
) -> None:
    def load(*args: object, **options: object) -> None:
        raise BadModel("The checkpoint ends in the middle.", "Fetch it again.")

    monkeypatch.setattr(loading, "load", load)
    code, _, err = run(capsys, "analyze", str(a_recording))
    assert (code, err) == (4, "realtime: The checkpoint ends in the middle.\n          Fetch it again.\n")


def test_analyze_writes_events_as_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, a_recording: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "load", lambda *args, **options: ScriptedModel())
    code, out, _ = run(capsys, "analyze", str(a_recording))
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("session.opened", "session.closed")
    assert {"frame", "window", "label", "reason.delta", "reason.done"} <= set(kinds)

    file = tmp_path / "events.jsonl"
    code, out, _ = run(capsys, "analyze", str(a_recording), "--out", str(file))
    assert (code, out) == (0, "")
    assert len(file.read_text().splitlines()) == len(events)


def test_analyze_asks_a_question_with_labels_of_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, a_recording: Path
) -> None:
    monkeypatch.setattr(loading, "load", lambda *args, **options: ScriptedModel())
    words = ("--question", "Do face and voice agree?", "--labels", "joy, other")
    code, out, _ = run(capsys, "analyze", str(a_recording), *words)
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    asked = [(event["query"], event["labels"]) for event in events if event["type"] == "window"]
    assert asked
    assert all(each == ("Do face and voice agree?", ["joy", "other"]) for each in asked)
    assert {tuple(event["probabilities"]) for event in events if event["type"] == "label"} == {("joy", "other")}


def test_a_place_that_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str], a_recording: Path) -> None:
    code, _, err = run(capsys, "analyze", str(a_recording), "--out", "none/events.jsonl")
    assert code == 2
    assert "none/events.jsonl cannot be written: No such file or directory." in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, a_recording: Path
) -> None:
    monkeypatch.setattr(loading, "load", lambda *args, **options: ScriptedModel())
    code, _, err = run(capsys, "analyze", str(a_recording), "--out", "/dev/full")
    assert (code, err.partition("\n")[0]) == (1, "realtime: /dev/full takes no more: No space left on device.")


def test_empty_settings_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").touch()
    assert load(tmp_path / "settings.toml") == Settings()


def test_a_model_that_is_too_large_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*args: object, **options: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(loading, "load", too_large)
    with pytest.raises(BadModel, match="nano does not fit"):
        load_model(ModelSettings())


@pytest.mark.slow
def test_analyze_survives_a_reader_that_goes(a_recording: Path) -> None:
    """`realtime analyze FILE | head -1` used to be how one finds a BrokenPipeError traceback."""
    with realtime("analyze", str(a_recording)) as process:
        assert process.stdout is not None
        assert "session.opened" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(300) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.slow
def test_serve_names_its_address_and_ends_well_when_asked_to() -> None:
    with realtime("serve", "--port", "0", "--worker", "thread") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        assert httpx.get(f"{address}/readyz").json()["status"] == "ready"
        httpx.get(f"{address}/sessions/0123456789abcdef")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0
        assert "Traceback" not in err
        assert "0123456789abcdef" not in err


def realtime(*arguments: str) -> subprocess.Popen[str]:
    """The program as a process of its own, with the scripted model in place of nano."""
    program = (
        "import sys, realtime.engine.loading; from tests.scripted import ScriptedModel;"
        "realtime.engine.loading.load = lambda *args, **options: ScriptedModel();"
        "from realtime.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://h:1/sessions/abc",
        "h:1/sessions/abc",
        "ws://h:1/sessions/abc/events",
        "http://h:1/sessions/abc/events?after=3",
        "http://h:1/sessions/abc#secret",
    ],
)
def test_a_session_goes_by_many_addresses(url: str) -> None:
    assert events_url(url) == "ws://h:1/sessions/abc/events"


def test_tls_stays_tls() -> None:
    assert events_url("https://h/sessions/abc") == "wss://h/sessions/abc/events"
    with pytest.raises(BadSettings):
        events_url("ftp://h/sessions/abc")
