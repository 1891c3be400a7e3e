"""Annotated windows laid out as serving lays them out, with gradients, and with what each place should say.

    trunk | chunks | state <label> WORD | (face) state <label> WORD | (voice) state <label> WORD | state <face>…

The towers' graphs, the cue tokens, the chunks, positions and wordings are the very functions that serve a session; the
branches do not see each other. Opening tags and states are given in serving and so carry no loss, like the trunk.
`tests/train/test_tuning.py` holds the label branches to what `Reasoner` answers for the same window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from realtime.evidence import tokens
from realtime.model.language import chunk_mask
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import HIDDEN, branch_names, openings, state_text
from realtime.reason.sequence import Chunk, frame_time, marked, origin_of, speech_time, text_positions
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, heard, selected, vision_inputs
from realtime.towers.graph import AUDIO_INPUTS, VISION_INPUTS, AudioGraph, VisionGraph
from train.readers.perceived import FrameSeen, Perceived, log_mel

HALVED = frozenset({"patches", "mel", "text"})
"Inputs of the graphs in the model's precision, as in `engines/in_torch.py`."
IGNORED = -100
LABEL_WEIGHTS = {"both": 1.0, "face": 0.5, "voice": 0.5}


@dataclass(frozen=True)
class Example:
    """One window, what is to be said of it, and the draw that random choices of this step follow."""

    perceived: Perceived
    sections: Mapping[str, str]
    labels: Mapping[str, str]
    "Branch name → the word to learn; a branch without one carries no loss."
    draw: int


@dataclass(frozen=True)
class Sequence:
    x_TD: Tensor
    positions_3T: Tensor
    mask_TT: Tensor
    targets_T: Tensor
    "The next token at each place, `IGNORED` where it was given."
    weights_T: Tensor
    chain_from: int
    "The place where the chain's branch begins; targets before it are label words."
    label_rows: Mapping[str, int]
    "Branch → the place that scores a label's first token."
    n_evidence: int
    branch_position: int
    "Where every branch begins."

    @property
    def n_tokens(self) -> int:
        return self.x_TD.shape[0]


class Layout:
    """`label_share`: of the label branches' loss beside the chain's."""

    def __init__(
        self, model: EmoThinker, vocabulary: Vocabulary, *, label_share: float = 0.5, cues_off: float = 0.05
    ) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.label_share, self.cues_off = label_share, cues_off
        self.wording = model.config.emotion.prompt
        thinker, emotion = model.thinker, model.emotion
        self._vision = VisionGraph(thinker.visual, emotion.visual_selector)
        self._audio = AudioGraph(thinker.audio_tower, emotion.audio_extractor)

    def asked(self, example: Example) -> Sequence:
        """Evidence and label branches: what a first look reads."""
        ask = prompt.Question()
        trunk_ids, chunks = self.evidence(example, ask)
        window = example.perceived.window
        n_trunk, sizes = len(trunk_ids), [chunk.n_tokens for chunk in chunks]
        n_evidence = n_trunk + sum(sizes)
        ends = [int(chunk.positions_3N.max()) for chunk in chunks if chunk.positions_3N.numel()]
        begin = 1 + max([n_trunk - 1, *ends])
        branches = [(name, HIDDEN[name], *self.label_branch(example, name)) for name in branch_names(window)]
        n_branch = sum(len(ids) for _, _, ids, _ in branches)
        ring = self.model.config.emotion.ring
        mask = chunk_mask(sizes if ring else [], n_trunk=n_trunk if ring else n_evidence, n_branch=n_branch)
        parts = [self.embed(trunk_ids), *(chunk.x_ND for chunk in chunks)]
        positions = [text_positions(n_trunk, 0), *(chunk.positions_3N.cpu() for chunk in chunks)]
        targets = torch.full((n_evidence + n_branch,), IGNORED)
        weights = torch.zeros(n_evidence + n_branch)
        label_rows, at = {}, n_evidence
        for name, hidden, ids, given in branches:
            rows = slice(at, at + len(ids))
            mask[rows, n_evidence:at] = False
            column = n_trunk
            for chunk in chunks:
                if chunk.modality == hidden:
                    mask[rows, column : column + chunk.n_tokens] = False
                column += chunk.n_tokens
            wanted = torch.tensor([IGNORED if g else i for i, g in zip(ids, given, strict=True)])
            targets[at : at + len(ids) - 1] = wanted[1:]
            # A label word counts as one statement however many tokens it has; a chain counts by the token.
            weights[rows] = self.label_share * LABEL_WEIGHTS[name]
            label_rows[name] = at + sum(given) - 1
            parts.append(self.embed(ids))
            positions.append(text_positions(len(ids), begin))
            at += len(ids)
        x = torch.cat([part.to(self.model.dtype) for part in parts])
        return Sequence(x, torch.cat(positions, 1), mask, targets, weights, at, label_rows, n_evidence, begin)

    def with_chain(self, asked: Sequence, example: Example, looked: Mapping[str, tuple[str, ...]]) -> Sequence:
        """The same with the chain's branch, which is told the labels `looked` before its sections."""
        ids, given = self.chain_branch(example, looked)
        n_before, n = asked.n_tokens, len(ids)
        mask = torch.zeros(n_before + n, n_before + n, dtype=torch.bool)
        mask[:n_before, :n_before] = asked.mask_TT
        mask[n_before:, : asked.n_evidence] = True
        mask[n_before:, n_before:] = torch.ones(n, n, dtype=torch.bool).tril()
        wanted = torch.tensor([IGNORED if g else i for i, g in zip(ids, given, strict=True)])
        targets = torch.cat([asked.targets_T, wanted[1:], torch.tensor([IGNORED])])
        weights = torch.full((n,), 1.0 / max(1, int((wanted != IGNORED).sum())))
        return replace(
            asked,
            x_TD=torch.cat([asked.x_TD, self.embed(ids).to(self.model.dtype)]),
            positions_3T=torch.cat([asked.positions_3T, text_positions(n, asked.branch_position)], 1),
            mask_TT=mask,
            targets_T=targets,
            weights_T=torch.cat([asked.weights_T, weights]),
        )

    def embed(self, ids: list[int]) -> Tensor:
        return self.model.embed(torch.tensor(ids, device=self.model.device))

    def label_branch(self, example: Example, name: str) -> tuple[list[int], list[bool]]:
        """Ids, and which of them are given."""
        asked = self.vocabulary.ids(state_text(example.perceived.window, name, prompt.LABEL_TAG))
        word = self.vocabulary.ids(example.labels[name]) if name in example.labels else []
        return asked + word, [True] * len(asked) + [False] * len(word)

    def chain_branch(self, example: Example, looked: Mapping[str, tuple[str, ...]]) -> tuple[list[int], list[bool]]:
        """As the chain is decoded: the state and what opens a section are given, the rest is the model's to say."""
        ids = self.vocabulary.ids(state_text(example.perceived.window))
        given = [True] * len(ids)
        for name, opening in openings(self.vocabulary, looked).items():
            said = self.vocabulary.ids(f"{example.sections[name]}</{name}>")
            ids += opening + said
            given += [True] * len(opening) + [False] * len(said)
        end = self.vocabulary.ids(prompt.END_OF_TURN)
        return ids + end, given + [False] * len(end)

    def evidence(self, example: Example, ask: prompt.Question) -> tuple[list[int], list[Chunk]]:
        trunk_ids = self.vocabulary.ids(prompt.trunk_text(self.wording, ask))
        text_QD = self.embed(self.vocabulary.ids(prompt.query_text(self.wording, ask))).detach()
        window, base = example.perceived.window, len(trunk_ids)
        origin_s = origin_of(window)
        rng = np.random.default_rng(example.draw)
        switches = tokens.ALL_CUES
        if self.cues_off:
            names = list(tokens.CueSwitches.__dataclass_fields__)
            switches = tokens.CueSwitches(**{name: bool(rng.random() >= self.cues_off) for name in names})
        chunks = []
        for frame, (x, positions) in zip(
            example.perceived.frames,
            self.frames(example.perceived.frames, text_QD, example.draw, switches),
            strict=True,
        ):
            t = frame_time(self.model, frame.evidence, base=base, origin_s=origin_s)
            markers = (prompt.VISION_START, prompt.VISION_END)
            placed = positions.cpu() + torch.tensor([[t], [base], [base]])
            chunks.append(marked(self.model, self.vocabulary, x, placed, t, markers, "face"))
        for part in example.perceived.speech:
            t = speech_time(self.model, part.evidence, base=base, origin_s=origin_s)
            inputs = audio_inputs(log_mel(part), text_QD)
            out = heard(self._audio(*self._cast(inputs, AUDIO_INPUTS)), inputs["n_frames"])
            x, positions = tokens.with_voice_cues(self.model, out, **self._there(part.cues), switches=switches)
            markers = (prompt.AUDIO_START, prompt.AUDIO_END)
            chunks.append(marked(self.model, self.vocabulary, x, positions.cpu() + t, t, markers, "voice"))
        return trunk_ids, chunks

    def frames(
        self, frames: tuple[FrameSeen, ...], text_QD: Tensor, draw: int, switches: tokens.CueSwitches
    ) -> list[tuple[Tensor, Tensor]]:
        """Tokens and offsets of each frame; all frames of the window are one batch of the tower."""
        if not frames:
            return []
        drop = self.model.config.emotion.drop if self.model.emotion.visual_selector is not None else 0.0
        given = []
        for number, frame in enumerate(frames):
            noise = drop_noise(frame.focal_N, seed=draw * 64 + number)
            given.append(FrameInput(torch.from_numpy(frame.image_3HW).float() / 255, frame.focal_N, noise, drop))
        inputs = vision_inputs(given, text_QD)
        outputs = selected(self._vision(*self._cast(inputs, VISION_INPUTS)))
        return [
            tokens.with_frame_cues(
                self.model, kept.tokens_ND, kept.order_N, **self._there(frame.cues), switches=switches
            )
            for frame, kept in zip(frames, outputs, strict=True)
        ]

    def _cast(self, inputs: Mapping[str, Tensor], names: tuple[str, ...]) -> list[Tensor]:
        return [
            inputs[name].to(self.model.device, self.model.dtype if name in HALVED else None)
            for name in names
            if name in inputs
        ]

    def _there(self, cues: Mapping[str, object]) -> dict[str, object]:
        """Recorded arguments on the model's device; `switches` are this step's own."""
        return {name: to(value, self.model.device) for name, value in cues.items() if name != "switches"}


def to(value: object, device: torch.device) -> object:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(to(item, device) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        kept = {name: to(getattr(value, name), device) for name in value.__dataclass_fields__}
        return type(value)(**kept)
    return value
