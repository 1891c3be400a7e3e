"""Make the tokens of an annotated clip with gradients, by the graphs and cue projectors that serve a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.tokens import ALL_CUES, CueSwitches, with_frame_cues, with_voice_cues
from realtime.model.methods.selection import BackgroundShare
from realtime.model.thinker import EmoThinker
from realtime.reason.sequence import Tokens, WindowTokens
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, heard, selected, vision_inputs
from realtime.towers.graph import AUDIO_INPUTS, TEXT_INPUTS, VISION_INPUTS, AudioGraph, VisionGraph
from realtime.towers.preprocess import TOKEN_PX
from realtime.towers.torch_runtime import HALVED
from train.evaluation.variants import WHOLE, Variant
from train.readers.perceived import FrameSeen, Perceived, SpeechHeard, log_mel
from train.tuning.ablated import attention_noise, emotion_of, focal_of, kept_tokens

ENCODED, SELECTED = (
    ("patches", "positions", "valid", "focal", *TEXT_INPUTS),
    ("valid", "place", "focal", "noise", "drop"),
)
"Inputs of the two halves of the vision graph."


class ClipTokens:
    """Makes a clip's tokens with the model as it is at this step of the training."""

    def __init__(self, model: EmoThinker, *, cues_off: float, variant: Variant = WHOLE) -> None:
        """`cues_off`: how often each kind of cue token is left out. `variant`: the row of the ablation table."""
        self._model = model
        self._cues_off = cues_off
        self._variant, self._settings = variant, emotion_of(model.config.emotion, variant)
        thinker, emotion = model.thinker, model.emotion
        adapts = self._settings.selection == "adaptive"
        self._vision = VisionGraph(thinker.visual, emotion.visual_selector, hybrid=emotion.hybrid, spreads=adapts)
        self._audio = AudioGraph(thinker.audio_tower, emotion.audio_extractor)

    def make(self, clip: Perceived, text_QD: Tensor, draw: int) -> WindowTokens:
        """The tokens of all frames and utterances.

        `text_QD`: the text query that the selectors attend to. `draw` seeds the random choices.
        """
        rng = np.random.default_rng(draw)
        switches = ALL_CUES
        if self._cues_off:
            names = list(CueSwitches.__dataclass_fields__)
            switches = CueSwitches(**{name: bool(rng.random() >= self._cues_off) for name in names})
        in_frames, in_speech = (both(switches, of) for of in (self._variant.frame_cues, self._variant.cues))
        frames = self._frames(clip.frames, text_QD, draw, in_frames) if clip.frames else []
        return WindowTokens(frames, [self._utterance(part, text_QD, in_speech) for part in clip.speech])

    def _frames(self, frames: tuple[FrameSeen, ...], text_QD: Tensor, draw: int, switches: CueSwitches) -> list[Tokens]:
        """Tokens of all frames, from one batch of the vision tower."""
        given = []
        for number, frame in enumerate(frames):
            focal_N = focal_of(frame, self._variant)
            noise = drop_noise(focal_N, seed=draw * 64 + number)
            given.append(FrameInput(torch.from_numpy(frame.image_3HW).float() / 255, focal_N, noise, 0.0))
        inputs = self._cast(vision_inputs(given, text_QD), VISION_INPUTS)
        encoded = self._vision.encode(*(inputs[name] for name in ENCODED))
        if self._variant.attention:
            inputs["noise"] = self._attended(inputs)
        inputs["drop"] = self._drops(given, *encoded[1:]).to(self._model.device)
        outputs = selected(self._vision.select(encoded[0], *(inputs[name] for name in SELECTED)))
        return [
            self._tokens(
                kept_tokens(
                    *with_frame_cues(
                        self._model,
                        kept.tokens_ND,
                        kept.order_N,
                        text_QD=text_QD,
                        **self._cues(frame.cues),
                        switches=switches,
                    ),
                    kept.n_focal,
                    self._variant,
                )
            )
            for frame, kept in zip(frames, outputs, strict=True)
        ]

    @torch.no_grad()
    def _attended(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, M) by which background is dropped where the one with the least attention is."""
        tower, selector = self._vision.tower, self._vision.selector
        assert selector is not None, "without selectors nothing is dropped"
        x_BND = tower.before_merger(*(inputs[name] for name in ENCODED[:3]))
        return attention_noise(selector.attention(tower.merger(x_BND), inputs["text"]))

    def _drops(self, frames: list[FrameInput], spread_B: Tensor | None = None) -> Tensor:
        """(B,) float32 shares that the frames drop, one after the other, as in a session that begins with them."""
        share = BackgroundShare(self._settings, token_px=TOKEN_PX)
        drops = []
        for index, frame in enumerate(frames):
            drops.append(share.of(frame.image_3HW, frame.focal_N))
            share.saw(None if spread_B is None else float(spread_B[index].detach()))
        return torch.tensor(drops, dtype=torch.float32)

    def _utterance(self, part: SpeechHeard, text_QD: Tensor, switches: CueSwitches) -> Tokens:
        inputs = audio_inputs(log_mel(part, self._model.config.audio.num_mel_bins), text_QD)
        out = heard(self._audio(*self._cast(inputs, AUDIO_INPUTS).values())[0], inputs["n_frames"])
        made = with_voice_cues(self._model, out, text_QD=text_QD, **self._cues(part.cues), switches=switches)
        return self._tokens(made)

    def _tokens(self, made: tuple[Tensor, Tensor]) -> Tokens:
        x_ND, offsets_3N = made
        return Tokens(x_ND.to(self._model.dtype), offsets_3N)

    def _cast(self, inputs: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, Tensor]:
        return {
            name: inputs[name].to(self._model.device, self._model.dtype if name in HALVED else None)
            for name in names
            if name in inputs
        }

    def _cues(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Recorded keyword arguments on the model's device, without the switches, which each step draws anew."""
        return {name: moved(value, self._model.device) for name, value in recorded.items() if name != "switches"}


def both(one: CueSwitches, other: CueSwitches) -> CueSwitches:
    """The cues that are on in both."""
    return CueSwitches(
        **{name: getattr(one, name) and getattr(other, name) for name in CueSwitches.__dataclass_fields__}
    )


def moved(value: Any, device: torch.device) -> Any:
    """A copy of `value` with all tensors on `device`, also those within lists, tuples and dataclasses."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(moved(item, device) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**{name: moved(getattr(value, name), device) for name in value.__dataclass_fields__})
    return value
