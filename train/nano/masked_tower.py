"""Pre-train a tower without labels: it fills in what was hidden of faces, or of sentences.

    realtime train nano.masked_tower vision --data DATA --work WORK [--steps 2000] [--batch 64] [--side 84]
    realtime train nano.masked_tower audio --data DATA --work WORK [--steps 2000] [--batch 16]

The stage reads the pictures and sentences of training people (`masked_data.py`), and no labels. It writes
WORK/masked_vision.pt or WORK/masked_audio.pt once a minute and resumes from it: the rest of the curve is the same as in
an uninterrupted run. At the end it writes WORK/masked_vision_tower.pt or WORK/masked_audio_tower.pt, which
`train.nano.vision_tower --from` and `train.nano.audio_tower --from` begin with. The decoder is not in it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadModel, BadSettings
from realtime.model.config import ModelConfig
from realtime.model.vision import VisionTower
from realtime.outputs import refuse_input
from realtime.towers.preprocess import TOKEN_PX
from train.command import run_command
from train.nano import config as nano_config
from train.nano import masked_data
from train.nano.masked import MaskedFaces, MaskedVoices
from train.nano.pretrained import read_torch
from train.nano.voice_layers import blank_tower

SAVE_EVERY_S = 60.0
PEAK = 1e-3
WARM_SHARE = 0.1
LARGEST_PX = 112
"One window of the vision tower: only there does every layer attend to all patches."

Batch = Callable[[torch.Generator], Tensor]
"Draws what a step learns from."


def moved(images_BHW: Tensor, generator: torch.Generator) -> Tensor:
    """(B, H, W) in 0–1, half of them mirrored, shifted by up to 6 % of a side and scaled by up to 15 %."""
    n = len(images_BHW)
    scale, across, down = (
        torch.rand(n, generator=generator) * (high - low) + low
        for low, high in ((0.85, 1.1), (-0.12, 0.12), (-0.12, 0.12))
    )
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    none = torch.zeros(n)
    place = torch.stack([torch.stack([scale * mirror, none, across], 1), torch.stack([none, scale, down], 1)], 1)
    grid = nn.functional.affine_grid(place, [n, 1, *images_BHW.shape[1:]], align_corners=False)
    out = nn.functional.grid_sample(images_BHW[:, None], grid, padding_mode="border", align_corners=False)
    return out[:, 0]


def blank_vision_tower() -> VisionTower:
    """nano's vision tower with untrained weights."""
    return VisionTower(ModelConfig.parse(nano_config.config(), nano_config.emotion(n_statistics=1)).vision)


def read_start(path: Path, tower: nn.Module) -> dict[str, Tensor]:
    """The weights of a tower that this stage made. Raises BadModel where they do not fit `tower`."""
    if not path.is_file():
        raise BadModel(f"{path} is not there.", hint="Make it: realtime train nano.masked_tower.")
    state, wanted = read_torch(path), tower.state_dict()
    for name, tensor in wanted.items():
        if name not in state or state[name].shape != tensor.shape:
            found = tuple(state[name].shape) if name in state else "absent"
            raise BadModel(
                f"{name} is {found} in {path.name}, expected {tuple(tensor.shape)}.",
                hint="Name masked_vision_tower.pt for the vision tower, masked_audio_tower.pt for the audio tower.",
            )
    return {name: state[name] for name in wanted}


def rate(step: int, n_steps: int, peak: float) -> float:
    """The learning rate: up over the first tenth, then down along a cosine."""
    share = step / n_steps
    return peak * min(1.0, (share + 1 / n_steps) / WARM_SHARE) * 0.5 * (1 + math.cos(math.pi * share))


def pretrain(
    model: MaskedFaces | MaskedVoices,
    batch: Batch,
    *,
    work: Path,
    name: str,
    made: Mapping[str, Any],
    n_steps: int,
    bf16: bool = False,
) -> None:
    """Train to `n_steps`, from WORK/masked_NAME.pt where that is. Raises BadSettings where it is of another run."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.05, betas=(0.9, 0.95))
    path, done = work / f"masked_{name}.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        if state["made"] != dict(made):
            kept = ", ".join(f"{key} {value}" for key, value in state["made"].items())
            raise BadSettings(f"{path} is of another run: {kept}.", "Name another --work, or remove that file.")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["n_steps"]

    def store(step: int) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "n_steps": step, "made": dict(made)}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    device = model.decoder.hidden.device.type
    started = saved_at = time.monotonic()
    recent: list[float] = []
    for step in range(done, n_steps):
        # Each step draws from its own seed, so a resumed run sees what an uninterrupted one sees.
        generator = torch.Generator().manual_seed(1_000_003 * int(made["seed"]) + step)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, n_steps, PEAK)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = model(batch(generator), generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append(float(loss.detach()))
        if step % 50 == 49 or step + 1 == n_steps:
            mean = sum(recent) / len(recent)
            print(f"{name} step {step + 1}, {time.monotonic() - started:.0f} s: loss {mean:.4f}", flush=True)
            recent = []
        if time.monotonic() - saved_at > SAVE_EVERY_S:
            store(step + 1)
            saved_at = time.monotonic()
    store(n_steps)
    out = work / f"masked_{name}_tower.pt"
    torch.save({key: value.cpu() for key, value in model.tower.state_dict().items()}, out.with_suffix(".tmp"))
    out.with_suffix(".tmp").replace(out)


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tower", choices=("vision", "audio"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, help="pictures or chunks of a step (default: 64 or 16)")
    parser.add_argument(
        "--side", type=int, default=84, help="pixels of a picture, 56, 84 or 112 (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    refuse_input(args.work, args.data)
    n_each = args.batch or (64 if args.tower == "vision" else 16)
    if args.steps < 1 or n_each < 1:
        raise BadSettings("--steps and --batch begin at 1.", "Give larger numbers.")
    if args.side % TOKEN_PX or not 2 * TOKEN_PX <= args.side <= LARGEST_PX:
        raise BadSettings(f"--side {args.side} is none of 56, 84 and 112.", "Pictures are one window of the tower.")
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    made = {"tower": args.tower, "steps": args.steps, "batch": n_each, "seed": args.seed, "precision": args.precision}
    model: MaskedFaces | MaskedVoices
    if args.tower == "vision":
        images = masked_data.faces(args.data, args.work, args.side)
        made |= {"side": args.side, "faces": len(images)}
        model = MaskedFaces(blank_vision_tower(), side=args.side)

        def batch(generator: torch.Generator) -> Tensor:
            rows = torch.randint(len(images), (n_each,), generator=generator).numpy()
            return moved(torch.from_numpy(images[rows]).float() / 255.0, generator)
    else:
        tower = blank_tower()
        spoken = masked_data.of_part(args.data, "train")
        mels = masked_data.Mels(args.work / "masked_voices_train.npz", spoken, tower.config.num_mel_bins)
        made |= {"sentences": len(mels)}
        model = MaskedVoices(tower)

        def batch(generator: torch.Generator) -> Tensor:
            rows = torch.randint(len(mels), (n_each,), generator=generator).tolist()
            return torch.stack([mels.chunk(row, generator) for row in rows])

    model = model.to(args.device)
    bf16 = args.precision == "bf16"
    pretrain(model, batch, work=args.work, name=args.tower, made=made, n_steps=args.steps, bf16=bf16)


if __name__ == "__main__":
    run_command(main, "train.nano.masked_tower")
