"""Brightness and saturation are what a person would call so."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.evidence.scene import measure_scene
from realtime.records import UInt8


def flat(*rgb: int) -> UInt8:
    return np.full((48, 64, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("rgb", "brightness", "saturation"),
    [
        ((0, 0, 0), 0, 0),
        ((255, 255, 255), 1, 0),
        ((128, 128, 128), 0.5, 0),
        ((255, 0, 0), 0.3, 1),
        ((0, 255, 0), 0.59, 1),
    ],
)
def test_plain_pictures(rgb: tuple[int, int, int], brightness: float, saturation: float) -> None:
    scene = measure_scene(flat(*rgb))
    assert scene.brightness == pytest.approx(brightness, abs=0.01)
    assert scene.saturation == pytest.approx(saturation, abs=0.01)


def test_noise_of_a_dark_camera_is_not_colour() -> None:
    noise = np.random.default_rng(0).integers(0, 12, (480, 640, 3), dtype=np.uint8)
    assert measure_scene(noise).saturation < 0.15


def test_a_frame_without_pixels_is_dark() -> None:
    assert measure_scene(np.zeros((0, 0, 3), np.uint8)).brightness == 0


def test_noise_in_the_dark_has_no_colour() -> None:
    dark_HW3 = np.zeros((64, 64, 3), np.uint8)
    dark_HW3[..., 0] = 4
    assert measure_scene(dark_HW3).saturation == 0
