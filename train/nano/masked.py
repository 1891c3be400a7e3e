"""Masked autoencoding of nano's towers: most of a face or of a sentence is hidden, and a decoder has to fill it in.

The tower encodes what is shown, as in He et al. (2022) and in HiCMAE (Sun et al., 2024). A small decoder gets the last
layer and, through skip connections, an earlier one. It is thrown away after the training. What is hidden never enters
the tower. The loss is of what was hidden alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.audio import AudioTower
from realtime.model.vision import VisionTower
from realtime.towers.preprocess import CLIP_MEAN, CLIP_STD, MERGE, PATCH_PX, TOKEN_PX

HIDDEN_OF_FACE = 0.75
"Share of a picture's patches that is hidden. The paper hides 0.9 of a video; a still repeats nothing."
HIDDEN_OF_VOICE = 0.7
"Share of a chunk's stretches of time that is hidden. The paper hides 0.8 of the patches of a spectrogram."
CHUNK_FRAMES = 200
"Mel frames of a chunk of the audio tower (2 s)."
STRETCH_FRAMES = 10
"Mel frames that are hidden or shown together (100 ms, about a speech sound), so that neighbours do not give them away."
WIDTH, DEPTH, HEADS = 96, 2, 4
"Of the decoder."


class MaskDecoder(nn.Module):
    """Fills in the places that were hidden, from the layers of a tower at the places that were shown."""

    def __init__(self, *, dim: int, n_places: int, n_out: int, n_layers: int) -> None:
        super().__init__()
        self.hidden = nn.Parameter(torch.zeros(WIDTH))
        self.place = nn.Parameter(0.02 * torch.randn(n_places, WIDTH))
        # The first block reads the last layer, the next one a layer from the middle, and so on.
        self.read_layers = [n_layers - 1 - block * n_layers // DEPTH for block in range(DEPTH)]
        self.inwards = nn.ModuleList([nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, WIDTH)) for _ in range(DEPTH)])
        self.blocks = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(
                    WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
                )
                for _ in range(DEPTH)
            ]
        )
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, n_out))

    def forward(self, layers: Sequence[Tensor], shown_BV: Tensor) -> Tensor:
        """(B, V, D) of each layer, at the places `shown_BV` (int64) → (B, places, out)."""
        where = shown_BV[..., None].expand(-1, -1, WIDTH)
        x = self.place.expand(len(shown_BV), -1, -1)
        known = torch.zeros_like(x[..., :1]).scatter(1, shown_BV[..., None], 1.0)
        x = x + (1.0 - known) * self.hidden
        for layer, inwards, block in zip(self.read_layers, self.inwards, self.blocks, strict=True):
            x = block(x.scatter_add(1, where, inwards(layers[layer]).to(x.dtype)))
        return self.out(x)  # type: ignore[no-any-return]


def choose(n_rows: int, n_places: int, hidden_share: float, generator: torch.Generator) -> Tensor:
    """(n_rows, V) int64, sorted: the places that are shown, drawn for each row by itself. At least one is."""
    n_shown = min(max(round(n_places * (1 - hidden_share)), 1), n_places - 1)
    order = torch.rand(n_rows, n_places, generator=generator).argsort(1)
    return order[:, :n_shown].sort(1).values


def masked_loss(told_BNO: Tensor, target_BNO: Tensor, shown_BV: Tensor) -> Tensor:
    """Mean squared error over the hidden places."""
    hidden_BN = torch.ones(told_BNO.shape[:2], device=told_BNO.device).scatter(1, shown_BV, 0.0)
    error_BN = (told_BNO.float() - target_BNO).pow(2).mean(2)
    return (error_BN * hidden_BN).sum() / hidden_BN.sum()


def grey_patches(images_BHW: Tensor) -> Tensor:
    """(B, H, W) in 0–1, sides multiples of 28 → (B, N, 196), in the order of `patchify`."""
    batch, height, width = images_BHW.shape
    x = images_BHW.reshape(batch, height // TOKEN_PX, MERGE, PATCH_PX, width // TOKEN_PX, MERGE, PATCH_PX)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, -1, PATCH_PX * PATCH_PX)


def tower_patches(grey_BNP: Tensor) -> Tensor:
    """(B, N, 196) grey → (B, N, 1176) as `patchify` gives a picture whose channels are equal."""
    mean, std = (torch.from_numpy(values)[:, None] for values in (CLIP_MEAN, CLIP_STD))
    colours = (grey_BNP[:, :, None] - mean) / std  # (B, N, 3, 196)
    return colours[:, :, :, None].expand(-1, -1, -1, 2, -1).flatten(2)


def places_of(rows: int, columns: int) -> Tensor:
    """(N, 2) int32 row and column of each patch, in the order of `patchify`."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    both = torch.stack([y, x], -1).reshape(rows // MERGE, MERGE, columns // MERGE, MERGE, 2)
    return both.transpose(1, 2).reshape(-1, 2).int()


def patch_layers(tower: VisionTower, patches_BVP: Tensor, places_BV2: Tensor) -> list[Tensor]:
    """(B, V, D) of each layer. All patches attend to each other, as those of one window do (at most 112 × 112 px)."""
    x = tower.patch_embed(patches_BVP)
    cos, sin = (tower.rotary(table, places_BV2) for table in (tower.cos_table, tower.sin_table))
    mask = torch.zeros(1, 1, 1, patches_BVP.shape[1], device=patches_BVP.device)
    layers = []
    for block in tower.blocks:
        x = block(x, cos, sin, mask, 1)
        layers.append(x)
    return layers


def frame_layers(tower: AudioTower, mel_CFT: Tensor, shown_CV: Tensor) -> list[Tensor]:
    """(C, V, D) of each layer, of the positions of the stretches `shown_CV` of each whole chunk."""
    n_chunks, _, n_frames = mel_CFT.shape
    stretches = torch.zeros(n_chunks, n_frames // STRETCH_FRAMES, device=mel_CFT.device).scatter(1, shown_CV, 1.0)
    shown_C1T = stretches.repeat_interleave(STRETCH_FRAMES, dim=1)[:, None]
    # As the tower does with padding, so that nothing hidden gets through a convolution.
    x = F.gelu(tower.conv1(mel_CFT * shown_C1T)) * shown_C1T
    x = F.gelu(tower.conv2(x)).transpose(1, 2)  # (C, 100, D)
    x = x + tower.positions[: x.shape[1]].to(x.dtype)
    where = positions_of(shown_CV)
    x = x.gather(1, where[..., None].expand(-1, -1, x.shape[2]))
    mask = torch.zeros(1, 1, 1, x.shape[1], device=x.device)
    layers = []
    for layer in tower.layers:
        x = layer(x, mask)
        layers.append(x)
    return layers


def positions_of(shown_CV: Tensor) -> Tensor:
    """(C, 5·V) the positions of the tower's layers that stretches have: two mel frames are one."""
    each = STRETCH_FRAMES // 2
    return (shown_CV[..., None] * each + torch.arange(each, device=shown_CV.device)).flatten(1)


class MaskedFaces(nn.Module):
    """The vision tower with a decoder: `forward` is the loss of a batch of pictures."""

    def __init__(self, tower: VisionTower, *, side: int) -> None:
        super().__init__()
        self.tower = tower
        self.places_N2 = places_of(side // PATCH_PX, side // PATCH_PX)
        self.decoder = MaskDecoder(
            dim=tower.config.hidden_size,
            n_places=len(self.places_N2),
            n_out=PATCH_PX**2,
            n_layers=tower.config.depth,
        )

    def forward(self, images_BHW: Tensor, generator: torch.Generator) -> Tensor:
        """`images_BHW` is in 0–1."""
        grey = grey_patches(images_BHW)
        shown = choose(len(grey), grey.shape[1], HIDDEN_OF_FACE, generator)
        seen = tower_patches(grey.gather(1, shown[..., None].expand(-1, -1, grey.shape[2])))
        device = self.decoder.hidden.device
        layers = patch_layers(self.tower, seen.to(device), self.places_N2[shown].to(device))
        # Each patch against its own mean and spread: what is in it, and not how bright it is (He et al.).
        target = (grey - grey.mean(2, keepdim=True)) / (grey.var(2, keepdim=True) + 1e-4).sqrt()
        shown = shown.to(device)
        return masked_loss(self.decoder(layers, shown), target.to(device), shown)


class MaskedVoices(nn.Module):
    """The audio tower with a decoder: `forward` is the loss of a batch of whole chunks."""

    def __init__(self, tower: AudioTower) -> None:
        super().__init__()
        self.tower = tower
        config = tower.config
        self.decoder = MaskDecoder(
            dim=config.d_model,
            n_places=CHUNK_FRAMES // 2,
            n_out=2 * config.num_mel_bins,
            n_layers=config.encoder_layers,
        )

    def forward(self, mel_CFT: Tensor, generator: torch.Generator) -> Tensor:
        """`mel_CFT` are (C, F, 200) log-mels."""
        shown = choose(len(mel_CFT), CHUNK_FRAMES // STRETCH_FRAMES, HIDDEN_OF_VOICE, generator)
        device = self.decoder.hidden.device
        mel, shown = mel_CFT.to(device), shown.to(device)
        layers = frame_layers(self.tower, mel, shown)
        # Against the whole chunk, so that loudness and melody over time stay in what has to be told.
        scaled = (mel - mel.mean((1, 2), keepdim=True)) / (mel.std((1, 2), keepdim=True) + 1e-4)
        target = scaled.transpose(1, 2).reshape(len(mel), CHUNK_FRAMES // 2, -1)
        positions = positions_of(shown)
        return masked_loss(self.decoder(layers, positions), target, positions)
