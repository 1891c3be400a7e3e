"""Whether a person would be told the same: labels of an export beside torch's on people no model was trained on.

Every sample goes through the perception and reasoning of a live session, once with each engine. The fast label is
compared on all of them, the whole chain (its answer's label too) on every tenth: it takes three times as long.
Torch answers once, however many exports are compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import RealtimeError
from realtime.evidence.engines.artifact import Artifact
from realtime.loading import LoadedModel, load
from realtime.records import Ask, ReasonDone, Window

WINDOWS = 520
"Faces, and every sentence of the validation actors among them."
CHAIN_EVERY = 10
AGREEMENT = {"fp32": 1.0, "fp16": 1.0, "bf16": 1.0, "int8": 0.995}
"Least share of equal labels."


@dataclass(frozen=True)
class Told:
    """What one window led to; `answer` None where no chain was asked for."""

    fast: str
    answer: str | None
    largest: float
    "Probability of the fast label: a changed label at 0.5 says less than one at 0.9."


class NoValidationData(RealtimeError):
    """The validation sets are not where they were said to be. Name the folder that holds `ferplus` and `ravdess`."""

    code = "no_data"
    exit_code = 2


def samples(data: Path, n_windows: int) -> list[Any]:
    """All sentences of RAVDESS's validation actors, and of FER+'s validation faces a fixed random choice."""
    from train.evaluate import ferplus_samples, ravdess_samples

    try:
        spoken = list(ravdess_samples(data, "valid", None))[:n_windows]
        return spoken + list(ferplus_samples(data, "valid", max(0, n_windows - len(spoken))))
    except (OSError, ValueError) as error:
        raise NoValidationData(
            f"{data} holds no FER+ and RAVDESS ({error}).", hint="Name the data folder with --validation."
        ) from error


def answers(model: LoadedModel, given: Sequence[Any]) -> Iterator[Told]:
    """Sentences of one actor are one session, in order, and each face is a stranger: as `train.evaluate` has it."""
    ask, session, perception = Ask(labels=model.labels), None, None
    for index, sample in enumerate(given):
        if perception is None or sample.session != session:
            if perception is not None:
                perception.close()
            perception, session = model.perceiver(seed=0), sample.session
        frames = (perception.see(sample.frame),) if sample.frame is not None else ()
        speech = (perception.hear(sample.speech),) if sample.speech is not None else ()
        end_s = speech[0].end_s if speech else 0.0
        window = Window(0, max(0.0, end_s - 8.0), end_s, frames, speech)
        probabilities = model.thinker.fast_label(window, ask).probabilities
        fast = max(probabilities, key=lambda label: probabilities[label])
        answer = None
        if index % CHAIN_EVERY == 0:
            done = [step for step in model.thinker.reason(window, ask) if isinstance(step, ReasonDone)]
            answer = done[0].answer.label
        yield Told(fast, answer, probabilities[fast])


def agree(ours: Sequence[Told], torch: Sequence[Told]) -> dict[str, Any]:
    """Share of equal labels, and how sure torch was where they differ."""
    pairs = list(zip(ours, torch, strict=True))
    chains = [(one.answer, other.answer) for one, other in pairs if other.answer is not None]
    different = [other.largest for one, other in pairs if one.fast != other.fast]
    n_equal = len(pairs) - len(different) + sum(one == other for one, other in chains)
    return {
        "same_label": n_equal / max(1, len(pairs) + len(chains)),
        "windows": len(pairs),
        "same_fast": len(pairs) - len(different),
        "chains": len(chains),
        "same_answer": sum(one == other for one, other in chains),
        "torch_probability_where_different": [round(value, 3) for value in different],
    }


def agreement(
    made: Sequence[Artifact], model: str, *, adapter: Path | None, data: Path, n_windows: int = WINDOWS
) -> dict[Path, dict[str, Any]]:
    """By folder of each ONNX export."""
    given = samples(data, n_windows)
    reference = list(answers(load(model, adapter=adapter, engine="torch"), given))
    results = {}
    for one in made:
        engine = load(model, adapter=adapter, engine="onnx", engine_dir=one.folder)
        results[one.folder] = agree(list(answers(engine, given)), reference)
    return results
