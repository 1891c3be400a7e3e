"""Live sessions measured: recordings played at the pace of life into real sessions, figures read off their events.

The same stages and the same mailboxes, newest wins; several sessions share one model, their clocks apart. The ceiling
is the machine: face mesh, towers and decoding share its cores.

`label_ms`, `first_word_ms` and `total_ms` count from the event that says that speech has ended, as a reader of the
session gets it, and are of windows that speech called for. It is said `endpoint_ms` after the last sound, the quiet
that the segmenter waits for to be sure: `label_after_speech_ms` contains that. The stages are of all windows.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from realtime.engine.start import started
from realtime.ingest.media import MediaSource
from realtime.observe.metrics import Metrics, rss_mb
from realtime.records import ClockTick, Item, SourceEnded, SpeechSegment, SpeechSoFar, SpeechStarted, VideoFrame
from realtime.roles import Engine, Model
from realtime.session import Session
from realtime.settings import Settings

AFTER_SPEECH = ("label", "first_word", "total")
SAMPLE_S = 0.1
GAP_S = 1.0
"Of nothing between two recordings, so that speech at the end of one is answered before the next begins."


class Playlist:
    """Recordings one after the other, again and again, at the pace of life: to the session it is a call."""

    live = True
    has_video = True
    has_audio = True
    silent_s = 0.0

    def __init__(
        self, files: Sequence[str], settings: Settings, *, seconds: float, first: int = 0, after_s: float = 0.0
    ) -> None:
        """Begins `after_s` from now with file number `first`."""
        self._files = files
        self._settings = settings
        self._seconds = seconds
        self._first, self._after_s = first, after_s
        self.began_s = 0.0
        "On the wall clock (`time.monotonic`), media time 0."

    async def items(self) -> AsyncGenerator[Item, None]:
        await asyncio.sleep(self._after_s)
        speech = self._settings.speech
        # A segment is known to be over once the quiet after it was heard, of which it keeps the padding.
        known_after_s = (speech.hangover_ms - speech.pad_after_ms) / 1000
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
    """The item, `by_s` media seconds later."""
    match item:
        case VideoFrame() | ClockTick():
            return replace(item, at_s=item.at_s + by_s)
        case SpeechStarted():
            return SpeechStarted(item.start_s + by_s)
        case SpeechSegment():
            return replace(item, start_s=item.start_s + by_s, end_s=item.end_s + by_s)
        case SpeechSoFar(segment):
            return replace(item, segment=replace(segment, start_s=segment.start_s + by_s, end_s=segment.end_s + by_s))
        case SourceEnded():
            return item


def known_at_s(item: Item, segment_after_s: float = 0.0) -> float | None:
    """Media time at which the item can be known; a segment is `segment_after_s` after its end. None: at once."""
    match item:
        case VideoFrame(at_s) | ClockTick(at_s):
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
    metrics = Metrics()
    samples: list[Sample] = []
    async with started(load, where=settings.model.worker, metrics=metrics) as engine:
        sources = [
            # Apart from each other, as people who come to a server are.
            Playlist(files, settings, seconds=seconds, first=index, after_s=index / n_sessions)
            for index in range(n_sessions)
        ]
        sessions = [Session(source=source, engine=engine, settings=settings, metrics=metrics) for source in sources]
        # What loading and warming have cost is known with the first answer.
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
    live_s = sum(session.at_s for session in sessions)
    states = [session.state() for session in sessions]
    return {
        "model": engine.model.name,
        "engine": engine.model.engine_reason,
        "worker": settings.model.worker,
        "sessions": n_sessions,
        "live_s": round(live_s, 1),
        **_latencies(events, endpoint_ms=settings.speech.hangover_ms),
        "evidence_ms": spread(
            late_ms
            for source, told in zip(sources, events, strict=True)
            for late_ms in evidence_ms(told, began_s=source.began_s)
        ),
        "lag_s": spread(sample.lag_s for sample in samples),
        "loop_delay_ms": spread(sample.late_ms for sample in samples),
        "skipped_frames": sum(state["skipped_frames"] for state in states),
        "skipped_windows": sum(state["skipped_windows"] for state in states),
        # Of one session, its chains apart: how long those are is the model's affair, and they wait when it gets tight.
        "cpu_s_per_live_s": round((cpu_s - chains_s) / live_s, 3),
        "chain_cpu_s_per_live_s": round(chains_s / live_s, 3),
        "rss_mb": round(max(sample.rss_mb for sample in samples)),
        **_grown(samples),
    }


@dataclass(frozen=True, slots=True)
class Sample:
    live_s: float
    "Media seconds of all sessions together."
    lag_s: float
    late_ms: float
    "How much later than asked for the event loop came round."
    cpu_s: float
    "Of the process, chains apart."
    rss_mb: float


async def _sample(sessions: Sequence[Session], engine: Engine, samples: list[Sample]) -> None:
    while True:
        due_s = time.monotonic() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        late_ms = (time.monotonic() - due_s) * 1000
        states = [session.state() for session in sessions]
        cpu_s = _cpu_s(engine) - engine.stats().get("chain_cpu_s", 0.0)
        samples.append(
            Sample(
                sum(state["t"] for state in states),
                max(state["lag_s"] for state in states),
                late_ms,
                cpu_s,
                rss_mb() + engine.stats().get("rss_mb", 0.0),
            )
        )


def _cpu_s(engine: Engine) -> float:
    """Of this process and of the model's, if it has its own."""
    return time.process_time() + engine.stats().get("cpu_s", 0.0)


def _grown(samples: Sequence[Sample]) -> dict[str, float | None]:
    """From the second tenth of the run to its last: what grows with time, not what starting costs."""
    tenth = max(1, len(samples) // 10)
    early, late = samples[tenth : 2 * tenth + 1], samples[-tenth - 1 :]
    if len(samples) < 20:
        return {"rss_growth_mb": None, "cpu_growth": None}

    def per_live_s(some: Sequence[Sample]) -> float:
        return (some[-1].cpu_s - some[0].cpu_s) / max(some[-1].live_s - some[0].live_s, 1e-3)

    return {
        "rss_growth_mb": round(late[-1].rss_mb - early[0].rss_mb, 1),
        "cpu_growth": round(per_live_s(late) / max(per_live_s(early), 1e-6), 3),
    }


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and when whoever reads the session's log had it."""

    event: dict[str, Any]
    wall_s: float


async def _read(session: Session) -> list[Told]:
    return [Told(json.loads(line), time.monotonic()) async for line in session.log.read()]


def answers_ms(told: Sequence[Told]) -> list[dict[str, float]]:
    """For each window that speech called for: milliseconds from the end of speech to what came, as far as it came."""
    ended_s = {each.event["end"]: each.wall_s for each in told if each.event.get("state") == "end"}
    answers: dict[int, dict[str, float]] = {}
    due_s: dict[int, float] = {}
    for each in told:
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


def evidence_ms(told: Sequence[Told], *, began_s: float) -> list[float]:
    """For each frame: milliseconds from its moment in life until a reader has what was seen in it."""
    frames = (each for each in told if each.event["type"] == "frame")
    return [(each.wall_s - began_s - each.event["t"]) * 1000 for each in frames]


def _latencies(told: Sequence[Sequence[Told]], *, endpoint_ms: float) -> dict[str, Any]:
    spoken = [answer for session in told for answer in answers_ms(session)]
    events = [each.event for session in told for each in session]
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
