"""Measures how exact gaze is, on portraits whose people look into the camera.

    realtime train evaluation.gaze --data DATA [--set utkface160] [--pictures N] [--sides 480,240,120]

DATA/faces/SET.npz holds pictures as JPEG (`jpeg`, all bytes; `offset`, (N + 1,)). Each is shown to the face models at
several sizes. For each size a row tells: in how many pictures a gaze was found of those with a face, the distance
between the outer eye corners in pixels, and the angle between gaze and camera: its median, and what one in ten
exceeds. That is an upper bound of the error, since some people look elsewhere. The medians of yaw and pitch tell what
all have in common. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.evidence.cues import EYE_OUTER, to_pixels
from realtime.evidence.faces import shared_models
from realtime.evidence.gaze import gaze_angles
from realtime.records import Float32, UInt8
from train.command import run_command

FRAME_PX = 640
"The picture is shown in the middle of a grey frame of this side."


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data folder (train/DATA.md)")
    parser.add_argument("--set", default="utkface160", help="a file of DATA/faces (default: utkface160)")
    parser.add_argument("--pictures", type=int, default=200, metavar="N", help="how many (default: 200)")
    parser.add_argument("--sides", default="480,240,120", help="their sides in a frame, in pixels")
    args = parser.parse_args()
    path = args.data / "faces" / f"{args.set}.npz"
    if not path.is_file():
        raise BadSettings(f"There is no {path}.", "train/DATA.md says what lies in the data folder.")
    found = [measured(path, args.pictures, int(side)) for side in args.sides.split(",")]
    for row in found:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps(found))


def measured(path: Path, n: int, side_px: int) -> dict[str, Any]:
    """One row: what the module says, of `n` pictures shown `side_px` large."""
    meshes = [mesh for picture in pictures(path, n) if (mesh := mesh_in_frame(picture, side_px)) is not None]
    meshes_MN3 = np.stack(meshes)
    angles_M2 = gaze_angles(meshes_MN3, FRAME_PX, FRAME_PX)
    seen_K2 = angles_M2[np.isfinite(angles_M2).all(axis=1)]
    corners_M23 = to_pixels(meshes_MN3, FRAME_PX, FRAME_PX)[:, EYE_OUTER]
    between_px = np.linalg.norm(corners_M23[:, 1] - corners_M23[:, 0], axis=-1)
    row: dict[str, Any] = {"side_px": side_px, "faces": len(meshes), "gazes": len(seen_K2)}
    row["between_eyes_px"] = round(float(np.median(between_px)))
    if len(seen_K2):
        yaw_K, pitch_K = np.radians(seen_K2).T
        away_K = np.degrees(np.arccos(np.cos(yaw_K) * np.cos(pitch_K)))
        row["away_deg"], row["away_deg_90"] = (round(float(v), 1) for v in np.percentile(away_K, [50, 90]))
        row["yaw_deg"], row["pitch_deg"] = (round(float(v), 1) for v in np.median(seen_K2, axis=0))
    return row


def pictures(path: Path, n: int) -> Iterator[UInt8]:
    """(H, W, 3) the first `n` pictures of a file, in an order that is the same each time."""
    with np.load(path) as file:
        jpeg, offset = file["jpeg"], file["offset"]
    for index in np.random.default_rng(0).permutation(len(offset) - 1)[:n]:
        data = jpeg[offset[index] : offset[index + 1]].tobytes()
        yield np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def in_frame(picture_HW3: UInt8, side_px: int) -> UInt8:
    """(FRAME_PX, FRAME_PX, 3) a frame that shows the picture in its middle, `side_px` large."""
    frame = np.full((FRAME_PX, FRAME_PX, 3), 128, np.uint8)
    begin = (FRAME_PX - side_px) // 2
    shown = Image.fromarray(picture_HW3).resize((side_px, side_px), Image.Resampling.BICUBIC)
    frame[begin : begin + side_px, begin : begin + side_px] = np.asarray(shown)
    return frame


def mesh_in_frame(picture_HW3: UInt8, side_px: int) -> Float32 | None:
    """(478, 3) the mesh of the biggest face in a frame that shows the picture, or None without one."""
    frame, models = in_frame(picture_HW3, side_px), shared_models()
    boxes = models.detect(frame, ())
    return models.fit_mesh(frame, boxes[0][0]) if boxes else None


if __name__ == "__main__":
    run_command(main, "train.evaluation.gaze")
