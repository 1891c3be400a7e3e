"""Run audio towers over all sounds once, for the voice experts.

    realtime train nano.voice_layers --work WORK --encoder model.bin [--device cpu]

The stage reads WORK/audio_tower.pt (`train.nano.audio_tower`) and the sounds of `train.nano.voice_sounds`. It writes
mean and spread over time of each layer's output: WORK/voices/layers_NAME.npz by the tower that is used, plain_NAME.npz
by Whisper as it is published, which knows no speaker. An archive of another tower is made again. It takes about 15
minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from realtime.commands.program_parser import ProgramParser
from realtime.model.audio import AudioTower, split_chunks
from realtime.model.config import ModelConfig
from realtime.model.experts import join_moments
from realtime.outputs import refuse_input
from realtime.towers.preprocess import log_mel
from train.command import run_command
from train.nano import config as nano_config
from train.nano import whisper
from train.nano.prepare import save
from train.nano.voice_sounds import NAMES, Sounds

BATCH = 8


def blank_tower() -> AudioTower:
    """nano's audio tower with untrained weights."""
    return AudioTower(ModelConfig.parse(nano_config.config(), nano_config.emotion(n_statistics=1)).audio)


def used_tower(work: Path) -> AudioTower:
    """The tower of `train.nano.audio_tower`."""
    tower = blank_tower()
    tower.load_state_dict(torch.load(work / "audio_tower.pt", weights_only=True, map_location="cpu")["tower"])
    return tower.eval()


def plain_tower(encoder: Path) -> AudioTower:
    """Whisper's encoder, with a projection that nothing reads."""
    tower = blank_tower()
    whisper.start_from(tower, whisper.read_encoder(encoder))
    return tower.eval()


def sha256_of(tower: torch.nn.Module, without: Sequence[str] = ()) -> str:
    """A hash of the weights. `without` names tensors that do not decide what is of interest."""
    digest = hashlib.sha256()
    for name, tensor in tower.state_dict().items():
        if name not in without:
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def run(tower: AudioTower, sounds: Sounds, name: str, device: str) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    """(N, 2·L·D) of all sounds."""
    out, started = [], time.monotonic()
    for start in range(0, len(sounds), BATCH):
        part = [sounds[index] for index in range(start, min(start + BATCH, len(sounds)))]
        split = [split_chunks(torch.from_numpy(log_mel(samples, tower.config.num_mel_bins))) for samples in part]
        chunks, lengths = (torch.cat(parts).to(device) for parts in zip(*split, strict=True))
        moments = tower.with_moments(chunks, lengths)[1].float().cpu()
        at = 0
        for _, own in split:
            out.append(join_moments(moments[at : at + len(own)], own).flatten().numpy().astype(np.float16))
            at += len(own)
        if start % (BATCH * 64) == 0:
            print(f"{name} {len(out)}/{len(sounds)}, {time.monotonic() - started:.0f} s", flush=True)
    return np.stack(out)


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="not read; every stage takes it")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True, help="Whisper tiny.en: model.bin or a folder")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    refuse_input(args.work, args.data, args.encoder)
    for kind, tower in (("layers", used_tower(args.work)), ("plain", plain_tower(args.encoder))):
        sha256 = sha256_of(tower, whisper.NEW)  # no layer's output depends on the projection
        tower = tower.to(args.device)
        for name in NAMES:
            path = args.work / "voices" / f"{kind}_{name}.npz"
            if path.exists():
                with np.load(path) as file:
                    if str(file["tower"]) == sha256:
                        continue
            layers = run(tower, Sounds(args.work, name), f"{kind}, {name}", args.device)
            save(path, {"layers": layers, "tower": np.array(sha256)})


if __name__ == "__main__":
    run_command(main, "train.nano.voice_layers")
