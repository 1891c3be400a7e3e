"""Structural token selection, the audio evidence extractor and the cue projectors (DESIGN.md, "The model").

Gates start at 0, so an untrained selector leaves every token exactly as the tower made it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from realtime.model.vision import MASKED
from realtime.records import Box


class TextGuide(nn.Module):
    """E + ε · softmax(Q Kᵀ/√d) V with queries from the tokens, keys and values from the text query."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, inner, bias=False)
        self.key = nn.Linear(dim, inner, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def attention(self, tokens_ND: Tensor, text_QD: Tensor) -> Tensor:
        """(…, N, Q) attention scores before the softmax."""
        scores: Tensor = self.query(tokens_ND) @ self.key(text_QD).transpose(-1, -2)
        return scores / math.sqrt(self.key.out_features)

    def forward(self, tokens_ND: Tensor, text_QD: Tensor, text_valid_Q: Tensor | None = None) -> Tensor:
        """(…, N, D) tokens conditioned on the text.

        `text_valid_Q` is 0 where the text is padding (texts of several sessions in one batch); None: nothing is.
        """
        scores = self.attention(tokens_ND, text_QD)
        if text_valid_Q is not None:
            scores = scores + ((1 - text_valid_Q).to(scores.dtype) * MASKED)[..., None, :]
        weights = torch.softmax(scores, dim=-1)
        return tokens_ND + self.gate * (weights @ self.value(text_QD))  # type: ignore[no-any-return]


class VisualSelector(TextGuide):
    """Conditions background tokens on the text. Focal tokens pass unchanged; the caller drops background tokens."""

    def forward(  # type: ignore[override]
        self,
        tokens_ND: Tensor,
        text_QD: Tensor,
        focal_N: Tensor | None = None,
        text_valid_Q: Tensor | None = None,
    ) -> Tensor:
        """`focal_N` is True where a token lies in the focal area; None: all tokens are background."""
        guided = super().forward(tokens_ND, text_QD, text_valid_Q)
        if focal_N is None:
            return guided
        return torch.where(focal_N[..., None], tokens_ND, guided)


class AudioExtractor(TextGuide):
    """Conditions audio tokens on the same text. No audio token is dropped."""


class CueProjector(nn.Module):
    """Projects measured features to one cue token, gated like the selectors.

    With `bounds` each feature is first expanded into the weights of `N_HATS` triangular functions spread evenly over
    them (linear interpolation, clamped at the ends). "Above 0.5" is then one weight to learn, not a curve. Without
    `bounds` features enter unchanged.
    """

    N_HATS = 9

    def __init__(
        self, n_features: int, dim: int, *, bounds: tuple[float, float] | None = None, inner: int = 192
    ) -> None:
        super().__init__()
        self.bounds = bounds
        n_inputs = n_features if bounds is None else n_features * self.N_HATS
        self.layers = nn.Sequential(nn.Linear(n_inputs, inner), nn.GELU(), nn.Linear(inner, dim))
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, features_F: Tensor) -> Tensor:
        return self.gate * self.layers(self.hats(features_F))  # type: ignore[no-any-return]

    def hats(self, features_F: Tensor) -> Tensor:
        """(F,) → (F · N_HATS,) with `bounds`, where each feature's weights sum to 1; else unchanged."""
        if self.bounds is None:
            return features_F
        low, high = self.bounds
        at = (features_F.clamp(low, high) - low) / (high - low) * (self.N_HATS - 1)
        centres = torch.arange(self.N_HATS, device=at.device, dtype=at.dtype)
        return (1 - (at[:, None] - centres).abs()).clamp(min=0).flatten()


def focal_mask(boxes: tuple[Box, ...], *, rows: int, columns: int, token_px: int, dilation_px: int) -> Tensor:
    """(rows · columns,) bool over merged tokens: True where a token's centre lies in a dilated face box.

    `boxes` are (x, y, w, h) in 0–1 of the frame that the tower sees, `rows` × `columns` tokens of `token_px` each.
    """
    height, width = rows * token_px, columns * token_px
    ys = (torch.arange(rows) + 0.5) * token_px
    xs = (torch.arange(columns) + 0.5) * token_px
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    for x, y, w, h in boxes:
        top, bottom = y * height - dilation_px, (y + h) * height + dilation_px
        left, right = x * width - dilation_px, (x + w) * width + dilation_px
        mask |= ((ys >= top) & (ys <= bottom))[:, None] & ((xs >= left) & (xs <= right))[None]
    return mask.flatten()


def keep_background(focal_N: Tensor, *, drop: float, seed: int) -> Tensor:
    """(N,) bool, True for tokens that are kept: all focal ones and a random 1 − `drop` of the background.

    The same seed gives the same choice on every machine (a Mersenne generator on the CPU), so a replay is identical.
    """
    background = torch.nonzero(~focal_N)[:, 0]
    n_dropped = round(drop * background.shape[0])
    generator = torch.Generator().manual_seed(seed)
    dropped = background[torch.randperm(background.shape[0], generator=generator)[:n_dropped]]
    keep = torch.ones_like(focal_N)
    keep[dropped] = False
    return keep


def keep_attended(focal_N: Tensor, scores_NQ: Tensor, *, drop: float) -> Tensor:
    """(N,) bool like `keep_background`, dropping the tokens with the lowest text attention (the paper's ablation)."""
    background = torch.nonzero(~focal_N)[:, 0]
    n_dropped = round(drop * background.shape[0])
    order = scores_NQ.amax(-1)[background].argsort()
    keep = torch.ones_like(focal_N)
    keep[background[order[:n_dropped]]] = False
    return keep
