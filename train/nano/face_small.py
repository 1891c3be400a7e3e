"""Train the face expert's small network from scratch, on FER+ crops cut along the mesh.

    realtime train nano.face_small --data DATA --work WORK [--epochs 16] [--cycle 0] [--lr 1.5e-3]

The stage reads WORK/crops.npz (from `train.nano.prepare`), writes WORK/face_small.pt after every epoch and resumes from
it. A further cycle (--cycle 1, 2 …) starts from the end of the cycle before, and its learning rate rises and falls
again. The result is the running mean of the weights over the last steps, which is steadier than the last step's.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from realtime.commands.program_parser import ProgramParser
from realtime.model.face_expert import SMALL_CROP_PX, SmallFaceNetwork
from realtime.outputs import refuse_input
from train.command import run_command
from train.nano import ferplus
from train.nano.face_pictures import before_backgrounds, load_ferplus, log_probabilities

AVERAGE_DECAY = 0.998
"Decay of the running mean of the weights, which covers about the last 500 steps."


def augment(crops_B1HW: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, scale, turn, mirror and blur crops, add noise, hide a patch: none of it changes the emotion."""
    n = crops_B1HW.shape[0]

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, scale = uniform(-0.2, 0.2), uniform(0.85, 1.15)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos * mirror, -sin, uniform(-0.12, 0.12)], 1)]
    rows.append(torch.stack([sin * mirror, cos, uniform(-0.12, 0.12)], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(crops_B1HW.shape), align_corners=False)
    x = F.grid_sample(crops_B1HW, grid, padding_mode="border", align_corners=False)
    blurred = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    x = torch.where((torch.rand(n, generator=generator) < 0.3)[:, None, None, None], blurred, x)
    x = x + torch.randn(x.shape, generator=generator) * uniform(0.0, 0.04)[:, None, None, None]
    for row in torch.nonzero(torch.rand(n, generator=generator) < 0.4)[:, 0].tolist():
        top, left = torch.randint(0, 36, (2,), generator=generator).tolist()
        x[row, :, top : top + 12, left : left + 12] = x[row].mean()
    return x


def main() -> None:
    parser = ProgramParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--cycle", type=int, default=0, help="0: from scratch; n: go on from the end of cycle n − 1")
    args = parser.parse_args()
    refuse_input(args.work, args.data)

    torch.manual_seed(0)
    faces = ferplus.load(args.data)
    pictures = load_ferplus(faces, args.work)
    train, valid = faces.part("expert"), faces.part("valid")
    valid_crops, _ = pictures.cut(valid, side=SMALL_CROP_PX)
    votes = torch.from_numpy(faces.votes_N7)
    # Rare emotions (disgust is 0.7 % of the faces) weigh more, by the fourth root: enough to be learnt, not to distort.
    frequency = np.bincount(faces.labels_N[train], minlength=7) / len(train)
    weight = torch.from_numpy(((1 / 7) / frequency) ** 0.25).float()

    # Channels last is a third faster on CPUs.
    model = SmallFaceNetwork()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    steps = len(train) // args.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps * args.epochs, pct_start=0.2)
    path, done = args.work / "face_small.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        averaged.module.load_state_dict(state["model"])
        averaged.n_averaged.fill_(1)
        if state["cycle"] == args.cycle:
            model.load_state_dict(state["raw"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            done = state["epoch"]
        elif state["cycle"] == args.cycle - 1:
            model.load_state_dict(state["model"])
        else:
            raise SystemExit(f"{path} is of cycle {state['cycle']}; cycle {args.cycle} cannot follow it.")
    for epoch in range(done, args.epochs):
        generator = torch.Generator().manual_seed(1000 * args.cycle + epoch)
        order = train[torch.randperm(len(train), generator=generator).numpy()]
        model.train()
        started, total = time.monotonic(), 0.0
        for step in range(steps):
            rows = order[step * args.batch : (step + 1) * args.batch]
            x, shown = pictures.cut(rows, side=SMALL_CROP_PX)
            x = augment(before_backgrounds(x, shown, generator), generator)
            x, target = x.contiguous(memory_format=torch.channels_last), votes[rows]
            loss = -(target * weight * model(x)).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            averaged.update_parameters(model)
            total += loss.item()
            if step % 100 == 0:
                print(
                    f"epoch {epoch} step {step}/{steps} loss {total / (step + 1):.3f}",
                    flush=True,
                )
        best = log_probabilities(averaged.module, valid_crops).argmax(1)
        accuracy = (best == faces.labels_N[valid]).mean()
        print(
            f"epoch {epoch}: loss {total / steps:.3f}, valid {accuracy:.4f}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        state = {"model": averaged.module.state_dict(), "raw": model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"schedule": schedule.state_dict(), "epoch": epoch + 1, "cycle": args.cycle}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    run_command(main, "train.nano.face_small")
