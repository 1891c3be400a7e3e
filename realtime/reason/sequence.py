"""Evidence into one sequence of embeddings, TMRoPE positions and mask: the same for training and serving.

Times become positions at `position_id_per_seconds` (25) a second from the start of the window. A frame holds its time
on the first axis and spreads row and column on the others, anchored where the evidence begins; sound advances all
three. Text after the evidence begins one past the largest position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from realtime.model.thinker import EmoThinker
from realtime.reason import prompt
from realtime.records import FrameEvidence, SpeechEvidence, Window


class Encoder(Protocol):
    """Text to token ids; a `tokenizers.Tokenizer` behind a two-line wrapper."""

    def ids(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class Chunk:
    """One second of picture or one stretch of speech, markers included."""

    x_ND: Tensor
    positions_3N: Tensor
    modality: str
    "face (a frame) or voice (speech)."


@dataclass(frozen=True)
class Evidence:
    """Trunk and chunks of one window, ready to be read."""

    trunk_x_ND: Tensor
    chunks: tuple[Chunk, ...]

    @property
    def n_trunk(self) -> int:
        return self.trunk_x_ND.shape[0]

    @property
    def next_position(self) -> int:
        ends = [int(chunk.positions_3N.max()) for chunk in self.chunks if chunk.positions_3N.numel()]
        return max([self.n_trunk - 1, *ends]) + 1


def text_positions(n: int, start: int) -> Tensor:
    """(3, n): all three axes advance together."""
    return torch.arange(start, start + n).expand(3, n)


def frame_chunk(model: EmoThinker, encoder: Encoder, frame: FrameEvidence, *, base: int, origin_s: float) -> Chunk:
    t = base + round((frame.at_s - origin_s) * model.config.position_id_per_seconds)
    tokens = torch.from_numpy(np.asarray(frame.tokens_ND)).to(model.device, model.dtype)
    positions = torch.from_numpy(frame.positions_3N) + torch.tensor([[t], [base], [base]])
    return marked(model, encoder, tokens, positions, t, (prompt.VISION_START, prompt.VISION_END), "face")


def speech_chunk(model: EmoThinker, encoder: Encoder, speech: SpeechEvidence, *, base: int, origin_s: float) -> Chunk:
    t = base + max(0, round((speech.start_s - origin_s) * model.config.position_id_per_seconds))
    tokens = torch.from_numpy(np.asarray(speech.tokens_ND)).to(model.device, model.dtype)
    positions = torch.from_numpy(speech.positions_3N) + t
    return marked(model, encoder, tokens, positions, t, (prompt.AUDIO_START, prompt.AUDIO_END), "voice")


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
    return Chunk(x, torch.cat(edges, dim=1), modality)


def assemble(model: EmoThinker, encoder: Encoder, window: Window, ask: prompt.Ask) -> Evidence:
    """Trunk, then frames, then speech, oldest first."""
    trunk_ids = encoder.ids(prompt.trunk_text(model.config.emotion.prompt, ask))
    base = len(trunk_ids)
    starts = [frame.at_s for frame in window.frames] + [part.start_s for part in window.speech]
    origin_s = min([window.start_s, *starts])
    chunks = [frame_chunk(model, encoder, frame, base=base, origin_s=origin_s) for frame in window.frames]
    chunks += [speech_chunk(model, encoder, part, base=base, origin_s=origin_s) for part in window.speech]
    return Evidence(model.embed(torch.tensor(trunk_ids, device=model.device)), tuple(chunks))


def branch_mask(evidence: Evidence, n_branch: int, *, hidden: str | None = None, ring: bool = True) -> Tensor:
    """(n_branch, T) bool over `[trunk | chunks | branch]`: causal, blind to the `hidden` modality."""
    parts = [torch.ones(n_branch, evidence.n_trunk, dtype=torch.bool)]
    for chunk in evidence.chunks:
        visible = chunk.modality != hidden
        parts.append(torch.full((n_branch, chunk.x_ND.shape[0]), visible, dtype=torch.bool))
    parts.append(torch.ones(n_branch, n_branch, dtype=torch.bool).tril())
    return torch.cat(parts, dim=1)
