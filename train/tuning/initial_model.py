"""The model a training run starts from: a published folder or nano, with EmoThinker's additions made if it has none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from realtime.engine.loading import LoadedModel
from realtime.errors import BadModel, BadSettings
from realtime.model import assembly, checkpoint
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG, EmoChatPart, Method, ModelConfig, Selection
from realtime.model.thinker import EmoThinker, Emotion
from realtime.model.tokenizer import Vocabulary
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS
from realtime.towers.torch_runtime import TorchTowers

TRAINED_PROMPT = "omni"
"The wording of the prompt that a stock checkpoint is trained with."
PROJECTORS = {"thinker.visual.merger": "visual.merger", "thinker.audio_tower.proj": "audio_tower.proj"}
"The towers' last layers, which a new backbone needs anew: module → its name for peft."


def emotion_json(folder: Path) -> dict[str, Any]:
    """The folder's `emothinker.json`; for a stock checkpoint the one that a model trained from it begins with."""
    path = folder / EMOTION_CONFIG
    return checkpoint.read_json(path) if path.exists() else {"prompt": TRAINED_PROMPT}


def with_additions(
    folder: Path,
    *,
    selector_dim: int,
    cues: bool,
    ring: bool | None,
    selection: Selection | None = None,
    method: Method | None = None,
    without: Sequence[EmoChatPart] = (),
    words: bool = False,
    dtype: torch.dtype,
) -> tuple[EmoThinker, dict[str, Any]]:
    """The folder's model with selectors, and with cue projectors over what nano measures; and its emothinker.json.

    New additions have gates of 0, or are copies, so they change nothing yet. A folder that has additions already keeps
    them. A new `emochat` does not get the parts in `without`, and its aggregator only where the model reads words or,
    with `words`, will. Raises BadSettings for a method that would take away what the folder has.
    """
    model = checkpoint.load(folder, dtype=dtype)
    emotion = emotion_json(folder)
    if not model.config.emotion.selector_dim:
        nano = emotion_json(checkpoint.NANO)
        # What is measured, and the face expert, come from nano; frames and prompt are the folder's own. nano's voice
        # expert stays behind, since it reads the layers of nano's audio tower.
        read = {"face_geometry", "voice_statistics"}
        emotion = {name: value for name, value in nano.items() if cues and name in read} | emotion
        emotion |= {"selector_dim": selector_dim, "chain_form": "evidence_first"}
    if ring is not None:
        emotion["ring"] = ring
    if selection is not None:
        emotion["selection"] = selection
    if method is not None:
        if model.config.emotion.method not in ("emothinker", method):
            raise BadSettings(
                f"{folder} is of the method '{model.config.emotion.method}', not '{method}'.",
                "Leave --method out, or begin from the checkpoint that it was made from.",
            )
        emotion["method"] = method
    if without and (method != "emochat" or model.config.emotion.method == "emochat"):
        raise BadSettings(
            "--without leaves out parts of a new model of emochat.",
            "Give it with --method emochat and a model of another method.",
        )
    if method == "emochat" and model.config.emotion.method != "emochat":
        reads = words or model.config.emotion.words
        left_out = {*without, *(() if reads else ("correlation",))}
        emotion["emochat"] = [part for part in get_args(EmoChatPart) if part not in left_out]
    config = checkpoint.read_json(folder / "config.json")
    model.config = ModelConfig.parse(config, emotion)
    old = model.emotion.state_dict()
    torch.manual_seed(0)
    # In training mode, which a new module is in, batch norms would take each clip that is perceived as a batch.
    model.emotion = Emotion(model.config).eval()
    known = {
        **({key: t.float() for key, t in assembly.experts().items()} if cues else {}),
        **{k: v.float() for k, v in old.items()},
    }
    fitting = {k: v for k, v in model.emotion.state_dict().items() if k in known and known[k].shape == v.shape}
    model.emotion.load_state_dict({k: known[k] for k in fitting}, strict=False)
    if model.emotion.hybrid is not None and not any(key.startswith("hybrid.") for key in old):
        model.emotion.hybrid.begin_as(model.thinker.visual.merger)
    return model.requires_grad_(False), emotion


def with_warmup(folder: Path, warmup: Path, *, dtype: torch.dtype) -> tuple[EmoThinker, dict[str, Any]]:
    """The folder's model with the additions that `train.warmup` trained."""
    model = checkpoint.load(folder, adapter=warmup, dtype=dtype)
    model.emotion.float()
    return model, emotion_json(warmup)


def with_additions_of(folder: Path, adapter: Path, *, dtype: torch.dtype) -> tuple[EmoThinker, dict[str, Any]]:
    """The folder's model with the additions that an adapter brings, and without its low-rank part.

    Raises BadModel where the adapter's additions are missing or of another model.
    """
    if not (adapter / ADAPTER_CONFIG).exists() or not (adapter / EMOTION_CONFIG).exists():
        raise BadModel(f"{adapter} is no adapter of train.lora.", hint="Name the --out of an earlier train.lora.")
    model, emotion = checkpoint.load(folder, dtype=dtype), emotion_json(adapter)
    config = checkpoint.read_config(folder, adapter)
    additions = Emotion(config).eval()
    found = checkpoint.read_tensors(adapter / checkpoint.EMOTION_WEIGHTS)
    checkpoint.check_fit(additions.state_dict(), found, adapter)
    additions.load_state_dict(found, strict=False)
    model.config, model.emotion = config, additions.float()
    return model, emotion


def let_it_read(model: EmoThinker, emotion: dict[str, Any], *, words: bool, measured: bool) -> None:
    """Let the chain of the model, and of what is written with this emothinker.json, read more text.

    `words`: the judgement reads what was said. `measured`: the parts about face and voice read what was measured. What
    the model reads already stays. Raises BadSettings where the model judges before it has found anything.
    """
    view, given = model.config.emotion, {"words": words, "measured": measured}
    for name in (name for name, wanted in given.items() if wanted):
        if view.chain_form != "evidence_first":
            raise BadSettings(
                f"--{name} is for chains of the form evidence_first, and this model's are {view.chain_form}.",
                f"Leave --{name} out, or begin from a model of train.compose.",
            )
        emotion[name] = True
    view = replace(view, words=words or view.words, measured=measured or view.measured)
    model.config = replace(model.config, emotion=view)


def as_loaded(model: EmoThinker, folder: Path) -> LoadedModel:
    """The model as `loading.load` gives it. Its reasoner is used for the query embeddings alone."""
    name = folder.name
    return LoadedModel(
        name, "torch (training)", LABELS, Reasoner(model, Vocabulary.read(folder)), model, TorchTowers(model)
    )


def save_additions(model: EmoThinker, emotion: dict[str, Any], folder: Path) -> None:
    """Write emothinker.json and emothinker.safetensors. Without the first a model would pass for a stock one."""
    from safetensors.torch import save_file

    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.emotion.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EMOTION_CONFIG).write_text(json.dumps(emotion, indent=1) + "\n", encoding="utf-8")
    save_file(state, folder / checkpoint.EMOTION_WEIGHTS, metadata={"format": "pt"})


def refuse_trained_general(model: EmoThinker) -> None:
    """Raise BadSettings where the merger of the tower would be trained, which a hybrid keeps as it is."""
    if model.emotion.hybrid is not None:
        raise BadSettings(
            "--projectors trains the general merger, which a hybrid keeps as it is.",
            "Train the projectors first, without --method, and make the merged result a hybrid.",
        )


def unfreeze_projectors(model: EmoThinker) -> None:
    """Let the towers' last layers be trained, in float32."""
    for name in PROJECTORS:
        model.get_submodule(name).requires_grad_(True).float()


def save_projectors(model: EmoThinker, folder: Path) -> None:
    """Write the towers' last layers as modules that an adapter saved whole, so that every reader of adapters has them.

    The rank means nothing: there is no low-rank part.
    """
    from safetensors.torch import save_file

    kept = {
        f"base_model.model.{name}.{key}": tensor.detach().cpu().contiguous()
        for name in PROJECTORS
        for key, tensor in model.get_submodule(name).state_dict().items()
    }
    described = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "modules_to_save": list(PROJECTORS.values())}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    save_file(kept, folder / checkpoint.ADAPTER_WEIGHTS, metadata={"format": "pt"})
