"""What a model judges of windows after its texts about voice and face. No argument is written for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from realtime.reason.parts import ARGUED, LabelledWindow
from realtime.records import Question, Window
from train.evaluation.batch import write_part
from train.evaluation.served import Served, writer_of

BATCH = 16


@dataclass(frozen=True)
class JudgedWindow:
    """A window's label as it is served, and what the writer judged after its texts."""

    fast: Mapping[str, float]
    "Probabilities."
    judged: Mapping[str, float]
    "Log-probabilities."
    truth: str
    said: Mapping[str, float] | None = None
    "What the words alone say; None for a judgement that read none."


def judgements(model: Served, seen: Sequence[tuple[str, Window]]) -> list[JudgedWindow]:
    """What is judged of each window after the texts about voice and face, with the words that the window has."""
    question, found = Question(labels=model.labels), list[JudgedWindow]()
    bar = tqdm(total=len(seen), unit="window", desc="judgements", disable=None)
    for first in range(0, len(seen), BATCH):
        part = seen[first : first + BATCH]
        windows = [model.thinker.label_window(window, question) for _, window in part]
        texts = written(model, windows)
        for (truth, _), each, told in zip(part, windows, texts, strict=True):
            writer_of(model).thinker.chain.begin(each, ARGUED, told)
            found.append(JudgedWindow(each.label.probabilities, each.judged, truth, each.said))
        bar.update(len(part))
    bar.close()
    return found


def written(model: Served, windows: Sequence[LabelledWindow]) -> list[dict[str, str]]:
    """The sections that come before the argument."""
    sections: list[dict[str, str]] = [{} for _ in windows]
    for part in writer_of(model).thinker.chain.parts[:-1]:
        write_part(model, windows, part, sections)
    return sections
