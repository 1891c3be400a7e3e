"""The socket for clients of OpenAI's Realtime API. `tests/senders/test_openai_sdk.py` talks to it with the SDK."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.publish.events import ErrorEvent
from realtime.records import UInt8
from realtime.serve.openai import socket as served
from realtime.settings import PublishSettings, ServerSettings, Settings
from tests.ingest.media_files import room, voice
from tests.ingest.uploads import black_png, png
from tests.scripted import CHAIN
from tests.serve.live_server import Running, not_for_silence, serving
from tests.waiting import WITHIN_S, eventually

PATH = "/v1/realtime?model=nano"
SPOKEN_N = np.concatenate([room(0.6), voice(1.4), room(1.0)])


def sound(samples_N: Any) -> dict[str, Any]:
    """16 kHz as the 24 kHz that a client sends."""
    at_N = np.arange(round(samples_N.size * 1.5)) / 1.5
    pcm = (np.interp(at_N, np.arange(samples_N.size), samples_N) * 32767).astype("<i2").tobytes()
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}


def image(rgb_HW3: UInt8) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(png(rgb_HW3)).decode()}"
    item = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}
    return {"type": "conversation.item.create", "item": item}


@asynccontextmanager
async def talking(running: Running, **options: Any) -> AsyncIterator[ClientConnection]:
    async with running.socket(PATH, **options) as socket:
        assert (await told(socket, "session.created"))[-1]["session"]["model"] == "scripted"
        yield socket


async def told(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """The events up to the first of that type."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(WITHIN_S):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await socket.recv()))
    return events


async def say(socket: ClientConnection, *events: Any) -> None:
    for event in events:
        await socket.send(event if isinstance(event, str | bytes) else json.dumps(event))


async def test_speech_and_a_picture_become_a_response(portrait: UInt8) -> None:
    async with serving() as running, talking(running) as socket:
        await say(socket, image(portrait))
        added = await told(socket, "conversation.item.done")
        assert [event["type"] for event in added] == ["conversation.item.added", "conversation.item.done"]
        assert added[0]["item"]["content"] == [{"type": "input_image"}]

        await say(socket, sound(SPOKEN_N))
        events = await told(socket, "response.done")
        kinds = [event["type"] for event in events]
        assert kinds[:5] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert events[0]["audio_start_ms"] == pytest.approx(600, abs=250)
        assert events[1]["audio_end_ms"] == pytest.approx(2000, abs=250)
        deltas = [event for event in events if event["type"] == "response.output_text.delta"]
        assert [kind for kind in kinds[5:] if kind != "response.output_text.delta"] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        text = "".join(event["delta"] for event in deltas)
        assert text.splitlines()[0] == "face: The lip corners are pulled up."
        assert text.splitlines()[-1] == f"answer: {CHAIN[-1][1]}"
        done = events[-1]["response"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [{"type": "output_text", "text": text}]
        assert done["metadata"]["label"] == "happy"
        assert json.loads(done["metadata"]["probabilities"])["happy"] == 0.6
        assert {event["response_id"] for event in deltas} == {done["id"]}
        assert len({event["event_id"] for event in events}) == len(events)


async def test_pictures_alone_are_answered_when_asked_for(portrait: UInt8) -> None:
    async with serving() as running, talking(running) as socket:
        for level in (0, 40):
            await say(socket, image(np.asarray(portrait // 2 + np.uint8(level), np.uint8)), {"type": "response.create"})
            assert (await told(socket, "response.done"))[-1]["response"]["status"] == "completed"


async def test_a_commit_ends_what_is_being_said() -> None:
    async with serving() as running, talking(running) as socket:
        await say(socket, sound(SPOKEN_N[: 16_000 * 3 // 2]))
        await told(socket, "input_audio_buffer.speech_started")
        await say(socket, {"type": "input_audio_buffer.commit"})
        kinds = [event["type"] for event in await told(socket, "response.done")]
        assert kinds[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]


async def test_a_minute_that_comes_at_once_is_heard_to_its_end() -> None:
    """A program may send faster than real time: it waits, and nothing is left out."""
    async with serving() as running, talking(running) as socket:
        sending = asyncio.create_task(say(socket, *[sound(SPOKEN_N)] * 20), name="send")
        for _ in range(20):
            await told(socket, "input_audio_buffer.committed")
        await sending


async def test_instructions_are_the_question() -> None:
    async with serving() as running, talking(running) as socket:
        await say(socket, {"type": "session.update", "session": {"type": "realtime", "instructions": "Is it sarcasm?"}})
        assert (await told(socket, "session.updated"))[-1]["session"]["instructions"] == "Is it sarcasm?"
        long = {"type": "session.update", "event_id": "e1", "session": {"type": "realtime", "instructions": "x" * 300}}
        await say(socket, long)
        error = (await told(socket, "error"))[-1]["error"]
        assert (error["code"], error["event_id"], error["type"]) == ("bad_ask", "e1", "invalid_request_error")
        await say(socket, {"type": "session.update", "session": {"type": "realtime", "instructions": "Who is this?"}})
        error = (await told(socket, "error"))[-1]["error"]
        assert (error["code"], error["message"].partition(".")[0]) == (
            "not_judged",
            "EmoThinker does not judge who somebody is",
        )
        # Its empty instructions are its way of setting none.
        await say(socket, {"type": "session.update", "session": {"type": "realtime", "instructions": ""}})
        assert not (await told(socket, "session.updated"))[-1]["session"].get("instructions")


GARBAGE: dict[str, Any] = {
    "not JSON": "{",
    "bytes": b"\x00\x01",
    "no object": [1],
    "deep": "[" * 100_000,
    "no type": {},
    "unknown": {"type": "response.cancel"},
    "no sound": {"type": "input_audio_buffer.append"},
    "not Base64": {"type": "input_audio_buffer.append", "audio": "%%%"},
    "half a sample": {"type": "input_audio_buffer.append", "audio": "AAAA"},
    "no item": {"type": "conversation.item.create"},
    "text": {
        "type": "conversation.item.create",
        "item": {"type": "message", "content": [{"type": "input_text", "text": "hello"}]},
    },
    "an address": {
        "type": "conversation.item.create",
        "item": {"type": "message", "content": [{"type": "input_image", "image_url": "http://other.example/a.png"}]},
    },
    "a file": {
        "type": "conversation.item.create",
        "item": {"type": "message", "content": [{"type": "input_image", "image_url": "file:///etc/hostname"}]},
    },
    "too large": {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "content": [
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64," + base64.b64encode(black_png(4_000)).decode(),
                }
            ],
        },
    },
    "sound wanted": {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["audio"]}},
    "telephone": {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}},
    },
    "no session": {"type": "session.update", "session": 3},
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_gets_a_plain_error_and_the_session_goes_on(name: str, portrait: UInt8) -> None:
    async with serving() as running, talking(running) as socket:
        garbage = GARBAGE[name]
        await say(socket, garbage)
        error = (await told(socket, "error"))[-1]["error"]
        assert error["type"] == "invalid_request_error"
        assert len(error["message"].split()) >= 5
        await say(socket, image(portrait), {"type": "response.create"})
        assert (await told(socket, "response.done"))[-1]["response"]["status"] == "completed"


async def test_it_is_a_session_like_others(portrait: UInt8) -> None:
    token, operator = "t" * 16, "o" * 16
    settings = Settings(server=ServerSettings(token=token, operator_token=operator, max_sessions=1))
    async with serving(settings) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                await running.socket(PATH, additional_headers=headers)
            assert refused.value.response.status_code == 401
        key = {"Authorization": f"Bearer {token}"}
        async with talking(running, additional_headers=key) as socket:
            await say(socket, image(portrait), {"type": "response.create"})
            await told(socket, "response.done")
            running.http.headers["Authorization"] = f"Bearer {operator}"
            (listed,) = (await running.http.get("/sessions")).json()["sessions"]
            assert listed["state"] == "live"
            with pytest.raises(InvalidStatus) as refused:
                await running.socket(PATH, additional_headers=key)
            assert refused.value.response.status_code == 503
            async with running.events(f"/sessions/{listed['id']}") as events:
                assert json.loads(await events.recv())["type"] == "session.opened"
        # Whoever leaves frees the place.
        async with asyncio.timeout(WITHIN_S):
            while (await running.http.get("/sessions")).json()["sessions"]:
                await asyncio.sleep(0.05)


async def test_an_ended_session_closes_its_socket(portrait: UInt8) -> None:
    operator = "o" * 16
    settings = Settings(server=ServerSettings(operator_token=operator))
    async with serving(settings) as running, talking(running) as socket:
        await say(socket, image(portrait), {"type": "response.create"})
        await told(socket, "response.done")
        running.http.headers["Authorization"] = f"Bearer {operator}"
        (listed,) = (await running.http.get("/sessions")).json()["sessions"]
        assert (await running.http.delete(f"/sessions/{listed['id']}")).status_code == 200
        with pytest.raises(ConnectionClosed, match="the session has ended"):
            await told(socket, "nothing")


async def test_a_socket_on_which_nothing_comes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "IDLE_S", 0.2)
    async with serving() as running, talking(running) as socket:
        with pytest.raises(ConnectionClosed, match="nothing came"):
            await asyncio.wait_for(socket.recv(), WITHIN_S)


async def test_a_program_that_reads_no_events_is_cut_off_and_gives_its_place_back(portrait: UInt8) -> None:
    settings = Settings(publish=PublishSettings(send_timeout_s=0.5))
    async with serving(settings) as running, running.unread(PATH) as socket:
        await say(socket, image(portrait))
        (session,) = running.live.sessions.open
        await eventually(lambda: session.log.seq, "the first event")
        for _ in range(500):
            session.log.publish(ErrorEvent("test_failed", "x" * 4_000, ""), at_s=session.log.newest_s)
        await eventually(lambda: not running.live.sessions.open, "the end of the session")
        assert await not_for_silence(socket)


async def test_nothing_of_what_was_said_or_shown_is_logged(portrait: UInt8, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="realtime")
    settings = Settings(server=ServerSettings(token="t" * 16))
    key = {"Authorization": f"Bearer {'t' * 16}"}
    picture = image(portrait)
    async with serving(settings) as running, talking(running, additional_headers=key) as socket:
        asked = {"type": "session.update", "session": {"type": "realtime", "instructions": "My own question?"}}
        await say(socket, asked, picture, "my garbage", {"type": "my own type"}, sound(SPOKEN_N))
        await told(socket, "response.done")
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("realtime"))
    assert "session" in said
    kept = picture["item"]["content"][0]["image_url"][-40:]
    words = ("happy", "My own question", "my garbage", "my own type", "lip corners", "t" * 16, kept)
    assert [word for word in words if word in said] == []
