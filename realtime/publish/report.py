"""Turns the records of the stages into wire events; each function is named after the event that it makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from realtime.publish.events import (
    AffectValue,
    ClockEvent,
    CuesEvent,
    EmotionAnswer,
    ErrorEvent,
    FaceBox,
    FrameEvent,
    LabelEvent,
    LagEvent,
    ModalityConflict,
    Patches,
    PersonLabel,
    ReasonDeltaEvent,
    ReasonDoneEvent,
    SessionOpenedEvent,
    TokenSplit,
    UnsupportedStatement,
    WindowEvent,
    WordsEvent,
)
from realtime.records import (
    OWN_QUESTION,
    Affect,
    FaceCues,
    FrameEvidence,
    HeardWords,
    InputState,
    Label,
    Lag,
    ModelInfo,
    Question,
    ReasonDelta,
    ReasonDone,
    SourceStarted,
    SpeechEvidence,
    VideoFrame,
    Window,
    WordsConflict,
)


def opened_event(model: ModelInfo, started: SourceStarted | None) -> SessionOpenedEvent:
    """Return the first event of a session; `started` is None where nobody knows when media second 0 was."""
    opened = SessionOpenedEvent(
        model.name,
        model.runtime_reason,
        model.labels,
        stock=model.stock,
        label_model=model.label_model,
        answer_model=model.answer_model,
    )
    if started is None:
        return opened
    clock = clock_event(started)
    return replace(opened, started_at=clock.started_at, started_at_error_ms=clock.started_at_error_ms)


def clock_event(started: SourceStarted) -> ClockEvent:
    """Return the event of a start that was learnt after the first event."""
    at = datetime.fromtimestamp(started.unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return ClockEvent(at, round(started.error_s * 1000, 1))


def frame_events(frame: VideoFrame, evidence: FrameEvidence) -> Iterator[FrameEvent | CuesEvent]:
    """Return the event of a frame, then one of measured cues for each face that fits a mesh."""
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
    yield from face_events(evidence.cues)


def face_events(measured: Iterable[FaceCues]) -> Iterator[CuesEvent]:
    """Return the measured cues of each face of one frame."""
    for cues in measured:
        pose = dict(zip(("yaw", "pitch", "roll"), cues.pose_deg, strict=True))
        gaze = None if cues.gaze_deg is None else dict(zip(("yaw", "pitch"), cues.gaze_deg, strict=True))
        yield CuesEvent(face={"track": cues.track, **cues.intensities}, pose=pose, gaze=gaze)


def voice_event(evidence: SpeechEvidence) -> CuesEvent:
    """Return the prosody of a finished stretch of speech."""
    cues = evidence.cues
    values = {name: None if name in cues.unmeasured else value for name, value in cues.values.items()}
    if cues.kind != "voice" or not cues.usual_known:
        # Noise has no baseline of its own, and a voice has none before it was heard for a while.
        return CuesEvent(voice=values)
    relative = {name: None if name in cues.unmeasured else z for name, z in cues.relative.items()}
    return CuesEvent(voice=values, relative=relative)


def words_event(words: HeardWords, window: Window, conflict: WordsConflict) -> WordsEvent:
    """Return the words of a finished stretch of speech, which `window` is about."""
    return WordsEvent(
        start=words.start_s,
        end=words.end_s,
        text=words.text,
        language=words.language,
        confidence=words.confidence,
        window=window.index,
        probabilities=words.probabilities,
        against_face=conflict.face,
        against_voice=conflict.voice,
    )


def _patches(evidence: FrameEvidence) -> Patches | None:
    grid = evidence.map
    return None if grid is None else Patches(grid.region, grid.rows, grid.columns, grid.cells)


def window_event(window: Window, question: Question) -> WindowEvent:
    """Return the event that opens the analysis of a window, with the question asked of it."""
    return WindowEvent(
        window=window.index,
        start=window.start_s,
        end=window.end_s,
        frames=len(window.frames),
        speech_s=window.speech_s,
        people=_people(window),
        query=question.query,
        read_as=OWN_QUESTION if question.read_as == "" else question.read_as,
        labels=question.told_labels,
    )


def _people(window: Window) -> tuple[int, ...]:
    """Return the tracks in the order in which the chain letters them: Person A, Person B, …

    First come the faces that were measured in the newest frame that has any, as in training. Faces that were found but
    fit no mesh have no cue tokens; they come after them, however big they are.
    """
    measured = next((frame.cues for frame in reversed(window.frames) if frame.cues), ())
    found = next((frame.faces for frame in reversed(window.frames) if frame.faces), ())
    return tuple(dict.fromkeys([*(cues.track for cues in measured), *(face.track for face in found)]))


def label_event(window: Window, label: Label, speaker: int | None) -> LabelEvent:
    """Return the event of a fast label or of one after the chain; `speaker` is the track whose voice is heard."""
    conflict = label.conflict
    return LabelEvent(
        window=window.index,
        label=label.label,
        probabilities=label.probabilities,
        source=label.source,
        conflict=None if conflict is None else ModalityConflict(conflict.face, conflict.voice, conflict.score),
        faces=tuple(PersonLabel(face.track, face.label, face.probabilities) for face in label.faces),
        speaker=speaker,
        valence=affect_value(label.valence),
        arousal=affect_value(label.arousal),
        calibrated=label.calibrated,
    )


def affect_value(told: Affect | None) -> AffectValue | None:
    return None if told is None else AffectValue(told.value, told.basis, told.side)


def delta_event(window: Window, delta: ReasonDelta) -> ReasonDeltaEvent:
    """Return the event of newly decoded words."""
    return ReasonDeltaEvent(window.index, delta.section, delta.text)


def done_event(window: Window, done: ReasonDone, timings_ms: Mapping[str, float]) -> ReasonDoneEvent:
    """Return the event of a finished chain; `timings_ms` are the session's, added to those of the engine."""
    answer = EmotionAnswer(done.answer.label, done.answer.intensity, done.answer.confidence)
    timings = {**done.timings_ms, **timings_ms}
    unsupported = tuple(UnsupportedStatement(each.section, each.start, each.text) for each in done.unsupported)
    # Why none was found is for `/metrics`; a reader needs to know that the first one stands.
    rewritten = "in vain" if done.rewritten == "late" else done.rewritten
    return ReasonDoneEvent(
        window.index,
        done.sections,
        answer,
        timings,
        done.contradictions,
        rewritten,
        done.words,
        unsupported,
        done.answered_from,
        done.turned_by,
    )


def input_event(state: InputState) -> ErrorEvent:
    """Return the event of a problem with the input, or of its end."""
    return ErrorEvent(state.code, state.message, state.hint, state.over)


def lag_event(lag: Lag) -> LagEvent:
    """Return the event that says how far the session is behind."""
    return LagEvent(lag.seconds, lag.skipped_frames, lag.skipped_windows, lag.reduced, lag.skipped_cue_frames)
