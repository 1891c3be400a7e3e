"""Reads Whisper's encoder, from which nano's audio tower starts, out of a CTranslate2 file or a transformers folder.

Qwen2.5-Omni's audio tower is Whisper's encoder layer for layer, in 2-s chunks whose positions restart and with pairs of
outputs averaged. So the encoder's tensors fit under other names; only the projection to the language model is new.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from realtime.errors import BadModel
from realtime.model.audio import AudioTower
from train.arrays import AnyArray

DTYPES: Mapping[int, Any] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"CTranslate2's numbers of data types (`ctranslate2/types.h`)."
NEW = ("proj.weight", "proj.bias")
"Tensors of the tower that Whisper does not have."


def read_ctranslate2(data: bytes) -> dict[str, AnyArray]:
    """All variables of a CTranslate2 `model.bin` by name. Raises BadModel for another or a cut file.

    The layout is: uint32 version, the name of the spec, uint32 revision, uint32 count; then for each variable its
    name, uint8 rank, uint32 sizes, uint8 type, uint32 bytes, and the data. A string is uint16 length and its bytes.
    """
    at = 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return int(value)

    def text() -> str:
        nonlocal at
        length = take("H")
        value = data[at : at + length].rstrip(b"\0").decode()
        at += length
        return value

    try:
        take("I")
        text()
        take("I")
        variables: dict[str, AnyArray] = {}
        for _ in range(take("I")):
            name = text()
            shape = [take("I") for _ in range(take("B"))]
            dtype, n_bytes = np.dtype(DTYPES[take("B")]), take("I")
            variables[name] = np.frombuffer(data, dtype, n_bytes // dtype.itemsize, at).reshape(shape)
            at += n_bytes
    except (struct.error, KeyError, UnicodeDecodeError, ValueError) as error:
        raise BadModel(
            f"the file is no CTranslate2 model, or it is cut off: {error}.", hint="Fetch the package again."
        ) from error
    return variables


def from_ctranslate2(variables: Mapping[str, AnyArray]) -> dict[str, Tensor]:
    """The encoder of a CTranslate2 Whisper under `AudioTower`'s names, float32."""
    w = {
        name.removeprefix("encoder/"): torch.from_numpy(value.astype(np.float32))
        for name, value in variables.items()
        if name.startswith("encoder/") and value.ndim
    }
    out = {f"conv{k}.{kind}": w[f"conv{k}/{kind}"] for k in (1, 2) for kind in ("weight", "bias")}
    out |= {"ln_post.weight": w["layer_norm/gamma"], "ln_post.bias": w["layer_norm/beta"]}
    layer = 0
    while f"layer_{layer}/ffn/linear_0/weight" in w:
        theirs, ours = f"layer_{layer}/", f"layers.{layer}."
        attention = theirs + "self_attention/"
        width = w[attention + "linear_1/weight"].shape[0]
        weights = torch.split(w[attention + "linear_0/weight"], width)
        # The query, key and value are stacked. The key has no bias in Whisper, and here it is stored as zeros.
        biases = torch.split(w[attention + "linear_0/bias"], width)
        for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
            out[f"{ours}self_attn.{name}.weight"] = weight
            if name != "k_proj":
                out[f"{ours}self_attn.{name}.bias"] = bias
        for our_name, their_name in (
            ("self_attn.out_proj", attention + "linear_1"),
            ("fc1", theirs + "ffn/linear_0"),
            ("fc2", theirs + "ffn/linear_1"),
        ):
            out[f"{ours}{our_name}.weight"] = w[their_name + "/weight"]
            out[f"{ours}{our_name}.bias"] = w[their_name + "/bias"]
        for our_name, their_name in (
            ("self_attn_layer_norm", attention + "layer_norm"),
            ("final_layer_norm", theirs + "ffn/layer_norm"),
        ):
            out[f"{ours}{our_name}.weight"] = w[their_name + "/gamma"]
            out[f"{ours}{our_name}.bias"] = w[their_name + "/beta"]
        layer += 1
    return out


def from_transformers(folder: Path) -> dict[str, Tensor]:
    """The encoder of transformers' `WhisperForConditionalGeneration` folder under `AudioTower`'s names, float32."""
    found = load_file(folder / "model.safetensors")
    out = {}
    for name, tensor in found.items():
        if name.startswith("model.encoder.") and "embed_positions" not in name:
            bare = name.removeprefix("model.encoder.").replace("layer_norm.", "ln_post.", 1)
            ours = bare if name.startswith("model.encoder.layer_norm.") else name.removeprefix("model.encoder.")
            out[ours] = tensor.float()
    return out


def read_encoder(path: Path) -> dict[str, Tensor]:
    """The encoder in a CTranslate2 file or a transformers folder, under `AudioTower`'s names, float32."""
    return from_transformers(path) if path.is_dir() else from_ctranslate2(read_ctranslate2(path.read_bytes()))


def start_from(tower: AudioTower, encoder: Mapping[str, Tensor]) -> None:
    """Load an encoder into `tower`; its projection stays as it was. Raises BadModel where a tensor does not fit."""
    wanted = tower.state_dict()
    for name, tensor in wanted.items():
        if name not in NEW and (name not in encoder or encoder[name].shape != tensor.shape):
            found = tuple(encoder[name].shape) if name in encoder else "absent"
            raise BadModel(
                f"{name} is {found} in the Whisper encoder, expected {tuple(tensor.shape)}.",
                hint="The tower has the shape of openai/whisper-tiny.en: name that one.",
            )
    tower.load_state_dict({name: tensor if name in NEW else encoder[name] for name, tensor in wanted.items()})
