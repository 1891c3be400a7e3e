"""What turned an answer from the fast label of its window.

Between the two come a second look at the face, the judgement after the chain's texts, and the words that were said. The
label is computed once more without each of them. What it would not be without has turned it.
"""

from __future__ import annotations

from realtime.model.config import Calibration
from realtime.reason import calibrate, prompt
from realtime.reason.parts import LabelledWindow
from realtime.records import TurnedBy


def turned_by(labelled: LabelledWindow, answer: str | None, calibration: Calibration) -> tuple[TurnedBy, ...]:
    """What the answer would not be without; empty where it is the likeliest label of the fast one, or unsure.

    Where it would be without any one of them, all that had a say are told. `answer` is in the model's own words.
    """
    fast = labelled.label.probabilities
    if answer is None or answer == prompt.UNSURE or answer == max(fast, key=lambda label: fast[label]):
        return ()
    if not labelled.judged or answer != labelled.argued_for:
        # The chain itself wrote another label than all that was computed.
        return ("reasons",)

    def likeliest_without(what: TurnedBy) -> str:
        shares = calibrate.joined(
            fast if what == "second_look" else labelled.probabilities,
            None,
            calibration,
            judged=None if what == "reasons" else labelled.judged,
            said=None if what == "words" else labelled.said,
        )
        return max(shares, key=lambda label: shares[label])

    had_a_say: list[TurnedBy] = ["reasons"]
    if labelled.probabilities != fast:
        had_a_say.insert(0, "second_look")
    if labelled.said:
        had_a_say.append("words")
    needed = tuple(what for what in had_a_say if likeliest_without(what) != answer)
    return needed or tuple(had_a_say)
