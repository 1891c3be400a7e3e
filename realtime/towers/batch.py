"""Turns frames and speech into inputs of the static graphs, and their outputs into tokens per frame or utterance.

Frames of different sizes share a batch: each is padded to the largest number of 112-px windows and masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.audio import n_tokens, split_chunks
from realtime.model.vision import window_plan
from realtime.towers import preprocess
from realtime.towers.graph import PATCHES_PER_TOKEN

WINDOW_PATCHES = 64
PATCH_VALUES = 3 * 2 * preprocess.PATCH_PX**2


@dataclass(frozen=True)
class FrameInput:
    """One frame as the vision tower gets it. Tokens are counted row by row."""

    image_3HW: Tensor
    "Values in 0–1, sides multiples of 28."
    focal_N: Tensor
    "Bool, True in the focal area."
    noise_N: Tensor
    "Background tokens with the lowest noise are dropped first (`drop_noise`)."
    drop: float
    "Share of background tokens to drop."


@dataclass(frozen=True)
class SelectedTokens:
    """The tokens of one frame after selection: focal tokens, then kept background."""

    tokens_ND: Tensor
    order_N: Tensor
    "Int64 number of each token, row by row over the frame."
    n_focal: int
    spread: float | None = None
    "Of attention over the background (`methods/selection.py`), where selection is adaptive."
    for_labels: SelectedTokens | None = None
    "The same frame's for the model that gives the labels, where that is another (`evidence/label_reading.py`)."


def drop_noise(focal_N: Tensor, *, seed: int) -> Tensor:
    """(N,) float32 noise with which the graph drops exactly the tokens that `selectors.keep_background` drops."""
    background = torch.nonzero(~focal_N)[:, 0]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.zeros(focal_N.shape[0])
    noise[background[torch.randperm(background.shape[0], generator=generator)]] = torch.arange(
        background.shape[0], dtype=torch.float32
    )
    return noise


def vision_inputs(frames: Sequence[FrameInput], text_QD: Tensor, *, n_windows: int = 0) -> dict[str, Tensor]:
    """The vision graph's inputs by name, padded to at least `n_windows` windows per frame."""
    plans = []
    for frame in frames:
        rows, columns = (side // preprocess.PATCH_PX for side in frame.image_3HW.shape[1:])
        plans.append(window_plan(rows, columns))
    n_patches = max(n_windows * WINDOW_PATCHES, *(plan.gather_N.shape[0] for plan in plans))
    batch, n_places = len(plans), n_patches // PATCHES_PER_TOKEN
    patches = torch.zeros(batch, n_patches, PATCH_VALUES)
    positions = torch.zeros(batch, n_patches, 2, dtype=torch.int32)
    valid = torch.zeros(batch, n_patches, dtype=torch.int32)
    place, focal = (torch.zeros(batch, n_places, dtype=torch.int32) for _ in range(2))
    noise = torch.zeros(batch, n_places)
    for index, (frame, plan) in enumerate(zip(frames, plans, strict=True)):
        n = plan.gather_N.shape[0]
        patches[index, :n] = preprocess.patchify(frame.image_3HW)[plan.gather_N]
        positions[index, :n] = plan.positions_N2
        valid[index, :n] = plan.valid_N.to(torch.int32)
        place[index, plan.token_M] = torch.arange(plan.token_M.shape[0], dtype=torch.int32)
        focal[index, plan.token_M] = frame.focal_N.to(torch.int32)
        noise[index, plan.token_M] = frame.noise_N
    return {
        "patches": patches,
        "positions": positions,
        "valid": valid,
        "place": place,
        "focal": focal,
        "noise": noise,
        "drop": torch.tensor([frame.drop for frame in frames], dtype=torch.float32),
        **text_inputs(text_QD, batch),
    }


@dataclass(frozen=True, eq=False)
class SoundChunk:
    """2 s of log-mel, or the rest of an utterance."""

    mel_FT: Tensor
    "(F, 200), zeros after the real frames."
    n_frames: Tensor
    "() int32 number of real frames."
    key: bytes
    "What two chunks have in common that the tower encodes alike."


def sound_chunks(mel_FT: Tensor) -> list[SoundChunk]:
    """The chunks of an utterance, (F, T). None where it is too short for a token."""
    if mel_FT.shape[1] < 3:
        return []
    chunks = zip(*split_chunks(mel_FT), strict=True)
    return [SoundChunk(mel_FT, n_frames, mel_FT.numpy().tobytes()) for mel_FT, n_frames in chunks]


def audio_inputs(mel_FT: Tensor, text_QD: Tensor) -> dict[str, Tensor]:
    """(F, T) log-mel of one utterance, T ≥ 3 → the audio graph's inputs by name."""
    chunks, lengths = split_chunks(mel_FT)
    return {"mel": chunks.contiguous(), "n_frames": lengths, **text_inputs(text_QD, chunks.shape[0])}


def chunk_inputs(chunks: Sequence[SoundChunk], texts: Sequence[Tensor]) -> dict[str, Tensor]:
    """The audio graph's inputs for chunks of several utterances, each with the text query (Q, D) of its own session."""
    longest = max(text_QD.shape[0] for text_QD in texts)
    text_CQD = torch.stack([F.pad(text_QD, (0, 0, 0, longest - text_QD.shape[0])) for text_QD in texts])
    lengths_C = torch.tensor([text_QD.shape[0] for text_QD in texts])
    return {
        "mel": torch.stack([chunk.mel_FT for chunk in chunks]),
        "n_frames": torch.stack([chunk.n_frames for chunk in chunks]),
        "text": text_CQD,
        "text_valid": (torch.arange(longest)[None] < lengths_C[:, None]).to(torch.int32),
    }


def text_inputs(text_QD: Tensor, batch: int) -> dict[str, Tensor]:
    """The text query as an input of either graph, repeated for each batch row."""
    return {
        "text": text_QD.expand(batch, -1, -1).contiguous(),
        "text_valid": torch.ones(batch, text_QD.shape[0], dtype=torch.int32),
    }


def selected(outputs: Sequence[Tensor]) -> list[SelectedTokens]:
    """The vision graph's outputs as tokens of each frame, without dropped tokens and padding."""
    tokens_BMD, order_BM, n_focal_B, n_kept_B, *more = outputs
    spreads = more[0].tolist() if more else [None] * len(n_kept_B)
    counts = zip(n_focal_B.tolist(), n_kept_B.tolist(), spreads, strict=True)
    return [
        SelectedTokens(tokens_BMD[index, :n_kept], order_BM[index, :n_kept].long().cpu(), n_focal, spread)
        for index, (n_focal, n_kept, spread) in enumerate(counts)
    ]


def heard(tokens_CTD: Tensor, n_frames_C: Tensor) -> Tensor:
    """(N, D) tokens of an utterance from the audio graph's output, without padding."""
    return torch.cat([row[: max(0, n_tokens(int(n)))] for row, n in zip(tokens_CTD, n_frames_C, strict=True)])


def filled(value: Tensor, n: int) -> Tensor:
    """Fill a batch up to the next power of two by repeating its first row. On a GPU each size needs its own graph."""
    more = (1 << (n - 1).bit_length()) - n
    return torch.cat([value, value[:1].expand(more, *value.shape[1:])]) if more else value
