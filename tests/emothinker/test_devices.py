"""`emothinker.live` on the virtual devices of FFmpeg: a label comes, what is left lets go, what is missing is said."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import av
import pytest

import emothinker
from realtime.errors import BadAsk, BadSettings, DeviceMissing
from tests.ingest.virtual_devices import PICTURE, SOUND
from tests.scripted import ScriptedModel
from tests.waiting import WITHIN_S, eventually

pytestmark = [
    pytest.mark.skipif("lavfi" not in av.formats_available, reason="this PyAV has no virtual devices"),
    pytest.mark.usefixtures("loaded"),
]

OFTEN: dict[str, Any] = {"analysis.every_s": 1.0}


def reading() -> list[str]:
    """The threads that hold a device, or that pass its events on."""
    names = ("device ", "emothinker events")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


async def test_a_camera_and_a_microphone_become_events_up_to_a_label() -> None:
    events: list[emothinker.Event] = []
    before = asyncio.all_tasks()
    async with (
        asyncio.timeout(WITHIN_S),
        aclosing(aiter(emothinker.live(PICTURE, SOUND, labels=["joy", "other"], settings=OFTEN))) as live,  # type: ignore[type-var]
    ):
        async for event in live:
            events.append(event)
            if isinstance(event, emothinker.LabelEvent):
                break
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], emothinker.SessionOpenedEvent)
    assert events[0].started_at is not None
    assert {"frame", "window"} <= {event.type for event in events}
    label = events[-1]
    assert isinstance(label, emothinker.LabelEvent)
    assert list(label.probabilities) == ["joy", "other"]
    # The devices, and everything that waited for them, are let go of.
    await eventually(lambda: not reading() and asyncio.all_tasks() == before, "the end of what was held")


def test_a_plain_loop_that_is_left_lets_go_of_the_devices() -> None:
    for event in emothinker.live(PICTURE, None):
        assert event.seq == 1
        break
    asyncio.run(eventually(lambda: not reading(), "the end of the threads"))


def test_a_device_that_goes_away_ends_the_loop() -> None:
    *_, closed = emothinker.live("lavfi:testsrc2=size=64x48:rate=10:duration=0.5", None)
    assert isinstance(closed, emothinker.SessionClosedEvent)
    assert "gone" in closed.reason


def test_what_is_missing_or_wrong_is_said_before_a_model_is_loaded(loaded: list[ScriptedModel]) -> None:
    with pytest.raises(DeviceMissing, match=r"There is no camera at .*77.*camera=None does without"):
        next(iter(emothinker.live(77, None)))
    with pytest.raises(DeviceMissing, match="There is no microphone at none of ours"):
        next(iter(emothinker.live(PICTURE, "none of ours")))
    with pytest.raises(BadSettings, match="neither a camera nor a microphone"):
        next(iter(emothinker.live(None, None)))
    with pytest.raises(BadAsk):
        next(iter(emothinker.live(PICTURE, None, labels=["one"])))
    assert loaded == []
