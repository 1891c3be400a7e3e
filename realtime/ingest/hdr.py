"""Pictures in high dynamic range (PQ and HLG, as phones record them) brought to the standard range of a camera.

Shown as they are stored, they look dim and grey, and brightness, saturation and the face experts go wrong. So the curve
is straightened to light (ITU-R BT.2100), the colours go from BT.2020 to BT.709 (BT.2087), and what is brighter than
diffuse white (203 cd/m², BT.2408) is pressed into the top of the range.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from realtime.records import Float32, UInt8

PQ, HLG = 16, 18
"Transfer characteristics of ITU-T H.273."
TRANSFERS = frozenset({PQ, HLG})
WHITE = 203.0
"cd/m² of diffuse white."
GAMMA = 2.4
"Of a standard display (BT.1886)."
KNEE = 0.8
"Share of diffuse white up to which light is kept as it is."
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
"Linear RGB of BT.2020 into that of BT.709."


def tone_map(rgb_HW3: npt.NDArray[np.uint16], transfer: int) -> UInt8:
    """(H, W, 3) uint16 as it was coded with `transfer` into (H, W, 3) uint8 in BT.709."""
    light_HW3 = _light(transfer)[rgb_HW3] @ TO_BT709.T
    np.maximum(light_HW3, 0.0, out=light_HW3)
    # The brightest of the three is pressed and the others by the same factor, so that hues stay.
    brightest_HW1 = light_HW3.max(axis=2, keepdims=True)
    room = 1.0 - KNEE
    over_HW1 = np.maximum(brightest_HW1 - KNEE, 0.0)
    pressed_HW1 = np.minimum(brightest_HW1, KNEE) + room * over_HW1 / (over_HW1 + room)
    light_HW3 *= pressed_HW1 / np.maximum(brightest_HW1, 1e-6)
    return np.asarray(np.rint(np.power(light_HW3.clip(0.0, 1.0), 1 / GAMMA) * 255), np.uint8)


@cache
def _light(transfer: int) -> Float32:
    """(65536,) light in shares of diffuse white, for each code."""
    code_N = np.linspace(0.0, 1.0, 65_536)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power_N = code_N ** (1 / m2)
        light_N = 10_000 * (np.maximum(power_N - c1, 0) / (c2 - c3 * power_N)) ** (1 / m1)
    else:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        scene_N = np.where(code_N <= 0.5, code_N**2 / 3, (np.exp((code_N - c) / a) + b) / 12)
        # The display's own curve for a peak of 1,000 cd/m², taken for each channel alone: hues shift a little.
        light_N = 1_000 * scene_N**1.2
    return np.asarray(light_N / WHITE, np.float32)
