"""What is not believed of a recogniser."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.words.guard import Transcript, compression, doubt

SAID = Transcript("Don't forget a jacket.", "en", confidence=0.9, no_speech=0.02, language_share=None)


def test_plain_english_is_believed() -> None:
    assert doubt(SAID) is None
    assert doubt(replace(SAID, language="es", language_share=0.98, confidence=0.45)) is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (replace(SAID, text=""), "empty"),
        (replace(SAID, text=" … !"), "empty"),
        (replace(SAID, no_speech=0.83), "no_speech"),
        (replace(SAID, text="I am not sure that " * 12), "repeats"),
        (replace(SAID, confidence=0.42), "unsure"),
        (replace(SAID, language="es", language_share=0.98, confidence=0.3), "unsure"),
        (replace(SAID, language="la", language_share=0.3), "language"),
    ],
)
def test_noise_repeats_and_guesses_are_not(found: Transcript, why: str) -> None:
    assert doubt(found) == why


def test_one_sentence_compresses_little_and_a_loop_much() -> None:
    assert compression(SAID.text) < 1
    assert compression("go " * 40) > 5
    assert compression("") == 0
