"""Measure faces once: meshes, cues and geometry of FER+, crops of faces without labels; and fit the populations.

    realtime train nano.prepare --data DATA --work WORK

The stage writes WORK/crops.npz and WORK/faces_*.npz, which it skips where they exist, and the package's
population.json. It needs what `train.nano.voice_sounds` measured, and takes about 8 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np

from realtime.commands.program_parser import ProgramParser
from realtime.evidence import baseline
from realtime.evidence.baseline import fit_population, fit_voice_population
from realtime.evidence.cues import CUES, geometry, head_pose, raw_cues
from realtime.model.experts import EXPERT_LABELS
from realtime.outputs import refuse_input
from realtime.records import Float32, UInt8
from train.arrays import AnyArray
from train.command import run_command
from train.nano import ferplus
from train.nano.face_pictures import placed
from train.readers import voices

MARGIN = 0.5
"Width of the margin around a picture without labels, in units of its side."


def face_of(image_HW: UInt8, *, wall: bool) -> dict[str, AnyArray] | None:
    """Measure one 48×48 face as serving does: mesh, cues, pose, geometry. None where no mesh is found."""
    from realtime.evidence.faces import mesh_of_face

    frame = ferplus.as_camera_frame(image_HW, wall=wall)
    inner = ferplus.MARGIN_PX / frame.shape[0]
    mesh = mesh_of_face(frame, (inner, inner, 1 - 2 * inner, 1 - 2 * inner))
    if mesh is None:
        return None
    height, width = frame.shape[:2]
    return {
        "mesh": mesh.astype(np.float16),
        "cues": raw_cues(mesh, width, height),
        "pose": head_pose(mesh, width, height),
        "geometry": geometry(mesh, width, height).astype(np.float16),
    }


def faces_of(images_NHW: UInt8) -> list[dict[str, AnyArray] | None]:
    return [face_of(image, wall=index % 2 == 0) for index, image in enumerate(images_NHW)]


def prepare_faces(data: Path, work: Path) -> None:
    faces = ferplus.load(data)
    n = len(faces.index_N)
    out: dict[str, AnyArray] = {
        "mesh": np.zeros((n, 478, 3), np.float16),
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
                for key, value in result.items():
                    out[key][row] = value
            print(f"faces {part[-1] + 1}/{n}, {time.monotonic() - started:.0f} s", flush=True)
    save(work / "crops.npz", out)


def mesh_in_margin(image_HW: UInt8) -> Float32 | None:
    """The mesh of the face that fills a square picture, in 0–1 of it with a margin of `MARGIN`. None without one."""
    from realtime.evidence.faces import mesh_of_face

    margin = round(MARGIN * image_HW.shape[0])
    # Its edge repeated, since a detector needs a head's outline.
    framed = np.pad(image_HW, margin, mode="edge")
    inner = margin / framed.shape[0]
    frame = np.repeat(framed[..., None], 3, axis=2)
    return mesh_of_face(frame, (inner, inner, 1 - 2 * inner, 1 - 2 * inner))


def meshes_in_margin(images: list[UInt8]) -> list[Float32 | None]:
    return [mesh_in_margin(image) for image in images]


def prepare_unlabelled(data: Path, work: Path) -> None:
    """Write WORK/faces_NAME.npz for each DATA/faces/NAME.npz: grey pictures and where the crop lies in each.

    Pictures without a mesh are left out. Labels are not read. Without DATA/faces nothing is written.
    """
    from PIL import Image

    for path in sorted((data / "faces").glob("*.npz")):
        out = work / f"faces_{path.stem}.npz"
        if out.exists():
            continue
        with np.load(path) as file:
            bytes_, offsets = file["jpeg"], file["offset"]
        files = np.split(bytes_, offsets[1:-1])
        images = [np.asarray(Image.open(io.BytesIO(file.tobytes())).convert("L")) for file in files]
        jobs = [images[at : at + 200] for at in range(0, len(images), 200)]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            parts = pool.map(meshes_in_margin, jobs, chunksize=1)
        meshes = [mesh for part in parts for mesh in part]
        rows = [row for row, mesh in enumerate(meshes) if mesh is not None]
        found = np.stack([mesh for mesh in meshes if mesh is not None])
        crops = placed(found, np.ones(len(found), bool), margin=MARGIN)
        save(out, {"images": np.stack([images[row] for row in rows]), "placed": crops, "rows": np.array(rows)})
        print(f"{path.stem}: a mesh on {len(rows)} of {len(meshes)}", flush=True)


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
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    args.work.mkdir(parents=True, exist_ok=True)
    if not (args.work / "crops.npz").exists():
        prepare_faces(args.data, args.work)
    prepare_unlabelled(args.data, args.work)
    fit_populations(args.data, args.work)


if __name__ == "__main__":
    run_command(main, "train.nano.prepare")
