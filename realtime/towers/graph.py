"""The two static graphs that every runtime runs: vision tower with token selection, audio tower with extractor.

Torch runs these modules and `export` writes the same ones, so that runtimes cannot drift apart. Nothing in them is
random: `noise` is an input that decides which tokens are dropped, so a run can be repeated and a CUDA graph replayed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.audio import AudioTower
from realtime.model.methods.compressor import HybridMerger
from realtime.model.methods.selection import attention_spread
from realtime.model.selectors import AudioExtractor, VisualSelector
from realtime.model.vision import MASKED, VisionTower

PATCHES_PER_TOKEN = 4
VISION_INPUTS = ("patches", "positions", "valid", "place", "focal", "noise", "drop", "text", "text_valid")
VISION_OUTPUTS = ("tokens", "order", "n_focal", "n_kept", "spread")
"`spread` only where selection is adaptive, which follows it."
AUDIO_INPUTS = ("mel", "n_frames", "text", "text_valid")
AUDIO_OUTPUTS = ("tokens", "moments")
"`moments` only where the checkpoint has a voice expert, which reads them."
TEXT_INPUTS = ("text", "text_valid")
"Absent where the checkpoint has no selectors."


class VisionGraph(nn.Module):
    """Frames → their tokens in the Thinker's order: focal, kept background, then dropped tokens and padding."""

    def __init__(
        self,
        tower: VisionTower,
        selector: VisualSelector | None,
        *,
        hybrid: HybridMerger | None = None,
        spreads: bool = False,
    ) -> None:
        """With `spreads`, how far the selector's attention is spread is an output, too."""
        super().__init__()
        self.tower = tower
        self.selector = selector
        self.hybrid = hybrid
        self.spreads = spreads

    def forward(
        self,
        patches_BNP: Tensor,
        positions_BN2: Tensor,
        valid_BN: Tensor,
        place_BM: Tensor,
        focal_BM: Tensor,
        noise_BM: Tensor,
        drop_B: Tensor,
        text_BQD: Tensor | None = None,
        text_valid_BQ: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """N patches in window order give M = N/4 tokens. All token inputs are in that order; integers are int32.

        `place_BM` numbers the tokens row by row over the frame, and `focal_BM` is 1 in the focal area. A share `drop_B`
        of the background is dropped, lowest `noise_BM` first. Returns tokens (B, M, D), their numbers in the frame
        (B, M), the number of focal tokens (B,) and the number of kept tokens (B,). Later rows are not evidence. With
        `spreads`, the spread of attention (B,) follows (`attention_spread`).
        """
        x_BND = self.tower.before_merger(patches_BNP, positions_BN2, valid_BN)
        return self.after_tower(x_BND, valid_BN, place_BM, focal_BM, noise_BM, drop_B, text_BQD, text_valid_BQ)

    def after_tower(
        self,
        x_BND: Tensor,
        valid_BN: Tensor,
        place_BM: Tensor,
        focal_BM: Tensor,
        noise_BM: Tensor,
        drop_B: Tensor,
        text_BQD: Tensor | None = None,
        text_valid_BQ: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """What `forward` returns, from (B, N, hidden_size) of `VisionTower.before_merger`."""
        tokens_BMD, *spread = self.merge(x_BND, valid_BN, focal_BM, text_BQD, text_valid_BQ)
        return (*self.select(tokens_BMD, valid_BN, place_BM, focal_BM, noise_BM, drop_B), *spread)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` returns."""
        return VISION_OUTPUTS if self.spreads else VISION_OUTPUTS[:-1]

    def encode(
        self,
        patches_BNP: Tensor,
        positions_BN2: Tensor,
        valid_BN: Tensor,
        focal_BM: Tensor,
        text_BQD: Tensor | None,
        text_valid_BQ: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """All tokens (B, M, D) in window order, conditioned on the text, and with `spreads` the spread (B,)."""
        x_BND = self.tower.before_merger(patches_BNP, positions_BN2, valid_BN)
        return self.merge(x_BND, valid_BN, focal_BM, text_BQD, text_valid_BQ)

    def merge(
        self,
        x_BND: Tensor,
        valid_BN: Tensor,
        focal_BM: Tensor,
        text_BQD: Tensor | None,
        text_valid_BQ: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """The same from (B, N, hidden_size) of `VisionTower.before_merger`."""
        tokens_BMD = self.tower.merger(x_BND)
        if self.hybrid is not None:
            tokens_BMD = self.hybrid(tokens_BMD, x_BND, valid_BN)
        if self.selector is None:
            return (tokens_BMD,)
        assert text_BQD is not None
        real_BM = valid_BN[:, ::PATCHES_PER_TOKEN] > 0
        guided_BMD = self.selector(tokens_BMD, text_BQD, (focal_BM > 0) & real_BM, text_valid_BQ)
        if not self.spreads:
            return (guided_BMD,)
        scores_BMQ = self.selector.attention(tokens_BMD, text_BQD)
        if text_valid_BQ is not None:
            scores_BMQ = scores_BMQ + ((1 - text_valid_BQ).to(scores_BMQ.dtype) * MASKED)[:, None, :]
        return guided_BMD, attention_spread(scores_BMQ, real_BM & (focal_BM == 0))

    @staticmethod
    def select(
        tokens_BMD: Tensor, valid_BN: Tensor, place_BM: Tensor, focal_BM: Tensor, noise_BM: Tensor, drop_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encoded tokens in the Thinker's order, as `forward` returns them."""
        real_BM = valid_BN[:, ::PATCHES_PER_TOKEN] > 0
        is_focal_BM = (focal_BM > 0) & real_BM
        background_BM = real_BM & (focal_BM == 0)
        dropped_BM = drop_lowest(background_BM, noise_BM, drop_B)
        kind_BM = torch.where(is_focal_BM, 0, torch.where(dropped_BM, 2, torch.where(background_BM, 1, 3)))
        row_BM = reading_order(kind_BM.to(torch.int32), torch.where(real_BM, place_BM, 0))
        n_tokens = tokens_BMD.shape[1]
        first_B = torch.arange(tokens_BMD.shape[0], dtype=torch.int32, device=row_BM.device) * n_tokens
        flat_BM = row_BM + first_B[:, None]
        # Gather by F.embedding: GatherElements would want an index as large as the tokens, GatherND takes no int32.
        ordered_BMD = F.embedding(flat_BM, tokens_BMD.flatten(0, 1))
        order_BM = F.embedding(flat_BM, place_BM.flatten()[:, None])[..., 0]
        n_focal_B = count(is_focal_BM)
        return ordered_BMD, order_BM, n_focal_B, n_focal_B + count(background_BM & ~dropped_BM)


def count(mask: Tensor) -> Tensor:
    """Int32 number of True along the last axis."""
    return mask.to(torch.int32).sum(-1, dtype=torch.int32)


def drop_lowest(background_BM: Tensor, noise_BM: Tensor, drop_B: Tensor) -> Tensor:
    """(B, M) bool: the round(drop · n) background tokens with the lowest noise. Ties are broken by order."""
    row_M = torch.arange(noise_BM.shape[1], device=noise_BM.device)
    mine, other = noise_BM[:, :, None], noise_BM[:, None, :]
    before = (other < mine) | ((other == mine) & (row_M[None, :] < row_M[:, None])[None])
    rank_BM = count(before & background_BM[:, None, :])
    n_dropped_B = torch.round(drop_B * count(background_BM).to(drop_B.dtype)).to(torch.int32)
    return background_BM & (rank_BM < n_dropped_B[:, None])


def reading_order(kind_BM: Tensor, place_BM: Tensor) -> Tensor:
    """(B, M) int32 rows sorted by kind, then place. It counts, since TopK has other limits in each runtime."""
    n = kind_BM.shape[1]
    row_M = torch.arange(n, dtype=torch.int32, device=kind_BM.device)
    key_BM = kind_BM * n + torch.where(kind_BM == 3, row_M[None], place_BM)
    rank_BM = count(key_BM[:, None, :] < key_BM[:, :, None])
    chosen_BMM = rank_BM[:, None, :] == row_M[None, :, None]
    return (chosen_BMM.to(torch.int32) * row_M[None, None]).sum(-1, dtype=torch.int32)


class AudioGraph(nn.Module):
    """2-s chunks of log-mel → 50 tokens each, conditioned on the text query."""

    def __init__(self, tower: AudioTower, extractor: AudioExtractor | None, *, moments: bool = False) -> None:
        super().__init__()
        self.tower = tower
        self.extractor = extractor
        self.moments = moments

    def forward(
        self,
        mel_CFT: Tensor,
        n_frames_C: Tensor,
        text_CQD: Tensor | None = None,
        text_valid_CQ: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """(C, 50, D) tokens, and with `moments` (C, layers, 2·D) what the voice expert reads (`AudioTower`).

        `n_frames_C` int32 is the number of real mel frames of each chunk. `model.audio.n_tokens` gives how many tokens
        of a chunk are real.
        """
        x_CTD, moments_CLD = self.tower.before_projection(mel_CFT, n_frames_C)
        return self.after_tower(x_CTD, moments_CLD, text_CQD, text_valid_CQ)

    def after_tower(
        self,
        x_CTD: Tensor,
        moments_CLD: Tensor,
        text_CQD: Tensor | None = None,
        text_valid_CQ: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """What `forward` returns, from what `AudioTower.before_projection` does."""
        tokens_CTD = self.tower.proj(x_CTD)
        if self.extractor is not None:
            assert text_CQD is not None
            tokens_CTD = self.extractor(tokens_CTD, text_CQD, text_valid_CQ)
        return (tokens_CTD, moments_CLD) if self.moments else (tokens_CTD,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` returns."""
        return AUDIO_OUTPUTS if self.moments else AUDIO_OUTPUTS[:-1]
