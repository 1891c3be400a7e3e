"""Pictures of faces with their meshes, from which the face expert's crops are cut anew for each batch.

Crops are cut from the original pictures, so that a shifted or wider crop shows what the picture holds there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.face_expert import FACE_CROP_PX, FaceExpert, both_ways
from realtime.records import Float32, UInt8
from realtime.towers.preprocess import ANCHOR_PX, ANCHORS, similarity
from train.arrays import Bools, Int64
from train.nano import ferplus


@dataclass(frozen=True)
class Pictures:
    images_NHW: UInt8
    "(N, S, S) grey."
    placed_N23: Float32
    "(N, 2, 3): places in the crop → places in the picture, both in −1 … 1 from border to border."

    def __len__(self) -> int:
        return len(self.images_NHW)

    def cut(self, rows_B: Int64, moved_B23: Tensor | None = None, *, side: int = FACE_CROP_PX) -> tuple[Tensor, Tensor]:
        """(B, 1, side, side) crops in 0–1, and the same shape with 1 where a crop shows its picture.

        Outside of the picture its edge is repeated. `moved_B23` moves the places of each crop (in −1 … 1) first.
        """
        placed_B23 = torch.from_numpy(self.placed_N23[rows_B])
        if moved_B23 is not None:
            turned = placed_B23[:, :, :2] @ moved_B23
            turned[:, :, 2] += placed_B23[:, :, 2]
            placed_B23 = turned
        size = [len(rows_B), 1, side, side]
        grid = F.affine_grid(placed_B23, size, align_corners=False)
        images = torch.from_numpy(self.images_NHW[rows_B])[:, None].float() / 255.0
        crops = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        inside = (grid.abs().amax(dim=-1) <= 1.0).float()[:, None]
        return crops, inside


def placed(meshes_NK3: Float32, found_N: Bools, *, margin: float) -> Float32:
    """(N, 2, 3) for `Pictures`, from meshes in 0–1 of a picture with a margin of `margin` of its sides around it.

    A picture without a mesh is taken as it is: FER+ cuts its faces as the crops are cut.
    """
    anchors = (ANCHOR_PX + 0.5) / FACE_CROP_PX * 2.0 - 1.0
    out = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (len(meshes_NK3), 1, 1))
    for row in np.flatnonzero(found_N):
        points = meshes_NK3[row, list(ANCHORS), :2] * (1 + 2 * margin) - margin
        to_crop = np.vstack([similarity(points * 2.0 - 1.0, anchors), [0, 0, 1]])
        out[row] = np.linalg.inv(to_crop)[:2]
    return out


def load_ferplus(faces: ferplus.Faces, work: Path) -> Pictures:
    """FER+ with the meshes of WORK/crops.npz."""
    with np.load(work / "crops.npz") as file:
        meshes, found = file["mesh"].astype(np.float32), file["found"]
    return Pictures(faces.images_NHW, placed(meshes, found, margin=ferplus.MARGIN_PX / ferplus.ENLARGED_PX))


def load_unlabelled(work: Path) -> list[Pictures]:
    """The sets without labels of WORK/faces_*.npz, the largest first."""
    sets = []
    for path in work.glob("faces_*.npz"):
        with np.load(path) as file:
            sets.append(Pictures(file["images"], file["placed"]))
    return sorted(sets, key=len, reverse=True)


def before_backgrounds(crops_B1HW: Tensor, inside_B1HW: Tensor, generator: torch.Generator) -> Tensor:
    """Replace the backgrounds. FER+ is cut so tightly that a crop's corners often lie outside of the picture.

    A quarter keeps the repeated edge, a quarter gets a plain wall, a quarter a gradient, and a quarter the same place
    in another crop. `inside_B1HW` is 1 where a crop shows its picture.
    """
    n, _, height, width = crops_B1HW.shape
    kind = torch.randint(0, 4, (n, 1, 1, 1), generator=generator)
    level = torch.rand((n, 1, 1, 1), generator=generator)
    rise = (torch.rand((2, n, 1, 1, 1), generator=generator) - 0.5) * 0.8
    across, down = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)[:, None]
    slope = (level + rise[0] * across + rise[1] * down).clamp(0, 1)
    other = crops_B1HW[torch.randperm(n, generator=generator)]
    behind = torch.where(kind == 1, level.expand_as(slope), torch.where(kind == 2, slope, other))
    return torch.where(kind == 0, crops_B1HW, crops_B1HW * inside_B1HW + behind * (1 - inside_B1HW))


@torch.no_grad()
def log_probabilities(network: nn.Module, crops_N1HW: Tensor, batch: int = 64) -> Float32:
    """(N, 7) log-probabilities by the expert or one of its networks; a face and its mirror image are averaged."""
    network.eval()
    parts = []
    for start in range(0, len(crops_N1HW), batch):
        x = crops_N1HW[start : start + batch].contiguous(memory_format=torch.channels_last)
        parts.append((network(x) if isinstance(network, FaceExpert) else both_ways(network, x)).numpy())
    return np.concatenate(parts)


def read_expert(work: Path) -> FaceExpert:
    """The expert from what the stages of its two networks wrote into WORK."""
    expert = FaceExpert()
    for network, name in ((expert.network, "face_expert.pt"), (expert.small, "face_small.pt")):
        network.load_state_dict(torch.load(work / name, weights_only=True)["model"])
    return expert.eval()
