"""The question and the labels of a session, from a request's JSON and back.

    {"query": "do face and voice agree?", "labels": ["joy", "anger"]}

Either may be null or left out; then the model's own question or labels are meant. Only plain words on one line are
taken, so nobody can write the marks that structure a prompt. What nobody is judged for (`declined.py`) is refused for
every model. A question for a summary of the last minutes (`summary.py`) is none of a window.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from realtime.asking.declined import declined, declined_label
from realtime.asking.emotion_words import own_labels, unknown
from realtime.asking.languages import NOT_KNOWN, language_of, translated
from realtime.asking.restated import about, restated
from realtime.asking.summary import summary_asked
from realtime.errors import BadAsk, BadRequest, NotJudged, UnknownLabels, quoted
from realtime.reason.prompt import UNSURE
from realtime.records import LABELS, MAX_LABEL_CHARS, MAX_LABELS, MAX_QUERY_CHARS, MIN_LABELS, OwnLabel, Question

MAX_BYTES = 4_096
ASK_INSTEAD = "Ask about what can be seen or heard: the expression, the voice, or how both go together."
_JOINERS = "\u200c\u200d"
"They shape letters within words of Indian languages and Persian; Unicode counts them among the control characters."
_IN_LABELS = "_'’ -" + _JOINERS
_MAX_MARKS = 4
"Most marks on one letter. Vietnamese has two, Thai and Devanagari up to three."


@dataclass(frozen=True)
class SummaryWanted:
    """A request for a summary in place of a question."""

    query: str
    last_s: float
    "Of how many seconds."


def question_from(
    body: bytes, default_labels: tuple[str, ...], *, open_labels: bool = False
) -> Question | SummaryWanted:
    """Read a request's body. Raises BadRequest if it is no JSON object, and what `question_of` raises."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.", 'Send {"query": "…", "labels": ["…", "…"]}.') from error
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.", 'Send {"query": "…", "labels": ["…", "…"]}.')
    unknown = sorted(set(value) - {"query", "labels"})
    if unknown:
        raise BadAsk(f"{unknown[0][:40]!r} is not part of a question.", "It has query and labels.")
    query, labels = value.get("query"), value.get("labels")
    if isinstance(query, str) and (last_s := summary_asked(query)) is not None:
        return SummaryWanted(_query(query) or "", last_s)
    return question_of(query, labels, default_labels, open_labels=open_labels)


def question_of(
    query: Any, labels: Any, default_labels: tuple[str, ...] = LABELS, *, open_labels: bool = False
) -> Question:
    """The question with these labels, either of which may be None.

    A model without `open_labels` reads the question in words that it was trained on (`read`). It chooses from its own
    labels, `default_labels`, and its choice is told in those given.

    Raises BadAsk if no model could take the question, or this one not in its language; NotJudged if none may;
    UnknownLabels if this one does not know a label.
    """
    asked, given = _query(query), _labels(labels, default_labels)
    if summary_asked(asked) is not None:
        raise BadAsk("A summary is told once, of a live session.", "Ask for it on the page, or with PUT …/ask.")
    if open_labels:
        return Question(asked, given)
    strange = () if given == default_labels else unknown(given)
    own = () if strange or given == default_labels else own_labels(given)
    question = Question(asked, default_labels, own) if asked is None else read(asked, default_labels, own)
    if strange:
        raise UnknownLabels(strange, default_labels)
    return question


def read(query: str, labels: tuple[str, ...] = LABELS, own: tuple[OwnLabel, ...] = ()) -> Question:
    """The question as a small model is asked, and a rule tells: in known words, with what it is about.

    `restated.py` reads English, `languages.py` others. Raises BadAsk for one that is plainly in another language and of
    no kind that is known in it.
    """
    if found := translated(query):
        return Question(query, labels, own, found.text, found.language, about(query, found.text))
    read_as = restated(query)
    language = language_of(query)
    if read_as is None and language in NOT_KNOWN:
        raise BadAsk(*NOT_KNOWN[language])
    return Question(query, labels, own, None if read_as == query else read_as, "en", about(query, read_as))


def as_json(question: Question) -> dict[str, Any]:
    """The question in the form that `question_from` reads."""
    return {"query": question.query, "labels": list(question.told_labels)}


def _query(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadAsk("The question is not text.", "Send it as a string, or null for the default one.")
    query = unicodedata.normalize("NFC", " ".join(value.split()))
    if not query:
        raise BadAsk("The question is empty.", "Ask something, or leave the question out for the model's own.")
    if len(query) > MAX_QUERY_CHARS:
        raise BadAsk(f"The question has {len(query)} characters.", f"Ask in {MAX_QUERY_CHARS} or fewer.")
    # <|im_end|> and <answer> would be read as the prompt's own marks.
    if not _plain(query) or any(mark in query for mark in "<>|"):
        raise BadAsk("The question has characters that it may not.", "Use plain words, without < > and |.")
    if topic := declined(query):
        raise NotJudged(f"EmoThinker does not judge {topic}.", ASK_INSTEAD)
    return query


def _labels(value: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    if value is None:
        return default
    if not isinstance(value, list | tuple) or not all(isinstance(label, str) for label in value):
        raise BadAsk("The labels are not a list of texts.", "Send a list of strings, or null for the model's own.")
    labels = tuple(unicodedata.normalize("NFC", " ".join(label.split())) for label in value)
    if not MIN_LABELS <= len(labels) <= MAX_LABELS:
        there = "There is 1 label." if len(labels) == 1 else f"There are {len(labels)} labels."
        raise BadAsk(there, f"Give {MIN_LABELS} to {MAX_LABELS}.")
    for label in labels:
        if not label:
            raise BadAsk("A label is empty.", f"Give a word or two, up to {MAX_LABEL_CHARS} letters.")
        if len(label) > MAX_LABEL_CHARS or not _is_label(label):
            raise BadAsk(
                f"{label[:40]!r} cannot be a label.",
                f"Give a word or two that begin with a letter: up to {MAX_LABEL_CHARS} letters, digits, spaces, "
                "hyphens and apostrophes.",
            )
        if label.casefold() == UNSURE:
            raise BadAsk(f"{label!r} is always possible, so it is no label.", "Leave it out.")
    if len({label.casefold() for label in labels}) < len(labels):
        raise BadAsk("A label is there twice.", "Name each once.")
    _refuse_declined(labels)
    return labels


def _refuse_declined(labels: Sequence[str]) -> None:
    about = {label: topic for label in labels if (topic := declined_label(label))}
    if about:
        topics, verb = ", or ".join(dict.fromkeys(about.values())), "is" if len(about) == 1 else "are"
        what = f"{quoted(list(about))} {verb} about {topics}"
        raise NotJudged(
            f"{what}, which EmoThinker does not judge.", "Choose words for what the face and the voice show."
        )


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
