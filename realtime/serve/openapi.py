"""The HTTP interface as OpenAPI 3.1, served at `/openapi.json`: its calls. `openapi_bodies.py` has what they carry.

OpenAPI 3.1 knows no WebSockets. They stand beside the paths in an extension of ours, `x-websockets`, in like shapes.
"""

from __future__ import annotations

from typing import Any, get_args

from realtime.publish.events import Event
from realtime.publish.schema import definitions
from realtime.serve.openapi_bodies import (
    ALIVE,
    ASK,
    ASKED,
    CONFIG,
    EVENT_SCHEMA,
    MARK,
    OPEN_API,
    PROBLEM,
    READY,
    SESSION,
    SESSIONS,
    TICKET,
)


def describe_api(version: str) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "EmoThinker live",
            "version": version,
            "summary": "WHIP in, events out.",
            "description": (
                "Events of a session come over a WebSocket, one JSON object each: one of the schemas here whose names "
                "end in Event, or all of /schema/events.json. OpenAPI describes no WebSockets, so the extension "
                "x-websockets does: by path, in the shapes of operations."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Where --token is set."},
                "operator": {"type": "http", "scheme": "bearer", "description": "Of --operator-token-file."},
                "secret": {"type": "http", "scheme": "bearer", "description": "Session-Secret of the WHIP answer."},
                "lasting": {"type": "http", "scheme": "bearer", "description": "A lasting ticket of the session."},
            },
            "parameters": {
                "id": {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "description": "The session's id, or the name it was given",
                    "schema": {"type": "string"},
                },
            },
            "schemas": definitions("#/components/schemas/")
            | {"Problem": PROBLEM, "Session": SESSION, "Ask": ASK, "Asked": ASKED, "Mark": MARK}
            | {"Sessions": SESSIONS, "Ticket": TICKET, "Config": CONFIG, "Alive": ALIVE, "Ready": READY}
            | {"Event": _any_event("#/components/schemas/"), "EventSchema": EVENT_SCHEMA, "OpenApi": OPEN_API},
        },
        "paths": {
            "/whip": {
                "post": OPEN,
                "options": OPTIONS,
                **{method: _refused(method, "POST, OPTIONS") for method in ("get", "head", "put", "patch", "delete")},
            },
            "/sessions": {
                "get": _secured(
                    "sessions",
                    "The sessions that are open",
                    {"200": _json("Their states", "Sessions"), **_problems(401, 403, 429)},
                    by=("operator",),
                )
            },
            "/sessions/{id}": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "get": _secured(
                    "state",
                    "State of a session",
                    {"200": _json("Its state", "Session"), **_problems(401, 403, 404, 429)},
                    by=("secret", "lasting", "operator"),
                ),
                "delete": _secured(
                    "end",
                    "End a session and free everything it holds",
                    {"200": {"description": "Ended"}, **_problems(401, 403, 404, 429)},
                ),
                # Neither trickle ICE nor ICE restarts: the answer has all candidates (RFC 9725, section 4.3).
                "patch": _refused("patchSession", "GET, HEAD, DELETE"),
            },
            "/sessions/{id}/ask": {"parameters": [{"$ref": "#/components/parameters/id"}], "put": PUT_ASK},
            "/sessions/{id}/record": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "delete": _secured(
                    "forget",
                    "Delete what was kept of a session, running or over",
                    {"200": {"description": "Deleted"}, **_problems(401, 403, 404, 429, 503)},
                    by=("secret",),
                ),
            },
            "/sessions/{id}/marks": {"parameters": [{"$ref": "#/components/parameters/id"}], "post": POST_MARK},
            "/sessions/{id}/tickets": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "post": POST_TICKET,
                "delete": _secured(
                    "revokeAll",
                    "Revoke every lasting ticket of the session, and close their sockets",
                    {"200": {"description": "Revoked"}, **_problems(401, 403, 404, 429)},
                    by=("secret", "operator"),
                ),
            },
            "/sessions/{id}/tickets/{ticket}": {
                "parameters": [
                    {"$ref": "#/components/parameters/id"},
                    {
                        "name": "ticket",
                        "in": "path",
                        "required": True,
                        "description": "The id that came with the lasting ticket",
                        "schema": {"type": "string"},
                    },
                ],
                "delete": _secured(
                    "revoke",
                    "Revoke a lasting ticket, and close its sockets",
                    {"200": {"description": "Revoked"}, **_problems(401, 403, 404, 429)},
                    by=("secret", "operator"),
                ),
            },
            "/healthz": {"get": _open("alive", "The process answers", "Alive")},
            "/readyz": {
                "get": {
                    "operationId": "ready",
                    "summary": "The model answers",
                    "responses": {"200": _json("Ready", "Ready"), **_problems(403, 429, 503)},
                }
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Prometheus metrics",
                    "responses": {
                        "200": {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}},
                        **_problems(403, 429),
                    },
                }
            },
            "/schema/events.json": {
                "get": _open("eventSchema", "JSON Schema of every event", "EventSchema", "application/schema+json")
            },
            "/openapi.json": {"get": _open("openapi", "This description", "OpenApi")},
            "/api/config": {"get": _open("config", "What the page needs to know", "Config")},
            "/": {"get": _page("page", "The page, which opens a session of this browser's camera and microphone")},
            "/watch": {"get": _page("watch", "The page that shows a session: /watch#session=ID&key=KEY")},
            "/overlay": {"get": _page("overlay", "A session's answer in large letters: /overlay#session=ID&key=KEY")},
        },
        "x-websockets": WEBSOCKETS,
    }


def _any_event(at: str) -> dict[str, Any]:
    return {
        "description": "One event of a session; its type tells which.",
        "oneOf": [{"$ref": f"{at}{kind.__name__}"} for kind in get_args(Event)],
        "discriminator": {
            "propertyName": "type",
            "mapping": {kind.type: f"{at}{kind.__name__}" for kind in get_args(Event)},
        },
    }


def _json(description: str, schema: str, kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _problems(*statuses: int) -> dict[str, Any]:
    words = {
        400: "The body is not what was asked for",
        401: "The token is missing or wrong",
        403: "Another site's page, or another server's name",
        404: "No such session, adapter or ticket",
        405: "Not a method of this address; Allow names those that are",
        408: "The body did not arrive in time",
        409: "Not as things are: the session has ended, a name is taken, tickets are out",
        413: "Too large",
        415: "The body is not application/sdp",
        422: "The body can be read, but not used; its hint says why",
        429: "Too many requests; Retry-After says when to come back",
        503: "Not now; Retry-After says when, where it is known",
    }
    return {str(status): _json(words[status], "Problem", "application/problem+json") for status in statuses}


def _open(name: str, summary: str, schema: str, kind: str = "application/json") -> dict[str, Any]:
    responses = {"200": _json("OK", schema, kind), **_problems(403, 429)}
    return {"operationId": name, "summary": summary, "responses": responses}


def _page(name: str, summary: str) -> dict[str, Any]:
    html = {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}}
    return {"operationId": name, "summary": summary, "responses": {"200": html, **_problems(403, 429, 503)}}


def _secured(name: str, summary: str, responses: dict[str, Any], by: tuple[str, ...] = ()) -> dict[str, Any]:
    """An operation that takes any of these keys; without any, the token where one is set, or the operator's."""
    security: list[dict[str, Any]] = [{key: []} for key in by] or [{}, {"token": []}, {"operator": []}]
    return {"operationId": name, "summary": summary, "security": security, "responses": responses}


def _refused(name: str, allow: str) -> dict[str, Any]:
    """A method that RFC 9725 has senders try, or servers refuse."""
    responses = _problems(403, 405, 429)
    responses["405"]["headers"] = {"Allow": _header(allow)}
    return {"operationId": f"refuse{name.capitalize()}", "summary": "Refused", "responses": responses}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


OPTIONS = {
    "operationId": "iceServers",
    "summary": "STUN and TURN servers, for senders that need them before they make an offer (RFC 9725, section 4.6)",
    "security": [{}, {"token": []}],
    "responses": {
        "204": {
            "description": "Relays are named only to who may open a session",
            "headers": {
                "Link": _header('One for each server: <URL>; rel="ice-server"'),
                "Accept-Post": _header("application/sdp"),
                "Allow": _header("POST, OPTIONS"),
            },
        },
        **_problems(403, 429),
    },
}
OPEN = _secured(
    "open",
    "Open a session: WHIP (RFC 9725)",
    {
        "201": {
            "description": "The SDP answer",
            "headers": {
                "Location": _header("/sessions/{id}"),
                "Session-Secret": _header("For tickets, state and questions"),
                "Link": _header("STUN and TURN servers, as of OPTIONS"),
            },
            "content": {"application/sdp": {"schema": {"type": "string"}}},
        },
        **_problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
    },
) | {
    "requestBody": {"required": True, "content": {"application/sdp": {"schema": {"type": "string"}}}},
    "parameters": [
        {
            "name": "adapter",
            "in": "query",
            "description": "One of /api/config's adapters",
            "schema": {"type": "string"},
        },
        {
            "name": "name",
            "in": "query",
            "description": "What the session is called beside its id, for as long as it is open",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        },
        {
            "name": "record",
            "in": "query",
            "description": "What may be kept of the session, where --record keeps anything; left out: nothing",
            "schema": {"enum": ["events", "media"]},
        },
        {
            "name": "words",
            "in": "query",
            "description": "true: what is said may be written down, where the server does that (speech.words)",
            "schema": {"enum": ["true", "false"], "default": "false"},
        },
    ],
}
PUT_ASK = _secured(
    "ask",
    "Ask another question, or for labels of one's own, from the next window on; or for a summary of the last minutes",
    {"200": _json("What is asked now", "Asked"), **_problems(400, 401, 403, 404, 408, 409, 413, 422, 429)},
    by=("secret", "operator"),
) | {"requestBody": _json("The question", "Ask") | {"required": True}}
POST_MARK = _secured(
    "mark",
    "Mark this moment",
    {"201": _json("The mark as an event", "MarkEvent"), **_problems(400, 401, 403, 404, 408, 409, 413, 422, 429)},
    by=("secret", "operator"),
) | {"requestBody": _json("The mark", "Mark") | {"required": True}}
POST_TICKET = _secured(
    "ticket",
    "A ticket for one event socket, good for half a minute; or, for secret and operator, a lasting one",
    {"201": _json("The ticket", "Ticket"), **_problems(400, 401, 403, 404, 409, 429)},
    by=("secret", "lasting", "operator"),
) | {
    "parameters": [
        {
            "name": "lasting",
            "in": "query",
            "description": "true: good until it is revoked or the session ends. It is sent as a bearer token.",
            "schema": {"enum": ["true", "false"], "default": "false"},
        }
    ]
}
WEBSOCKETS = {
    "/sessions/{id}/events": {
        "summary": "A session's events, each once and in order",
        "security": [],
        "parameters": [
            {"$ref": "#/components/parameters/id"},
            {
                "name": "ticket",
                "in": "query",
                "required": True,
                "description": "From /sessions/{id}/tickets, good for one socket and half a minute",
                "schema": {"type": "string"},
            },
            {
                "name": "after",
                "in": "query",
                "description": "Only events after this number",
                "schema": {"type": "integer", "minimum": 0, "default": 0},
            },
        ],
        "gives": _json("One event a message", "Event"),
        "closes": {
            "1000": "The session has ended",
            "1008": "The lasting ticket was revoked, or the reader sent messages",
            "1013": "Nothing was taken for a while; come back with after",
        },
        "refuses": _problems(400, 401, 403, 404, 429, 503),
    },
    "/v0/stream/models": {
        "summary": "Pictures and sounds in the shapes of Hume's expression measurement (docs/from-hume.md)",
        "security": [{}, {"token": []}, {"operator": []}],
        "closes": {"1008": "Nothing came, the answers are not read, or the connection has lasted as long as it may"},
        "refuses": _problems(401, 403, 429, 503),
    },
    "/v1/realtime": {
        "summary": "A session for clients of OpenAI's Realtime API (docs/api.md)",
        "security": [{}, {"token": []}, {"operator": []}],
        "parameters": [
            {
                "name": "name",
                "in": "query",
                "description": "What the session is called beside its id, for as long as it is open",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
            }
        ],
        "closes": {"1000": "The session has ended", "1008": "Nothing came, or the events are not read"},
        "refuses": _problems(400, 401, 403, 409, 429, 503),
    },
}
"By path: what each takes, gives, and is closed with; `refuses` answers the handshake."
