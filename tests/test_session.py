from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import jsonschema
import pytest

from realtime.engine.client import HostClient
from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.errors import NoMediaYet, NotMedia, WordsStopped
from realtime.observe.metrics import Metrics
from realtime.pace.chain_turns import ARGUED_AGAIN_S
from realtime.publish.schema import event_schema
from realtime.records import (
    LABELS,
    ClockTick,
    CueFrame,
    Item,
    Question,
    Rewritten,
    SourceStarted,
    SpeechSoFar,
    SpeechStarted,
    Unsupported,
    VideoFrame,
    Window,
)
from realtime.roles import Source, Step, Transcriber, Words, unsaid
from realtime.session import Session
from realtime.settings import Settings
from realtime.summary import statements
from tests.scripted import (
    CHAIN,
    Hold,
    Scripted,
    ScriptedModel,
    ScriptedPerceiver,
    ScriptedSource,
    ScriptedSummariser,
    ScriptedThinker,
    ScriptedTranscriber,
    SteppedWorker,
    conversation,
    picture,
    speech,
)
from tests.waiting import WITHIN_S, eventually

VALID = jsonschema.Draft202012Validator(event_schema(strict=True))
Events = list[dict[str, Any]]
Make = Callable[..., Session]
Settle = Callable[[], Awaitable[None]]


@pytest.fixture
def worker() -> Iterator[SteppedWorker]:
    with SteppedWorker(Metrics()) as worker:
        yield worker


@pytest.fixture
def settle(worker: SteppedWorker) -> Settle:
    """Lets the worker and the stages finish what they can."""
    return worker.settled


@pytest.fixture
def make(worker: SteppedWorker) -> Make:
    def make(source: Source, model: ScriptedModel | None = None, transcriber: Transcriber | None = None) -> Session:
        model = model or ScriptedModel()
        worker.holds += [hold for hold in (model.perceivers.hold, model.thinker.hold) if hold is not None]
        engine = LocalEngine(model, worker)
        return Session(source=source, engine=engine, settings=Settings(), metrics=Metrics(), transcriber=transcriber)

    return make


async def events_of(session: Session) -> Events:
    """All events of a session that has ended, each valid on its own and without gaps together."""
    events = [json.loads(line) async for line in session.log.read()]
    for event in events:
        VALID.validate(event)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("session.opened", "session.closed")
    return events


def of(events: Events, kind: str) -> Events:
    return [event for event in events if event["type"] == kind]


async def test_the_first_event_tells_when_media_second_0_was_and_marks_count_from_it() -> None:
    """The first event waits for the first of the media. A mark between two ticks is placed by the clock."""
    clock = [100.0]
    marked: list[str] = []

    def mark() -> None:
        clock[0] = 103.25
        marked.append(session.mark("trial", {"number": 3}))

    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        session = Session(
            source=ScriptedSource([SourceStarted(1_764_323_439.5, 0.15), ClockTick(3.0), mark, ClockTick(3.5)]),
            engine=LocalEngine(ScriptedModel(), worker),
            settings=Settings(),
            metrics=metrics,
            now_s=lambda: clock[0],
            unix_s=lambda: 1_764_323_439.5,
        )
        with pytest.raises(NoMediaYet):
            session.mark("early", {})
        await session.run()
    opened, first, *_ = events = await events_of(session)
    assert (opened["started_at"], opened["started_at_error_ms"]) == ("2025-11-28T09:50:39.500Z", 150.0)
    (trial,) = of(events, "mark")
    assert (trial["t"], trial["data"]) == (3.25, {"number": 3})
    assert json.loads(marked[0]) == trial
    assert first["seq"] == 2


async def test_a_start_that_is_learnt_later_is_told_and_places_the_marks_after_it(make: Make) -> None:
    marked: list[str] = []
    now_s = time.time()
    better = SourceStarted(now_s - 3.0, 0.04, by_sender=True)
    source = ScriptedSource(
        [SourceStarted(now_s - 2.9, 0.15), ClockTick(2.0), better, lambda: marked.append(session.mark("go", {}))]
    )
    session = make(source)
    await session.run()
    events = await events_of(session)
    opened, (clock,) = events[0], of(events, "clock")
    began, began_before = (datetime.fromisoformat(event["started_at"]).timestamp() for event in (clock, opened))
    assert began == pytest.approx(better.unix_s, abs=1e-3)
    assert began_before - began == pytest.approx(0.1, abs=2e-3)
    assert clock["started_at_error_ms"] == pytest.approx(40.0)
    assert now_s <= began + json.loads(marked[0])["t"] <= time.time() + 0.01


async def test_a_chain_that_contradicts_itself_says_in_what_and_is_counted() -> None:
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        model = ScriptedModel(thinker=ScriptedThinker(contradictions=("face", "answer")))
        source = ScriptedSource(conversation(6, (1.0, 3.0)), live=False)
        session = Session(source=source, engine=LocalEngine(model, worker), settings=Settings(), metrics=metrics)
        await session.run()
    done = of(await events_of(session), "reason.done")
    assert [(event["contradictions"], event["answer"]["label"]) for event in done] == [
        (["face", "answer"], "unsure")
    ] * 2
    told = metrics.text().decode()
    assert 'emothinker_contradictions_total{what="face"} 2.0' in told
    assert 'emothinker_contradictions_total{what="answer"} 2.0' in told
    assert 'what="voice"' not in told


async def test_what_was_measured_otherwise_is_told_and_counted() -> None:
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        made_up = (Unsupported("face", 4, "Jaw slightly dropped"),)
        model = ScriptedModel(thinker=ScriptedThinker(unsupported=made_up, n_withheld=2))
        source = ScriptedSource(conversation(6, (1.0, 3.0)), live=False)
        session = Session(source=source, engine=LocalEngine(model, worker), settings=Settings(), metrics=metrics)
        await session.run()
    told = [event["unsupported"] for event in of(await events_of(session), "reason.done")]
    assert told == [[{"section": "face", "start": 4, "text": "Jaw slightly dropped"}]] * 2
    assert "emothinker_unsupported_statements_total 2.0" in metrics.text().decode()
    assert "emothinker_withheld_statements_total 4.0" in metrics.text().decode()


async def test_what_turned_an_answer_is_told_and_counted() -> None:
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        model = ScriptedModel(thinker=ScriptedThinker(turned_by=("second_look", "words")))
        source = ScriptedSource(conversation(6, (1.0, 3.0)), live=False)
        session = Session(source=source, engine=LocalEngine(model, worker), settings=Settings(), metrics=metrics)
        await session.run()
    told = [event["turned_by"] for event in of(await events_of(session), "reason.done")]
    assert told == [["second_look", "words"]] * 2
    assert 'emothinker_turned_answers_total{by="second_look"} 2.0' in metrics.text().decode()
    assert 'emothinker_turned_answers_total{by="reasons"}' not in metrics.text().decode()


async def test_what_an_answer_to_a_question_is_from_is_told_and_counted() -> None:
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        model = ScriptedModel(thinker=ScriptedThinker(answered_from="measurements"))
        source = ScriptedSource(conversation(6, (1.0, 3.0)), live=False)
        session = Session(source=source, engine=LocalEngine(model, worker), settings=Settings(), metrics=metrics)
        await session.run()
    assert [event["answered_from"] for event in of(await events_of(session), "reason.done")] == ["measurements"] * 2
    assert 'emothinker_answered_questions_total{source="measurements"} 2.0' in metrics.text().decode()


@pytest.mark.parametrize(("rewritten", "holds"), [("yes", "yes"), ("in vain", "no"), ("late", "late"), ("no", None)])
async def test_an_argument_that_was_written_again_says_so_and_is_counted(rewritten: Rewritten, holds: str) -> None:
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        model = ScriptedModel(thinker=ScriptedThinker(rewritten=rewritten))
        source = ScriptedSource(conversation(6, (1.0, 3.0)), live=False)
        session = Session(source=source, engine=LocalEngine(model, worker), settings=Settings(), metrics=metrics)
        await session.run()
    # A reader needs to know that the first one stands, and not why.
    told = "in vain" if rewritten == "late" else rewritten
    assert [event["rewritten"] for event in of(await events_of(session), "reason.done")] == [told] * 2
    counted = [line for line in metrics.text().decode().splitlines() if "rewritten_arguments_total{" in line]
    assert counted == ([f'emothinker_rewritten_arguments_total{{holds="{holds}"}} 2.0'] if holds else [])


@pytest.mark.parametrize(("live", "again_s"), [(True, ARGUED_AGAIN_S), (False, None)])
async def test_a_live_chain_has_a_limit_for_arguing_again_and_a_recording_has_none(
    make: Make, settle: Settle, live: bool, again_s: float | None
) -> None:
    thinker = ScriptedThinker()
    items = [each for item in conversation(6, (1.0, 3.0)) for each in (item, settle)]
    await make(ScriptedSource(items, live=live), ScriptedModel(thinker=thinker)).run()
    assert set(thinker.again_s) == {again_s}


async def test_a_summary_counts_what_was_told_and_the_newest_wish_for_one_stands(
    make: Make, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "LEAST_S", 20.0)

    async def ask() -> None:
        # Nothing is awaited in between, so the first has not been begun.
        await session.sum_up("Summarise the last minute", 60.0)
        await session.sum_up("Summarise the last half a minute", 14.0)
        await eventually(lambda: '"type":"summary"' in session.log.newest, "the summary")

    items = [*conversation(20, (1.0, 3.0), (10.0, 12.0)), settle, ask]
    session = make(ScriptedSource(items, live=False))
    await session.run()
    (summary,) = of(await events_of(session), "summary")
    assert (summary["query"], summary["start"], summary["end"]) == ("Summarise the last half a minute", 6.0, 20.0)
    assert summary["text"].startswith("All 4 moments were happy. ")
    assert "Speech was heard for 2 seconds, in 1 stretch." in summary["statements"]


@pytest.mark.parametrize(("text", "source"), [("All 5 moments were happy.", "model"), (None, "measured")])
async def test_a_models_own_words_are_told_where_they_hold_and_else_the_statements(
    make: Make, settle: Settle, monkeypatch: pytest.MonkeyPatch, text: str | None, source: str
) -> None:
    monkeypatch.setattr(statements, "LEAST_S", 20.0)
    summariser = ScriptedSummariser([text])

    async def ask() -> None:
        await session.sum_up("Summarise the last minute", 60.0)
        await eventually(lambda: '"type":"summary"' in session.log.newest, "the summary")

    items = [*conversation(20, (1.0, 3.0)), settle, ask]
    session = make(ScriptedSource(items, live=False), ScriptedModel(summariser=summariser))
    await session.run()
    (summary,) = of(await events_of(session), "summary")
    assert (summary["source"], list(summariser.asked[0])) == (source, summary["statements"])
    assert summary["text"] == (text or " ".join(summary["statements"]))


@pytest.mark.parametrize("instead", ["nothing", "a question"])
async def test_a_summary_that_is_late_is_measured_and_one_that_nobody_waits_for_is_given_up(
    make: Make, settle: Settle, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    monkeypatch.setattr(statements, "LEAST_S", 20.0)
    monkeypatch.setattr("realtime.summary.summaries.WRITTEN_WITHIN_S", 0.2 if instead == "nothing" else WITHIN_S)
    hold = Hold()
    summariser = ScriptedSummariser(["All 5 moments were happy."], hold=hold)

    async def ask() -> None:
        await session.sum_up("Summarise the last minute", 60.0)
        await eventually(lambda: hold.holds, "the summary's beginning")
        if instead == "nothing":
            await eventually(lambda: '"type":"summary"' in session.log.newest, "the summary")
        else:
            # The model is busy with the summary, so it has the question later.
            asked = asyncio.create_task(session.set_question(Question("Does she smile?")))
            await eventually(lambda: session._summaries._limit is None, "the end of the summary")
        hold.set()
        if instead != "nothing":
            await asked
        await settle()

    items = [*conversation(20, (1.0, 3.0)), settle, ask]
    session = make(ScriptedSource(items, live=False), ScriptedModel(summariser=summariser))
    await session.run()
    told = [event["source"] for event in of(await events_of(session), "summary")]
    assert told == (["measured"] if instead == "nothing" else [])
    assert summariser.n_closed == 1


async def test_a_summary_before_the_first_media_is_refused(make: Make) -> None:
    session = make(ScriptedSource([]))
    with pytest.raises(NoMediaYet):
        await session.sum_up("Summarise the last minute", 60.0)


async def test_of_a_file_nobody_knows_when_it_was(make: Make) -> None:
    session = make(ScriptedSource([ClockTick(0.25)], live=False))
    await session.run()
    opened = (await events_of(session))[0]
    assert (opened["started_at"], opened["stock"]) == (None, False)


async def test_of_a_model_without_an_adapter_the_first_event_says_so(make: Make) -> None:
    live = make(ScriptedSource([SourceStarted(1_764_323_439.5, 0.15), ClockTick(0.25)]), ScriptedModel(stock=True))
    file = make(ScriptedSource([ClockTick(0.25)], live=False), ScriptedModel(stock=True))
    for session, known in ((live, True), (file, False)):
        await session.run()
        opened = (await events_of(session))[0]
        assert opened["stock"]
        assert (opened["started_at"] is not None) == known


async def test_the_first_event_names_the_model_that_labels_beside_the_one_that_writes(make: Make) -> None:
    for name in (None, "nano"):
        model = ScriptedModel(label_model=name, answer_model=name)
        session = make(ScriptedSource([ClockTick(0.25)], live=False), model)
        await session.run()
        opened = (await events_of(session))[0]
        assert (opened["model"], opened["label_model"], opened["answer_model"]) == ("scripted", name, name)


async def test_a_recording_is_heard_seen_and_thought_through(make: Make) -> None:
    session = make(ScriptedSource(conversation(6, (1.0, 3.0)), live=False))
    await session.run()
    events = await events_of(session)

    assert [event["t"] for event in of(events, "frame")] == [0, 1, 2, 3, 4, 5, 6]
    assert [(event["state"], event["start"], event["end"]) for event in of(events, "speech")] == [
        ("start", 1.0, None),
        ("end", 1.0, 3.0),
    ]
    # One when speech ended, one for the rest of the file.
    assert [(event["start"], event["end"], event["frames"]) for event in of(events, "window")] == [(0, 3, 4), (0, 6, 7)]
    assert [event["speech_s"] for event in of(events, "window")] == [2.0, 2.0]
    first = [event for event in events if event.get("window") == 0]
    assert [event["type"] for event in first] == [
        "window",
        "label",
        *["reason.delta"] * len(CHAIN),
        "label",
        "reason.done",
    ]
    assert [event["source"] for event in of(first, "label")] == ["fast", "chain"]
    assert sum(of(first, "label")[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert of(first, "reason.done")[0]["sections"]["face"] == "The lip corners are pulled up."
    assert events[-1]["reason"] == "end of script"


async def test_a_recording_gives_the_same_events_every_time(make: Make) -> None:
    runs = []
    for _ in range(2):
        session = make(ScriptedSource(conversation(15, (1.0, 3.0), (5.2, 9.1)), live=False))
        await session.run()
        events = await events_of(session)
        runs.append([{k: v for k, v in event.items() if k not in ("session", "timings_ms")} for event in events])
    assert runs[0] == runs[1]


async def test_of_a_session_that_has_ended_nothing_measured_is_kept(make: Make) -> None:
    """The server keeps it for its log, which readers may still fetch."""
    session = make(ScriptedSource(conversation(6, (1.0, 3.0)), live=False))
    await session.run()
    assert session._buffer.newest_s == 6.0
    left = session._buffer.window(9, 6.0)
    assert (left.frames, left.speech) == ((), ())


async def test_without_speech_an_analysis_begins_every_four_seconds(make: Make) -> None:
    session = make(ScriptedSource(conversation(17), live=False))
    await session.run()
    windows = of(await events_of(session), "window")
    assert [(window["start"], window["end"]) for window in windows] == [(0, 4), (0, 8), (4, 12), (8, 16), (9, 17)]


async def test_every_answer_tells_how_long_its_stages_took(make: Make) -> None:
    session = make(ScriptedSource(conversation(6, (1.0, 3.0)), live=False))
    await session.run()
    timings = of(await events_of(session), "reason.done")[0]["timings_ms"]
    assert {"faces", "see", "hear", "fast", "prefill", "label", "first_word", "total"} <= set(timings)
    assert timings["hear"] <= timings["label"] <= timings["first_word"] <= timings["total"]


async def test_another_question_reaches_the_selectors_and_the_windows_after_it(make: Make) -> None:
    asked = Question("is this sarcasm?", ("sincere", "sarcastic"))
    script = conversation(9.0)
    model = ScriptedModel()

    async def ask() -> None:
        await session.set_question(asked)

    place = next(index for index, item in enumerate(script) if item == ClockTick(5.0))
    session = make(ScriptedSource([*script[:place], ask, *script[place:]], live=False), model)
    await session.run()
    events = await events_of(session)
    windows, labels = of(events, "window"), of(events, "label")
    told = [(window["query"], tuple(window["labels"])) for window in windows]
    assert told[0] == (None, model.labels)
    assert told[-1] == (asked.query, asked.labels)
    assert sorted(set(told), key=told.index) == [told[0], told[-1]]
    for label in labels:
        assert tuple(label["probabilities"]) == told[label["window"]][1]
    assert model.perceivers.asked == [Question(labels=model.labels), asked]
    assert windows[0]["people"] == [1]


async def test_a_question_that_came_while_the_engine_opened_the_session_reaches_the_selectors(make: Make) -> None:
    asked = Question("is this sarcasm?", ("sincere", "sarcastic"))
    model = ScriptedModel()

    async def ask() -> None:
        await session.set_question(asked)

    session = make(ScriptedSource([ask, *conversation(5.0)], live=False), model)
    await session.run()
    assert model.perceivers.asked == [Question(labels=model.labels), asked]
    assert {window["query"] for window in of(await events_of(session), "window")} == {asked.query}


def released_at(at_s: float, hold: Hold, settle: Settle, items: list[Scripted]) -> list[Scripted]:
    """The items, with time for the stages after each frame and each moment at which a window may be due."""
    items = list(items)
    items.insert(next(index for index, item in enumerate(items) if item == ClockTick(at_s)), hold.set)
    script: list[Scripted] = []
    for item in items:
        script.append(item)
        if isinstance(item, VideoFrame) or item is hold.set or (isinstance(item, ClockTick) and item.at_s % 4 == 0):
            script.append(settle)
    return [*script, settle]


async def test_a_slow_chain_gives_way_to_another_question(make: Make, settle: Settle) -> None:
    """Its words stay; nobody who asks something else waits for the rest of them."""
    asked = Question("is this sarcasm?", ("sincere", "sarcastic"))
    hold = Hold()
    script = released_at(12.0, hold, settle, conversation(29))

    async def ask() -> None:
        # The model takes it once it goes on; media do not wait for that.
        asking.append(asyncio.create_task(session.set_question(asked)))

    asking: list[asyncio.Task[None]] = []
    script.insert(script.index(ClockTick(8.0)), ask)
    session = make(ScriptedSource(script), ScriptedModel(thinker=ScriptedThinker(hold=hold)))
    await session.run()
    await asking[0]
    events = await events_of(session)
    first, *later = of(events, "window")
    assert first["query"] is None
    assert {event["query"] for event in later} == {asked.query}
    assert first["window"] in {event["window"] for event in of(events, "reason.delta")}
    done = {event["window"] for event in of(events, "reason.done")}
    assert done
    assert done <= {event["window"] for event in later}
    # The one that gave way, and three quiet moments while the session was behind.
    assert session.state()["skipped_windows"] == 4


class WithoutEnd(ScriptedThinker):
    """Answers questions. Without one it never comes to a word, as an argument that is held back for long."""

    n_endless = 0

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str | None] = []
        "What each chain that was begun is asked."

    def reason(
        self, window: Window, question: Question, said: Words = unsaid, *, again_s: float | None = None
    ) -> Iterator[Step | None]:
        self.begun.append(question.query)
        while question.query is None:
            self.n_endless += 1
            yield None
        yield from super().reason(window, question, said, again_s=again_s)


async def test_a_chain_without_words_gives_way_too(make: Make) -> None:
    asked = Question("is this sarcasm?", ("sincere", "sarcastic"))
    thinker = WithoutEnd()

    async def ask() -> None:
        await eventually(lambda: thinker.n_endless)
        await session.set_question(asked)

    async def keep_up() -> None:
        await eventually(lambda: session.lag_s == 0)

    async def until_answered() -> None:
        # The last frame's job comes between two steps of the chain, whenever that is.
        async for line in session.log.read(as_reader=False):
            if json.loads(line)["type"] == "reason.done":
                return

    items = conversation(29)
    items.insert(items.index(ClockTick(8.25)), ask)
    script = [each for item in items for each in ((item, keep_up) if isinstance(item, VideoFrame) else (item,))]
    session = make(ScriptedSource([*script, until_answered]), ScriptedModel(thinker=thinker))
    await asyncio.wait_for(session.run(), WITHIN_S)
    events = await events_of(session)
    done = {event["window"] for event in of(events, "reason.done")}
    assert done
    assert done <= {event["window"] for event in of(events, "window") if event["query"] == asked.query}
    assert len([event for event in of(events, "window") if event["query"] is None]) == 2
    assert thinker.begun.count(None) == 1, "the second was labelled before the question, and its chain not begun"


async def test_a_machine_too_slow_does_without_step_by_step_and_comes_back(make: Make, settle: Settle) -> None:
    """The worker hangs in a chain from the fourth second to the twelfth; each step is told, down and back up."""
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    session = make(ScriptedSource(released_at(12.0, hold, settle, conversation(29))), model)
    await session.run()
    events = await events_of(session)
    told = [event["reduced"] for event in of(events, "lag")]
    steps = [step for step, before in zip(told, [None, *told[:-1]], strict=True) if step != before]
    assert steps == ["nothing", "chains", "windows", "frames", "windows", "chains", "nothing"]
    assert [window["end"] for window in of(events, "window")] == [4, 20, 24, 28]
    assert of(events, "reason.done"), "the chains went on once there was time"
    last = of(events, "lag")[-1]
    assert last["skipped_frames"] > 2
    assert last["skipped_windows"] >= 3


async def test_speech_is_labelled_whatever_is_done_without(make: Make, settle: Settle) -> None:
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    session = make(ScriptedSource(released_at(12.0, hold, settle, conversation(14, (9.0, 10.0)))), model)
    await session.run()
    events = await events_of(session)
    assert "frames" in [event["reduced"] for event in of(events, "lag")]
    assert [label["window"] for label in of(events, "label") if label["source"] == "fast"] == [0, 1]
    assert [window["end"] for window in of(events, "window")] == [4, 10]


async def test_frames_a_slow_machine_cannot_see_are_counted_and_told(make: Make, settle: Settle) -> None:
    hold = Hold()
    model = ScriptedModel(perceivers=ScriptedPerceiver(hold=hold))

    async def release() -> None:
        hold.set()
        await settle()

    items = [*conversation(3), release, *map(ClockTick, (3.25, 4.0, 5.0))]
    # The loop must turn, so that the first frame is taken before the second comes.
    session = make(ScriptedSource([part for item in items for part in (item, settle)]), model)
    await session.run()
    events = await events_of(session)
    assert [event["t"] for event in of(events, "frame")] == [0, 3]
    assert of(events, "lag")[-1] | {"skipped_frames": 2} == of(events, "lag")[-1]
    assert max(event["seconds"] for event in of(events, "lag")) >= 2
    assert of(events, "lag")[-1]["seconds"] == 0


async def test_utterances_a_slow_machine_cannot_hear_are_counted_and_waited_for_no_more(
    make: Make, settle: Settle
) -> None:
    hold = Hold()
    model = ScriptedModel(perceivers=ScriptedPerceiver(hold=hold))

    async def release() -> None:
        hold.set()
        await settle()

    spoken = [(at_s, at_s + 1.0) for at_s in range(1, 15, 2)]
    items = [*conversation(16, *spoken), release, *map(ClockTick, (16.25, 17.0, 18.0))]
    session = make(ScriptedSource([part for item in items for part in (item, settle)]), model)
    await session.run()
    events = await events_of(session)
    # One is being heard and four may wait.
    assert len([label for label in of(events, "label") if label["source"] == "fast"]) == 5
    assert session.state()["skipped_windows"] >= 2
    assert of(events, "lag")[-1]["seconds"] == 0


async def test_a_chain_waits_while_the_machine_is_slow_and_then_goes_on(make: Make, settle: Settle) -> None:
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    words_while_slow: list[int] = []

    async def release() -> None:
        hold.set()
        await settle()
        words_while_slow.append(sum('"reason.delta"' in entry.line for entry in session.log._entries))

    # The frame waits behind the chain's first word, and after that word the lag is still known to be large.
    slow: list[Scripted] = [picture(0.0), ClockTick(4.0), settle, picture(5.0)]
    slow += [*(ClockTick(5.0 + n / 4) for n in range(7)), release]
    calm: list[Scripted] = [part for n in range(16) for part in (ClockTick(6.75 + n / 4), settle)]
    session = make(ScriptedSource([*slow, *calm]), model)
    await session.run()
    events = await events_of(session)
    assert [event["reduced"] for event in of(events, "lag")][-2:] == ["chains", "nothing"]
    assert words_while_slow == [1]
    assert of(events, "reason.done")[0]["window"] == 0


async def test_speech_is_answered_before_a_quiet_moment_is_thought_through(make: Make, settle: Settle) -> None:
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))

    async def release() -> None:
        hold.set()
        await settle()

    # The quiet chain waits for its first word, in the worker, when somebody speaks up.
    items: list[Scripted] = [picture(0.0), ClockTick(4.0), settle, SpeechStarted(4.1), speech(4.1, 5.0), release]
    session = make(ScriptedSource(items), model)
    await session.run()
    events = await events_of(session)
    assert [done["window"] for done in of(events, "reason.done")] == [1, 0]


@pytest.mark.parametrize("live", [True, False])
async def test_a_call_is_heard_ahead_and_a_recording_is_not(make: Make, settle: Settle, live: bool) -> None:
    model, pause = ScriptedModel(), SpeechSoFar(speech(1.0, 2.0), paused=True)
    session = make(ScriptedSource([SpeechStarted(1.0), pause, settle, speech(1.0, 2.0), settle], live=live), model)
    await session.run()
    assert model.perceivers.heard_ahead == ([pause] if live else [])
    assert [event["state"] for event in of(await events_of(session), "speech")] == ["start", "end"]


async def test_states_of_the_input_are_said_once_and_once_when_over(make: Make) -> None:
    dark = [picture(float(at_s), level=0) for at_s in range(4)]
    light = [picture(float(at_s)) for at_s in range(4, 6)]
    session = make(ScriptedSource([*dark, *light], live=False))
    await session.run()
    told = [(event["code"], event["over"], event["t"]) for event in of(await events_of(session), "error")]
    assert told == [("too_dark", False, 2), ("too_dark", True, 4)]


async def test_a_frozen_picture_no_face_and_a_muted_microphone(make: Make) -> None:
    frame = picture(0.0)
    frozen = [type(frame)(float(at_s), frame.rgb_HW3) for at_s in range(7)]
    model = ScriptedModel(perceivers=ScriptedPerceiver(faces=0))
    session = make(ScriptedSource([*frozen, ClockTick(6.5)], live=False, silent_s=5.5), model)
    await session.run()
    codes = [event["code"] for event in of(await events_of(session), "error")]
    assert sorted(codes) == ["camera_frozen", "muted", "no_face"]


@pytest.mark.parametrize(("has_video", "has_audio", "code"), [(False, True, "no_video"), (True, False, "no_audio")])
async def test_a_missing_track_is_a_state_and_the_other_goes_on(
    make: Make, has_video: bool, has_audio: bool, code: str
) -> None:
    items = [item for item in conversation(5, (1.0, 2.0)) if has_audio or isinstance(item, ClockTick) or has_video]
    if not has_video:
        items = [item for item in items if not isinstance(item, type(picture(0.0)))]
    session = make(ScriptedSource(items, live=False, has_video=has_video, has_audio=has_audio))
    await session.run()
    events = await events_of(session)
    assert [event["code"] for event in of(events, "error")] == [code]
    assert of(events, "reason.done")


async def test_a_model_that_fails_is_told_and_the_session_lives(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    model = ScriptedModel(
        perceivers=ScriptedPerceiver(fail_at_s=(1.0, 2.0)), thinker=ScriptedThinker(fail_windows=(0,))
    )
    session = make(ScriptedSource(conversation(9), live=False), model)
    await session.run()
    events = await events_of(session)
    assert [(event["code"], event["over"]) for event in of(events, "error")] == [
        ("see_failed", False),
        ("see_failed", True),
        ("reason_failed", False),
        ("reason_failed", True),
    ]
    assert [event["t"] for event in of(events, "frame")] == [0, 3, 4, 5, 6, 7, 8, 9]
    assert [done["window"] for done in of(events, "reason.done")] == [1, 2]


async def test_stopping_frees_everything_at_once(make: Make, settle: Settle) -> None:
    model = ScriptedModel()

    async def forever() -> None:
        await asyncio.Event().wait()

    session = make(ScriptedSource([*conversation(5), forever]), model)
    running = asyncio.create_task(session.run())
    await settle()
    n_tasks = len(asyncio.all_tasks())
    session.stop("enough")
    await asyncio.wait_for(running, WITHIN_S)
    await settle()
    assert len(asyncio.all_tasks()) == n_tasks - 12  # Its own, media, stop, and nine stages.
    assert model.perceivers.closed
    assert (await events_of(session))[-1]["reason"] == "enough"


async def test_a_chain_given_up_is_closed_in_the_worker(make: Make, settle: Settle) -> None:
    hold = Hold()
    model = ScriptedModel(thinker=ScriptedThinker(hold=hold))
    session = make(ScriptedSource([picture(0.0), ClockTick(4.0), settle]), model)
    await session.run()
    assert model.thinker.n_closed == 0
    hold.set()
    await settle()
    assert model.thinker.n_closed == 1


async def test_a_source_that_fails_is_told_and_raised(make: Make) -> None:
    class Broken(ScriptedSource):
        async def items(self) -> AsyncGenerator[Item, None]:
            async for item in super().items():
                yield item
            raise NotMedia("The file ends in the middle.", "Fetch it again.")

    session = make(Broken([picture(0.0)], live=False))
    with pytest.raises(NotMedia):
        await session.run()
    events = await events_of(session)
    assert of(events, "error")[0]["hint"] == "Fetch it again."
    assert events[-1]["reason"] == "The file ends in the middle."


async def test_no_network_path_is_said_in_plain_words(make: Make) -> None:
    session = make(ScriptedSource([], reason="no path"))
    await session.run()
    assert of(await events_of(session), "error")[0]["code"] == "no_path"


async def test_the_log_of_the_program_has_no_words_and_no_feelings(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await make(ScriptedSource(conversation(6, (1.0, 3.0)), live=False)).run()
    assert caplog.text
    for word in ("happy", "moderate", "lip corners", "jaw_drop"):
        assert word not in caplog.text


def with_cue_frames(script: list[Scripted], *at_s: float) -> list[Scripted]:
    """The script with cue frames at these times, each before the first item that is later."""
    mixed: list[Scripted] = []
    waiting = sorted(at_s)
    for item in script:
        while waiting and isinstance(item, VideoFrame | ClockTick) and item.at_s > waiting[0]:
            mixed.append(CueFrame(waiting.pop(0), picture(0.0).rgb_HW3))
        mixed.append(item)
    return mixed


async def test_faces_are_measured_between_frames_and_the_voice_finds_its_face(make: Make) -> None:
    tenths = [n / 10 for n in range(1, 60) if n % 10]
    model = ScriptedModel(perceivers=ScriptedPerceiver(speaks_s=(1.0, 4.0)))
    session = make(ScriptedSource(with_cue_frames(conversation(6, (1.0, 4.0)), *tenths), live=False), model)
    await session.run()
    events = await events_of(session)
    measured = [event["t"] for event in of(events, "cues") if event["face"]]
    assert set(tenths) < set(measured)
    assert len(of(events, "frame")) == 7
    assert [label["speaker"] for label in of(events, "label")][:2] == [1, 1]


async def test_a_session_that_is_behind_measures_no_face_between_frames(make: Make, settle: Settle) -> None:
    hold = Hold()
    script = with_cue_frames(conversation(8), *(n / 4 + 0.1 for n in range(30)))
    model = ScriptedModel(perceivers=ScriptedPerceiver(hold=hold))
    # Nothing is seen before the fifth second, and then all of it.
    held: list[Scripted] = []
    for item in script:
        held += [hold.set, item] if item == ClockTick(5.0) else [item]
    session = make(ScriptedSource([part for item in held for part in (item, settle)]), model)
    await session.run()
    assert 5 < session.state()["skipped_cue_frames"] < 30
    assert of(await events_of(session), "lag")[-1]["skipped_cue_frames"] > 0


@pytest.mark.parametrize("reads", [True, False])
async def test_a_model_that_reads_words_is_told_them(make: Make, monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(HostClient, "tell_words", lambda _client, window, said: told.append((window.index, said)))
    source = ScriptedSource(conversation(4, (1.0, 3.0)), live=False)
    session = make(source, ScriptedModel(words=reads), ScriptedTranscriber("so it is"))
    await session.run()
    (words,) = of(await events_of(session), "words")
    assert told == ([(words["window"], "so it is")] if reads else [])


@pytest.mark.parametrize("live", [True, False])
async def test_words_come_after_the_label_of_their_stretch(make: Make, settle: Settle, live: bool) -> None:
    # A recording waits by itself for each step; a live session is given the time here.
    step: list[Scripted] = [settle] if live else []
    script = [each for item in conversation(6, (1.0, 3.0)) for each in (item, *step)]
    session = make(ScriptedSource(script, live=live), transcriber=ScriptedTranscriber("so it is"))
    await session.run()
    events = await events_of(session)
    (words,) = of(events, "words")
    assert (words["start"], words["end"], words["text"], words["language"]) == (1.0, 3.0, "so it is", "en")
    (window,) = (event for event in of(events, "window") if event["end"] == 3.0)
    (label,) = (e for e in of(events, "label") if e["window"] == window["window"] and e["source"] == "fast")
    assert label["seq"] < words["seq"]
    assert (words["window"], words["probabilities"], words["against_face"]) == (window["window"], None, None)


async def test_words_are_compared_with_the_face_and_the_voice_of_their_window(make: Make) -> None:
    """The scripted face and voice both say happy to 0.6. The same words are at no distance, angry ones at some."""
    same = dict.fromkeys(LABELS, 0.4 / 6) | {"happy": 0.6}
    angry = dict.fromkeys(LABELS, 0.0) | {"angry": 1.0}
    for said, expected in ((same, pytest.approx(0, abs=1e-6)), (angry, pytest.approx(0.82, abs=0.001))):
        transcriber = ScriptedTranscriber("so it is", probabilities=said)
        session = make(ScriptedSource(conversation(4, (1.0, 3.0)), live=False), transcriber=transcriber)
        await session.run()
        (words,) = of(await events_of(session), "words")
        assert words["probabilities"] == pytest.approx(said, abs=1e-5)
        assert (words["against_face"], words["against_voice"]) == (expected, expected)
    session = make(ScriptedSource(conversation(4, (1.0, 3.0)), live=False), transcriber=transcriber)
    await session.set_question(Question(labels=("yes", "no")))
    await session.run()
    (words,) = of(await events_of(session), "words")
    assert (words["against_face"], words["against_voice"]) == (None, None)


async def test_a_label_waits_for_no_words_and_a_slow_transcriber_leaves_out_the_oldest(
    make: Make, settle: Settle
) -> None:
    """Four stretches while the first is still being written down: two may wait, and one is left out and counted."""
    transcriber = ScriptedTranscriber("so it is")
    transcriber.go_on.clear()
    seen: list[int] = []

    async def all_labelled() -> None:
        await settle()
        seen.append(session.n_windows)
        transcriber.go_on.set()

    spoken = [(float(at_s), at_s + 0.8) for at_s in (1, 3, 5, 7)]
    between: list[Scripted] = [step for item in conversation(8, *spoken) for step in (item, settle)]
    session = make(ScriptedSource([*between, all_labelled, settle, settle]), transcriber=transcriber)
    await session.run()
    events = await events_of(session)
    assert seen[0] >= 4
    assert [event["start"] for event in of(events, "words")] == [1.0, 5.0, 7.0]
    assert session.state()["skipped_words"] == 1


async def test_words_that_are_not_trusted_give_no_event_and_a_broken_transcriber_is_told_once(make: Make) -> None:
    doubted = make(ScriptedSource(conversation(4, (1.0, 2.0)), live=False), transcriber=ScriptedTranscriber(None))
    await doubted.run()
    assert not of(await events_of(doubted), "words")
    broken = ScriptedTranscriber(
        "so it is", fails_with=WordsStopped("What writes the words down has stopped.", "Go on.")
    )
    session = make(ScriptedSource(conversation(6, (1.0, 2.0), (3.0, 4.0)), live=False), transcriber=broken)
    await session.run()
    events = await events_of(session)
    assert [event["code"] for event in of(events, "error") if event["code"] == "words_failed"] == ["words_failed"]
    assert len(of(events, "reason.done")) >= 2


async def test_without_a_transcriber_and_for_what_is_no_voice_nothing_is_written_down(make: Make) -> None:
    session = make(ScriptedSource(conversation(4, (1.0, 2.0)), live=False))
    await session.run()
    assert not session.writes_words
    assert not of(await events_of(session), "words")
    transcriber = ScriptedTranscriber("so it is")
    noisy = ScriptedModel(perceivers=ScriptedPerceiver(kind="noise"))
    session = make(ScriptedSource(conversation(4, (1.0, 2.0)), live=False), noisy, transcriber)
    await session.run()
    assert transcriber.asked == []
    assert "no_voice" in {event["code"] for event in of(await events_of(session), "error")}
