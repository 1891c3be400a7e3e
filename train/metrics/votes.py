"""The metrics of answers against the votes of several raters: compound labels and ambivalence.

A face on which raters disagree is no failed label: it may show two emotions, or nothing plainly. Distributions are
(N, L), rows sum to 1, with the labels in the same order. `tests/train/test_votes.py` has values worked out by hand.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import rankdata

from train.arrays import Bools, Float64, Int64
from train.metrics import Interval

SECOND = 0.25
"Share of the votes from which on a second label makes a compound one."
MAJORITY = 0.5
RATERS = 10
"Raters of each face of FER+."
FEWEST = 2
"Votes from which on FER+ counts a label."


def divergence(p_NL: Float64, q_NL: Float64) -> Float64:
    """(N,) Jensen–Shannon divergence in bits: 0 for the same distribution, 1 for two without a common label."""
    found: Float64 = jensenshannon(p_NL, q_NL, base=2, axis=1) ** 2
    # Of two equal distributions rounding may take the root of less than 0.
    return np.nan_to_num(found)


def divergence_floor(p_NL: Float64, *, n_raters: int = RATERS, n_draws: int = 200, seed: int = 0) -> float:
    """The mean divergence from the votes if the raters drew them from these very distributions.

    With ten raters it is never 0. As in FER+, a label with a single vote counts as none.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(n_draws):
        votes_NL = rng.multinomial(n_raters, p_NL).astype(np.float64)
        votes_NL[votes_NL < FEWEST] = 0
        told_N = votes_NL.sum(1) > 0
        found.append(divergence(p_NL[told_N], votes_NL[told_N] / votes_NL[told_N].sum(1, keepdims=True)).mean())
    return float(np.mean(found))


def compound(votes_NL: Float64) -> Bools:
    """(N,) True where a second label has at least `SECOND` of the votes, and more than any third."""
    ordered = np.sort(votes_NL, axis=1)
    found: Bools = (ordered[:, -2] >= SECOND) & (ordered[:, -2] > ordered[:, -3])
    return found


def two_highest(p_NL: Float64) -> Int64:
    """(N, 2) the two likeliest labels, smaller index first: a compound has no order."""
    return np.sort(np.argsort(p_NL, axis=1, kind="stable")[:, -2:], axis=1)


def ambivalent(votes_NL: Float64) -> Bools:
    """(N,) True where no label has more than half of the votes."""
    found: Bools = votes_NL.max(1) <= MAJORITY
    return found


def entropy(p_NL: Float64) -> Float64:
    """(N,) entropy in shares of the greatest possible one (0 … 1)."""
    safe = np.where(p_NL > 0, p_NL, 1.0)
    found: Float64 = -(p_NL * np.log(safe)).sum(1) / np.log(p_NL.shape[1])
    return found


def auroc(positive_N: Bools, score_N: Float64, *, n_draws: int = 1000, seed: int = 0) -> tuple[float, Interval]:
    """Area under the ROC curve with its 95 % interval. Raises ValueError unless there are both kinds of samples.

    Positive and negative samples are drawn apart, so that every draw has both.
    """
    if positive_N.all() or not positive_N.any():
        raise ValueError("an area under the curve needs positive and negative samples")
    rng = np.random.default_rng(seed)
    yes, no = score_N[positive_N], score_N[~positive_N]
    drawn_DN = np.concatenate([rng.choice(own, (n_draws, len(own))) for own in (yes, no)], axis=1)
    # The rank sum of the positive samples gives the same area (Mann and Whitney), for all draws at once.
    rank_sum_D = rankdata(drawn_DN, axis=1)[:, : len(yes)].sum(1)
    draws = (rank_sum_D - len(yes) * (len(yes) + 1) / 2) / (len(yes) * len(no))
    low, high = np.percentile(draws, [2.5, 97.5])
    # As in the package: it takes long to import.
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive_N, score_N)), Interval(float(low), float(high))
