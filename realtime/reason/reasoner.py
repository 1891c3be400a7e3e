"""The Thinker at work: a fast label as soon as a window is due, then the chain, a few tokens a step.

A window is laid out from the session's ring (`ring.py`), where its evidence was read as it came; one pass over the
label branches gives the label (`branches.py`), and the chain goes on from the very same cache (`decode.py`).

Two other ways lead to the same cache. A checkpoint that was not trained for the ring, or a window whose evidence is
not in one, is read as a whole, causally or chunk by chunk as its checkpoint wants it. And `read` does the same on the
plain modules, without anything fused: slow, and the reference that the tests hold the others to.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.language import BatchKVCache
from realtime.model.products import Narrow
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import calibrate, prompt
from realtime.reason.batched_decoder import BatchedDecoder, DecodeSlot
from realtime.reason.branches import (
    HIDDEN,
    LabelPass,
    WindowCache,
    branch_names,
    first_look_labels,
    label_scores,
    n_faces,
    openings,
    state_text,
)
from realtime.reason.chain import SectionText, read_answer
from realtime.reason.decode import Decoder
from realtime.reason.sequence import Evidence, assemble, branch_mask, text_positions
from realtime.reason.session_ring import SessionRing
from realtime.records import Conflict, FrameEvidence, Label, ReasonDelta, ReasonDone, SpeechEvidence, Window

logger = logging.getLogger(__name__)

__all__ = ["ANSWER_TOKENS", "CHAIN_SLOTS", "SECTION_TOKENS", "PlainReading", "Reasoner", "n_faces"]

SECTION_TOKENS = 96
"A section that has not been closed by then is closed for it: a small model may repeat itself."
ANSWER_TOKENS = 24
CHAIN_SLOTS = len(prompt.SECTIONS) * (SECTION_TOKENS + 24)
"Of every section, its tags, and the first look."
LABEL_SLOTS = 384
"Of the label branches: three states, and label words of more than one token. More are made room for when needed."
KEPT_READINGS = 8
"Windows whose cache waits for their chain; a window that is never reasoned about is forgotten with the ninth."


Written = ReasonDelta | Label | ReasonDone | None


@dataclass
class LabelledWindow:
    """A window whose label is known, and the cache that its chain goes on from."""

    window: Window
    question: prompt.Question
    label: Label
    cached: WindowCache
    chain_position: int
    "Where its next token stands."
    openings: dict[str, list[int]]
    "Section → the tokens that open it."
    beginning: list[int]
    "Tokens that the chain begins with and the cache does not hold yet."
    chain_logits_V: Tensor | None
    "Of the first word, where nothing is to be read before it."


@dataclass
class PlainReading:
    """A window read plainly: its slots, and what the label branches said."""

    window: Window
    question: prompt.Question
    evidence: Evidence
    cache: BatchKVCache
    visible: Tensor
    "(n_slots,) bool: trunk and evidence, which the chain sees."
    n_used: int
    label: Label


@dataclass(frozen=True)
class LabelBranch:
    name: str
    hidden: str | None
    ids: list[int]


class Reasoner:
    """Shared by all sessions; called from the model worker's thread only."""

    def __init__(
        self,
        model: EmoThinker,
        vocabulary: Vocabulary,
        *,
        narrow: Narrow | None = None,
        language: FusedLanguageModel | None = None,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """With `narrow` chains are decoded with 8-bit weights (`products.py`).

        `reader` is the language model as it serves, where several with adapters of their own share its weights.
        """
        self._model = model
        self.vocabulary = vocabulary
        self._now_s = now_s
        self._fused = language or FusedLanguageModel(model.thinker.model, model.thinker.lm_head, narrow=narrow)
        self._decoder = BatchedDecoder(self._fused)
        self._labels = LabelPass(model, self._fused, vocabulary)
        self._rings: dict[int, SessionRing] = {}
        self._labelled: OrderedDict[int, LabelledWindow] = OrderedDict()
        self._ring = model.config.emotion.ring
        self._calibration = model.config.emotion.calibration

    def query_embeddings(self, question: prompt.Question) -> Tensor:
        """(Q, D): the text query that selectors attend to."""
        ids = self.vocabulary.ids(prompt.query_text(self._model.config.emotion.prompt, question))
        return self._model.embed(torch.tensor(ids, device=self._model.device)).detach()

    def open_ring(self, question: prompt.Question) -> SessionRing | None:
        """A ring for one session's evidence; None where the checkpoint was not trained for one."""
        if not self._ring:
            return None
        ring = SessionRing(self._model, self._fused, self.vocabulary, question, closed=self._forget)
        self._rings[ring.number] = ring
        return ring

    def close_rings(self) -> None:
        """Forget every session's evidence."""
        self._rings.clear()

    def _forget(self, ring: int) -> None:
        self._rings.pop(ring, None)

    @torch.inference_mode()
    def fast_label(self, window: Window, question: prompt.Question) -> Label:
        """Calibrated label from one pass, before any chain; with both modalities also what each alone would say."""
        labelled = self.label_window(window, question)
        self._labelled[id(window)] = labelled
        while len(self._labelled) > KEPT_READINGS:
            self._labelled.popitem(last=False)
        return labelled.label

    def reason(self, window: Window, question: prompt.Question) -> Iterator[Written]:
        """The chain: deltas, then the label it arrived at, then everything together.

        None where a token was read that shows nothing yet: going on with other chains there reads them together.
        """
        labelled = self._labelled.pop(id(window), None)
        if labelled is None or labelled.window is not window or labelled.question != question:
            labelled = self.label_window(window, question)
        yield from self._chain(labelled)

    def label_window(self, window: Window, question: prompt.Question) -> LabelledWindow:
        """The window laid out and its label branches read: where its chain goes on from."""
        try:
            return self._label_window(window, question)
        except torch.OutOfMemoryError:
            logger.warning("no room for a window; %d that wait for their chain are given up", len(self._labelled))
        # What waits for its chain is read again when that begins; a label cannot wait. Tried again out here, where the
        # failure no longer holds what had been allocated for it.
        self._labelled.clear()
        torch.cuda.empty_cache()
        return self._label_window(window, question)

    @torch.inference_mode()
    def _label_window(self, window: Window, question: prompt.Question) -> LabelledWindow:
        laid = self._from_ring(window, question) or self._prefill_whole(window, question)
        read = self._labels.read(laid, window, question.labels)
        label = self._label(window, read.scores)
        looked = first_look_labels(label, window) if self._model.config.emotion.first_look else {}
        opened = openings(self.vocabulary, looked)
        beginning: list[int] = []
        if read.chain_logits_V is None:
            state = [] if read.n_shared else self.vocabulary.ids(state_text(window))
            beginning = state + opened[prompt.SECTIONS[0]]
        at = laid.next_position + read.n_shared
        return LabelledWindow(window, question, label, laid, at, opened, beginning, read.chain_logits_V)

    def _from_ring(self, window: Window, question: prompt.Question) -> WindowCache | None:
        """The window from its session's ring; None where some of it is not there."""
        evidence: tuple[FrameEvidence | SpeechEvidence, ...] = (*window.frames, *window.speech)
        ring = self._rings.get(evidence[0].ring) if evidence else None
        if ring is None or ring.question != question:
            return None
        return ring.window_cache(window, n_more=self._n_slots_after(question))

    def _prefill_whole(self, window: Window, question: prompt.Question) -> WindowCache:
        """Trunk and evidence read together, as the checkpoint was trained to."""
        evidence = assemble(self._model, self.vocabulary, window, question)
        x = evidence.x_ND
        mask = evidence.mask(ring=True).to(x.device) if self._ring else None
        cache = KVCache(
            self._model.config.text,
            x.shape[0] + self._n_slots_after(question),
            dtype=self._model.dtype,
            device=self._model.device,
        )
        cos, sin = self._fused.rotary(evidence.positions_3N.to(x.device))
        self._fused.extend(x, cos, sin, cache, mask, keys_only=True)
        parts = tuple((chunk.modality, chunk.x_ND.shape[0]) for chunk in evidence.chunks)
        return WindowCache(cache, parts, evidence.next_position)

    def _n_slots_after(self, question: prompt.Question) -> int:
        """Slots a window needs behind its evidence: for its label branches, then in their place for its chain."""
        tails = sum(len(self.vocabulary.ids(label)) for label in question.labels)
        return max(CHAIN_SLOTS, LABEL_SLOTS + 3 * tails)

    def _label(self, window: Window, scores: dict[str, dict[str, float]]) -> Label:
        state = calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech))
        alone = {name: of_labels for name, of_labels in scores.items() if name != "both"}
        probabilities = calibrate.fast(scores["both"], state, self._calibration, alone=alone)
        conflict = None
        if alone:
            face = calibrate.fast(scores["face"], "face", self._calibration)
            voice = calibrate.fast(scores["voice"], "voice", self._calibration)
            conflict = Conflict(face, voice, calibrate.divergence_bits(list(face.values()), list(voice.values())))
        best = max(probabilities, key=lambda label: probabilities[label])
        told = best if probabilities[best] >= self._calibration.unsure_below and state != "none" else prompt.UNSURE
        return Label(told, probabilities, "fast", conflict)

    def _chain(self, labelled: LabelledWindow) -> Iterator[Written]:
        slot = self._decoder.open_slot(
            labelled.cached.cache,
            next_position=labelled.chain_position,
            next_token=None if labelled.chain_logits_V is None else int(labelled.chain_logits_V.argmax()),
            n_more=CHAIN_SLOTS,
        )
        try:
            yield from self._written(labelled, slot)
        finally:
            slot.close()

    def _written(self, labelled: LabelledWindow, slot: DecodeSlot) -> Iterator[Written]:
        began_s = self._now_s()
        tags = labelled.openings
        decoder = Decoder(self.vocabulary, slot)
        if labelled.beginning:
            decoder.feed(labelled.beginning)
        _, *later = prompt.SECTIONS
        sections: dict[str, str] = {}
        for name, following in zip(prompt.SECTIONS, [*later, None], strict=True):
            section = SectionText(name)
            limit = ANSWER_TOKENS if name == "answer" else SECTION_TOKENS
            for new in decoder.section(section, limit, tags[following] if following else []):
                yield ReasonDelta(name, new) if new else None
            sections[name] = section.text.strip()
        read = read_answer(sections["answer"], labelled.question.labels)
        probabilities = calibrate.joined(labelled.label.probabilities, read.label, self._calibration)
        answer = calibrate.answer(probabilities, read.label, read.intensity, self._calibration)
        yield Label(answer.label, probabilities, "chain", labelled.label.conflict)
        passed_s = self._now_s() - began_s
        timings = {"chain": passed_s * 1000, "chain_tokens": float(decoder.n_decoded)}
        yield ReasonDone(sections, answer, timings)

    # The plain way.

    @torch.inference_mode()
    def read_plainly(self, window: Window, question: prompt.Question) -> PlainReading:
        """Trunk, evidence and label branches of one window in one pass of the plain modules."""
        evidence = assemble(self._model, self.vocabulary, window, question)
        branches = [
            LabelBranch(name, HIDDEN[name], self.vocabulary.ids(state_text(window, name, prompt.LABEL_TAG)))
            for name in branch_names(window)
        ]
        label_ids = [self.vocabulary.ids(label) for label in question.labels]
        x, positions, mask, ends = self._plain_layout(evidence, branches, label_ids)
        n_evidence = evidence.n_prefix + sum(chunk.x_ND.shape[0] for chunk in evidence.chunks)
        config = self._model.config.text
        n_slots = x.shape[0] + CHAIN_SLOTS
        cache = BatchKVCache(config, n_slots, dtype=self._model.dtype, device=self._model.device)
        wide = torch.zeros(x.shape[0], n_slots, dtype=torch.bool, device=self._model.device)
        wide[:, : x.shape[0]] = mask
        slots = torch.arange(x.shape[0], device=self._model.device)
        hidden = self._model.thinker.model(x[None], positions[:, None], wide, cache, slots)[0]
        n_tails = sum(len(ids) - 1 for ids in label_ids)
        scores = {}
        for branch, end in zip(branches, ends, strict=True):
            rows = hidden[end : end + 1 + n_tails]
            log_p = torch.log_softmax(self._model.thinker.lm_head(rows).float(), dim=-1).cpu()
            scores[branch.name] = label_scores(log_p, question.labels, label_ids)
        visible = torch.zeros(n_slots, dtype=torch.bool, device=self._model.device)
        visible[:n_evidence] = True
        return PlainReading(window, question, evidence, cache, visible, x.shape[0], self._label(window, scores))

    def _plain_layout(
        self, evidence: Evidence, branches: list[LabelBranch], label_ids: list[list[int]]
    ) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Embeddings (T, D), positions (3, T), mask (T, T) of everything, and the last prompt token of each branch.

        After each branch stand, side by side and blind to one another, the label words without their last token.
        """
        device = self._model.device
        parts, positions = [evidence.x_ND], [evidence.positions_3N]
        n_evidence = parts[0].shape[0]
        tails = [ids[:-1] for ids in label_ids]
        n_branch = sum(len(branch.ids) + sum(map(len, tails)) for branch in branches)
        mask = torch.zeros(n_evidence + n_branch, n_evidence + n_branch, dtype=torch.bool)
        mask[:n_evidence, :n_evidence] = evidence.mask(ring=self._ring)
        at, ends = n_evidence, []
        for branch in branches:
            n = len(branch.ids)
            seen = branch_mask(evidence, n, hidden=branch.hidden)
            mask[at : at + n, :n_evidence] = seen[:, :n_evidence]
            mask[at : at + n, at : at + n] = seen[:, n_evidence:]
            ends.append(at + n - 1)
            ids, place = list(branch.ids), [text_positions(n, evidence.next_position)]
            tail_at = at + n
            for tail in tails:
                m = len(tail)
                rows = slice(tail_at, tail_at + m)
                mask[rows, : at + n] = mask[at + n - 1, : at + n]
                mask[rows, rows] = torch.ones(m, m, dtype=torch.bool).tril()
                ids += tail
                place.append(text_positions(m, evidence.next_position + n))
                tail_at += m
            parts.append(self._model.embed(torch.tensor(ids, device=device)))
            positions.append(torch.cat(place, 1))
            at = tail_at
        return torch.cat(parts), torch.cat(positions, 1).to(device), mask.to(device), ends
