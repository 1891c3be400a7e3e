"""One training run on transformers' Trainer: settings, resuming, curves, and the files beside the result.

OUT/run.json            settings, seed, git revision, data hash, model, what was left out and why
OUT/curves/             TensorBoard: loss, its parts, learning rate
OUT/checkpoints/        the same command continues from the newest, with the curve of an uninterrupted run
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from realtime.commands.program_parser import ProgramParser
from realtime.engine.loading import LoadedModel
from realtime.errors import RealtimeError
from train.command import write_json
from train.evaluation.variants import WHOLE, named
from train.readers.perceived import measuring
from train.tuning.ablated import TRAINABLE
from train.tuning.data import AnnotatedWindow, AnnotatedWindows, Balanced, data_sha256, read_records
from train.tuning.model import Trainee, recompute
from train.tuning.rewards import REWARDS

logger = logging.getLogger(__name__)

COLLAPSED = 0.02
"A hybrid's gate has collapsed where the mean weight of one merger is lower."
GROUPS = ("kl", "spread", "unsupported", "inconsistent", *(f"reward_{name}" for name in REWARDS))
"What the log has of groups of chains (`ReinforcedTrainee.forward`)."
PARTS = {
    "chain", "label", "gate", "action_units", "emotion_tokens", "kept", "correlation", "margin", "preferred", *GROUPS,
}  # fmt: skip
"What the log has beside the loss, where the model has it (`Trainee.forward`)."
LAST_TOLD = ("gate", "kept", "margin", "preferred", *GROUPS)
"Parts whose last value is in run.json, too."
SETTLE_S = 1.0
"Time in which every thread that waits for the interpreter's lock gets it."
TRAINED = "model.safetensors"
"Name of the file in a checkpoint. It has the trained tensors alone; the frozen ones are in the model's folder."
LAYERS = ["Layer", "VisionBlock", "AudioLayer"]
"Classes of the modules that FSDP shards and gathers as one."


def common_arguments(description: str, *, lr: float) -> argparse.ArgumentParser:
    """The flags that all stages share. train/README.md lists their defaults."""
    args = ProgramParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("records", type=Path, nargs="+", help="folders that train.annotate wrote")
    args.add_argument("--model", required=True, help="nano, a hub id or a Qwen2.5-Omni folder")
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--split", help="only records of this split")
    args.add_argument("--cache", type=Path, help="perceived windows, shared by runs (default: OUT/windows)")
    args.add_argument("--epochs", type=float, default=1.0)
    args.add_argument("--steps", type=int, default=-1, help="stop after so many optimizer steps instead")
    args.add_argument("--batch", type=int, default=1, help="windows per process and step")
    args.add_argument("--accumulate", type=int, default=8, help="steps whose gradients are added up")
    args.add_argument("--lr", type=float, default=lr)
    args.add_argument("--weight-decay", type=float, default=0.1)
    args.add_argument("--warmup", type=float, default=0.05, help="share of the steps")
    args.add_argument("--balance", type=float, default=0.5, help="0: as they come; 1: all emotions equally often")
    args.add_argument(
        "--label-share", type=float, default=0.5, help="weight of the label branches' loss; the chain's is 1"
    )
    args.add_argument(
        "--questions", type=float, default=0.35, help="how often a window is asked another question than the usual one"
    )
    args.add_argument(
        "--words", action="store_true", help="the judgement reads what was said, as train.annotate --words records it"
    )
    args.add_argument(
        "--measured", action="store_true", help="the parts about face and voice are told in words what was measured"
    )
    args.add_argument("--cues-off", type=float, default=0.05, help="how often each kind of cue token is left out")
    args.add_argument(
        "--variant", choices=TRAINABLE, default=WHOLE.name, metavar="ROW",
        help="train this row of the ablation table, such as 'F + B'; train.evaluate then measures it as the same row",
    )  # fmt: skip
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--save-steps", type=int, default=200)
    args.add_argument("--keep", type=int, default=3, help="checkpoints kept")
    args.add_argument("--log-steps", type=int, default=5)
    args.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    args.add_argument("--no-gradient-checkpointing", action="store_true")
    args.add_argument("--cpu", action="store_true", help="even where there is a GPU")
    args.add_argument("--fresh", action="store_true", help="begin again, do not continue from a checkpoint")
    return args


def precision(args: argparse.Namespace) -> torch.dtype:
    """bfloat16 if the GPU supports it, also for the frozen weights; else float32."""
    if args.precision == "auto":
        able = torch.cuda.is_available() and not args.cpu and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if args.precision == "bf16" else torch.float32


class EmotionTrainer(Trainer):
    """Adds a balanced sampler, learning rates by group, checkpoints of trained tensors, curves of loss parts."""

    def __init__(self, *, lr_of: Callable[[str], float], balance: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lr_of = lr_of
        self._balance = balance
        self._parts: dict[str, list[Tensor]] = {}

    def _get_train_sampler(self, train_dataset: Any = None) -> Balanced:
        windows = train_dataset if train_dataset is not None else self.train_dataset
        assert isinstance(windows, AnnotatedWindows)
        labels = [record["clip"]["label"] for record in windows.records]
        return Balanced(labels, power=self._balance, seed=self.args.seed)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            trained: Any = model or self.model
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, parameter in trained.named_parameters():
                if parameter.requires_grad:
                    # Weight decay must not pull gates, norms and biases to zero.
                    decay = self.args.weight_decay if parameter.dim() > 1 else 0.0
                    groups.setdefault((self._lr_of(name), decay), []).append(parameter)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            grouped = [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]
            self.optimizer = kind(grouped, **options)
        return self.optimizer

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        for name in outputs.keys() & PARTS:
            self._parts.setdefault(name, []).append(outputs[name])
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs |= {name: float(torch.stack(values).mean()) for name, values in self._parts.items() if values}
            self._parts.clear()
            warn_of_collapse(logs)
        super().log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        if not self.args.should_save:
            return
        assert self.model is not None
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        state = self.model.state_dict() if state_dict is None else state_dict
        trained = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        kept = {name: value.detach().cpu().contiguous() for name, value in state.items() if name in trained}
        save_file(kept, folder / TRAINED, metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        found = load_file(Path(resume_from_checkpoint) / TRAINED)
        loaded = model or self.model
        assert loaded is not None
        result = loaded.load_state_dict(found, strict=False)
        if result.unexpected_keys:
            raise RealtimeError(
                f"{resume_from_checkpoint} was trained with other settings (first {result.unexpected_keys[0]}).",
                "Use the settings in its run.json, or another --out.",
            )


def warn_of_collapse(logs: Mapping[str, float]) -> None:
    """Log a warning where a hybrid's gate leaves one merger unused, or where that of emotion tokens decides nothing."""
    share = logs.get("gate")
    if share is not None and not COLLAPSED < share < 1 - COLLAPSED:
        logger.warning(
            "the gate has collapsed: the emotion merger's mean weight is %.3f; begin again with a lower --lr or "
            "another --seed",
            share,
        )
    kept = logs.get("kept")
    if kept in (0.0, 1.0):
        logger.warning(
            "the gate of the emotion tokens has collapsed: it keeps %s of them in every window; begin again with "
            "another --seed, or without it (--without keep_gate)",
            "all" if kept else "none",
        )


def collate(examples: list[AnnotatedWindow]) -> dict[str, list[AnnotatedWindow]]:
    return {"examples": examples}


def training_arguments(args: argparse.Namespace, *, full: bool) -> TrainingArguments:
    dtype, on_gpu = precision(args), torch.cuda.is_available() and not args.cpu
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(args.out / "curves"))
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    sharded: dict[str, Any] = {}
    if full and many:
        wrap = {"version": 2, "transformer_layer_cls_to_wrap": LAYERS, "reshard_after_forward": True}
        sharded = {"fsdp": True, "fsdp_config": wrap}
    return TrainingArguments(
        output_dir=str(args.out / "checkpoints"),
        per_device_train_batch_size=args.batch,
        gradient_accumulation_steps=args.accumulate,
        num_train_epochs=args.epochs,
        max_steps=args.steps,
        learning_rate=args.lr,
        lr_scheduler_type="cosine",
        warmup_steps=args.warmup,
        weight_decay=args.weight_decay,
        max_grad_norm=1.0,
        bf16=dtype == torch.bfloat16,
        logging_steps=args.log_steps,
        logging_nan_inf_filter=False,
        save_steps=args.save_steps,
        save_total_limit=args.keep,
        report_to=["tensorboard"],
        seed=args.seed,
        use_cpu=not on_gpu,
        remove_unused_columns=False,
        # A window without speech gives the audio extractor no gradient.
        ddp_find_unused_parameters=many and not full,
        disable_tqdm=not sys.stderr.isatty(),
        dataloader_pin_memory=on_gpu,
        **sharded,
    )


def train(
    args: argparse.Namespace,
    trainee: Trainee,
    loaded: LoadedModel,
    *,
    stage: str,
    full: bool = False,
    lr_of: Callable[[str], float] | None = None,
    windows_of: type[AnnotatedWindows] = AnnotatedWindows,
) -> EmotionTrainer:
    """Perceive the clips, train from the newest checkpoint in OUT, and write run.json. Returns the finished trainer.

    `windows_of` makes the examples.
    """
    settings = training_arguments(args, full=full)
    records = read_records(args.records, split=args.split)
    windows = windows_of(
        records,
        measuring(loaded),
        args.cache or args.out / "windows",
        seed=args.seed,
        asked_share=args.questions,
        variant=named(args.variant),
    )
    with (
        settings.main_process_first(desc="perceive"),
        torch.autocast("cpu", torch.bfloat16, enabled=loaded.weights.dtype == torch.bfloat16),
    ):
        windows.prepare(quiet=settings.process_index > 0)
    trainer = EmotionTrainer(
        model=trainee,
        args=settings,
        train_dataset=windows,
        data_collator=collate,
        lr_of=lr_of or (lambda name: args.lr),
        balance=args.balance,
    )
    n_trained = sum(p.numel() for p in trainee.parameters() if p.requires_grad)
    used = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    described: dict[str, Any] = {
        "stage": stage,
        "model": args.model,
        "settings": used | {"records": [str(path) for path in args.records]},
        "variant": args.variant,
        "seed": args.seed,
        "git_revision": git_revision(),
        "data_sha256": data_sha256(windows.records),
        "n_records": len(windows),
        "left_out": windows.left_out,
        "n_trained": n_trained,
        "n_processes": settings.world_size,
        "precision": str(precision(args)).removeprefix("torch."),
        "mask": "ring" if loaded.weights.config.emotion.ring else "causal",
        "versions": {"torch": torch.__version__},
    }
    if settings.should_save:
        args.out.mkdir(parents=True, exist_ok=True)
        refuse_other_data(args.out, described, fresh=args.fresh)
        write_json(args.out / "run.json", described)
    last = None if args.fresh else newest_checkpoint(Path(str(settings.output_dir)))
    if not args.no_gradient_checkpointing:
        recompute(trainee.thinker)
    result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    if settings.should_save:
        losses = [
            {k: v for k, v in line.items() if k != "epoch"} for line in trainer.state.log_history if "loss" in line
        ]
        described["result"] = {
            "steps": trainer.state.global_step,
            "first_loss": losses[0]["loss"] if losses else None,
            "last_loss": losses[-1]["loss"] if losses else None,
            **{name: round(losses[-1][name], 4) for name in LAST_TOLD if losses and name in losses[-1]},
            "seconds": round(result.metrics.get("train_runtime", 0.0), 1),
            "resumed_from": last and last.name,
        }
        write_json(args.out / "run.json", described)
        print(f"{stage}: {json.dumps(described['result'])}, {n_trained / 1e6:.2f} M parameters trained", flush=True)
    return trainer


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint. A process that is killed while it writes leaves an incomplete one.

    A checkpoint is complete if it has the Trainer's state, which is written last.
    """

    def step(path: Path) -> int:
        try:
            return int(json.loads((path / TRAINER_STATE_NAME).read_text(encoding="utf-8"))["global_step"])
        except (OSError, ValueError, KeyError):
            return -1

    return max((path for path in folder.glob("checkpoint-*") if step(path) >= 0), key=step, default=None)


def refuse_other_data(out: Path, described: Mapping[str, Any], *, fresh: bool) -> None:
    """Raise RealtimeError if OUT holds a run on other data, or with another model, row, seed or stage."""
    path = out / "run.json"
    if fresh or not path.exists() or not (out / "checkpoints").is_dir():
        return
    before = {"variant": WHOLE.name} | json.loads(path.read_text(encoding="utf-8"))
    for name in ("model", "data_sha256", "variant", "seed", "stage"):
        if before.get(name) != described[name]:
            raise RealtimeError(
                f"{out} holds a run with another {name} ({before.get(name)}, now {described[name]}).",
                "Choose another --out, or begin anew with --fresh.",
            )


def git_revision() -> str:
    """The git revision of this code, with `+` if files were changed; empty outside a checkout."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        revision = git("rev-parse", "HEAD")
        return revision + ("+" if revision and git("status", "--porcelain", "--untracked-files=no") else "")
    except OSError:
        return ""


def leave_group() -> None:
    """Leave the process group of a training with several processes.

    Gloo's thread frees what it gathered last under the interpreter's lock. Destroying the group waits for that thread
    with the lock held, so right after a gather both would wait for ever. A sleeping process does not hold the lock.
    """
    if torch.distributed.is_initialized():
        time.sleep(SETTLE_S)
        torch.distributed.destroy_process_group()
