"""Composes a model on a text backbone: nano's towers and experts in front, our additions between, no copy of it.

    realtime train compose --backbone smollm2-135m-instruct --out NEW            before any training
    realtime train compose --model NEW --adapter OUT [--warmup OUT1] --out SMALL    after train.warmup and train.lora
    realtime train compose --model NEW --adapter OUT --phrases RECORDS … --out SMALL     chains are decoded sooner
    realtime train compose --unpack small --out ADAPTER       what it was made from: train.lora --from-adapter ADAPTER

The folder holds what is ours and the backbone's name with the hashes of its files (`realtime/model/assembly.py`).
`--model FOLDER` takes it in every command. `train/runs/small.sh` runs all stages.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadModel, BadSettings
from realtime.model import assembly, checkpoint
from realtime.model.backbone import TextBackbone
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG, ModelConfig, TextConfig
from realtime.model.thinker import Emotion
from realtime.model.tokenizer import Vocabulary
from realtime.outputs import refuse_input
from realtime.reason import prompt
from realtime.reason.phrases import as_tensor
from train.command import run_command, write_json
from train.tuning.data import read_records
from train.tuning.initial_model import PROJECTORS, emotion_json
from train.tuning.phrases import counted
from train.tuning.word_start import begin_with_words

CONTROL_TOKENS_KEPT = frozenset({"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>", "<pad>", "<s>", "</s>"})
"Special tokens of a backbone that mean something to it."
LORA = ".lora_"


def compose(backbone: TextBackbone, out: Path, *, selector_dim: int, drop: float | None = None, seed: int = 0) -> None:
    """Write the model before any training: new projectors, closed selectors (gates 0).

    Cue projectors begin as words of the backbone (`tuning/word_start.py`), and its chains are told in words what was
    measured (`realtime/reason/measurements.py`). `drop` is δ, the share of background tokens
    that are left out at random; without it that of nano.
    """
    out.mkdir(parents=True, exist_ok=True)
    shapes = shapes_on(backbone.config)
    emotion = emotion_json(checkpoint.NANO)
    emotion.pop("calibration", None)
    emotion |= {"selector_dim": selector_dim, "measured": True} | ({} if drop is None else {"drop": drop})
    config = ModelConfig.parse(shapes, emotion)
    torch.manual_seed(seed)
    embeddings = next(t for key, t in backbone.tensors() if key == "thinker.model.embed_tokens.weight").float()
    spread = embeddings.std().item()
    write_projectors(new_projectors(config, spread), out)
    additions = Emotion(config)
    missed = begin_with_words(
        additions,
        lambda text: embeddings[backbone.tokenizer.encode(text, add_special_tokens=False).ids].mean(0),
        spread,
    )
    print(f"cue tokens miss their words by {', '.join(f'{name} {share:.1%}' for name, share in missed.items())}")
    write_additions(additions.state_dict(), emotion, out)
    (out / "tokenizer.json").write_text(with_markers(backbone), encoding="utf-8")
    # The config comes last: a folder without one is no model yet.
    write_json(
        out / "config.json",
        {
            "model_type": assembly.KIND,
            "backbone": {"name": backbone.name, "sha256": backbone.sha256},
            "towers": {"name": "nano", **assembly.nano_sha256()},
            "thinker_config": shapes,
        },
    )


def shapes_on(text: TextConfig) -> dict[str, Any]:
    """`thinker_config`: nano's towers, which end at the backbone's width, and the backbone's own shapes."""
    nano = checkpoint.read_json(checkpoint.NANO / "config.json")
    half = text.head_dim // 2
    rows = (half - half // 4 + 1) // 2
    # Text turns all axes alike, so these sections leave it as it was; frames get rows and columns.
    sections = list(text.mrope_section) or [half // 4, rows, half - half // 4 - rows]
    own = dataclasses.asdict(text) | {
        "rope_parameters": {"rope_type": "default", "rope_theta": text.rope_theta, "mrope_section": sections}
    }
    del own["mrope_section"], own["rope_theta"]
    return {
        "position_id_per_seconds": nano["position_id_per_seconds"],
        "seconds_per_chunk": nano["seconds_per_chunk"],
        "tie_word_embeddings": text.tie_word_embeddings,
        "text_config": own,
        "vision_config": nano["vision_config"] | {"out_hidden_size": text.hidden_size},
        "audio_config": nano["audio_config"] | {"output_dim": text.hidden_size},
    }


def new_projectors(config: ModelConfig, spread: float) -> dict[str, Tensor]:
    """Last layers of the towers at the backbone's width. Their tokens begin about as long as words are."""
    width = config.text.hidden_size
    state = assembly.projectors(checkpoint.read_tensors(checkpoint.NANO / checkpoint.WEIGHTS))
    for name in ("thinker.visual.merger.mlp.2", "thinker.audio_tower.proj"):
        layer = nn.Linear(state[f"{name}.weight"].shape[1], width)
        nn.init.normal_(layer.weight, std=spread / layer.in_features**0.5)
        nn.init.zeros_(layer.bias)
        state |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    return state


def with_markers(backbone: TextBackbone) -> str:
    """The backbone's tokenizer.json, in which special tokens that it hardly uses become the markers of our prompts.

    Otherwise each marker would be several tokens, around every frame and utterance.
    """
    described = json.loads(backbone.tokenizer.to_str())
    lacking = [mark for mark in prompt.SPECIAL_TOKENS if backbone.tokenizer.token_to_id(mark) is None]
    free = [t["content"] for t in described["added_tokens"] if t["special"]]
    free = [token for token in free if token not in CONTROL_TOKENS_KEPT | {*prompt.SPECIAL_TOKENS}]
    renamed = dict(zip(reversed(free), lacking, strict=False))
    for token in described["added_tokens"]:
        token["content"] = renamed.get(token["content"], token["content"])
    vocabulary = described["model"]["vocab"]
    described["model"]["vocab"] = {renamed.get(token, token): index for token, index in vocabulary.items()}
    return json.dumps(described, ensure_ascii=False)


def recompose(
    model: Path,
    out: Path,
    *,
    adapter: Path,
    warmup: Path | None,
    calibration: Path | None = None,
    leave_questions: bool = False,
) -> None:
    """Write the trained model: LoRA, projectors and additions, in float16; `calibration` goes into emothinker.json.

    With `leave_questions` a person's own questions are left to nano where it gives the labels.
    Raises BadSettings if `model` was not composed, BadModel where an adapter lacks something.
    """
    config = checkpoint.read_json(model / "config.json")
    if config.get("model_type") != assembly.KIND:
        raise BadSettings(f"{model} was not composed on a backbone.", "Name a folder that train.compose wrote.")
    if not (adapter / EMOTION_CONFIG).exists():
        raise BadModel(f"{adapter} has no {EMOTION_CONFIG}.", hint="Name the folder that train.lora or .warmup wrote.")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / "tokenizer.json", out / "tokenizer.json")
    state = checkpoint.read_tensors(model / assembly.PROJECTORS)
    for folder in (warmup, adapter):
        if folder is not None:
            state |= {
                f"thinker.{key.split('thinker.', 1)[1]}": t for key, t in tuned(folder).items() if LORA not in key
            }
    write_projectors(state, out)
    lora = {key: tensor.half() for key, tensor in tuned(adapter).items() if LORA in key}
    if lora:
        # Where the training's folder lay is nobody's business.
        based = {"modules_to_save": None, "base_model_name_or_path": config["backbone"]["name"]}
        settings = checkpoint.read_json(adapter / ADAPTER_CONFIG) | based
        save_file(lora, out / checkpoint.ADAPTER_WEIGHTS, metadata={"format": "pt"})
        write_json(out / ADAPTER_CONFIG, settings)
    emotion = emotion_json(adapter) | {"questions": not leave_questions}
    if calibration is not None:
        emotion["calibration"] = checkpoint.read_json(calibration)
    write_additions(checkpoint.read_tensors(adapter / checkpoint.EMOTION_WEIGHTS), emotion, out)
    write_json(out / "config.json", config)


def unpack(folder: Path, out: Path) -> None:
    """Write the adapter that a composed model was made from, so that `train.lora --from-adapter` goes on from it.

    It has the precision of what was shipped, float16, and no calibration, which is of no use once training goes on.
    Raises BadSettings for a folder that holds no trained model on a backbone.
    """
    if not assembly.is_composed(folder) or not (folder / checkpoint.ADAPTER_WEIGHTS).exists():
        raise BadSettings(
            f"{folder} is no trained model on a text backbone.", "Name small, or a folder of this command."
        )
    out.mkdir(parents=True, exist_ok=True)
    whole = {f"base_model.model.{key}": t for key, t in checkpoint.read_tensors(folder / assembly.PROJECTORS).items()}
    state = {key: tensor.float() for key, tensor in (tuned(folder) | whole).items()}
    save_file(state, out / checkpoint.ADAPTER_WEIGHTS, metadata={"format": "pt"})
    settings = checkpoint.read_json(folder / ADAPTER_CONFIG) | {"modules_to_save": [*PROJECTORS.values()]}
    write_json(out / ADAPTER_CONFIG, settings)
    additions = assembly.experts() | checkpoint.read_tensors(folder / checkpoint.EMOTION_WEIGHTS)
    widened = {key: t.float() if t.is_floating_point() else t for key, t in additions.items()}
    save_file(widened, out / checkpoint.EMOTION_WEIGHTS, metadata={"format": "pt"})
    write_json(out / EMOTION_CONFIG, {k: v for k, v in emotion_json(folder).items() if k != "calibration"})


def tuned(folder: Path) -> dict[str, Tensor]:
    """The tensors of an adapter, LoRA and modules saved whole; none where it has additions alone."""
    path = folder / checkpoint.ADAPTER_WEIGHTS
    return checkpoint.read_tensors(path) if path.exists() else {}


def write_projectors(state: dict[str, Tensor], out: Path) -> None:
    save_file(assembly.projectors(state), out / assembly.PROJECTORS, metadata={"format": "pt"})


def write_additions(state: dict[str, Tensor], emotion: dict[str, Any], out: Path) -> None:
    """Write emothinker.json and emothinker.safetensors, the latter in float16 and without nano's experts."""
    write_json(out / EMOTION_CONFIG, emotion)
    own = {key: tensor for key, tensor in state.items() if not key.startswith(assembly.EXPERTS)}
    narrow = {key: t.detach().half() if t.is_floating_point() else t for key, t in own.items()}
    kept = {key: t.cpu().contiguous() for key, t in narrow.items()}
    save_file(kept, out / checkpoint.EMOTION_WEIGHTS, metadata={"format": "pt"})


def write_phrases(records: Sequence[Path], out: Path) -> None:
    """Write the table of what the chains in these folders often say next."""
    chains = [record["sections"] for record in read_records(records)]
    table = as_tensor(counted(chains, Vocabulary.read(out)))
    save_file({"next": table}, out / checkpoint.PHRASES, metadata={"format": "pt"})


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--backbone", help="a name, a GGUF file, a folder or a hub id (realtime/model/backbone.py)")
    start.add_argument("--model", type=Path, help="a folder that this command wrote, which was trained since")
    start.add_argument("--unpack", metavar="MODEL", help="small, or a folder: write the adapter that it was made from")
    parser.add_argument("--adapter", type=Path, help="what train.lora (or train.warmup) wrote")
    parser.add_argument("--warmup", type=Path, help="what train.warmup wrote, if the adapter has no projectors")
    parser.add_argument("--calibration", type=Path, help="what train.tuning.calibrate wrote")
    parser.add_argument(
        "--phrases", type=Path, nargs="+", default=[], metavar="RECORDS",
        help="count what its chains often say next, in folders of train.annotate, so that they are decoded sooner",
    )  # fmt: skip
    parser.add_argument(
        "--leave-questions",
        action="store_true",
        help="leave a person's own questions to nano, where train.evaluation.questions finds that it answers better",
    )
    parser.add_argument("--selector-dim", type=int, default=64, help="width of the selectors' attention")
    parser.add_argument("--drop", type=float, help="δ, share of background tokens that are left out (default: nano's)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    refuse_input(
        args.out, args.backbone, args.model, args.adapter, args.warmup, args.calibration, args.unpack, *args.phrases
    )
    if args.unpack is not None:
        unpack(checkpoint.locate(args.unpack), args.out)
        print(f"{args.out}: train.lora --from-adapter {args.out} goes on from it", flush=True)
        return
    if args.backbone is not None:
        compose(TextBackbone.open(args.backbone), args.out, selector_dim=args.selector_dim, drop=args.drop)
    elif args.adapter is None:
        raise BadSettings("--model goes with --adapter.", "Name what train.lora wrote.")
    else:
        recompose(
            args.model,
            args.out,
            adapter=args.adapter,
            warmup=args.warmup,
            calibration=args.calibration,
            leave_questions=args.leave_questions,
        )
    if args.phrases:
        write_phrases(args.phrases, args.out)
    n_bytes = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {n_bytes / 1e6:.1f} MB beside the backbone; realtime serve --model {args.out}", flush=True)


if __name__ == "__main__":
    run_command(main, "train.compose")
