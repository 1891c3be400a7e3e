"""Stage 2: CoT-LoRA on annotated chains, backbone frozen; or all of the language model with --full.

    realtime train lora RECORDS … --model nano|HF_ID|FOLDER [--from-warmup OUT1] --out OUT
    realtime train lora RECORDS … --model M --from-adapter OUT --out OUT2    go on with more records, or other ones
    torchrun --nproc-per-node 8 -m train.lora …                      one process per GPU
    torchrun --nproc-per-node 8 -m train.lora … --full               sharded (FSDP), for full tuning
    realtime train tuning.on_ray --workers 8 --gpu train.lora …            the same on a Ray cluster

OUT gets a peft adapter with its settings, seed, git revision and data hash; `realtime serve --model M --adapter OUT`
serves it, `realtime train merge` folds it in. With --full OUT/model is a whole checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from realtime.model import assembly, checkpoint
from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from train.command import run_command
from train.evaluation.variants import named
from train.merge import write_model
from train.tuning.initial_model import (
    PROJECTORS,
    as_loaded,
    emotion_json,
    let_it_read,
    refuse_trained_general,
    save_additions,
    with_additions_of,
    with_warmup,
)
from train.tuning.model import Trainee
from train.tuning.run import EmotionTrainer, common_arguments, leave_group, precision, train

TARGETS = r"thinker\.model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
"The language model's linear layers, and none of the towers."
MERGER = "visual.merger"


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common_arguments(__doc__ or "", lr=2e-5)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--from-warmup", dest="warmed", type=Path, metavar="OUT1", help="the output of stage 1")
    begin.add_argument(
        "--from-adapter", dest="adapter", type=Path, metavar="OUT0", help="go on from the output of an earlier stage 2"
    )
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--alpha", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument(
        "--merger-lr",
        type=float,
        default=5e-6,
        help="of the vision merger, of a hybrid its emotion merger; 0 leaves it frozen",
    )
    parser.add_argument(
        "--projectors", action="store_true", help="go on training the towers' last layers, as train.warmup does"
    )
    parser.add_argument("--selectors", action="store_true", help="go on training selectors and cue projectors")
    parser.add_argument("--full", action="store_true", help="all of the language model instead of LoRA")
    args = parser.parse_args(words)
    if args.full and args.adapter:
        parser.error("--from-adapter goes on with LoRA, and --full has none; merge the adapter first (train.merge)")
    return args


def of_language_alone(args: argparse.Namespace) -> None:
    """Set what a later stage does not ask for. It tunes low-rank parts of the language model, and nothing else."""
    args.warmed = args.adapter = None
    args.full = args.projectors = args.selectors = False
    args.merger_lr = 0.0


def start(args: argparse.Namespace, folder: Path) -> tuple[EmoThinker, dict[str, Any]]:
    """The frozen model, with the additions of stage 1 if there are any, and its emothinker.json."""
    if args.adapter is not None:
        model, emotion = with_additions_of(folder, args.adapter, dtype=precision(args))
    elif args.warmed is not None:
        model, emotion = with_warmup(folder, args.warmed, dtype=precision(args))
    else:
        model, emotion = checkpoint.load(folder, dtype=precision(args)), emotion_json(folder)
        # A stock model is trained with another wording than the one that it is served with untrained.
        model.config = ModelConfig.parse(checkpoint.read_json(folder / "config.json"), emotion)
        model.emotion.float()
    let_it_read(model, emotion, words=args.words, measured=args.measured)
    return model.requires_grad_(False), emotion


def net_of(args: argparse.Namespace, model: EmoThinker) -> torch.nn.Module:
    """The module to train, with its trainable parameters unfrozen. A hybrid tunes its emotion merger, not the general.

    Raises BadSettings for `--projectors` with a hybrid.
    """
    hybrid = model.emotion.hybrid
    tunes_general = args.merger_lr and hybrid is None
    if args.projectors:
        refuse_trained_general(model)
    if args.full:
        model.thinker.model.requires_grad_(True).float()
        model.thinker.lm_head.requires_grad_(True).float()
        if tunes_general:
            model.thinker.visual.merger.requires_grad_(True).float()
        net: torch.nn.Module = model
    else:
        net = with_lora(args, model, [*PROJECTORS.values()] if args.projectors else [MERGER] if tunes_general else None)
    if hybrid is not None:
        hybrid.requires_grad_(True).float()
        hybrid.merger.requires_grad_(bool(args.merger_lr))
    if args.selectors:
        for name, parameter in model.emotion.named_parameters():
            parameter.requires_grad_(not name.startswith(assembly.EXPERTS))
    return net


def with_lora(args: argparse.Namespace, model: EmoThinker, whole: list[str] | None) -> PeftModel:
    """The model with a low-rank part, new or that of `--from-adapter`, which then sets rank, alpha and dropout.

    `whole` are the modules that a new one trains in full.
    """
    if args.adapter:
        net = PeftModel.from_pretrained(model, str(args.adapter), is_trainable=True)
    else:
        config = LoraConfig(
            r=args.rank, lora_alpha=args.alpha, lora_dropout=args.dropout, target_modules=TARGETS,
            modules_to_save=whole, bias="none",
        )  # fmt: skip
        torch.manual_seed(args.seed)
        net = get_peft_model(model, config)
    settings = net.peft_config["default"]
    assert isinstance(settings, LoraConfig)
    args.rank, args.alpha, args.dropout = settings.r, settings.lora_alpha, settings.lora_dropout
    settings.base_model_name_or_path = args.model
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return net


def finish(
    args: argparse.Namespace, trainer: EmotionTrainer, trainee: Trainee, emotion: dict[str, Any], folder: Path
) -> None:
    """Write the adapter, or the whole model."""
    if args.full:
        state = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
        if trainer.args.should_save:
            if state is not None:
                whole, _ = start(args, folder)
                found = {name.removeprefix("net."): value for name, value in state.items()}
                whole.load_state_dict({name: value.to(precision(args)) for name, value in found.items()}, strict=False)
            else:
                whole = trainee.thinker
            write_model(whole.to(precision(args)), folder, emotion, args.out / "model")
        return
    if trainer.args.should_save:
        trainee.net.save_pretrained(str(args.out), safe_serialization=True, save_embedding_layers=False)  # type: ignore[operator]
        save_additions(trainee.thinker, emotion, args.out)
        readme = Path(args.out) / "README.md"
        readme.write_text(
            adapter_readme(json.loads((args.out / "run.json").read_text(encoding="utf-8"))), encoding="utf-8"
        )


def adapter_readme(run: dict[str, Any]) -> str:
    """README.md of an adapter, from its run.json."""
    kept = ["rank", "alpha", "lr", "merger_lr", "weight_decay", "warmup", "epochs", "batch", "accumulate", "balance"]
    kept += {"dpo": ["beta", "chain_share"], "rl": ["rewards", "group", "beta", "clip", "chain_share"]}.get(
        run["stage"], []
    )
    rows = "\n".join(f"| {name} | {run['settings'].get(name)} |" for name in kept)
    titles = {"dpo": ("Preference", "train.dpo"), "rl": ("Reinforced", "train.rl")}
    title, program = titles.get(run["stage"], ("CoT-LoRA", "train.lora"))
    return f"""# {title} adapter for {run["model"]}

Trained by `{program}` on {run["n_records"]} annotated windows (data {run["data_sha256"][:12]}), {run["n_processes"]}
process(es), {run["precision"]}, {run["mask"]} mask, seed {run["seed"]}, revision {run["git_revision"] or "unknown"}.
Loss {run["result"]["first_loss"]} → {run["result"]["last_loss"]} in {run["result"]["steps"]} steps.

| setting | value |
| --- | --- |
{rows}

    realtime serve --model {run["model"]} --adapter THIS_FOLDER
    realtime train merge --model {run["model"]} --adapter THIS_FOLDER --out MERGED
"""


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    folder = assembly.locate(args.model)
    for out in (args.out, args.cache):
        refuse_input(out, folder, *args.records)
    model, emotion = start(args, folder)
    loaded = as_loaded(model, folder)
    trainee = Trainee(
        net_of(args, model),
        Vocabulary.read(folder),
        label_share=args.label_share,
        cues_off=args.cues_off,
        variant=named(args.variant),
    )
    trainer = train(
        args,
        trainee,
        loaded,
        stage="full" if args.full else "cot-lora",
        full=args.full,
        # Of a new backbone the merger is as new as the other projector.
        lr_of=lambda name: args.merger_lr if ".merger." in name and not args.projectors else args.lr,
    )
    finish(args, trainer, trainee, emotion, folder)
    leave_group()


if __name__ == "__main__":
    run_command(main, "train.lora")
