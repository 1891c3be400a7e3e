"""Stored inputs of the Thinker's training windows: tower outputs, measurements and the experts' outputs.

`ThinkerInputs` holds the people of one part (`thinker` for training, `valid`, `test`) and draws windows of them. The
frames, which take long, are made once and kept in WORK.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from realtime.model.audio import AudioTower
from realtime.model.thinker import EmoThinker
from realtime.records import Box
from train.arrays import Floats, Int64
from train.nano import synthetic_frames
from train.nano.audio_tower import SpokenMels, audio_tokens
from train.nano.drawn_windows import DrawnWindow, WindowSampler
from train.nano.face_pictures import before_backgrounds, load_ferplus, log_probabilities, read_expert
from train.nano.vision_tower import vision_tokens
from train.nano.voice_layers import sha256_of


@dataclass(frozen=True)
class PooledFrames:
    rows: tuple[int, ...]
    frames: tuple[int, ...]
    "Indices into the pool's tokens: one to three pictures of the same people."


class FramePool:
    """Composed frames with the outputs of the vision tower. They are made once and read from WORK afterwards."""

    def __init__(self, sampler: WindowSampler, work: Path, tower: nn.Module, *, n_entries: int, name: str) -> None:
        path = work / f"frames_{name}.pt"
        if not path.exists():
            self._make(sampler, work, tower, n_entries, path)
        state = torch.load(path, weights_only=True)
        self.tokens, self.focal, self.boxes = state["tokens"], state["focal"], state["boxes"]
        self.entries = [PooledFrames(tuple(rows), tuple(frames)) for rows, frames in state["entries"]]
        self.empty = [entry for entry in self.entries if not entry.rows]
        self.with_faces = [entry for entry in self.entries if entry.rows]
        self.by_rows = {entry.rows: entry for entry in self.with_faces}

    def _make(self, sampler: WindowSampler, work: Path, tower: nn.Module, n_entries: int, path: Path) -> None:
        with np.load(work / "crops.npz") as file:
            meshes = file["mesh"]
        rng = np.random.default_rng(n_entries)
        tokens: list[torch.Tensor] = []
        focal: list[torch.Tensor] = []
        boxes: list[list[Box]] = []
        entries: list[tuple[list[int], list[int]]] = []
        pending: list[synthetic_frames.SceneFrame] = []
        started = time.monotonic()

        def flush() -> None:
            if pending:
                with torch.no_grad():
                    tokens.append(vision_tokens(tower, pending).half())  # type: ignore[arg-type]
                pending.clear()

        for index in range(n_entries):
            rows = () if index % 40 == 0 else sampler.pick_faces(rng)
            n_frames = int(rng.choice([1, 2, 3], p=[0.8, 0.14, 0.06]))
            first = len(focal)
            for _ in range(n_frames):
                frame = synthetic_frames.compose(sampler.faces.images_NHW, meshes, list(rows), rng)
                pending.append(frame)
                focal.append(frame.focal)
                boxes.append([face.box for face in frame.faces])
                if len(pending) == 16:
                    flush()
            entries.append((list(rows), list(range(first, first + n_frames))))
            if index % 1000 == 999:
                print(f"frames of {index + 1}/{n_entries} windows, {time.monotonic() - started:.0f} s", flush=True)
        flush()
        state = {"tokens": torch.cat(tokens), "focal": torch.stack(focal), "boxes": boxes, "entries": entries}
        torch.save(state, path)

    def pick(self, rng: np.random.Generator) -> tuple[int, ...]:
        return self.with_faces[int(rng.integers(len(self.with_faces)))].rows


def sound_tokens(data: Path, work: Path, part: str, rows: Int64, tower: AudioTower) -> dict[int, torch.Tensor]:
    """Row → (n, D) tokens of its sentence, float16. They are kept in WORK for each tower."""
    path, sha256 = work / f"sound_{part}.pt", sha256_of(tower)
    if path.exists():
        state = torch.load(path, weights_only=True)
        if state["tower"] == sha256:
            stored: dict[int, torch.Tensor] = state["tokens"]
            return stored
    heard = SpokenMels(data, work, tower.config.num_mel_bins)
    out: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        for some in np.array_split(rows, max(1, len(rows) // 16)):
            mels = [heard.mel_of(int(row)) for row in some]
            for row, tokens in zip(some, audio_tokens(tower, mels), strict=True):
                out[int(row)] = tokens.half()
    torch.save({"tower": sha256, "tokens": out}, path)
    return out


def face_verdicts(sampler: WindowSampler, work: Path, part: str) -> Floats:
    """(N, 7) log-probabilities of the part's faces by the face expert. They are kept in WORK for each expert."""
    expert = read_expert(work)
    path, sha256 = work / f"verdicts_{part}.pt", sha256_of(expert)
    if path.exists():
        state = torch.load(path, weights_only=True)
        if state["expert"] == sha256:
            stored: Floats = state["log_p"].numpy()
            return stored
    crops, inside = load_ferplus(sampler.faces, work).cut(sampler.face_rows)
    crops = before_backgrounds(crops, inside, torch.Generator().manual_seed(0))
    told = log_probabilities(expert, crops)
    torch.save({"expert": sha256, "log_p": torch.from_numpy(told)}, path)
    return told


class ThinkerInputs:
    """The people of one part, with all that their sequences are built from."""

    def __init__(self, data: Path, work: Path, part: str, *, n_entries: int, towers: EmoThinker) -> None:
        self.sampler = WindowSampler(data, work, part)
        self.frames = FramePool(self.sampler, work, towers.thinker.visual, n_entries=n_entries, name=part)
        with np.load(work / "crops.npz") as file:
            self.geometry = file["geometry"]
        rows = self.sampler.face_rows
        self.face_verdicts = np.zeros((len(self.geometry), 7), np.float32)
        self.face_verdicts[rows] = face_verdicts(self.sampler, work, part)
        with np.load(work / "voice_verdicts.npz") as file:
            self.voice_verdicts, self.live = file["log_p"], file["live"]
        self.sound = sound_tokens(data, work, part, self.sampler.voice_rows, towers.thinker.audio_tower)

    def instrument_shares(self, drawn: DrawnWindow) -> dict[str, Floats]:
        """Label branch → shares (7,): the experts' for each modality, the teacher's for both. Empty without people."""
        face = np.exp(self.face_verdicts[drawn.face_rows[0]]) if drawn.face_rows else None
        voice = np.exp(self.voice_verdicts[drawn.order, drawn.voice_row]) if drawn.voice_row >= 0 else None
        if face is None or voice is None:
            alone = face if voice is None else voice
            return {} if alone is None else {"both": alone}
        both = self.sampler.teacher(face[None], (voice @ self.sampler.expected)[None])[0]
        return {"both": both, "face": face, "voice": voice}

    def concluded(self, face_7: Floats, voice_label: int) -> Floats:
        """(7,) what the crowd concludes from votes on a face and from a voice that is heard as one label."""
        shares: Floats = self.sampler.teacher(face_7[None], self.sampler.expected[voice_label][None])[0]
        return shares

    def draw(self, rng: np.random.Generator) -> DrawnWindow:
        return self.sampler.draw(rng, self.frames.pick)
