"""What a finished chain comes to: its answer, the probabilities after it, and what it contradicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime.model.config import Calibration
from realtime.reason import calibrate, own_labels
from realtime.reason.branches import n_faces
from realtime.reason.chain import read_answer
from realtime.reason.consistency import contradictions
from realtime.reason.parts import LabelledWindow
from realtime.reason.turned import turned_by
from realtime.records import Answer, Conflict, Contradiction, TurnedBy, Window


@dataclass(frozen=True)
class Conclusion:
    """What a finished chain comes to."""

    answer: Answer
    probabilities: dict[str, float]
    "Of each label that the model knows, after the chain."
    told: dict[str, float]
    "The same in the labels that were asked for."
    contradictions: tuple[Contradiction, ...]
    turned_by: tuple[TurnedBy, ...] = ()
    "What turned the answer from the fast label. Empty for labels of one's own."


def conclude(labelled: LabelledWindow, sections: Mapping[str, str], calibration: Calibration) -> Conclusion:
    """Read the answer of a chain. It is unsure where the chain contradicts itself.

    The answer is in the words that were asked for, the probabilities are of the labels that the model knows.
    """
    labels, own = labelled.question.labels, labelled.question.own
    read = read_answer(sections["answer"], labels)
    probabilities = calibrate.joined(
        labelled.probabilities,
        read.label,
        calibration,
        judged=labelled.judged,
        said=labelled.said,
    )
    most = largest(labelled.window, labelled.label.conflict, calibration)
    probabilities = calibrate.bounded(probabilities, most)
    told, named = probabilities, read.label
    if own:
        told = own_labels.shares(own, probabilities, most=most)
        named = own_labels.for_emotion(own, named, told, calibration.unsure_below)
    answer = calibrate.answer(told, named, read.intensity, calibration)
    # What is judged after the texts is judged by an evidence-first chain.
    found = contradictions(sections, labels, shares_alone(labelled), given_both=bool(labelled.judged))
    if found:
        answer = calibrate.unsure(told, calibration)
    turned = () if own else turned_by(labelled, answer.label, calibration)
    return Conclusion(answer, probabilities, told, found, turned)


def largest(window: Window, conflict: Conflict | None, calibration: Calibration) -> float:
    """The largest probability that may be told of a window."""
    state = calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech))
    return calibrate.largest(state, conflict, calibration)


def shares_alone(labelled: LabelledWindow) -> dict[str, Mapping[str, float]]:
    """The probabilities of each label from the face and from the voice alone."""
    label, window = labelled.label, labelled.window
    if label.conflict is not None:
        return {"face": label.conflict.face, "voice": label.conflict.voice}
    if n_faces(window):
        return {"face": label.probabilities}
    return {"voice": label.probabilities} if window.speech else {}
