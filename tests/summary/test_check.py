"""What a language model writes of measured statements is told only where they bear it out."""

from __future__ import annotations

import pytest

from realtime.engine.loading import LoadedModel
from realtime.records import Summary
from realtime.summary.check import holds
from realtime.summary.draft import N_TOKENS, SummaryWriter

LABELS = ("happy", "neutral", "sad")
STATEMENTS = (
    "Of 24 moments, 15 were happy, 6 neutral and 3 sad.",
    "It began as neutral, and changed to happy at 0:42.",
    "Of the face, what stood out: lip corners strongly pulled up, most at 0:41.",
    "The voice differed most from its usual at 1:12: much louder.",
    "Face and voice disagreed in 3 of 20 moments, most at 1:30: the face pointed to happy, and the voice to sad.",
    "No face was in view in 12 of 75 pictures.",
)
LABELLED = "Of 24 moments 15 were happy and 6 were neutral. "


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "It began as neutral and changed to happy at 0:42.",
        "Face and voice disagreed in 3 of 20 moments, where the face pointed to happy and the voice to sad.",
        "No face was in view in 12 of the 75 pictures.",
        "The voice was much louder.",
    ],
)
def test_what_the_statements_say_holds(rest: str) -> None:
    assert holds(LABELLED + rest, STATEMENTS, LABELS)


@pytest.mark.parametrize(
    "rest",
    [
        "It began as happy and changed to neutral at 0:42.",
        "It changed to sad at 0:42.",
        "It changed to happy at 1:42.",
        "Of 24 moments, 6 were happy.",
        "The face pointed to sad, and the voice to happy.",
        "Face and voice agreed in 3 of 20 moments.",
        "Face and voice disagreed in 20 moments.",
        "In 20 moments, most at 1:30, the face pointed to happy.",
        "A face was in view in 12 of 75 pictures.",
        "The voice was much quieter.",
        "The lip corners were strongly pulled down.",
        "The voice was not much louder.",
        "She was happy about her new job.",
        "The man is about 40.",
    ],
)
def test_what_they_do_not_say_does_not(rest: str) -> None:
    assert not holds(LABELLED + rest, STATEMENTS, LABELS)


@pytest.mark.parametrize("summary", ["", "   ", "Then.", "The voice was much louder."])
def test_a_text_without_the_labels_is_no_summary(summary: str) -> None:
    assert not holds(summary, STATEMENTS, LABELS)


def test_nothing_is_told_of_what_nano_writes_and_a_label_waits_for_one_token_at_most(nano: LoadedModel) -> None:
    """nano writes chains. A model that has to be kept from inventing is what the check is for."""
    thinker = nano.thinker
    writer = SummaryWriter(thinker.language, thinker.decoder, thinker.vocabulary)
    before = thinker.n_passes
    assert [step for step in writer.summarise(STATEMENTS, LABELS) if step is not None] == [Summary(None)]
    assert 0 < thinker.n_passes - before <= 2 * N_TOKENS
