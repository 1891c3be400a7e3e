"""Reads a text backbone from a GGUF file: its shapes, its tokenizer, its chat template and its weights.

llama.cpp stores the rows of Llama's queries and keys in another order, for a rotary embedding of neighbouring pairs;
they are put back here. The `gguf` package finds the fields and dequantises. Source: llama.cpp's
`convert_hf_to_gguf.py`, class `LlamaModel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor

from realtime.errors import BadModel
from realtime.model.published import KNOWN_TO_FIT

ARCHITECTURES = ("llama", "qwen2")
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"Part of a layer in a GGUF file → its name in transformers."
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL, USER_DEFINED = 3, 4
"Types of tokens (`tokenizer.ggml.token_type`) that are cut out of a text before it is split."
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"How Qwen2's tokenizer splits a text into words before it merges bytes."
DAMAGED = "The file is cut off or damaged; fetch it again."
FAULTS = (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, MemoryError)
"What the `gguf` package raises for a damaged file depends on where it is damaged."


class GgufFile:
    """An opened file. Its weights are read, and dequantised, when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises BadModel for a file that is damaged, of another architecture, or of an unknown quantisation."""
        self.path = path
        self.files = (path,)
        try:
            self._reader = gguf.GGUFReader(path)
        except FAULTS as error:
            raise BadModel(f"{path} can't be read as GGUF: {error}.", hint=DAMAGED) from error
        self._kind = str(self._value("general.architecture", "nameless"))
        if self._kind not in ARCHITECTURES or self._of_kind("expert_count", 0):
            raise BadModel(
                f"{path} holds a '{self._kind}' model{' of experts' if self._of_kind('expert_count', 0) else ''}; "
                f"expected {' or '.join(ARCHITECTURES)}.",
                hint=f"Take a dense Llama- or Qwen2-shaped model, such as SmolLM2: {KNOWN_TO_FIT}",
            )
        self._refuse_unknown_quantisation()

    @property
    def config(self) -> dict[str, Any]:
        """The shapes under transformers' names. Raises BadModel where the file does not tell one."""
        embeddings = next((tensor for tensor in self._reader.tensors if tensor.name == "token_embd.weight"), None)
        try:
            if embeddings is None:
                raise KeyError("token_embd.weight")
            heads = int(self._of_kind("attention.head_count"))
            return {
                "model_type": self._kind,
                "vocab_size": int(embeddings.shape[1]),
                "hidden_size": int(self._of_kind("embedding_length")),
                "intermediate_size": int(self._of_kind("feed_forward_length")),
                "num_hidden_layers": int(self._of_kind("block_count")),
                "num_attention_heads": heads,
                "num_key_value_heads": int(self._of_kind("attention.head_count_kv", heads)),
                "head_dim": int(self._of_kind("attention.key_length", 0)),
                "rms_norm_eps": float(self._of_kind("attention.layer_norm_rms_epsilon")),
                "rope_theta": float(self._of_kind("rope.freq_base", 10_000.0)),
                "rope_scaling": self._scaling(),
                "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in self._reader.tensors),
            }
        except (KeyError, TypeError, ValueError) as error:
            raise BadModel(f"{self.path} does not tell {error}.", hint=DAMAGED) from error

    @property
    def chat_template(self) -> str | None:
        """The template (Jinja) by which the model was taught to follow a conversation, unless it has none."""
        found = self._value("tokenizer.chat_template", None)
        return None if found is None else str(found)

    def tokenizer(self) -> Tokenizer:
        """Its byte-pair tokenizer. Raises BadModel for another kind of tokenizer."""
        kind = self._value("tokenizer.ggml.model", None), self._value("tokenizer.ggml.pre", None)
        if kind not in SPLITTERS:
            raise BadModel(
                f"{self.path} has a tokenizer of kind {'/'.join(map(str, kind))}; "
                f"expected {' or '.join('/'.join(known) for known in SPLITTERS)}.",
                hint="Take the folder with safetensors and tokenizer.json instead of the GGUF file.",
            )
        try:
            tokens = list(self._value("tokenizer.ggml.tokens"))
            merges = [(a, b) for a, b in (merge.split(" ", 1) for merge in self._value("tokenizer.ggml.merges"))]
            types = self._value("tokenizer.ggml.token_type", [1] * len(tokens))
            tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
            if kind[1] == "qwen2":
                tokenizer.normalizer = normalizers.NFC()
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*SPLITTERS[kind]])
            tokenizer.decoder = decoders.ByteLevel()
            own = [(token, of_type) for token, of_type in zip(tokens, types, strict=True) if of_type in OWN]
        except Exception as error:  # the library raises a bare Exception for every fault of a vocabulary
            raise BadModel(f"the tokenizer in {self.path} can't be used: {error}.", hint=DAMAGED) from error
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, of in own if of == CONTROL])
        tokenizer.add_tokens([AddedToken(t, normalized=False) for t, of in own if of == USER_DEFINED])
        return tokenizer

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The weights in float32, under transformers' names. Raises BadModel for one that has no place in the model."""
        config = self.config
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
        for stored in self._reader.tensors:
            parts = stored.name.split(".")
            name = transformers_name(stored.name)
            if name is None:
                raise BadModel(
                    f"{self.path} holds {stored.name}, which a plain {self._kind} model does not have.",
                    hint="Take a Llama- or Qwen2-shaped model without changes, such as SmolLM2 or Qwen2.5.",
                )
            try:
                values = gguf.dequantize(stored.data, stored.tensor_type)
                if self._kind == "llama" and parts[2:3] and parts[2] in heads:
                    values = halves_of_pairs(values, heads[parts[2]])
                yield name, torch.from_numpy(np.require(values, np.float32, ["C", "W"]))
            except FAULTS as error:
                raise BadModel(f"{stored.name} in {self.path} can't be read: {error}.", hint=DAMAGED) from error

    def _refuse_unknown_quantisation(self) -> None:
        for kind in sorted({tensor.tensor_type for tensor in self._reader.tensors}):
            sample = next(tensor for tensor in self._reader.tensors if tensor.tensor_type == kind)
            try:
                gguf.dequantize(sample.data[:1], kind)
            except NotImplementedError:
                raise BadModel(
                    f"{self.path} holds {sample.name} as {kind.name}, which the gguf package can't dequantise.",
                    hint=f"Take a file in Q8_0, Q4_1 or F16, or SmolLM2's: {KNOWN_TO_FIT}",
                ) from None
            except FAULTS as error:
                raise BadModel(f"{sample.name} in {self.path} can't be read: {error}.", hint=DAMAGED) from error

    def _scaling(self) -> Mapping[str, str] | None:
        kind = str(self._of_kind("rope.scaling.type", "none"))
        if any(tensor.name == "rope_freqs.weight" for tensor in self._reader.tensors):
            kind = "llama3"
        return None if kind == "none" else {"rope_type": kind}

    def _of_kind(self, name: str, *default: Any) -> Any:
        return self._value(f"{self._kind}.{name}", *default)

    def _value(self, name: str, *default: Any) -> Any:
        """A field's value. Raises KeyError where it is missing and has no default, BadModel where it is damaged."""
        field = self._reader.get_field(name)
        if field is not None:
            try:
                return field.contents()
            except FAULTS as error:
                raise BadModel(f"{name} in {self.path} can't be read: {error}.", hint=DAMAGED) from error
        if default:
            return default[0]
        raise KeyError(name)


OWN = (CONTROL, USER_DEFINED)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
SPLITTERS: dict[Any, list[Any]] = {
    ("gpt2", "gpt-2"): [BYTES],
    ("gpt2", "smollm"): [pre_tokenizers.Digits(individual_digits=True), BYTES],
    ("gpt2", "qwen2"): [
        pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
}
"Kind of tokenizer (`tokenizer.ggml.model`, `.pre`) → how it splits a text before it merges bytes."


def transformers_name(stored: str) -> str | None:
    """A tensor's name in transformers, or None for one that neither Llama nor Qwen2 has."""
    match stored.split("."):
        case ["blk", layer, part, kind] if part in LAYER and layer.isdigit():
            return f"model.layers.{layer}.{LAYER[part]}.{kind}"
        case [part, "weight"] if part in WHOLE:
            return f"{WHOLE[part]}.weight"
    return None


def halves_of_pairs(values: np.ndarray[Any, Any], n_heads: int) -> np.ndarray[Any, Any]:
    """Undo llama.cpp's order of a head's rows (0, h, 1, h + 1, …) for weights (rows, inputs) or biases (rows,)."""
    n_rows = values.shape[0]
    pairs = values.reshape(n_heads, n_rows // n_heads // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
