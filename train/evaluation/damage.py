"""Damage to the samples of pairs: a modality left out, wholly or in part, or the sound shifted against the picture.

CIDer (Zhong et al., arXiv 2506.10452) leaves out a random share of each modality's features. Here the same is done to
what a live session takes in: squares of the picture are painted over, and stretches of the sentence fall silent. A pair
has one picture, so that a share of its frames would mean nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from realtime.records import SAMPLE_RATE_HZ, Float32, SpeechSegment, UInt8, VideoFrame
from train.arrays import Bools
from train.evaluation.samples import Sample

SQUARES = 16
"Squares along each side of the picture. A face of FER+ takes half of it, so it has 8 x 8 of them."
SILENCE_S = 0.25
"The length of a stretch that falls silent."


@dataclass(frozen=True)
class Damage:
    """What is done to every sample; the defaults leave it complete."""

    name: str = "complete"
    face: float = 0.0
    "Share of the picture's squares that are painted over; 1: there is no picture."
    voice: float = 0.0
    "Share of the sentence's stretches that are silent; 1: there is no sentence."
    shift_s: float = 0.0
    "Seconds by which the sound comes later than the picture; negative: earlier."


COMPLETE = Damage()


def damaged(sample: Sample, damage: Damage) -> Sample:
    """The sample with this damage. It keeps its key, truth and session, so that its answers can be paired.

    What is lost depends on the key and the share alone, and a greater share loses all that a smaller one does.
    Raises ValueError for a sample without a picture or without a sentence.
    """
    if sample.frame is None or sample.speech is None:
        raise ValueError(f"{sample.key} is no pair of a picture and a sentence")
    seed = zlib.crc32(sample.key.encode())
    # Times only move forwards: a session cannot begin before its second 0.
    speech_later_s, frame_later_s = max(0.0, damage.shift_s), max(0.0, -damage.shift_s)
    frame = VideoFrame(sample.frame.at_s + frame_later_s, hidden(sample.frame.rgb_HW3, damage.face, seed=seed))
    speech = SpeechSegment(
        sample.speech.start_s + speech_later_s,
        sample.speech.end_s + speech_later_s,
        silenced(sample.speech.samples_N, damage.voice, seed=seed + 1),
    )
    return replace(
        sample,
        frame=None if damage.face >= 1 else frame,
        speech=None if damage.voice >= 1 else speech,
    )


def hidden(rgb_HW3: UInt8, share: float, *, seed: int) -> UInt8:
    """The picture with a share of its squares, drawn at random, in the picture's mean colour."""
    if share == 0:
        return rgb_HW3
    height, width = rgb_HW3.shape[:2]
    row_H, column_W = np.arange(height) * SQUARES // height, np.arange(width) * SQUARES // width
    square_HW = row_H[:, None] * SQUARES + column_W[None]
    lost_HW = lost(SQUARES * SQUARES, share, seed=seed)[square_HW]
    out = rgb_HW3.copy()
    out[lost_HW] = rgb_HW3.mean((0, 1)).round().astype(np.uint8)
    return out


def silenced(samples_N: Float32, share: float, *, seed: int) -> Float32:
    """The sentence with a share of its stretches, drawn at random, set to 0."""
    if share == 0:
        return samples_N
    stretch_N = np.arange(len(samples_N)) // round(SILENCE_S * SAMPLE_RATE_HZ)
    return np.where(lost(int(stretch_N[-1]) + 1, share, seed=seed)[stretch_N], np.float32(0), samples_N)


def lost(n: int, share: float, *, seed: int) -> Bools:
    """(n,) True for the parts that are lost: the nearest whole number to the share of them."""
    order = np.random.default_rng(seed).permutation(n)
    return order < round(share * n)
