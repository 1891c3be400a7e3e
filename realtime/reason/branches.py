"""The label branches of a window, scored in one forward pass, and how their labels enter the chain.

    [ evidence | state <face> | <label> a b c … | state <label> … | state <label> … ]
                 both modalities                 the face alone     the voice alone

Branches do not attend to each other, and a mask hides one modality from a branch. The chain continues the first branch.
Its state is prefilled together with the labels. So is its opening tag, whose hidden state gives the chain's first
token, unless a label is inserted before that tag.

A chain of the form `first_look` has the fast labels inserted into its chain: a modality's label before that
modality's section, and the label of both before the argument, followed there by those of each alone if these differ:

    state <label> b <face> … <label> c <voice> … </voice> <label> a <label> b <label> c <coarse> …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.sequence import Encoder
from realtime.reason.with_words import Added, voice_with_words
from realtime.records import Label, Window

HIDDEN = {"both": None, "face": "voice", "voice": "face"}
"Label branch → the modality that its mask hides."


@dataclass(frozen=True)
class WindowCache:
    """A prefilled window: a KV cache that begins with the prompt prefix and then the window's chunks."""

    cache: KVCache
    n_prefix: int
    "Number of tokens of the prompt prefix."
    parts: tuple[tuple[str, int], ...]
    "(modality, number of tokens) of each chunk, in order."
    next_position: int
    "Position at which a branch begins."

    def at(self, position: int) -> WindowCache:
        """The same KV cache, whose branches begin at `position`."""
        return replace(self, next_position=position)

    def without(self, modality: str | None, *, n_more: int) -> KVCache:
        """A copy of the prompt prefix and of the chunks of other modalities, with `n_more` free slots after them."""
        kept, at = list(range(self.n_prefix)), self.n_prefix
        for name, n in self.parts:
            kept += range(at, at + n) if name != modality else ()
            at += n
        slots = torch.tensor(kept, device=self.cache.keys_LHSD.device)
        return self.cache.copy(slots, n_more=n_more)


@dataclass(frozen=True)
class BranchScores:
    """What one forward pass over the label branches gave."""

    scores: dict[str, dict[str, float]]
    "Log-probability of each label, by branch."
    n_shared: int
    "Number of the chain's first tokens that the KV cache holds already: its state, perhaps its opening tag, or none."
    chain_logits_V: Tensor | None
    "Logits of the chain's first token, where those tokens end with its opening tag; else None."


def n_faces(window: Window) -> int:
    """Number of faces in the newest frame that has any: people come and go within a window."""
    return next((len(frame.faces) for frame in reversed(window.frames) if frame.faces), 0)


def branch_names(window: Window) -> tuple[str, ...]:
    """The label branches of a window. Each modality has one of its own only where both are there."""
    return ("both", "face", "voice") if n_faces(window) and window.speech else ("both",)


def state_text(
    window: Window, name: str = "both", opening: str = "", *, judging: bool = False, measured: str = ""
) -> str:
    """The text at the beginning of a branch: what is in view and heard, then `opening`.

    With `judging` it has what was said, too, where that is known. The fast label does not wait for words. `measured` is
    what `measurements.py` says of the window.
    """
    return prompt.branch_text(
        n_faces=0 if name == "voice" else n_faces(window),
        has_picture=bool(window.frames) and name != "voice",
        has_speech=bool(window.speech) and name != "face",
        opening=opening,
        measured=measured,
        said=window.said if judging else "",
    )


def first_look_labels(label: Label, window: Window) -> dict[str, tuple[str, ...]]:
    """Section → the labels inserted before it, from the fast label of a window."""
    shares = {"both": label.probabilities}
    if label.conflict is not None:
        shares |= {"face": label.conflict.face, "voice": label.conflict.voice}
    likeliest = {branch: max(each, key=lambda name: each[name]) for branch, each in shares.items()}
    return labels_before_sections(likeliest, has_face=n_faces(window) > 0, has_speech=bool(window.speech))


def labels_before_sections(
    labels: Mapping[str, str], *, has_face: bool, has_speech: bool
) -> dict[str, tuple[str, ...]]:
    """Section → the labels inserted before it, from one label for each label branch.

    The argument gets the labels of face and voice again only where they differ: the chain need not compare them.
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
    """Token ids of each label after its tag. Each is tokenized alone, so no tokenizer joins it to its neighbours."""
    return [token for label in labels for text in (prompt.LABEL_TAG, label) for token in encoder.ids(text)]


def openings(vocabulary: Vocabulary, looked: Mapping[str, Sequence[str]], asked: str = "") -> dict[str, list[int]]:
    """Section → the tokens that open it. They are given, never decoded.

    `looked` holds the labels inserted before each section. In serving it is empty unless the chain's form is
    `first_look`: what an evidence-first chain judged is not known yet. Such a chain is given the question once more
    (`asked`) before it answers: a small model need not look for it at the other end of its evidence.
    """
    return {
        name: [
            *tagged_label_ids(vocabulary, looked.get(name, ())),
            *(vocabulary.ids(asked) if name == "answer" else ()),
            *vocabulary.ids(f"<{name}>"),
        ]
        for name in prompt.SECTIONS
    }


class LabelPass:
    """Scores the label branches of one window at a time."""

    def __init__(self, model: EmoThinker, language: FusedLanguageModel, vocabulary: Vocabulary) -> None:
        self._model = model
        self._language = language
        self._vocabulary = vocabulary
        self._tag = vocabulary.ids(prompt.LABEL_TAG)
        form = model.config.emotion.chain_form
        self._opening: list[int] | None = vocabulary.ids(f"<{prompt.SECTIONS[0]}>")
        "What follows the state in the chain. None where the chain does not continue the branch of both modalities."
        if form == "first_look":
            self._opening = []  # the labels before the first section are not known yet
        elif form == "evidence_first":
            self._opening = None

    def score(self, cached: WindowCache, window: Window, labels: Sequence[str]) -> BranchScores:
        """Scores of every branch. The KV cache keeps only those new tokens that the chain continues."""
        return self._score(cached, window, labels, branch_names(window), self._opening, judging=False)

    def judge(self, cached: WindowCache, window: Window, labels: Sequence[str]) -> BranchScores:
        """Scores of both modalities after the texts of an evidence-first chain, which the KV cache holds.

        The KV cache keeps the state. The label that is judged comes next, and then the argument.
        """
        return self._score(cached, window, labels, ("both",), [], judging=True)

    @torch.inference_mode()
    def _score(
        self,
        cached: WindowCache,
        window: Window,
        labels: Sequence[str],
        names: Sequence[str],
        opening: list[int] | None,
        *,
        judging: bool,
    ) -> BranchScores:
        tails = [self._vocabulary.ids(label) for label in labels]
        state = partial(state_text, window, judging=judging)
        states = {name: self._vocabulary.ids(state(name)) for name in names}
        shared = all(
            self._vocabulary.ids(state(name, prompt.LABEL_TAG)) == ids + self._tag for name, ids in states.items()
        )
        n_state = len(states["both"])
        if not shared:
            # This tokenizer joins the end of the state with the tag, so neither can be tokenized alone.
            states = {name: self._vocabulary.ids(state(name, prompt.LABEL_TAG)) for name in states}
        added = None
        if judging:
            added = voice_with_words(self._model, self._vocabulary, window, n_state=n_state)
        layout = BranchLayout(cached)
        ends, opened = {}, None
        for name, ids in states.items():
            n_seen = layout.add(ids, HIDDEN[name])
            if shared and name == "both" and opening is not None:
                opened = layout.beside(opening, after=n_seen)
            ends[name] = layout.beside(self._tag, after=n_seen) if shared else n_seen
            for tail in tails:
                layout.beside(tail[:-1], after=ends[name])
        hidden = self._hidden(layout, cached.cache, added)
        wanted = [row for name in states for row in layout.rows_after(ends[name], tails)]
        begun = opened if opening else None
        if begun is not None:
            wanted.append(begun - 1)
        logits = self._language.logits(hidden[torch.tensor(wanted, device=hidden.device)])
        chain_logits = None if begun is None else logits[-1]
        cached.cache.n_used = layout.n_before + (opened or 0)
        log_p = torch.log_softmax(logits.float(), dim=-1).cpu()
        scores, at = {}, 0
        for name in states:
            scores[name] = label_scores(log_p[at:], labels, tails)
            at += 1 + sum(len(tail) - 1 for tail in tails)
        return BranchScores(scores, opened or 0, chain_logits)

    def _hidden(self, layout: BranchLayout, cache: KVCache, added: Added | None) -> Tensor:
        device = self._model.device
        x = self._model.embed(torch.tensor(layout.ids, device=device))
        if added is not None:
            x = added.onto(x)
        positions = torch.tensor(layout.positions, device=device)
        cos, sin = self._language.rotary(positions.expand(3, -1))
        return self._language.extend(x, cos, sin, cache, layout.mask().to(device))


def label_scores(log_p_NV: Tensor, labels: Sequence[str], tails: Sequence[list[int]]) -> dict[str, float]:
    """Log-probability of each label.

    `log_p_NV` has one row for the tag, then one for each token of each label but its last, in order; `tails` are the
    token ids of the labels.
    """
    scores, at = {}, 1
    for label, ids in zip(labels, tails, strict=True):
        rows = [0, *range(at, at + len(ids) - 1)]
        scores[label] = float(sum(log_p_NV[row, token] for row, token in zip(rows, ids, strict=True)))
        at += len(ids) - 1
    return scores


class BranchLayout:
    """Token ids, positions and mask of several branches in one sequence. Rows count from the first branch token."""

    def __init__(self, cached: WindowCache) -> None:
        self._cached = cached
        self.n_before = cached.cache.n_used
        self.ids: list[int] = []
        self.positions: list[int] = []
        self._sees: list[tuple[int, int, tuple[tuple[int, int], ...], str | None]] = []
        self._line: dict[int, tuple[tuple[tuple[int, int], ...], int, str | None]] = {}
        "By the row after a run of tokens: the runs up to there, the next position, the hidden modality."

    def add(self, ids: Sequence[int], hidden: str | None) -> int:
        """Add a branch that follows the evidence; returns the row after it."""
        return self._put(ids, (), self._cached.next_position, hidden)

    def beside(self, ids: Sequence[int], *, after: int) -> int:
        """Continue the tokens that ended at row `after`, hidden from other continuations; returns the row after it."""
        if not ids:
            return after
        line, position, hidden = self._line[after]
        return self._put(ids, line, position, hidden)

    def rows_after(self, end: int, tails: Sequence[Sequence[int]]) -> list[int]:
        """The row whose hidden state predicts the token after `end`, then the rows of the tails that continue it."""
        rows, at = [end - 1], end
        for tail in tails:
            rows += range(at, at + len(tail) - 1)
            at += len(tail) - 1
        return rows

    def mask(self) -> Tensor:
        """(rows, slots in use + rows) bool, True where a row may attend."""
        n = len(self.ids)
        mask = torch.zeros(n, self.n_before + n, dtype=torch.bool)
        for first, end, line, hidden in self._sees:
            rows = mask[first:end]
            rows[:, : self.n_before] = True
            at = self._cached.n_prefix
            for modality, size in self._cached.parts:
                if modality == hidden:
                    rows[:, at : at + size] = False
                at += size
            for start, stop in line:
                rows[:, self.n_before + start : self.n_before + stop] = True
            own = rows[:, self.n_before + first : self.n_before + end]
            own.copy_(torch.ones(end - first, end - first, dtype=torch.bool).tril())
        return mask

    def _put(self, ids: Sequence[int], line: tuple[tuple[int, int], ...], position: int, hidden: str | None) -> int:
        first, end = len(self.ids), len(self.ids) + len(ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        self._sees.append((first, end, line, hidden))
        self._line[end] = ((*line, (first, end)), position + len(ids), hidden)
        return end
