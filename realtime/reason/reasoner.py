"""The reasoner: a fast label as soon as a window is due, then its chain, a few tokens per step.

A window's KV cache is copied from the session's ring (`session_ring.py`), where its evidence was prefilled as it came.
One forward pass over the label branches gives the fast label (`branches.py`), and the chain continues the same KV cache
(`decode.py`).

There are two other paths to the same results. A window whose evidence is not in a ring is prefilled as a whole, as is
every window of a checkpoint that was not trained for the ring; the mask is then the checkpoint's own. A model that only
writes chains does so by parts, between which labels are given, and with the frames that it would read live. And
`read_plainly` computes the labels with the plain modules (`reference.py`), which tests compare the others with.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from realtime.asking.languages import in_language
from realtime.model.config import Calibration
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.products import Narrow
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import calibrate, own_labels, prompt
from realtime.reason.affect import affect
from realtime.reason.answers import Grounds, answered
from realtime.reason.appending import Appends
from realtime.reason.batched_decoder import BatchedDecoder
from realtime.reason.branches import (
    BranchScores,
    LabelPass,
    WindowCache,
    first_look_labels,
    n_faces,
    openings,
)
from realtime.reason.conclusion import Conclusion, conclude, largest
from realtime.reason.decode import CHAIN_SLOTS, finished, write
from realtime.reason.grounding import unsupported
from realtime.reason.measurements import measured_words
from realtime.reason.parts import ARGUED, FOUND, ChainParts, LabelledWindow, asked_again
from realtime.reason.people import face_labels
from realtime.reason.phrases import Phrases
from realtime.reason.prior import PriorCorrection
from realtime.reason.quotation import QUOTE_SLOTS, SAID_TOKENS, quoted
from realtime.reason.reference import PlainReading, plain_scores
from realtime.reason.rewrite import Rewriter
from realtime.reason.sequence import assemble
from realtime.reason.session_ring import SessionRing, apart
from realtime.records import (
    LABELS,
    AnsweredFrom,
    Conflict,
    Float32,
    FrameEvidence,
    Label,
    ReasonDelta,
    ReasonDone,
    Rewritten,
    SpeechEvidence,
    Window,
)
from realtime.roles import Words, unsaid

logger = logging.getLogger(__name__)

LABEL_SLOTS = 384
"KV-cache slots of the label branches: three states, and label words of more than one token. More labels get more."
KEPT_WINDOWS = 8
"Labelled windows whose KV cache waits for their chain. The oldest is forgotten when there is one more."


Written = ReasonDelta | Label | ReasonDone | None
"A step of a chain (`roles.Thinker.reason`)."


def _silently(written: Generator[Written, None, int]) -> Generator[None, None, int]:
    """The steps of a part whose words are held back: whoever reads along sees no argument that is then replaced."""
    while True:
        try:
            next(written)
        except StopIteration as end:
            n_tokens: int = end.value
            return n_tokens
        yield None


def _without_answer(written: Generator[Written, None, int]) -> Generator[Written, None, int]:
    """The steps of a part whose answer is told once it is whole, as it may be another one (`answers.py`)."""
    while True:
        try:
            step = next(written)
        except StopIteration as end:
            n_tokens: int = end.value
            return n_tokens
        yield None if isinstance(step, ReasonDelta) and step.section == "answer" else step


class Reasoner:
    """The Thinker of all sessions (`roles.Thinker`). Only the model worker's thread may call it."""

    def __init__(
        self,
        model: EmoThinker,
        vocabulary: Vocabulary,
        *,
        narrow: Narrow | None = None,
        language: FusedLanguageModel | None = None,
        calibration: Calibration | None = None,
        phrases: Phrases | None = None,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """With `narrow` chains are decoded with weights in few bits (`products.py`).

        `language` is the fused language model where several reasoners with their own adapters share its weights.
        `calibration` is that of the model that gives the labels, where another one does. `phrases` guesses the next
        tokens of its chains.
        """
        self._model = model
        self.vocabulary = vocabulary
        self._now_s = now_s
        self.language = language or FusedLanguageModel(model.thinker.model, model.thinker.lm_head, narrow=narrow)
        self.decoder = BatchedDecoder(self.language, phrases=phrases)
        self._labels = LabelPass(model, self.language, vocabulary)
        self._calibration = calibration or model.config.emotion.calibration
        self.chain = ChainParts(model.config.emotion, vocabulary, self._labels, self._calibration)
        self.rewriter = Rewriter(self.language, self.decoder, vocabulary, now_s=now_s)
        self.appends = Appends(self.language)
        self._rings: dict[int, SessionRing] = {}
        self._labelled: OrderedDict[int, LabelledWindow] = OrderedDict()
        self._ring = model.config.emotion.ring
        stock = model.config.emotion.stock
        self._prior = PriorCorrection(self._embedded, self._scores_of) if stock else None

    @property
    def n_passes(self) -> int:
        """Forward passes that decoded tokens so far, of all chains."""
        return self.decoder.n_passes

    @property
    def answers_questions(self) -> bool:
        """Whether a person's own question is left to it."""
        return self._model.config.emotion.questions

    def query_embeddings(self, question: prompt.Question) -> Tensor:
        """(Q, D) embeddings of the text query, to which the selectors attend."""
        ids = self.vocabulary.ids(prompt.query_text(self._model.config.emotion.prompt, question))
        return self._model.embed(torch.tensor(ids, device=self._model.device)).detach()

    def open_ring(self, question: prompt.Question, *, later: bool = False) -> SessionRing | None:
        """A ring for one session's evidence, or None where the checkpoint was not trained for one.

        With `later`, another model gives the labels: evidence is not prefilled as it comes (`SessionRing`), and not at
        all for a question that is left to that model.
        """
        left = later and question.query is not None and not self.answers_questions
        if not self._ring or left:
            return None
        ring = SessionRing(
            self._model,
            self.language,
            self.vocabulary,
            question,
            appends=self.appends,
            closed=self._forget,
            later=later,
        )
        self._rings[ring.number] = ring
        return ring

    def close_rings(self) -> None:
        """Free the rings of all sessions."""
        self._rings.clear()

    def _forget(self, ring: int) -> None:
        self._rings.pop(ring, None)

    @torch.inference_mode()
    def fast_label(self, window: Window, question: prompt.Question) -> Label:
        """The calibrated label from one forward pass. With both modalities, `conflict` has the distribution of each."""
        labelled = self.label_window(window, question)
        self._labelled[id(window)] = labelled
        while len(self._labelled) > KEPT_WINDOWS:
            self._labelled.popitem(last=False)
        return self.told(window, question, labelled.label)

    def reason(
        self, window: Window, question: prompt.Question, said: Words = unsaid, *, again_s: float | None = None
    ) -> Iterator[Written]:
        """The steps of the chain: deltas, then the chain's label, then `ReasonDone` with everything.

        A checkpoint that was trained with words asks for `said` right before it judges, which an evidence-first chain
        does after its first texts: words that are written down meanwhile are not too late.

        A step is None where a token was decoded that adds no settled text yet. A caller that continues other chains at
        that point has their tokens decoded in one batch.

        An argument that contradicts is written again within `again_s` of wall time (`rewrite.py`); None sets no limit.
        """
        labelled = self._labelled.pop(id(window), None)
        if labelled is None or labelled.window is not window or labelled.question != question:
            labelled = self.label_window(window, question)
        yield from self._chain(labelled, said, again_s)

    def reason_from(
        self,
        label: Label,
        window: Window,
        question: prompt.Question,
        said: Words = unsaid,
        *,
        again_s: float | None = None,
    ) -> Iterator[Written]:
        """The steps of `reason`, for a label in the model's own words that another model gave. Nothing is scored.

        Evidence whose prefill was put off, or that is in no ring, comes first, a piece a step, so that labels can be
        given in between.
        """
        ring = self._ring_of(window)
        for _ in () if ring is None else ring.pieces(window):
            yield None
        cached = self._from_ring(window, question)
        if cached is None:
            few = replace(window, frames=apart(window.frames))
            cached = yield from self._prefilled(few, question, by_parts=True)
        yield from self._chain(self._begun_with(label, window, question, cached), said, again_s)

    def label_window(self, window: Window, question: prompt.Question) -> LabelledWindow:
        """Build the window's KV cache and score its label branches. Its chain continues from the result.

        When the device has no memory for it, the windows that wait for their chain are dropped and it is tried once
        more. Raises torch.OutOfMemoryError if that fails too.
        """
        try:
            return self._label_window(window, question)
        except torch.OutOfMemoryError:
            logger.warning("no room for a window; %d that wait for their chain are given up", len(self._labelled))
        # A dropped window is prefilled again when its chain begins; a label cannot wait. The second try is outside the
        # `except`, where the exception no longer holds the tensors of the first.
        self._labelled.clear()
        torch.cuda.empty_cache()
        return self._label_window(window, question)

    @torch.inference_mode()
    def _label_window(self, window: Window, question: prompt.Question) -> LabelledWindow:
        cached = self._cached(window, question)
        scored = self._labels.score(cached, window, question.labels)
        label = self._label(window, scored.scores, question)
        return self._labelled_window(window, question, label, cached, scored)

    def begun_with(self, label: Label, window: Window, question: prompt.Question) -> LabelledWindow:
        """The window with its KV cache, for a label in the model's own words that another model gave."""
        return self._begun_with(label, window, question, self._cached(window, question))

    def _begun_with(
        self, label: Label, window: Window, question: prompt.Question, cached: WindowCache
    ) -> LabelledWindow:
        # Its chain begins with the state, as nothing of it is in the KV cache yet.
        unscored = BranchScores({}, n_shared=0, chain_logits_V=None)
        return self._labelled_window(window, question, label, cached, unscored)

    def _cached(self, window: Window, question: prompt.Question) -> WindowCache:
        return self._from_ring(window, question) or self._prefill_whole(window, question)

    def _labelled_window(
        self, window: Window, question: prompt.Question, label: Label, cached: WindowCache, scored: BranchScores
    ) -> LabelledWindow:
        form = self._model.config.emotion.chain_form
        told = first_look_labels(label, window) if form == "first_look" else {}
        opened = openings(self.vocabulary, told, asked_again(form, question))
        return LabelledWindow(window, question, label, cached, scored, opened)

    def _ring_of(self, window: Window) -> SessionRing | None:
        evidence: tuple[FrameEvidence | SpeechEvidence, ...] = (*window.frames, *window.speech)
        return self._rings.get(evidence[0].ring) if evidence else None

    @torch.inference_mode()
    def _from_ring(self, window: Window, question: prompt.Question) -> WindowCache | None:
        """The window's KV cache from its session's ring, or None where some of its evidence is not there."""
        ring = self._ring_of(window)
        if ring is None or ring.question != question:
            return None
        return ring.window_cache(window, n_more=self._n_slots_after(window, question))

    def _prefill_whole(self, window: Window, question: prompt.Question) -> WindowCache:
        return finished(self._prefilled(window, question, by_parts=False))

    @torch.inference_mode()
    def _prefilled(
        self, window: Window, question: prompt.Question, *, by_parts: bool
    ) -> Generator[None, None, WindowCache]:
        """Prefill a window's KV cache under the mask that the checkpoint was trained with, and return it.

        In one pass, or with `by_parts` in one for each frame and utterance, and a step before each.
        """
        evidence = assemble(self._model, self.vocabulary, window, question)
        x = evidence.x_ND
        mask = evidence.mask(ring=True).to(x.device) if self._ring else None
        cache = KVCache(
            self._model.config.text,
            x.shape[0] + self._n_slots_after(window, question),
            dtype=self._model.dtype,
            device=self._model.device,
        )
        cos, sin = self.language.rotary(evidence.positions_3N.to(x.device))
        sizes = [evidence.n_prefix, *(chunk.n_tokens for chunk in evidence.chunks)]
        for end in itertools.accumulate(sizes) if by_parts else (x.shape[0],):
            if by_parts:
                yield
            part = slice(cache.n_used, end)
            seen = None if mask is None else mask[part, :end]
            self.language.extend(x[part], cos[part], sin[part], cache, seen, keys_only=True)
        parts = tuple((chunk.modality, chunk.n_tokens) for chunk in evidence.chunks)
        return WindowCache(cache, evidence.n_prefix, parts, evidence.next_position)

    @torch.inference_mode()
    def read_plainly(self, window: Window, question: prompt.Question) -> PlainReading:
        """The label of a window by the plain modules, which tests compare the other paths with (`reference.py`)."""
        evidence = assemble(self._model, self.vocabulary, window, question)
        scores = plain_scores(self._model, self.vocabulary, evidence, window, question)
        return PlainReading(evidence, self._label(window, scores, question))

    def _embedded(self, text: str) -> Float32:
        ids = torch.tensor(self.vocabulary.ids(text), dtype=torch.long, device=self._model.device)
        return self._model.embed(ids).float().cpu().numpy()

    def _scores_of(self, evidence: Window, window: Window, question: prompt.Question) -> dict[str, dict[str, float]]:
        """The log-scores of the evidence of one window in the prompt of another."""
        return self._labels.score(self._prefill_whole(evidence, question), window, question.labels).scores

    def _n_slots_after(self, window: Window, question: prompt.Question) -> int:
        """KV-cache slots that a window needs after its evidence: for its label branches, then for its chain."""
        tails = sum(len(self.vocabulary.ids(label)) for label in question.labels)
        n_labels = LABEL_SLOTS + 3 * tails
        # An evidence-first chain scores the labels again after its texts.
        asked = self.vocabulary.ids(asked_again(self._model.config.emotion.chain_form, question))
        n_chain = CHAIN_SLOTS + len(asked) + (SAID_TOKENS + QUOTE_SLOTS if self._model.config.emotion.words else 0)
        if self._model.config.emotion.measured:
            n_chain += sum(len(self.vocabulary.ids(measured_words(window, part.name))) for part in FOUND)
        return n_chain + n_labels if len(self.chain.parts) > 1 else max(n_chain, n_labels)

    def _label(self, window: Window, scores: dict[str, dict[str, float]], question: prompt.Question) -> Label:
        state = calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech))
        if self._prior is not None:
            scores = self._prior.corrected(scores, window, question)
        alone = {name: of_labels for name, of_labels in scores.items() if name != "both"}
        probabilities = calibrate.fast(scores["both"], state, self._calibration, alone=alone)
        narrow = any(part.cues.narrow_band for part in window.speech)
        if narrow:
            probabilities = calibrate.less_sure(probabilities, calibrate.NARROW_BAND_TEMPERATURE)
        conflict = None
        if alone:
            face = calibrate.fast(scores["face"], "face", self._calibration)
            voice = calibrate.fast(scores["voice"], "voice", self._calibration)
            if narrow:
                voice = calibrate.less_sure(voice, calibrate.NARROW_BAND_TEMPERATURE)
            conflict = Conflict(face, voice, calibrate.divergence_bits(list(face.values()), list(voice.values())))
        probabilities = calibrate.bounded(probabilities, calibrate.largest(state, conflict, self._calibration))
        best = max(probabilities, key=lambda label: probabilities[label])
        shown = best if probabilities[best] >= self._calibration.unsure_below and state != "none" else prompt.UNSURE
        faces = face_labels(window, question.labels, self._calibration)
        fitted = bool(self._calibration.fast) and set(question.labels) == set(LABELS)
        return Label(shown, probabilities, "fast", conflict, faces, *affect(window, probabilities), fitted)

    def told(self, window: Window, question: prompt.Question, label: Label, answer: str | None = None) -> Label:
        """The label in the words that were asked for; `answer` is what the chain came to in these words."""
        if not question.own:
            return label if answer is None else replace(label, label=answer)
        if answer is None and not n_faces(window) and not window.speech:
            answer = prompt.UNSURE
        most = largest(window, label.conflict, self._calibration)
        return own_labels.in_own(question.own, label, self._calibration.unsure_below, name=answer, most=most)

    def _chain(self, labelled: LabelledWindow, said: Words, again_s: float | None) -> Iterator[Written]:
        began_s = self._now_s()
        sections: dict[str, str] = {}
        n_tokens = 0
        rewritten: Rewritten = "no"
        for part in self.chain.parts:
            if part is ARGUED and self._model.config.emotion.words:
                labelled.window = replace(labelled.window, said=quoted(said(), self.vocabulary))
            begun, bounds = self.chain.begin(labelled, part, sections), self.chain.bounds(labelled, part)
            slot = self.decoder.open_slot(
                begun.cache,
                next_position=begun.next_position,
                next_token=None if begun.first_logits_V is None else int(begun.first_logits_V.argmax()),
                n_more=CHAIN_SLOTS + len(labelled.openings["answer"]),
            )
            try:
                # What is read later has to be in the KV cache up to the last token.
                end: list[int] | None = None if part is self.chain.parts[-1] else []
                written = write(
                    self.vocabulary,
                    slot,
                    begun.beginning,
                    part.sections,
                    labelled.openings,
                    end,
                    sections,
                    bounds,
                )
                silent = labelled.question.about is not None and part is not ARGUED
                n_tokens += yield from (
                    _silently(written) if part is ARGUED else _without_answer(written) if silent else written
                )
                labelled.n_withheld += bounds.n_withheld
                self.chain.finish(labelled, part, begun, slot.cache)
            finally:
                slot.close()
            if part is ARGUED:
                rewritten = yield from self.rewriter.settle(labelled, part, begun, sections, again_s)
        concluded = self.conclude(labelled, sections)
        told, answered_from = self.answered(labelled, sections, concluded)
        late = ARGUED.sections if ARGUED in self.chain.parts else ("answer",) if labelled.question.about else ()
        yield from (ReasonDelta(name, told[name]) for name in late if told[name])
        valence, arousal = affect(labelled.window, concluded.probabilities)
        label = replace(
            labelled.label,
            probabilities=concluded.probabilities,
            source="chain",
            valence=valence,
            arousal=arousal,
        )
        yield self.told(labelled.window, labelled.question, label, concluded.answer.label)
        passed_s = self._now_s() - began_s
        timings = {"chain": passed_s * 1000, "chain_tokens": float(n_tokens)}
        read = bool(labelled.window.said)
        yield ReasonDone(
            told,
            concluded.answer,
            timings,
            concluded.contradictions,
            rewritten,
            read,
            unsupported(sections, labelled.window),
            labelled.n_withheld,
            answered_from,
            concluded.turned_by,
        )

    def answered(
        self, labelled: LabelledWindow, sections: Mapping[str, str], concluded: Conclusion
    ) -> tuple[Mapping[str, str], AnsweredFrom | None]:
        """The sections of a chain as they are told, with the answer to a person's question, and what that is from."""
        grounds = Grounds(labelled.window, labelled.label, concluded.probabilities)
        text, source = answered(labelled.question, grounds, sections["answer"])
        return in_language({**sections, "answer": text}, labelled.question.language), source

    def conclude(self, labelled: LabelledWindow, sections: Mapping[str, str]) -> Conclusion:
        """What a finished chain comes to."""
        return conclude(labelled, sections, self._calibration)
