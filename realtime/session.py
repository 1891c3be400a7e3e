"""One session, live or recorded, from its source to its event log. Only this module composes the stages.

    source ─► frames ─► see ──┐                  ┌─► reason about what was said
           └► speech ─► hear ─┴► due ─► label ───┼─► reason about quiet moments       every stage ─► log
                                                 └─► write down what was said
    log ─► sum up, where somebody asks for it

Each arrow is a mailbox. What it does when it is full is the one difference between a live session and a recording: the
first skips, the second waits. All model calls go to the engine. Times are media time, except for timings, which are
wall time and are measured here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing, nullcontext, suppress
from functools import partial
from typing import Any, assert_never

from realtime.attempts import Attempts
from realtime.errors import NoMediaYet, RealtimeError
from realtime.evidence.speaker import whose_voice
from realtime.observe import tracing
from realtime.observe.metrics import Metrics
from realtime.pace.analysis import Analysis, Said
from realtime.pace.buffer import RollingBuffer
from realtime.pace.cadence import Cadence, Due
from realtime.pace.chain_turns import ChainTurns
from realtime.pace.degradation import Load
from realtime.pace.input_watch import InputWatch, unfinished
from realtime.pace.lag import LagMeter
from realtime.pace.mailbox import Mailbox
from realtime.pace.skipped import Skipped
from realtime.publish import report
from realtime.publish.channel import EventLog
from realtime.publish.events import (
    ErrorEvent,
    Event,
    MarkValue,
    SessionClosedEvent,
    SpeechEvent,
)
from realtime.publish.telling import Telling
from realtime.records import (
    AnalysisAsked,
    ClockTick,
    CueFrame,
    InputState,
    Item,
    Label,
    ModelInfo,
    Question,
    ReasonDelta,
    ReasonDone,
    SourceEnded,
    SourceStarted,
    SpeechSegment,
    SpeechSoFar,
    SpeechStarted,
    VideoFrame,
    Window,
)
from realtime.roles import Engine, EngineClient, Source, Transcriber
from realtime.settings import Settings
from realtime.summary.recall import TYPES
from realtime.summary.summaries import Summaries, SummaryAsked
from realtime.words.conflict import conflict_of

logger = logging.getLogger(__name__)

KEPT_SEGMENTS = 4
"Segments of speech that may wait in a live session. The oldest is dropped when another one comes."
REWRITTEN = {"yes": "yes", "in vain": "no", "late": "late"}
"What became of an argument that was written again, as `/metrics` counts it."
KEPT_UTTERANCES = 2
"Utterances whose words may wait to be written down in a live session."
KEPT_CUE_FRAMES = 4
"The same for the frames in which faces are only measured."


class Session:
    """Runs one source to its end."""

    def __init__(
        self,
        *,
        source: Source,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        model: ModelInfo | None = None,
        transcriber: Transcriber | None = None,
        name: str | None = None,
        now_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        """`model` is what `Engine.use` returned, for a session with an adapter. None: the engine's own model.

        `transcriber` writes the words down, for a session that agreed to it.
        `name` is what the server calls it beside its id.
        """
        self.name = name
        node = settings.server.node
        self.id = f"{node}-{secrets.token_hex(16)}" if node else secrets.token_hex(16)
        self.log = EventLog(self.id, kept_s=settings.publish.kept_s, kept_events=settings.publish.kept_events)
        self.at_s = 0.0
        "Media time reached."
        self.n_windows = 0
        self._source = source
        self._engine = engine
        self.model = model or engine.model
        self._transcriber = transcriber
        self._seed = settings.model.seed
        self._metrics = metrics
        self._telling = Telling(self.log, metrics, self.model, now_s=now_s, unix_s=unix_s)
        self._now_s = now_s
        self._question = Question(labels=self.model.labels)
        self._client: EngineClient | None = None
        self._end_reason = "The session was ended."
        self._stopping = asyncio.Event()
        self._finish_within_s = 0.0
        self._failure: RealtimeError | None = None

        waits = not source.live
        self._frames: Mailbox[VideoFrame] = Mailbox(waits=waits)
        self._cue_frames: Mailbox[CueFrame] = Mailbox(KEPT_CUE_FRAMES, waits=waits)
        self._speech: Mailbox[tuple[SpeechSegment, Analysis]] = Mailbox(KEPT_SEGMENTS, waits=waits)
        self._ahead: Mailbox[SpeechSoFar] = Mailbox()
        self._due: Mailbox[Analysis] = Mailbox(waits=waits)
        self._spoken: Mailbox[tuple[Window, Analysis]] = Mailbox(waits=waits)
        self._quiet: Mailbox[tuple[Window, Analysis]] = Mailbox(waits=waits)
        self._said: Mailbox[Said] = Mailbox(KEPT_UTTERANCES, waits=waits)
        self._asked: Mailbox[SummaryAsked] = Mailbox()

        self._watch = InputWatch(has_video=source.has_video, has_audio=source.has_audio, live=source.live)
        self._cadence = Cadence(settings.analysis.every_s)
        self._buffer = RollingBuffer(settings.buffer)
        self._lag = LagMeter()
        self._load = Load()
        self._n_offered = 0
        self._skipped = Skipped(metrics)
        self._turns = ChainTurns(live=source.live)
        self._summaries = Summaries(self.id, partial(self._turns.next_step, spoken=True))
        self._attempts = Attempts(self.id, now_s)
        self._see_ms: dict[str, float] = {}

    # Lifetime.

    async def run(self) -> None:
        """Run until the source has ended or `stop` was called. Raises what the source raised, after its error event."""
        began_s = self._now_s()
        self._metrics.sessions.inc()
        self._metrics.opened.inc()
        try:
            await self._run_stages()
        except* Exception:
            self._end_reason = "The session failed."
            self._publish(ErrorEvent("session_failed", self._end_reason, "Open it again; the server's log says why."))
            raise
        finally:
            # The session may be kept for its log, but nothing measured of the person is.
            self._buffer.clear()
            self._publish(SessionClosedEvent(self._end_reason))
            self.log.close()
            self._metrics.sessions.dec()
            logger.info("session %s ended after %.1f s: %s", self.id[:8], self._now_s() - began_s, self.state())
        if self._failure is not None:
            raise self._failure

    def stop(self, reason: str, *, finish_within_s: float = 0.0) -> None:
        """End the session from our side; `run` returns once everything is freed.

        Nothing more is received. Windows of what was received may be finished within `finish_within_s`.
        """
        self._end_reason = reason
        self._finish_within_s = finish_within_s
        self._stopping.set()

    @property
    def lag_s(self) -> float:
        """Media seconds that the session is behind."""
        return self._lag.seconds(self.at_s)

    @property
    def overloaded(self) -> bool:
        """Whether letting chains wait is not enough for this session to keep up."""
        return not self._load.quiet_windows

    @property
    def question(self) -> Question:
        """What the next window is asked."""
        return self._question

    @property
    def writes_words(self) -> bool:
        """Whether what is said is written down in this session."""
        return self._transcriber is not None

    async def set_question(self, question: Question) -> None:
        """Set the question of the next windows. The selectors have it before the first of those is labelled."""
        self._question = question
        self._summaries.give_up()
        if self._client is not None:
            await self._client.set_question(question)

    async def sum_up(self, query: str, last_s: float) -> None:
        """Publish a summary of the last seconds as soon as it is written. It gives way to whatever is asked next.

        Raises NoMediaYet before the first picture or sound.
        """
        if not self.log.seq:
            raise NoMediaYet("Nothing has come from the sender yet.", "Ask once the first event is there.")
        await self._asked.put(self._summaries.ask(query, max(0.0, self.at_s - last_s), self.at_s))

    def mark(self, name: str, data: Mapping[str, MarkValue]) -> str:
        """Put a mark at this moment into the log. Returns its event, encoded. Raises as `Telling.mark` does."""
        return self._telling.mark(name, data, self.at_s)

    def state(self) -> dict[str, float]:
        """Counts and seconds, for `GET /sessions/{id}` and the log."""
        return {
            "t": round(self.at_s, 3),
            "seq": self.log.seq,
            "windows": self.n_windows,
            "lag_s": round(self.lag_s, 3),
            "skipped_frames": self._skipped.n_frames,
            "skipped_windows": self._skipped.n_windows,
            "skipped_cue_frames": self._skipped.n_cue_frames,
            "skipped_words": self._skipped.n_words,
        }

    async def _run_stages(self) -> None:
        async with asyncio.TaskGroup() as stages:

            def start(stage: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
                return stages.create_task(stage, name=f"{name} {self.id[:8]}")

            # First: a source frees what it holds only once it runs, whatever becomes of the engine.
            media = start(self._receive(), "media")
            stopping = start(self._stopping.wait(), "stop")
            opened_with = self._question
            self._client = client = await self._engine.open(self._seed, opened_with, self.model.adapter)
            try:
                if self._question != opened_with:
                    # The question was set while the engine was opening the session.
                    await client.set_question(self._question)
                workers = [
                    start(self._see(client), "see"),
                    start(self._glimpse(client), "glimpse"),
                    start(self._hear(client), "hear"),
                    start(self._hear_ahead(client), "hear ahead"),
                    start(self._label(client), "label"),
                    start(self._write_words(client), "words"),
                    start(self._think(client, self._spoken), "think spoken"),
                    start(self._think(client, self._quiet), "think quiet"),
                    start(self._sum_up(client), "sum up"),
                ]
                await asyncio.wait({media, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if self._stopping.is_set():
                    media.cancel()
                    await self._finish()
                for task in (media, stopping, *workers):
                    task.cancel()
            finally:
                self._client = None
                client.close()

    async def _finish(self) -> None:
        """Finish the analysis of what was received, for as long as there is time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._finish_within_s):
                # In the order of the stages: each passes on its result before it takes the next item.
                await self._frames.settled()
                await self._cue_frames.settled()
                await self._speech.settled()
                await self._due.settled()
                await self._said.settled()
                await self._spoken.settled()
                await self._quiet.settled()

    async def _receive(self) -> None:
        try:
            async with aclosing(self._source.items()) as items:
                async for item in items:
                    await self._take(item)
        except RealtimeError as error:
            self._failure = error
            self._end_reason = error.message
            self._publish(ErrorEvent(error.code, error.message, error.hint))

    # What becomes of each item of the source. In a live session none of these waits.

    async def _take(self, item: Item) -> None:
        if not isinstance(item, SourceStarted):
            self._telling.open(self.at_s)
        match item:
            case SourceStarted():
                self._telling.started(item, self.at_s)
            case VideoFrame():
                await self._take_frame(item)
            case CueFrame():
                await self._take_cue_frame(item)
            case SpeechStarted(start_s):
                self._speech_started(start_s)
            case SpeechSoFar():
                # A recording waits for each step anyway: beginning early gains nothing.
                if self._source.live:
                    await self._ahead.put(item)
            case SpeechSegment():
                await self._take_speech(item)
            case ClockTick(at_s):
                await self._take_time(at_s)
            case AnalysisAsked(at_s):
                self._reached(at_s)
                await self._begin(self._due_now(Due(at_s, spoken=False)))
            case InputState():
                self._tell([item])
            case SourceEnded(reason):
                await self._take_end(reason)
            case _:
                assert_never(item)

    async def _take_frame(self, frame: VideoFrame) -> None:
        self._reached(frame.at_s)
        self._tell(self._watch.received(frame))
        self._n_offered += 1
        if not self._load.wants_frame(self._n_offered):
            self._skipped.frame()
            return
        self._lag.received(frame.at_s)
        gone = await self._frames.put(frame)
        if gone is not None:
            self._lag.finished(gone.at_s)
            self._skipped.frame()

    async def _take_cue_frame(self, frame: CueFrame) -> None:
        self._reached(frame.at_s)
        if not self._load.cue_frames or await self._cue_frames.put(frame) is not None:
            self._skipped.cue_frame()

    def _speech_started(self, start_s: float) -> None:
        self._reached(start_s)
        self._cadence.speech_started()
        self._publish(SpeechEvent("start", start_s, None), at_s=start_s)

    async def _take_speech(self, segment: SpeechSegment) -> None:
        self._reached(segment.end_s)
        analysis = self._due_now(self._cadence.speech_ended(segment.end_s))
        self._publish(SpeechEvent("end", segment.start_s, segment.end_s), at_s=segment.end_s)
        gone = await self._speech.put((segment, analysis))
        if gone is not None:
            self._gave_way(gone[1])

    async def _take_time(self, at_s: float) -> None:
        self._reached(at_s)
        self._tell(self._watch.clock(at_s, silent_s=self._source.silent_s))
        due = self._cadence.clock(at_s)
        if due is not None and self._load.quiet_windows:
            await self._begin(self._due_now(due))
        elif due is not None:
            self._skipped.window()
        if self._source.live:
            self._adapt()
            self._report_lag()

    async def _take_end(self, reason: str) -> None:
        self._end_reason = reason
        self._tell(unfinished(reason))
        due = None if self._source.live else self._cadence.finish(self.at_s)
        if due is not None:
            await self._begin(self._due_now(due))

    # The stages, each a task.

    async def _see(self, client: EngineClient) -> None:
        async for frame in self._frames:
            async with self._attempts.at(self._publish, "see", self._see_ms):
                evidence = await client.see(frame)
                self._buffer.add_frame(evidence)
                self._see_ms.update(evidence.timings_ms)
                for event in report.frame_events(frame, evidence):
                    self._publish(event, at_s=frame.at_s)
                self._tell(self._watch.seen(evidence))
            self._lag.finished(frame.at_s)

    async def _glimpse(self, client: EngineClient) -> None:
        async for frame in self._cue_frames:
            async with self._attempts.at(self._publish, "glimpse", {}):
                glimpse = await client.glimpse(frame)
                self._buffer.add_glimpse(glimpse)
                for event in report.face_events(glimpse.cues):
                    self._publish(event, at_s=frame.at_s)

    async def _hear(self, client: EngineClient) -> None:
        async for segment, analysis in self._speech:
            async with self._attempts.at(self._publish, "hear", analysis.timings_ms, analysis.trace):
                evidence = await client.hear(segment)
                if evidence.cues.kind == "voice":
                    self._buffer.add_speech(evidence)
                    analysis.said = segment if self._transcriber is not None else None
                self._publish(report.voice_event(evidence), at_s=segment.end_s)
                self._tell(self._watch.heard(evidence))
            await self._begin(analysis)

    async def _hear_ahead(self, client: EngineClient) -> None:
        async for so_far in self._ahead:
            async with self._attempts.at(self._publish, "hear_ahead", {}):
                await client.hear_ahead(so_far)

    async def _label(self, client: EngineClient) -> None:
        async for analysis in self._due:
            window = self._buffer.window(self.n_windows, analysis.due.end_s)
            self.n_windows += 1
            self._publish(report.window_event(window, analysis.question))
            analysis.speaker = whose_voice(window)
            analysis.trace.tell(window=window.index, frames=len(window.frames), speech_s=window.speech_s)
            label = None
            async with self._attempts.at(self._publish, "fast", analysis.timings_ms, analysis.trace):
                label = await client.fast_label(window, analysis.question)
                self._publish(report.label_event(window, label, analysis.speaker))
                self._mark("label", analysis)
            self._lag.finished(window.end_s)
            if analysis.said is not None:
                await self._take_words(Said(analysis.said, window, label))
            chains = self._spoken if analysis.due.spoken else self._quiet
            gone = await chains.put((window, analysis))
            if gone is not None:
                self._pass_over(gone[1])

    async def _take_words(self, said: Said) -> None:
        if not self._load.chains or await self._said.put(said) is not None:
            self._skipped.words()

    async def _write_words(self, client: EngineClient) -> None:
        """Write down what was said. An utterance comes here once its label is out, so no label ever waits for this."""
        async for said in self._said:
            assert self._transcriber is not None
            async with self._attempts.at(self._publish, "words", {}):
                words = await self._transcriber.transcribe(said.segment)
                if words is not None:
                    if self.model.words:
                        client.tell_words(said.window, words.text)
                    conflict = conflict_of(words, said.window, said.label)
                    self._publish(report.words_event(words, said.window, conflict))

    async def _think(self, client: EngineClient, windows: Mailbox[tuple[Window, Analysis]]) -> None:
        spoken = windows is self._spoken
        async for item in windows:
            (window, analysis), replaced = await self._turns.newest(item, windows)
            for _, other in replaced:
                self._pass_over(other)
            with self._turns.about_speech() if spoken else nullcontext():
                finished = True
                async with self._attempts.at(self._publish, "reason", analysis.timings_ms, analysis.trace):
                    finished = await self._reason(client, window, analysis)
                if finished:
                    analysis.trace.end()
                else:
                    self._pass_over(analysis)

    async def _reason(self, client: EngineClient, window: Window, analysis: Analysis) -> bool:
        """Publish the chain of a window. Returns False where it gave way to a question that was asked since."""
        begun = False
        again_s = self._turns.argued_again_s
        async with aclosing(client.reason(window, analysis.question, again_s=again_s)) as steps:
            while True:
                await self._turns.next_step(spoken=analysis.due.spoken)
                outdated, age_s = analysis.question != self._question, self.at_s - window.end_s
                if self._turns.gives_way(outdated=outdated, begun=begun, age_s=age_s):
                    return False
                begun = True
                match await anext(steps):
                    case ReasonDelta() as delta:
                        if "first_word" not in analysis.timings_ms:
                            self._mark("first_word", analysis)
                        self._metrics.deltas.inc()
                        self._publish(report.delta_event(window, delta))
                    case Label() as label:
                        self._publish(report.label_event(window, label, analysis.speaker))
                    case ReasonDone() as done:
                        self._reasoned(window, analysis, done)
                        return True
                    case None:
                        continue

    def _reasoned(self, window: Window, analysis: Analysis, done: ReasonDone) -> None:
        self._mark("total", analysis)
        self._metrics.chain_written(done.timings_ms.get("chain_tokens", 0), done.timings_ms.get("chain", 0))
        for what in done.contradictions:
            self._metrics.contradictions.labels(what).inc()
        self._metrics.unsupported.inc(len(done.unsupported))
        self._metrics.withheld.inc(done.n_withheld)
        if done.answered_from is not None:
            self._metrics.answered.labels(done.answered_from).inc()
        for by in done.turned_by:
            self._metrics.turned.labels(by).inc()
        if done.rewritten != "no":
            self._metrics.rewritten.labels(REWRITTEN[done.rewritten]).inc()
        self._publish(report.done_event(window, done, {**self._see_ms, **analysis.timings_ms}))

    async def _sum_up(self, client: EngineClient) -> None:
        async for asked in self._asked:
            start_s = max(asked.start_s, self.log.oldest_s)
            write = client.summarise if self.model.summarises else None
            summary = await self._summaries.summary(asked, self.log.since(start_s, TYPES), start_s, write)
            if summary is not None:
                self._metrics.summaries.labels(summary.source).inc()
                self._publish(summary)

    # Helpers of several stages.

    def _due_now(self, due: Due) -> Analysis:
        self._lag.received(due.end_s)
        return Analysis(due, self._now_s(), self._question, tracing.begin("analysis", spoken=due.spoken))

    async def _begin(self, analysis: Analysis) -> None:
        gone = await self._due.put(analysis)
        if gone is not None:
            self._gave_way(gone)

    def _gave_way(self, analysis: Analysis) -> None:
        self._lag.finished(analysis.due.end_s)
        self._pass_over(analysis)

    def _pass_over(self, analysis: Analysis) -> None:
        analysis.trace.tell(skipped=True)
        analysis.trace.end()
        self._skipped.window()

    def _mark(self, name: str, analysis: Analysis) -> None:
        """Note the wall time from when the analysis was due to its `name`."""
        passed_s = self._now_s() - analysis.due_wall_s
        analysis.timings_ms[name] = passed_s * 1000
        self._metrics.stage.labels(f"due_to_{name}").observe(passed_s)

    def _reached(self, at_s: float) -> None:
        self.at_s = max(self.at_s, at_s)

    def _adapt(self) -> None:
        """Leave out more, or less, of the work when the lag asks for it."""
        if self._load.update(self.lag_s, self.at_s):
            self._metrics.reduced.labels(self._load.reduced).inc()
            self._turns.let(self._load.chains)

    def _report_lag(self) -> None:
        lag = self._lag.report(
            self.at_s,
            skipped_frames=self._skipped.n_frames,
            skipped_windows=self._skipped.n_windows,
            reduced=self._load.reduced,
            skipped_cue_frames=self._skipped.n_cue_frames,
        )
        self._metrics.lag.observe(self.lag_s)
        if lag is not None:
            self._publish(report.lag_event(lag))

    def _tell(self, states: Iterable[InputState]) -> None:
        for state in states:
            self._publish(report.input_event(state))

    def _publish(self, event: Event, *, at_s: float | None = None) -> None:
        self._telling.event(event, self.at_s if at_s is None else at_s)
