"""A session's events as those of the Realtime API: speech that begins and ends, and a response for each analysis."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from realtime.publish.events import (
    ErrorEvent,
    Event,
    LabelEvent,
    ReasonDeltaEvent,
    ReasonDoneEvent,
    SpeechEvent,
)
from realtime.serve.openai.messages import told, user_message

FAILURES = ("_failed", "_lost", "_stopped")
"Endings of the codes that are told as errors. Others are hints for a person, such as that nobody is seen."


@dataclass
class Response:
    """The response to one analysis."""

    window: int
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(8)}")
    item_id: str = field(default_factory=lambda: f"item_{secrets.token_hex(8)}")
    metadata: dict[str, str] = field(default_factory=dict)
    text: str = ""
    section: str = ""

    def as_json(self, status: str) -> dict[str, Any]:
        ended = status != "in_progress"
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "output_modalities": ["text"],
            "output": [self.item(self.text)] if ended and self.text else [],
            "metadata": self.metadata,
        }

    def item(self, text: str | None = None) -> dict[str, Any]:
        content = [] if text is None else [{"type": "output_text", "text": text}]
        status = "in_progress" if text is None else "completed"
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    @property
    def place(self) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": self.item_id, "output_index": 0, "content_index": 0}


class Turns:
    """Translates the events of one session, in their order."""

    def __init__(self) -> None:
        self._last_item: str | None = None
        self._speech_item = ""
        self._response: Response | None = None

    def of(self, event: Event) -> Iterator[dict[str, Any]]:
        """The events that tell the client of this one; nothing for most."""
        match event:
            case SpeechEvent(state="start"):
                self._speech_item = f"item_{secrets.token_hex(8)}"
                yield told(
                    "input_audio_buffer.speech_started",
                    audio_start_ms=round(event.start * 1000),
                    item_id=self._speech_item,
                )
            case SpeechEvent():
                yield from self._spoken(event)
            case LabelEvent():
                yield from self._labelled(event)
            case ReasonDeltaEvent():
                yield from self._written(event)
            case ReasonDoneEvent():
                yield from self._answered(event)
            case ErrorEvent() if not event.over and event.code.endswith(FAILURES):
                yield from self._failed(event)

    def added(self, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """An item that is complete as it comes."""
        yield told("conversation.item.added", previous_item_id=self._last_item, item=item)
        yield told("conversation.item.done", previous_item_id=self._last_item, item=item)
        self._last_item = item["id"]

    def _spoken(self, event: SpeechEvent) -> Iterator[dict[str, Any]]:
        end_ms = round((event.end or event.start) * 1000)
        yield told("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=self._speech_item)
        yield told("input_audio_buffer.committed", previous_item_id=self._last_item, item_id=self._speech_item)
        yield from self.added(user_message(self._speech_item, [{"type": "input_audio", "transcript": None}]))

    def _labelled(self, event: LabelEvent) -> Iterator[dict[str, Any]]:
        begun = self._response is None or self._response.window != event.window
        response = self._of(event.window)
        response.metadata = {
            "window": str(event.window),
            "t": f"{event.t:g}",
            "label": event.label,
            "source": event.source,
            "probabilities": json.dumps(dict(event.probabilities)),
        }
        for name, affect in (("valence", event.valence), ("arousal", event.arousal)):
            if affect is not None:
                response.metadata[name] = f"{affect.value:g}"
        if event.conflict is not None:
            response.metadata["conflict"] = f"{event.conflict.score:g}"
        if begun:
            yield told("response.created", response=response.as_json("in_progress"))

    def _written(self, event: ReasonDeltaEvent) -> Iterator[dict[str, Any]]:
        if self._response is None or self._response.window != event.window:
            # Its label failed, and the chain goes on all the same.
            yield told("response.created", response=self._of(event.window).as_json("in_progress"))
        response = self._of(event.window)
        if not response.text:
            yield told("response.output_item.added", response_id=response.id, output_index=0, item=response.item())
            yield told("conversation.item.added", previous_item_id=self._last_item, item=response.item())
            part = {"type": "text", "text": ""}
            yield told("response.content_part.added", **response.place, part=part)
        delta = event.text
        if event.section != response.section:
            gap = "\n" if response.text else ""
            delta = f"{gap}{event.section}: {event.text.lstrip()}"
            response.section = event.section
        response.text += delta
        yield told("response.output_text.delta", **response.place, delta=delta)

    def _answered(self, event: ReasonDoneEvent) -> Iterator[dict[str, Any]]:
        response, self._response = self._of(event.window), None
        item = response.item(response.text)
        yield told("response.output_text.done", **response.place, text=response.text)
        yield told("response.content_part.done", **response.place, part={"type": "text", "text": response.text})
        yield told("response.output_item.done", response_id=response.id, output_index=0, item=item)
        yield told("conversation.item.done", previous_item_id=self._last_item, item=item)
        self._last_item = response.item_id
        yield told("response.done", response=response.as_json("completed"))

    def _failed(self, event: ErrorEvent) -> Iterator[dict[str, Any]]:
        error = {"type": "server_error", "code": event.code, "message": f"{event.message} {event.hint}".strip()}
        yield told("error", error=error)
        if event.code == "reason_failed" and self._response is not None:
            response, self._response = self._response, None
            details = {"type": "failed", "error": {"type": "server_error", "code": event.code}}
            yield told("response.done", response=response.as_json("failed") | {"status_details": details})

    def _of(self, window: int) -> Response:
        if self._response is None or self._response.window != window:
            self._response = Response(window)
        return self._response
