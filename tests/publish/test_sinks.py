"""What a sink sends is received by the program it is for: LSL's own inlet, a broker, an OSC server."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from realtime.errors import BadSettings, ExtraMissing, Unreachable
from realtime.publish.events import (
    ClockEvent,
    CuesEvent,
    Event,
    FrameEvent,
    LabelEvent,
    MarkEvent,
    SessionOpenedEvent,
    TokenSplit,
    encode,
)
from realtime.publish.lsl import MediaClock
from realtime.publish.mqtt import WAITING, MqttSink
from realtime.publish.open_sinks import opened
from realtime.publish.parse import parse
from realtime.publish.signals import Signals
from tests.publish.broker import free_port, mosquitto
from tests.waiting import WITHIN_S, wait_until

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "events.json").read_text())
EVENTS = [event for example in FIXTURE if (event := parse(json.dumps(example))) is not None]


def at(event: Event, at_s: float) -> Event:
    placed = parse(encode(event, session="s", seq=1, at_s=at_s))
    assert placed is not None
    return placed


FRAME = FrameEvent((), TokenSplit(0, 0, 0), 0.5, 0.5, 4, 4)


def test_a_mark_is_a_marker_with_its_data_at_its_moment() -> None:
    mark = at(MarkEvent("onset", {"trial": 7}), 3.5)
    (sample,) = Signals().samples(mark)
    assert (sample.signal.name, sample.at_s, sample.values) == ("markers", 3.5, ('mark onset {"trial": 7}',))


def test_media_time_on_another_clock_is_that_of_the_soonest_event() -> None:
    now = 100.0
    clock = MediaClock(lambda: now)
    assert clock.at(5.0) == 100.0
    for at_s, late_s in ((1.0, 0.3), (2.0, 0.05), (3.0, 0.4)):
        now = 90.0 + at_s + late_s
        clock.received(at(FRAME, at_s))
    # What is written later than its moment says nothing.
    now = 80.0
    clock.received(at(LabelEvent(0, "sad", {"sad": 1.0}, "fast", None), 3.0))
    assert clock.at(10.0) == pytest.approx(100.05)


def test_a_session_that_says_when_it_began_decides() -> None:
    clock = MediaClock(lambda: 50.0, lambda: 1_000_000_010.0)
    clock.received(at(SessionOpenedEvent("nano", "torch", (), started_at="2001-09-09T01:46:40Z"), 0.0))
    clock.received(at(FRAME, 0.0))
    assert clock.at(2.0) == pytest.approx(42.0)
    clock.received(at(ClockEvent("2001-09-09T01:46:40.075Z", 40.0), 3.0))
    assert clock.at(2.0) == pytest.approx(42.075)


@pytest.mark.slow
def test_lab_streaming_layer_receives_samples_at_their_times() -> None:
    pylsl = pytest.importorskip("pylsl")
    with opened(lsl=True) as (sink,):
        began_s, began_at = pylsl.local_clock(), datetime.now(UTC).isoformat()
        sink.send(at(SessionOpenedEvent("nano", "torch", ("sad",), started_at=began_at), 0.0))
        cues = at(CuesEvent(face={"track": 1, "jaw_drop": 0.25}, pose={"yaw": 3.0}), 1.0)
        sink.send(cues)
        inlets = {}
        for name in ("face", "markers"):
            (stream,) = pylsl.resolve_byprop("name", f"EmoThinker {name}", timeout=WITHIN_S)
            inlets[name] = pylsl.StreamInlet(stream)
            inlets[name].open_stream(timeout=WITHIN_S)
        for at_s in (1.5, 2.0):
            face, gaze = {"track": 1, "jaw_drop": at_s}, {"yaw": -4.0, "pitch": 2.0}
            sink.send(at(CuesEvent(face=face, pose={"yaw": 3.0}, gaze=gaze), at_s))
        sink.send(at(LabelEvent(0, "sad", {"sad": 1.0}, "fast", None), 2.5))
        got = [inlets["face"].pull_sample(timeout=WITHIN_S) for _ in range(2)]
        assert [values for values, _ in got] == [[1.0, 1.5, 3.0, -4.0, 2.0], [1.0, 2.0, 3.0, -4.0, 2.0]]
        stamps_s = [stamp - began_s for _, stamp in got]
        # The two clocks were read one after the other, and a busy machine may do something else between.
        assert stamps_s == pytest.approx([1.5, 2.0], abs=1.0)
        assert stamps_s[1] - stamps_s[0] == pytest.approx(0.5)
        description = inlets["face"].info(timeout=WITHIN_S)
        assert description.get_channel_labels() == ["track", "jaw_drop", "pose_yaw", "gaze_yaw", "gaze_pitch"]
        text, stamp = inlets["markers"].pull_sample(timeout=WITHIN_S)
        assert text == ["label sad fast"]
        assert stamp - began_s - stamps_s[0] == pytest.approx(1.0)
        for inlet in inlets.values():
            inlet.close_stream()


def test_open_sound_control_is_received() -> None:
    pytest.importorskip("pythonosc")
    from pythonosc import dispatcher, osc_server

    got: queue.Queue[tuple[str, Any]] = queue.Queue()
    rooms = dispatcher.Dispatcher()
    rooms.set_default_handler(lambda address, *values: got.put((address, *values)))
    with osc_server.ThreadingOSCUDPServer(("127.0.0.1", 0), rooms) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        with opened(osc=f"127.0.0.1:{server.server_address[1]}") as (sink,):
            for event in EVENTS[:8]:
                sink.send(event)
            wanted = {"/emothinker/face/1/lip_corner_pull", "/emothinker/probabilities/happy", "/emothinker/marker"}
            wanted |= {"/emothinker/affect/valence", "/emothinker/affect/arousal"}
            wanted |= {"/emothinker/face/1/pose_yaw", "/emothinker/face/1/gaze_yaw", "/emothinker/voice/pitch_hz"}
            seen: dict[str, Any] = {}
            deadline_s = time.monotonic() + WITHIN_S
            while wanted - seen.keys() and time.monotonic() < deadline_s:
                address, value = got.get(timeout=WITHIN_S)
                seen[address] = value
        server.shutdown()
        serving.join()
    assert not wanted - seen.keys()
    assert seen["/emothinker/face/1/lip_corner_pull"] == pytest.approx(0.64)
    assert seen["/emothinker/probabilities/happy"] == pytest.approx(0.61)


@contextmanager
def subscribed(port: int) -> Iterator[queue.Queue[Any]]:
    """The messages of a study's topics, as a broker passes them on."""
    mqtt = pytest.importorskip("paho.mqtt.client")
    got: queue.Queue[Any] = queue.Queue()
    ready = threading.Event()
    reader = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    reader.on_message = lambda client, data, message: got.put(message)
    reader.on_subscribe = lambda *arguments: ready.set()
    reader.connect("127.0.0.1", port)
    reader.subscribe("study/#", qos=1)
    reader.loop_start()
    assert ready.wait(WITHIN_S)
    yield got
    reader.disconnect()
    reader.loop_stop()


def test_a_broker_passes_every_event_on_in_order() -> None:
    port = free_port()
    with mosquitto(port), subscribed(port) as got:
        with opened(mqtt=f"mqtt://127.0.0.1:{port}/study") as (sink,):
            for event in EVENTS:
                sink.send(event)
        assert sink.n_dropped == 0
        messages = [got.get(timeout=WITHIN_S) for _ in EVENTS]
    read = [parse(message.payload) for message in messages]
    assert [event.seq for event in read if event is not None] == [event.seq for event in EVENTS]
    assert messages[0].topic == f"study/{EVENTS[0].session}/session.opened"


@pytest.mark.slow
def test_what_waits_for_a_broker_that_died_is_sent_when_it_is_back() -> None:
    """What finds no room in the queue is counted, and nothing makes the session wait."""
    pytest.importorskip("paho.mqtt")
    port = free_port()
    with ExitStack() as life:
        with mosquitto(port):
            (sink,) = life.enter_context(opened(mqtt=f"mqtt://127.0.0.1:{port}/study"))
            assert isinstance(sink, MqttSink)
        for number in range(WAITING + 5):
            sink.send(at(MarkEvent(f"mark {number}", {}), float(number)))
        assert sink.n_dropped == 5
        with mosquitto(port):
            wait_until(lambda: sink._n_confirmed == WAITING, "what had waited")
            life.close()
            assert sink.n_dropped == 5


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"osc": "nowhere"}, BadSettings),
        ({"osc": "host:port"}, BadSettings),
        ({"mqtt": "http://host"}, BadSettings),
        ({"mqtt": "mqtt://127.0.0.1:9"}, Unreachable),
    ],
)
def test_an_address_that_is_none_is_said(asked: dict[str, str], error: type[Exception]) -> None:
    pytest.importorskip("pythonosc")
    pytest.importorskip("paho.mqtt")
    with pytest.raises(error), opened(**asked):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    ("asked", "module", "extra"),
    [
        ({"lsl": True}, "pylsl", "lsl"),
        ({"mqtt": "mqtt://h"}, "paho.mqtt", "mqtt"),
        ({"osc": "h:1"}, "pythonosc", "osc"),
    ],
)
def test_a_missing_package_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match=rf"--{extra} needs .*pip install 'emothinker\[{extra}\]'"), opened(**asked):
        pass
