"""Field report: "Allow the camera in the browser" was the hint for a recording."""

from __future__ import annotations

import re

from realtime.pace.input_watch import RECORDED_HINTS, WORDS, InputWatch


def test_hints_on_a_recording_are_about_the_recording() -> None:
    assert RECORDED_HINTS.keys() == WORDS.keys()
    for hint in RECORDED_HINTS.values():
        assert not re.search(r"browser|Allow|Unplug|Unmute|lens|Sit in front|headset|Turn it off", hint)
    watch = InputWatch(has_video=False, has_audio=False, live=False)
    told = [state for at_s in range(7) for state in watch.clock(float(at_s), silent_s=0.0)]
    assert [state.code for state in told] == ["no_video", "no_audio"]
    assert all("recording" in state.hint for state in told)
    live = [*InputWatch(has_video=False, has_audio=True).clock(0.0, silent_s=0.0)]
    assert "browser" in live[0].hint
