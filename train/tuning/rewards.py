"""Rewards of chains that a model wrote by itself, for the reinforcement stage (`train.rl`).

    answer      the share of the votes that the named label has, where it is the one that was judged
    faithful    F1 of what is said of cues and prosody, against what was measured; nothing for a chain that evades or
                contradicts itself
    format      whether every section is closed by its own tag, and the answer has a label and an intensity
    length      1, and less beyond `ROOM` tokens
    confidence  the log score of how sure the argument says it is
    precision   of the emotions that the answer names, how many at least two of ten voters chose
    recall      of the emotions that at least two of ten voters chose, how many the answer names

A list of words earns nothing, or little. An answer with two labels has none. Every statement counts in the precision of
`faithful`, also one that is made again, so all cues in all degrees are mostly false; so does a cue without a degree,
which is never true. A section that names more than two
emotions, or none though its modality is there, evades; so does an argument with more than three. Silence has no recall.
`tests/train/test_rewards.py` compares such chains with honest ones.

Nothing here reads a model. What is rewarded is what the model wrote, before serving withholds or rewrites any of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from realtime.reason.chain import read_answer
from realtime.reason.consistency import contradictions, named
from realtime.reason.grounding import Statement, Values, heard_in, of_face, of_voice, people_in
from realtime.reason.measurements import CUE_PHRASES, CUE_WORDS, VOICE_WORDS, degree, difference_told, mean_relative
from realtime.reason.prompt import INTENSITIES
from realtime.records import LABELS, Window
from train.evaluation.answer_parser import affirmed

N_CUES = 3
"Cues of each person that a chain should tell, the strongest: as many as its annotator tells."
MOST_READ, MOST_ARGUED = 2, 3
"Emotions that a section about one modality may name, and that an argument may."
ROOM = 160
"Tokens that a chain may have before `length` falls. nano's have about 130."
VOTED = 0.2
"Share of the votes from which an emotion counts as chosen: two of ten voters, as in `evaluation.open_words`."
DOUBT = re.compile(r"\b(?:with doubt|not surely|perhaps|maybe|not sure)\b", re.IGNORECASE)
PERCENT = re.compile(r"\b(\d{1,3}) ?%")
SURE, UNSURE = 0.78, 0.35
"""How sure an argument is that says nothing of doubt, and one that does: about the middle of what the annotator writes
so, which has doubts up to a share of 0.55 (`Writer.fine`)."""
LEAST = 0.01
"No told probability counts as nearer to 0 or 1."


@dataclass(frozen=True)
class Known:
    """What is known of a window, by which its chains are rewarded."""

    window: Window
    votes: Mapping[str, float]
    "Shares of all labels, that observers of everything chose."
    alone: Mapping[str, Mapping[str, float]]
    "`face` and `voice`, where they are there → shares of the labels for that alone."


@dataclass(frozen=True)
class WrittenChain:
    """A chain as the model wrote it."""

    sections: Mapping[str, str]
    argued_for: str | None
    "The label that its argument was given."
    n_tokens: int
    n_cut: int = 0
    "Sections that it did not close by their own tags."


@dataclass(frozen=True)
class CountedStatements:
    """What a chain says of cues and prosody, beside what was measured."""

    n_statements: int
    "With those that are made again, and cues without a degree."
    n_true: int
    "Cues and measures of the voice of which a true statement is made."
    n_measured: int
    "Those that a chain should tell."
    n_found: int
    "Those among them that it tells truly."

    @property
    def f1(self) -> float:
        """F1; 1 where nothing is to be told and nothing is said."""
        precision = self.n_true / self.n_statements if self.n_statements else 1.0
        recall = self.n_found / self.n_measured if self.n_measured else 1.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def told(written: WrittenChain, known: Known) -> CountedStatements:
    """Count the statements of a chain about its window. A cue or measure counts once, however often it is told."""
    window = known.window
    statements = statements_of(written, window)
    true = {(each.section, each.person, each.about) for each in statements if each.holds}
    n_bare = sum(1 for _ in bare(written, statements))
    measured = to_tell(window)
    return CountedStatements(len(statements) + n_bare, len(true), len(measured), len(true & measured))


def bare(written: WrittenChain, statements: Sequence[Statement]) -> Iterator[str]:
    """The cues that a face section names without a degree. Nothing can be held against them, so they earn nothing."""
    text, told_at = written.sections.get("face", ""), {each.start for each in statements if each.section == "face"}
    for cue, phrases in CUE_PHRASES.items():
        for what, how in phrases:
            found = re.finditer(rf"\b{what} {how}\b", text, re.IGNORECASE)
            yield from (cue for match in found if match.start() not in told_at)


def statements_of(written: WrittenChain, window: Window) -> list[Statement]:
    """What a chain says of cues and prosody, as serving's checker reads it."""
    sections = written.sections
    people, heard = people_in(window), heard_in(window)
    return [*of_face(sections.get("face", ""), people), *of_voice(sections.get("voice", ""), heard)]


def to_tell(window: Window) -> set[tuple[str, int, str]]:
    """(section, person, cue or measure) of what a chain should tell of a window."""
    found = {("face", number, cue) for number, person in enumerate(people_in(window)) for cue in strongest(person)}
    usual = [part for part in window.speech if part.cues.usual_known]
    relative = mean_relative(usual) if usual else {}
    return found | {("voice", 0, key) for key in VOICE_WORDS if difference_told(key, relative.get(key, 0.0))}


def strongest(person: Values) -> list[str]:
    """The strongest cues of a person that are worth telling, at most `N_CUES`."""
    peak = {cue: max((frame.get(cue, 0.0) for frame in person), default=0.0) for cue in CUE_WORDS}
    return [cue for cue in sorted(peak, key=lambda cue: -peak[cue])[:N_CUES] if degree(peak[cue])]


def consistent(written: WrittenChain, known: Known) -> bool:
    """Whether a chain says plainly what it finds, and its argument and answer hold to that and to what was judged.

    By serving's own checks (`consistency.py`, `rewrite.py`). These take a section that names no emotion, or several,
    for no contradiction; here it may not evade in this way.
    """
    sections = written.sections
    if contradictions(sections, LABELS, known.alone, given_both=True):
        return False
    if any(not 1 <= len(named(sections.get(name, ""), LABELS)) <= MOST_READ for name in known.alone):
        return False
    argued = {label for name in ("coarse", "fine") for label in named(sections.get(name, ""), LABELS)}
    answered = read_answer(sections.get("answer", ""), LABELS).label
    return len(argued) <= MOST_ARGUED and answered is not None and answered == (written.argued_for or answered)


def answer(written: WrittenChain, known: Known) -> float:
    """The share of the votes that the answer's label has; 0 for an answer that names none, or several, or is unsure.

    Among answers to one window it is the quadratic score of a forecast that is sure of one label, but for a constant.
    An answer that strays from what was judged has none either, since serving writes it again. Else one that contradicts
    a poor judgement, of which many are drawn, would earn more than one that holds to it.
    """
    label = read_answer(written.sections.get("answer", ""), LABELS).label
    if label is None or written.argued_for not in (None, label):
        return 0.0
    return known.votes.get(label, 0.0)


def faithful(written: WrittenChain, known: Known) -> float:
    """F1 of what is said of cues and prosody; 0 for a chain that evades, or contradicts itself or what was judged."""
    return told(written, known).f1 if consistent(written, known) else 0.0


def format_kept(written: WrittenChain, known: Known) -> float:
    """Whether every section is there and closed by its own tag, and the answer has a label and an intensity."""
    read = read_answer(written.sections.get("answer", ""), LABELS)
    whole = all(text.strip() for text in written.sections.values()) and not written.n_cut
    return float(whole and read.label is not None and read.intensity in INTENSITIES)


def length(written: WrittenChain, known: Known) -> float:
    """1 up to `ROOM` tokens, 0 from twice as many, and straight between (the overlong penalty of DAPO, 2025)."""
    return min(1.0, max(0.0, 2.0 - written.n_tokens / ROOM))


def confidence(written: WrittenChain, known: Known) -> float:
    """The expected log score of how sure the argument says it is of the answer; a proper score, at most 0.

    With a share v of the votes for the named label, and c as told: v ln c + (1 − v) ln (1 − c). An answer that names no
    label has the score of certainty that is wrong.
    """
    label = read_answer(written.sections.get("answer", ""), LABELS).label
    if label is None:
        return math.log(LEAST)
    sure, share = told_confidence(written), known.votes.get(label, 0.0)
    return share * math.log(sure) + (1 - share) * math.log(1 - sure)


def told_confidence(written: WrittenChain) -> float:
    """How sure the argument says it is: a per cent where one is told, else whether it has doubts."""
    text = " ".join(written.sections.get(name, "") for name in ("fine", "answer"))
    if percent := PERCENT.search(text):
        return min(1 - LEAST, max(LEAST, int(percent[1]) / 100))
    return UNSURE if DOUBT.search(text) else SURE


def precision(written: WrittenChain, known: Known) -> float:
    """Of the emotions that the answer names in whatever words, the share that voters chose."""
    said, chosen = open_words(written, known)
    return len(said & chosen) / len(said) if said else 0.0


def recall(written: WrittenChain, known: Known) -> float:
    """Of the emotions that voters chose, the share that the answer names in whatever words."""
    said, chosen = open_words(written, known)
    return len(said & chosen) / len(chosen) if chosen else 0.0


def open_words(written: WrittenChain, known: Known) -> tuple[set[str], set[str]]:
    """The emotions that an answer names, and those that voters chose, as labels."""
    said = {label for _, label in affirmed(written.sections.get("answer", ""), LABELS) if label in LABELS}
    return said, {label for label, share in known.votes.items() if share >= VOTED}


Reward = Callable[[WrittenChain, Known], float]
REWARDS: dict[str, Reward] = {
    "answer": answer, "faithful": faithful, "format": format_kept, "length": length, "confidence": confidence,
    "precision": precision, "recall": recall,
}  # fmt: skip
USUAL = ("answer", "faithful")
"Those that are taken where none are named: two beat five in what others published."
APART = ("precision", "recall")
"Rewards whose advantages are normalised each for itself, and then added."
