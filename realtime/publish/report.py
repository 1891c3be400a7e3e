"""What the stages found, as events of the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from realtime.publish.events import (
    CuesEvent,
    EmotionAnswer,
    ErrorEvent,
    FaceBox,
    FrameEvent,
    LabelEvent,
    LagEvent,
    ModalityConflict,
    Patches,
    ReasonDeltaEvent,
    ReasonDoneEvent,
    TokenSplit,
    WindowEvent,
)
from realtime.records import (
    FrameEvidence,
    InputState,
    Label,
    Lag,
    Question,
    ReasonDelta,
    ReasonDone,
    SpeechEvidence,
    VideoFrame,
    Window,
)


def seen(frame: VideoFrame, evidence: FrameEvidence) -> Iterator[FrameEvent | CuesEvent]:
    height, width = frame.rgb_HW3.shape[:2]
    counts = evidence.counts
    yield FrameEvent(
        faces=tuple(FaceBox(face.track, face.box, face.score) for face in evidence.faces),
        tokens=TokenSplit(counts.focal, counts.background, counts.dropped),
        brightness=evidence.scene.brightness,
        saturation=evidence.scene.saturation,
        width=width,
        height=height,
        focal=evidence.focal,
        patches=_patches(evidence),
    )
    for cues in evidence.cues:
        pose = dict(zip(("yaw", "pitch", "roll"), cues.pose_deg, strict=True))
        yield CuesEvent(face={"track": cues.track, **cues.intensities}, pose=pose)


def heard(evidence: SpeechEvidence) -> CuesEvent:
    return CuesEvent(voice=evidence.cues.values, relative=evidence.cues.relative)


def _patches(evidence: FrameEvidence) -> Patches | None:
    grid = evidence.map
    return None if grid is None else Patches(grid.region, grid.rows, grid.columns, grid.cells)


def begun(window: Window, ask: Question) -> WindowEvent:
    return WindowEvent(
        window=window.index,
        start=window.start_s,
        end=window.end_s,
        frames=len(window.frames),
        speech_s=window.speech_s,
        people=_people(window),
        query=ask.query,
        labels=ask.labels,
    )


def _people(window: Window) -> tuple[int, ...]:
    """Tracks in the order in which the chain gives out letters.

    It counts the faces that were measured, in the newest frame with one, as in training; a face that was found but
    fits no mesh has no cue tokens, and comes after them however big it is.
    """
    measured = next((frame.cues for frame in reversed(window.frames) if frame.cues), ())
    found = next((frame.faces for frame in reversed(window.frames) if frame.faces), ())
    return tuple(dict.fromkeys([*(cues.track for cues in measured), *(face.track for face in found)]))


def labelled(window: Window, label: Label) -> LabelEvent:
    conflict = label.conflict
    return LabelEvent(
        window=window.index,
        label=label.label,
        probabilities=label.probabilities,
        source=label.source,
        conflict=None if conflict is None else ModalityConflict(conflict.face, conflict.voice, conflict.score),
    )


def reasoned(window: Window, delta: ReasonDelta) -> ReasonDeltaEvent:
    return ReasonDeltaEvent(window.index, delta.section, delta.text)


def concluded(window: Window, done: ReasonDone, timings_ms: Mapping[str, float]) -> ReasonDoneEvent:
    answer = EmotionAnswer(done.answer.label, done.answer.intensity, done.answer.confidence)
    return ReasonDoneEvent(window.index, done.sections, answer, {**done.timings_ms, **timings_ms})


def input_state(state: InputState) -> ErrorEvent:
    return ErrorEvent(state.code, state.message, state.hint, state.over)


def behind(lag: Lag) -> LagEvent:
    return LagEvent(lag.seconds, lag.skipped_frames, lag.skipped_windows, lag.reduced)
