"""Read FER+ from the data folder: 48×48 grey faces with ten votes each (`ferplus/ferplus48_q6.npz`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime.evidence.resize import enlarge
from realtime.model.experts import EXPERT_LABELS
from realtime.records import Float32, UInt8
from train.arrays import AnyArray, Int64

ENLARGED_PX = 192
MARGIN_PX = 96
"A 48-px face is enlarged to 192 px with 96 px of wall around it, so that a face detector gets a face of usual size."
COLUMN_OF = {"happy": 1, "sad": 3, "neutral": 0, "angry": 4, "surprise": 2, "disgust": 5, "fear": 6}
TRAIN, VALID, TEST = 0, 1, 2
THINKER_EVERY = 6
"Every sixth training face is kept from the face expert, so that the Thinker learns from outputs on unseen faces."


@dataclass(frozen=True)
class Faces:
    """The usable faces: those with one of the seven labels as their majority vote."""

    images_NHW: UInt8
    "(N, 48, 48) uint8."
    votes_N7: Float32
    "(N, 7) float32 vote shares over EXPERT_LABELS. Labels with a single vote are removed, as FER+ itself does."
    split_N: AnyArray
    index_N: Int64
    "Row in the file."

    @property
    def labels_N(self) -> Int64:
        labels_N: Int64 = self.votes_N7.argmax(1)
        return labels_N

    def part(self, name: str) -> Int64:
        """Indices of `train`, its halves `expert` and `thinker` (kept from the experts), `valid` or `test`."""
        held = self.index_N % THINKER_EVERY == 0
        masks = {
            "train": self.split_N == TRAIN,
            "expert": (self.split_N == TRAIN) & ~held,
            "thinker": (self.split_N == TRAIN) & held,
            "valid": self.split_N == VALID,
            "test": self.split_N == TEST,
        }
        return np.flatnonzero(masks[name])


def load(folder: Path) -> Faces:
    """Read `folder/ferplus/ferplus48_q6.npz`. Raises FileNotFoundError naming the file that is missing."""
    path = folder / "ferplus" / "ferplus48_q6.npz"
    with np.load(path) as file:
        images = (file["images"] << int(file["shift"])).astype(np.uint8)
        votes, split = file["votes"].astype(np.float32), file["split"]
    majority = votes.argmax(1)
    votes = np.where(votes > 1, votes, 0)
    seven = votes[:, [COLUMN_OF[name] for name in EXPERT_LABELS]]
    usable = np.isin(majority, list(COLUMN_OF.values())) & (seven.sum(1) > 0)
    index = np.flatnonzero(usable)
    shares = seven[index] / seven[index].sum(1, keepdims=True)
    return Faces(images[index], shares.astype(np.float32), split[index], index)


def as_camera_frame(image_HW: UInt8, *, wall: bool = True) -> UInt8:
    """(48, 48) uint8 → (384, 384, 3) uint8: the face enlarged, with a plain wall of its mean grey around it.

    Without `wall` the picture's edge is repeated instead, which draws streaks around the head. Training uses both, so
    that not all faces have the same background.
    """
    big = enlarge(np.repeat(image_HW[..., None], 3, axis=2), ENLARGED_PX)
    around = ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0))
    if wall:
        return np.pad(big, around, constant_values=round(float(image_HW.mean())))
    return np.pad(big, around, mode="edge")
