"""What is asked of a window that has been laid out: the label branches, read in one pass, and what they said.

    [ evidence | state <face> | <label> a b c … | state <label> … | state <label> … ]
                 both modalities                 the face alone     the voice alone

The branches do not see each other, and a modality is hidden from a branch by its mask. The chain continues the first
one: its state is read with the labels, and so is its opening tag, whose hidden state gives the chain's first word,
unless the chain is told a first look before that.

A chain trained with a first look is told what these labels were: of each modality before it tells of it, of both before
it argues, and there again of each alone where they differ:

    state <label> b <face> … <label> c <voice> … </voice> <label> a <label> b <label> c <coarse> …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.sequence import Encoder
from realtime.records import Label, Window

HIDDEN = {"both": None, "face": "voice", "voice": "face"}


@dataclass(frozen=True)
class WindowCache:
    """A window as the beginning of a cache: the trunk, then its chunks."""

    cache: KVCache
    parts: tuple[tuple[str, int], ...]
    "(modality, number of tokens) of each chunk, in order."
    next_position: int
    "Where a branch begins."


@dataclass(frozen=True)
class BranchScores:
    """What one pass over the branches gave."""

    scores: dict[str, dict[str, float]]
    "Log-probability of each label, by branch."
    n_shared: int
    "Tokens that the chain begins with and the cache holds already: its state, perhaps its opening tag, or none."
    chain_logits_V: Tensor | None
    "Of the chain's first word, where those end with its opening tag."


def n_faces(window: Window) -> int:
    """Faces in the newest frame that has any: people come and go within a window."""
    return next((len(frame.faces) for frame in reversed(window.frames) if frame.faces), 0)


def branch_names(window: Window) -> tuple[str, ...]:
    return ("both", "face", "voice") if n_faces(window) and window.speech else ("both",)


def state_text(window: Window, name: str = "both", opening: str = "") -> str:
    """What is in view and heard, as a branch is told it."""
    return prompt.branch_text(
        n_faces=0 if name == "voice" else n_faces(window),
        has_picture=bool(window.frames) and name != "voice",
        has_speech=bool(window.speech) and name != "face",
        opening=opening,
    )


def first_look_labels(label: Label, window: Window) -> dict[str, tuple[str, ...]]:
    """`labels_before_sections` of the likeliest labels of one window."""
    shares = {"both": label.probabilities}
    if label.conflict is not None:
        shares |= {"face": label.conflict.face, "voice": label.conflict.voice}
    likeliest = {branch: max(each, key=lambda name: each[name]) for branch, each in shares.items()}
    return labels_before_sections(likeliest, has_face=n_faces(window) > 0, has_speech=bool(window.speech))


def labels_before_sections(
    labels: Mapping[str, str], *, has_face: bool, has_speech: bool
) -> dict[str, tuple[str, ...]]:
    """Section → the labels its chain is told before it, from one label for each label branch.

    The argument is told of each modality again only where they differ: whether they do need not be worked out.
    """
    if not has_face and not has_speech:
        return {prompt.ARGUMENT: (prompt.UNSURE,)}
    told: dict[str, tuple[str, ...]] = {prompt.ARGUMENT: (labels["both"],)}
    face, voice = labels.get("face", labels["both"]), labels.get("voice", labels["both"])
    if has_face:
        told["face"] = (face,)
    if has_speech:
        told["voice"] = (voice,)
    if has_face and has_speech and face != voice:
        told[prompt.ARGUMENT] += (face, voice)
    return told


def tagged_label_ids(encoder: Encoder, labels: Sequence[str]) -> list[int]:
    """Each label behind its tag, tokenized by itself: no tokenizer joins it to its neighbours."""
    return [token for label in labels for text in (prompt.LABEL_TAG, label) for token in encoder.ids(text)]


def openings(vocabulary: Vocabulary, looked: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Section → the tokens that open it: given, never decoded. `looked`: of a chain trained with a first look."""
    return {
        name: tagged_label_ids(vocabulary, looked.get(name, ())) + vocabulary.ids(f"<{name}>")
        for name in prompt.SECTIONS
    }


class LabelPass:
    """Reads the label branches of one window at a time."""

    def __init__(self, model: EmoThinker, language: FusedLanguageModel, vocabulary: Vocabulary) -> None:
        self._model = model
        self._language = language
        self._vocabulary = vocabulary
        self._tag = vocabulary.ids(prompt.LABEL_TAG)
        # What a chain is told before its first section is not known yet, so that it ends with the state.
        self._opening = [] if model.config.emotion.first_look else vocabulary.ids(f"<{prompt.SECTIONS[0]}>")

    @torch.inference_mode()
    def read(self, laid: WindowCache, window: Window, labels: Sequence[str]) -> BranchScores:
        """Scores of every branch. Of what was read the cache keeps only what the chain goes on from."""
        tails = [self._vocabulary.ids(label) for label in labels]
        states = {name: self._vocabulary.ids(state_text(window, name)) for name in branch_names(window)}
        shared = all(
            self._vocabulary.ids(state_text(window, name, prompt.LABEL_TAG)) == ids + self._tag
            for name, ids in states.items()
        )
        if not shared:
            # This tokenizer joins the end of the state with the tag, so neither stands alone.
            states = {name: self._vocabulary.ids(state_text(window, name, prompt.LABEL_TAG)) for name in states}
        plan = BranchLayout(laid)
        ends, opened = {}, None
        for name, ids in states.items():
            n_seen = plan.add(ids, HIDDEN[name])
            if shared and name == "both":
                opened = plan.beside(self._opening, after=n_seen)
            ends[name] = plan.beside(self._tag, after=n_seen) if shared else n_seen
            for tail in tails:
                plan.beside(tail[:-1], after=ends[name])
        hidden = self._read(plan, laid.cache)
        wanted = [row for name in states for row in plan.rows_after(ends[name], tails)]
        begun = opened if self._opening else None
        if begun is not None:
            wanted.append(begun - 1)
        logits = self._language.logits(hidden[torch.tensor(wanted, device=hidden.device)])
        chain_logits = None if begun is None else logits[-1]
        laid.cache.n_used = plan.n_before + (opened or 0)
        log_p = torch.log_softmax(logits.float(), dim=-1).cpu()
        scores, at = {}, 0
        for name in states:
            scores[name] = label_scores(log_p[at:], labels, tails)
            at += 1 + sum(len(tail) - 1 for tail in tails)
        return BranchScores(scores, opened or 0, chain_logits)

    def _read(self, plan: BranchLayout, cache: KVCache) -> Tensor:
        device = self._model.device
        x = self._model.embed(torch.tensor(plan.ids, device=device))
        places = torch.tensor(plan.places, device=device)
        cos, sin = self._language.rotary(places.expand(3, -1))
        return self._language.extend(x, cos, sin, cache, plan.mask().to(device))


def label_scores(log_p_NV: Tensor, labels: Sequence[str], tails: Sequence[list[int]]) -> dict[str, float]:
    """Rows: after the tag, then after each label's tokens but its last, in order."""
    scores, at = {}, 1
    for label, ids in zip(labels, tails, strict=True):
        rows = [0, *range(at, at + len(ids) - 1)]
        scores[label] = float(sum(log_p_NV[row, token] for row, token in zip(rows, ids, strict=True)))
        at += len(ids) - 1
    return scores


class BranchLayout:
    """Tokens of several branches side by side: ids, places and what each may see. Rows count from the first of them."""

    def __init__(self, laid: WindowCache) -> None:
        self._laid = laid
        self.n_before = laid.cache.n_used
        self.ids: list[int] = []
        self.places: list[int] = []
        self._sees: list[tuple[int, int, tuple[tuple[int, int], ...], str | None]] = []
        self._line: dict[int, tuple[tuple[tuple[int, int], ...], int, str | None]] = {}
        "By the row after a stretch: the stretches up to there, the next place, the hidden modality."

    def add(self, ids: Sequence[int], hidden: str | None) -> int:
        """A branch of its own; returns the row after it."""
        return self._put(ids, (), self._laid.next_position, hidden)

    def beside(self, ids: Sequence[int], *, after: int) -> int:
        """A continuation of what ended at row `after`, blind to its other continuations; returns the row after it."""
        if not ids:
            return after
        line, place, hidden = self._line[after]
        return self._put(ids, line, place, hidden)

    def rows_after(self, end: int, tails: Sequence[Sequence[int]]) -> list[int]:
        """The row whose hidden state tells what follows `end`, then those of the tails put beside it."""
        rows, at = [end - 1], end
        for tail in tails:
            rows += range(at, at + len(tail) - 1)
            at += len(tail) - 1
        return rows

    def mask(self) -> Tensor:
        """(rows, cache and rows) bool."""
        n = len(self.ids)
        mask = torch.zeros(n, self.n_before + n, dtype=torch.bool)
        for first, end, line, hidden in self._sees:
            rows = mask[first:end]
            rows[:, : self.n_before] = True
            at = self.n_before - sum(size for _, size in self._laid.parts)
            for modality, size in self._laid.parts:
                if modality == hidden:
                    rows[:, at : at + size] = False
                at += size
            for start, stop in line:
                rows[:, self.n_before + start : self.n_before + stop] = True
            own = rows[:, self.n_before + first : self.n_before + end]
            own.copy_(torch.ones(end - first, end - first, dtype=torch.bool).tril())
        return mask

    def _put(self, ids: Sequence[int], line: tuple[tuple[int, int], ...], place: int, hidden: str | None) -> int:
        first, end = len(self.ids), len(self.ids) + len(ids)
        self.ids += ids
        self.places += range(place, place + len(ids))
        self._sees.append((first, end, line, hidden))
        self._line[end] = ((*line, (first, end)), place + len(ids), hidden)
        return end
