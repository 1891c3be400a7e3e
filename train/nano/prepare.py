"""Measure faces once: meshes, crops, cues and geometry of FER+; and fit the populations of faces and voices.

    python -m train.nano.prepare --data DATA --work WORK

The stage writes WORK/crops.npz, which it skips where it exists, and the package's population.json. It needs what
`train.nano.voice_sounds` measured, and takes about 6 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np

from realtime.evidence import baseline
from realtime.evidence.baseline import fit_population, fit_voice_population
from realtime.evidence.cues import CUES, geometry, head_pose, raw_cues
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.records import Float32, UInt8
from realtime.towers.preprocess import crop_face, to_grey
from train.arrays import AnyArray
from train.command import run_command
from train.nano import ferplus
from train.readers import voices

N_MEL_FRAMES = 400
"Mel frames kept of a segment for the voice expert (4 s); longer ones are cut in the middle."


def face_of(image_HW: UInt8, *, wall: bool) -> dict[str, AnyArray] | None:
    """Measure one 48×48 face as serving does: mesh, crop, cues, pose, geometry. None where no mesh is found."""
    from realtime.evidence.faces import mesh_of_face

    frame = ferplus.as_camera_frame(image_HW, wall=wall)
    inner = ferplus.MARGIN_PX / frame.shape[0]
    mesh = mesh_of_face(frame, (inner, inner, 1 - 2 * inner, 1 - 2 * inner))
    if mesh is None:
        return None
    height, width = frame.shape[:2]
    # The crop always has the picture's edge repeated around it, even if the mesh was found with a wall. What is not
    # `inside` is no real background, and `train.nano.face_expert` replaces it.
    repeated = frame if not wall else ferplus.as_camera_frame(image_HW, wall=False)
    return {
        "mesh": mesh.astype(np.float16),
        "crop": to_bytes(crop_face(to_grey(repeated), mesh)),
        "inside": to_bytes(crop_face(ferplus.picture_in_frame(), mesh)),
        "cues": raw_cues(mesh, width, height),
        "pose": head_pose(mesh, width, height),
        "geometry": geometry(mesh, width, height).astype(np.float16),
    }


def to_bytes(grey: Float32) -> UInt8:
    return np.clip(grey * 255.0 + 0.5, 0, 255).astype(np.uint8)


def faces_of(images_NHW: UInt8) -> list[dict[str, AnyArray] | None]:
    return [face_of(image, wall=index % 2 == 0) for index, image in enumerate(images_NHW)]


def prepare_faces(data: Path, work: Path) -> None:
    faces = ferplus.load(data)
    n = len(faces.index_N)
    out: dict[str, AnyArray] = {
        "mesh": np.zeros((n, 478, 3), np.float16),
        "crops": faces.images_NHW.copy(),  # stays where no mesh is found: the picture is cut tightly already
        "inside": np.full_like(faces.images_NHW, 255),
        "cues": np.zeros((n, len(CUES)), np.float32),
        "pose": np.zeros((n, 3), np.float32),
        "geometry": np.zeros((n, 936), np.float16),
        "found": np.zeros(n, bool),
    }
    parts = np.array_split(np.arange(n), 64)
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        jobs = pool.imap(faces_of, [faces.images_NHW[part] for part in parts])
        for part, results in zip(parts, jobs, strict=True):
            for row, result in zip(part, results, strict=True):
                if result is None:
                    continue
                out["found"][row] = True
                out["crops"][row] = result.pop("crop")
                for key, value in result.items():
                    out[key][row] = value
            print(f"faces {part[-1] + 1}/{n}, {time.monotonic() - started:.0f} s", flush=True)
    save(work / "crops.npz", out)


def fit_populations(data: Path, work: Path) -> None:
    """Write `realtime/evidence/population.json`: aggregates of neutral faces and of the training speakers' voices."""
    faces, spoken = ferplus.load(data), voices.load(data)
    with np.load(work / "crops.npz") as file:
        neutral = (faces.labels_N == EXPERT_LABELS.index("neutral")) & (faces.split_N == ferplus.TRAIN) & file["found"]
        face = fit_population(file["cues"][neutral], CUES)
    rows = np.array([voice.part == "train" for voice in spoken])
    with np.load(work / "voices" / "clean.npz") as file:
        features = file["features"][rows]
    speakers, corpora = (np.array([getattr(v, key) for v in spoken])[rows] for key in ("speaker", "corpus"))
    voice = fit_voice_population(features, speakers, corpora)
    path = Path(baseline.__file__).with_name("population.json")
    path.write_text(json.dumps({"face": face, "voice": voice}) + "\n", encoding="utf-8")


def save(path: Path, arrays: dict[str, AnyArray]) -> None:
    """Write an archive. An interrupted write leaves no damaged file."""
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    args.work.mkdir(parents=True, exist_ok=True)
    if not (args.work / "crops.npz").exists():
        prepare_faces(args.data, args.work)
    fit_populations(args.data, args.work)


if __name__ == "__main__":
    run_command(main, "train.nano.prepare")
