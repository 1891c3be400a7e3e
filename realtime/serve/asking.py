"""The question and the labels of a session, from a request's JSON and back.

    {"query": "is this sarcasm?", "labels": ["sincere", "sarcastic"]}

Either may be null or left out; then the model's own question or labels are meant. Only plain words on one line are
taken, so nobody can write the marks that structure a prompt.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from realtime.errors import BadAsk, BadRequest
from realtime.reason.prompt import UNSURE
from realtime.records import MAX_LABEL_CHARS, MAX_LABELS, MAX_QUERY_CHARS, MIN_LABELS, Question

MAX_BYTES = 4_096
_JOINERS = "\u200c\u200d"
"They shape letters within words of Indian languages and Persian; Unicode counts them among the control characters."
_IN_LABELS = "_'’ -" + _JOINERS
_MAX_MARKS = 4
"Most marks on one letter. Vietnamese has two, Thai and Devanagari up to three."


def question_from(body: bytes, default_labels: tuple[str, ...]) -> Question:
    """Read a request's body. Raises BadRequest if it is no JSON object, BadAsk if no model could take the question."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.", 'Send {"query": "…", "labels": ["…", "…"]}.') from error
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.", 'Send {"query": "…", "labels": ["…", "…"]}.')
    unknown = sorted(set(value) - {"query", "labels"})
    if unknown:
        raise BadAsk(f"{unknown[0][:40]!r} is not part of a question.", "It has query and labels.")
    return Question(_query(value.get("query")), _labels(value.get("labels"), default_labels))


def as_json(question: Question) -> dict[str, Any]:
    """The question in the form that `question_from` reads."""
    return {"query": question.query, "labels": list(question.labels)}


def _query(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadAsk("The question is not text.", "Send it as a string, or null for the default one.")
    query = unicodedata.normalize("NFC", " ".join(value.split()))
    if not query:
        return None
    if len(query) > MAX_QUERY_CHARS:
        raise BadAsk(f"The question has {len(query)} characters.", f"Ask in {MAX_QUERY_CHARS} or fewer.")
    # <|im_end|> and <answer> would be read as the prompt's own marks.
    if not _plain(query) or any(mark in query for mark in "<>|"):
        raise BadAsk("The question has characters that it may not.", "Use plain words, without < > and |.")
    return query


def _labels(value: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise BadAsk("The labels are not a list of texts.", "Send a list of strings, or null for the model's own.")
    labels = tuple(unicodedata.normalize("NFC", " ".join(label.split())) for label in value)
    if not MIN_LABELS <= len(labels) <= MAX_LABELS:
        raise BadAsk(f"There are {len(labels)} labels.", f"Give {MIN_LABELS} to {MAX_LABELS}.")
    for label in labels:
        if len(label) > MAX_LABEL_CHARS or not _is_label(label):
            raise BadAsk(f"{label[:40]!r} cannot be a label.", f"Give a word or two, up to {MAX_LABEL_CHARS} letters.")
        if label.casefold() == UNSURE:
            raise BadAsk(f"{label!r} is always possible, so it is no label.", "Leave it out.")
    if len({label.casefold() for label in labels}) < len(labels):
        raise BadAsk("A label is there twice.", "Name each once.")
    return labels


def _plain(text: str) -> bool:
    """Whether the text has nothing that does not print, apart from joiners."""
    return text.translate(dict.fromkeys(map(ord, _JOINERS))).isprintable()


def _is_label(text: str) -> bool:
    """A letter, then letters of any script with their marks, digits, spaces, hyphens and apostrophes."""
    kinds = [unicodedata.category(character)[0] for character in text]
    marks = "".join(kinds)
    return (
        kinds[:1] == ["L"]
        and all(kind in "LMN" or character in _IN_LABELS for kind, character in zip(kinds, text, strict=True))
        and "M" * (_MAX_MARKS + 1) not in marks
    )
