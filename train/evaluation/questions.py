"""Counts how many questions of each kind a model answers right, on people and in wordings that it was not trained on.

    realtime train evaluation.questions --data DATA [--model nano] [--adapter OUT] [--split test] [--sessions 8]
                                         [--windows 5] [--wordings FILE] [--staged 0] [--paraphrases FILE]
                                         [--kinds count light …] [--seed 0] [--json FILE]

A session asks one question, as on the page. Its speaker says a few sentences first, so that the voice's usual is known.
Then each pair of a face and a sentence is asked about. The truth is what was measured in that very window; whether face
and voice agree, and the mood, are known from how the pair was made. `right` counts the answers that a person reads,
which are held to the evidence (`realtime/reason/answers.py`), and `own` what the model wrote itself.

Questions about who somebody is, their age or their health are put to the model all the same: a page's never reach it
(`realtime/asking/declined.py`). An answer to one is invented unless it says that this is not judged, or cannot be told.

With `--wordings FILE` the questions are those of a file, each in a session of its own. Then a page's door counts: what
it declines is told to be so. `read` is the share of answers whose question was read as its kind, and about what it asks
for; `other` of those that were read as another kind.

With `--staged N` about N windows are staged for each kind that a rule answers: when the face changed, what came first,
what changed, who of two shows more, and how the voice is against before (`staged.py`). `read` is the share of wordings
that were read as their kind. Prints a table and one JSON line; the intervals are 95 %, over answers.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from realtime.asking.declined import declined
from realtime.asking.question import read
from realtime.asking.sayings import SAYINGS
from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadAsk
from realtime.evidence.perceive import Perception
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.reason.measurements import DEGREES, VOICE_WORDS
from realtime.records import About, Question, Window
from train import metrics
from train.arrays import Floats
from train.coet.measured import Observation, PersonSeen, VoiceHeard
from train.coet.questions import CLEAR, DECLINED, UNTOLD, KnownQuestion, ask
from train.coet.wordings import KINDS, Kind
from train.command import run_command, tell_result
from train.evaluation.batch import chains
from train.evaluation.samples import SAMPLES, Sample
from train.evaluation.served import Served, add_label_argument, load_served
from train.evaluation.staged import (
    NOT_MEASURED,
    PARAPHRASES,
    WINDOW_S,
    Paraphrase,
    Staged,
    all_staged,
    is_right,
    paraphrases,
    told,
)

NOT_KNOWN: tuple[Kind, ...] = ("sureness", "words", "meant", "when", "order", "who")
"""Nobody knows the words of a pair, and how sure a judgement may be is not measured. The last three need windows that
are staged."""
ASKED_KINDS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind not in NOT_KNOWN)
HEARD_BEFORE, ASKED_ABOUT = 4, 5
"Sentences that a session hears before its question counts, and pairs that it is then asked about by itself."
MOST_TOLD = 12
"Wrong answers of each kind that are told."
STAGED_EACH = 12
"Pairs of each speaker that windows are staged from."
HALF_STEP = {"intensity": 0.12, "voice": 0.25}
"How far a measurement may lie beyond the limit of its word, as in `coet/checks.py`."
DEGREE_WORDS = ("yes", *(word for _, word in DEGREES))
OF_VOICE: Mapping[Kind, str] = {"loudness": "loudness_db", "pitch": "pitch_hz", "rate": "rate_hz"}


@dataclass(frozen=True)
class AskedWindow:
    """One window, the question that its session was opened with, and what is known of it."""

    window: Window
    asked: KnownQuestion
    seen: Observation


def right(asked: KnownQuestion, seen: Observation, told: str) -> bool:
    """Whether the section `answer` begins with the right answer. Next to a limit both words are right.

    Whether a cue is there may be said by its degree, and the other way round: "not at all" is "no", and "yes, clearly"
    is "clearly".
    """
    said = told.split(".")[0].strip().lower()
    answers = [asked.answer(each).lower() for each in (seen, *nearly(asked, seen))]
    if asked.kind in ("presence", "degree"):
        said, *answers = (degree_said(answer, whether=asked.kind == "presence") for answer in (said, *answers))
    if asked.kind in OF_VOICE:
        # These windows have one sentence, which is told against the voice's usual, and that there is none before it.
        said = said.removesuffix(SAYINGS["en"].usual_only).removesuffix(" than usual")
        said, *answers = (answer.removeprefix("much ") for answer in (said, *answers))
    return said in answers


def degree_said(answer: str, *, whether: bool) -> str:
    """An answer about a cue as a degree, or with `whether` as yes or no. Other answers stay as they are."""
    degree = "not at all" if answer == "no" else answer.removeprefix("yes, ")
    if whether:
        return "no" if degree == "not at all" else "yes" if degree in DEGREE_WORDS else degree
    return degree


def nearly(asked: KnownQuestion, seen: Observation) -> Iterator[Observation]:
    """The same window, measured a little lower and a little higher."""
    for sign in (-1, 1):
        if asked.kind in ("presence", "degree") and seen.people:
            person = seen.people[0]
            moved = person.intensities.get(asked.cue, 0.0) + sign * HALF_STEP["intensity"]
            yield replace(seen, people=(replace(person, intensities={**person.intensities, asked.cue: moved}),))
        elif asked.kind in OF_VOICE and seen.voice is not None and seen.voice.usual_known:
            key = OF_VOICE[asked.kind]
            moved = seen.voice.relative[key] + sign * HALF_STEP["voice"]
            yield replace(seen, voice=replace(seen.voice, relative={**seen.voice.relative, key: moved}))


def observed(window: Window, truth: str, *, agree: bool) -> Observation:
    """What was measured in a window, and what is known of its pair."""
    frame, part = window.frames[-1], window.speech[-1]
    one, other = one_hot(0), one_hot(0 if agree else 1)
    people = []
    # In the order in which the chain letters them.
    for cues in frame.cues:
        left, top, width, height = next(face.box for face in frame.faces if face.track == cues.track)
        centre = (left + width / 2, top + height / 2)
        people.append(PersonSeen(cues.intensities, cues.pose_deg, centre, height, one))
    known = part.cues.usual_known
    relative = {key: part.cues.relative.get(key) or 0.0 for key in VOICE_WORDS} if known and part.cues.relative else {}
    return Observation(
        people=tuple(people),
        brightness=frame.scene.brightness,
        saturation=frame.scene.saturation,
        voice=VoiceHeard(relative, other, None, usual_known=bool(relative)),
        shares=one_hot(EXPERT_LABELS.index(truth)),
    )


def one_hot(label: int) -> Floats:
    shares: Floats = np.eye(len(EXPERT_LABELS))[label]
    return shares


def on_a_hair(asked: KnownQuestion, seen: Observation) -> bool:
    """Whether a cue is so near the limit of being mentioned that neither answer is wrong."""
    if not asked.cue or not seen.people:
        return False
    return abs(seen.people[0].intensities.get(asked.cue, 0.0) - DEGREES[-1][0]) < CLEAR


def session(
    model: Served, samples: list[Sample], asked: KnownQuestion, question: Question, *, agree: bool
) -> Iterator[AskedWindow]:
    """The windows of one session in which one question was asked, as it is put to the model."""
    perception = model.perceiver(seed=0, question=question)
    try:
        for sample in samples[:HEARD_BEFORE]:
            assert sample.speech is not None
            perception.hear(sample.speech)
        for sample in samples[HEARD_BEFORE:]:
            window = of_pair(perception, sample)
            if window is None:
                continue
            known = observed(window, sample.truth, agree=agree)
            if not on_a_hair(asked, known):
                yield AskedWindow(window, asked, known)
    finally:
        perception.close()


def of_pair(perception: Perception, sample: Sample) -> Window | None:
    """The window of a picture and a sentence; None where one of them holds nothing."""
    assert sample.frame is not None
    assert sample.speech is not None
    seen, heard = perception.see(sample.frame), perception.hear(sample.speech)
    if heard is None or not seen.cues:
        return None
    return Window(0, max(0.0, sample.speech.end_s - WINDOW_S), sample.speech.end_s, (seen,), (heard,))


def count(
    model: Served,
    data: Path,
    split: str,
    n_sessions: int,
    *,
    kinds: Sequence[Kind] | None = None,
    said: Mapping[str, Sequence[Paraphrase]] | None = None,
    n_windows: int = ASKED_ABOUT,
    seed: int = 0,
) -> dict[str, Any]:
    """By kind: how many answers there were, which were right and what share, and some that were not.

    Kinds that `said` has are asked in its wordings, one after the other; others as the training holds out.

    `hits` has the answers by the number of the session and the window's place in it. `own` is the share that was right
    as the model wrote it, and `from` how many answers a person reads are from what.
    """
    rng = np.random.default_rng(seed)
    pairs = {agree: list(SAMPLES["agree" if agree else "conflict"](data, split, None)) for agree in (True, False)}
    found, every = dict[str, Any](), list[bool]()
    not_judged, invented = list[str](), 0
    for kind in kinds or ASKED_KINDS:
        hits, wrong, own, sources = dict[str, bool](), [], list[bool](), Counter[str]()
        wordings, reading = (said or {}).get(kind, ()), Counter[str]()
        for number in range(n_sessions):
            agree = number % 2 == 0
            pool = pairs[agree]
            first = int(rng.integers(len(pool) - HEARD_BEFORE - n_windows))
            part = [each for each in pool[first:] if each.session == pool[first].session]
            if wordings:
                asked = of_wording(kind, wordings[number % len(wordings)])
            else:
                asked = ask(kind, Observation(), rng, held_out=True)
            at_door = bool(wordings) and declined(asked.text) is not None
            # What is trained to be declined is put to the model by itself, and in other wordings as a page does.
            question = as_served(model, asked.text, "untold" if wordings else kind)
            windows = list(session(model, part[: HEARD_BEFORE + n_windows], asked, question, agree=agree))
            if not windows:
                continue
            reading[read_as(asked, question, at_door=at_door)] += len(windows)
            answers = None if at_door else chains(model, [each.window for each in windows], question)
            for place, each in enumerate(windows):
                reply = DECLINED if answers is None else answers[place].told
                here = f"{number} {place}"
                hits[here] = right(each.asked, each.seen, reply)
                if wordings and each.asked.kind in ("declined", "untold"):
                    hits[here] = refuses(reply)
                if answers is not None and question.put is not None:
                    own.append(right(each.asked, each.seen, answers[place].sections["answer"]))
                sources["door" if answers is None else answers[place].answered_from or "model"] += 1
                if kind == "declined":
                    not_judged.append(each.asked.text)
                    invented += not refuses(reply)
                if not hits[here]:
                    wrong.append({"asked": each.asked.text, "told": reply, "right": each.asked.answer(each.seen)})
        every += hits.values()
        found[kind] = {**counted([*hits.values()]), "wrong": wrong[:MOST_TOLD], "hits": hits, "from": dict(sources)}
        if wordings:
            found[kind] |= {how: round(reading[how] / max(1, len(hits)), 3) for how in ("read", "other")}
        found[kind]["own"] = round(float(np.mean(own)), 3) if own else None
        print(f"{kind:<12}{as_row(found[kind])}", file=sys.stderr, flush=True)
    whole = counted(every)
    print(f"{'all':<12}{as_row(whole)}", file=sys.stderr, flush=True)
    return {
        "model": model.name,
        "answered_by": model.answer_model or model.name,
        "split": split,
        **whole,
        "not_judged": len(not_judged),
        "invented": invented,
        "declined_at_the_door": sum(declined(text) is not None for text in not_judged),
        "kinds": found,
    }


def staged(
    model: Served, data: Path, split: str, n: int, *, wordings: Path = PARAPHRASES, seed: int = 0
) -> dict[str, Any]:
    """By kind: the share of staged windows that are told right, of wordings that are read, and some that are not."""
    samples = list(SAMPLES["agree"](data, split, STAGED_EACH))
    seen = list[Staged]()
    for each in all_staged(model, samples, n, np.random.default_rng(seed), paraphrases(wordings)):
        seen.append(each)
        if len(seen) % 100 == 0:
            print(f"{len(seen)} windows", file=sys.stderr, flush=True)
    found = dict[str, Any]()
    for kind in dict.fromkeys(each.kind for each in seen):
        own = [(each, told(each)) for each in seen if each.kind == kind]
        wrong = [
            {"asked": each.asked.text, "told": answer, "right": each.right[:3]}
            for each, answer in own
            if not is_right(each, answer)
        ]
        figures = counted([is_right(*each) for each in own])
        answered = [(each, answer) for each, answer in own if answer is not None]
        found[kind] = {**figures, "read": len(answered) / len(own), "wrong": wrong}
        found[kind]["right_of_read"] = float(np.mean([is_right(*each) for each in answered]))
        print(f"{kind:<12}{as_row(figures)}{found[kind]['read']:>8.2f}", file=sys.stderr, flush=True)
    return found


def as_served(model: Served, text: str, kind: Kind) -> Question:
    """The question as a session puts it to this model, also where a session would decline it."""
    if model.open_labels or kind == "declined":
        return Question(text, model.labels)
    try:
        return read(text, model.labels)
    except BadAsk:
        # It is told at the door, in its language, what can be asked.
        return Question(text, model.labels, about=About("untold"))


def of_wording(kind: Kind, wording: Paraphrase) -> KnownQuestion:
    """The question of a wording. Where no cue is what it asks for, nobody can tell it."""
    if wording.about == NOT_MEASURED:
        return KnownQuestion("untold", wording.text)
    return KnownQuestion(kind, wording.text, wording.about)


def read_as(asked: KnownQuestion, question: Question, *, at_door: bool) -> str:
    """How a question was read: "read" as what it is, "other", or "left" as one of no kind."""
    if at_door:
        return "read" if asked.kind == "declined" else "other"
    if question.about is None or question.about.kind == "untold":
        found = "untold" if question.about else "left" if question.read_as is None else "other"
        return "read" if found == asked.kind else "other" if found == "other" else "left"
    return "read" if (question.about.kind, question.about.what or asked.cue) == (asked.kind, asked.cue) else "other"


def refuses(told: str) -> bool:
    """Whether an answer says that this is not judged, or that it cannot be told."""
    return told.split(".")[0].strip() in (DECLINED, UNTOLD)


def counted(hits: list[bool]) -> dict[str, Any]:
    """How many answers there were, the share that was right, and its interval."""
    if not hits:
        return {"n": 0, "n_wrong": 0, "right": None, "right_95": None}
    interval = metrics.bootstrap(np.array(hits))
    return {
        "n": len(hits),
        "n_wrong": hits.count(False),
        "right": round(float(np.mean(hits)), 3),
        "right_95": [round(interval.low, 3), round(interval.high, 3)],
    }


def as_row(figures: Mapping[str, Any]) -> str:
    if not figures["n"]:
        return f"{0:>5}"
    low, high = figures["right_95"]
    return f"{figures['n']:>5}{figures['right']:>8.2f}   {low:.2f} – {high:.2f}"


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--sessions", type=int, default=8, help="of each kind; each has up to five windows")
    parser.add_argument("--windows", type=int, default=ASKED_ABOUT, help="of each session")
    parser.add_argument("--wordings", type=Path, help="how it is asked (JSON); default: as the training holds out")
    parser.add_argument("--staged", type=int, default=0, help="windows of each kind that a rule answers")
    parser.add_argument("--paraphrases", type=Path, default=PARAPHRASES, help="how those are asked (JSON)")
    parser.add_argument("--adapter", type=Path, help="of train.lora, on the model")
    parser.add_argument("--kinds", nargs="*", choices=ASKED_KINDS, default=ASKED_KINDS)
    parser.add_argument("--seed", type=int, default=0, help="of the windows and the order of the questions")
    add_label_argument(parser)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    refuse_input(args.json, args.data, args.model, args.adapter, args.paraphrases, args.wordings)
    model = load_served(args.model, adapter=args.adapter, label=args.label)
    figures = dict[str, Any]()
    if args.kinds:
        said = paraphrases(args.wordings) if args.wordings else None
        figures = count(
            model,
            args.data,
            args.split,
            args.sessions,
            kinds=args.kinds,
            said=said,
            n_windows=args.windows,
            seed=args.seed,
        )
    if args.staged:
        figures["staged"] = staged(model, args.data, args.split, args.staged, wordings=args.paraphrases, seed=args.seed)
    tell_result(figures, args.json)


if __name__ == "__main__":
    run_command(main, "train.evaluation.questions")
