"""One line of records.jsonl, and its JSON Schema."""

from __future__ import annotations

from typing import Any

from realtime.reason.prompt import INTENSITIES, SECTIONS, UNSURE
from realtime.records import LABELS
from train.coet.annotators import LEVELS
from train.coet.observe import SeenClip
from train.readers.clip import Clip

VERSION = 1
STATUSES = ("done", "dropped", "failed")


def head(clip: Clip) -> dict[str, Any]:
    """The fields that every record has, also a failed one."""
    return {
        "v": VERSION,
        "key": clip.key,
        "clip": {
            "path": str(clip.path),
            "label": clip.label,
            "speaker": clip.speaker,
            "split": clip.split,
            "start_s": clip.start_s,
            "end_s": clip.end_s,
            "votes": dict(clip.votes),
            **({"text": clip.text} if clip.text else {}),
        },
    }


def failed(clip: Clip, reason: str, annotators: dict[str, Any] | None = None) -> dict[str, Any]:
    """The record of a clip that could not be annotated."""
    return {**head(clip), "status": "failed", "reason": reason, "annotators": annotators or {}}


def judged(seen: SeenClip, status: str, reason: str, chosen: str, annotators: dict[str, Any]) -> dict[str, Any]:
    """The record of an annotated clip, `done` or `dropped`. `chosen` names the annotator whose chain is used."""
    record = {**head(seen.clip), "status": status, "reason": reason, "annotators": annotators, "measured": seen.facts()}
    if status == "done":
        record |= {"annotator": chosen, "sections": annotators[chosen]["think"]}
    return record


TEXT = {"type": "string"}
NUMBER_OR_NULL = {"type": ["number", "null"]}
SECTIONS_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string", "minLength": 1} for name in SECTIONS},
    "required": list(SECTIONS),
    "additionalProperties": False,
}
ANNOTATION_SCHEMA = {
    "type": "object",
    "properties": {
        "describe": {
            "type": "object",
            "properties": {"vision": {"type": "array"}, "audio": {"type": "array"}},
            "required": ["vision", "audio"],
        },
        "question": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"level": {"enum": list(LEVELS)}, "question": TEXT, "answer": TEXT},
                "required": ["level", "question", "answer"],
            },
        },
        "think": SECTIONS_SCHEMA,
        "attempts": {"type": "integer", "minimum": 1},
        "objections": {"type": "array", "items": {"type": "object"}},
        "failed": TEXT,
    },
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "CoET record",
    "description": f"One annotated clip. Labels: {', '.join(LABELS)}; {UNSURE}. Intensities: {', '.join(INTENSITIES)}.",
    "type": "object",
    "properties": {
        "v": {"const": VERSION},
        "key": TEXT,
        "clip": {
            "type": "object",
            "properties": {
                "path": TEXT,
                "label": TEXT,
                "speaker": TEXT,
                "split": TEXT,
                "start_s": NUMBER_OR_NULL,
                "end_s": NUMBER_OR_NULL,
                "votes": {"type": "object", "additionalProperties": {"type": "number"}},
                "text": TEXT,
            },
            "required": ["path", "label"],
        },
        "status": {"enum": list(STATUSES)},
        "reason": TEXT,
        "annotator": TEXT,
        "sections": SECTIONS_SCHEMA,
        "annotators": {"type": "object", "additionalProperties": ANNOTATION_SCHEMA},
        "measured": {"type": "object"},
    },
    "required": ["v", "key", "clip", "status", "reason", "annotators"],
    "if": {"properties": {"status": {"const": "done"}}},
    "then": {"required": ["annotator", "sections", "measured"]},
}
