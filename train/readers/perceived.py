"""A clip as a live session perceives it: one window of frames and speech, with what a training step needs again.

The clip goes through serving's own reader, segmenter and perception, as in `realtime analyze`. The arguments of the cue
projectors are kept (`FrameSeen.cues`, `SpeechHeard.cues`), so that training can call the same functions with the same
arguments, with gradients.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.evidence import tokens
from realtime.evidence.perceive import Perception, view
from realtime.model.thinker import EmoThinker
from realtime.pace.buffer import BufferSettings, RollingBuffer
from realtime.records import (
    Float32,
    FrameEvidence,
    Question,
    SpeechEvidence,
    SpeechSegment,
    UInt8,
    VideoFrame,
    Window,
)
from realtime.towers import preprocess
from realtime.towers.choice import Towers
from train.readers.recording import check_evidence, check_span, read_recording


@dataclass(frozen=True)
class FrameSeen:
    """One frame of the window, without tokens, with the inputs of its tokens."""

    evidence: FrameEvidence
    rgb_HW3: UInt8
    image_3HW: UInt8
    "What the vision tower sees, in 0–255."
    cues: Mapping[str, Any]
    "Keyword arguments of `tokens.with_frame_cues`, without the tokens' order and the question."

    @property
    def focal_N(self) -> Tensor:
        """Bool, True for the tokens of the focal area, row by row."""
        assert self.evidence.map is not None
        return torch.tensor([cell == "f" for cell in self.evidence.map.cells])


@dataclass(frozen=True)
class SpeechHeard:
    """One speech segment of the window, without tokens, with the inputs of its tokens."""

    evidence: SpeechEvidence
    samples_N: Float32
    cues: Mapping[str, Any]
    "Keyword arguments of `tokens.with_voice_cues`, without the question."


@dataclass(frozen=True)
class Perceived:
    """The window that stands for a clip: up to 8 s. It ends with the last speech, without speech with the picture."""

    window: Window
    frames: tuple[FrameSeen, ...]
    speech: tuple[SpeechHeard, ...]
    has_picture: bool
    has_sound: bool
    length_s: float
    notes: tuple[str, ...] = ()
    "Damage of the file that reading could go on after."


class CueKeepingPerception:
    """Serving's perception, which also keeps what the cue projectors were given for each frame and utterance."""

    def __init__(self, model: LoadedModel) -> None:
        self._emotion = model.weights.config.emotion
        self._frame_cues: dict[str, Any] = {}
        self._voice_cues: dict[str, Any] = {}
        self._perception = Perception(
            model.weights,
            model.towers,
            query=model.thinker.query_embeddings,
            question=Question(labels=model.labels),
            seed=0,
            now_s=time.perf_counter,
            frame_cues=self._keep_frame_cues,
            voice_cues=self._keep_voice_cues,
        )

    def _keep_frame_cues(
        self, model: Any, selected_ND: Tensor, order_N: Tensor, *, text_QD: Tensor, **cues: Any
    ) -> tuple[Tensor, Tensor]:
        self._frame_cues = cues
        return tokens.with_frame_cues(model, selected_ND, order_N, text_QD=text_QD, **cues)

    def _keep_voice_cues(self, model: Any, tokens_ND: Tensor, *, text_QD: Tensor, **cues: Any) -> tuple[Tensor, Tensor]:
        self._voice_cues = cues
        return tokens.with_voice_cues(model, tokens_ND, text_QD=text_QD, **cues)

    def see(self, frame: VideoFrame) -> FrameSeen:
        evidence = self._perception.see(frame)
        boxes = tuple(face.box for face in evidence.faces)
        image_3HW, _ = view(frame, boxes, self._emotion)
        small = (image_3HW * 255).round().to(torch.uint8).numpy()
        return FrameSeen(lean(evidence), frame.rgb_HW3, small, plain(self._frame_cues))

    def hear(self, segment: SpeechSegment) -> SpeechHeard:
        evidence = self._perception.hear(segment)
        return SpeechHeard(lean(evidence), segment.samples_N, plain(self._voice_cues))

    def close(self) -> None:
        self._perception.close()


def lean(evidence: Any) -> Any:
    """The evidence without its tokens, which training makes again with gradients."""
    nothing_N3 = {"tokens_ND": np.zeros((0, 0), np.float32), "positions_3N": np.zeros((3, 0), np.int64)}
    return replace(evidence, **nothing_N3)


def plain(value: Any) -> Any:
    """A copy with ordinary float32 tensors. Tensors made in inference mode could not take part in a gradient."""
    if isinstance(value, Tensor):
        return value.detach().clone().float() if value.is_floating_point() else value.detach().clone()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return replace(value, **{name: plain(getattr(value, name)) for name in value.__dataclass_fields__})
    return value


def watch(path: Path, model: LoadedModel, *, start_s: float | None = None, end_s: float | None = None) -> Perceived:
    """Read and perceive a clip. Blocks.

    Raises NotMedia when nothing of the file can be decoded, and NoEvidence for a part that lies outside the recording,
    or that shows no face and holds no speech: whatever is said of it would be made up.
    """
    span = (start_s or 0.0, float("inf") if end_s is None else end_s)
    check_span(path.name, span)
    recording = read_recording(path, [span])
    check_span(path.name, span, recording.end_s)
    perception = CueKeepingPerception(model)
    frames: list[FrameSeen] = []
    speech: list[SpeechHeard] = []
    try:
        for item in recording.items:
            if isinstance(item, VideoFrame):
                frames.append(perception.see(item))
            elif (heard := perception.hear(item)).evidence.cues.kind == "voice":
                speech.append(heard)
    finally:
        perception.close()
    until_s = max((part.evidence.end_s for part in speech), default=recording.end_s)
    settings = BufferSettings()
    buffer = RollingBuffer(replace(settings, span_s=max(settings.span_s, recording.end_s + settings.window_s)))
    for seen in frames:
        buffer.add_frame(seen.evidence)
    for heard in speech:
        buffer.add_speech(heard.evidence)
    window = buffer.window(0, min(until_s, span[1]))
    check_evidence(path.name, window)
    # The buffer drops items when there are too many, so only the window knows what it holds.
    held = {id(evidence) for evidence in (*window.frames, *window.speech)}
    return Perceived(
        window=window,
        frames=tuple(seen for seen in frames if id(seen.evidence) in held),
        speech=tuple(heard for heard in speech if id(heard.evidence) in held),
        has_picture=recording.has_picture,
        has_sound=recording.has_sound,
        length_s=recording.end_s,
        notes=recording.notes,
    )


class NoTowers:
    """Towers that make tokens of zeros, for clips that are only measured now and get their tokens later.

    A voice expert reads the layers of the audio tower, so that tower runs where the model has one.
    """

    def __init__(self, model: EmoThinker) -> None:
        self._dim = model.config.text.hidden_size
        self._hears = None if model.emotion.voice_expert is None else model.thinker.audio_tower

    def vision(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        place, focal, noise = inputs["place"], inputs["focal"], inputs["noise"]
        real = inputs["valid"][:, ::4] > 0
        kind = torch.where(~real, 3, torch.where(focal > 0, 0, 1))
        order = torch.argsort(kind * (place.shape[1] + 1) + place, dim=1)
        n_focal = ((focal > 0) & real).sum(1)
        zeros = torch.zeros(*place.shape, self._dim, dtype=noise.dtype)
        return zeros, place.gather(1, order.long()), n_focal, real.sum(1)

    @torch.inference_mode()
    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        zeros = torch.zeros(inputs["mel"].shape[0], 50, self._dim)
        if self._hears is None:
            return (zeros,)
        weight = self._hears.conv1.weight
        mel_CFT = inputs["mel"].to(weight.device, weight.dtype)
        return zeros, self._hears.with_moments(mel_CFT, inputs["n_frames"].to(weight.device))[1].float()


def measuring(model: LoadedModel) -> LoadedModel:
    """The model with its measurements and experts, and with towers that do no work."""
    towers: Towers = NoTowers(model.weights)
    return replace(model, towers=towers)


def log_mel(heard: SpeechHeard, n_bins: int) -> Tensor:
    """(n_bins, T) log-mel of a speech segment, the input of the audio tower."""
    return torch.from_numpy(preprocess.log_mel(heard.samples_N, n_bins))
