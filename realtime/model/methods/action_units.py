"""The agent for action units: presence and intensity of twelve facial actions, from the shape of a face's mesh.

This is the first part of our reading of EmoChat (MM 2025), of which only the abstract is public: a light extractor of
facial actions passes its results to the language model. Here they are added to the face's shape token, as one vector
per action times its presence and intensity. The vectors begin at 0, so an untrained agent changes nothing, and are
learnt from the first step on. A gate of 0 before vectors that are not 0 stayed at 0.003, and nothing was read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNITS = (
    "inner_brow_raise", "outer_brow_raise", "brow_lower", "upper_lid_raise", "cheek_raise", "lid_tighten",
    "nose_wrinkle", "upper_lip_raise", "lip_corner_pull", "lip_corner_depress", "lip_stretch", "jaw_drop",
)  # fmt: skip
"""AU 1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 20 and 26 by the names of our cues. The chin (17) and parted lips (25) are not
measured here, so there is nothing to train them with."""
STRONGEST = 5.0
"Intensities are in 0–5, as FACS has them from A to E."


class ActionUnitAgent(nn.Module):
    """Whitened mesh components of one face → presence and intensity of `UNITS`, and their sum as a token."""

    def __init__(self, n_components: int, dim: int, inner: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(n_components, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU())
        self.presence = nn.Linear(inner, len(UNITS))
        self.intensity = nn.Linear(inner, len(UNITS))
        self.codes = nn.Linear(len(UNITS), dim, bias=False)
        nn.init.zeros_(self.codes.weight)

    def units(self, shape_F: Tensor) -> tuple[Tensor, Tensor]:
        """(…, F) → presence as logits and intensity in 0–5, each (…, 12)."""
        inner = self.trunk(shape_F)
        return self.presence(inner), STRONGEST * torch.sigmoid(self.intensity(inner))

    def forward(self, shape_F: Tensor) -> Tensor:
        """(…, F) → (…, D): Σ presence · intensity / 5 · code."""
        logits, intensity = self.units(shape_F)
        return self.codes(torch.sigmoid(logits) * intensity / STRONGEST)  # type: ignore[no-any-return]
