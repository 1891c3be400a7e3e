"""The parts of a chain: which sections are written together, and what each part reads.

    plain            [ evidence | voice face context atmosphere coarse fine answer ]
    first_look       the same, with fast labels inserted (`branches.py`)
    evidence_first   [ voice heard  | voice ]                                    reads the sound alone
                     [ pictures     | face context atmosphere ]                  reads the pictures alone
                     [ all evidence | both texts | <label> … coarse fine answer ]

An evidence-first chain finds before it judges. Its first two parts continue the label branches of the voice alone and
of the face alone. They have the same positions and mask, and the same state, to which a checkpoint may add what was
measured, in words (`measurements.py`). So the text about the voice cannot depend on the face, nor on a label. The
argument follows all the evidence and both texts. Before it is written, the labels are scored once more at its place, so
that the texts count as evidence (`LabelPass.judge`). So does what was said, for a checkpoint that reads words, where it
is known by then. The argument then begins with the label of highest probability. Otherwise greedy decoding, which does
not use the calibration, often argued for another label, and was less often right. Where the texts name different
emotions for face and voice, the argument is given these two as well: a small model that had to compare them by itself
got the comparison wrong for one pair in five.

Each part is decoded in a KV cache of its own that holds the evidence it may read. Its keys and values are then appended
to the window's KV cache. No decoder needs a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from realtime.model.config import Calibration, ChainForm, EmotionConfig
from realtime.model.fused import KVCache
from realtime.model.tokenizer import Vocabulary
from realtime.reason import calibrate, prompt
from realtime.reason.bounds import Bounds
from realtime.reason.branches import (
    HIDDEN,
    BranchScores,
    LabelPass,
    WindowCache,
    n_faces,
    state_text,
    tagged_label_ids,
)
from realtime.reason.certainty import certainty
from realtime.reason.consistency import named_alone
from realtime.reason.decode import SECTION_SLOTS
from realtime.reason.grounded import Grounded
from realtime.reason.measurements import measured_words
from realtime.reason.second_look import looked_again
from realtime.records import Label, Window
from realtime.words.expert import WordsExpert


@dataclass(frozen=True)
class ChainPart:
    """Sections that are written in one go."""

    name: str
    "The label branch whose state, positions and mask it has: `both`, `face` or `voice`."
    sections: tuple[str, ...]

    def state(self, window: Window, *, measured: bool = False) -> str:
        """The text at the part's beginning: what is in view and heard, of what it reads.

        With `measured` a part that reads one modality is told in words what was measured of it.

        It says nothing of the modality that is hidden, whether that is there or not. The argument has the state of
        the judgement before it.
        """
        told = measured_words(window, self.name) if measured and self in FOUND else ""
        return state_text(window, self.name, judging=self is ARGUED, measured=told)


WHOLE = (ChainPart("both", prompt.SECTIONS),)
FOUND = (ChainPart("voice", ("voice",)), ChainPart("face", ("face", "context", "atmosphere")))
"The parts that are written from one modality."
ARGUED = ChainPart("both", ("coarse", "fine", "answer"))


def parts_of(form: ChainForm) -> tuple[ChainPart, ...]:
    """The parts of a chain in the order in which they are written."""
    return (*FOUND, ARGUED) if form == "evidence_first" else WHOLE


def asked_again(form: ChainForm, question: prompt.Question) -> str:
    """The question as an evidence-first chain is given it before its answer. Empty for the usual one."""
    return question.put or "" if form == "evidence_first" else ""


@dataclass
class LabelledWindow:
    """A window whose label is known, and the KV cache that its chain continues."""

    window: Window
    question: prompt.Question
    label: Label
    cached: WindowCache
    scored: BranchScores
    openings: dict[str, list[int]]
    "Section → the tokens that open it."
    n_found: int = 0
    "Longest of the parts that were written from one modality, in positions."
    judged: dict[str, float] = field(default_factory=dict)
    "Log-probability of each label after those parts. Empty where the chain has none."
    argued_for: str | None = None
    "The label that an evidence-first chain was given to argue for. None before its argument, and for other chains."
    n_withheld: int = 0
    "How often its measurements kept it from beginning a statement (`grounded.py`)."
    said: dict[str, float] | None = None
    "What the words that the judgement read say alone, empty where nobody knows it. None where it read none."

    @property
    def probabilities(self) -> dict[str, float]:
        """The fast label's, after a second look at the face."""
        return looked_again(self.label, self.window)


def judged(labelled: LabelledWindow, calibration: Calibration) -> str:
    """The label that an evidence-first chain argues for: the likeliest after its texts, `unsure` without evidence."""
    if not n_faces(labelled.window) and not labelled.window.speech:
        return prompt.UNSURE
    shares = calibrate.joined(labelled.probabilities, None, calibration, judged=labelled.judged, said=labelled.said)
    return max(shares, key=lambda label: shares[label])


def labels_before_argument(judged: str, sections: Mapping[str, str], labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that open the argument: the judged one, then those named of face and voice where they differ.

    Texts that name no emotion, or several, add none.
    """
    face, voice = (named_alone(sections[name], labels) for name in ("face", "voice"))
    return (judged, face, voice) if face is not None and voice is not None and face != voice else (judged,)


@dataclass(frozen=True)
class BegunPart:
    """A part that is ready to be decoded."""

    cache: KVCache
    n_before: int
    "KV-cache slots in use before it."
    next_position: int
    beginning: list[int]
    "First tokens that the KV cache does not hold yet. They end with the opening tag of the part's first section."
    first_logits_V: Tensor | None
    "Logits of the first token where `beginning` is empty; else None."


class ChainParts:
    """Makes the KV cache of each part of a chain, and joins what was written in them."""

    def __init__(
        self, emotion: EmotionConfig, encoder: Vocabulary, labels: LabelPass, calibration: Calibration
    ) -> None:
        self.parts = parts_of(emotion.chain_form)
        self._measured = emotion.measured
        self._encoder = encoder
        self._labels = labels
        self._calibration = calibration
        self._words = WordsExpert.load() if emotion.words else None

    @torch.inference_mode()
    def begin(self, labelled: LabelledWindow, part: ChainPart, sections: Mapping[str, str]) -> BegunPart:
        """The KV cache and the first tokens of a part. The parts before it are finished and wrote `sections`."""
        cached, window = labelled.cached, labelled.window
        if part in FOUND:
            beginning = (
                self._encoder.ids(part.state(window, measured=self._measured)) + labelled.openings[part.sections[0]]
            )
            n_more = len(beginning) + SECTION_SLOTS * len(part.sections)
            cache = cached.without(HIDDEN[part.name], n_more=n_more)
            return BegunPart(cache, cache.n_used, cached.next_position, beginning, None)
        scored, position, opening = labelled.scored, cached.next_position, list[int]()
        if part is ARGUED:
            position += labelled.n_found
            scored = self._labels.judge(cached.at(position), window, labelled.question.labels)
            labelled.judged = scored.scores["both"]
            labelled.said = self.said(window)
            labelled.argued_for = judged(labelled, self._calibration)
            told = labels_before_argument(labelled.argued_for, sections, labelled.question.labels)
            opening = tagged_label_ids(self._encoder, told)
        beginning = []
        if scored.chain_logits_V is None:
            state = [] if scored.n_shared else self._encoder.ids(part.state(window))
            beginning = state + opening + labelled.openings[part.sections[0]]
        n_before = cached.cache.n_used
        return BegunPart(cached.cache, n_before, position + scored.n_shared, beginning, scored.chain_logits_V)

    def said(self, window: Window) -> dict[str, float] | None:
        """What the words of a window say alone (`LabelledWindow.said`)."""
        if self._words is None or not window.said:
            return None
        shares = self._words.probabilities(window.said)
        return calibrate.of_words(shares, self._calibration) if shares else {}

    def bounds(self, labelled: LabelledWindow, part: ChainPart) -> Bounds:
        """What binds the words of this part to its evidence; nothing where it tells more than one modality."""
        if part not in FOUND:
            return Bounds()
        window = labelled.window
        return Bounds(certainty(self._encoder, labelled.label, window), Grounded(self._encoder, window))

    @torch.inference_mode()
    def finish(self, labelled: LabelledWindow, part: ChainPart, begun: BegunPart, cache: KVCache) -> None:
        """Append what a part wrote to the window's KV cache. `cache` is the one that it was decoded in."""
        if part not in FOUND:
            return
        whole, first = labelled.cached.cache, begun.n_before
        n = cache.n_used - first
        into = slice(whole.n_used, whole.n_used + n)
        whole.keys_LHSD[:, :, into] = cache.keys_LHSD[:, :, first : first + n]
        whole.values_LHSD[:, :, into] = cache.values_LHSD[:, :, first : first + n]
        whole.n_used += n
        labelled.n_found = max(labelled.n_found, n)
