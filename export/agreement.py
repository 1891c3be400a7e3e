"""Compares the labels of an export with those of torch, on people that no model was trained on.

Every sample goes through the perception and reasoning of a live session, once with each runtime. Two things are
compared: the fast label, and the label that the chain's answer names. Torch answers once for all exports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.towers import towers_of
from realtime.engine.loading import LoadedModel, load
from realtime.errors import RealtimeError
from realtime.reason.chain import read_answer
from realtime.records import Question, Window
from realtime.towers.artifact import Artifact

if TYPE_CHECKING:
    from train.evaluation.samples import Sample

WINDOWS = 520
"Samples: every sentence of the validation actors, and faces for the rest."
BATCH = 32
AGREEMENT = {"fp32": 1.0, "fp16": 1.0, "bf16": 1.0, "int8": 0.995}
"The smallest share of equal labels that is accepted, by precision."


@dataclass(frozen=True)
class WindowResult:
    """The labels of one window."""

    fast: str
    answer: str | None
    "The label that the chain names; None where it names none of the labels in question."
    largest: float
    "The probability of the fast label: a label that changes at 0.5 says less than one at 0.9."


class NoValidationData(RealtimeError):
    """The validation sets are not where they were said to be. Name the folder that holds `ferplus` and `ravdess`."""

    code = "no_data"
    exit_code = 2


def samples(data: Path, n_windows: int) -> list[Sample]:
    """All sentences of RAVDESS's validation actors, then a fixed random choice of FER+'s validation faces.

    Raises NoValidationData.
    """
    from train.evaluation.samples import ferplus_samples, ravdess_samples

    try:
        spoken = list(ravdess_samples(data, "valid", None))[:n_windows]
        return spoken + list(ferplus_samples(data, "valid", max(0, n_windows - len(spoken))))
    except (OSError, ValueError) as error:
        raise NoValidationData(
            f"{data} holds no FER+ and RAVDESS ({error}).", hint="Name the data folder with --validation."
        ) from error


def windows(model: LoadedModel, given: Sequence[Sample]) -> Iterator[Window]:
    """One window per sample. The sentences of an actor form one session, in order; every face is a session of its own.

    `train.evaluate` groups them in the same way.
    """
    session, perception = None, None
    for sample in given:
        if perception is None or sample.session != session:
            if perception is not None:
                perception.close()
            perception, session = model.perceiver(seed=0), sample.session
        frames = (perception.see(sample.frame),) if sample.frame is not None else ()
        speech = (perception.hear(sample.speech),) if sample.speech is not None else ()
        end_s = speech[0].end_s if speech else 0.0
        yield Window(0, max(0.0, end_s - 8.0), end_s, frames, speech)
    if perception is not None:
        perception.close()


def answers(model: LoadedModel, given: Sequence[Sample]) -> list[WindowResult]:
    """The labels of every sample, in order."""
    from train.evaluation.batch import chains

    seen, ask = list(windows(model, given)), Question(labels=model.labels)
    results = []
    for first in range(0, len(seen), BATCH):
        for each in chains(model, seen[first : first + BATCH], ask):
            probabilities = each.label.probabilities
            fast = max(probabilities, key=lambda name: probabilities[name])
            answer = read_answer(each.sections["answer"], ask.labels).label
            results.append(WindowResult(fast, answer, probabilities[fast]))
    return results


def agree(ours: Sequence[WindowResult], torch: Sequence[WindowResult]) -> dict[str, Any]:
    """The shares of windows with equal fast labels and equal answers, and the lower of the two (`same_label`).

    Torch's probabilities of the fast labels that differ are listed too.
    """
    pairs = list(zip(ours, torch, strict=True))
    n = max(1, len(pairs))
    same_fast = sum(one.fast == other.fast for one, other in pairs) / n
    same_answer = sum(one.answer == other.answer for one, other in pairs) / n
    return {
        "same_label": min(same_fast, same_answer),
        "windows": len(pairs),
        "same_fast": same_fast,
        "same_answer": same_answer,
        "torch_probability_where_different": [round(b.largest, 3) for a, b in pairs if a.fast != b.fast],
    }


def agreement(
    made: Sequence[Artifact], model: str, *, adapter: Path | None, data: Path, n_windows: int = WINDOWS
) -> dict[Path, dict[str, Any]]:
    """The figures of `agree` by the export's folder. Every export must run on this machine."""
    given = samples(data, n_windows)
    ours = load(model, adapter=adapter, engine="torch")
    reference = answers(ours, given)
    return {
        one.folder: agree(answers(replace(ours, towers=towers_of(one, model, adapter)[0]), given), reference)
        for one in made
    }
