"""Reading and writing checkpoints: Qwen2.5-Omni's published layout, with EmoThinker's additions beside it.

    config.json                         Qwen2.5-Omni's (whole model or Thinker alone)
    model.safetensors | model-0000i-of-0000n.safetensors + model.safetensors.index.json      keys `thinker.…`
    tokenizer.json
    emothinker.json  emothinker.safetensors     absent for a stock checkpoint: EmoThinker's additions are then off, and
                                                labels are corrected for what the prompt alone says (`reason/prior.py`)

Weights may be packed in 4 bits by GPTQ or AWQ (`packing.py`). Only safetensors are read. Nothing in a model folder is
ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor

from realtime.errors import BadModel
from realtime.model import layout, shards
from realtime.model.blank import blank_modules
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG, EmotionConfig, ModelConfig
from realtime.model.filling import HEAD, LoadPlan, LowRankUpdate, OnRead, fill
from realtime.model.packing import PARTS, Packing, Stored, packed_weights, packing_of, refuse_biases, refuse_half_packed
from realtime.model.products import Weights
from realtime.model.shards import MappedFile, StoredTensor
from realtime.model.thinker import EmoThinker

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
EMOTION_WEIGHTS = "emothinker.safetensors"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PHRASES = "phrases.safetensors"
NANO = Path(__file__).parents[1] / "nano"
SMALL = Path(__file__).parents[1] / "small"
"Our part of the model on a text backbone. A build without it says how it is made."
SHIPPED = {"nano": NANO, "small": SMALL}
"Folders that are part of the package, by the name that `--model` takes."
PEFT_PREFIX = "base_model.model."
HUB_FILES = ("*.json", "*.safetensors", "*.txt")
OTHER_KINDS = (".gguf", ".bin", ".pt", ".pth")
"Weights in formats that are not read, the last two since they can hold code."
UNUSED = ("talker.", "token2wav.", "speaker")
"Parts of the published model that generate speech. Only the Thinker's tensors are read."
FORMER_FACE_EXPERT = "emotion.face_expert.stem."
"Where version 0.1.0 kept its face expert, which was the small network alone."
FORMER_AGENT = "action_units.gate"
"What the first agent for action units had before its vectors, which are not scaled now."


def locate(name: str) -> Path:
    """`nano`, `small`, a folder, or a hub id such as Qwen/Qwen2.5-Omni-3B → a local folder.

    Raises BadModel when the name is neither a folder nor to be had from the hub, and where this build has no `small`.
    """
    if name in SHIPPED:
        if not (SHIPPED[name] / "config.json").exists():
            raise BadModel(
                f"This build of emothinker has no `{name}`.",
                hint=f"Make it in a checkout (DATA=… WORK=… bash train/runs/{name}.sh) and name its folder: "
                f"--model WORK/{name}; or take --model nano.",
            )
        return SHIPPED[name]
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from realtime.model import hub

    try:
        return hub.fetched(name, HUB_FILES)
    except hub.NotFetched as error:
        raise BadModel(
            f"'{name}' is neither a folder here nor a model that could be fetched: {error}.",
            hint=f"{error.fix}Name an existing folder, 'nano', 'small', or a hub id such as Qwen/Qwen2.5-Omni-3B.",
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


def chat_template(folder: Path) -> str | None:
    """How a folder writes a conversation, in Jinja: from a file of its own, or from the tokenizer's settings."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8", errors="replace")
    # Processors of Qwen2.5-Omni's time keep it in a file of JSON; tokenizers, among their settings.
    for settings in (folder / "chat_template.json", folder / "tokenizer_config.json"):
        found = read_json(settings).get("chat_template") if settings.is_file() else None
        if isinstance(found, list):
            named = [one for one in found if isinstance(one, dict) and one.get("name") == "default"]
            found = named[0].get("template") if named else None
        if isinstance(found, str):
            return found
    return None


def read_config(folder: Path, adapter: Path | None = None) -> ModelConfig:
    """The folder's shapes, with the additions that an adapter brings; without any, those of a stock checkpoint.

    Raises BadModel for another architecture.
    """
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
            hint="Name the folder that `realtime train lora` or `train.warmup` wrote.",
        )
    if adapter is not None and (adapter / EMOTION_CONFIG).exists():
        extra = adapter / EMOTION_CONFIG
    # Without this file the folder would pass for a stock checkpoint, with EmoThinker's additions silently off.
    if not extra.exists() and (folder / EMOTION_WEIGHTS).exists():
        raise BadModel(
            f"{EMOTION_CONFIG} is missing in {folder}, which holds {EMOTION_WEIGHTS}.",
            hint="Copy the whole checkpoint folder, or take that file away to run the stock checkpoint.",
        )
    packing_of(config, folder)
    # LoRA alone was trained on a stock checkpoint, and no longer is one with it.
    without: dict[str, Any] | None = None if adapter is None else {}
    given = read_json(extra) if extra.exists() else without
    if adapter is not None and given is not None and (folder / EMOTION_CONFIG).exists():
        refuse_other_method(folder, read_json(folder / EMOTION_CONFIG), adapter, given)
    try:
        return ModelConfig.parse(config, given)
    except KeyError as error:
        raise BadModel(
            f"config.json in {folder} has no section {error}.", hint="Use the config.json published with the weights."
        ) from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadModel(
            f"config.json in {folder} cannot be used: {error}.", hint="Use the config.json published with the weights."
        ) from error


def refuse_other_method(folder: Path, own: Mapping[str, Any], adapter: Path, given: Mapping[str, Any]) -> None:
    """Raise BadModel for an adapter of another method than its checkpoint's.

    An adapter may bring a method to a checkpoint of EmoThinker's, which all others begin from.
    """
    ours, theirs = (values.get("method", EmotionConfig.method) for values in (own, given))
    if ours not in (EmotionConfig.method, theirs):
        raise BadModel(
            f"The checkpoint {folder} is of the method '{ours}', and the adapter {adapter} of '{theirs}'.",
            hint="Take an adapter that was trained on this checkpoint, or the checkpoint that it was trained on.",
        )


def read_packing(folder: Path) -> Packing | None:
    """How the folder's weights are packed, or None for plain ones. Raises BadModel for a way that is not read."""
    return packing_of(read_json(folder / "config.json"), folder)


def published_name(key: str) -> str | None:
    """A key as found in a file → its name in `EmoThinker`, or None for parts that are not used.

    Published folders write `thinker.model.layers…`; transformers' own names (`model.language_model…`) are read too.
    """
    if key.startswith(UNUSED):
        return None
    bare = key.removeprefix("thinker.")
    for tower in ("visual.", "audio_tower."):
        if bare.startswith(f"model.{tower}"):
            bare = bare.removeprefix("model.")
    if bare.startswith("model.language_model."):
        return f"thinker.model.{bare.removeprefix('model.language_model.')}"
    if bare.startswith(("audio_tower.positional_embedding", "audio_tower.audio_bos_eos_token")):
        return None  # a fixed table; the other belongs to the talker
    return f"thinker.{bare}"


def shard_files(folder: Path) -> list[Path]:
    """The files with the published weights. Raises BadModel for an index that cannot be used."""
    index = folder / INDEX
    if not index.exists():
        return [folder / WEIGHTS]
    return [folder / name for name in sorted(set(weight_map(folder).values()))]


def weight_map(folder: Path) -> dict[str, str]:
    """The index: each tensor's key and its file. Raises BadModel for one that cannot be used."""
    placed = read_json(folder / INDEX).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise BadModel(f"{INDEX} in {folder} names no tensors.", hint="Fetch that file again.")
    wrong = [name for name in placed.values() if not isinstance(name, str) or Path(name).name != name]
    if wrong:
        raise BadModel(f"{INDEX} in {folder} names '{wrong[0]}', which is no file beside it.", hint="Fetch it again.")
    return placed


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file. Raises BadModel when it is missing, cut off or no safetensors file."""
    held = shards.contents(path)
    if not held:
        return {}
    file = MappedFile(path)
    return {stored.key: file.read(stored) for stored in held}


def stored_weights(folder: Path) -> dict[str, Stored]:
    """Where each tensor of `EmoThinker` lies in a folder, by its name. It reads headers alone.

    Raises BadModel for a shard that is missing or cut off, for shards of two models, and for weights of a kind that
    is not read.
    """
    packing = read_packing(folder)
    files = shard_files(folder)
    missing = [path.name for path in files if not path.exists()]
    if missing:
        others = [kind for kind in OTHER_KINDS if any(folder.glob(f"*{kind}"))]
        if others and not (folder / INDEX).exists():
            raise BadModel(
                f"{WEIGHTS} is missing in {folder}, which holds weights as {others[0]}.",
                hint="Only safetensors are read: fetch the published safetensors.",
            )
        named = f": {INDEX} names it" if (folder / INDEX).exists() else ""
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadModel(
            f"{missing[0]} is missing in {folder}{more}{named}.", hint="Fetch the missing shard, or the folder again."
        )
    found = {path.name: shards.contents(path) for path in files}
    if (folder / INDEX).exists():
        refuse_mixed(weight_map(folder), found, folder)
    tensors: dict[str, StoredTensor] = {}
    for stored in (stored for held in found.values() for stored in held):
        name = published_name(stored.key)
        if name is None:
            continue
        part = name.rpartition(".")[2]
        if packing is None and part in PARTS:
            raise BadModel(
                f"{stored.key} in {stored.path.name} is part of a packed weight, and config.json in {folder} has no "
                "quantization_config.",
                hint="Fetch the config.json that was published with these weights.",
            )
        if part in PARTS:
            tensors[name] = stored
            continue
        if not stored.dtype.is_floating_point or stored.dtype.itemsize == 1:
            raise BadModel(
                f"{stored.key} in {stored.path.name} is {str(stored.dtype).removeprefix('torch.')}: these weights are "
                "quantised in a way that is not read.",
                hint="Name the folder that it was quantised from, in bf16, fp16 or fp32.",
            )
        tensors[name] = stored
    weights: dict[str, Stored] = {**tensors} if packing is None else packed_weights(tensors, packing, folder)
    if (folder / EMOTION_WEIGHTS).exists():
        weights |= {f"emotion.{stored.key}": stored for stored in shards.contents(folder / EMOTION_WEIGHTS)}
    return weights


def refuse_mixed(placed: Mapping[str, str], found: Mapping[str, list[StoredTensor]], folder: Path) -> None:
    """Raise BadModel where an index and its shards do not belong together."""
    for file, tensors in found.items():
        here = {stored.key for stored in tensors}
        expected = {key for key, name in placed.items() if name == file}
        if here != expected:
            key = min(here ^ expected)
            fault = "holds" if key in here else "does not hold"
            raise BadModel(
                f"{file} in {folder} {fault} {key}, unlike {INDEX} says: these are files of two models.",
                hint="Fetch the folder again, all shards and the index together.",
            )


@dataclass(frozen=True)
class Adapter:
    """A PEFT LoRA adapter that is merged as the weights are read."""

    updates: Mapping[str, LowRankUpdate]
    "By the weight's name without PEFT's prefix."
    whole: Mapping[str, StoredTensor]
    "Modules that it saved whole, which replace ours."


NO_ADAPTER = Adapter({}, {})


def read_adapter(folder: Path) -> Adapter:
    """Read what an adapter changes: W += (alpha / r) · B A. Raises BadModel for an adapter of another kind.

    A folder that holds selectors alone (`train.warmup`) has nothing to merge.
    """
    if not (folder / ADAPTER_CONFIG).exists() and (folder / EMOTION_WEIGHTS).exists():
        return NO_ADAPTER
    settings = read_json(folder / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA" or settings.get("use_dora") or settings.get("use_rslora"):
        raise BadModel(
            f"{folder} holds a {settings.get('peft_type')} adapter; plain LoRA is expected.",
            hint="Train one with `realtime train lora`.",
        )
    try:
        scale = float(settings["lora_alpha"]) / float(settings["r"])
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadModel(f"{folder} has no usable rank and alpha.", hint="Train it again, or fetch it again.") from error
    path = folder / ADAPTER_WEIGHTS
    whole = {
        stored.key.removeprefix(PEFT_PREFIX): stored for stored in shards.contents(path) if ".lora_" not in stored.key
    }
    tensors = read_tensors(path)
    updates = {}
    for key, a in tensors.items():
        if key.endswith(".lora_A.weight"):
            b = tensors.get(key.replace(".lora_A.", ".lora_B."))
            if b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
                raise BadModel(f"{key} in {folder} has no other half.", hint="Train it again, or fetch it again.")
            bare = key.removeprefix(PEFT_PREFIX).removesuffix(".lora_A.weight") + ".weight"
            updates[bare] = LowRankUpdate(a.float(), scale * b.float())
    return Adapter(updates, whole)


class Shaped(Protocol):
    """A tensor, or what is known of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def _fitting(wanted: Mapping[str, Shaped], bare: str, shape: tuple[int, ...]) -> str:
    """Our name for an adapter's tensor `bare`. Raises BadModel when there is no such tensor of that shape."""
    name = bare if bare in wanted else published_name(bare)
    if name is None or name not in wanted or tuple(wanted[name].shape) != shape:
        raise BadModel(
            f"the adapter's {bare} does not fit this backbone.", hint="Use the model that the adapter was trained on."
        )
    return name


def plan(folder: Path, adapter: Path | None = None) -> LoadPlan:
    """Check the whole checkpoint by its headers. Raises BadModel, naming what is missing or does not fit."""
    config = read_config(folder, adapter)
    with blank_modules():
        model = EmoThinker(config)
    wanted = model.state_dict()
    stored = stored_weights(folder)
    if config.text.tie_word_embeddings:
        wanted.pop(HEAD)
    updates: dict[str, LowRankUpdate] = {}
    if adapter is not None:
        merged = read_adapter(adapter)
        stored |= {_fitting(wanted, bare, one.shape): one for bare, one in merged.whole.items()}
        updates = {_fitting(wanted, bare, one.shape): one for bare, one in merged.updates.items()}
        if (adapter / EMOTION_WEIGHTS).exists():
            stored |= {f"emotion.{one.key}": one for one in shards.contents(adapter / EMOTION_WEIGHTS)}
    check_fit(wanted, stored, folder)
    layers = (weight for group in layout.groups(config.text) if group.name != layout.HEAD for weight in group.weights)
    refuse_half_packed(stored, layers, folder)
    refuse_biases(stored, wanted, folder)
    return LoadPlan(model, {name: stored[name] for name in wanted}, updates)


def load(
    folder: Path,
    *,
    adapter: Path | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    joined: bool = False,
    kept: Weights = "full",
    on_read: OnRead | None = None,
) -> EmoThinker:
    """Build the model of `folder` with its weights, LoRA merged, in evaluation mode.

    Each tensor goes from the mapped file to its type and device, block by block, so that nothing is in memory twice.
    With `joined` the language model's weights lie as `FusedLanguageModel` reads them. Raises BadModel, naming what is
    missing, does not fit or has no room, before anything is read.
    """
    planned = plan(folder, adapter)
    return fill(
        planned, folder.name, dtype=dtype, device=torch.device(device), joined=joined, kept=kept, on_read=on_read
    )  # fmt: skip


def check_fit(wanted: Mapping[str, Shaped], found: Mapping[str, Shaped], folder: Path) -> None:
    """Raises BadModel for the first tensor that is missing or has another shape."""
    missing = [key for key in wanted if key not in found]
    if any(key.startswith(FORMER_FACE_EXPERT) for key in found):
        raise BadModel(
            f"{folder} holds the face expert of an earlier version, which read crops of 48 px.",
            hint="Fetch the checkpoint of this version, or train the expert again (train/README.md).",
        )
    if any(key.endswith(FORMER_AGENT) for key in found):
        raise BadModel(
            f"{folder} holds the agent for action units of an earlier version, which was behind a gate.",
            hint="Train it again from the model that it was made from: `realtime train warmup --method emochat`.",
        )
    if missing:
        raise BadModel(
            f"{folder} lacks {len(missing)} of {len(wanted)} tensors, first {missing[0]}.",
            hint="A shard is missing or the folder belongs to another model; fetch it again.",
        )
    for key, tensor in wanted.items():
        if tuple(tensor.shape) != tuple(found[key].shape):
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
