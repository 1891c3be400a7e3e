"""Teaches a tower emotions with a share of the labels, and asks it about people it never met.

Two ways: `frozen`, a regression on what the tower's layers say as it is, as nano's voice expert reads its tower; and
`tuned`, all of the tower trained with a linear head. Both read the mean and spread of every layer over patches or over
time, which HiCMAE calls hierarchical feature fusion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from realtime.model.audio import AudioTower
from realtime.model.experts import EXPERT_LABELS
from realtime.model.vision import VisionTower
from realtime.records import Float32
from realtime.towers.preprocess import PATCH_PX
from train.arrays import AnyArray, Int64
from train.nano import ferplus, masked_data
from train.nano.audio_tower import encode
from train.nano.masked import CHUNK_FRAMES, grey_patches, patch_layers, places_of, tower_patches
from train.nano.masked_tower import blank_vision_tower, moved, rate
from train.nano.twins import twins
from train.nano.voice_layers import blank_tower

STRENGTH = 0.003
"The regression's C, as for nano's voices; it was not searched for."
PEAK = 5e-4
"Learning rate of a tuned tower, the same for every start; it was not searched for."
EACH = 50
"Samples that are read at a time where nothing is trained."


class Sense(Protocol):
    """Samples of training people with their labels, and samples of people who are asked about."""

    targets_N7: Float32
    "Of the training samples: shares of the votes, or 1 for the label."
    truth_M: Int64
    "Of the test samples."
    groups_M: AnyArray
    "The corpus of each test sample."
    n_features: int

    def blank(self) -> nn.Module:
        """The tower with untrained weights."""

    def features(self, tower: nn.Module, rows: Int64, *, test: bool, generator: torch.Generator | None) -> Tensor:
        """(B, n_features) mean and spread of each layer. With a generator the samples are varied, as for training."""


class FaceSense:
    """FER+: votes on its training pictures, and its test pictures. Twins of those are left out of the training."""

    def __init__(self, data: Path, side: int) -> None:
        faces = ferplus.load(data)
        train, test = faces.part("train"), faces.part("test")
        reported = faces.images_NHW[np.concatenate([faces.part("valid"), test])]
        train = train[~twins(faces.images_NHW[train], reported)]
        self._images = {
            is_test: masked_data.resized(faces.images_NHW[rows], side)
            for is_test, rows in ((False, train), (True, test))
        }
        self.targets_N7, self.truth_M = faces.votes_N7[train], faces.labels_N[test]
        self.groups_M = np.full(len(test), "ferplus")
        self._places_N2 = places_of(side // PATCH_PX, side // PATCH_PX)
        config = self.blank().config
        self.n_features = 2 * config.depth * config.hidden_size

    def blank(self) -> VisionTower:
        return blank_vision_tower()

    def features(self, tower: nn.Module, rows: Int64, *, test: bool, generator: torch.Generator | None) -> Tensor:
        assert isinstance(tower, VisionTower)
        images = torch.from_numpy(self._images[test][rows]).float() / 255.0
        if generator is not None:
            images = moved(images, generator)
        patches = tower_patches(grey_patches(images))
        layers = patch_layers(tower, patches, self._places_N2.expand(len(rows), -1, -1))
        return torch.cat([moment for x in layers for moment in (x.mean(1), x.std(1))], dim=1).float()


class VoiceSense:
    """The sentences of the training speakers with what they acted, and those of the test speakers."""

    def __init__(self, data: Path, work: Path) -> None:
        spoken = {test: masked_data.of_part(data, part) for test, part in ((False, "train"), (True, "test"))}
        n_bins = self.blank().config.num_mel_bins
        self._mels = {
            test: masked_data.Mels(work / f"masked_voices_{name}.npz", spoken[test], n_bins)
            for test, name in ((False, "train"), (True, "test"))
        }
        label = {test: np.array([EXPERT_LABELS.index(voice.emotion) for voice in own]) for test, own in spoken.items()}
        self.targets_N7 = np.eye(len(EXPERT_LABELS), dtype=np.float32)[label[False]]
        self.truth_M = label[True]
        self.groups_M = np.array([voice.corpus for voice in spoken[True]])
        config = self.blank().config
        self.n_features = 2 * config.encoder_layers * config.d_model

    def blank(self) -> AudioTower:
        return blank_tower()

    def features(self, tower: nn.Module, rows: Int64, *, test: bool, generator: torch.Generator | None) -> Tensor:
        """The first 2 s of a sentence are heard, one chunk of the tower; with a generator, 2 s from anywhere in it."""
        assert isinstance(tower, AudioTower)
        mels = self._mels[test]
        drawn = [
            mels[int(row)][:, :CHUNK_FRAMES] if generator is None else mels.chunk(int(row), generator) for row in rows
        ]
        return encode(tower, drawn)[0].float()


def labelled(targets_N7: Float32, share: float, seed: int) -> Int64:
    """The rows whose labels are told: that share of each label, and at least one."""
    label_N, rng = targets_N7.argmax(1), np.random.default_rng(seed)
    rows = []
    for label in np.unique(label_N):
        own = np.flatnonzero(label_N == label)
        rows.append(rng.permutation(own)[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(rows))


def parts(n: int) -> Iterator[Int64]:
    yield from np.array_split(np.arange(n), max(1, math.ceil(n / EACH)))


@torch.inference_mode()
def layers_of(sense: Sense, tower: nn.Module, *, test: bool, bf16: bool) -> Float32:
    """(N, n_features) of all samples of training, or of the test."""
    tower.eval()
    n = len(sense.truth_M) if test else len(sense.targets_N7)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = [sense.features(tower, rows, test=test, generator=None).float() for rows in parts(n)]
    out: Float32 = torch.cat(found).numpy()
    return out


def regress(train_NF: Float32, test_MF: Float32, targets_N7: Float32, rows: Int64) -> Int64:
    """(M,) labels of the test samples, by a regression on the rows whose labels are told."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = train_NF.mean(0), train_NF.std(0) + 1e-6
    model = LogisticRegression(C=STRENGTH, max_iter=500)
    model.fit((train_NF[rows] - mean) / spread, targets_N7[rows].argmax(1))
    out: Int64 = model.predict((test_MF - mean) / spread)
    return out


def tune(sense: Sense, tower: nn.Module, rows: Int64, *, n_steps: int, batch: int, seed: int, bf16: bool) -> Int64:
    """(M,) labels of the test samples, by a tower that was trained on the rows whose labels are told."""
    torch.manual_seed(seed)
    head = nn.Sequential(
        nn.LayerNorm(sense.n_features, elementwise_affine=False), nn.Linear(sense.n_features, len(EXPERT_LABELS))
    )
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK, weight_decay=0.05, betas=(0.9, 0.98))
    targets = torch.from_numpy(sense.targets_N7)
    tower.train()
    for step in range(n_steps):
        generator = torch.Generator().manual_seed(1_000_003 * seed + step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, n_steps, PEAK)
        drawn = rows[torch.randint(len(rows), (batch,), generator=generator).numpy()]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            features = sense.features(tower, drawn, test=False, generator=generator)
        loss = -(targets[drawn] * torch.log_softmax(head(features), -1)).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    found = torch.from_numpy(layers_of(sense, tower, test=True, bf16=bf16))
    with torch.inference_mode():
        out: Int64 = head(found).argmax(1).numpy()
    return out
