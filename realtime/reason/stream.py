"""The Thinker at work: a fast label from one forward pass, then the chain, token by token, on the same key/value slots.

One pass reads trunk, evidence and up to three label branches (both modalities, the face alone, the voice alone). The
branches do not see each other, and a modality is hidden from a branch by its mask, so that "what would the voice alone
say" costs a few tokens and not a second reading. The chain then continues from the very same slots.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from realtime.model.language import Slots, chunk_mask
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import calibrate, prompt
from realtime.reason.chain import SectionText, read_answer
from realtime.reason.sequence import Evidence, assemble, branch_mask, text_positions
from realtime.records import Conflict, Label, ReasonDelta, ReasonDone, Window

SECTION_TOKENS = 96
"A section that has not been closed by then is closed for it: a small model may repeat itself."
ANSWER_TOKENS = 24
CHAIN_SLOTS = len(prompt.SECTIONS) * (SECTION_TOKENS + 24)
KEPT_READINGS = 8
"Windows whose slots wait for their chain; a window that is never reasoned about is forgotten with the ninth."


@dataclass
class Reading:
    """A window that was read: its slots, and what the label branches said."""

    window: Window
    ask: prompt.Ask
    evidence: Evidence
    memory: Slots
    visible: Tensor
    "(n_slots,) bool: trunk and evidence, which the chain sees."
    n_used: int
    label: Label


@dataclass(frozen=True)
class Branch:
    name: str
    hidden: str | None
    ids: list[int]


class Reasoner:
    """Shared by all sessions; called from the model worker's thread only."""

    def __init__(
        self, model: EmoThinker, vocabulary: Vocabulary, *, now_s: Callable[[], float] = time.perf_counter
    ) -> None:
        self._model = model
        self.vocabulary = vocabulary
        self._now_s = now_s
        self._readings: OrderedDict[int, Reading] = OrderedDict()
        self._ring = model.config.emotion.ring
        self._calibration = model.config.emotion.calibration

    def query_embeddings(self, ask: prompt.Ask) -> Tensor:
        """(Q, D): the text query that selectors attend to."""
        ids = self.vocabulary.ids(prompt.query_text(self._model.config.emotion.prompt, ask))
        return self._model.embed(torch.tensor(ids, device=self._model.device)).detach()

    @torch.inference_mode()
    def fast_label(self, window: Window, ask: prompt.Ask) -> Label:
        """Calibrated label from one pass, before any chain; with both modalities also what each alone would say."""
        reading = self.read(window, ask)
        self._readings[id(window)] = reading
        while len(self._readings) > KEPT_READINGS:
            self._readings.popitem(last=False)
        return reading.label

    def reason(self, window: Window, ask: prompt.Ask) -> Iterator[ReasonDelta | Label | ReasonDone]:
        """The chain: a delta per step, then the label it arrived at, then everything together."""
        reading = self._readings.pop(id(window), None)
        if reading is None or reading.window is not window or reading.ask != ask:
            with torch.inference_mode():
                reading = self.read(window, ask)
        yield from self._chain(reading)

    def read(self, window: Window, ask: prompt.Ask) -> Reading:
        """Trunk, evidence and label branches of one window in one pass."""
        evidence = assemble(self._model, self.vocabulary, window, ask)
        branches = [self._branch(name, window) for name in self._branch_names(window)]
        label_ids = [self.vocabulary.ids(label) for label in ask.labels]
        x, positions, mask, ends = self._lay_out(evidence, branches, label_ids)
        n_evidence = evidence.n_trunk + sum(chunk.x_ND.shape[0] for chunk in evidence.chunks)
        config = self._model.config.text
        n_slots = x.shape[0] + CHAIN_SLOTS
        memory = Slots(config, n_slots, dtype=self._model.dtype, device=self._model.device)
        wide = torch.zeros(x.shape[0], n_slots, dtype=torch.bool, device=self._model.device)
        wide[:, : x.shape[0]] = mask
        slots = torch.arange(x.shape[0], device=self._model.device)
        hidden = self._model.thinker.model(x[None], positions[:, None], wide, memory, slots)[0]
        scores = {
            branch.name: self._scores(hidden, end, label_ids, ask.labels)
            for branch, end in zip(branches, ends, strict=True)
        }
        visible = torch.zeros(n_slots, dtype=torch.bool, device=self._model.device)
        visible[:n_evidence] = True
        label = self._label(window, scores)
        return Reading(window, ask, evidence, memory, visible, x.shape[0], label)

    def _branch_names(self, window: Window) -> tuple[str, ...]:
        return ("both", "face", "voice") if n_faces(window) and window.speech else ("both",)

    def _branch(self, name: str, window: Window) -> Branch:
        text = prompt.branch_text(
            n_faces=0 if name == "voice" else n_faces(window),
            has_picture=bool(window.frames) and name != "voice",
            has_speech=bool(window.speech) and name != "face",
            opening=prompt.LABEL_TAG,
        )
        hidden = {"both": None, "face": "voice", "voice": "face"}[name]
        return Branch(name, hidden, self.vocabulary.ids(text))

    def _lay_out(
        self, evidence: Evidence, branches: list[Branch], label_ids: list[list[int]]
    ) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Embeddings (T, D), positions (3, T), mask (T, T) of everything, and the last prompt token of each branch.

        After each branch stand, side by side and blind to one another, the label words without their last token.
        """
        device = self._model.device
        sizes = [chunk.x_ND.shape[0] for chunk in evidence.chunks]
        n_evidence = evidence.n_trunk + sum(sizes)
        parts = [evidence.trunk_x_ND, *(chunk.x_ND for chunk in evidence.chunks)]
        positions = [text_positions(evidence.n_trunk, 0), *(chunk.positions_3N for chunk in evidence.chunks)]
        inner = chunk_mask(
            sizes if self._ring else [], n_trunk=evidence.n_trunk if self._ring else n_evidence, n_branch=0
        )
        tails = [ids[:-1] for ids in label_ids]
        n_branch = sum(len(branch.ids) + sum(map(len, tails)) for branch in branches)
        mask = torch.zeros(n_evidence + n_branch, n_evidence + n_branch, dtype=torch.bool)
        mask[:n_evidence, :n_evidence] = inner
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

    def _scores(
        self, hidden_TD: Tensor, end: int, label_ids: list[list[int]], labels: tuple[str, ...]
    ) -> dict[str, float]:
        """Log-probability of each label word after the branch that ends at `end`."""
        n_tails = sum(len(ids) - 1 for ids in label_ids)
        rows = hidden_TD[end : end + 1 + n_tails]
        log_p = torch.log_softmax(self._model.thinker.lm_head(rows).float(), dim=-1).cpu()
        scores, at = {}, 1
        for label, ids in zip(labels, label_ids, strict=True):
            places = [0, *range(at, at + len(ids) - 1)]
            scores[label] = float(sum(log_p[place, token] for place, token in zip(places, ids, strict=True)))
            at += len(ids) - 1
        return scores

    def _label(self, window: Window, scores: dict[str, dict[str, float]]) -> Label:
        state = calibrate.state_of(has_face=n_faces(window) > 0, has_speech=bool(window.speech))
        probabilities = calibrate.fast(scores["both"], state, self._calibration)
        conflict = None
        if "voice" in scores:
            face = calibrate.fast(scores["face"], "face", self._calibration)
            voice = calibrate.fast(scores["voice"], "voice", self._calibration)
            conflict = Conflict(face, voice, calibrate.divergence_bits(list(face.values()), list(voice.values())))
        best = max(probabilities, key=lambda label: probabilities[label])
        told = best if probabilities[best] >= self._calibration.unsure_below and state != "none" else prompt.UNSURE
        return Label(told, probabilities, "fast", conflict)

    def _chain(self, reading: Reading) -> Iterator[ReasonDelta | Label | ReasonDone]:
        began_s = self._now_s()
        decoder = Decoder(self._model, reading, self.vocabulary)
        window = reading.window
        state = prompt.branch_text(
            n_faces=n_faces(window), has_picture=bool(window.frames), has_speech=bool(window.speech), opening=""
        )
        decoder.feed(self.vocabulary.ids(state))
        sections: dict[str, str] = {}
        for name in prompt.SECTIONS:
            decoder.feed(self.vocabulary.ids(f"<{name}>"))
            section = SectionText(name)
            for new in decoder.section(section, ANSWER_TOKENS if name == "answer" else SECTION_TOKENS):
                yield ReasonDelta(name, new)
            sections[name] = section.text.strip()
        read = read_answer(sections["answer"], reading.ask.labels)
        probabilities = calibrate.joined(reading.label.probabilities, read.label, self._calibration)
        answer = calibrate.verdict(probabilities, read.label, read.intensity, self._calibration)
        yield Label(answer.label, probabilities, "chain", reading.label.conflict)
        passed_s = self._now_s() - began_s
        timings = {"chain": passed_s * 1000, "chain_tokens": float(decoder.n_decoded)}
        yield ReasonDone(sections, answer, timings)


def n_faces(window: Window) -> int:
    """Faces in the newest frame that has any: people come and go within a window."""
    return next((len(frame.faces) for frame in reversed(window.frames) if frame.faces), 0)


class Decoder:
    """Greedy decoding into a reading's free slots."""

    def __init__(self, model: EmoThinker, reading: Reading, vocabulary: Vocabulary) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._memory = reading.memory
        self._visible = reading.visible
        self._next_slot = reading.n_used
        self._next_position = reading.evidence.next_position
        self._logits: Tensor | None = None
        self._end_of_turn = vocabulary.id_of(prompt.END_OF_TURN)
        self.n_decoded = 0

    @torch.inference_mode()
    def feed(self, ids: list[int]) -> None:
        """Append given tokens; each sees trunk, evidence and everything of this branch before it."""
        n, device = len(ids), self._model.device
        slots = torch.arange(self._next_slot, self._next_slot + n, device=device)
        mask = self._visible.expand(n, -1).clone()
        mask[:, slots] = torch.ones(n, n, dtype=torch.bool, device=device).tril()
        x = self._model.embed(torch.tensor(ids, device=device))[None]
        positions = text_positions(n, self._next_position)[:, None].to(device)
        hidden = self._model.thinker.model(x, positions, mask, self._memory, slots)
        self._logits = self._model.thinker.lm_head(hidden[0, -1])
        self._visible[slots] = True
        self._next_slot += n
        self._next_position += n

    def section(self, section: SectionText, n_tokens: int) -> Iterator[str]:
        """Decode until the section is closed; yields the text that is settled. Closes it itself after `n_tokens`."""
        ids: list[int] = []
        while not section.closed and len(ids) < n_tokens:
            assert self._logits is not None, "the opening tag is fed first"
            token = int(self._logits.argmax())
            if token == self._end_of_turn:
                break
            ids.append(token)
            self.feed([token])
            self.n_decoded += 1
            new = section.update(self._vocabulary.text(ids))
            if new:
                yield new
        if not section.closed:
            new = section.finish(self._vocabulary.text(ids))
            self.feed(self._vocabulary.ids(section.closing))
            if new:
                yield new
