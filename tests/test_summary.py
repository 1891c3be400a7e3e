"""A summary of the sample's sentences, on nano's own labels and measurements."""

from __future__ import annotations

import asyncio
import json

import pytest

from realtime.engine.loading import LoadedModel
from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.ingest.media import MediaSource
from realtime.observe.metrics import Metrics
from realtime.sample import SAMPLE
from realtime.session import Session
from realtime.settings import Settings
from realtime.summary import statements

pytestmark = pytest.mark.slow


async def test_the_sample_is_summed_up_from_what_nano_told_of_it(
    nano: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sample is shorter than a minute.
    monkeypatch.setattr(statements, "LEAST_S", 5.0)
    settings = Settings()
    source = await asyncio.to_thread(MediaSource.open, str(SAMPLE), ingest=settings.ingest, speech=settings.speech)
    with ModelWorker() as worker:
        engine = LocalEngine(nano, worker)
        session = Session(source=source, engine=engine, settings=settings, metrics=Metrics())
        running = asyncio.create_task(session.run())
        events = []
        async for line in session.log.read():
            events.append(json.loads(line))
            if events[-1]["type"] == "reason.done" and events[-1]["window"] == 1:
                await session.sum_up("Summarise the last minute", 60.0)
            if events[-1]["type"] == "summary":
                break
        session.stop("enough")
        await running
    summary = events.pop()
    last = {event["window"]: event["label"] for event in events if event["type"] == "label"}
    assert summary["source"] == "measured"
    assert summary["text"] == " ".join(summary["statements"])
    n_moments = f"{len(last)} moments"
    assert n_moments in summary["statements"][0]
    for label in set(last.values()):
        assert label in summary["statements"][0]
    assert any(sentence.startswith("Speech was heard for") for sentence in summary["statements"])
