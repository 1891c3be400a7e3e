"""What turned an answer from the fast label of its window."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.model.config import Calibration
from realtime.reason.turned import turned_by
from realtime.records import TurnedBy

CALIBRATION = Calibration(
    chain={"fast": 1.0, "judged": 1.0}, words={"fast": 1.0, "judged": 1.0, "decide": 0.9, "bonus": 0.0}
)
FAST = {"sad": 0.5, "fear": 0.3, "neutral": 0.2}
FLAT = dict.fromkeys(FAST, 0.0)


def logs(**shares: float) -> dict[str, float]:
    return {label: math.log(share) for label, share in shares.items()}


def labelled(
    looked: dict[str, float] = FAST,
    judged: dict[str, float] = FLAT,
    said: dict[str, float] | None = None,
    argued_for: str = "fear",
) -> Any:
    """What `turned_by` reads of a `LabelledWindow`."""
    label = SimpleNamespace(probabilities=FAST)
    return SimpleNamespace(label=label, probabilities=looked, judged=judged, said=said, argued_for=argued_for)


LOOKED = {"sad": 0.4, "fear": 0.45, "neutral": 0.15}
JUDGED = logs(sad=0.25, fear=0.5, neutral=0.25)
A_LITTLE_JUDGED = logs(sad=0.3, fear=0.4, neutral=0.3)
A_LITTLE_LOOKED = {"sad": 0.45, "fear": 0.4, "neutral": 0.15}


@pytest.mark.parametrize(
    ("window", "answer", "by"),
    [
        (labelled(), "sad", ()),
        (labelled(), "unsure", ()),
        (labelled(), None, ()),
        (labelled(looked=LOOKED), "fear", ("second_look",)),
        (labelled(judged=JUDGED), "fear", ("reasons",)),
        # Neither would do alone.
        (labelled(looked=A_LITTLE_LOOKED, judged=A_LITTLE_JUDGED), "fear", ("second_look", "reasons")),
        # Either would do alone.
        (labelled(looked=LOOKED, judged=JUDGED), "fear", ("second_look", "reasons")),
        (
            labelled(
                looked={"sad": 0.3, "fear": 0.1, "neutral": 0.6},
                said={"sad": 0.0, "fear": 1.0, "neutral": 0.0},
            ),
            "fear",
            ("second_look", "words"),
        ),
        # The argument ended with another label than the one that it was given.
        (labelled(looked=LOOKED, argued_for="sad"), "fear", ("reasons",)),
        # A chain that finds and judges in one go.
        (labelled(judged={}), "fear", ("reasons",)),
    ],
)
def test_what_the_answer_would_not_be_without_has_turned_it(
    window: Any, answer: str | None, by: tuple[TurnedBy, ...]
) -> None:
    assert turned_by(window, answer, CALIBRATION) == by
