"""Measure everything once: meshes, crops, cues and geometry of FER+ faces, speech segments of RAVDESS.

    python -m train.nano.prepare --data DATA --work WORK

The stage writes WORK/crops.npz, WORK/voices.npz and the package's population.json. It skips an archive that exists. It
takes about 6 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
import zlib
from pathlib import Path

import numpy as np

from realtime.evidence import baseline
from realtime.evidence.baseline import fit_population, fit_voice_population
from realtime.evidence.cues import CUES, geometry, head_pose, raw_cues
from realtime.model.experts import EXPERT_LABELS
from realtime.records import SAMPLE_RATE_HZ, AudioChunk, Float32, SpeechSegment, UInt8
from realtime.towers.preprocess import crop_face, log_mel, to_grey
from train.arrays import AnyArray
from train.command import run_command
from train.nano import ferplus, ravdess

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


def longest_speech(samples_N: Float32) -> SpeechSegment:
    """The longest speech segment that the live segmenter cuts from a clip; the whole clip if it cuts none."""
    from realtime.ingest.speech import SpeechCutter, SpeechSettings

    cutter = SpeechCutter(SpeechSettings())
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    heard = list(cutter.push(AudioChunk(0.0, np.concatenate([samples_N, silence]))))
    segments = [part for part in heard if isinstance(part, SpeechSegment)]
    whole = SpeechSegment(0.0, len(samples_N) / SAMPLE_RATE_HZ, samples_N)
    return max(segments, key=lambda part: part.end_s - part.start_s, default=whole)


def roughened(samples_N: Float32, seed: int) -> Float32:
    """Simulate another microphone and room: a gain of −18 … +6 dB, and coloured noise 8 … 30 dB below the speech."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(len(samples_N) + 1).astype(np.float32)
    colour = rng.uniform(0.0, 0.95)
    coloured = noise[1:].copy()
    for lag in (1, 2, 4):  # a cheap low-pass: each pass takes a little of what is higher
        coloured[lag:] += colour * coloured[:-lag]
    level = np.sqrt(np.mean(samples_N**2)) / (np.sqrt(np.mean(coloured**2)) + 1e-9)
    mixed = samples_N + coloured * level * 10 ** (-rng.uniform(8, 30) / 20)
    rough: Float32 = np.clip(mixed * 10 ** (rng.uniform(-18, 6) / 20), -1, 1).astype(np.float32)
    return rough


def voice_of(job: tuple[Path, str]) -> list[dict[str, AnyArray]]:
    """Measure one clip, first as it is, then roughened."""
    from realtime.evidence.voice import voice_features

    clean = ravdess.read_samples(*job)
    rows: list[dict[str, AnyArray]] = []
    for samples in (clean, roughened(clean, seed=zlib.crc32(job[1].encode()))):
        segment = longest_speech(samples)
        values, features = voice_features(segment.samples_N)
        mel = log_mel(segment.samples_N)[:, :N_MEL_FRAMES]
        padded = np.zeros((mel.shape[0], N_MEL_FRAMES), np.float16)
        padded[:, : mel.shape[1]] = mel
        rows.append(
            {
                "features": features,
                "values": np.array(list(values.values()), np.float32),
                "mel": padded,
                "n_frames": np.array(mel.shape[1], np.int32),
                "speech_s": np.array(segment.end_s - segment.start_s, np.float32),
            }
        )
    return rows


def prepare_voices(data: Path, work: Path) -> None:
    """Measure all clips as they are, then all of them roughened."""
    clips = ravdess.load(data)
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pairs = pool.map(voice_of, [(data, clip.file) for clip in clips], chunksize=20)
    print(f"voices {len(pairs)}, {time.monotonic() - started:.0f} s", flush=True)
    rows = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    out = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    save(work / "voices.npz", out)


def fit_populations(data: Path, work: Path) -> None:
    """Write `realtime/evidence/population.json`: aggregates of neutral faces and of the training actors' voices."""
    faces, clips = ferplus.load(data), ravdess.load(data)
    with np.load(work / "crops.npz") as file:
        neutral = (faces.labels_N == EXPERT_LABELS.index("neutral")) & (faces.split_N == ferplus.TRAIN) & file["found"]
        face = fit_population(file["cues"][neutral], CUES)
    actors = np.array([clip.actor for clip in clips])
    rows = np.isin(actors, list(ravdess.ACTORS["train"]))
    with np.load(work / "voices.npz") as file:
        voice = fit_voice_population(file["features"][: len(clips)][rows], actors[rows])
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
    args.work.mkdir(parents=True, exist_ok=True)
    if not (args.work / "voices.npz").exists():
        prepare_voices(args.data, args.work)
    if not (args.work / "crops.npz").exists():
        prepare_faces(args.data, args.work)
    fit_populations(args.data, args.work)


if __name__ == "__main__":
    run_command(main, "train.nano.prepare")
