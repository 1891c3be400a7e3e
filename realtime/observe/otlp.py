"""Spans to a collector, as OTLP over HTTP in its JSON form.

OpenTelemetry's own exporter is not used: it wants protobuf 5, and MediaPipe ends below that. The JSON form needs none;
every collector takes it where it takes the other (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
"""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

ANSWER_WITHIN_S = 5.0


class OtlpExporter(SpanExporter):
    """Called from the thread of a BatchSpanProcessor, which bounds what waits and drops the rest."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._failing = False
        # To that address and to no other, whatever the environment says of proxies.
        self._http = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        body = json.dumps(encoded(spans)).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with self._http.open(request, timeout=ANSWER_WITHIN_S):
                self._failing = False
                return SpanExportResult.SUCCESS
        # Refused, cut off or too late, and every answer that is no success.
        except OSError as error:
            if not self._failing:
                logger.warning("the collector of traces takes none: %s", error)
            self._failing = True
            return SpanExportResult.FAILURE


def encoded(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """ExportTraceServiceRequest; all spans have the resource of the first, as one provider made them."""
    scope = {"name": "realtime"}
    about = {"attributes": _attributes(spans[0].resource.attributes)} if spans else {}
    return {"resourceSpans": [{"resource": about, "scopeSpans": [{"scope": scope, "spans": [*map(_span, spans)]}]}]}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    parent = {} if span.parent is None else {"parentSpanId": f"{span.parent.span_id:016x}"}
    return {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        **parent,
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
    }


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            # Of 64 bits, which JSON's numbers are not.
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value)}
