"""Turns pixels and samples into inputs of the towers and experts, for training, export and serving alike.

`log_mel` restates transformers' `WhisperFeatureExtractor` (padding="longest"), `patchify` its Qwen2-VL image processor;
`tests/model/test_parity.py` compares them with both.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from realtime.model.face_expert import FACE_CROP_PX
from realtime.records import SAMPLE_RATE_HZ, Box, Float32, UInt8

Float64 = npt.NDArray[np.float64]

HOP_SAMPLES = 160
FFT_SAMPLES = 400
MEL_BINS = 128
"Of Qwen2.5-Omni's audio tower and Whisper large-v3; Whisper's smaller models, and nano's tower, have 80."
PATCH_PX = 14
MERGE = 2
TOKEN_PX = PATCH_PX * MERGE
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

# Mean positions, on FER+'s own pictures enlarged from 48 to 96 px, of the outer eye corners, the nose tip and the chin
# (mesh points below). A webcam face is cut so that these points are where the expert had them in training.
ANCHORS = (33, 263, 1, 152)
ANCHOR_PX = np.array([[22.9, 36.5], [72.1, 36.5], [47.5, 58.9], [47.5, 94.1]], np.float32)


@lru_cache(maxsize=2)
def mel_filters(n_bins: int = MEL_BINS) -> Float32:
    """(201, n_bins) Slaney-scaled mel filters from 0 to 8 kHz (Whisper; `transformers.audio_utils.mel_filter_bank`)."""

    def to_mel(hz: Float64) -> Float64:
        log_part = 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) * (27.0 / np.log(6.4))
        return np.where(hz >= 1000.0, log_part, 3.0 * hz / 200.0)

    def to_hz(mel: Float64) -> Float64:
        return np.where(mel >= 15.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)), 200.0 * mel / 3.0)

    bins_hz = np.linspace(0, SAMPLE_RATE_HZ // 2, FFT_SAMPLES // 2 + 1)
    low, high = to_mel(np.array([0.0, SAMPLE_RATE_HZ / 2]))
    edges_hz = to_hz(np.linspace(low, high, n_bins + 2))
    widths = np.diff(edges_hz)
    slopes = edges_hz[None, :] - bins_hz[:, None]
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[None]
    result: Float32 = filters.astype(np.float32)
    return result


def log_mel(samples_N: Float32, n_bins: int = MEL_BINS) -> Float32:
    """(N,) 16-kHz samples → (n_bins, N // 160) Whisper log-mel. It needs at least one hop of sound."""
    samples = torch.from_numpy(np.ascontiguousarray(samples_N, np.float32))
    if samples.shape[0] < FFT_SAMPLES:
        samples = F.pad(samples, (0, FFT_SAMPLES - samples.shape[0]))
    window = torch.hann_window(FFT_SAMPLES)
    spectrum = torch.stft(samples, FFT_SAMPLES, HOP_SAMPLES, window=window, return_complex=True, pad_mode="reflect")
    power = spectrum[:, :-1].abs() ** 2  # the last frame is past the end
    with torch.autocast("cpu", enabled=False):  # the logarithm of a power in bf16 would be too coarse
        mel = torch.from_numpy(mel_filters(n_bins)).T @ power
    log = torch.clamp(mel, min=1e-10).log10()
    log = torch.maximum(log, log.max() - 8.0)
    result: Float32 = ((log + 4.0) / 4.0).numpy()
    return result


def to_grey(rgb_HW3: UInt8) -> Float32:
    """(H, W, 3) uint8 → (H, W) float32 luma in 0–1 (BT.601)."""
    luma: Float32 = (rgb_HW3.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)) / 255.0
    return luma


def similarity(source_N2: Float32, target_N2: Float32) -> Float32:
    """(2, 3) least-squares similarity taking source points onto target points (Umeyama 1991, no reflection)."""
    source_mean, target_mean = source_N2.mean(0), target_N2.mean(0)
    a, b = source_N2 - source_mean, target_N2 - target_mean
    scale2 = float((a**2).sum()) + 1e-9
    cos = float((a * b).sum()) / scale2
    sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / scale2
    rotation = np.array([[cos, -sin], [sin, cos]], np.float32)
    shift = (target_mean - rotation @ source_mean)[:, None]
    result: Float32 = np.concatenate([rotation, shift], axis=1).astype(np.float32)
    return result


def crop_face(grey_HW: Float32, mesh_N3: Float32, *, closer: float = 1.0) -> Float32:
    """(96, 96) crop, cut along the mesh: turned upright and scaled so that eyes, nose and chin fall on `ANCHOR_PX`.

    `mesh_N3` is in 0–1 of the frame. With `closer` above 1 the face fills so much more of the crop, around its middle.
    Outside the frame the edge is repeated. Large faces are averaged down first, so that a camera's detail does not
    alias into the 48-px grid.
    """
    height, width = grey_HW.shape
    points = mesh_N3[list(ANCHORS), :2] * np.array([width, height], np.float32) - 0.5  # pixel centres
    middle = ANCHOR_PX.mean(0)
    to_crop = similarity(points, middle + closer * (ANCHOR_PX - middle))
    scale = float(np.hypot(to_crop[0, 0], to_crop[1, 0]))
    image = torch.from_numpy(np.ascontiguousarray(grey_HW))[None, None]
    if scale < 0.9:
        size = (max(2, round(height * scale)), max(2, round(width * scale)))
        image = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    back = np.linalg.inv(np.vstack([to_crop, [0, 0, 1]]))[:2].astype(np.float32)
    ys, xs = np.mgrid[0:FACE_CROP_PX, 0:FACE_CROP_PX].astype(np.float32)
    source = np.stack([xs, ys, np.ones_like(xs)], -1) @ back.T  # (96, 96, 2) in frame pixels
    grid = 2.0 * (source + 0.5) / np.array([width, height], np.float32) - 1.0
    crop = F.grid_sample(
        image, torch.from_numpy(grid.astype(np.float32))[None], padding_mode="border", align_corners=False
    )
    result: Float32 = crop[0, 0].numpy()
    return result


def patchify(image_3HW: torch.Tensor) -> torch.Tensor:
    """(3, H, W) in 0–1, sides multiples of 28 → (H/14 · W/14, 1176) patches in 2×2 groups, row by row.

    A still is two equal frames of one temporal patch, as in the published image processor.
    """
    mean, std = (torch.from_numpy(v)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))
    x = (image_3HW - mean) / std
    rows, columns = image_3HW.shape[1] // TOKEN_PX, image_3HW.shape[2] // TOKEN_PX
    x = x.reshape(3, rows, MERGE, PATCH_PX, columns, MERGE, PATCH_PX)
    x = x.permute(1, 4, 2, 5, 0, 3, 6)  # (rows, columns, 2, 2, 3, 14, 14)
    x = x[:, :, :, :, :, None].expand(-1, -1, -1, -1, -1, 2, -1, -1)
    return x.reshape(rows * columns * MERGE * MERGE, 3 * 2 * PATCH_PX * PATCH_PX)


def fit_size(height: int, width: int, longest_px: int) -> tuple[int, int]:
    """(height, width) in multiples of 28, the longest at most `longest_px`, the shape kept as nearly as that allows."""
    scale = min(1.0, longest_px / max(height, width))
    return tuple(max(TOKEN_PX, round(side * scale / TOKEN_PX) * TOKEN_PX) for side in (height, width))  # type: ignore[return-value]


def whole_frame(rgb_HW3: UInt8, longest_px: int) -> torch.Tensor:
    """(3, H', W') in 0–1: the frame scaled down to at most `longest_px`."""
    image = torch.from_numpy(np.ascontiguousarray(rgb_HW3)).permute(2, 0, 1)[None].float() / 255.0
    size = fit_size(rgb_HW3.shape[0], rgb_HW3.shape[1], longest_px)
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)


def people_region(boxes: tuple[Box, ...], *, height: int, width: int, face_px: int, frame_px: int) -> Box:
    """(x, y, w, h) in pixels of a square around all faces, in which the largest face is `face_px` of `frame_px` wide.

    Without faces it is the largest centred square. It may reach outside the frame.
    """
    if not boxes:
        side = float(min(height, width))
        return ((width - side) / 2, (height - side) / 2, side, side)
    left, top = min(b[0] for b in boxes) * width, min(b[1] for b in boxes) * height
    right = max(b[0] + b[2] for b in boxes) * width
    bottom = max(b[1] + b[3] for b in boxes) * height
    largest = max(b[2] * width for b in boxes)
    side = max(largest * frame_px / face_px, 1.15 * (right - left), 1.15 * (bottom - top), 8.0)
    return ((left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2, side, side)


def cut_region(grey_HW: Float32, region: Box, frame_px: int) -> torch.Tensor:
    """(3, frame_px, frame_px): a region of the grey frame, edge repeated outside, the same in all three channels."""
    height, width = grey_HW.shape
    image = torch.from_numpy(np.ascontiguousarray(grey_HW))[None, None]
    scale = frame_px / region[2]
    if scale < 0.9:
        size = (max(2, round(height * scale)), max(2, round(width * scale)))
        image = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    steps = (torch.arange(frame_px) + 0.5) / frame_px
    xs = 2.0 * (region[0] + steps * region[2]) / width - 1.0
    ys = 2.0 * (region[1] + steps * region[3]) / height - 1.0
    grid = torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], -1)[None]
    cut = F.grid_sample(image, grid.float(), padding_mode="border", align_corners=False)
    return cut[0].expand(3, -1, -1)


def into_region(box: Box, region: Box, *, height: int, width: int) -> Box:
    """A face box in 0–1 of the frame → in 0–1 of the region."""
    x, y, w, h = box
    return (
        (x * width - region[0]) / region[2],
        (y * height - region[1]) / region[3],
        w * width / region[2],
        h * height / region[3],
    )
