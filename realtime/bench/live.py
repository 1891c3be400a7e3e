"""Measures live sessions: plays recordings into real sessions in real time and times their events.

The sessions are those of the server, with the same stages and mailboxes. Several sessions share one model and start at
different times. The machine sets the limit: face mesh, towers and decoding share its cores.

`label_ms`, `first_word_ms` and `total_ms` are of windows that speech triggered. They count from the moment when a
reader has the event that speech ended. That event comes `endpoint_ms` after the last sound, because the segmenter waits
for that much quiet; `label_after_speech_ms` includes it. The figures of stages are of all windows.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from realtime.engine.start import started
from realtime.ingest.media import MediaSource
from realtime.ingest.speech import PAD_AFTER_MS
from realtime.observe.metrics import Metrics, rss_mb
from realtime.records import (
    AnalysisAsked,
    ClockTick,
    CueFrame,
    InputState,
    Item,
    SourceEnded,
    SourceStarted,
    SpeechSegment,
    SpeechSoFar,
    SpeechStarted,
    VideoFrame,
)
from realtime.roles import Engine, Model
from realtime.session import Session
from realtime.settings import Settings

AFTER_SPEECH = ("label", "first_word", "total")
SAMPLE_S = 0.1
SHARED = {
    "frames": ("seen_frames", "seen_calls"),
    "sounds": ("heard_sounds", "heard_calls"),
    "appends": ("appended", "append_passes"),
}
"What sessions share on a GPU → the counters of `Engine.stats`: how many, and in how many calls."
GAP_S = 1.0
"Pause between two recordings, so that speech at the end of one is answered before the next begins."


class Playlist:
    """A `Source` that plays recordings in a loop, in real time. To the session it looks like a call."""

    live = True
    has_video = True
    has_audio = True
    silent_s = 0.0

    def __init__(
        self, files: Sequence[str], settings: Settings, *, seconds: float, first: int = 0, after_s: float = 0.0
    ) -> None:
        """It begins `after_s` after it is started, with file number `first`."""
        self._files = files
        self._settings = settings
        self._seconds = seconds
        self._first, self._after_s = first, after_s
        self.began_s = 0.0
        "When media time was 0, on the clock of `time.monotonic`."

    async def items(self) -> AsyncGenerator[Item, None]:
        await asyncio.sleep(self._after_s)
        speech = self._settings.speech
        # A segment is known to have ended after `hangover_ms` of quiet, of which it keeps `PAD_AFTER_MS`.
        known_after_s = (speech.hangover_ms - PAD_AFTER_MS) / 1000
        self.began_s = time.monotonic()
        offset_s = reached_s = 0.0
        n_played = self._first
        while reached_s < self._seconds:
            file = self._files[n_played % len(self._files)]
            source = await asyncio.to_thread(MediaSource.open, file, ingest=self._settings.ingest, speech=speech)
            async with aclosing(source.items()) as items:
                async for item in items:
                    if isinstance(item, SourceEnded):
                        break
                    item = later(item, offset_s)
                    known_s = known_at_s(item, known_after_s)
                    if known_s is not None:
                        reached_s = max(reached_s, known_s)
                        await asyncio.sleep(max(0.0, self.began_s + known_s - time.monotonic()))
                    yield item
            offset_s = reached_s + GAP_S
            n_played += 1
        yield SourceEnded("end of the bench")


def later(item: Item, by_s: float) -> Item:
    """The item moved by `by_s` seconds of media time."""
    match item:
        case VideoFrame() | CueFrame() | ClockTick() | AnalysisAsked():
            return replace(item, at_s=item.at_s + by_s)
        case SpeechStarted():
            return SpeechStarted(item.start_s + by_s)
        case SpeechSegment():
            return replace(item, start_s=item.start_s + by_s, end_s=item.end_s + by_s)
        case SpeechSoFar(segment):
            return replace(item, segment=replace(segment, start_s=segment.start_s + by_s, end_s=segment.end_s + by_s))
        case InputState() | SourceStarted() | SourceEnded():
            return item


def known_at_s(item: Item, segment_after_s: float = 0.0) -> float | None:
    """When the item would be known in a call, in media time; None for at once.

    A segment is known `segment_after_s` after its end.
    """
    match item:
        case VideoFrame(at_s) | CueFrame(at_s) | ClockTick(at_s):
            return at_s
        case SpeechSegment():
            return item.end_s + segment_after_s
        case SpeechSoFar(segment):
            return segment.end_s
        case _:
            return None


async def measure_live(
    files: Sequence[str], load: Callable[[], Model], settings: Settings, *, seconds: float, n_sessions: int
) -> dict[str, Any]:
    """Run `n_sessions` sessions of `seconds` each and return the figures."""
    metrics = Metrics()
    samples: list[Snapshot] = []
    async with started(load, where=settings.model.worker, metrics=metrics) as engine:
        sources = [
            # Sessions of a server do not start at the same time either.
            Playlist(files, settings, seconds=seconds, first=index, after_s=index / n_sessions)
            for index in range(n_sessions)
        ]
        sessions = [Session(source=source, engine=engine, settings=settings, metrics=metrics) for source in sources]
        # The engine reports the cost of loading and warm-up with its first answer.
        await engine.ready()
        began_cpu_s, chains_before_s = _cpu_s(engine), engine.stats().get("chain_cpu_s", 0.0)
        async with asyncio.TaskGroup() as tasks:
            sampling = tasks.create_task(_sample(sessions, engine, samples), name="sample")
            running = [tasks.create_task(session.run(), name=f"session {session.id[:8]}") for session in sessions]
            reading = [tasks.create_task(_read(session), name=f"read {session.id[:8]}") for session in sessions]
            await asyncio.wait([*running, *reading])
            sampling.cancel()
            events = [task.result() for task in reading]
        cpu_s = _cpu_s(engine) - began_cpu_s
        chains_s = engine.stats().get("chain_cpu_s", 0.0) - chains_before_s
        per_call = _per_call(engine.stats())
    live_s = sum(session.at_s for session in sessions)
    states = [session.state() for session in sessions]
    return {
        "model": engine.model.name,
        "engine": engine.model.runtime_reason,
        "worker": settings.model.worker,
        "sessions": n_sessions,
        "live_s": round(live_s, 1),
        **_latencies(events, endpoint_ms=settings.speech.hangover_ms),
        "evidence_ms": spread(
            late_ms
            for source, received in zip(sources, events, strict=True)
            for late_ms in evidence_ms(received, began_s=source.began_s)
        ),
        "lag_s": spread(sample.lag_s for sample in samples),
        "loop_delay_ms": spread(sample.late_ms for sample in samples),
        "skipped_frames": sum(state["skipped_frames"] for state in states),
        "skipped_windows": sum(state["skipped_windows"] for state in states),
        **per_call,
        # Of one session, without its chains: their length depends on the model, and they wait when the machine is busy.
        "cpu_s_per_live_s": round((cpu_s - chains_s) / live_s, 3),
        "chain_cpu_s_per_live_s": round(chains_s / live_s, 3),
        "rss_mb": round(max(sample.rss_mb for sample in samples)),
        **_grown(samples),
    }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of all sessions at one moment."""

    live_s: float
    "Sum of the sessions' media seconds."
    lag_s: float
    late_ms: float
    "How late the event loop was."
    cpu_s: float
    "CPU seconds of the processes, without chains."
    rss_mb: float


async def _sample(sessions: Sequence[Session], engine: Engine, samples: list[Snapshot]) -> None:
    while True:
        due_s = time.monotonic() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        late_ms = (time.monotonic() - due_s) * 1000
        states = [session.state() for session in sessions]
        cpu_s = _cpu_s(engine) - engine.stats().get("chain_cpu_s", 0.0)
        samples.append(
            Snapshot(
                sum(state["t"] for state in states),
                max(state["lag_s"] for state in states),
                late_ms,
                cpu_s,
                rss_mb() + engine.stats().get("rss_mb", 0.0),
            )
        )


def _cpu_s(engine: Engine) -> float:
    """CPU seconds of this process and of the model's process, if there is one."""
    return time.process_time() + engine.stats().get("cpu_s", 0.0)


def _grown(samples: Sequence[Snapshot]) -> dict[str, float | None]:
    """Growth from the second tenth of the run to its last. The first tenth, with the cost of starting, is left out."""
    tenth = max(1, len(samples) // 10)
    early, late = samples[tenth : 2 * tenth + 1], samples[-tenth - 1 :]
    if len(samples) < 20:
        return {"rss_growth_mb": None, "cpu_growth": None}

    def per_live_s(some: Sequence[Snapshot]) -> float:
        return (some[-1].cpu_s - some[0].cpu_s) / max(some[-1].live_s - some[0].live_s, 1e-3)

    return {
        "rss_growth_mb": round(late[-1].rss_mb - early[0].rss_mb, 1),
        "cpu_growth": round(per_live_s(late) / max(per_live_s(early), 1e-6), 3),
    }


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event, and when a reader of the session's log had it."""

    event: dict[str, Any]
    wall_s: float


async def _read(session: Session) -> list[ReceivedEvent]:
    return [ReceivedEvent(json.loads(line), time.monotonic()) async for line in session.log.read()]


def answers_ms(received: Sequence[ReceivedEvent]) -> list[dict[str, float]]:
    """Milliseconds from the end of speech to label, first word and end of chain, for each window that speech triggered.

    What did not come is left out.
    """
    ended_s = {each.event["end"]: each.wall_s for each in received if each.event.get("state") == "end"}
    answers: dict[int, dict[str, float]] = {}
    due_s: dict[int, float] = {}
    for each in received:
        match each.event:
            case {"type": "window", "window": window, "end": end} if end in ended_s:
                due_s[window], answers[window] = ended_s[end], {}
            case {"type": "label", "source": "fast", "window": window} if window in due_s:
                answers[window]["label"] = (each.wall_s - due_s[window]) * 1000
            case {"type": "reason.delta", "window": window} if window in due_s:
                answers[window].setdefault("first_word", (each.wall_s - due_s[window]) * 1000)
            case {"type": "reason.done", "window": window} if window in due_s:
                answers[window]["total"] = (each.wall_s - due_s[window]) * 1000
    return list(answers.values())


def evidence_ms(received: Sequence[ReceivedEvent], *, began_s: float) -> list[float]:
    """Milliseconds from the capture of each frame until a reader has its event."""
    frames = (each for each in received if each.event["type"] == "frame")
    return [(each.wall_s - began_s - each.event["t"]) * 1000 for each in frames]


def _per_call(stats: Mapping[str, float]) -> dict[str, Any]:
    """How many sessions shared a call on average. Nothing where nothing is shared, as on a CPU."""
    shared = {name: (stats.get(n, 0.0), stats.get(calls, 0.0)) for name, (n, calls) in SHARED.items()}
    per_call = {name: round(n / calls, 2) for name, (n, calls) in shared.items() if calls}
    return {"per_call": per_call} if per_call else {}


def _latencies(received: Sequence[Sequence[ReceivedEvent]], *, endpoint_ms: float) -> dict[str, Any]:
    spoken = [answer for session in received for answer in answers_ms(session)]
    events = [each.event for session in received for each in session]
    done = [event["timings_ms"] for event in events if event["type"] == "reason.done"]
    figures: dict[str, Any] = {
        "windows": sum(event["type"] == "window" for event in events),
        "spoken_windows": len(spoken),
        "chains": len(done),
        "endpoint_ms": endpoint_ms,
    }
    for name in AFTER_SPEECH:
        figures[f"{name}_ms"] = spread(answer[name] for answer in spoken if name in answer)
    figures["label_after_speech_ms"] = spread(endpoint_ms + each["label"] for each in spoken if "label" in each)
    for stage in sorted({name for timings in done for name in timings} - {*AFTER_SPEECH, "chain_tokens"}):
        figures[f"stage_{stage}_ms"] = spread(timings[stage] for timings in done if stage in timings)
    decoded = [timings for timings in done if timings.get("chain_tokens") and timings.get("chain")]
    if decoded:
        n_tokens, passed_ms = (sum(timings[name] for timings in decoded) for name in ("chain_tokens", "chain"))
        figures["tokens_per_s"] = round(n_tokens / passed_ms * 1000, 1)
    reductions = [event["reduced"] for event in events if event["type"] == "lag"]
    figures["reduced"] = sorted(set(reductions) - {"nothing"})
    return figures


def spread(values: Iterable[float]) -> dict[str, float] | None:
    """Median and 95th percentile; None when nothing was measured."""
    ordered = sorted(values)
    if not ordered:
        return None
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 3), "p95": round(p95, 3), "n": len(ordered)}
