"""The map of a frame's tokens says the same as the counts, in the places where the tokens stand."""

from __future__ import annotations

import torch

from realtime.evidence.perceive import token_map
from realtime.towers.batch import SelectedTokens


def test_each_cell_is_focal_kept_or_dropped_and_the_region_is_in_shares_of_the_frame() -> None:
    kept = SelectedTokens(torch.zeros(4, 2), torch.tensor([4, 1, 0, 5]), n_focal=2)
    grid = token_map(kept, 2, 3, (-64.0, 48.0, 320.0, 240.0), width=640, height=480)
    assert grid.cells == "kf--fk"
    assert (grid.rows, grid.columns) == (2, 3)
    assert grid.region == (-0.1, 0.1, 0.5, 0.5)
