"""Reading and writing checkpoints: Qwen2.5-Omni's published layout, with EmoThinker's additions beside it.

    config.json                         Qwen2.5-Omni's (whole model or Thinker alone)
    model.safetensors | model-0000i-of-0000n.safetensors + model.safetensors.index.json      keys `thinker.…`
    tokenizer.json
    emothinker.json  emothinker.safetensors     absent for a stock checkpoint: EmoThinker's additions are then off

Only safetensors are read. Nothing in a model folder is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from realtime.errors import BadModel
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG, ModelConfig
from realtime.model.thinker import EmoThinker

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
EMOTION_WEIGHTS = "emothinker.safetensors"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
NANO = Path(__file__).parents[1] / "nano"
UNUSED = ("talker.", "token2wav.", "speaker")
"Parts of the published model that generate speech. Only the Thinker's tensors are read."


def locate(name: str) -> Path:
    """`nano`, a folder, or a hub id such as Qwen/Qwen2.5-Omni-3B → a local folder.

    Raises BadModel when the name is neither a folder nor to be had from the hub.
    """
    if name == "nano":
        return NANO
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    try:
        wanted = ["*.json", "*.safetensors", "*.txt"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BadModel(
            f"'{name}' is neither a folder here nor a model that could be fetched ({type(error).__name__}).",
            hint="Name an existing folder, 'nano', or a hub id such as Qwen/Qwen2.5-Omni-3B (needs the network).",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises BadModel when it is missing or no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadModel(
            f"{path.name} is missing in {path.parent}.", hint="Copy the whole checkpoint folder, config and all shards."
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadModel(
            f"{path} is not JSON: {error}.", hint="Fetch the file again; it was cut off or edited."
        ) from error
    if not isinstance(value, dict):
        raise BadModel(f"{path} holds a {type(value).__name__}, expected an object.", hint="Fetch the file again.")
    return value


def read_config(folder: Path, adapter: Path | None = None) -> ModelConfig:
    """The folder's shapes, with the additions that an adapter brings. Raises BadModel for another architecture."""
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type", ""))
    if not kind.startswith("qwen2_5_omni"):
        raise BadModel(
            f"{folder} holds a '{kind or 'nameless'}' model; expected qwen2_5_omni or qwen2_5_omni_thinker.",
            hint="EmoThinker runs on Qwen2.5-Omni: name such a checkpoint, or 'nano'.",
        )
    extra = folder / EMOTION_CONFIG
    if adapter is not None and not any((adapter / name).exists() for name in (ADAPTER_CONFIG, EMOTION_CONFIG)):
        raise BadModel(
            f"{adapter} is no adapter: it has neither {ADAPTER_CONFIG} nor {EMOTION_CONFIG}.",
            hint="Name the folder that `python -m train.lora` or `train.warmup` wrote.",
        )
    if adapter is not None and (adapter / EMOTION_CONFIG).exists():
        extra = adapter / EMOTION_CONFIG
    # Without this file the folder would pass for a stock checkpoint, with EmoThinker's additions silently off.
    if not extra.exists() and (folder / EMOTION_WEIGHTS).exists():
        raise BadModel(
            f"{EMOTION_CONFIG} is missing in {folder}, which holds {EMOTION_WEIGHTS}.",
            hint="Copy the whole checkpoint folder, or take that file away to run the stock checkpoint.",
        )
    try:
        return ModelConfig.parse(config, read_json(extra) if extra.exists() else None)
    except KeyError as error:
        raise BadModel(
            f"config.json in {folder} has no section {error}.", hint="Use the config.json published with the weights."
        ) from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadModel(
            f"config.json in {folder} cannot be used: {error}.", hint="Use the config.json published with the weights."
        ) from error


def published_name(key: str) -> str | None:
    """A key as found in a file → its name in `EmoThinker`, or None for parts that are not used.

    Published folders write `thinker.model.layers…`; transformers' own names (`model.language_model…`) are read too.
    """
    if key.startswith(UNUSED):
        return None
    bare = key.removeprefix("thinker.")
    for ours, theirs in (("visual.", "model.visual."), ("audio_tower.", "model.audio_tower.")):
        if bare.startswith(theirs):
            return f"thinker.{ours}{bare.removeprefix(theirs)}"
    if bare.startswith("model.language_model."):
        return f"thinker.model.{bare.removeprefix('model.language_model.')}"
    if bare.startswith(("audio_tower.positional_embedding", "audio_tower.audio_bos_eos_token")):
        return None  # a fixed table; the other belongs to the talker
    return f"thinker.{bare}"


def shard_files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.exists():
        return [folder / WEIGHTS]
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    return [folder / str(name) for name in names]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file. Raises BadModel when it is missing, cut off or no safetensors file."""
    if not path.exists():
        raise BadModel(
            f"{path.name} is missing in {path.parent}.", hint="Fetch the missing shard, or the folder again."
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (a file, not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise BadModel(
            f"{path} can't be read as safetensors ({path.stat().st_size} bytes): {error}.",
            hint="The file is cut off or damaged; fetch it again.",
        ) from error


def merge_adapter(state: dict[str, Tensor], folder: Path) -> None:
    """Merge a PEFT LoRA adapter into `state`: W += (alpha / r) · B A. Modules that it saved whole replace ours.

    A folder that holds selectors alone (`train.warmup`) has nothing to merge. Raises BadModel for an adapter of another
    kind or another shape.
    """
    if not (folder / ADAPTER_CONFIG).exists() and (folder / EMOTION_WEIGHTS).exists():
        return
    settings = read_json(folder / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA" or settings.get("use_dora") or settings.get("use_rslora"):
        raise BadModel(
            f"{folder} holds a {settings.get('peft_type')} adapter; plain LoRA is expected.",
            hint="Train one with `python -m train.lora`.",
        )
    try:
        scale = float(settings["lora_alpha"]) / float(settings["r"])
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadModel(f"{folder} has no usable rank and alpha.", hint="Train it again, or fetch it again.") from error
    tensors = read_tensors(folder / ADAPTER_WEIGHTS)
    for key, a in tensors.items():
        bare = key.removeprefix("base_model.model.")
        if ".lora_" not in key:
            name = _fitting(state, bare, tuple(a.shape))
            state[name] = a.to(state[name].dtype)
        elif key.endswith(".lora_A.weight"):
            b = tensors.get(key.replace(".lora_A.", ".lora_B."))
            if b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
                raise BadModel(f"{key} in {folder} has no other half.", hint="Train it again, or fetch it again.")
            name = _fitting(state, bare.removesuffix(".lora_A.weight") + ".weight", (b.shape[0], a.shape[1]))
            state[name] = (state[name].float() + scale * (b.float() @ a.float())).to(state[name].dtype)


def _fitting(state: Mapping[str, Tensor], bare: str, shape: tuple[int, ...]) -> str:
    """Our name for an adapter's tensor `bare`. Raises BadModel when there is no such tensor of that shape."""
    name = bare if bare in state else published_name(bare)
    if name is None or name not in state or tuple(state[name].shape) != shape:
        raise BadModel(
            f"the adapter's {bare} does not fit this backbone.", hint="Use the model that the adapter was trained on."
        )
    return name


def load(folder: Path, *, adapter: Path | None = None, dtype: torch.dtype = torch.float32) -> EmoThinker:
    """Build the model of `folder` with its weights, LoRA merged, in evaluation mode.

    Raises BadModel, naming what is missing or does not fit.
    """
    config = read_config(folder, adapter)
    state: dict[str, Tensor] = {}
    for path in shard_files(folder):
        for key, tensor in read_tensors(path).items():
            name = published_name(key)
            if name is not None:
                state[name] = tensor
    if (folder / EMOTION_WEIGHTS).exists():
        state |= {f"emotion.{key}": tensor for key, tensor in read_tensors(folder / EMOTION_WEIGHTS).items()}
    if adapter is not None:
        merge_adapter(state, adapter)
        if (adapter / EMOTION_WEIGHTS).exists():
            state |= {f"emotion.{key}": tensor for key, tensor in read_tensors(adapter / EMOTION_WEIGHTS).items()}
    with torch.device("meta"):
        model = EmoThinker(config)
    model = model.to_empty(device="cpu")
    if config.text.tie_word_embeddings:
        model.thinker.lm_head.weight = model.thinker.model.embed_tokens.weight
        state.setdefault("thinker.lm_head.weight", state.get("thinker.model.embed_tokens.weight", torch.empty(0)))
    check_fit(model.state_dict(), state, folder)
    model.load_state_dict({key: state[key] for key in model.state_dict()})
    model = model.to(dtype)
    # After the cast, since the angles of rotary tables need float32.
    for module in (model.thinker.visual, model.thinker.audio_tower, model.thinker.model):
        module.fill_tables()
    return model.eval().requires_grad_(False)


def check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], folder: Path) -> None:
    """Raises BadModel for the first tensor that is missing or has another shape."""
    missing = [key for key in wanted if key not in found]
    if missing:
        raise BadModel(
            f"{folder} lacks {len(missing)} of {len(wanted)} tensors, first {missing[0]}.",
            hint="A shard is missing or the folder belongs to another model; fetch it again.",
        )
    for key, tensor in wanted.items():
        if tensor.shape != found[key].shape:
            raise BadModel(
                f"{key} is {tuple(found[key].shape)} in {folder}, its config says {tuple(tensor.shape)}.",
                hint="config.json and weights belong to different models.",
            )


def save(model: EmoThinker, folder: Path, config: Mapping[str, Any], emotion: Mapping[str, Any]) -> None:
    """Write `model` in the published layout. The weights are written last."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    if model.config.text.tie_word_embeddings:
        state.pop("thinker.lm_head.weight")
    ours = {key.removeprefix("emotion."): tensor for key, tensor in state.items() if key.startswith("emotion.")}
    theirs = {key: tensor for key, tensor in state.items() if not key.startswith("emotion.")}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / EMOTION_CONFIG).write_text(json.dumps(emotion, indent=1) + "\n", encoding="utf-8")
    save_file(ours, folder / EMOTION_WEIGHTS, metadata={"format": "pt"})
    save_file(theirs, folder / WEIGHTS, metadata={"format": "pt"})
