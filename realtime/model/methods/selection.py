"""Adaptive selection: the share of the background that is dropped follows the content; its mean stays as it was set.

Two things are measured: how much the background has changed since the last frame, and over how many background tokens
the selector's attention was spread in the last frame. Each is divided by its mean in this session. Where both ratios
are 1, the share is exactly the fixed one.

The spread is that of the last frame, because the towers are static graphs: the share is one of their inputs, and the
spread one of their outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.config import EmotionConfig

USUAL_OVER = 30
"Frames over which what is usual is averaged; half a minute of a session."
MOST_UNUSUAL = 2.0
"The highest ratio that counts: after a cut of the picture everything has changed."
LEAST_KEPT = 0.5
"Share of the mean number of kept tokens that is kept at least."
REPAID = 0.25
"Part of the tokens kept too many or too few so far that the next frame makes up for."
MOST_OWED = 2.0
"Tokens kept too many or too few that are remembered at most, in backgrounds of a frame."


class Usual:
    """A running mean of non-negative values; over the first `USUAL_OVER` of them it is the plain mean."""

    def __init__(self) -> None:
        self._n, self._mean = 0, 0.0

    def compare(self, value: float) -> float:
        """Take in a value, and return its ratio to the mean with it, at most `MOST_UNUSUAL`. Equal values give 1."""
        self._n = min(self._n + 1, USUAL_OVER)
        self._mean += (value - self._mean) / self._n
        return min(value / self._mean, MOST_UNUSUAL) if self._mean > 0 else 1.0


class BackgroundShare:
    """The share of the background that each frame of one session drops."""

    def __init__(self, emotion: EmotionConfig, *, token_px: int) -> None:
        """`token_px` is the side of a token in the pictures. Without selectors, nothing is dropped."""
        self._drop = emotion.drop if emotion.selector_dim else 0.0
        # Where everything is kept, or nothing, there is nothing to move from one frame to another.
        self._adapts = emotion.selection == "adaptive" and 0 < self._drop < 1
        self._token_px = token_px
        self._usual_change, self._usual_spread = Usual(), Usual()
        self._spread = 1.0
        "Spread of the last frame's attention, divided by its mean."
        self._before_N: Tensor | None = None
        self._saved = 0.0
        "Tokens kept less than the mean so far, as a share of one frame's background."

    def of(self, image_3HW: Tensor, focal_N: Tensor) -> float:
        """The share that the next frame drops. `focal_N` is True in the focal area; values of the picture are in 0–1.

        Call it once for each frame, in order, and then `saw` with that frame's spread.
        """
        if not self._adapts or bool(focal_N.all()):
            return self._drop
        content = (self._spread + self._change(image_3HW, focal_N)) / 2
        kept = 1 - self._drop
        more = kept * (content - 1) + REPAID * self._saved
        dropped = min(max(self._drop - more, 0.0), 1 - LEAST_KEPT * kept)
        self._saved = min(max(self._saved + dropped - self._drop, -MOST_OWED), MOST_OWED)
        return dropped

    def saw(self, spread: float | None) -> None:
        """Take what `attention_spread` gave for the frame; None: not measured."""
        if self._adapts and spread:
            self._spread = self._usual_spread.compare(spread)

    def _change(self, image_3HW: Tensor, focal_N: Tensor) -> float:
        """How far the background's tokens differ from those of the last frame, relative to the usual.

        Means of tokens are compared, so the noise of a camera does not count as content.
        """
        now_N = F.avg_pool2d(image_3HW.float().mean(0)[None], self._token_px)[0].flatten()
        before_N, self._before_N = self._before_N, now_N
        if before_N is None or before_N.shape != now_N.shape:
            return 1.0
        return self._usual_change.compare(float((now_N - before_N).abs()[~focal_N].mean()))


def attention_spread(scores_BMQ: Tensor, background_BM: Tensor) -> Tensor:
    """(B,) float32 in 0–1: the share of the background tokens over which attention is spread; 0 without background.

    It is exp(entropy) / n of a softmax over the n background tokens, each by its largest score over the text query's
    tokens. Attention that is even over all of them gives 1, attention to a single one 1 / n.
    """
    valid_BM = background_BM.to(torch.float32)
    scores_BM = scores_BMQ.float().amax(-1)
    # Finite, so that a frame without background is not NaN.
    scores_BM = torch.where(background_BM, scores_BM, torch.full_like(scores_BM, -1e9))
    log_p_BM = torch.log_softmax(scores_BM, dim=-1)
    entropy_B = -(log_p_BM.exp() * log_p_BM * valid_BM).sum(-1)
    n_B = valid_BM.sum(-1)
    return torch.where(n_B > 0, entropy_B.exp() / n_B.clamp(min=1), torch.zeros_like(n_B))
