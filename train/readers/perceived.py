"""A recording as a live session perceives it: one window of frames and speech, with what a training step needs again.

The clip goes through `realtime`'s own reader, segmenter and perception, as `realtime analyze` does it. What the cue
projectors were given is kept as it was given (`FrameSeen.cues`, `SpeechHeard.cues`), so that training calls the same
functions with the same arguments, with gradients.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.errors import NotMedia
from realtime.evidence import tokens
from realtime.evidence.perceive import Perception, view
from realtime.ingest.media import MediaSource
from realtime.ingest.settings import IngestSettings
from realtime.ingest.speech import SpeechSettings
from realtime.pace.buffer import BufferSettings, RollingBuffer
from realtime.records import (
    ClockTick,
    Float32,
    FrameEvidence,
    Item,
    Question,
    SourceEnded,
    SpeechEvidence,
    SpeechSegment,
    UInt8,
    VideoFrame,
    Window,
)
from realtime.towers import preprocess
from realtime.towers.choice import Towers


@dataclass(frozen=True)
class FrameSeen:
    """One frame of the window."""

    evidence: FrameEvidence
    rgb_HW3: UInt8
    image_3HW: UInt8
    "What the vision tower sees, in 0–255."
    cues: Mapping[str, Any]
    "Keyword arguments of `tokens.with_frame_cues`, without the tokens' order."

    @property
    def focal_N(self) -> Tensor:
        """Bool, True for the tokens of the focal area, row by row."""
        assert self.evidence.map is not None
        return torch.tensor([cell == "f" for cell in self.evidence.map.cells])


@dataclass(frozen=True)
class SpeechHeard:
    """One stretch of speech of the window."""

    evidence: SpeechEvidence
    samples_N: Float32
    cues: Mapping[str, Any]
    "Keyword arguments of `tokens.with_voice_cues`."


@dataclass(frozen=True)
class Perceived:
    """The window a clip is annotated and trained as: up to 8 s, ending where its last speech or its picture ends."""

    window: Window
    frames: tuple[FrameSeen, ...]
    speech: tuple[SpeechHeard, ...]
    has_picture: bool
    has_sound: bool
    length_s: float
    notes: tuple[str, ...] = ()
    "What was wrong with the file and could be lived with."


@dataclass
class Watcher:
    """Perceives the items of a source, in the order they come."""

    model: LoadedModel
    start_s: float = 0.0
    end_s: float = float("inf")
    frames: list[FrameSeen] = field(default_factory=list)
    speech: list[SpeechHeard] = field(default_factory=list)
    reason: str = ""
    reached_s: float = 0.0

    def __post_init__(self) -> None:
        self._frame_cues: dict[str, Any] = {}
        self._voice_cues: dict[str, Any] = {}
        reader = self.model.thinker
        self.perception = Perception(
            self.model.weights,
            self.model.towers,
            query=reader.query_embeddings,
            question=Question(labels=self.model.labels),
            seed=0,
            now_s=time.perf_counter,
            frame_cues=self._listen_to_frame,
            voice_cues=self._listen_to_voice,
        )

    def _listen_to_frame(self, model: Any, selected_ND: Tensor, order_N: Tensor, **cues: Any) -> tuple[Tensor, Tensor]:
        self._frame_cues = cues
        return tokens.with_frame_cues(model, selected_ND, order_N, **cues)

    def _listen_to_voice(self, model: Any, tokens_ND: Tensor, **cues: Any) -> tuple[Tensor, Tensor]:
        self._voice_cues = cues
        return tokens.with_voice_cues(model, tokens_ND, **cues)

    def take(self, item: Item) -> None:
        match item:
            case VideoFrame():
                self._see(item)
            case SpeechSegment():
                self._hear(item)
            case ClockTick(at_s):
                self.reached_s = max(self.reached_s, at_s)
            case SourceEnded(reason):
                self.reason = reason

    def _see(self, frame: VideoFrame) -> None:
        self.reached_s = max(self.reached_s, frame.at_s)
        if not self.start_s <= frame.at_s < self.end_s:
            return
        evidence = self.perception.see(frame)
        boxes = tuple(face.box for face in evidence.faces)
        image_3HW, _ = view(frame, boxes, self.model.weights.config.emotion)
        small = (image_3HW * 255).round().to(torch.uint8).numpy()
        self.frames.append(FrameSeen(lean(evidence), frame.rgb_HW3, small, plain(self._frame_cues)))

    def _hear(self, segment: SpeechSegment) -> None:
        self.reached_s = max(self.reached_s, segment.end_s)
        if segment.end_s <= self.start_s or segment.start_s >= self.end_s:
            return
        evidence = self.perception.hear(segment)
        self.speech.append(SpeechHeard(lean(evidence), segment.samples_N, plain(self._voice_cues)))


def lean(evidence: Any) -> Any:
    """Without its tokens: training makes them again, with gradients."""
    nothing_N3 = {"tokens_ND": np.zeros((0, 0), np.float32), "positions_3N": np.zeros((3, 0), np.int64)}
    return replace(evidence, **nothing_N3)


def plain(value: Any) -> Any:
    """A copy whose tensors are ordinary ones: those made in inference mode take part in no gradient."""
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
    """Blocking. Raises NotMedia when nothing of the clip can be seen or heard."""
    source = MediaSource.open(str(path), ingest=IngestSettings(), speech=SpeechSettings())
    watcher = Watcher(model, start_s or 0.0, float("inf") if end_s is None else end_s)
    try:
        for item in source.read():
            watcher.take(item)
        if not watcher.frames and not source.has_audio:
            raise NotMedia(f"{path.name} has no frame between its start and its end.", "Check the label file's times.")
        settings = BufferSettings()
        until_s = max([part.evidence.end_s for part in watcher.speech], default=None)
        until_s = watcher.reached_s if until_s is None else until_s
        buffer = RollingBuffer(replace(settings, span_s=max(settings.span_s, watcher.reached_s + settings.window_s)))
        for seen in watcher.frames:
            buffer.add_frame(seen.evidence)
        for heard in watcher.speech:
            buffer.add_speech(heard.evidence)
        window = buffer.window(0, min(until_s, watcher.end_s))
    finally:
        watcher.perception.close()
    notes = [watcher.reason] if "damaged" in watcher.reason or "sooner" in watcher.reason else []
    if source.n_damaged:
        notes.append(f"{source.n_damaged} packets did not decode")
    frames, speech = {id(f) for f in window.frames}, {id(s) for s in window.speech}
    return Perceived(
        window=window,
        frames=tuple(seen for seen in watcher.frames if id(seen.evidence) in frames),
        speech=tuple(heard for heard in watcher.speech if id(heard.evidence) in speech),
        has_picture=source.has_video,
        has_sound=source.has_audio,
        length_s=watcher.reached_s,
        notes=tuple(notes),
    )


class NoTowers:
    """Towers that make tokens of zeros: for who wants the measurements of a clip and makes its tokens later."""

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def vision(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        place, focal, noise = inputs["place"], inputs["focal"], inputs["noise"]
        real = inputs["valid"][:, ::4] > 0
        kind = torch.where(~real, 3, torch.where(focal > 0, 0, 1))
        order = torch.argsort(kind * (place.shape[1] + 1) + place, dim=1)
        n_focal = ((focal > 0) & real).sum(1)
        zeros = torch.zeros(*place.shape, self._dim, dtype=noise.dtype)
        return zeros, place.gather(1, order.long()), n_focal, real.sum(1)

    def audio(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.zeros(inputs["mel"].shape[0], 50, self._dim)


def measuring(model: LoadedModel) -> LoadedModel:
    """The model with its instruments and without its towers' work."""
    towers: Towers = NoTowers(model.weights.config.text.hidden_size)
    return replace(model, towers=towers)


def log_mel(heard: SpeechHeard) -> Tensor:
    """(128, T) of a stretch, as the tower hears it."""
    return torch.from_numpy(preprocess.log_mel(heard.samples_N))
