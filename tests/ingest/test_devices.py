"""A camera and a microphone, played by FFmpeg's own virtual devices; and machines that have neither."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import aclosing

import av
import pytest

from realtime.errors import BadSettings, DeviceMissing
from realtime.ingest.devices import ALSA_CONFIG, DeviceSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.records import ClockTick, Item, SourceEnded, SourceStarted, VideoFrame
from tests.ingest.virtual_devices import PICTURE, SOUND
from tests.waiting import WITHIN_S

pytestmark = pytest.mark.skipif("lavfi" not in av.formats_available, reason="this PyAV has no virtual devices")


def device(camera: int | str | None, microphone: str | None) -> DeviceSource:
    return DeviceSource.open(camera, microphone, ingest=IngestSettings(), speech=SpeechSettings())


async def taken(source: DeviceSource, n_frames: int) -> list[Item]:
    """The items up to the frame of that number."""
    got: list[Item] = []
    async with asyncio.timeout(WITHIN_S), aclosing(source.items()) as items:
        async for item in items:
            got.append(item)
            if sum(isinstance(each, VideoFrame) for each in got) == n_frames:
                break
    return got


async def test_both_devices_share_a_clock() -> None:
    source = device(PICTURE, SOUND)
    assert (source.has_video, source.has_audio, source.live) == (True, True, True)
    got = await taken(source, 2)
    assert isinstance(got[0], SourceStarted)
    frames = [item for item in got if isinstance(item, VideoFrame)]
    assert frames[0].rgb_HW3.shape == (48, 64, 3)
    # One a second; a busy machine may miss some seconds.
    assert int(frames[0].at_s) < int(frames[1].at_s) < WITHIN_S
    ticks = [item.at_s for item in got if isinstance(item, ClockTick)]
    assert ticks == sorted(ticks)
    assert len(ticks) >= 2


async def test_what_is_left_lets_go_of_its_devices() -> None:
    await taken(device(PICTURE, SOUND), 1)
    async with asyncio.timeout(WITHIN_S):
        while any(thread.name.startswith("device ") for thread in threading.enumerate()):
            await asyncio.sleep(0.01)


async def test_a_device_that_goes_away_ends_the_source() -> None:
    got = await taken(device("lavfi:testsrc2=size=64x48:rate=10:duration=0.5", None), 99)
    assert isinstance(got[-1], SourceEnded)
    assert "gone" in got[-1].reason


def test_what_is_missing_is_said() -> None:
    with pytest.raises(BadSettings, match="neither a camera nor a microphone"):
        device(None, None)
    with pytest.raises(DeviceMissing, match=r"There is no camera at .*77.*camera=None does without"):
        device(77, None)
    with pytest.raises(DeviceMissing, match=r"There is no microphone at none of ours"):
        device(PICTURE, "none of ours")


@pytest.mark.skipif(sys.platform != "linux" or not ALSA_CONFIG.exists(), reason="needs ALSA's configuration")
def test_alsa_is_found_although_the_wheel_was_built_elsewhere() -> None:
    source = device(None, "null")
    assert (source.has_video, source.has_audio) == (False, True)
