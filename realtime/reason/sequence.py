"""Turns evidence into one sequence of embeddings, TMRoPE positions and mask, for training and serving alike.

A time becomes a position at `position_id_per_seconds` (25) per second from the start of the window. A frame has its
time on the first axis, and its rows and columns on the other two, counted from where the evidence begins. Sound
advances all three axes. Text after the evidence begins one past the largest position.

In the KV-cache ring (`kv_ring.py`) a chunk is prefilled when it arrives, before any window is known. It then has the
position `READ_AT_S` after the prompt prefix, and its keys are rotated to the window's positions when one is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from realtime.model.language import chunk_mask
from realtime.model.thinker import EmoThinker
from realtime.reason import prompt
from realtime.records import FrameEvidence, SpeechEvidence, Window

READ_AT_S = 3.0
"The middle of the distances from the prompt prefix that nano was trained with (0 to about 6 s)."


class Encoder(Protocol):
    """Turns text into token ids (`model.tokenizer.Vocabulary`, or a wrapper around `tokenizers.Tokenizer`)."""

    def ids(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class Tokens:
    """The tokens of one frame or utterance, not yet placed in a window."""

    x_ND: Tensor
    offsets_3N: Tensor
    "TMRoPE offsets from the start of the evidence, int64, on the CPU."


@dataclass(frozen=True)
class WindowTokens:
    """The tokens of each frame and each utterance of a window, in the window's order."""

    frames: Sequence[Tokens]
    speech: Sequence[Tokens]


@dataclass(frozen=True)
class Chunk:
    """One frame or one utterance, markers included."""

    x_ND: Tensor
    positions_3N: Tensor
    modality: str
    "face (a frame) or voice (speech)."
    moves_3N: Tensor
    "1 on the axes that move with the chunk's time, 0 on a frame's rows and columns, which do not."

    @property
    def n_tokens(self) -> int:
        return self.x_ND.shape[0]


@dataclass(frozen=True)
class Evidence:
    """Prompt prefix and chunks of one window, ready to be prefilled."""

    prefix_x_ND: Tensor
    chunks: tuple[Chunk, ...]

    @property
    def n_prefix(self) -> int:
        return self.prefix_x_ND.shape[0]

    @property
    def x_ND(self) -> Tensor:
        """Embeddings of the prompt prefix, then of every chunk."""
        return torch.cat([self.prefix_x_ND, *(chunk.x_ND for chunk in self.chunks)])

    @property
    def positions_3N(self) -> Tensor:
        return torch.cat([text_positions(self.n_prefix, 0), *(chunk.positions_3N for chunk in self.chunks)], 1)

    def mask(self, *, ring: bool) -> Tensor:
        """(N, N) bool: chunk by chunk for a checkpoint that is served from the ring, else causal."""
        if not ring:
            return chunk_mask([], n_prefix=self.n_prefix + sum(chunk.n_tokens for chunk in self.chunks), n_branch=0)
        return chunk_mask([chunk.n_tokens for chunk in self.chunks], n_prefix=self.n_prefix, n_branch=0)

    @property
    def next_position(self) -> int:
        ends = [int(chunk.positions_3N.max()) for chunk in self.chunks if chunk.positions_3N.numel()]
        return max([self.n_prefix - 1, *ends]) + 1


def text_positions(n: int, start: int) -> Tensor:
    """(3, n) positions of text: all three axes advance together."""
    return torch.arange(start, start + n).expand(3, n)


def frame_time(model: EmoThinker, frame: FrameEvidence, *, base: int, origin_s: float) -> int:
    """Position of a frame's time where evidence begins at position `base` and media time `origin_s`."""
    return base + round((frame.at_s - origin_s) * model.config.position_id_per_seconds)


def speech_time(model: EmoThinker, speech: SpeechEvidence, *, base: int, origin_s: float) -> int:
    """Position of an utterance's start, likewise, but never before `base`."""
    return base + max(0, round((speech.start_s - origin_s) * model.config.position_id_per_seconds))


def stored_tokens(model: EmoThinker, evidence: FrameEvidence | SpeechEvidence) -> Tokens:
    """The tokens that perception made, on the model's device and in its precision."""
    x_ND = torch.from_numpy(np.asarray(evidence.tokens_ND)).to(model.device, model.dtype)
    return Tokens(x_ND, torch.from_numpy(evidence.positions_3N))


def frame_chunk(
    model: EmoThinker, encoder: Encoder, frame: FrameEvidence, tokens: Tokens, *, base: int, origin_s: float
) -> Chunk:
    t = frame_time(model, frame, base=base, origin_s=origin_s)
    positions = tokens.offsets_3N + torch.tensor([[t], [base], [base]])
    return marked(model, encoder, tokens.x_ND, positions, t, (prompt.VISION_START, prompt.VISION_END), "face")


def speech_chunk(
    model: EmoThinker, encoder: Encoder, speech: SpeechEvidence, tokens: Tokens, *, base: int, origin_s: float
) -> Chunk:
    t = speech_time(model, speech, base=base, origin_s=origin_s)
    markers = (prompt.AUDIO_START, prompt.AUDIO_END)
    return marked(model, encoder, tokens.x_ND, tokens.offsets_3N + t, t, markers, "voice")


def marked(
    model: EmoThinker,
    encoder: Encoder,
    tokens_ND: Tensor,
    positions_3N: Tensor,
    t: int,
    markers: tuple[str, str],
    modality: str,
) -> Chunk:
    """Put the modality's markers around the tokens."""
    first, last = (model.embed(torch.tensor(encoder.ids(marker), device=model.device)) for marker in markers)
    end = int(positions_3N[0].max()) if positions_3N.numel() else t
    x = torch.cat([first, tokens_ND, last])
    edges = [text_positions(first.shape[0], t), positions_3N, torch.full((3, last.shape[0]), end)]
    moves = torch.ones(3, x.shape[0], dtype=torch.long)
    if modality == "face":
        moves[1:, first.shape[0] : x.shape[0] - last.shape[0]] = 0
    return Chunk(x, torch.cat(edges, dim=1), modality, moves)


def assemble(
    model: EmoThinker, encoder: Encoder, window: Window, question: prompt.Question, tokens: WindowTokens | None = None
) -> Evidence:
    """Prompt prefix, then frames, then speech, oldest first.

    `tokens` are the window's tokens when training has just made them, with gradients; None takes those that the
    evidence holds.
    """
    if tokens is None:
        tokens = WindowTokens(
            *([stored_tokens(model, part) for part in parts] for parts in (window.frames, window.speech))
        )
    prefix_ids = encoder.ids(prompt.prefix_text(model.config.emotion.prompt, question))
    base = len(prefix_ids)
    origin_s = origin_of(window)
    chunks = [
        frame_chunk(model, encoder, frame, made, base=base, origin_s=origin_s)
        for frame, made in zip(window.frames, tokens.frames, strict=True)
    ]
    chunks += [
        speech_chunk(model, encoder, part, made, base=base, origin_s=origin_s)
        for part, made in zip(window.speech, tokens.speech, strict=True)
    ]
    return Evidence(model.embed(torch.tensor(prefix_ids, device=model.device)), tuple(chunks))


def origin_of(window: Window) -> float:
    """Media time at which a window's evidence begins: speech may reach back beyond it."""
    starts = [frame.at_s for frame in window.frames] + [part.start_s for part in window.speech]
    return min([window.start_s, *starts])


def branch_mask(evidence: Evidence, n_branch: int, *, hidden: str | None = None) -> Tensor:
    """(n_branch, T) bool over `[prefix | chunks | branch]`: causal, with the `hidden` modality masked."""
    parts = [torch.ones(n_branch, evidence.n_prefix, dtype=torch.bool)]
    for chunk in evidence.chunks:
        visible = chunk.modality != hidden
        parts.append(torch.full((n_branch, chunk.x_ND.shape[0]), visible, dtype=torch.bool))
    parts.append(torch.ones(n_branch, n_branch, dtype=torch.bool).tril())
    return torch.cat(parts, dim=1)
