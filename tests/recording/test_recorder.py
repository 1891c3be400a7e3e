"""Recording over the whole server: who agrees is kept, nobody else is, and who opened a session deletes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime.recording.__main__ import main
from realtime.recording.recorder import Recorder
from realtime.recording.vault import EVENT, PICTURE, Vault, new_key, read_key
from tests.serve.live_server import sender, serving, until
from tests.waiting import eventually


@pytest.mark.slow
async def test_only_a_session_that_agrees_is_kept_and_its_opener_deletes_it(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    folder = tmp_path / "vault"
    vault = Vault(folder, read_key(tmp_path / "key"), days=1)
    async with serving(recorder=Recorder(vault, "media")) as running:
        assert (await running.http.get("/api/config")).json()["record"] == "media"
        async with sender(audio=False) as peer:
            path = await running.whip(peer)
            async with running.events(path) as socket:
                await until(socket, "frame")
            assert (await running.http.delete(path)).status_code == 200
        assert list(folder.iterdir()) == []

        async with sender(audio=False) as peer:
            path = await running.whip(peer, "?record=media")
            async with running.events(path) as socket:
                await until(socket, "label")
                assert (await running.http.get(path)).json()["recorded"] == "media"
                await running.http.delete(path)
                told = await until(socket, "session.closed")
        session = path.removeprefix("/sessions/")
        recorder = running.live._recorder
        assert recorder is not None
        await eventually(lambda: not recorder._tasks, "the end of the recording")
        kept = list(vault.read(session))
        lines = [json.loads(content) for kind, content in kept if kind == EVENT]
        assert [line["seq"] for line in lines] == list(range(1, told[-1]["seq"] + 1))
        pictures = [content for kind, content in kept if kind == PICTURE]
        assert pictures
        assert all(content.partition(b"\n")[2].startswith(b"\xff\xd8") for content in pictures)
        where = ["--dir", str(folder), "--key", str(tmp_path / "key")]
        assert main(["media", *where, session, "--out", str(tmp_path / "out")]) == 0
        assert len(list((tmp_path / "out").glob("*.jpg"))) == len(pictures)

        stranger = await running.http.delete(f"{path}/record", headers={"Authorization": "Bearer another"})
        assert stranger.status_code == 401
        assert (await running.http.delete(f"{path}/record")).status_code == 200
        assert list(folder.iterdir()) == []
        assert (await running.http.delete(f"{path}/record")).status_code == 404


@pytest.mark.slow
async def test_a_disk_that_fails_is_said_and_the_session_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_key(tmp_path / "key")
    vault = Vault(tmp_path / "vault", read_key(tmp_path / "key"), days=1)
    (tmp_path / "vault").rmdir()
    async with serving(recorder=Recorder(vault, "events")) as running, sender(audio=False) as peer:
        path = await running.whip(peer, "?record=events")
        async with running.events(path) as socket:
            told = await until(socket, "error")
            assert (told[-1]["code"], told[-1]["message"]) == (
                "record_failed",
                "The recording has stopped: No such file or directory.",
            )
            await until(socket, "label")
    assert "is no longer recorded" in caplog.text
    assert "Traceback" not in caplog.text


async def test_what_cannot_be_deleted_is_said(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    vault = Vault(tmp_path / "vault", read_key(tmp_path / "key"), days=1)
    session = "0" * 32
    with vault.begin(session, "secret"):
        pass
    (tmp_path / "vault" / f"{session}.data").unlink()
    (tmp_path / "vault" / f"{session}.data").mkdir()
    async with serving(recorder=Recorder(vault, "events")) as running:
        answer = await running.http.delete(f"/sessions/{session}/record", headers={"Authorization": "Bearer secret"})
        assert (answer.status_code, answer.json()["code"]) == (503, "not_deleted")


async def test_a_server_without_record_keeps_nothing_whatever_is_agreed() -> None:
    async with serving() as running, sender(audio=False) as peer:
        assert (await running.http.get("/api/config")).json()["record"] is None
        path = await running.whip(peer, "?record=media")
        assert (await running.http.get(path)).json()["recorded"] is None
        assert (await running.http.delete(f"{path}/record")).status_code == 404
        refused = await running.http.post(
            "/whip?record=all", content="v=0", headers={"Content-Type": "application/sdp"}
        )
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
