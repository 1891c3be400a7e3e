from __future__ import annotations

import base64
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from realtime.errors import BadRecording, BadSettings, UnknownSession
from realtime.recording.__main__ import main
from realtime.recording.vault import DAY_S, EVENT, KEY_BYTES, Vault, read_key

ID, OTHER = "0" * 31 + "1", "0" * 31 + "2"
KEY = bytes(range(KEY_BYTES))
WORDS = b'{"type":"label","label":"sad"}'


class Clock:
    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def filled(folder: Path, *sessions: str, clock: Clock | None = None) -> Vault:
    vault = Vault(folder, KEY, days=2, now_s=clock or Clock())
    for session in sessions:
        with vault.begin(session, "secret") as recording:
            recording.add(EVENT, WORDS)
            recording.add(EVENT, WORDS)
    return vault


def test_what_is_kept_can_be_read_with_the_key_and_not_without(tmp_path: Path) -> None:
    vault = filled(tmp_path, ID)
    assert list(vault.read(ID)) == [(EVENT, WORDS)] * 2
    for file in tmp_path.iterdir():
        assert b"sad" not in file.read_bytes()
    with pytest.raises(BadRecording, match="another --key"):
        list(Vault(tmp_path, KEY[::-1], days=2).read(ID))


def test_a_deleted_recording_is_gone_even_from_a_copy(tmp_path: Path) -> None:
    vault = filled(tmp_path / "vault", ID, OTHER)
    copy = (tmp_path / "vault" / f"{ID}.data").read_bytes()
    vault.delete(ID)
    assert not list((tmp_path / "vault").glob(f"{ID}*"))
    with pytest.raises(UnknownSession):
        list(vault.read(ID))
    # Neither the operator's key nor another recording's opens what somebody kept of the data.
    (tmp_path / "vault" / f"{OTHER}.data").write_bytes(copy)
    with pytest.raises(BadRecording, match="changed"):
        list(vault.read(OTHER))
    with pytest.raises(UnknownSession):
        vault.delete(ID)


def test_one_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    vault = filled(tmp_path)
    (tmp_path / f"{ID}.data").touch()
    with pytest.raises(FileExistsError):
        vault.begin(ID, "secret")
    assert list(vault.sessions()) == []


def test_the_locked_key_is_overwritten_before_its_file_goes(tmp_path: Path) -> None:
    """A second name of the file shows what a disk, or a snapshot of it, would still hold."""
    vault = filled(tmp_path / "vault", ID)
    manifest, still_there = tmp_path / "vault" / f"{ID}.json", tmp_path / "block of the disk"
    before = manifest.read_bytes()
    still_there.hardlink_to(manifest)
    vault.delete(ID)
    after = still_there.read_bytes()
    assert len(after) == len(before)
    assert after != before
    assert b"key" not in after


def test_one_that_an_error_ends_says_that_it_broke_off(tmp_path: Path) -> None:
    vault = filled(tmp_path)
    with suppress(ZeroDivisionError), vault.begin(ID, "secret") as recording:
        recording.add(EVENT, WORDS)
        raise ZeroDivisionError
    blocks = vault.read(ID)
    assert next(blocks) == (EVENT, WORDS)
    with pytest.raises(BadRecording, match="breaks off after 1"):
        next(blocks)


def test_nobody_else_reads_the_folder_and_what_is_left_in_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    vault = filled(folder, ID)
    assert folder.stat().st_mode & 0o077 == 0
    (folder / f"{ID}.copy").touch()
    with pytest.raises(OSError, match="still there"):
        vault.delete(ID)


@pytest.mark.parametrize("name", ["..", "../x", "", "*", "0" * 33, "0" * 31 + "/"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    vault = filled(tmp_path, ID)
    with pytest.raises(UnknownSession):
        vault.delete(name)
    with pytest.raises(UnknownSession):
        vault.is_owner(name, "secret")


def test_recordings_end(tmp_path: Path) -> None:
    clock = Clock()
    vault = filled(tmp_path, ID, clock=clock)
    clock.now_s += DAY_S
    with vault.begin(OTHER, "secret"):
        pass
    assert vault.delete_ended() == 0
    clock.now_s += DAY_S
    assert vault.delete_ended() == 1
    assert list(vault.sessions()) == [OTHER]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{OTHER}.data", f"{OTHER}.json"]


def test_the_recordings_of_one_of_several_servers_end_too(tmp_path: Path) -> None:
    clock, session = Clock(), f"b2-{ID}"
    vault = filled(tmp_path, session, clock=clock)
    assert vault.is_owner(session, "secret")
    assert list(vault.sessions()) == [session]
    clock.now_s += 2 * DAY_S
    assert vault.delete_ended() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recording_cannot_be_given_a_longer_life_or_cut_short(tmp_path: Path) -> None:
    vault = filled(tmp_path, ID, OTHER)
    manifest, data = tmp_path / f"{ID}.json", tmp_path / f"{OTHER}.data"
    manifest.write_text(manifest.read_text().replace("1172800.0", "9172800.0"))
    with pytest.raises(BadRecording, match="cannot be read"):
        list(vault.read(ID))
    whole = data.read_bytes()
    for cut in (whole[:-10], whole[: len(whole) // 2], whole[:2]):
        data.write_bytes(cut)
        with pytest.raises(BadRecording):
            list(vault.read(OTHER))


def with_little_space(folder: Path) -> None:
    """Record where no file may grow beyond 4 KB, as on a disk that is full: the body of a process of its own."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limit))
    with Vault(folder, KEY, days=1).begin(ID, "secret") as recording:
        recording.add(EVENT, WORDS)
        recording.add(EVENT, bytes(100_000))


def test_a_full_disk_keeps_what_was_written_before_and_can_be_deleted(tmp_path: Path) -> None:
    # The limit is a whole process's: here it would hold for the log that these tests are written to, too.
    code = f"import pathlib, sys; from {__name__} import with_little_space as run; run(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "File too large" in done.stderr
    vault = Vault(tmp_path, KEY, days=1)
    blocks = vault.read(ID)
    assert next(blocks) == (EVENT, WORDS)
    with pytest.raises(BadRecording):
        next(blocks)
    vault.delete(ID)
    assert list(tmp_path.iterdir()) == []


def test_what_crashes_leave_behind_hides_nothing_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, folder = tmp_path / "key", tmp_path / "vault"
    key.write_bytes(base64.b64encode(KEY))
    vault = Vault(folder, KEY, days=1)
    with vault.begin(OTHER, "secret"):
        pass
    (folder / f"{ID}.json").touch()
    (folder / f"{'3' * 32}.data").write_bytes(b"noise")
    assert main(["list", "--dir", str(folder), "--key", str(key)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(OTHER)
    assert f"The key of {ID} cannot be read." in said.err
    assert vault.delete_ended() == 2
    assert sorted(path.stem for path in folder.iterdir()) == [OTHER, OTHER]


def test_one_that_cannot_be_deleted_keeps_no_other(tmp_path: Path) -> None:
    clock = Clock()
    vault = filled(tmp_path, ID, OTHER, clock=clock)
    (tmp_path / f"{ID}.data").unlink()
    (tmp_path / f"{ID}.data").mkdir()
    clock.now_s += 2 * DAY_S
    with pytest.raises(OSError, match=ID):
        vault.delete_ended()
    assert list(vault.sessions()) == []


def test_only_its_secret_owns_it(tmp_path: Path) -> None:
    vault = filled(tmp_path, ID)
    assert vault.is_owner(ID, "secret")
    assert not vault.is_owner(ID, "")


def test_the_operator_lists_shows_and_deletes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, folder = tmp_path / "key", tmp_path / "vault"
    assert main(["new-key", str(key)]) == 0
    assert key.stat().st_mode & 0o077 == 0
    assert main(["new-key", str(key)]) == 1
    with Vault(folder, read_key(key), days=1).begin(ID, "secret") as recording:
        recording.add(EVENT, WORDS)
    where = ("--dir", str(folder), "--key", str(key))
    for words, said in ((["list"], ID), (["show", ID], '"sad"'), (["delete", ID], "is deleted")):
        capsys.readouterr()
        assert main([words[0], *where, *words[1:]]) == 0
        assert said in capsys.readouterr().out
    assert main(["show", *where, ID]) == 1
    assert "no recording" in capsys.readouterr().err
    key.write_text("short")
    with pytest.raises(BadSettings, match="holds no key"):
        read_key(key)
    with pytest.raises(BadSettings, match="No such file or directory"):
        read_key(tmp_path / "none")
