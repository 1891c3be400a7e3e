"""Merges an adapter into its backbone: a whole checkpoint in the published layout, with a README from the run.

    realtime train merge --model nano|HF_ID|FOLDER --adapter FOLDER --out MERGED
                          [--license ID] [--push-to-hub OWNER/NAME [--public]]

MERGED holds config.json, the weights (sharded where large), the tokenizer, emothinker.json and emothinker.safetensors,
README.md and the licence of the base. `realtime analyze --model MERGED` and transformers read it as they read the
published folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadModel, BadSettings
from realtime.model import assembly, checkpoint
from realtime.model.config import EMOTION_CONFIG
from realtime.model.shards import contents
from realtime.model.thinker import EmoThinker
from realtime.outputs import refuse_input
from train import model_card, push
from train.command import run_command, write_json
from train.tuning.initial_model import emotion_json

SHARD_BYTES = 4_000_000_000
CARRIED = ("*.json", "*.txt", "*.jinja", "*.model")
"Tokenizer, processor and generation settings are copied unchanged."
OF_PACKING = ("quantize_config.json", "quant_config.json")
"What programs that quantise write beside the weights."
EMBEDDINGS = "thinker.model.embed_tokens.weight"


def stored_dtype(folder: Path) -> torch.dtype:
    """The precision that the folder's weights are stored in; that of the embeddings, which are never packed."""
    found = (
        stored.dtype
        for path in checkpoint.shard_files(folder)
        for stored in contents(path)
        if checkpoint.published_name(stored.key) == EMBEDDINGS
    )
    return next(found, torch.float32)  # without them the folder is refused when it is loaded


def write_model(model: EmoThinker, source: Path, emotion: dict[str, Any], out: Path) -> None:
    """Write the weights under their published names, and copy all else. Raises BadSettings if `out` is `source`."""
    if out.resolve() == source.resolve():
        raise BadSettings(f"{out} is the model itself.", "Choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    for pattern in CARRIED:
        for path in sorted(source.glob(pattern)):
            if path.name not in (checkpoint.INDEX, EMOTION_CONFIG, *OF_PACKING):
                shutil.copyfile(path, out / path.name)
    if checkpoint.read_packing(source) is not None:
        write_json(out / "config.json", as_plain(checkpoint.read_json(source / "config.json")))
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    if model.config.text.tie_word_embeddings:
        state.pop("thinker.lm_head.weight")
    ours = {key.removeprefix("emotion."): value for key, value in state.items() if key.startswith("emotion.")}
    # Also where there are no additions: without it the model would pass for a stock one.
    write_json(out / EMOTION_CONFIG, emotion)
    if ours:
        save_file(ours, out / checkpoint.EMOTION_WEIGHTS, metadata={"format": "pt"})
    theirs = {key: value for key, value in state.items() if not key.startswith("emotion.")}
    write_shards(theirs | unused(source), out)


def as_plain(config: dict[str, Any]) -> dict[str, Any]:
    """The config without what it says of quantised weights, which are written as what they stand for."""
    return {
        key: as_plain(value) if key == "thinker_config" else value
        for key, value in config.items()
        if key != "quantization_config"
    }


def unused(source: Path) -> dict[str, Tensor]:
    """The weights that the Thinker does not use (the model's speech). They are copied for other programs.

    Where they are packed in few bits they are left out, since the new config.json tells nothing of that.
    """
    found = (item for path in checkpoint.shard_files(source) for item in checkpoint.read_tensors(path).items())
    kept = {key: tensor for key, tensor in found if checkpoint.published_name(key) is None}
    return {} if any(key.endswith(".qweight") for key in kept) else kept


def write_shards(state: dict[str, Tensor], out: Path) -> None:
    """Write one file, or several of at most `SHARD_BYTES` with their index."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, value in state.items():
        n_bytes = value.numel() * value.element_size()
        if size + n_bytes > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][key] = value
        size += n_bytes
    if len(shards) == 1:
        save_file(shards[0], out / checkpoint.WEIGHTS, metadata={"format": "pt"})
        return
    names = [f"model-{index:05d}-of-{len(shards):05d}.safetensors" for index in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, out / name, metadata={"format": "pt"})
    total = sum(value.numel() * value.element_size() for value in state.values())
    weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    write_json(out / checkpoint.INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--license", metavar="ID", help="for the card, as the hub writes it (default: the base's)")
    parser.add_argument("--push-to-hub", metavar="OWNER/NAME", help="send the result there; a new one is private")
    parser.add_argument("--public", action="store_true", help="let everybody read what is pushed")
    args = parser.parse_args()
    if not args.adapter.is_dir():
        raise BadModel(f"There is no folder {args.adapter}.", hint="Name what train.lora or train.warmup wrote.")
    if args.public and args.push_to_hub is None:
        raise BadSettings("--public is of what is pushed.", "Add --push-to-hub OWNER/NAME, or leave it away.")
    folder = assembly.locate(args.model)
    refuse_input(args.out, folder, args.adapter)
    licence = model_card.terms(model_card.of_base(args.model, folder), args.license)
    api = None
    if args.push_to_hub is not None:
        # What would keep it from the hub is said before the merge, which may take minutes.
        push.require_licence(licence)
        api = push.sign_in(args.push_to_hub, public=args.public)
    model = checkpoint.load(folder, adapter=args.adapter, dtype=stored_dtype(folder))
    emotion = emotion_json(args.adapter if (args.adapter / EMOTION_CONFIG).exists() else folder)
    write_model(model, folder, emotion, args.out)
    run_file = args.adapter / "run.json"
    run = json.loads(run_file.read_text(encoding="utf-8")) if run_file.exists() else {}
    model_card.write(args.out, name=args.model, folder=folder, adapter=args.adapter, run=run, licence=licence)
    n = sum(parameter.numel() for parameter in model.parameters())
    print(f"{args.out}: {n / 1e6:.1f} M parameters, {args.adapter} merged", flush=True)
    if api is not None:
        print(push.push(api, args.out, args.push_to_hub, public=args.public), flush=True)


if __name__ == "__main__":
    run_command(main, "train.merge")
