"""Variants of a model for the rows of the ablation table. Their switches are set while it answers.

`F` are focal tokens with the cue tokens of faces, `B` background tokens, `A` all audio tokens. δ is the share of
background tokens that is dropped, λ the margin around faces. The cue-token switches leave out one kind of cue each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.evidence.cue_model import TowersOnCpu, query_on_cpu
from realtime.evidence.perceive import Perception
from realtime.evidence.tokens import ALL_CUES, CueSwitches, with_frame_cues, with_voice_cues
from realtime.model.config import EmotionConfig
from realtime.model.thinker import EmoThinker
from realtime.records import Float32, FrameEvidence, Question, SpeechEvidence, SpeechSegment, VideoFrame
from realtime.towers.batch import FrameInput, SelectedTokens, selected, vision_inputs
from realtime.towers.choice import Towers
from realtime.towers.torch_runtime import TorchTowers
from train.nano.cue_sentences import with_frame_words, with_voice_words


@dataclass(frozen=True)
class Variant:
    """One row of the table; the defaults are the model as it serves."""

    name: str = "F + B + A"
    parts: str = "FBA"
    drop: float | None = None
    "δ; None: the checkpoint's own."
    dilation: int | None = None
    "λ; None: the checkpoint's own."
    attention: bool = False
    "Drop the background tokens with the least attention, instead of a random share."
    adaptive: bool = False
    "Let the share of dropped background tokens follow the content; δ is its mean."
    cues: CueSwitches = ALL_CUES
    words: bool = False
    "Write the measurements as words instead of cue tokens."
    towers: bool = True
    "Whether the towers' tokens say what they say. False: zeros stand in their places, beside the cue tokens."

    @property
    def frame_cues(self) -> CueSwitches:
        """The cue tokens of frames. Those of faces are part of `F`."""
        return self.cues if "F" in self.parts else replace(self.cues, measures=False, face_expert=False)


WHOLE = Variant()
PARTS = (
    Variant("A", "A"),
    Variant("F", "F"),
    Variant("B", "B"),
    Variant("F + B", "FB"),
    Variant("F + A", "FA"),
    WHOLE,
)
SELECTION = (
    Variant("attention selection", attention=True),
    Variant("adaptive share", adaptive=True),
    Variant("attention selection, adaptive share", attention=True, adaptive=True),
    Variant("attention selection, δ = 0.5", drop=0.5, attention=True),
    Variant("adaptive share, δ = 0.5", drop=0.5, adaptive=True),
    Variant("attention selection, adaptive share, δ = 0.5", drop=0.5, attention=True, adaptive=True),
)
"""Against a random choice at equal tokens: that is the whole model, or `δ = 0.5`. With an adaptive share the number of
tokens is the same on average."""
DELTAS = tuple(Variant(f"δ = {drop:g}", drop=drop) for drop in (0.0, 0.2, 0.5, 0.8))
LAMBDAS = tuple(Variant(f"λ = {margin}", dilation=margin) for margin in (0, 4, 8, 16))
CUES = (
    Variant("no cue measures", cues=CueSwitches(measures=False)),
    Variant("no face expert", cues=CueSwitches(face_expert=False)),
    Variant("no voice expert", cues=CueSwitches(voice_expert=False)),
    Variant("no scene", cues=CueSwitches(scene=False)),
    Variant("no cue tokens", cues=CueSwitches(measures=False, face_expert=False, voice_expert=False, scene=False)),
    Variant("cues as words", words=True),
    Variant("cue tokens alone", towers=False),
)
TABLE = {
    "Parts": PARTS,
    "Selection": SELECTION,
    "δ, share of background dropped": DELTAS,
    "λ, margin around faces": LAMBDAS,
    "Cue tokens": CUES,
}


def named(name: str) -> Variant:
    """The variant of that name. Raises KeyError for one that the table does not have."""
    return {variant.name: variant for variants in TABLE.values() for variant in variants}[name]


class VariedPerception:
    """The perception of a session with the switches of a variant. Its evidence bypasses the session's KV-cache ring."""

    def __init__(self, model: LoadedModel, variant: Variant, question: Question) -> None:
        self._parts, self._towers = variant.parts, variant.towers
        own_cues = (model.weights.emotion.voice_measures, model.weights.emotion.voice_expert)
        self._n_voice_cues = sum(cue is not None for cue in own_cues)
        frame_cues = variant.frame_cues
        vocabulary = model.thinker.vocabulary
        weights = varied(model.weights, variant)
        kind = AttentivePerception if variant.attention else Perception
        # Other runtimes, and the towers of a model with a fixed share, do not tell the spread of attention.
        towers: Towers = TorchTowers(weights) if variant.adaptive else model.towers
        query = model.thinker.query_embeddings
        if model.instruments is not None:
            # In half precision, evidence is measured beside the model, as it is served (`LoadedModel.perceiver`).
            weights = varied(model.instruments, variant)
            towers, query = TowersOnCpu(towers), query_on_cpu(query)
        self._perception = kind(
            weights,
            towers,
            query=query,
            question=question,
            seed=0,
            frame_cues=partial(with_frame_words, vocabulary=vocabulary)
            if variant.words
            else partial(with_frame_cues, switches=frame_cues),
            voice_cues=partial(with_voice_words, vocabulary=vocabulary)
            if variant.words
            else partial(with_voice_cues, switches=variant.cues),
        )

        if isinstance(self._perception, AttentivePerception) and (own := model.weights.emotion.visual_selector):
            self._perception.tower_gate = own.gate

    def see(self, frame: VideoFrame) -> FrameEvidence | None:
        if "F" not in self._parts and "B" not in self._parts:
            return None
        seen = self._perception.see(frame)
        if not self._towers:
            seen = replace(seen, tokens_ND=zeroed(seen.tokens_ND, seen.counts.focal + seen.counts.background))
        if "F" in self._parts:
            return seen
        first = seen.counts.focal
        return replace(seen, tokens_ND=seen.tokens_ND[first:], positions_3N=seen.positions_3N[:, first:])

    def hear(self, segment: SpeechSegment) -> SpeechEvidence | None:
        heard = self._perception.hear(segment) if "A" in self._parts else None
        if heard is None or self._towers:
            return heard
        return replace(heard, tokens_ND=zeroed(heard.tokens_ND, len(heard.tokens_ND) - self._n_voice_cues))

    def close(self) -> None:
        self._perception.close()


def zeroed(tokens_ND: Float32, n: int) -> Float32:
    """The tokens with zeros in place of the first `n`, which come from a tower."""
    return np.concatenate([np.zeros_like(tokens_ND[:n]), tokens_ND[n:]])


def varied(weights: EmoThinker, variant: Variant) -> EmoThinker:
    """The same weights with δ and λ of the variant. A worker answers one variant only, so they are set in place."""
    weights.config = replace(weights.config, emotion=varied_config(weights.config.emotion, variant))
    return weights


def varied_config(emotion: EmotionConfig, variant: Variant) -> EmotionConfig:
    """The settings with δ, λ and the selection of the variant."""
    drop = 1.0 if "B" not in variant.parts else variant.drop if variant.drop is not None else emotion.drop
    dilation = emotion.dilation_patches if variant.dilation is None else variant.dilation
    changed: dict[str, Any] = {"drop": drop, "dilation_patches": dilation}
    if variant.adaptive:
        changed["selection"] = "adaptive"
    return replace(emotion, **changed)


class AttentivePerception(Perception):
    """Keeps the background tokens with the most attention to the question (`selectors.keep_attended`)."""

    tower_gate: Tensor | None = None
    "The gate of the selector that runs with the towers, where that is not the model's own."

    def _select(self, frame: FrameInput) -> SelectedTokens:
        selector = self._model.emotion.visual_selector
        if selector is None:
            return super()._select(frame)
        # Attention is measured on the tokens as the tower returns them, so they are computed with the gate closed.
        closed = selector.gate if self.tower_gate is None else self.tower_gate
        gate = closed.detach().clone()
        closed.data.zero_()
        try:
            whole = replace(frame, drop=0.0)
            raw = selected(self._towers.vision(vision_inputs([whole], self._asked.text_QD)))[0]
        finally:
            closed.data.copy_(gate)
        scores = selector.attention(raw.tokens_ND, self._asked.text_QD).amax(-1).float().cpu()
        rank_N = torch.zeros(frame.focal_N.shape[0])
        rank_N[raw.order_N] = scores
        ranked = replace(frame, noise_N=rank_N)
        return selected(self._towers.vision(vision_inputs([ranked], self._asked.text_QD)))[0]
