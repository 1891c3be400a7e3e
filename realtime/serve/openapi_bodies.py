"""JSON Schemas of what the HTTP calls take and answer, for `openapi.py`. Events give their own."""

from __future__ import annotations

from realtime.records import MAX_LABEL_CHARS, MAX_LABELS, MAX_QUERY_CHARS, MIN_LABELS
from realtime.serve import marks

PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with a code for programs and a hint for people.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
        "labels": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of `unknown_labels`: those that the model does not know.",
        },
    },
}
SESSION = {
    "type": "object",
    "required": [
        "id",
        "name",
        "state",
        "model",
        "readers",
        "t",
        "seq",
        "windows",
        "lag_s",
        "skipped_frames",
        "skipped_windows",
        "skipped_cue_frames",
        "skipped_words",
        "words",
        "ask",
        "recorded",
    ],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": ["string", "null"], "description": "What it was called when it was opened."},
        "readers": {"type": "integer", "description": "Event sockets and recordings that keep it from being idle."},
        "state": {"enum": ["live", "ended"]},
        "model": {"type": "string"},
        "t": {"type": "number", "description": "Media seconds."},
        "seq": {"type": "integer", "description": "Number of the newest event."},
        "windows": {"type": "integer"},
        "lag_s": {"type": "number"},
        "skipped_frames": {"type": "integer"},
        "skipped_windows": {"type": "integer"},
        "skipped_cue_frames": {"type": "integer", "description": "Measurements between frames that were left out."},
        "skipped_words": {"type": "integer", "description": "Stretches of speech whose words were left out."},
        "words": {"type": "boolean", "description": "Whether what is said is written down."},
        "ask": {"$ref": "#/components/schemas/Ask"},
        "recorded": {"enum": ["events", "media", None], "description": "What is kept of it."},
    },
}
ASK = {
    "type": "object",
    "description": "What is asked of the next windows. Whatever is left out or null goes back to the default.",
    "additionalProperties": False,
    "properties": {
        "query": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_QUERY_CHARS},
        "labels": {
            "type": ["array", "null"],
            "minItems": MIN_LABELS,
            "maxItems": MAX_LABELS,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_LABEL_CHARS},
        },
    },
}
ASKED = {
    "type": "object",
    "description": "The question that the next windows are asked.",
    "required": ["query", "labels"],
    "properties": {
        "query": {"type": ["string", "null"]},
        "labels": {"type": "array", "items": {"type": "string"}},
        "summary_s": {
            "type": "number",
            "description": "Only where a summary was asked for: of how many of the last seconds. It comes as an event.",
        },
    },
}
SESSIONS = {
    "type": "object",
    "required": ["sessions"],
    "properties": {"sessions": {"type": "array", "items": {"$ref": "#/components/schemas/Session"}}},
}
TICKET = {
    "type": "object",
    "required": ["ticket", "expires_in_s"],
    "properties": {
        "ticket": {"type": "string"},
        "id": {"type": "string", "description": "Of a lasting ticket: what it is revoked by."},
        "expires_in_s": {"type": ["number", "null"], "description": "Null: it lasts until it is revoked."},
    },
}
ALIVE = {"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}
READY = {
    "type": "object",
    "required": ["status", "model", "engine"],
    "properties": {"status": {"const": "ready"}, "model": {"type": "string"}, "engine": {"type": "string"}},
}
CONFIG = {
    "type": "object",
    "required": ["version", "model", "engine", "labels", "sections", "max_sessions", "token_required", "ice_servers"],
    "properties": {
        "version": {"type": "string"},
        "model": {"type": "string"},
        "adapters": {"type": "array", "items": {"type": "string"}},
        "engine": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "sections": {"type": "array", "items": {"type": "string"}},
        "window_s": {"type": "number"},
        "every_s": {"type": "number"},
        "max_sessions": {"type": "integer"},
        "words": {"type": "boolean", "description": "Whether what is said is written down of those who agree."},
        "record": {"enum": ["events", "media", None], "description": "What is kept at most of those who agree."},
        "record_days": {"type": ["number", "null"]},
        "passed_on": {"type": "array", "items": {"enum": ["lsl", "mqtt", "osc"]}},
        "token_required": {"type": "boolean"},
        "ice_servers": {
            "type": "array",
            "description": "RTCIceServer, as browsers take it",
            "items": {"type": "object", "required": ["urls"]},
        },
    },
}
EVENT_SCHEMA = {
    "type": "object",
    "description": "A JSON Schema, draft 2020-12, of every event of a session. Each has a definition of its own.",
    "required": ["$schema", "title", "oneOf", "$defs"],
    "properties": {
        "$schema": {"const": "https://json-schema.org/draft/2020-12/schema"},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "oneOf": {"type": "array", "items": {"type": "object", "required": ["$ref"]}},
        "$defs": {"type": "object", "additionalProperties": {"type": "object"}},
    },
}
OPEN_API = {
    "type": "object",
    "description": "OpenAPI 3.1. What it cannot say of WebSockets is in its extension x-websockets.",
    "required": ["openapi", "info", "components", "paths", "x-websockets"],
    "properties": {
        "openapi": {"const": "3.1.0"},
        "info": {"type": "object", "required": ["title", "version"]},
        "components": {"type": "object"},
        "paths": {"type": "object", "propertyNames": {"pattern": "^/"}},
        "x-websockets": {
            "type": "object",
            "description": "By path: what each WebSocket takes and gives.",
            "propertyNames": {"pattern": "^/"},
            "additionalProperties": {"type": "object", "required": ["summary", "security"]},
        },
    },
}
MARK = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": marks.MAX_NAME_CHARS},
        "data": {
            "type": ["object", "null"],
            "maxProperties": marks.MAX_VALUES,
            "propertyNames": {"minLength": 1, "maxLength": marks.MAX_NAME_CHARS},
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
    },
}
