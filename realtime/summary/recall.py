"""What a session has told and measured in its last minutes, from its event log: the facts of a summary.

Nothing is kept for it beyond the log, which forgets events after `publish.kept_s`. What the log no longer has is not in
the summary, which then begins later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from realtime.publish.events import (
    CuesEvent,
    ErrorEvent,
    Event,
    FrameEvent,
    LabelEvent,
    LagEvent,
    ReasonDoneEvent,
    SpeechEvent,
    WindowEvent,
)
from realtime.publish.parse import parse
from realtime.summary.recap import Peak, Recap, ToldMoment

TYPES = frozenset(
    kind.type
    for kind in (CuesEvent, ErrorEvent, FrameEvent, LabelEvent, LagEvent, ReasonDoneEvent, SpeechEvent, WindowEvent)
)
"What is read of the log. Neither what was said nor the words of chains is."
COUNTED = ("no_face", "events_lost")
"Problems that are told by their number of frames, or are none of the input."


def recall(lines: Iterable[str], *, start_s: float, end_s: float) -> Recap:
    """The facts in these events, which are those of the log from `start_s` on, of `TYPES`."""
    events = [event for line in lines if (event := parse(line)) is not None]
    frames = [event for event in events if isinstance(event, FrameEvent)]
    measured = [event for event in events if isinstance(event, CuesEvent)]
    problems = [event for event in events if isinstance(event, ErrorEvent) and not event.over]
    skipped = [event.skipped_windows for event in events if isinstance(event, LagEvent)]
    return Recap(
        start_s=start_s,
        end_s=end_s,
        told=_told(events),
        n_frames=len(frames),
        n_faceless=sum(not frame.faces for frame in frames),
        n_people=max((len(frame.faces) for frame in frames), default=0),
        cues=_peaks([event for event in measured if event.face is not None]),
        speech=tuple(
            (max(event.start, start_s), event.end)
            for event in events
            if isinstance(event, SpeechEvent) and event.end is not None
        ),
        voices=tuple(
            (event.t, {name: value for name, value in event.relative.items() if value is not None})
            for event in measured
            if event.voice is not None and event.relative is not None
        ),
        problems=tuple(dict.fromkeys(event.message for event in problems if event.code not in COUNTED)),
        n_left_out=skipped[-1] - skipped[0] if skipped else 0,
    )


def _told(events: Sequence[Event]) -> tuple[ToldMoment, ...]:
    """The last label of each window: after its chain where there is one."""
    ends = {event.window: event.end for event in events if isinstance(event, WindowEvent)}
    contradict = {event.window for event in events if isinstance(event, ReasonDoneEvent) and event.contradictions}
    labels = {event.window: event for event in events if isinstance(event, LabelEvent)}
    told = []
    for window, event in sorted(labels.items()):
        conflict = event.conflict
        told.append(
            ToldMoment(
                at_s=ends.get(window, event.t),
                label=event.label,
                share=max(event.probabilities.values()),
                face=None if conflict is None else _top(conflict.face),
                voice=None if conflict is None else _top(conflict.voice),
                conflict=0.0 if conflict is None else conflict.score,
                contradicts=window in contradict,
                calibrated=event.calibrated,
            )
        )
    return tuple(told)


def _top(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda label: shares[label])


def _peaks(measured: Sequence[CuesEvent]) -> dict[str, Peak]:
    """The second largest value of each cue of the face that was seen most, at the moment of the largest.

    One frame in which the mesh slips is no expression.
    """
    faces = [(event.t, dict(event.face or {})) for event in measured]
    tracks = Counter(face.pop("track", 0.0) for _, face in faces)
    if not tracks:
        return {}
    (most, _), *_ = tracks.most_common(1)
    of_most = [(event.t, face) for event, (_, face) in zip(measured, faces, strict=True) if _track(event) == most]
    peaks = {}
    for cue in dict.fromkeys(name for _, face in of_most for name in face):
        values = sorted(((face[cue], at_s) for at_s, face in of_most if cue in face), reverse=True)
        if len(values) > 1:
            peaks[cue] = Peak(values[1][0], values[0][1])
    return peaks


def _track(event: CuesEvent) -> float:
    return (event.face or {}).get("track", 0.0)
