"""Webcam-like grey frames made of FER+ faces, with varied scenes, places, sizes and light, framed as in serving.

The faces are 48×48, grey and tightly cut. They are pasted with soft edges onto drawn backgrounds. A face's mesh and box
are shifted and scaled with it, so nothing has to be detected again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.model.selectors import focal_mask
from realtime.records import Box, UInt8
from realtime.towers.preprocess import PATCH_PX, TOKEN_PX, patchify
from train.arrays import Floats
from train.nano import ferplus

FRAME_PX = 224
FACE_PX = 96
SIDE = FRAME_PX // TOKEN_PX
DILATION_PATCHES = 2


@dataclass(frozen=True)
class Pasted:
    row: int
    "Index of the face."
    box: Box
    "Mesh bounds in 0–1 of the frame."


@dataclass(frozen=True)
class SceneFrame:
    image_HW: Tensor
    "(224, 224) grey in 0–1."
    faces: tuple[Pasted, ...]

    @property
    def patches(self) -> Tensor:
        return patchify(self.image_HW.expand(3, -1, -1))

    @property
    def focal(self) -> Tensor:
        """(64,) bool, True for the tokens of the focal area."""
        boxes = tuple(face.box for face in self.faces)
        return focal_mask(boxes, rows=SIDE, columns=SIDE, token_px=TOKEN_PX, dilation_px=DILATION_PATCHES * PATCH_PX)


def mesh_bounds(mesh_N3: Floats) -> Floats:
    """(x0, y0, x1, y1) of the face in pixels of its 48×48 picture."""
    inner = ferplus.ENLARGED_PX + 2 * ferplus.MARGIN_PX
    points = (mesh_N3[:468, :2].astype(np.float32) * inner - ferplus.MARGIN_PX) * 48 / ferplus.ENLARGED_PX
    return np.concatenate([points.min(0), points.max(0)])


def backdrop(rng: np.random.Generator) -> Tensor:
    """Draw a background (224, 224): smooth light with up to five grey blocks."""
    coarse = torch.from_numpy(rng.random((1, 1, int(rng.integers(2, 9)), int(rng.integers(2, 9)))).astype(np.float32))
    image = F.interpolate(coarse, size=(FRAME_PX, FRAME_PX), mode="bicubic", align_corners=False)[0, 0]
    image = image * float(rng.uniform(0.2, 0.9))
    for _ in range(int(rng.integers(0, 6))):
        top, left = rng.integers(0, FRAME_PX - 20, 2)
        height, width = rng.integers(8, 120, 2)
        image[top : top + height, left : left + width] = float(rng.random())
    return image


def paste(image: Tensor, face_HW: UInt8, bounds: Floats, scale: float, centre: tuple[float, float]) -> Box:
    """Paste a 48×48 face `scale` times enlarged so that its mesh is centred there; returns its box in 0–1."""
    size = max(12, round(48 * scale))
    face = torch.from_numpy(face_HW.astype(np.float32) / 255.0)[None, None]
    big = F.interpolate(face, size=(size, size), mode="bicubic", align_corners=False, antialias=size < 48)[0, 0]
    ratio = size / 48
    x0, y0, x1, y1 = bounds * ratio
    left, top = round(centre[0] - (x0 + x1) / 2), round(centre[1] - (y0 + y1) / 2)
    steps = torch.linspace(-1, 1, size)
    radius = (steps[:, None] ** 4 + steps[None] ** 4) ** 0.25  # a rounded square cuts the corners, not hair and chin
    alpha = ((1.0 - radius) * 6).clamp(0, 1)
    height, width = image.shape
    ys, xs = slice(max(0, top), min(height, top + size)), slice(max(0, left), min(width, left + size))
    if ys.stop > ys.start and xs.stop > xs.start:
        part = (slice(ys.start - top, ys.stop - top), slice(xs.start - left, xs.stop - left))
        image[ys, xs] = alpha[part] * big[part] + (1 - alpha[part]) * image[ys, xs]
    box = np.array([left + x0, top + y0, x1 - x0, y1 - y0]) / [width, height, width, height]
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def compose(images_NHW: UInt8, meshes: Floats, rows: list[int], rng: np.random.Generator) -> SceneFrame:
    """Compose one frame with the faces `rows`, the largest about 96 px wide, as `people_region` frames them."""
    image = backdrop(rng)
    pasted: list[Pasted] = []
    n = len(rows)
    for index, row in enumerate(rows):
        bounds = mesh_bounds(meshes[row])
        width = max(8.0, float(bounds[2] - bounds[0]))
        target = FACE_PX * float(rng.uniform(0.85, 1.15)) * (1.0 if n == 1 else 1.7 / n)
        across = FRAME_PX * (index + 0.5) / n if n > 1 else FRAME_PX / 2
        centre = (across + float(rng.uniform(-10, 10)), FRAME_PX / 2 + float(rng.uniform(-10, 10)))
        pasted.append(Pasted(row, paste(image, images_NHW[row], bounds, target / width, centre)))
    light, contrast = float(rng.uniform(-0.15, 0.15)), float(rng.uniform(0.6, 1.15))
    image = ((image - 0.5) * contrast + 0.5 + light).clamp(0, 1)
    noise = torch.from_numpy(rng.standard_normal((FRAME_PX, FRAME_PX)).astype(np.float32))
    return SceneFrame((image + noise * float(rng.uniform(0, 0.03))).clamp(0, 1), tuple(pasted))
