"""Pictures that are nearly the same. FER+ was gathered from the web, and repeats pictures across its parts."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.records import UInt8
from train.arrays import Bools

THUMB_PX = 16
TWIN = 0.95
"""Correlation of two thumbnails from which they count as the same picture. Of FER+'s 28,561 training pictures, 848 are
above 0.99 with one of validation or test and 1,472 above 0.95; of the 15,397 in DATA/faces one is above 0.95."""


def thumbs(images_NHW: UInt8) -> Tensor:
    """(N, 256) thumbnails without brightness and contrast: their products are correlations."""
    small = F.interpolate(torch.from_numpy(images_NHW)[:, None].float(), size=(THUMB_PX, THUMB_PX), mode="area")
    flat = small.flatten(1) - small.mean((1, 2, 3))[:, None]
    return F.normalize(flat)


def twins(images_NHW: UInt8, kept_from_MHW: UInt8) -> Bools:
    """(N,) whether a picture is one of `kept_from_MHW`, but for light and for a pixel or two."""
    if not len(kept_from_MHW):
        return np.zeros(len(images_NHW), bool)
    other = thumbs(kept_from_MHW)
    best = [(part @ other.T).amax(1) for part in torch.split(thumbs(images_NHW), 2000)]
    out: Bools = (torch.cat(best) > TWIN).numpy()
    return out
