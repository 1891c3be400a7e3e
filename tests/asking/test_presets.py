"""The examples on the page can be asked: of nano, too, in every language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realtime.asking.question import question_of
from realtime.asking.summary import summary_asked
from realtime.reason.measurements import CUE_WORDS
from realtime.records import BY_RULE
from train.coet.wordings import ASKED, all_wordings

MESSAGES = Path(__file__).parents[2] / "web" / "src" / "messages"
TRAINED = {wording for patterns in ASKED.values() for pattern in patterns for wording in all_wordings(pattern)}
TRAINED |= {wording.replace("{cue}", words[0]) for wording in TRAINED for words in CUE_WORDS.values()}
PRESET = re.compile(r'\{ name: "([^"]+)", query: (null|"[^"]+"), labels: (null|\[[^\]]+\]) \}')


def presets(language: str) -> list[tuple[str, str | None, list[str] | None]]:
    found = PRESET.findall((MESSAGES / f"{language}.ts").read_text(encoding="utf-8"))
    return [
        (name, None if query == "null" else query.strip('"'), re.findall(r'"([^"]+)"', labels) or None)
        for name, query, labels in found
    ]


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_example_of_the_page_is_taken_from_a_model_with_a_fixed_set(language: str) -> None:
    """Three examples asked for labels that nano cannot tell apart, and others for answers that it does not give."""
    found = presets(language)
    assert len(found) >= 6
    assert found[-1][1:] == (None, None)
    others = [preset for preset in found if summary_asked(preset[1]) is None]
    assert len(others) == len(found) - 1, "one asks for a summary"
    for _, query, labels in others:
        asked = question_of(query, labels)
        by_rule = asked.about is not None and asked.about.kind in BY_RULE - {"untold"}
        assert query is None or by_rule or asked.put in TRAINED, "nano was not trained for it, and no rule tells it"
        assert (asked.query, asked.told_labels) == (query, tuple(labels) if labels else asked.labels)
