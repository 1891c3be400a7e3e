"""A server that sends every session on: to each receiver once, in order, with the sessions told apart."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest

from realtime.cli import main
from realtime.serve.passing_on import PassingOn
from realtime.settings import PublishSettings, ServerSettings, Settings
from tests.publish.broker import free_port, mosquitto
from tests.serve.live_server import sender, serving, until
from tests.waiting import WITHIN_S, eventually

Received = queue.Queue[tuple[Any, ...]]


@contextmanager
def receiver() -> Iterator[tuple[int, Received]]:
    """The port of an OSC receiver, and what it gets."""
    pytest.importorskip("pythonosc")
    from pythonosc import dispatcher, osc_server

    got: Received = queue.Queue()
    rooms = dispatcher.Dispatcher()
    rooms.set_default_handler(lambda address, *values: got.put((address, *values)))
    with osc_server.ThreadingOSCUDPServer(("127.0.0.1", 0), rooms) as server:
        serving_osc = threading.Thread(target=server.serve_forever)
        serving_osc.start()
        try:
            yield server.server_address[1], got
        finally:
            server.shutdown()
            serving_osc.join()


async def test_sessions_are_sent_on_with_their_marks_and_told_apart() -> None:
    with receiver() as (port, got):
        settings = Settings(publish=PublishSettings(osc=f"127.0.0.1:{port}"))
        async with serving(settings) as running, sender(audio=False) as named, sender(audio=False) as unnamed:
            assert (await running.http.get("/api/config")).json()["passed_on"] == ["osc"]
            await running.whip(unnamed)
            path = await running.whip(named, "?name=study-7")
            async with running.events(path) as socket:
                await until(socket, "frame")
                assert (await running.http.post(f"{path}/marks", json={"name": "onset"})).status_code == 201
                await until(socket, "mark")
            markers: list[tuple[Any, ...]] = []

            def both_began() -> bool:
                while not got.empty():
                    markers.append(got.get())
                wanted = {
                    ("/emothinker/marker", "session begins"),
                    ("/emothinker/study-7/marker", "session begins"),
                    ("/emothinker/study-7/marker", "mark onset"),
                }
                return wanted <= {one for one in markers if one[0].endswith("/marker")}

            await eventually(both_began, "the markers of both sessions")
        # The server's end is a session's end, which is sent on before it goes.
        await asyncio.to_thread(
            lambda: list(iter(lambda: got.get(timeout=WITHIN_S), ("/emothinker/study-7/marker", "session ends")))
        )


@pytest.mark.slow
async def test_a_broker_that_dies_in_mid_session_costs_it_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The session goes on, and what the broker never got is in the log as a number."""
    pytest.importorskip("paho.mqtt")
    port = free_port()
    settings = Settings(publish=PublishSettings(mqtt=f"mqtt://127.0.0.1:{port}"))
    async with AsyncExitStack() as life:
        with mosquitto(port):
            running = await life.enter_async_context(serving(settings))
            peer = await life.enter_async_context(sender(audio=False))
            path = await running.whip(peer)
            socket = await life.enter_async_context(running.events(path))
            await until(socket, "frame")
        assert (await running.http.post(f"{path}/marks", json={"name": "after"})).status_code == 201
        await until(socket, "mark")
        await until(socket, "frame")
        assert (await running.http.delete(path)).status_code == 200
        await eventually(lambda: re.search(r"[1-9]\d* events of session \w+ could not be passed on", caplog.text))


async def test_a_broker_that_has_gone_costs_a_session_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("paho.mqtt")
    settings = Settings(publish=PublishSettings(mqtt="mqtt://127.0.0.1:9"))
    async with serving(settings) as running, sender(audio=False) as peer:
        async with running.events(await running.whip(peer)) as socket:
            await until(socket, "frame")
        await eventually(lambda: "is not passed on: No MQTT broker answers" in caplog.text, "the log")


def test_what_is_wrong_with_a_sink_is_said_before_the_server_starts(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pythonosc")
    assert main(["serve", "--port", "0", "--osc", "nowhere"]) == 2
    assert "no address of an OSC receiver" in capsys.readouterr().err


def test_a_password_of_a_broker_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--mqtt", "mqtt://me:hunter2@broker"]) == 0
    assert "hunter2" not in capsys.readouterr().out


def test_nothing_is_sent_on_unless_it_is_asked_for() -> None:
    assert PassingOn(Settings(server=ServerSettings(port=0)).publish).kinds == []
