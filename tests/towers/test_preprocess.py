"""What towers and experts read, held to the published processors and to geometry worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.records import UInt8
from realtime.towers import preprocess


@pytest.mark.slow
@pytest.mark.parametrize("size", [(56, 84), (448, 448), (252, 448)])
def test_patches_equal_the_published_image_processor(portrait: UInt8, size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    from PIL import Image

    height, width = size
    pixels = np.ascontiguousarray(portrait[:height, :width])
    processor = transformers.Qwen2VLImageProcessorPil(min_pixels=height * width, max_pixels=height * width)
    reference = processor(images=Image.fromarray(pixels), return_tensors="np")["pixel_values"]
    ours = preprocess.patchify(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0)
    np.testing.assert_allclose(ours.numpy(), reference, atol=1e-5)


def test_a_crop_puts_the_anchors_where_the_expert_saw_them() -> None:
    """A picture with a bright dot at each anchor, turned and enlarged: the dots land on their places in the crop."""
    mesh = np.full((478, 3), 0.5, np.float32)
    angle, scale = 0.3, 3.0
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = preprocess.ANCHOR_PX @ turn.T + np.array([200.0, 60.0])
    mesh[list(preprocess.ANCHORS), :2] = (places + 0.5) / np.array([640, 480])
    picture = np.zeros((480, 640), np.float32)
    for x, y in places:
        ys, xs = np.mgrid[0:480, 0:640]
        picture += np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 5.0**2)).astype(np.float32)
    crop = preprocess.crop_face(picture, mesh)
    for x, y in preprocess.ANCHOR_PX:
        near = crop[max(0, round(y) - 3) : round(y) + 4, max(0, round(x) - 3) : round(x) + 4]
        dy, dx = np.unravel_index(near.argmax(), near.shape)
        assert abs(max(0, round(y) - 3) + dy - y) <= 1.0
        assert abs(max(0, round(x) - 3) + dx - x) <= 1.0


def test_a_closer_crop_is_that_of_a_face_that_is_so_much_larger() -> None:
    """The face is larger by a tenth in the one picture; in the other its crop is cut as much closer."""
    rng = np.random.default_rng(0)
    picture = rng.random((12, 16), np.float32).repeat(40, 0).repeat(40, 1)
    mesh, larger = np.full((478, 3), 0.5, np.float32), np.full((478, 3), 0.5, np.float32)
    places = 2.5 * preprocess.ANCHOR_PX + np.array([200.0, 60.0])
    middle = places.mean(0)
    for each, by in ((mesh, 1.0), (larger, 1 / 1.1)):
        each[list(preprocess.ANCHORS), :2] = (middle + by * (places - middle) + 0.5) / np.array([640, 480])
    closer = preprocess.crop_face(picture, mesh, closer=1.1)
    np.testing.assert_allclose(closer, preprocess.crop_face(picture, larger), atol=1e-3)
    assert not np.allclose(closer, preprocess.crop_face(picture, mesh), atol=0.1)


def test_people_are_framed_so_that_the_largest_face_has_the_size_it_was_trained_on() -> None:
    boxes = ((0.4, 0.3, 0.1, 0.2), (0.55, 0.35, 0.05, 0.1))
    region = preprocess.people_region(boxes, height=480, width=640, face_px=96, frame_px=224)
    largest = preprocess.into_region(boxes[0], region, height=480, width=640)
    assert largest[2] * 224 == pytest.approx(96)
    far_apart = ((0.05, 0.4, 0.1, 0.15), (0.85, 0.4, 0.1, 0.15))
    region = preprocess.people_region(far_apart, height=480, width=640, face_px=96, frame_px=224)
    for box in far_apart:
        x, y, w, h = preprocess.into_region(box, region, height=480, width=640)
        assert min(x, y) >= 0
        assert max(x + w, y + h) <= 1


def test_a_cut_region_shows_what_lies_there_and_repeats_the_edge_outside() -> None:
    picture = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (80, 1))
    cut = preprocess.cut_region(picture, (50.0, 20.0, 100.0, 100.0), 100)
    assert cut.shape == (3, 100, 100)
    assert torch.equal(cut[0], cut[2])
    assert float(cut[0, 50, 0]) == pytest.approx(0.505, abs=0.01)
    assert float(cut[0, 50, 99]) == pytest.approx(1.0)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (1080, 1920), (300, 90), (20, 20)])
def test_a_whole_frame_keeps_its_shape_in_multiples_of_a_token(height: int, width: int) -> None:
    image = preprocess.whole_frame(np.zeros((height, width, 3), np.uint8), 448)
    assert image.shape[1] % preprocess.TOKEN_PX == 0
    assert image.shape[2] % preprocess.TOKEN_PX == 0
    assert max(image.shape[1:]) <= 448
