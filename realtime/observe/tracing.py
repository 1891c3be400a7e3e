"""OpenTelemetry traces, where `--trace URL` asks for them (`pip install 'emothinker[otel]'`).

    open                            an offer, until it is answered
    see                             a frame
    analysis ─┬─ hear               from the moment that it was due until its chain is written
              ├─ fast
              └─ reason

Spans hold stages, durations, counts, and the first eight letters of a session's id. They hold no words, no faces and no
feelings, and of an exception only its type, because its message could hold any of those.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from realtime.errors import ExtraMissing
from realtime.observe import logs

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer, TracerProvider

ANSWER_WITHIN_S = 3.0
"For a batch, retries included."

_tracer: Tracer | None = None
"The tracer of this process. None: traces are off."


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a trace. Without a tracer it does nothing and costs nothing."""

    inner: OtelSpan | None = None

    def tell(self, **attributes: str | bool | int | float) -> None:
        if self.inner is not None:
            self.inner.set_attributes(attributes)

    def fail(self, error: BaseException) -> None:
        if self.inner is not None:
            from opentelemetry.trace import Status, StatusCode

            self.inner.set_status(Status(StatusCode.ERROR, type(error).__name__))

    def end(self) -> None:
        if self.inner is not None:
            self.inner.end()


NOTHING = Span()


def begin(name: str, parent: Span = NOTHING, **attributes: str | bool | int | float) -> Span:
    """Begin a span. The caller has to end it."""
    if _tracer is None:
        return NOTHING
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    # The parent is passed and not taken from the context, because a session's tasks outlive what began them.
    context = Context() if parent.inner is None else set_span_in_context(parent.inner, Context())
    session = {"session": logs.session.get()} if logs.session.get() else {}
    return Span(_tracer.start_span(name, context, attributes={**session, **attributes}))


@contextmanager
def span(name: str, parent: Span = NOTHING, **attributes: str | bool | int | float) -> Iterator[Span]:
    """A span that ends with the `with` block. An exception marks it as failed and is raised on."""
    begun = begin(name, parent, **attributes)
    try:
        yield begun
    except Exception as error:
        begun.fail(error)
        raise
    finally:
        begun.end()


@contextmanager
def through(provider: TracerProvider) -> Iterator[None]:
    """Spans of this process go to that provider for as long."""
    global _tracer
    before, _tracer = _tracer, provider.get_tracer("realtime", version("emothinker"))
    try:
        yield
    finally:
        _tracer = before


@contextmanager
def exporting(url: str | None) -> Iterator[None]:
    """Send spans to the collector at `url` (OTLP over HTTP, as JSON), in batches, from a thread of their own.

    None: there are no spans. A collector that does not answer is logged once and costs nothing but the spans, and up
    to `ANSWER_WITHIN_S` at the end. Raises ExtraMissing where OpenTelemetry is missing.
    """
    if url is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.json.http import trace_exporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ExtraMissing("Traces need OpenTelemetry, which is not here.", "pip install 'emothinker[otel]'") from error
    about = Resource.create({"service.name": "emothinker", "service.version": version("emothinker")})
    provider = TracerProvider(resource=about, shutdown_on_exit=False)
    exporter = trace_exporter.OTLPSpanExporter(url, timeout=ANSWER_WITHIN_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    once = _Once()
    exporters_log = logging.getLogger(trace_exporter.__name__)
    exporters_log.addFilter(once)
    try:
        with through(provider):
            yield
    finally:
        provider.shutdown()
        exporters_log.removeFilter(once)


class _Once(logging.Filter):
    """Lets one record through. The exporter would log each batch and each retry of a collector that is not there."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = False

    def filter(self, record: logging.LogRecord) -> bool:
        passed, self._passed = self._passed, True
        return not passed
