"""What a client of the Realtime API sends, checked, and the shape of what it is told."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from realtime.errors import BadPayload, RealtimeError
from realtime.ingest.pushed import AskNow, Pushed, Shown, Sound, SpeechIsOver
from realtime.ingest.uploads import read_upload

RATE_HZ = 24_000
"Of `pcm16`, the one format of sound that is taken."
SUPPORTED = (
    "session.update, input_audio_buffer.append, input_audio_buffer.commit, conversation.item.create and "
    "response.create are taken"
)
EXAMPLE = 'Send {"type": "input_audio_buffer.append", "audio": "<Base64 of pcm16>"}.'


def read_event(text: str) -> dict[str, Any]:
    """The event as an object with a type. Raises BadPayload."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPayload("The event is not JSON.", EXAMPLE) from error
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadPayload("The event is not an object with a type.", EXAMPLE)
    return value


def pieces(event: Mapping[str, Any]) -> list[Pushed]:
    """The media of an event, and what it asks for. Blocks: it decodes pictures.

    Raises BadPayload, and for pictures what `read_upload` raises.
    """
    match event["type"]:
        case "input_audio_buffer.append":
            return [_sound(event.get("audio"), "audio")]
        case "input_audio_buffer.commit":
            return [SpeechIsOver()]
        case "response.create":
            return [AskNow()]
        case "conversation.item.create":
            return [_piece(content) for content in _contents(event.get("item"))]
    raise BadPayload(f"{event['type'][:60]!r} is not taken here.", f"Of OpenAI's events, {SUPPORTED}.")


def _contents(item: Any) -> list[Mapping[str, Any]]:
    contents = item.get("content") if isinstance(item, Mapping) and item.get("type") == "message" else None
    if not isinstance(contents, list) or not contents or not all(isinstance(each, Mapping) for each in contents):
        raise BadPayload("item is no message with content.", "Send a user's message with input_image or input_audio.")
    return contents


def _piece(content: Mapping[str, Any]) -> Pushed:
    match content.get("type"):
        case "input_image":
            return _picture(content.get("image_url"))
        case "input_audio":
            return _sound(content.get("audio"), "audio")
    raise BadPayload(
        f"Content of the type {str(content.get('type'))[:40]!r} is not read.",
        "Send input_image or input_audio. A question is set by instructions, in session.update.",
    )


def _picture(url: Any) -> Shown:
    head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        # An address is never fetched: this server asks nobody for anything.
        raise BadPayload("image_url is no picture in itself.", "Send it as data:image/jpeg;base64,…")
    pictures = read_upload(_decoded(data, "image_url")).pictures
    if not pictures:
        raise BadPayload("image_url holds no picture.", "Send a JPEG, PNG or WebP.")
    return Shown(pictures[0].rgb_HW3)


def _sound(data: Any, name: str) -> Sound:
    pcm = _decoded(data, name)
    if len(pcm) % 2:
        raise BadPayload(f"{name} ends in half a sample.", f"Send 16-bit samples at {RATE_HZ} Hz, mono.")
    return Sound(np.frombuffer(pcm, "<i2").astype(np.int16), RATE_HZ)


def _decoded(data: Any, name: str) -> bytes:
    if not isinstance(data, str):
        raise BadPayload(f"{name} is missing, or no text.", "Send it in Base64.")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPayload(f"{name} is not Base64.", "Encode its bytes.") from error


def instructions(event: Mapping[str, Any]) -> str | None:
    """The question that `session.update` sets; None where it sets none. Raises BadPayload for what is not offered."""
    session = event.get("session")
    if not isinstance(session, Mapping) or session.get("type", "realtime") != "realtime":
        raise BadPayload("session is no object of the type realtime.", 'Send {"type": "realtime"}.')
    if session.get("output_modalities", ["text"]) != ["text"]:
        raise BadPayload("Only text is given, no sound.", 'Leave output_modalities out, or send ["text"].')
    audio = session.get("audio")
    given = audio.get("input") if isinstance(audio, Mapping) else None
    form = given.get("format") if isinstance(given, Mapping) else None
    if form is not None and form not in ({"type": "audio/pcm", "rate": RATE_HZ}, {"type": "audio/pcm"}):
        raise BadPayload("The sound has another format.", f"Send 16-bit samples at {RATE_HZ} Hz, mono (audio/pcm).")
    query = session.get("instructions")
    if query is not None and not isinstance(query, str):
        raise BadPayload("instructions is no text.", "Send a question of up to 200 characters.")
    return query


# What the client is told.


def told(kind: str, **fields: Any) -> dict[str, Any]:
    """One event for the client."""
    return {"type": kind, "event_id": f"event_{secrets.token_hex(8)}", **fields}


def session_of(session_id: str, model: str, query: str | None) -> dict[str, Any]:
    """The session as the client knows it."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["text"],
        "instructions": query or "",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": RATE_HZ},
                "turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": False},
            }
        },
    }


def user_message(item_id: str, contents: list[dict[str, Any]]) -> dict[str, Any]:
    """An item of the user, without its media."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": contents,
    }


def failure(error: RealtimeError, caused_by: Any = None) -> dict[str, Any]:
    """The event `error`, for what is wrong with an event of the client."""
    cause = {"event_id": caused_by} if isinstance(caused_by, str) else {}
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return told("error", error={"type": kind, "code": error.code, "message": str(error), **cause})
