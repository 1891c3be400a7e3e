"""`realtime bench`: latency and throughput of one live session on this machine.

Recordings are played at the pace of life into the real session (the same stages, the same mailboxes, newest wins), and
the figures are read off its own events. The ceiling is the machine: face mesh, towers and decoding share its cores.
Prints a table and ends in one JSON line.

`label_ms`, `first_word_ms` and `total_ms` count from the end of speech: they contain the `endpoint_ms` of quiet that
the segmenter waits for to be sure of it. They are of windows that speech called for, the stages of all windows.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from realtime.errors import NotMedia
from realtime.ingest import Sink, Source
from realtime.ingest.media import MediaSource
from realtime.ingest.speech import SpeechSettings
from realtime.metrics import Metrics
from realtime.records import SpeechEdge, SpeechSegment, SpeechSoFar, VideoFrame
from realtime.roles import Model
from realtime.session import Session
from realtime.settings import Settings
from realtime.warmup import warm_up
from realtime.worker import ModelWorker

CLIPS = ("*.mp4", "*.webm", "*.mkv", "*.avi", "*.flv", "*.mov")
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

    def __init__(self, files: Sequence[str], settings: Settings, *, seconds: float) -> None:
        self._files = files
        self._settings = settings
        self._seconds = seconds

    async def run(self, sink: Sink) -> None:
        pace = Pace(sink, self._settings.speech)
        n_played = 0
        while pace.reached_s < self._seconds:
            file = self._files[n_played % len(self._files)]
            source: Source = await asyncio.to_thread(
                MediaSource.open, file, ingest=self._settings.ingest, speech=self._settings.speech
            )
            await source.run(pace)
            pace.next_after(GAP_S)
            n_played += 1
        await sink.ended("end of the bench")


class Pace:
    """A sink in front of a sink: holds each item back until the wall clock has come to its media time."""

    def __init__(self, sink: Sink, speech: SpeechSettings) -> None:
        self._sink = sink
        self._known_after_s = (speech.hangover_ms - speech.pad_after_ms) / 1000
        self._began_s = time.monotonic()
        self._offset_s = 0.0
        self.reached_s = 0.0

    def next_after(self, gap_s: float) -> None:
        """What comes now begins `gap_s` after the end of what came before."""
        self._offset_s = self.reached_s + gap_s

    async def frame(self, frame: VideoFrame) -> None:
        at_s = await self._until(frame.at_s)
        await self._sink.frame(VideoFrame(at_s, frame.rgb_HW3))

    async def speech_started(self, edge: SpeechEdge) -> None:
        await self._sink.speech_started(SpeechEdge(edge.start_s + self._offset_s))

    async def speech_so_far(self, so_far: SpeechSoFar) -> None:
        segment = so_far.segment
        await self._until(segment.end_s)
        start_s, end_s = segment.start_s + self._offset_s, segment.end_s + self._offset_s
        await self._sink.speech_so_far(SpeechSoFar(SpeechSegment(start_s, end_s, segment.samples_N), so_far.paused))

    async def speech_ended(self, segment: SpeechSegment) -> None:
        # Known once the quiet after it was heard, of which the segment keeps the padding.
        await self._until(segment.end_s + self._known_after_s)
        start_s, end_s = segment.start_s + self._offset_s, segment.end_s + self._offset_s
        await self._sink.speech_ended(SpeechSegment(start_s, end_s, segment.samples_N))

    async def clock(self, at_s: float) -> None:
        await self._sink.clock(await self._until(at_s))

    async def ended(self, reason: str) -> None:
        """One recording has; the session has not."""

    async def _until(self, at_s: float) -> float:
        at_s += self._offset_s
        self.reached_s = max(self.reached_s, at_s)
        await asyncio.sleep(max(0.0, self._began_s + at_s - time.monotonic()))
        return at_s


def bench(media: Sequence[str], model: Model, settings: Settings, *, seconds: float, out: TextIO | None) -> int:
    files = list(media) or _clips()
    figures = asyncio.run(_measure(files, model, settings, seconds))
    for name, value in figures.items():
        print(f"{name:<18} {value}", file=sys.stderr)
    line = json.dumps(figures)
    print(line)
    if out is not None:
        out.write(line + "\n")
    return 0


def _clips() -> list[str]:
    """Clips with sound and picture of the data folder, if it is here. Raises NotMedia."""
    folder = Path(os.environ.get("EMOTHINKER_DATA", "../shared/data"))
    files = sorted(str(file) for pattern in CLIPS for file in folder.rglob(pattern))
    if not files:
        raise NotMedia(
            f"There are no recordings in {folder}.", "Name one: realtime bench FILE, a person speaking to the camera."
        )
    return files


async def _measure(files: Sequence[str], model: Model, settings: Settings, seconds: float) -> dict[str, Any]:
    metrics = Metrics()
    source = Playlist(files, settings, seconds=seconds)
    with ModelWorker(metrics) as worker:
        await worker.run("warm", warm_up, model)
        session = Session(source=source, model=model, worker=worker, settings=settings, metrics=metrics)
        events: list[dict[str, Any]] = []
        samples: list[Sample] = []
        began_cpu_s = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run(), name="session")
            sampling = tasks.create_task(_sample(session, samples), name="sample")
            async for line in session.log.read():
                events.append(json.loads(line))
            sampling.cancel()
        cpu_s = time.process_time() - began_cpu_s
    state = session.state()
    tenth = max(1, len(samples) // 10)
    return {
        "model": model.name,
        "engine": model.engine_reason,
        "live_s": round(session.at_s, 1),
        **_latencies(events, endpoint_ms=settings.speech.hangover_ms),
        "lag_s": _spread(sample.lag_s for sample in samples),
        "loop_delay_ms": _spread(sample.late_ms for sample in samples),
        "skipped_frames": state["skipped_frames"],
        "skipped_windows": state["skipped_windows"],
        "cpu_s_per_live_s": round(cpu_s / session.at_s, 3),
        "rss_mb": round(max(sample.rss_mb for sample in samples)),
        # From the second tenth of the run to its last: what grows with time, not what starting costs.
        "rss_growth_mb": round(samples[-1].rss_mb - samples[min(tenth, len(samples) - 1)].rss_mb, 1),
    }


@dataclass(frozen=True, slots=True)
class Sample:
    lag_s: float
    late_ms: float
    "How much later than asked for the event loop came round."
    rss_mb: float


async def _sample(session: Session, samples: list[Sample]) -> None:
    while True:
        due_s = time.monotonic() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        late_ms = (time.monotonic() - due_s) * 1000
        samples.append(Sample(session.state()["lag_s"], late_ms, _rss_mb()))


def _rss_mb() -> float:
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    # Elsewhere only the highest so far is known; macOS counts in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _latencies(events: Sequence[dict[str, Any]], *, endpoint_ms: float) -> dict[str, Any]:
    done = [event["timings_ms"] for event in events if event["type"] == "reason.done"]
    spoken = [timings for timings in done if "hear" in timings]
    figures: dict[str, Any] = {"windows": len(done), "spoken_windows": len(spoken), "endpoint_ms": endpoint_ms}
    for name in AFTER_SPEECH:
        figures[f"{name}_ms"] = _spread(endpoint_ms + timings[name] for timings in spoken if name in timings)
    for stage in sorted({name for timings in done for name in timings} - {*AFTER_SPEECH, "chain_tokens"}):
        figures[f"stage_{stage}_ms"] = _spread(timings[stage] for timings in done if stage in timings)
    decoded = [timings for timings in done if timings.get("chain_tokens") and timings.get("chain")]
    if decoded:
        n_tokens, passed_ms = (sum(timings[name] for timings in decoded) for name in ("chain_tokens", "chain"))
        figures["tokens_per_s"] = round(n_tokens / passed_ms * 1000, 1)
    return figures


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    """Median and 95th percentile; None when nothing was measured."""
    ordered = sorted(values)
    if not ordered:
        return None
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 3), "p95": round(p95, 3), "n": len(ordered)}
