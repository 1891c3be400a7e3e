"""Following a session that somebody else sends: the operator's list, names, lasting tickets, and what is refused."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from realtime.serve import readers, sessions
from realtime.settings import ServerSettings, Settings
from tests.serve.live_server import SDP, Running, sender, serving, until
from tests.waiting import WITHIN_S

OPERATOR = "the-operators-own-key"
SERVER = Settings(server=ServerSettings(token="right", operator_token=OPERATOR, requests_burst=10_000))
AS_OPERATOR = {"Authorization": f"Bearer {OPERATOR}"}


async def opened(running: Running, peer: Any, query: str = "") -> str:
    """The path of a session that the token opened, as OBS does, whose secret nobody shows."""
    running.http.headers["Authorization"] = "Bearer right"
    path = await running.whip(peer, query)
    running.http.headers["Authorization"] = ""
    return path


async def ticket(running: Running, path: str, key: str) -> str:
    reply = await running.http.post(f"{path}/tickets", headers={"Authorization": f"Bearer {key}"})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["ticket"])


async def test_the_operator_lists_names_follows_and_marks_what_others_send() -> None:
    async with serving(SERVER) as running, sender() as peer:
        path = await opened(running, peer, "?name=study-7")
        (listed,) = (await running.http.get("/sessions", headers=AS_OPERATOR)).json()["sessions"]
        assert (f"/sessions/{listed['id']}", listed["name"], listed["state"]) == (path, "study-7", "live")
        for address in (path, "/sessions/study-7"):
            one_use = await ticket(running, address, OPERATOR)
            async with running.socket(f"{address}/events?ticket={one_use}") as socket:
                events = await until(socket, "frame")
                assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
                marked = await running.http.post(f"{address}/marks", json={"name": "go"}, headers=AS_OPERATOR)
                assert marked.status_code == 201
                assert (await until(socket, "mark"))[-1]["name"] == "go"
        assert (await running.http.get("/sessions/study-7", headers=AS_OPERATOR)).json()["id"] == listed["id"]


async def test_nobody_else_lists_follows_or_marks() -> None:
    """The token is for everybody who opens sessions; it must not open those of others."""
    async with serving(SERVER) as running, sender(audio=False) as peer, sender(audio=False) as another:
        path = await opened(running, peer)
        await opened(running, another)
        strangers: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer right"},
            {"Authorization": f"Bearer {running.secret}"},
        )
        for headers in strangers:
            assert (await running.http.get("/sessions", headers=headers)).status_code == 401
            for method, what in (
                ("GET", path),
                ("POST", f"{path}/tickets"),
                ("POST", f"{path}/tickets?lasting=true"),
                ("DELETE", f"{path}/tickets"),
                ("DELETE", f"{path}/tickets/x"),
                ("POST", f"{path}/marks"),
            ):
                reply = await running.http.request(method, what, headers=headers)
                assert (reply.status_code, reply.json()["code"]) == (401, "not_allowed"), (method, what)


async def test_without_an_operator_token_nobody_lists() -> None:
    async with serving() as running:
        reply = await running.http.get("/sessions")
    assert reply.status_code == 401
    assert "--operator-token-file" in reply.json()["hint"]


async def test_a_lasting_ticket_reads_and_does_nothing_else_until_it_is_revoked() -> None:
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        given = (await running.http.post(f"{path}/tickets?lasting=true")).json()
        assert given["expires_in_s"] is None
        lasting = {"Authorization": f"Bearer {given['ticket']}"}
        assert (await running.http.get(path, headers=lasting)).json()["state"] == "live"
        for method, what in (
            ("PUT", f"{path}/ask"),
            ("POST", f"{path}/marks"),
            ("POST", f"{path}/tickets?lasting=true"),
            ("DELETE", f"{path}/tickets/{given['id']}"),
            ("DELETE", f"{path}/record"),
        ):
            assert (await running.http.request(method, what, headers=lasting)).status_code in (401, 404)
        with pytest.raises(InvalidStatus) as refused:
            async with running.socket(f"{path}/events?ticket={given['ticket']}"):
                pass
        assert refused.value.response.status_code == 401

        unused = await ticket(running, path, given["ticket"])
        one_use = await ticket(running, path, given["ticket"])
        async with running.socket(f"{path}/events?ticket={one_use}") as socket, running.events(path) as own:
            await until(socket, "frame")
            assert (await running.http.delete(f"{path}/tickets/{given['id']}")).status_code == 200
            async with asyncio.timeout(WITHIN_S):
                await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (1008, "the ticket was revoked")
            await until(own, "frame")
        reply = await running.http.post(f"{path}/tickets", headers=lasting)
        assert (reply.status_code, reply.json()["code"]) == (401, "not_allowed")
        assert "revoked" in reply.json()["detail"]
        with pytest.raises(InvalidStatus) as refused:
            async with running.socket(f"{path}/events?ticket={unused}"):
                pass
        assert refused.value.response.status_code == 401
        again = await running.http.delete(f"{path}/tickets/{given['id']}")
        assert (again.status_code, again.json()["code"]) == (404, "unknown_ticket")


async def test_a_name_is_one_sessions_while_it_is_open() -> None:
    async with serving() as running, sender(audio=False) as peer, sender(audio=False) as another:
        path = await running.whip(peer, "?name=study-7")
        await another.setLocalDescription(await another.createOffer())
        offer = partial(running.http.post, content=another.localDescription.sdp, headers=SDP)
        for name, status, code in (
            ("study-7", 409, "name_taken"),
            ("a%2Fb", 400, "bad_request"),
            ("", 400, "bad_request"),
        ):
            reply = await offer(f"/whip?name={name}")
            assert (reply.status_code, reply.json()["code"]) == (status, code)
        assert len(running.live.sessions.open) == 1
        await running.http.delete(path)
        assert (await offer("/whip?name=study-7")).status_code == 201


async def test_a_session_that_only_the_operator_reads_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OBS sends has no other reader, and ended after `idle_s` although somebody followed it."""
    monkeypatch.setattr(sessions, "WATCH_S", 0.05)
    idle = Settings(server=ServerSettings(operator_token=OPERATOR, idle_s=2.0))
    async with serving(idle) as running, sender(audio=False) as peer, sender(audio=False) as unread:
        path = await running.whip(peer)
        one_use = await ticket(running, path, OPERATOR)
        async with running.socket(f"{path}/events?ticket={one_use}") as socket:
            elsewhere = await running.whip(unread)
            async with asyncio.timeout(WITHIN_S):
                while len(running.live.sessions.open) == 2:
                    await asyncio.sleep(0.05)
            assert [f"/sessions/{session.id}" for session in running.live.sessions.open] == [path]
            assert elsewhere != path
            await until(socket, "frame")


async def test_however_many_follow_whoever_opened_the_session_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_READERS", 2)
    monkeypatch.setattr(readers, "KEPT_FOR_OPENER", 1)
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        key = (await running.http.post(f"{path}/tickets?lasting=true")).json()["ticket"]
        first, second = await ticket(running, path, key), await ticket(running, path, key)
        async with running.socket(f"{path}/events?ticket={first}"):
            with pytest.raises(InvalidStatus) as refused:
                async with running.socket(f"{path}/events?ticket={second}"):
                    pass
            assert refused.value.response.status_code == 503
            async with running.events(path) as own:
                await until(own, "session.opened")
