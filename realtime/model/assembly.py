"""Checkpoints that are put together when they are first used: the language model stays where it was published.

    config.json              model_type "emothinker"; the backbone's name, all hashes, the shapes of the whole
    tokenizer.json           the backbone's, where tokens that it does not use carry our markers
    projectors.safetensors   the last layers of nano's towers, which end at the backbone's width
    emothinker.json  emothinker.safetensors          selectors, cue projectors, calibration
    adapter_config.json  adapter_model.safetensors   LoRA on the backbone; absent before stage 2
    phrases.safetensors                              what chains often say next (`reason/phrases.py`); may be absent

`realtime train compose` writes such a folder. From it, the backbone, and nano's towers and experts comes a folder in
the published layout (`checkpoint.py`), in float16, which is kept in the user's cache.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.backbone import TextBackbone
from realtime.model.blank import blank_modules
from realtime.model.config import ADAPTER_CONFIG, EMOTION_CONFIG, ModelConfig
from realtime.model.memory import refuse_too_large
from realtime.model.progress import progress
from realtime.model.published import sha256, user_cache
from realtime.model.thinker import EmoThinker

KIND = "emothinker"
PROJECTORS = "projectors.safetensors"
TOWERS = ("thinker.visual.", "thinker.audio_tower.")
EXPERTS = ("face_expert", "voice_expert", "geometry_")
"Parts of `emotion.` that are nano's and are never trained with a backbone."
VERSION = 1
"Counted up when the same parts would give another whole."
KEPT = 4
"Assembled folders that stay in the cache. The one used longest ago goes first."
ABANDONED_S = 24 * 3600
TRAIN_HINT = "Write it again: realtime train compose, or fetch the folder again."


def locate(name: str) -> Path:
    """`nano`, `small`, a folder or a hub id → a local folder in the published layout, put together if need be.

    Raises BadModel where something is missing, damaged, or not what the model was trained on.
    """
    folder = checkpoint.locate(name)
    return _assembled(folder, checkpoint.read_json(folder / "config.json")) if is_composed(folder) else folder


def is_composed(folder: Path) -> bool:
    """Whether the folder holds the parts that go around a backbone. Raises BadModel for a damaged `config.json`."""
    path = folder / "config.json"
    return path.exists() and checkpoint.read_json(path).get("model_type") == KIND


def read_config(name: str, adapter: Path | None = None) -> ModelConfig:
    """The shapes of a model, for which no backbone is fetched and nothing is put together.

    Raises BadModel where the model is not to be had, or is another architecture.
    """
    folder = checkpoint.locate(name)
    if not is_composed(folder) or adapter is not None:
        return checkpoint.read_config(locate(name), adapter)
    extra = checkpoint.read_json(folder / EMOTION_CONFIG)
    return _shape(folder, checkpoint.read_json(folder / "config.json").get("thinker_config", {}), extra)


def _assembled(folder: Path, config: Mapping[str, Any]) -> Path:
    """The whole of the parts in `folder`, from the cache or made now."""
    whole = user_cache() / "assembled" / f"{folder.name}-{_parts_sha256(folder)[:16]}"
    if whole.is_dir():
        os.utime(whole)
        return whole
    try:
        name, hashes, shapes = config["backbone"]["name"], config["backbone"]["sha256"], config["thinker_config"]
        towers = config["towers"]
        if not isinstance(towers, dict):
            raise TypeError("towers needs the hashes of nano's files")
        if not isinstance(name, str) or not isinstance(hashes, dict):
            raise TypeError("backbone needs a name and the hashes of its files")
    except (KeyError, TypeError) as error:
        raise BadModel(
            f"config.json in {folder} does not tell its backbone and towers: {error}.", hint=TRAIN_HINT
        ) from error
    for what, found in nano_sha256().items():
        if towers.get(what) != found:
            raise BadModel(
                f"{folder.name} was trained on other {'experts' if 'expert' in what else 'towers'} than nano has here "
                f"(SHA-256 {found[:12]}…, expected {str(towers.get(what))[:12]}…).",
                hint="Take the release of emothinker that it was trained with, or train it again: train/runs/small.sh",
            )
    shape = _shape(folder, shapes)
    with blank_modules():
        n_parameters = sum(parameter.numel() for parameter in EmoThinker(shape).parameters())
    # Twice, since an adapter is merged into a second copy.
    refuse_too_large(2 * n_parameters * torch.float16.itemsize, torch.device("cpu"), folder.name)
    backbone = TextBackbone.open(name)
    backbone.require(hashes)
    if dataclasses.replace(backbone.config, mrope_section=shape.text.mrope_section) != shape.text:
        raise BadModel(f"{name} has another shape than config.json in {folder} says.", hint=TRAIN_HINT)
    progress.info("putting %s together with %s in %s; this is done once", folder.name, name, whole)
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=whole.parent) as making:
            _put_together(folder, backbone, shapes, Path(making) / "whole")
            # Another program may have made the same folder meanwhile; then theirs is as good.
            if not whole.is_dir():
                (Path(making) / "whole").rename(whole)
    except OSError as error:
        raise BadModel(
            f"{folder.name} can't be put together in {whole.parent}: {error.strerror or error}.",
            hint="Free some space there, or set XDG_CACHE_HOME to a folder with 1 GB left.",
        ) from error
    _forget_old(whole.parent)
    return whole


def _put_together(folder: Path, backbone: TextBackbone, shapes: Mapping[str, Any], out: Path) -> None:
    out.mkdir()
    state = {key: tensor.half() for key, tensor in backbone.tensors()}
    towers = checkpoint.read_tensors(checkpoint.NANO / checkpoint.WEIGHTS)
    state |= {key: tensor for key, tensor in towers.items() if key.startswith(TOWERS)}
    state |= checkpoint.read_tensors(folder / PROJECTORS)
    config = {"model_type": "qwen2_5_omni_thinker", **shapes}
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", EMOTION_CONFIG, checkpoint.EMOTION_WEIGHTS):
        if not (folder / name).exists():
            raise BadModel(f"{name} is missing in {folder}.", hint=TRAIN_HINT)
        shutil.copyfile(folder / name, out / name)
    if (folder / checkpoint.PHRASES).exists():
        shutil.copyfile(folder / checkpoint.PHRASES, out / checkpoint.PHRASES)
    extra = experts() | checkpoint.read_tensors(folder / checkpoint.EMOTION_WEIGHTS)
    save_file(extra, out / checkpoint.EMOTION_WEIGHTS, metadata={"format": "pt"})
    save_file({key: t.contiguous() for key, t in state.items()}, out / checkpoint.WEIGHTS, metadata={"format": "pt"})
    del state
    if (folder / ADAPTER_CONFIG).exists():
        merged = checkpoint.load(out, adapter=folder, dtype=torch.float16)
        checkpoint.save(merged, out, config, checkpoint.read_json(folder / EMOTION_CONFIG))


def _shape(folder: Path, shapes: Mapping[str, Any], emotion: Mapping[str, Any] | None = None) -> ModelConfig:
    try:
        return ModelConfig.parse(shapes, emotion)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadModel(f"config.json in {folder} cannot be used: {error}.", hint=TRAIN_HINT) from error


def _parts_sha256(folder: Path) -> str:
    """One hash over everything in the folder, where the hashes of backbone and towers are."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors"):
            digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _forget_old(cache: Path) -> None:
    """Delete all but the folders used last. A program that has one open keeps its mapped files."""
    folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    whole = [path for path in folders if not path.name.startswith(".")]
    # A program that was killed leaves what it was making.
    old = [path for path in folders if path.name.startswith(".") and time.time() - path.stat().st_mtime > ABANDONED_S]
    for path in whole[:-KEPT] + old:
        shutil.rmtree(path, ignore_errors=True)


def nano_sha256() -> dict[str, str]:
    """The hashes of the files with nano's towers (`sha256`) and with its experts (`experts_sha256`)."""
    return {
        "sha256": sha256(checkpoint.NANO / checkpoint.WEIGHTS),
        "experts_sha256": sha256(checkpoint.NANO / checkpoint.EMOTION_WEIGHTS),
    }


def experts() -> dict[str, Tensor]:
    """nano's experts and its components of a mesh, as a file of additions names them."""
    weights = checkpoint.read_tensors(checkpoint.NANO / checkpoint.EMOTION_WEIGHTS)
    return {key: tensor for key, tensor in weights.items() if key.startswith(EXPERTS)}


def projectors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a model's weights that `PROJECTORS` holds, in float16."""
    mine = ("thinker.visual.merger.", "thinker.audio_tower.proj.")
    return {key: tensor.detach().cpu().half().contiguous() for key, tensor in state.items() if key.startswith(mine)}
