"""Traces: each stage and analysis is told of, nothing of what was seen, said or felt is, and they reach a collector."""

from __future__ import annotations

import http.server
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime.engine.local import LocalEngine
from realtime.engine.worker import ModelWorker
from realtime.errors import BadSettings
from realtime.observe import logs, tracing
from realtime.observe.metrics import Metrics
from realtime.records import LABELS, SECTIONS
from realtime.session import Session
from realtime.settings import Settings
from realtime.settings_sources import load
from tests.scripted import CHAIN, ScriptedModel, ScriptedSource, ScriptedThinker, conversation

EXPORTER = "opentelemetry.exporter.otlp.json.http.trace_exporter"
"The logger of the exporter."


@contextmanager
def kept() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.through(provider):
        yield exporter
    provider.shutdown()


async def analysed(model: ScriptedModel) -> tuple[ReadableSpan, ...]:
    """The spans of eight seconds of a conversation, a sentence in the middle."""
    with kept() as exporter, ModelWorker() as worker:
        session = Session(
            source=ScriptedSource(conversation(8, (1.0, 3.0)), live=False),
            engine=LocalEngine(model, worker),
            settings=Settings(),
            metrics=Metrics(),
        )
        token = logs.session.set(session.id[:8])
        try:
            await session.run()
        finally:
            logs.session.reset(token)
        return exporter.get_finished_spans()


async def test_an_analysis_is_one_trace_with_its_stages_in_it() -> None:
    spans = await analysed(ScriptedModel())
    analyses = [span for span in spans if span.name == "analysis"]
    assert [span.attributes["spoken"] for span in analyses if span.attributes].count(True) == 1
    for analysis in analyses:
        children = {span.name for span in spans if span.parent and span.parent.span_id == analysis.context.span_id}
        assert analysis.attributes is not None
        assert children == {"fast", "reason"} | ({"hear"} if analysis.attributes["spoken"] else set())
        assert {"window", "frames", "speech_s", "session"} <= set(analysis.attributes)
    assert len([span for span in spans if span.name == "see"]) == 9
    assert all(span.status.is_ok or span.status.is_unset for span in spans)


async def test_what_fails_is_marked_by_its_type_alone() -> None:
    spans = await analysed(ScriptedModel(thinker=ScriptedThinker(fail_windows=(0,))))
    (failed,) = [span for span in spans if span.status.description]
    assert (failed.name, failed.status.description) == ("reason", "RuntimeError")


async def test_spans_hold_no_words_and_no_feelings() -> None:
    spans = await analysed(ScriptedModel())
    told = json.dumps([[span.name, dict(span.attributes or {}), span.status.description] for span in spans]).lower()
    for word in (*LABELS, *SECTIONS, *(text.strip(" .").lower() for _, text in CHAIN)):
        # Whole words: the hexadecimal digits of an id may well begin with `face`.
        assert not re.search(rf"\b{re.escape(word)}\b", told), word
    texts = {value for span in spans for value in (span.attributes or {}).values() if isinstance(value, str)}
    assert all(len(text) == 8 for text in texts)


class Collector(http.server.BaseHTTPRequestHandler):
    bodies: ClassVar[list[dict[str, Any]]]

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_spans_reach_the_collector_that_was_named_and_say_who_their_parent_is() -> None:
    class CollectorOfOneTest(Collector):
        bodies: ClassVar[list[dict[str, Any]]] = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), CollectorOfOneTest) as collector:
        threading.Thread(target=collector.serve_forever, name="collector", daemon=True).start()
        with tracing.exporting(f"http://127.0.0.1:{collector.server_port}/v1/traces"):
            analysis = tracing.begin("analysis", spoken=True, window=7, speech_s=1.5)
            with tracing.span("fast", analysis):
                pass
            analysis.end()
        collector.shutdown()
    spans = [
        span
        for body in CollectorOfOneTest.bodies
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    fast, whole = sorted(spans, key=lambda span: span["name"] == "analysis")
    assert fast["parentSpanId"] == whole["spanId"]
    assert fast["traceId"] == whole["traceId"]
    assert int(whole["startTimeUnixNano"]) <= int(fast["startTimeUnixNano"]) <= int(whole["endTimeUnixNano"])
    assert {"key": "window", "value": {"intValue": "7"}} in whole["attributes"]
    assert {"key": "spoken", "value": {"boolValue": True}} in whole["attributes"]
    about = CollectorOfOneTest.bodies[0]["resourceSpans"][0]["resource"]["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "emothinker"}} in about
    assert tracing.begin("over") is tracing.NOTHING


def test_a_collector_that_is_not_there_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with (
        http.server.HTTPServer(("127.0.0.1", 0), Collector) as nobody,
        caplog.at_level(logging.WARNING, logger=EXPORTER),
    ):
        url = f"http://127.0.0.1:{nobody.server_port}"
        nobody.server_close()
        with tracing.exporting(url), tracing.span("open"):
            pass
    assert [record.name for record in caplog.records] == [EXPORTER]


def test_without_a_collector_nothing_is_traced_and_a_bad_address_is_refused() -> None:
    with tracing.exporting(None):
        assert tracing.begin("see") is tracing.NOTHING
    with pytest.raises(BadSettings, match="trace_url"):
        load(flags={"server.trace_url": "127.0.0.1:4318"})
