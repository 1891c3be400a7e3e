"""`emothinker.follow` reads a session of a running server to its end, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

import emothinker
from realtime.commands import watch
from realtime.errors import BadSettings, NotAllowed, Unreachable
from realtime.publish.events import MarkEvent, encode
from realtime.serve.readers import Readers
from realtime.settings import PublishSettings, Settings
from tests.serve.live_server import Running, sender, serving, until
from tests.waiting import WITHIN_S, eventually


def address(running: Running, path: str) -> str:
    return f"http://localhost:{running.port}{path}#{running.secret}"


async def until_labelled(events: emothinker.Events, running: Running, path: str) -> list[emothinker.Event]:
    """Follow the session, end it after its first label, and return everything."""
    got = []
    async with asyncio.timeout(WITHIN_S):
        async for event in events:
            got.append(event)
            if event.type == "label":
                await running.http.delete(path)
    return got


async def test_a_session_is_followed_to_its_end() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        events = await until_labelled(emothinker.follow(address(running, path)), running, path)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "session.closed"
    assert f"/sessions/{events[0].session}" == path


async def test_a_plain_loop_follows_it_too() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)

        def first_label() -> emothinker.LabelEvent:
            events = emothinker.follow(address(running, path))
            return next(event for event in events if isinstance(event, emothinker.LabelEvent))

        async with asyncio.timeout(WITHIN_S):
            assert (await asyncio.to_thread(first_label)).label == "happy"


async def test_a_loop_that_is_left_with_events_unread_ends_at_once() -> None:
    """A `break` in front of a long log hung for ten seconds."""

    def first(url: str) -> int:
        return next(iter(emothinker.follow(url))).seq

    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        log = running.live.sessions.open[0].log
        await eventually(lambda: log.seq, "the first event")
        for _ in range(500):
            log.publish(emothinker.ErrorEvent("test", "x" * 200, ""), at_s=log.newest_s)
        began_s = time.monotonic()
        assert await asyncio.to_thread(first, address(running, path)) == 1
        assert time.monotonic() - began_s < 8.0


async def test_a_lost_connection_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server cuts each socket before its second event, as a proxy or a sleeping laptop does."""
    n_sockets = 0
    follow = Readers.follow

    async def cut(self: Readers, socket: WebSocket, *arguments: object) -> None:
        nonlocal n_sockets
        n_sockets += 1
        send, n_sent = socket.send_text, 0

        async def send_some(data: str) -> None:
            nonlocal n_sent
            n_sent += 1
            if n_sent == 2 and n_sockets < 4:
                await socket.close(1001, "going away")
                raise WebSocketDisconnect
            await send(data)

        socket.send_text = send_some  # type: ignore[method-assign]
        await follow(self, socket, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Readers, "follow", cut)
    monkeypatch.setattr(watch, "FIRST_WAIT_S", 0.01)
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        events = await until_labelled(emothinker.follow(address(running, path)), running, path)
    assert n_sockets >= 4
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_what_becomes_of_a_connection_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger read “trying again after event 0” six times while no server ran."""
    told: list[bool] = []
    monkeypatch.setattr(watch, "GIVE_UP_AFTER", 3)
    monkeypatch.setattr(watch, "FIRST_WAIT_S", 0.01)
    with pytest.raises(Unreachable, match="does not answer"):
        await anext(watch.follow("http://localhost:9/sessions/a#b", on_link=told.append))
    assert told == [False]

    # The first attempts meet no server, the next one does.
    n_asked = 0
    ask = watch.ask_for_ticket

    def ask_late(*arguments: str) -> str:
        nonlocal n_asked
        n_asked += 1
        if n_asked < 3:
            raise ConnectionRefusedError
        return ask(*arguments)

    monkeypatch.setattr(watch, "ask_for_ticket", ask_late)
    told.clear()
    async with serving() as running, sender() as peer, asyncio.timeout(WITHIN_S):
        path = await running.whip(peer)
        await anext(watch.follow(address(running, path), on_link=told.append))
    assert told == [False, True]


async def test_a_loop_that_is_slow_is_cut_off_and_loses_no_event() -> None:
    settings = Settings(publish=PublishSettings(send_timeout_s=0.5))
    async with serving(settings) as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        log, cut_off = running.live.sessions.open[0].log, running.live._metrics.slow_readers._value
        seqs: list[int] = []
        async with asyncio.timeout(WITHIN_S):
            async for event in emothinker.follow(address(running, path)):
                seqs.append(event.seq)
                if len(seqs) == 1:
                    # More than the buffers of both programs and of the system between them hold.
                    for _ in range(2_000):
                        log.publish(emothinker.ErrorEvent("test", "x" * 4_000, ""), at_s=log.newest_s)
                    await eventually(lambda: cut_off.get() == 1, "the end of the slow reader")
                    await running.http.delete(path)
        assert seqs == list(range(1, log.seq + 1))


async def test_a_session_with_its_marks_becomes_a_file_of_each_format(tmp_path: Path) -> None:
    """A study of live sessions had its marks on the page and in tables, and nowhere else."""
    lines = tmp_path / "session.jsonl"
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        saving = asyncio.create_task(asyncio.to_thread(emothinker.follow(address(running, path)).to_jsonl, lines))
        async with running.events(path) as socket:
            await until(socket, "label")
            await running.http.post(f"{path}/marks", json={"name": "trial-3"})
            await until(socket, "mark")
        await running.http.delete(path)
        await saving
    saved = emothinker.read(lines)
    starts = [event["started_at"] for event in map(json.loads, lines.read_text().splitlines()) if "started_at" in event]
    for ending in ("vtt", "eaf", "TextGrid", "xdf"):
        await asyncio.to_thread(saved.to_file, tmp_path / f"session.{ending}")
        written = (tmp_path / f"session.{ending}").read_bytes()
        assert b"trial-3" in written
        assert starts[-1].encode() in written


async def test_what_is_no_file_of_events_or_no_format_is_said(tmp_path: Path) -> None:
    for text, says in (
        ("\nno event\n", r"notes\.txt, line 2: .* is not JSON"),
        ("\n", "holds no events"),
        (None, "cannot be read"),
    ):
        path = tmp_path / ("none.jsonl" if text is None else "notes.txt")
        if text is not None:
            path.write_text(text)
        with pytest.raises(emothinker.Error, match=says):
            await anext(aiter(emothinker.read(path)))
    with pytest.raises(BadSettings, match="3 is no path of a file"):
        await anext(aiter(emothinker.read(3)))  # type: ignore[arg-type]
    with pytest.raises(BadSettings, match="names no format"):
        emothinker.read(tmp_path / "notes.txt").to_file(tmp_path / "notes.doc")
    (tmp_path / "notes.vtt").write_text("mine")
    with pytest.raises(BadSettings, match="destroy it"):
        emothinker.read(tmp_path / "notes.vtt").to_file(tmp_path / "notes.vtt")
    assert (tmp_path / "notes.vtt").read_text() == "mine"


async def test_a_mark_that_holds_the_end_of_a_line_is_read_back(tmp_path: Path) -> None:
    """Python's `splitlines` ends a line at more characters than JSON escapes, so a file of ours could not be read."""
    data = {"said": "one\u2028two\u2029three\x85four"}
    line = encode(MarkEvent("trial", data), session="s", seq=1, at_s=0.0)
    (tmp_path / "session.jsonl").write_text(line + "\n", encoding="utf-8")
    (read,) = emothinker.read(tmp_path / "session.jsonl")
    assert isinstance(read, emothinker.MarkEvent)
    assert read.data == data


async def test_it_begins_after_what_is_known() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        # The first event comes with the first of the media.
        async with running.events(path) as socket:
            await until(socket, "session.opened")
        events = await until_labelled(emothinker.follow(address(running, path), after=1), running, path)
    assert events[0].seq == 2


async def test_what_is_wrong_with_an_address_is_said() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        with pytest.raises(NotAllowed, match="missing, wrong or revoked"):
            await anext(aiter(emothinker.follow(f"http://localhost:{running.port}{path}#wrong")))
        with pytest.raises(Unreachable, match="is no session"):
            await anext(aiter(emothinker.follow(f"http://localhost:{running.port}/sessions/{'0' * 32}#secret")))
    with pytest.raises(BadSettings, match="is not a session's address"):
        await anext(aiter(emothinker.follow("http://localhost:9")))
    with pytest.raises(BadSettings, match=r"3 is not a session's address\. It looks like http"):
        await anext(aiter(emothinker.follow(3)))  # type: ignore[arg-type]
    with pytest.raises(BadSettings, match="has no secret"):
        await anext(aiter(emothinker.follow("http://localhost:9/sessions/a")))
    with pytest.raises(BadSettings, match="The number of an event is 'two'"):
        await anext(aiter(emothinker.follow("http://localhost:9/sessions/a#b", after="two")))  # type: ignore[arg-type]
