"""`realtime analyze` over many recordings: what is broken, what is resumed, and what must never be overwritten."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from realtime import cli
from realtime.commands.study import Progress
from realtime.commands.study_folder import JournalEntry
from realtime.commands.study_inputs import StudyRecording, is_study, recordings
from realtime.engine import loading
from realtime.errors import BadSettings, NotMedia
from tests.scripted import ScriptedModel

ROOT = Path(__file__).parents[2]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each time that a model was loaded."""
    calls: list[object] = []

    def load(*args: object, **options: object) -> ScriptedModel:
        calls.append(args)
        return ScriptedModel()

    monkeypatch.setattr(loading, "load", load)
    return calls


@pytest.fixture
def folder(a_recording: Path, tmp_path: Path) -> Path:
    """Two clips, one of them in a folder of its own, three broken ones, a text file and a hidden one."""
    clips = tmp_path / "clips"
    (clips / "day 2").mkdir(parents=True)
    whole = a_recording.read_bytes()
    (clips / "a.mp4").write_bytes(whole)
    (clips / "day 2" / "b.mp4").write_bytes(whole)
    (clips / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (clips / "empty.mp4").touch()
    (clips / "noise.webm").write_bytes(bytes(range(256)) * 40)
    (clips / "notes.txt").write_text("no recording")
    (clips / ".DS_Store").touch()
    return clips


def study(out: Path, *arguments: object) -> int:
    return cli.main(["analyze", *map(str, arguments), "--out", str(out), "--jobs", "1"])


def journal(out: Path) -> dict[str, JournalEntry]:
    """The last line about each recording."""
    lines = (out / "files.jsonl").read_text().splitlines()
    return {entry.file: entry for line in lines for entry in [JournalEntry(**json.loads(line))]}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_a_broken_file_is_a_row_with_its_reason(
    folder: Path, tmp_path: Path, loaded: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    assert study(out, folder, "--format", "csv") == 0
    assert len(loaded) == 1
    files = {row["file"]: row for row in table(out / "files.csv")}
    assert {name: row["status"] for name, row in files.items()} == {
        "a.mp4": "done",
        "day 2/b.mp4": "done",
        **dict.fromkeys(("cut.mp4", "empty.mp4", "noise.webm", "notes.txt"), "failed"),
    }
    assert all(row["reason"] for row in files.values() if row["status"] == "failed")
    assert "never finished" in files["cut.mp4"]["reason"]
    seconds = table(out / "seconds.csv")
    assert [row["t"] for row in seconds if row["file"] == "day 2/b.mp4"][:5] == ["0", "1", "2", "3", "4"]
    assert all(float(row["p_happy"]) == 0.6 for row in seconds)
    windows = table(out / "windows.csv")
    assert {row["source"] for row in windows} == {"fast", "chain"}
    labels = {(row["file"], row["window"], row["source"]) for row in windows}
    assert sum(row["chosen"] == "true" for row in windows) == len(labels)
    assert "2 analysed, 0 finished before, 4 failed" in capsys.readouterr().err


def test_links_pipes_and_names_of_old_disks_end_no_study(folder: Path, tmp_path: Path, loaded: list[object]) -> None:
    """Each of these ended in a traceback, or in waiting for ever: a link that leads nowhere, one that leads to itself,
    a pipe, and a name that is no UTF-8."""
    (folder / "gone.mp4").symlink_to(folder / "moved away.mp4")
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    os.mkfifo(folder / "pipe.mp4")
    odd = folder / os.fsdecode(b"caf\xe9.mp4")
    odd.write_bytes((folder / "a.mp4").read_bytes())
    broken = folder / os.fsdecode(b"br\xfbl\xe9.txt")
    broken.write_text("no recording")
    out = tmp_path / "study"
    assert study(out, folder, "--format", "csv") == 0
    files = {row["file"]: row for row in table(out / "files.csv")}
    assert files["caf\ufffd.mp4"]["status"] == "done"
    assert "There is no file" in files["gone.mp4"]["reason"]
    assert {files[name]["status"] for name in ("gone.mp4", "circle.mp4", "br\ufffdl\ufffd.txt")} == {"failed"}
    assert "pipe.mp4" not in files
    assert study(out, folder) == 0
    assert len([name for name in journal(out).values() if name.status == "done"]) == 3


@pytest.mark.parametrize("form", ["jsonl", "vtt"])
def test_a_recording_that_is_named_by_a_whole_title_ends_no_study(
    folder: Path, tmp_path: Path, loaded: list[object], form: str
) -> None:
    """Names of 255 bytes, as downloads have them, left no room for an ending: "File name too long" ended the study."""
    titles = ["ü" * 125 + ".mp4", "ü" * 124 + "a.mp4"]
    for title in titles:
        (folder / title).write_bytes((folder / "a.mp4").read_bytes())
    out = tmp_path / "study"
    for _ in range(2):
        assert study(out, folder, "--format", form) == 0
        assert {journal(out)[title].status for title in titles} == {"done"}
    assert len(list((out / "events").glob("ü*.jsonl"))) == 2
    assert len(list(out.glob("ü*.vtt"))) == 2 * (form == "vtt")


def test_a_recording_whose_name_holds_the_end_of_a_line_is_known_again(
    folder: Path, tmp_path: Path, loaded: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line in the journal was read as two, so it was analysed anew each time."""
    odd = tmp_path / "one\u2028two.mp4"
    odd.write_bytes((folder / "a.mp4").read_bytes())
    for said in ("1 analysed, 0 finished before", "0 analysed, 1 finished before"):
        assert study(tmp_path / "study", odd, "--format", "vtt") == 0
        assert said in capsys.readouterr().err


def test_a_finished_recording_is_not_done_again(
    folder: Path, tmp_path: Path, loaded: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    for broken in ("cut.mp4", "empty.mp4", "noise.webm", "notes.txt"):
        (folder / broken).unlink()
    assert study(out, folder) == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "events").rglob("*.jsonl")}
    assert len(before) == 2

    # The same again with another format: nothing is analysed, not even a model loaded.
    assert study(out, folder, "--format", "vtt") == 0
    assert "0 analysed, 2 finished before" in capsys.readouterr().err
    assert len(loaded) == 1
    assert (out / "a.vtt").read_text().startswith("WEBVTT")
    assert (out / "day 2" / "b.vtt").exists()
    assert {path: path.stat().st_mtime_ns for path in (out / "events").rglob("*.jsonl")} == before

    # A recording that changed, one whose events are gone, a line that was cut off: these alone are done again.
    os.utime(folder / "a.mp4", ns=(1, 1))
    assert study(out, folder) == 0
    assert "1 analysed, 1 finished before" in capsys.readouterr().err
    with (out / "files.jsonl").open("a") as lines:
        lines.write('{"file": "day 2/b.mp4", "sta')
    (out / "events" / "a.mp4.jsonl").unlink()
    assert study(out, folder) == 0
    assert "1 analysed, 1 finished before" in capsys.readouterr().err

    # Another question asks everything anew.
    assert study(out, folder, "--labels", "calm, angry") == 0
    assert "2 analysed, 0 finished before" in capsys.readouterr().err
    assert '"labels":["calm","angry"]' in (out / "events" / "a.mp4.jsonl").read_text()


def test_an_output_never_replaces_an_input(folder: Path, tmp_path: Path, loaded: list[object]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert study(folder, folder) == 2
    assert study(folder / "a.mp4", folder / "a.mp4", folder / "cut.mp4") == 2
    # What would be written is itself among the inputs, under a name that a link hides.
    out = tmp_path / "out"
    (out / "events").mkdir(parents=True)
    (out / "events" / "a.mp4.jsonl").symlink_to(folder / "a.mp4")
    assert study(out, folder) == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (out / "events" / "a.mp4.jsonl").unlink()
    (out / "files.jsonl").unlink(missing_ok=True)
    os.link(folder / "notes.txt", out / "files.jsonl")
    assert study(out, folder) == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_of_results_within_the_recordings_is_left_out(folder: Path, loaded: list[object]) -> None:
    assert study(folder / "results", folder) == 0
    assert study(folder / "results", folder) == 0
    assert set(journal(folder / "results")) == {
        *("a.mp4", "day 2/b.mp4", "cut.mp4", "empty.mp4", "noise.webm", "notes.txt")
    }


def test_files_folders_and_patterns_are_found_once(folder: Path, tmp_path: Path) -> None:
    found = recordings([str(folder / "*.mp4"), str(folder / "a.mp4"), str(folder / "day 2")], tmp_path / "out")
    assert [each.name for each in found] == ["a.mp4", "cut.mp4", "empty.mp4", "b.mp4"]
    with pytest.raises(NotMedia, match=r"no recording .*none"):
        recordings([str(folder / "none")], tmp_path / "out")
    (tmp_path / "a.mp4").write_bytes(b"another")
    with pytest.raises(BadSettings, match=r"would both be written as a\.mp4"):
        recordings([str(folder / "a.mp4"), str(tmp_path / "a.mp4")], tmp_path / "out")
    assert not is_study(["talk.mp4"], "jsonl", None)
    assert is_study(["talk.mp4"], "vtt", None)
    # A name with a bracket is a file where there is one.
    (tmp_path / "talk [1].mp4").touch()
    assert not is_study([str(tmp_path / "talk [1].mp4")], "jsonl", None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.mp4", "b.mp4"], "Add --out FOLDER."),
        (["a.mp4", "--format", "csv"], "Add --out FOLDER."),
        (["a.mp4", "b.mp4", "--out", "x", "--jobs", "0"], "--jobs is 0."),
        # It was taken where there is one file.
        (["sample", "--jobs", "0"], "--jobs is 0.\n          It has to lie between 1 and 64."),
        (["sample", "--copies", "-1"], "--copies is -1."),
        (["a.mp4", "b.mp4", "--out", "x", "--format", "text"], "one recording at a time"),
        (["a.mp4", "b.mp4", "--out", "x", "--copies", "65"], "--copies is 65."),
        # The first made a folder of that name, the second a table that is none.
        (["a.mp4", "--out", "x/talk.vtt", "--format", "vtt"], "x/talk.vtt looks like a file"),
        (["sample", "--out", "x.csv"], "x.csv would hold lines of JSON.\n          For csv, add --format csv"),
        (["a.mp4", "b.mp4", "--out", "x"], "There is no recording a.mp4."),
    ],
)
def test_a_mistake_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["analyze", *arguments]) in (2, 3)
    assert said in capsys.readouterr().err
    assert not Path("x").exists()


def test_where_nothing_is_media_the_command_fails(folder: Path, tmp_path: Path, loaded: list[object]) -> None:
    (folder / "a.mp4").unlink()
    (folder / "day 2" / "b.mp4").unlink()
    assert study(tmp_path / "out", folder) == 3


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_disk_that_fills_is_said_and_what_was_done_is_kept(folder: Path, tmp_path: Path, form: str) -> None:
    """A limit on the size of files does here what a full disk does: the write fails in the middle."""
    out = tmp_path / "study"
    program = (
        "import sys, realtime.engine.loading; from tests.scripted import ScriptedModel;"
        "realtime.engine.loading.load = lambda *args, **options: ScriptedModel();"
        "from realtime.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for broken in ("cut.mp4", "empty.mp4", "noise.webm", "notes.txt"):
        (folder / broken).unlink()

    def limited(arguments: list[str], limit: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, "analyze", *arguments, "--out", str(out), "--jobs", "1"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    if form == "jsonl":
        ran = limited([str(folder)], 2_000)
        assert not list((out / "events").rglob("*.jsonl"))
    else:
        assert limited([str(folder)], 10_000_000).returncode == 0
        ran = limited([str(folder), "--format", "parquet"], 1_500)
        assert {entry.status for entry in journal(out).values()} == {"done"}
        assert not list(out.glob("*.parquet"))
    assert ran.returncode == 1, ran.stderr
    assert "takes no more: File too large." in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(out.rglob("*.part"))


def test_parquet_holds_the_same_as_csv(folder: Path, tmp_path: Path, loaded: list[object]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "study"
    assert study(out, folder, "--format", "csv") == 0
    assert study(out, folder, "--format", "parquet") == 0
    for name in ("seconds", "windows", "reasons", "files"):
        read, written = pq.read_table(out / f"{name}.parquet"), table(out / f"{name}.csv")
        assert read.column_names == list(written[0])
        assert (out / f"{name}.csv").read_text().partition("\n")[0].split(",") == read.column_names
        assert read.num_rows == len(written)
    assert pq.read_table(out / "seconds.parquet").column("t").to_pylist()[:3] == [0, 1, 2]


@pytest.mark.parametrize("form", ["eaf", "textgrid", "xdf"])
def test_each_recording_gets_a_file(folder: Path, tmp_path: Path, loaded: list[object], form: str) -> None:
    out = tmp_path / "study"
    assert study(out, folder, "--format", form) == 0
    suffix = {"textgrid": ".TextGrid"}.get(form, f".{form}")
    assert {path.relative_to(out).as_posix() for path in out.rglob(f"*{suffix}")} == {f"a{suffix}", f"day 2/b{suffix}"}
    # Neither is written again, as somebody may have worked in it, unless its events are newer.
    first, second = (out / f"a{suffix}", out / "day 2" / f"b{suffix}")
    written = [path.stat().st_ino for path in (first, second)]
    os.utime(first, ns=(0, 0))
    assert study(out, folder, "--format", form) == 0
    assert [path.stat().st_ino == before for path, before in zip((first, second), written, strict=True)] == [
        False,
        True,
    ]


def test_two_recordings_of_one_stem_keep_their_endings(
    folder: Path, a_recording: Path, tmp_path: Path, loaded: list[object]
) -> None:
    (folder / "a.mov").write_bytes(a_recording.read_bytes())
    assert study(tmp_path / "out", folder, "--format", "vtt") == 0
    assert {path.name for path in (tmp_path / "out").glob("*.vtt")} == {"a.mp4.vtt", "a.mov.vtt"}


def test_progress_says_how_long_it_will_take(tmp_path: Path) -> None:
    now = iter([0.0, 0.01, 10.0, 20.0])
    sizes = {"notes": 10, "a": 90, "b": 300}
    open_ones = []
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
        open_ones.append(StudyRecording(name, tmp_path / name))
    said = io.StringIO()
    progress = Progress(open_ones, said, lambda: next(now))
    progress.ended(open_ones[0], JournalEntry("notes", "failed", "notes is text, not media.", 0.0, 10, 0, {}))
    progress.ended(open_ones[1], JournalEntry("a", "done", "", 60.0, 90, 0, {}))
    progress.ended(open_ones[2], JournalEntry("b", "failed", "b is text, not media.", 0.0, 300, 0, {}))
    assert said.getvalue().splitlines() == [
        "notes is text, not media.",
        # "About 25.4 h left" was said of 34 short recordings, of which the first was none.
        "1 of 3, 0.0× real time",
        "2 of 3, 6.0× real time, about 30 s left",
        "b is text, not media.",
        "3 of 3, 3.0× real time",
    ]
