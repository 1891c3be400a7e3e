"""Holds the ONNX engine for faces to MediaPipe's own graphs, on recordings.

    realtime export face_parity talk.mp4 …           needs mediapipe 0.10.21 (pip install 'emothinker[mediapipe]')
    realtime export face_parity --calls 200 talk.mp4      measures single calls instead, on the first frame with a face

It prints how many frames show other faces or tracks, the largest differences, and the CPU time of each engine for a
frame, as medians. The exit code is 1 where a difference is above its limit.

Calls are made by both engines in turn, each by one thread. Their times are those of all threads of the process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from export import command
from export.folder import ExportFailed
from realtime.commands.program_parser import ProgramParser
from realtime.evidence.face_engines.choice import start
from realtime.evidence.faces import FaceFinder, FaceModels, shared_models
from realtime.evidence.settings import FaceEngineName
from realtime.records import Box, Face, Float32, UInt8, VideoFrame

MAX_BOX_PX = 1.0
MAX_MESH_MEDIAN, MAX_MESH_WORST = 0.005, 0.015
"Distance of landmarks, in widths of the face: the median of a face, and the worst landmark of all."
ENGINES: tuple[FaceEngineName, ...] = ("mediapipe", "onnx")


@dataclass
class FaceParity:
    n_frames: int = 0
    n_faces: int = 0
    n_other_faces: int = 0
    "Frames in which the engines see another number of faces, other tracks, or a mesh that the other does not."
    box_px: float = 0.0
    "Largest difference of a side of a detected box."
    mesh_median: float = 0.0
    "Median distance of a face's landmarks, in widths of the face: the largest of all faces."
    mesh_worst: float = 0.0
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: {engine: [] for engine in ENGINES})

    @property
    def fine(self) -> bool:
        return (
            self.n_other_faces == 0
            and self.box_px <= MAX_BOX_PX
            and self.mesh_median <= MAX_MESH_MEDIAN
            and self.mesh_worst <= MAX_MESH_WORST
        )

    def report(self) -> dict[str, object]:
        """The figures by name, with the median CPU time of a frame."""
        medians = {engine: round(float(np.median(times or [0.0])), 2) for engine, times in self.cpu_ms.items()}
        return asdict(self) | {"cpu_ms": medians}


def compare(recordings: Iterable[Sequence[VideoFrame]]) -> FaceParity:
    """Run both engines over recordings, each from its beginning. Raises EngineMissing without MediaPipe."""
    found = FaceParity()
    models = [shared_models(engine) for engine in ENGINES]
    for frames in recordings:
        finders = [FaceFinder(engine) for engine in ENGINES]
        for frame in frames:
            found.n_frames += 1
            seen = []
            for engine, finder in zip(ENGINES, finders, strict=True):
                began_s = time.process_time()
                seen.append(finder.find(frame.rgb_HW3, frame.at_s))
                found.cpu_ms[engine].append((time.process_time() - began_s) * 1000)
            _compare_faces(found, frame.rgb_HW3, seen[0], seen[1])
            boxes, others = (each.detect(frame.rgb_HW3) for each in models)
            height, width = frame.rgb_HW3.shape[:2]
            found.n_other_faces += len(boxes) != len(others)
            for (box, _), (other, _) in zip(boxes, others, strict=False):
                apart = np.abs(np.subtract(box, other)) * (width, height, width, height)
                found.box_px = max(found.box_px, float(apart.max()))
    return found


def _compare_faces(found: FaceParity, rgb_HW3: UInt8, faces: tuple[Face, ...], others: tuple[Face, ...]) -> None:
    alike = [(face.track, face.mesh_N3 is None) for face in faces]
    if alike != [(face.track, face.mesh_N3 is None) for face in others]:
        found.n_other_faces += 1
        return
    size = np.array(rgb_HW3.shape[1::-1], np.float32)
    for face, other in zip(faces, others, strict=True):
        found.n_faces += 1
        if face.mesh_N3 is None or other.mesh_N3 is None:
            continue
        apart_N = np.linalg.norm((face.mesh_N3 - other.mesh_N3)[:, :2] * size, axis=1) / (face.box[2] * size[0])
        found.mesh_median = max(found.mesh_median, float(np.median(apart_N)))
        found.mesh_worst = max(found.mesh_worst, float(apart_N.max()))


class _Shown:
    """A face engine that keeps what it is shown, and finds nothing."""

    crop_HW3: UInt8

    def near(self, rgb_HW3: UInt8) -> list[tuple[Box, float]]:
        return []

    far = near

    def meshes(self, rgb_HW3: UInt8) -> Float32:
        self.crop_HW3 = rgb_HW3
        return np.zeros((0, 478, 3), np.float32)


def time_calls(frames: Sequence[VideoFrame], n_calls: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of each call by engine: the least and the median of CPU and of wall time.

    Raises ExportFailed where no frame shows a face, and EngineMissing without MediaPipe.
    """
    engines = {name: start(name) for name in ENGINES}
    shown = _Shown()
    for frame in frames:
        found = FaceModels(engines["onnx"]).detect(frame.rgb_HW3)
        if found:
            FaceModels(shown).fit_mesh(frame.rgb_HW3, found[0][0])
            break
    else:
        raise ExportFailed("No frame shows a face.", "Name a recording with a person in view.")
    pictures = {"near": frame.rgb_HW3, "far": frame.rgb_HW3, "meshes": shown.crop_HW3}
    times: dict[str, dict[str, list[tuple[float, float]]]] = {call: {name: [] for name in ENGINES} for call in pictures}
    for turn in range(n_calls):
        for call, rgb_HW3 in pictures.items():
            for name in ENGINES[:: 1 if turn % 2 else -1]:
                cpu_s, wall_s = time.process_time(), time.perf_counter()
                getattr(engines[name], call)(rgb_HW3)
                times[call][name].append((time.process_time() - cpu_s, time.perf_counter() - wall_s))
    return {call: {name: _figures(each) for name, each in engine.items()} for call, engine in times.items()}


def _figures(times: list[tuple[float, float]]) -> dict[str, float]:
    cpu_ms, wall_ms = 1000 * np.array(times).T
    every = {
        "cpu_least_ms": cpu_ms.min(),
        "cpu_median_ms": np.median(cpu_ms),
        "wall_least_ms": wall_ms.min(),
        "wall_median_ms": np.median(wall_ms),
    }
    return {name: round(float(value), 2) for name, value in every.items()}


def frames_of(path: Path, every_s: float) -> list[VideoFrame]:
    """Frames of a file, at least `every_s` apart."""
    import av

    frames: list[VideoFrame] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0)
            if not frames or at_s >= frames[-1].at_s + every_s:
                frames.append(VideoFrame(at_s, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
    return frames


def main(argv: Sequence[str] | None = None) -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings with people in view")
    parser.add_argument("--every", type=float, default=0.2, metavar="S", help="seconds between frames (default: 0.2)")
    parser.add_argument("--calls", type=int, metavar="N", help="measure each call N times instead of comparing")
    args = parser.parse_args(argv)

    def work() -> int:
        if args.calls:
            for call, times in time_calls(frames_of(args.files[0], args.every), args.calls).items():
                print(json.dumps({"call": call} | times))
            return 0
        found = compare(frames_of(path, args.every) for path in args.files)
        print(json.dumps(found.report()))
        return 0 if found.fine else 1

    return command.run("export.face_parity", work)


if __name__ == "__main__":
    sys.exit(main())
