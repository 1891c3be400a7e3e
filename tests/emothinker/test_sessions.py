"""`emothinker.follow` reads a session of a running server to its end, whatever becomes of the connection."""

from __future__ import annotations

import asyncio

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

import emothinker
from realtime.errors import BadSettings, NotAllowed, Unreachable
from realtime.serve.readers import Readers
from tests.serve.live_server import Running, sender, serving, until


def address(running: Running, path: str) -> str:
    return f"http://localhost:{running.port}{path}#{running.secret}"


async def until_labelled(events: emothinker.Events, running: Running, path: str) -> list[emothinker.Event]:
    """Follow the session, end it after its first label, and return everything."""
    got = []
    async with asyncio.timeout(30):
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

        def first_label() -> emothinker.Event:
            return next(event for event in emothinker.follow(address(running, path)) if event.type == "label")

        async with asyncio.timeout(30):
            assert (await asyncio.to_thread(first_label)).label == "happy"


async def test_a_lost_connection_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server cuts each socket after a few events, as a proxy or a sleeping laptop does."""
    n_sockets = 0
    follow = Readers.follow

    async def cut(self: Readers, socket: WebSocket, *arguments: object) -> None:
        nonlocal n_sockets
        n_sockets += 1
        send, n_sent = socket.send_text, 0

        async def send_some(text: str) -> None:
            nonlocal n_sent
            n_sent += 1
            if n_sent == 4 and n_sockets < 4:
                await socket.close(1001, "going away")
                raise WebSocketDisconnect
            await send(text)

        socket.send_text = send_some  # type: ignore[method-assign]
        await follow(self, socket, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Readers, "follow", cut)
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        events = await until_labelled(emothinker.follow(address(running, path)), running, path)
    assert n_sockets >= 4
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


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
