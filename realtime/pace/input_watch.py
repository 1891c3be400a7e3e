"""States of the input that a person can do something about. Each is reported once when it begins, and once when over.

A covered lens or a muted microphone is a state, not a fault. Pure: media seconds and measurements in, `InputState` out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from realtime.errors import DTLS_HINT
from realtime.records import FrameEvidence, InputState, SpeechEvidence, VideoFrame

AFTER_S = 5.0
"A state begins when there was no face, a frozen picture, no picture or no sound at all for this long."
DARK_AFTER_S = 2.0
DARK_BELOW = 0.06
"Mean luma, 0–1, of a covered lens or a dark room."
FROZEN_STEP = 2
"Largest difference of any sampled pixel, of 255, between two pictures that count as the same."
LEAST_HELD_S, LEAST_VOICED, HELD_BELOW_ST_S = 1.0, 0.3, 3.0
"Sound at least this long, voiced for this share, whose pitch moves by fewer semitones a second, is no voice."
GRID = 16
"Every so many pixels, in each direction, a picture is compared with the one before."

WORDS = {
    "no_video": (
        "No picture arrives.",
        "Allow the camera in the browser, or choose another one. The voice alone is read meanwhile.",
        "The picture is back.",
    ),
    "no_audio": (
        "No sound is sent.",
        "Allow the microphone in the browser, or choose another one. The face alone is read meanwhile.",
        "The sound is back.",
    ),
    "muted": (
        "The microphone sends pure silence.",
        "Unmute it in the call, in the system or on the headset.",
        "The microphone is back.",
    ),
    "camera_frozen": (
        "The picture stands still.",
        "Unplug and replug the camera, or close other programs that use it.",
        "The picture is back in motion.",
    ),
    "too_dark": (
        "The picture is nearly black.",
        "Uncover the lens or turn on a light.",
        "The light is back.",
    ),
    "no_face": (
        "No face is in view.",
        "Sit in front of the camera, with light on the face.",
        "A face is back in view.",
    ),
    "no_voice": (
        "What is heard is no voice: it is noise, breath or typing, or it holds its pitch as music and machines do.",
        "Turn it off or move away from it. It is not read as anybody's voice.",
        "A voice is heard again.",
    ),
    "narrow_band": (
        "The sound ends below 4 kHz, as on the telephone, so labels from the voice are less sure.",
        "Use another microphone or codec: a Bluetooth headset in call mode and 8-kHz recordings sound like this.",
        "The sound is whole again.",
    ),
}
"By code: what is wrong, what to do, and the message when it is over."

CHECK_TRACKS = "Check the recording in a media player; it may have another track."
RECORDED_HINTS = {
    "no_video": f"The voice alone is read meanwhile. {CHECK_TRACKS}",
    "no_audio": f"The face alone is read meanwhile. {CHECK_TRACKS}",
    "muted": f"The microphone was muted in this part, or the sound is in another track. {CHECK_TRACKS}",
    "camera_frozen": "The picture was frozen when it was recorded, or it is a still image. Its face is read once.",
    "too_dark": "The recording is dark here. Brighten it, or choose a part with more light.",
    "no_face": "Choose a part of the recording that shows a face, large enough and with light on it.",
    "no_voice": "It is not read as anybody's voice. Choose a recording with less noise or music.",
    "narrow_band": "Use a recording with the full range of sound, if there is one.",
}
"By code: what to do about a recording, where nobody can turn to a camera or a microphone any more."

UNFINISHED = {
    "no path": InputState(
        "no_path",
        "No network path to the server was found, so no picture and no sound arrived.",
        "Use the same network as the server, or have its operator set turn_url and turn_secret under [ice].",
    ),
    "DTLS failed": InputState(
        "dtls_failed",
        "DTLS failed: the sender was reached, but no keys could be agreed on with it.",
        DTLS_HINT,
    ),
    "no media": InputState(
        "no_media",
        "The connection stands, but neither picture nor sound arrived.",
        "Check that the camera and the microphone are not held by another program, then start again.",
    ),
}
"By the reason of the source: what to tell when it ended before any media came."


def unfinished(reason: str) -> Iterator[InputState]:
    """The state to report when a source ends for `reason`. Most endings need no report."""
    if reason in UNFINISHED:
        yield UNFINISHED[reason]


class _Watched:
    """One state. It begins once it has lasted for `after_s`, and is over at once."""

    def __init__(self, code: str, after_s: float, *, live: bool) -> None:
        self.code = code
        self._live = live
        self._after_s = after_s
        self._since_s: float | None = None
        self._entered = False

    def update(self, holds: bool, at_s: float) -> Iterator[InputState]:
        wrong, hint, back = WORDS[self.code]
        if not holds:
            self._since_s = None
            if self._entered:
                self._entered = False
                yield InputState(self.code, back, "", over=True)
            return
        if self._since_s is None:
            self._since_s = at_s
        if not self._entered and at_s - self._since_s >= self._after_s:
            self._entered = True
            yield InputState(self.code, wrong, hint if self._live else RECORDED_HINTS[self.code])


class InputWatch:
    """Watches the input of one session for states that a person can do something about."""

    def __init__(self, *, has_video: bool, has_audio: bool, live: bool = True) -> None:
        """With `live` the hints are for whoever sits in front of the camera, without it for a recording."""
        self._has_video = has_video
        self._has_audio = has_audio
        # A track that the offer lacks is missing at once.
        self._no_video = _Watched("no_video", AFTER_S if has_video else 0.0, live=live)
        self._no_audio = _Watched("no_audio", 0.0, live=live)
        self._muted = _Watched("muted", 0.0, live=live)
        self._frozen = _Watched("camera_frozen", AFTER_S, live=live)
        self._dark = _Watched("too_dark", DARK_AFTER_S, live=live)
        self._no_face = _Watched("no_face", AFTER_S, live=live)
        self._no_voice = _Watched("no_voice", 0.0, live=live)
        self._narrow = _Watched("narrow_band", 0.0, live=live)
        self._sampled: npt.NDArray[np.int16] | None = None
        self._frame_s: float | None = None

    def clock(self, at_s: float, *, silent_s: float) -> Iterator[InputState]:
        # A frame is due every second. One that is a little late must not count.
        missing = self._frame_s is None or at_s - self._frame_s > 2.0
        yield from self._no_video.update(missing or not self._has_video, at_s)
        yield from self._no_audio.update(not self._has_audio, at_s)
        yield from self._muted.update(self._has_audio and silent_s >= AFTER_S, at_s)

    def received(self, frame: VideoFrame) -> Iterator[InputState]:
        self._frame_s = frame.at_s
        sampled = frame.rgb_HW3[::GRID, ::GRID].astype(np.int16)
        before, self._sampled = self._sampled, sampled
        # Where something moves, a camera's noise survives the codec, so a live picture always differs somewhere.
        still = (
            before is not None
            and before.shape == sampled.shape
            and int(np.abs(sampled - before).max(initial=0)) <= FROZEN_STEP
        )
        # A lens cap is still and dark. A person can do something about the dark.
        dark = float(sampled.mean()) / 255 < DARK_BELOW
        yield from self._dark.update(dark, frame.at_s)
        yield from self._frozen.update(still and not dark, frame.at_s)

    def seen(self, evidence: FrameEvidence) -> Iterator[InputState]:
        dark = evidence.scene.brightness < DARK_BELOW
        yield from self._no_face.update(not evidence.faces and not dark, evidence.at_s)

    def heard(self, evidence: SpeechEvidence) -> Iterator[InputState]:
        yield from self._no_voice.update(evidence.cues.kind != "voice", evidence.end_s)
        yield from self._narrow.update(evidence.cues.narrow_band, evidence.end_s)
