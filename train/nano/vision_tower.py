"""Train nano's vision tower on dense targets: measurements of the same face, beside the votes.

    realtime train nano.vision_tower --data DATA --work WORK [--minutes 9] [--from TOWER]

Labels are scarce, measurements are not. So the tower predicts mesh components, cues, head pose and votes from the focal
area. The stage writes WORK/vision.pt once a minute and resumes from it. The budget is in minutes because the machine is
the limit; the log says how many steps that was. `--from` begins with a tower that was pre-trained without labels
(`train.nano.masked_tower`); without it the tower begins from nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.commands.program_parser import ProgramParser
from realtime.evidence.baseline import population
from realtime.evidence.cues import CUES
from realtime.model.config import ModelConfig
from realtime.model.vision import VisionTower, window_plan
from realtime.outputs import refuse_input
from realtime.records import Float32
from train.arrays import Floats, Int64
from train.command import run_command
from train.nano import config as nano_config
from train.nano import ferplus, synthetic_frames
from train.nano.budget import Budget
from train.nano.masked_tower import read_start

GRID = synthetic_frames.FRAME_PX // 14
SAVE_EVERY_S = 60.0


def geometry_basis(geometry_N: Floats, n: int = nano_config.FACE_GEOMETRY) -> tuple[Float32, Float32]:
    """Mean (936,) and whitening basis (936, n) of aligned meshes: principal components, scaled to unit variance."""
    wide = geometry_N.astype(np.float32)
    mean = wide.mean(0)
    _, values, rows = np.linalg.svd(wide - mean, full_matrices=False)
    scale = values[:n] / math.sqrt(len(wide))
    return mean, (rows[:n] / scale[:, None]).T.astype(np.float32)


class TowerTrainer:
    """A tower, its heads, optimizer and budget, with a checkpoint that also keeps the time spent."""

    def __init__(self, tower: nn.Module, heads: nn.Module, path: Path, *, minutes: float, peak: float) -> None:
        self.tower, self.heads, self.path = tower, heads, path
        parameters = [*tower.parameters(), *heads.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.05, betas=(0.9, 0.98))
        self.n_steps, spent = 0, 0.0
        if path.exists():
            state = torch.load(path, weights_only=True)
            tower.load_state_dict(state["tower"])
            heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.n_steps, spent = state["n_steps"], state["spent_s"]
        self.budget = Budget(self.optimizer, minutes=minutes, spent_s=spent, peak=peak)
        self.saved_at = time.monotonic()

    def update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*self.tower.parameters(), *self.heads.parameters()], 1.0)
        self.optimizer.step()
        self.n_steps += 1
        if time.monotonic() - self.saved_at > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        self.saved_at = time.monotonic()
        state = {"tower": self.tower.state_dict(), "heads": self.heads.state_dict(), "n_steps": self.n_steps}
        state |= {"optimizer": self.optimizer.state_dict(), "spent_s": self.budget.spent_s}
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)


def vision_tokens(tower: VisionTower, frames: list[synthetic_frames.SceneFrame]) -> Tensor:
    """(B, 64, D) tokens of each frame, row by row."""
    plan = window_plan(GRID, GRID)
    patches = torch.stack([frame.patches for frame in frames])[:, plan.gather_N]
    n = len(frames)
    out = tower(patches, plan.positions_N2.expand(n, -1, -1), plan.valid_N.expand(n, -1))
    return out[:, plan.token_M]  # type: ignore[no-any-return]


def train_vision(data: Path, work: Path, config: ModelConfig, minutes: float, start: Path | None = None) -> None:
    """`start` is what `train.nano.masked_tower` made. Raises BadModel where it does not fit."""
    tower = VisionTower(config.vision)
    if start is not None:
        tower.load_state_dict(read_start(start, tower))
    faces = ferplus.load(data)
    with np.load(work / "crops.npz") as file:
        meshes, geometry, cues, pose, found = (file[key] for key in ("mesh", "geometry", "cues", "pose", "found"))
    train, valid = (part[found[part]] for part in (faces.part("expert"), faces.part("valid")))
    mean, basis = geometry_basis(geometry[train])
    stored = population()["face"]
    neutral, spread = (np.array([stored[name][key] for name in CUES]) for key in ("neutral", "spread"))
    whitened = ((geometry.astype(np.float32) - mean) @ basis).clip(-4, 4)
    measured = np.concatenate([whitened, ((cues - neutral) / spread).clip(-4, 4), pose.clip(-60, 60) / 20], 1)
    votes = torch.from_numpy(faces.votes_N7)
    targets = torch.from_numpy(measured.astype(np.float32))
    heads = nn.ModuleDict(
        {"votes": nn.Linear(nano_config.HIDDEN, 7), "measured": nn.Linear(nano_config.HIDDEN, targets.shape[1])}
    )
    trainer = TowerTrainer(tower, heads, work / "vision.pt", minutes=minutes, peak=1e-3)
    batch, tracked = 16, 0.0

    def losses(rows: Int64, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        frames = [synthetic_frames.compose(faces.images_NHW, meshes, [int(row)], rng) for row in rows]
        tokens = vision_tokens(tower, frames)
        focal = torch.stack([frame.focal for frame in frames]).float()
        pooled = (tokens * focal[..., None]).sum(1) / focal.sum(1, keepdim=True)
        logits = heads["votes"](pooled)
        vote_loss = -(votes[rows] * torch.log_softmax(logits, -1)).sum(1).mean()
        return vote_loss, F.smooth_l1_loss(heads["measured"](pooled), targets[rows]), logits

    while trainer.budget.step():
        rng = np.random.default_rng(trainer.n_steps)
        vote_loss, measure_loss, _ = losses(rng.choice(train, batch), rng)
        trainer.update(vote_loss + 2.0 * measure_loss)
        tracked = 0.98 * tracked + 0.02 * float(measure_loss.detach())
        if trainer.n_steps % 50 == 0:
            print(
                f"vision step {trainer.n_steps}, {trainer.budget.spent_s:.0f} s: "
                f"votes {vote_loss:.2f}, measures {tracked:.3f}",
                flush=True,
            )
    trainer.save()
    with torch.no_grad():
        rng = np.random.default_rng(0)
        hits = [
            (losses(rows, rng)[2].argmax(1).numpy() == faces.labels_N[rows]).mean()
            for rows in np.array_split(rng.permutation(valid)[:800], 50)
        ]
    print(
        f"vision: {trainer.n_steps} steps of {batch}, votes of valid faces by its own head {np.mean(hits):.3f}",
        flush=True,
    )


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--from", dest="start", type=Path, metavar="TOWER", help="masked_vision_tower.pt to begin with")
    args = parser.parse_args()
    refuse_input(args.work, args.data, args.start)
    torch.manual_seed(0)
    config = ModelConfig.parse(nano_config.config(), nano_config.emotion(n_statistics=1))
    train_vision(args.data, args.work, config, args.minutes, args.start)


if __name__ == "__main__":
    run_command(main, "train.nano.vision_tower")
