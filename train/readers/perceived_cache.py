"""What was perceived of clips, kept on disk: annotation and every training stage can share one folder."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from realtime.engine.loading import LoadedModel
from train.readers.perceived import Perceived, watch

VERSION = 4
KIND = ("frame_px", "grey_face_px", "dilation_patches", "face_geometry", "voice_statistics", "voice_width")
"The settings of emothinker.json that decide what is perceived. Models that agree in them share what is kept."


class PerceivedCache:
    """Clips as `watch` perceives them, each once. The decoded pictures are not kept, but what the towers see is."""

    def __init__(self, folder: Path, model: LoadedModel) -> None:
        """`model` measures the clips; its towers are not needed (`perceived.measuring`)."""
        self._folder, self._model = folder, model
        emotion = model.weights.config.emotion
        self._kind = json.dumps([VERSION, {name: getattr(emotion, name) for name in KIND}], sort_keys=True)

    def perceive(self, path: Path, start_s: float | None, end_s: float | None) -> Perceived:
        """The clip, from disk where it was perceived before. Blocks. Raises as `watch` does, and OSError."""
        size = path.stat().st_size if path.exists() else 0
        name = hashlib.sha256(f"{self._kind}{path}{size}{start_s}{end_s}".encode()).hexdigest()[:32]
        file = self._folder / f"{name}.pickle"
        if file.exists():
            kept: Perceived = pickle.loads(file.read_bytes())
            return kept
        seen = watch(path, self._model, start_s=start_s, end_s=end_s)
        nothing = np.zeros((0, 0, 3), np.uint8)
        seen = replace(seen, frames=tuple(replace(frame, rgb_HW3=nothing) for frame in seen.frames))
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{id(seen)}.tmp")
        temporary.write_bytes(pickle.dumps(seen))
        temporary.replace(file)
        return seen
