"""A training window's chain: what it says of face and voice alone, and what it comes to."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.evidence.cues import CUES
from realtime.model.experts import EXPERT_LABELS
from realtime.reason.measurements import VOICE_WORDS
from train.arrays import Float64
from train.coet.measured import EXPRESSION, Observation, PersonSeen, VoiceHeard, Writer
from train.nano.drawn_windows import DrawnWindow, one_label


def sure(label: str) -> Float64:
    return np.where(np.array(EXPERT_LABELS) == label, 0.94, 0.01)


def window() -> DrawnWindow:
    """Observers see a happy face, hear an angry voice, and go with the face."""
    person = PersonSeen(dict.fromkeys(CUES, 0.0), (0.0, 0.0, 0.0), (0.5, 0.5), 0.4, sure("happy"))
    voice = VoiceHeard(dict.fromkeys(VOICE_WORDS, 0.0), sure("angry"), strong=False)
    seen = Observation(people=(person,), voice=voice, shares=sure("happy"))
    return DrawnWindow((0,), 0, (), 1, 0, True, seen, Writer(3).chain(seen), 3)


def test_a_chain_says_what_the_instruments_find_and_comes_to_it() -> None:
    looks = {"both": sure("sad"), "face": sure("fear"), "voice": sure("surprise")}
    told = window().with_chain_about(looks).sections
    assert "fearful" in told["face"]
    assert "surprised" in told["voice"]
    assert "negative" in told["coarse"]
    assert "disagree" in told["coarse"]
    assert told["answer"].startswith("sad")
    observed = window().sections
    assert ("happy" in observed["face"], "angry" in observed["voice"]) == (True, True)
    assert (told["context"], told["atmosphere"]) == (observed["context"], observed["atmosphere"])


@pytest.mark.parametrize("label", [0, 1])
def test_a_chain_names_the_one_label_that_it_is_told_where_two_are_close(label: int) -> None:
    close = one_label(np.array([0.31, 0.3, 0.39 / 5, 0.39 / 5, 0.39 / 5, 0.39 / 5, 0.39 / 5]), label)
    assert close.sum() == pytest.approx(1.0)
    told = window().with_chain_about({"both": close, "face": close, "voice": close}).sections
    this, other = (EXPRESSION[EXPERT_LABELS[index]][0] for index in (label, 1 - label))
    assert (this in told["face"], other in told["face"]) == (True, False)
    assert told["answer"].startswith(EXPERT_LABELS[label])


def test_with_nobody_to_look_at_the_chain_is_what_it_was() -> None:
    assert window().with_chain_about({}).sections == window().sections
