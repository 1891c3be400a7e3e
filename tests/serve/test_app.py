"""The server over real sockets: uvicorn on loopback, a real WebRTC peer, real WebSockets; the model is scripted."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from aiortc import RTCPeerConnection
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.commands.watch import watch
from realtime.errors import PortTaken
from realtime.ingest.relay import TURN_TTL_S
from realtime.ingest.settings import IceSettings
from realtime.ingest.webrtc import PEER_LEFT
from realtime.publish.events import ErrorEvent
from realtime.publish.schema import event_schema
from realtime.records import LABELS
from realtime.serve import hosting, marks
from realtime.serve.certificate import own_certificate
from realtime.serve.page import VIEWERS
from realtime.serve.tickets import TICKET_S
from realtime.settings import PublishSettings, ServerSettings, Settings
from tests.scripted import ScriptedModel
from tests.serve.certificates import self_signed
from tests.serve.live_server import SDP, sender, serving, until
from tests.waiting import WITHIN_S, eventually


async def test_a_peer_gets_events_reconnects_without_loss_and_leaves_nothing_behind() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        assert len(path.removeprefix("/sessions/")) == 32
        async with running.events(path) as socket:
            first = await until(socket, "frame")
        async with running.events(path, first[-1]["seq"]) as socket:
            rest = await until(socket, "frame")
            events = first + rest
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))

            state = (await running.http.get(path)).json()
            assert (state["state"], state["model"]) == ("live", "scripted")
            n_tasks = len(asyncio.all_tasks())
            assert (await running.http.delete(path)).status_code == 200
            closed = (await until(socket, "session.closed"))[-1]
            assert closed["reason"] == "The session was ended by its owner."
        assert (await running.http.get(path)).json()["state"] == "ended"
        await eventually(lambda: len(asyncio.all_tasks()) < n_tasks, "the end of the session's tasks")
        assert running.live.sessions.open == ()


async def test_a_peer_that_leaves_frees_its_session() -> None:
    """It says goodbye, so nobody waits for its silence. `tests/ingest/test_webrtc.py` has those that do not."""
    async with serving() as running:
        async with sender() as peer:
            path = await running.whip(peer)
            async with running.events(path) as socket:
                await until(socket, "frame")
        async with running.events(path) as socket:
            assert (await until(socket, "session.closed"))[-1]["reason"] == PEER_LEFT
        await eventually(lambda: not running.live.sessions.open, "the end of the session")


def is_connected(peer: RTCPeerConnection) -> bool:
    return peer.connectionState == "connected"


async def test_sessions_dropped_at_any_moment_leave_no_task_behind() -> None:
    settings = Settings(publish=PublishSettings(linger_s=0))
    async with serving(settings) as running:
        await running.http.get("/healthz")
        n_tasks = len(asyncio.all_tasks())
        for reached in ("connecting", "connected", "media"):
            async with sender() as peer, sender(video=False) as another:
                paths = [await running.whip(peer), await running.whip(another)]
                if reached == "connected":
                    await eventually(partial(is_connected, peer), "the connection")
                if reached == "media":
                    await eventually(lambda: any(session.at_s for session in running.live.sessions.open), "media")
                replies = await asyncio.gather(*(running.http.delete(path) for path in paths * 2))
                assert {reply.status_code for reply in replies} <= {200, 404}
        await eventually(lambda: len(asyncio.all_tasks()) <= n_tasks, "the end of all tasks")
        assert running.live.sessions.open == ()


async def test_a_full_server_says_when_to_come_back() -> None:
    settings = Settings(server=ServerSettings(max_sessions=1, retry_after_s=7))
    async with serving(settings) as running, sender(audio=False) as peer, sender() as another:
        path = await running.whip(peer)
        await another.setLocalDescription(await another.createOffer())
        reply = await running.http.post("/whip", content=another.localDescription.sdp, headers=SDP)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "7")
        assert reply.json()["code"] == "full"
        await running.http.delete(path)
        await running.whip(another)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"hello", "application/sdp", 400, "bad_offer"),
        (b"\xff\xfe", "application/sdp", 400, "bad_offer"),
        (b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "application/sdp", 422, "no_media"),
        (b"v=0\r\n", "application/json", 415, "wrong_content_type"),
        (b"v=0\r\n", "", 415, "wrong_content_type"),
        (b"v" * 70_000, "application/sdp", 413, "too_large"),
    ],
)
async def test_an_offer_that_is_none_gets_a_plain_answer(body: bytes, kind: str, status: int, code: str) -> None:
    async with serving() as running:
        reply = await running.http.post("/whip", content=body, headers={"Content-Type": kind} if kind else {})
        assert (reply.status_code, reply.json()["code"]) == (status, code)
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]
        assert reply.json()["hint"]
        assert running.live.sessions.open == ()
        assert f'refused_total{{code="{code}"}} 1.0' in (await running.http.get("/metrics")).text


async def test_what_operators_and_programs_ask() -> None:
    async with serving() as running:
        http = running.http
        assert (await http.get("/healthz")).json() == {"status": "alive"}
        assert (await http.get("/readyz")).json()["model"] == "scripted"
        assert "emothinker_sessions 0.0" in (await http.get("/metrics")).text
        assert (await http.get("/schema/events.json")).json() == event_schema()
        config = (await http.get("/api/config")).json()
        assert (config["labels"][0], config["token_required"], config["ice_servers"]) == ("happy", False, [])
        described = (await http.get("/openapi.json")).json()
        assert {"/whip", "/sessions/{id}", "/healthz", "/readyz", "/metrics"} <= set(described["paths"])
        assert set(event_schema()["$defs"]) <= set(described["components"]["schemas"])


async def test_every_route_and_every_answer_with_a_body_is_described_with_its_schema() -> None:
    async with serving(Settings(server=ServerSettings(operator_token="the-operators-own-key"))) as running:
        described = (await running.http.get("/openapi.json")).json()
        inside = running.live.app._app
        assert isinstance(inside, Starlette)
        routes = {route.path: route.methods for route in inside.routes if isinstance(route, Route)}
        pages = {"/", *(f"/{name}" for name in VIEWERS)}
        assert set(routes) | pages == set(described["paths"])
        sockets = {route.path for route in inside.routes if isinstance(route, WebSocketRoute)}
        assert sockets == set(described["x-websockets"])
        for path, methods in routes.items():
            assert {method.lower() for method in methods or ()} - {"head"} <= set(described["paths"][path])
        for path, operations in described["paths"].items():
            for method in set(operations) - {"parameters"}:
                for status, answer in operations[method]["responses"].items():
                    for kind, content in answer.get("content", {}).items():
                        schema = content["schema"]
                        assert "$ref" in schema or schema == {"type": "string"}, (method, path, status, kind)
                assert {"403", "429"} <= set(operations[method]["responses"]), (method, path)
        as_operator = {"Authorization": "Bearer the-operators-own-key"}
        for path in ("/healthz", "/readyz", "/api/config", "/schema/events.json", "/openapi.json"):
            as_described(described, path, await running.http.get(path))
        as_described(described, "/sessions", await running.http.get("/sessions", headers=as_operator))
        # Without the built page each of them is a problem.
        for path in pages:
            as_described(described, path, await running.http.get(path))


async def test_every_answer_about_an_open_session_is_as_it_is_described() -> None:
    """The state had a key that its schema lacked: the test asked for the list while no session was open."""
    async with serving(Settings(server=ServerSettings(operator_token="the-operators-own-key"))) as running:
        described = (await running.http.get("/openapi.json")).json()
        as_operator = {"Authorization": "Bearer the-operators-own-key"}
        async with sender(audio=False) as peer:
            path = await running.whip(peer, "?name=study-7")
            async with running.events(path) as socket:
                await until(socket, "frame")
            http, id_path = running.http, "/sessions/{id}"
            state = as_described(described, id_path, await http.get(path))
            assert set(state) == set(described["components"]["schemas"]["Session"]["required"])
            listed = as_described(described, "/sessions", await http.get("/sessions", headers=as_operator))
            (session,) = listed["sessions"]
            only_known_keys(described, "Session", session)
            assert session["name"] == "study-7"
            ask = {"query": "Is it sarcasm?", "labels": ["sincere", "sarcastic"]}
            as_described(described, f"{id_path}/ask", await http.put(f"{path}/ask", json=ask))
            summed = await http.put(f"{path}/ask", json={"query": "Sum up the last minute"})
            assert as_described(described, f"{id_path}/ask", summed) == ask | {"summary_s": 60.0}
            mark = {"name": "trial", "data": {"number": 3}}
            as_described(described, f"{id_path}/marks", await http.post(f"{path}/marks", json=mark))
            tickets = f"{path}/tickets"
            once = as_described(described, f"{id_path}/tickets", await http.post(tickets))
            lasting = as_described(described, f"{id_path}/tickets", await http.post(f"{tickets}?lasting=true"))
            assert (once["expires_in_s"], lasting["expires_in_s"]) == (TICKET_S, None)
            problem = as_described(described, f"{id_path}/ask", await http.put(f"{path}/ask", json={"labels": []}))
            assert problem["code"] == "bad_ask"
            as_described(described, id_path, await http.get(path, headers={"Authorization": ""}))


def as_described(described: dict[str, Any], path: str, answer: httpx.Response) -> dict[str, Any]:
    """The body of an answer, checked against the schema of its status and type; it may have no key of its own."""
    operation = described["paths"][path][answer.request.method.lower()]
    kind = answer.headers["content-type"].partition(";")[0]
    schema = operation["responses"][str(answer.status_code)]["content"][kind]["schema"]
    if schema == {"type": "string"}:
        return {}
    body = dict(answer.json())
    only_known_keys(described, schema["$ref"].rpartition("/")[2], body)
    return body


def only_known_keys(described: dict[str, Any], name: str, body: dict[str, Any]) -> None:
    named = described["components"]["schemas"][name]
    jsonschema.Draft202012Validator({**named, "components": described["components"]}).validate(body)
    assert set(body) <= set(named["properties"]), name


async def test_every_answer_carries_the_security_headers() -> None:
    async with serving() as running:
        for path in ("/healthz", "/sessions/none", "/"):
            reply = await running.http.get(path)
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in reply.headers


async def test_another_site_and_another_name_are_refused() -> None:
    async with serving() as running:
        foreign = await running.http.post("/whip", headers={**SDP, "Origin": "https://elsewhere.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "wrong_origin")
        rebound = await running.http.get("/api/config", headers={"Host": "elsewhere.example"})
        assert rebound.status_code == 403
        with pytest.raises(InvalidStatus) as refused:
            async with running.socket("/sessions/x/events", origin="https://elsewhere.example"):
                pass
        assert refused.value.response.status_code == 403


async def test_a_token_is_asked_for_where_one_is_set() -> None:
    async with serving(Settings(server=ServerSettings(token="right"))) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic right"}):
            reply = await running.http.post("/whip", content=b"v=0\r\n", headers={**SDP, **headers})
            assert (reply.status_code, reply.json()["code"]) == (401, "not_allowed")
            assert reply.headers["www-authenticate"].startswith("Bearer")
        reply = await running.http.post("/whip", content=b"v=0\r\n", headers={**SDP, "Authorization": "Bearer right"})
        assert reply.status_code == 422


async def test_events_are_for_whoever_opened_the_session_and_a_ticket_is_good_once() -> None:
    async with serving() as running, sender(audio=False) as peer, sender(audio=False) as another:
        path = await running.whip(peer)
        ticket = (await running.http.post(f"{path}/tickets")).json()["ticket"]
        elsewhere = await running.whip(another)
        for method, what in (("POST", f"{path}/tickets"), ("GET", path), ("PUT", f"{path}/ask")):
            for headers in ({"Authorization": ""}, {"Authorization": f"Bearer {running.secret}"}):
                reply = await running.http.request(method, what, headers=headers)
                assert (reply.status_code, reply.json()["code"]) == (401, "not_allowed")

        async def refused(address: str) -> None:
            with pytest.raises(InvalidStatus) as refusal:
                async with running.socket(address):
                    pass
            assert refusal.value.response.status_code == 401

        await refused(f"{path}/events")
        await refused(f"{path}/events?ticket=")
        await refused(f"{elsewhere}/events?ticket={ticket}")
        async with running.socket(f"{path}/events?ticket={ticket}") as socket:
            await until(socket, "session.opened")
        await refused(f"{path}/events?ticket={ticket}")


async def test_a_sender_that_knows_no_secret_ends_its_session_with_the_token() -> None:
    async with serving(Settings(server=ServerSettings(token="right"))) as running, sender(audio=False) as peer:
        running.http.headers["Authorization"] = "Bearer right"
        path = await running.whip(peer)
        assert (await running.http.delete(path, headers={"Authorization": ""})).status_code == 401
        assert (await running.http.get(path, headers={"Authorization": "Bearer right"})).status_code == 401
        assert (await running.http.delete(path, headers={"Authorization": "Bearer right"})).status_code == 200


async def test_unknown_sessions_and_paths_are_problems_too() -> None:
    async with serving() as running:
        for method, path, status in (
            ("GET", "/sessions/none", 404),
            ("DELETE", "/sessions/none", 404),
            ("PATCH", "/sessions/none", 405),
            ("GET", "/whip", 405),
            ("GET", "/none", 404),
        ):
            reply = await running.http.request(method, path)
            assert (reply.status_code, reply.json()["status"]) == (status, status)
            assert reply.headers["content-type"] == "application/problem+json"
        for path in ("/sessions/none/events", "/sessions/none/events?after=-1"):
            with pytest.raises(InvalidStatus) as refused:
                async with running.socket(path):
                    pass
            assert refused.value.response.status_code == 404


async def test_a_session_is_asked_something_else() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        asked = {"query": "is this sarcasm?", "labels": ["sincere", "sarcastic"]}
        reply = await running.http.put(f"{path}/ask", json=asked)
        assert (reply.status_code, reply.json()) == (200, asked)
        assert (await running.http.get(path)).json()["ask"] == asked
        async with running.events(path) as socket:
            label = (await until(socket, "label"))[-1]
        assert list(label["probabilities"]) == asked["labels"]
        for body, status, code in (
            ("?", 400, "bad_request"),
            ('{"labels":[]}', 422, "bad_ask"),
            ('{"query":""}', 422, "bad_ask"),
            ('{"query":"How old is she?"}', 422, "not_judged"),
            ('{"labels":["male","female"]}', 422, "not_judged"),
            (" " * 5_000, 413, "too_large"),
        ):
            refused = await running.http.put(f"{path}/ask", content=body)
            assert (refused.status_code, refused.json()["code"]) == (status, code)
            assert refused.headers["content-type"] == "application/problem+json"
        await running.http.delete(path)
        over = await running.http.put(f"{path}/ask", json=asked)
        assert (over.status_code, over.json()["code"]) == (409, "session_over")
        assert (await running.http.put("/sessions/none/ask", json=asked)).status_code == 404


async def test_a_summary_is_told_as_an_event_and_the_question_stays() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        query = "Summarise the last two minutes"
        async with running.events(path) as socket:
            await until(socket, "label")
            reply = await running.http.put(f"{path}/ask", json={"query": query})
            assert (reply.status_code, reply.json()) == (
                200,
                {"query": None, "labels": list(LABELS), "summary_s": 120.0},
            )
            summary = (await until(socket, "summary"))[-1]
        assert (summary["query"], summary["source"]) == (query, "measured")
        assert summary["statements"] == [summary["text"]]
        assert "a summary needs a minute" in summary["text"]
        assert (await running.http.get(path)).json()["ask"]["query"] is None
        assert 'emothinker_summaries_total{source="measured"} 1.0' in (await running.http.get("/metrics")).text
        judged = await running.http.put(f"{path}/ask", json={"query": "Summarise how old she looks"})
        assert (judged.status_code, judged.json()["code"]) == (422, "not_judged")


async def test_a_model_with_a_fixed_set_is_told_in_labels_that_mean_it_and_refuses_others() -> None:
    """nano answered any two words with a share of 1.00."""
    async with serving(model=ScriptedModel(open_labels=False)) as running, sender() as peer:
        path = await running.whip(peer)
        refused = await running.http.put(f"{path}/ask", json={"labels": ["joy", "stressed", "yes"]})
        told = refused.json()
        assert (refused.status_code, told["code"], told["labels"]) == (422, "unknown_labels", ["stressed", "yes"])
        assert "“stressed” and “yes” are no emotions" in told["detail"]
        assert "happy, sad, neutral" in told["hint"]
        asked = {"query": None, "labels": ["joy", "rage"]}
        reply = await running.http.put(f"{path}/ask", json=asked)
        assert (reply.status_code, reply.json()) == (200, asked)
        assert (await running.http.get(path)).json()["ask"] == asked
        async with running.events(path) as socket:
            label = (await until(socket, "label"))[-1]
        assert list(label["probabilities"]) == asked["labels"]


async def test_a_mark_comes_back_at_its_media_time_and_the_first_event_tells_the_clock() -> None:
    async with serving() as running, sender() as peer:
        path = await running.whip(peer)
        async with running.events(path) as socket:
            opened = (await until(socket, "frame"))[0]
            sent = {
                "name": "trial",
                "data": {"number": 3, "condition": "A", "share": 1e-9, "pilot": False, "answer": None},
            }
            before_s = time.time()
            reply = await running.http.post(f"{path}/marks", json=sent)
            after_s = time.time()
            *since, mark = await until(socket, "mark")
        assert (reply.status_code, reply.json()) == (201, mark)
        assert {"name": mark["name"], "data": mark["data"]} == sent
        # Media second 0 by the wall clock and the mark's media second make the moment it was sent.
        newest = [event for event in (opened, *since) if "started_at" in event][-1]
        started_s = datetime.fromisoformat(newest["started_at"]).timestamp()
        assert before_s - 0.01 <= started_s + mark["t"] <= after_s + 0.01
        assert opened["started_at_error_ms"] > 0
        await running.http.delete(path)
        over = await running.http.post(f"{path}/marks", json=sent)
        assert (over.status_code, over.json()["code"]) == (409, "session_over")


async def test_a_mark_that_cannot_be_one_is_refused_and_the_session_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # None more while the test runs, however slow the machine is.
    monkeypatch.setattr(marks, "PER_S", 0.001)
    monkeypatch.setattr(marks, "BURST", 12)
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        async with running.events(path) as socket:
            await until(socket, "session.opened")
            for body, status, code in (
                (b"x" * 1_000_000, 413, "too_large"),
                (b"?", 400, "bad_request"),
                (b"[]", 400, "bad_request"),
                (b"{}", 422, "bad_mark"),
                (b'{"name":"trial","at":3}', 422, "bad_mark"),
                (b'{"name":"trial","data":{"a":[1]}}', 422, "bad_mark"),
                (b'{"name":"trial","data":{"a":NaN}}', 422, "bad_mark"),
                (b'{"name":"trial","data":{"a":"\\ud800"}}', 422, "bad_mark"),
            ):
                reply = await running.http.post(f"{path}/marks", content=body)
                assert (reply.status_code, reply.json()["code"]) == (status, code)
                assert reply.headers["content-type"] == "application/problem+json"
                assert reply.json()["hint"]
            stranger = await running.http.post(f"{path}/marks", json={"name": "x"}, headers={"Authorization": ""})
            assert stranger.status_code == 401
            replies = [await running.http.post(f"{path}/marks", json={"name": "x"}) for _ in range(marks.BURST + 2)]
            assert {reply.status_code for reply in replies} == {201, 429}
            assert next(reply.json()["detail"] for reply in replies if reply.status_code == 429) == (
                "Too many marks in this session."
            )
            await until(socket, "frame")


async def test_a_strange_after_is_refused() -> None:
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        with pytest.raises(InvalidStatus) as refused:
            async with running.socket(f"{path}/events?after=ten"):
                pass
        assert refused.value.response.status_code == 400


async def test_a_reader_that_takes_nothing_is_cut_off_and_the_others_are_not() -> None:
    settings = Settings(publish=PublishSettings(send_timeout_s=1.0))
    async with serving(settings) as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        session = running.live.sessions.open[0]
        async with (
            running.events(path, max_queue=1) as slow,
            running.events(path) as quick,
        ):
            await until(quick, "frame")
            # Enough to fill the kernel's buffers, so that the server's writes come to a halt.
            for _ in range(2_000):
                session.log.publish(ErrorEvent("test", "x" * 4_000, ""), at_s=session.at_s)
            newest = session.log.seq
            async with asyncio.timeout(WITHIN_S):
                async for line in quick:
                    if json.loads(line)["seq"] > newest:
                        break
            slow_readers = running.live._metrics.slow_readers
            await eventually(lambda: slow_readers._value.get() == 1, "the end of the slow reader")
            assert "slow_readers_total 1.0" in (await running.http.get("/metrics")).text
            slow.transport.abort()


async def test_a_reader_that_never_stops_talking_is_cut_off() -> None:
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        async with running.events(path) as hostile, running.events(path) as other:
            with suppress(ConnectionClosed):
                for _ in range(1_000):
                    await hostile.send("x" * 4_000)
            async with asyncio.timeout(WITHIN_S):
                await hostile.wait_closed()
            await until(other, "frame")


async def test_stopping_the_server_tells_its_sessions() -> None:
    # The peer outlives the server, or the session might end for its leaving.
    async with sender(audio=False) as peer, serving() as running:
        path = await running.whip(peer)
        ticket = (await running.http.post(f"{path}/tickets")).json()["ticket"]
        socket = await running.socket(f"{path}/events?ticket={ticket}")
        await until(socket, "session.opened")
    assert (await until(socket, "session.closed"))[-1]["reason"] == "The server was stopped."
    await socket.close()


async def test_watch_prints_a_session_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        watching = asyncio.create_task(watch(f"http://127.0.0.1:{running.port}{path}#{running.secret}"))
        async with running.events(path) as socket:
            await until(socket, "frame")
        await running.http.delete(path)
        await asyncio.wait_for(watching, WITHIN_S)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "session.closed"


async def test_watch_prints_words_at_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as running, sender(audio=False) as peer:
        path = await running.whip(peer)
        address = f"http://127.0.0.1:{running.port}{path}#{running.secret}"
        watching = asyncio.create_task(watch(address, in_words=True))
        async with running.events(path) as socket:
            await until(socket, "reason.done")
        await running.http.delete(path)
        await asyncio.wait_for(watching, 5)
    said = capsys.readouterr().out
    assert not any(line.startswith("{") for line in said.splitlines())
    assert "      Answer      " in said
    assert said.endswith("It ended: The session was ended by its owner.\n")


async def test_with_a_certificate_it_speaks_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    settings = Settings(server=ServerSettings(tls_cert=certificate, tls_key=key))
    hosting.check_tls(settings.server)
    async with serving(settings) as running:
        assert (await running.http.get("/readyz")).status_code == 200


async def test_on_a_home_network_it_makes_its_own_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    token = tmp_path / "token"
    token.write_text("a long enough token\n")
    asked = Settings(server=ServerSettings(host="0.0.0.0", tls="self-signed", token_file=token))
    settings = hosting.settle(asked)
    assert settings.server.token == "a long enough token"
    certificate, key = settings.server.tls_cert, settings.server.tls_key
    assert certificate is not None
    assert key is not None
    assert key.stat().st_mode & 0o077 == 0
    first = capsys.readouterr().err
    async with serving(settings) as running, sender(audio=False) as peer:
        running.http.headers["Authorization"] = "Bearer a long enough token"
        await running.whip(peer)
    # Whoever trusted it once is not asked again; where it has ended or fits no more, there is a new one.
    hosting.settle(asked)
    assert capsys.readouterr().err == first
    own_certificate(names=frozenset({"another.example"}))
    hosting.settle(asked)
    assert capsys.readouterr().err != first


async def test_an_address_that_asks_for_too_much_is_told_to_wait() -> None:
    settings = Settings(server=ServerSettings(token="right", requests_per_s=0.1, requests_burst=40))
    async with serving(settings) as running:
        for _ in range(2):
            assert (await running.http.post("/whip", content=b"v=0\r\n", headers=SDP)).status_code == 401
        reply = await running.http.get("/healthz")
        assert (reply.status_code, reply.json()["code"]) == (429, "too_many")
        assert int(reply.headers["retry-after"]) > 0


async def test_a_request_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "HEAD_S", 1.0)
    async with serving(Settings(server=ServerSettings(request_s=1.0))) as running, asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: local")
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n")
        writer.write(b"Content-Length: 9\r\n\r\nv=0")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_relay_passwords_end_and_are_for_who_may_open_sessions() -> None:
    ice = IceSettings(stun_url="stun:127.0.0.1:9", turn_url="turn:h:1, turns:h:2?transport=tcp", turn_secret="shared")
    async with serving(Settings(server=ServerSettings(token="right"), ice=ice)) as running:
        allowed = {"Authorization": "Bearer right"}
        stranger = (await running.http.get("/api/config")).json()["ice_servers"]
        assert stranger == [{"urls": "stun:127.0.0.1:9"}]
        servers = (await running.http.get("/api/config", headers=allowed)).json()["ice_servers"]
        assert [server["urls"] for server in servers[1:]] == ["turn:h:1", "turns:h:2?transport=tcp"]
        ends_s = int(servers[1]["username"].partition(":")[0])
        assert 0 < ends_s - time.time() <= TURN_TTL_S
        assert "shared" not in json.dumps(servers)
        links = (await running.http.options("/whip", headers=allowed)).headers.get_list("link")
        assert len(links) == 3
        assert links[1].startswith('<turn:h:1>; rel="ice-server"; username="')
        assert len((await running.http.options("/whip")).headers.get_list("link")) == 1


def test_a_port_that_is_taken_is_named() -> None:
    with (
        hosting.listen("127.0.0.1", 0) as listening,
        pytest.raises(PortTaken, match=f"port {listening.getsockname()[1]}"),
    ):
        hosting.listen("127.0.0.1", listening.getsockname()[1])


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(PortTaken) as refused:
        hosting.listen("192.0.2.1", 0)
    assert refused.value.message.endswith("Cannot assign requested address.")
    assert "--host" in refused.value.hint
