"""The facts of a summary, from a session's event log."""

from __future__ import annotations

from dataclasses import replace

from realtime.publish.channel import EventLog
from realtime.publish.events import (
    CuesEvent,
    EmotionAnswer,
    ErrorEvent,
    Event,
    FaceBox,
    FrameEvent,
    LabelEvent,
    LagEvent,
    MarkEvent,
    ModalityConflict,
    ReasonDoneEvent,
    SpeechEvent,
    TokenSplit,
    WindowEvent,
)
from realtime.summary.recall import TYPES, recall
from realtime.summary.recap import Peak, Recap, ToldMoment

FACE = FrameEvent((FaceBox(1, (0.1, 0.1, 0.2, 0.2), 0.9),), TokenSplit(1, 1, 0), 0.5, 0.3, 640, 480)
APART = ModalityConflict({"happy": 0.9, "sad": 0.1}, {"happy": 0.2, "sad": 0.8}, 0.45)


def label(window: int, name: str, source: str = "fast", conflict: ModalityConflict | None = None) -> LabelEvent:
    shares = {"happy": 0.7, "sad": 0.3}
    return LabelEvent(window, name, shares, "chain" if source == "chain" else "fast", conflict, calibrated=True)


def recalled(start_s: float, *events: tuple[float, Event]) -> Recap:
    log = EventLog("s")
    for at_s, event in events:
        log.publish(event, at_s=at_s)
    return recall(log.since(start_s, TYPES), start_s=start_s, end_s=100.0)


def test_the_last_label_of_a_moment_counts_and_what_came_before_does_not() -> None:
    recap = recalled(
        20.0,
        (10.0, label(0, "sad")),
        (30.5, WindowEvent(1, 22.0, 30.0, 8, 2.0)),
        (30.6, label(1, "sad", conflict=APART)),
        (33.0, label(1, "happy", "chain", APART)),
        (33.1, ReasonDoneEvent(1, {}, EmotionAnswer("happy", "", 0.7), contradictions=("face",))),
        (35.0, label(2, "sad")),
    )
    assert recap.told == (
        ToldMoment(30.0, "happy", 0.7, "happy", "sad", 0.45, contradicts=True, calibrated=True),
        ToldMoment(35.0, "sad", 0.7, calibrated=True),
    )


def test_what_was_measured_is_counted() -> None:
    recap = recalled(
        20.0,
        (19.0, FACE),
        (21.0, FACE),
        (21.0, CuesEvent(face={"track": 1, "jaw_drop": 0.9})),
        (22.0, replace(FACE, faces=())),
        (23.0, CuesEvent(face={"track": 1, "jaw_drop": 0.6, "lip_press": 0.9})),
        (23.5, CuesEvent(face={"track": 2, "jaw_drop": 0.95})),
        (24.0, SpeechEvent("start", 18.0, None)),
        (26.0, SpeechEvent("end", 18.0, 26.0)),
        (26.0, CuesEvent(voice={"pitch_hz": 200.0}, relative={"pitch_hz": 1.5, "rate_hz": None})),
        (27.0, CuesEvent(voice={"pitch_hz": 200.0}, relative=None)),
        (28.0, LagEvent(0.0, 0, 3)),
        (29.0, LagEvent(0.0, 0, 5)),
        (29.5, ErrorEvent("too_dark", "The picture is nearly black.", "")),
        (29.6, ErrorEvent("no_face", "No face is in view.", "")),
        (29.7, ErrorEvent("too_dark", "The light is back.", "", over=True)),
        (29.8, MarkEvent("trial", {"type": "label"})),
    )
    assert recap == Recap(
        start_s=20.0,
        end_s=100.0,
        n_frames=2,
        n_faceless=1,
        n_people=1,
        # Of the face that was seen most, and measured twice: one frame may be a slip.
        cues={"jaw_drop": Peak(0.6, 21.0)},
        speech=((20.0, 26.0),),
        voices=((26.0, {"pitch_hz": 1.5}),),
        problems=("The picture is nearly black.",),
        n_left_out=2,
    )


def test_what_the_log_has_forgotten_is_not_in_it() -> None:
    log = EventLog("s", kept_s=30.0)
    for second in range(100):
        log.publish(FACE, at_s=float(second))
    assert log.oldest_s == 69.0
    assert recall(log.since(0.0, TYPES), start_s=0.0, end_s=99.0).n_frames == 31
