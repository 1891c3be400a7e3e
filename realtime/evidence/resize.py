"""Makes pictures larger and smaller: bicubic, as OpenCV does it, and by averages."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import numpy.typing as npt

from realtime.records import Float32, UInt8

Float64 = npt.NDArray[np.float64]

SHARPNESS = -0.75
"The parameter of the bicubic kernel, as in OpenCV and torch."
N_BLOCKS = 8
"Parts in which an enlargement is computed. Each needs only the pixels around it, so most of a product is left out."


def enlarge(rgb_HW3: UInt8, side_px: int) -> UInt8:
    """(side_px, side_px, 3), bicubic with the edge repeated; equal to OpenCV's but for one rounding in 10,000."""
    height, width = rgb_HW3.shape[:2]
    down = _along(rgb_HW3.reshape(height, -1).astype(np.float32), side_px)
    turned = np.ascontiguousarray(down.reshape(side_px, width, 3).swapaxes(0, 1)).reshape(width, -1)
    across = _along(turned, side_px).reshape(side_px, side_px, 3)
    across += 0.5
    whole = across.clip(0, 255, out=across).astype(np.uint8)
    return np.ascontiguousarray(whole.swapaxes(0, 1))


def shrink(rgb_HW3: UInt8, side_px: int) -> Float32:
    """(rows, columns, 3) means of equal parts of the picture, 0–255: `side_px` each way, or fewer if it is smaller."""
    height, width = rgb_HW3.shape[:2]
    rows, columns = (np.linspace(0, length, min(side_px, length) + 1).round().astype(int) for length in (height, width))
    lines = np.stack([rgb_HW3[a:b].sum(axis=0, dtype=np.uint32) for a, b in itertools.pairwise(rows)])
    sums = np.add.reduceat(lines, columns[:-1], axis=1)
    means: Float32 = sums / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])
    return means.astype(np.float32)


def _along(values_NK: Float32, n_wanted: int) -> Float32:
    """(n_wanted, K): the first axis resampled."""
    parts = [matrix @ values_NK[first:end] for first, end, matrix in _blocks(len(values_NK), n_wanted)]
    return np.concatenate(parts)


@functools.lru_cache(maxsize=64)
def _blocks(n: int, n_wanted: int) -> list[tuple[int, int, Float32]]:
    """For each part of the result: which values it needs (first, end), and the matrix that makes it from them."""
    # Pixels have their centres at halves.
    places = (np.arange(n_wanted) + 0.5) * n / n_wanted - 0.5
    first = np.floor(places).astype(int)
    matrix = np.zeros((n_wanted, n), np.float32)
    for offset in (-1, 0, 1, 2):
        weight = _kernel(np.abs(places - (first + offset)))
        np.add.at(matrix, (np.arange(n_wanted), (first + offset).clip(0, n - 1)), weight)
    blocks = []
    for part in np.array_split(matrix, N_BLOCKS):
        used = np.flatnonzero(part.any(axis=0))
        low, high = int(used[0]), int(used[-1]) + 1
        blocks.append((low, high, np.ascontiguousarray(part[:, low:high])))
    return blocks


def _kernel(distance: Float64) -> Float64:
    """Keys' cubic convolution at these distances, which are below 2."""
    a = SHARPNESS
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return np.where(distance <= 1, near, a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a)
