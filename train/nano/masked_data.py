"""Faces and voices without labels, for masked pre-training: those of training people alone.

Faces are FER+'s training pictures and DATA/faces. FER+ does not say who is on a picture, and some of its training
pictures are in its other parts, too. So a picture that looks like one of validation or test is left out. Voices are
the training speakers' sentences; noises are not read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.errors import NotMedia
from realtime.records import Float32, UInt8
from realtime.towers.preprocess import log_mel
from train.nano import ferplus
from train.nano.masked import CHUNK_FRAMES
from train.nano.prepare import save
from train.nano.twins import twins
from train.readers import sound, voices
from train.readers.clip import DataMissing

FRAMES_KEPT = 400
"Mel frames kept of a sentence (4 s)."


def resized(images_NHW: UInt8, side: int) -> UInt8:
    """(N, side, side) uint8."""
    parts = []
    for part in torch.split(torch.from_numpy(images_NHW), 2000):
        big = F.interpolate(part[:, None].float(), size=(side, side), mode="bicubic", antialias=True)
        parts.append(big[:, 0].round().clamp(0, 255).to(torch.uint8).numpy())
    out: UInt8 = np.concatenate(parts)
    return out


def portraits(path: Path) -> UInt8:
    """(N, S, S) grey pictures of DATA/faces/NAME.npz. Raises DataMissing for another file; labels are not read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with np.load(path) as file:
            pieces = np.split(file["jpeg"], file["offset"][1:-1])
        pictures: UInt8 = np.stack([np.asarray(Image.open(io.BytesIO(x.tobytes())).convert("L")) for x in pieces])
    except (KeyError, ValueError, OSError, UnidentifiedImageError) as error:
        raise DataMissing(
            f"{path} cannot be read as portraits: {error}.", "train/DATA.md says what it holds. Remove it, or make it."
        ) from error
    return pictures


def faces(data: Path, work: Path, side: int) -> UInt8:
    """(N, side, side) grey faces of nobody who is reported about. They are kept in WORK/masked_faces_SIDE.npz.

    Raises DataMissing where there are none.
    """
    path = work / f"masked_faces_{side}.npz"
    if not path.exists():
        sets = list(_faces(data))
        save(path, {"images": np.concatenate([resized(images, side) for images in sets])})
    with np.load(path) as file:
        images: UInt8 = file["images"]
    return images


def _faces(data: Path) -> Iterator[UInt8]:
    source = data / "ferplus" / "ferplus48_q6.npz"
    if not source.exists():
        raise DataMissing(f"{source} is not there.", "Make it: realtime train convert ferplus FER --data DATA.")
    with np.load(source) as file:
        every, split = (file["images"] << int(file["shift"])).astype(np.uint8), file["split"]
    reported = every[split != ferplus.TRAIN]
    sets = {"FER+": every[split == ferplus.TRAIN]}
    sets |= {path.stem: portraits(path) for path in sorted((data / "faces").glob("*.npz"))}
    for name, images in sets.items():
        seen = twins(images, reported)
        print(f"{name}: {(~seen).sum()} faces, {seen.sum()} left out as twins of validation and test", flush=True)
        yield images[~seen]


class Mels:
    """Log-mels of sentences as the live segmenter cuts them, kept in a file. A sentence is at most 4 s."""

    def __init__(self, path: Path, spoken: Sequence[voices.Voice], n_bins: int) -> None:
        if not path.exists():
            parts = [_mel(voice, n_bins) for voice in spoken]
            save(path, {"mel": np.concatenate(parts), "end": np.cumsum([len(part) for part in parts])})
        with np.load(path) as file:
            self._mel, self._end = file["mel"], file["end"]
        if len(self._end) != len(spoken):
            raise DataMissing(
                f"{path} holds {len(self._end)} sentences and the data {len(spoken)}.", "Remove it; it is made again."
            )

    def __len__(self) -> int:
        return len(self._end)

    def __getitem__(self, row: int) -> Tensor:
        """(F, T)."""
        start = self._end[row - 1] if row else 0
        return torch.from_numpy(self._mel[start : self._end[row]].astype(np.float32).T.copy())

    def chunk(self, row: int, generator: torch.Generator) -> Tensor:
        """(F, 200) from anywhere in a sentence. A shorter one is repeated, so that all of a chunk is speech."""
        mel = self[row]
        mel = mel.repeat(1, -(-CHUNK_FRAMES // mel.shape[1]))
        start = int(torch.randint(mel.shape[1] - CHUNK_FRAMES + 1, (1,), generator=generator))
        return mel[:, start : start + CHUNK_FRAMES]


def _mel(voice: voices.Voice, n_bins: int) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    samples: Float32 = sound.longest_speech(sound.read(voice.path)).samples_N
    mel = log_mel(samples, n_bins)[:, :FRAMES_KEPT]
    if mel.shape[1] < 3:
        raise NotMedia(f"{voice.path.name} has no speech to learn from.", "Remove it from the labels.")
    return mel.T.astype(np.float16)


def of_part(data: Path, part: str) -> list[voices.Voice]:
    """The sentences of a part's speakers. Raises DataMissing where there are none."""
    found = [voice for voice in voices.load(data) if voice.part == part]
    if not found:
        raise DataMissing(f"{data} holds no voices of the part {part}.", "train/DATA.md says who is in it.")
    return found
