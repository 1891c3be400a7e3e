"""A model of EmoChat's method that reads words: at first it judges as one of EmoThinker's, and words may be off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from realtime.engine.loading import LoadedModel, load
from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.model import checkpoint
from realtime.observe.metrics import Metrics
from realtime.records import SpeechSegment
from realtime.session import Session
from realtime.settings import Settings
from tests.ingest.media_files import voice
from tests.model.taught import taught_emochat
from tests.reason.windows import BOTH
from tests.scripted import ScriptedSource, ScriptedTranscriber, conversation
from train.evaluation.judged import judgements
from train.tuning.initial_model import let_it_read, save_additions, with_additions

pytestmark = pytest.mark.slow

WORDS = "What a lovely day."
Reading = Callable[[str], LoadedModel]


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """nano with words as a model of EmoThinker's method, as a new emochat, or as one that has learnt something."""

    def make(kind: str) -> LoadedModel:
        model, emotion = with_additions(
            checkpoint.NANO,
            selector_dim=64,
            cues=True,
            ring=None,
            method=None if kind == "emothinker" else "emochat",
            words=True,
            dtype=torch.float32,
        )
        let_it_read(model, emotion, words=True, measured=False)
        folder = tmp_path_factory.mktemp("reading")
        save_additions(taught_emochat(model) if kind == "learnt" else model, emotion, folder)
        return load("nano", adapter=folder, engine="torch")

    made: dict[str, LoadedModel] = {}
    return lambda kind: made.setdefault(kind, make(kind))


def judged(model: LoadedModel, said: str) -> dict[str, float]:
    (found,) = judgements(model, [("happy", replace(BOTH, said=said))])
    return dict(found.judged)


def test_a_new_one_judges_bit_for_bit_as_one_without_and_words_move_what_has_learnt(reading: Reading) -> None:
    for said in (WORDS, ""):
        assert judged(reading("new"), said) == judged(reading("emothinker"), said)
    assert judged(reading("learnt"), WORDS) != judged(reading("new"), WORDS)
    assert judged(reading("learnt"), "") == judged(reading("new"), ""), "without words nothing is added"


async def events_of(model: LoadedModel, *, words: bool) -> list[dict[str, Any]]:
    """What a session says about three seconds with a sentence. `words`: the server writes down what is said."""
    script = [
        replace(item, samples_N=voice(2.0)) if isinstance(item, SpeechSegment) else item
        for item in conversation(4, (1.0, 3.0))
    ]
    metrics = Metrics()
    with ModelWorker(metrics) as worker:
        session = Session(
            source=ScriptedSource(script, live=False),
            engine=LocalEngine(model, worker),
            settings=Settings(),
            metrics=metrics,
            transcriber=ScriptedTranscriber(WORDS) if words else None,
        )
        await session.run()
    return [json.loads(line) async for line in session.log.read()]


async def test_a_session_gives_it_the_words_and_goes_on_where_words_are_off(reading: Reading) -> None:
    plain = await events_of(reading("emothinker"), words=False)
    for words in (True, False):
        events = await events_of(reading("learnt"), words=words)
        assert of(events, "error", "message") == of(plain, "error", "message"), "a hint about the sound, and no more"
        assert len(of(events, "reason.done", "answer")) == len(of(plain, "reason.done", "answer")) > 0
        assert any(of(events, "reason.done", "words_read")) == words


def of(events: list[dict[str, Any]], kind: str, field: str) -> list[Any]:
    return [event[field] for event in events if event["type"] == kind]
