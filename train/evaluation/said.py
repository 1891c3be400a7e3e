"""Counts whether words change an answer where they should, on people and sentences that were not trained on.

    realtime train evaluation.said --data DATA [--model small] [--adapter OUT] [--split test] [--each 12] [--judged]
                                    [--json FILE]

A pair of a face and a sentence that agree gets words of GoEmotions, as if they had been said. The truth is known from
how each was made (`train.nano.recordings.concluded`):

    decide    face and voice are neutral, the words are not      → what the words say
    against   the words are of the other valence (sarcasm)       → what face and voice say
    same      the words are of the same emotion                  → what face and voice say
    plain     the words are neutral                              → what face and voice say

Each window is answered with its words and without. Then it is asked, in a held-out wording, whether the words are meant
as they were said. A model that does not read words is counted all the same: its answers are the same with and without.
`as_it_should` is the share of `decide` and `against` that is right, with its 95 % interval over windows.

With `--judged` no argument is written and nothing is asked. What counts is what the model judges after its texts, with
the words and without, before its calibration and the expert on words have a say. That is what a method changes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.reason import calibrate
from realtime.reason.quotation import quoted
from realtime.records import LABELS, Question, Window
from train import metrics
from train.coet.measured import TENDENCY, Observation, WordsRead
from train.coet.questions import ask
from train.command import run_command, tell_result
from train.evaluation.answering import ModelUnderTest, perceive
from train.evaluation.batch import ChainAnswer, chains
from train.evaluation.judged import judgements
from train.evaluation.questions import one_hot, right
from train.evaluation.samples import SAMPLES
from train.evaluation.served import Served, add_label_argument, load_served, writer_of
from train.nano.recordings import WrittenSentences, concluded

Case = Literal["decide", "against", "same", "plain"]
CASES: tuple[Case, ...] = get_args(Case)
OF_EMOTION: tuple[Case, ...] = ("against", "same", "plain")
"Cases of a face and a voice that show an emotion. They take turns."
OF_NEUTRAL: tuple[Case, ...] = ("decide", "decide", "plain")
"Those of neutral ones. A third of GoEmotions is neutral, so words that say nothing must not decide either."
BATCH = 16
WITHOUT = ", without words"
"What a case is called whose windows were judged without their words."


@dataclass(frozen=True)
class WindowWithWords:
    """A window, and the words that were put into its speaker's mouth."""

    window: Window
    case: Case
    text: str
    said: str
    "The label of the words."
    truth: str
    "The label of face, voice and words together."


def wanted(case: Case, label: str) -> list[str]:
    """Labels that the words may have beside a face and voice of this label. Empty: the case is not for it."""
    if case == "decide":
        return [name for name in LABELS if name != "neutral"]
    if case == "against":
        other = {"positive": "negative", "negative": "positive"}.get(TENDENCY[label])
        return [name for name in LABELS if TENDENCY[name] == other]
    return [label] if case == "same" else ["neutral"]


def spoken(model: Served, data: Path, split: str, each: int, rng: np.random.Generator) -> Iterator[WindowWithWords]:
    """Windows of pairs that agree, up to `each` of a speaker, with words. Mixed labels (surprise) have no opposite."""
    asked = ModelUnderTest(model.name, labels=tuple(model.labels))
    seen, _ = perceive(model, asked, list(SAMPLES["agree"](data, split, each)), frozenset())
    sentences = WrittenSentences(data, split, as_read=False)
    turns = {True: itertools.cycle(OF_NEUTRAL), False: itertools.cycle(OF_EMOTION)}
    for sample, window in seen:
        case = next(turns[sample.truth == "neutral"])
        if labels := wanted(case, sample.truth):
            said = str(rng.choice(labels))
            yield WindowWithWords(window, case, sentences.of(said, rng), said, concluded(sample.truth, said))


def with_words(model: Served, one: WindowWithWords) -> Window:
    """The window as the model gets it: with words, if it was trained to read them."""
    writer = writer_of(model)
    return replace(one.window, said=quoted(one.text, writer.thinker.vocabulary)) if writer.words else one.window


def answered(model: Served, windows: Sequence[Window], question: Question) -> list[ChainAnswer]:
    return [
        answer
        for first in range(0, len(windows), BATCH)
        for answer in chains(model, windows[first : first + BATCH], question)
    ]


def count(model: Served, data: Path, split: str, each: int, *, seed: int = 0) -> dict[str, Any]:
    """By case: how many answers were right with words and without, and how many were about whether they were meant."""
    rng, usual = np.random.default_rng(seed), Question(labels=model.labels)
    found = list(spoken(model, data, split, each, rng))
    heard = answered(model, [with_words(model, one) for one in found], usual)
    silent = answered(model, [one.window for one in found], usual)
    cases: dict[str, Any] = {}
    for case in CASES:
        own = [at for at, one in enumerate(found) if one.case == case]
        meant = [meaning(model, found[at], rng) for at in own]
        cases[case] = {
            "n": len(own),
            "right": share([heard[at].answer.label == found[at].truth for at in own]),
            "right_without": share([silent[at].answer.label == found[at].truth for at in own]),
            "changed": share([heard[at].answer.label != silent[at].answer.label for at in own]),
            "meant": share(meant),
        }
        print(f"{case:<10}" + "".join(f"{value!s:>15}" for value in cases[case].values()), file=sys.stderr, flush=True)
    should = [at for at, one in enumerate(found) if one.case in ("decide", "against")]
    right_S = np.array([heard[at].answer.label == found[at].truth for at in should], bool)
    interval = metrics.bootstrap(right_S) if len(should) else None
    return {
        "model": model.name,
        "split": split,
        "should_n": len(should),
        "as_it_should": share(right_S.tolist()),
        "as_it_should_95": [round(interval.low, 3), round(interval.high, 3)] if interval else None,
        "as_it_should_without": share([silent[at].answer.label == found[at].truth for at in should]),
        "cases": cases,
    }


def count_judged(model: Served, data: Path, split: str, each: int, *, seed: int = 0) -> dict[str, Any]:
    """By case, with words and without: how many judgements were right, and which (`hits`, by the window's number).

    `probability` is the mean of what the judgement gave to the right label.
    """
    found = list(spoken(model, data, split, each, np.random.default_rng(seed)))
    sides = {
        "": judgements(model, [(one.truth, with_words(model, one)) for one in found]),
        WITHOUT: judgements(model, [(one.truth, one.window) for one in found]),
    }
    kinds: dict[str, Any] = {}
    for case in CASES:
        own = [at for at, one in enumerate(found) if one.case == case]
        for side, judged in sides.items():
            hits = {str(at): max(judged[at].judged, key=judged[at].judged.__getitem__) == found[at].truth for at in own}
            given = [softmax(judged[at].judged)[found[at].truth] for at in own]
            kinds[f"{case}{side}"] = {
                "n": len(own),
                "right": share([*hits.values()]),
                "probability": round(float(np.mean(given)), 4) if given else None,
                "hits": hits,
            }
    for kind, figures in kinds.items():
        told = f"{figures['n']:>6}{figures['right']!s:>8}{figures['probability']!s:>8}"
        print(f"{kind:<24}{told}", file=sys.stderr, flush=True)
    return {"model": model.name, "split": split, "kinds": kinds}


def softmax(log_p: Mapping[str, float]) -> dict[str, float]:
    """Probabilities that sum to 1."""
    return dict(zip(log_p, calibrate.softmax(list(log_p.values())), strict=True))


def meaning(model: Served, one: WindowWithWords, rng: np.random.Generator) -> bool:
    """Whether the model knows if the words are meant as they were said."""
    known = Observation(
        shares=one_hot(EXPERT_LABELS.index(one.truth)),
        words=WordsRead(one.text, one_hot(EXPERT_LABELS.index(one.said))),
    )
    asked = ask("meant", known, rng, held_out=True)
    (answer,) = chains(model, [with_words(model, one)], Question(query=asked.text, labels=model.labels))
    return right(asked, known, answer.sections["answer"])


def share(hits: Sequence[bool]) -> float | None:
    return round(float(np.mean(hits)), 3) if hits else None


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="small")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--each", type=int, default=12, help="pairs of each speaker (default: %(default)s)")
    parser.add_argument("--adapter", type=Path, help="of train.lora, on the model")
    parser.add_argument("--judged", action="store_true", help="count what is judged after the texts alone")
    add_label_argument(parser)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.model, args.adapter)
    model = load_served(args.model, adapter=args.adapter, label=args.label)
    if args.judged:
        tell_result(count_judged(model, args.data, args.split, args.each), args.json)
        return
    print(
        f"{'':<10}" + "".join(f"{name:>15}" for name in ("n", "right", "right_without", "changed", "meant")),
        file=sys.stderr,
    )
    tell_result(count(model, args.data, args.split, args.each), args.json)


if __name__ == "__main__":
    run_command(main, "train.evaluation.said")
