"""Small text backbones with random weights: as transformers saves them, and as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import gguf
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from realtime.model.backbone import TextBackbone
from realtime.model.gguf_file import LAYER, QWEN2_WORDS, WHOLE
from train.compose import compose

Drawn = TypeVar("Drawn", bound=PreTrainedModel)
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>"]
TEXT = [
    "<|im_start|>user\nWhat does the person feel in 2026? It's a smile: “naïve”, 1234 times.<|im_end|>\n",
    "  The voice   rises,\n\n and it doesn’t fall 12.5 dB; they're  not sure…\tÅngström e\u0301 你好 ",
]
N_VOCABULARY = 320


def llama(**changed: Any) -> LlamaForCausalLM:
    """Grouped queries, heads wider than the model, tied embeddings."""
    given = {"head_dim": 32, "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "rope_theta": 100_000.0, **changed}
    return _drawn(LlamaForCausalLM(LlamaConfig(**_sizes(), **given)))


def qwen2(**changed: Any) -> Qwen2ForCausalLM:
    """Biases on queries, keys and values; a head of its own."""
    given = {"tie_word_embeddings": False, "rope_theta": 1_000_000.0, **changed}
    return _drawn(Qwen2ForCausalLM(Qwen2Config(**_sizes(), **given)))


def _sizes() -> dict[str, Any]:
    return {
        "vocab_size": N_VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }


def _drawn(model: Drawn) -> Drawn:
    """With the usual small weights neither positions nor masks would change much, and faults would hide."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            wide = 0.3 if weight.ndim > 1 else 0.5
            norm = float(weight.ndim == 1 and bool((weight == 1).all()))
            weight.copy_(torch.randn(weight.shape, generator=generator) * wide + norm)
    model.train(False)
    return model


def tokenizer(kind: str = "smollm") -> Tokenizer:
    """A byte-pair tokenizer of the kind that SmolLM2's (`smollm`) or Qwen2's (`qwen2`) is, on a few lines."""
    made = Tokenizer(models.BPE())
    if kind == "qwen2":
        made.normalizer = normalizers.NFC()
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXT * 3, trainer)
    return made


def write_folder(model: PreTrainedModel, folder: Path, *, template: str | None = TEMPLATE) -> Path:
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def write_gguf(
    model: PreTrainedModel,
    path: Path,
    *,
    kind: str,
    quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    template: str | None = TEMPLATE,
    pre: str = "smollm",
    architecture: str | None = None,
) -> Path:
    """As llama.cpp's converter writes it: `kind` is llama or qwen2; Llama's queries and keys change their order."""
    config = model.config
    file = gguf.GGUFWriter(path, architecture or kind)
    file.add_block_count(config.num_hidden_layers)
    file.add_context_length(config.max_position_embeddings)
    file.add_embedding_length(config.hidden_size)
    file.add_feed_forward_length(config.intermediate_size)
    file.add_head_count(config.num_attention_heads)
    file.add_head_count_kv(config.num_key_value_heads)
    file.add_rope_freq_base(config.rope_parameters["rope_theta"])
    file.add_layer_norm_rms_eps(config.rms_norm_eps)
    if getattr(config, "head_dim", None):
        file.add_key_length(config.head_dim)
    if template is not None:
        file.add_chat_template(template)
    _add_tokenizer(file, pre)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor
        of_head = next((heads[part] for part in heads if part in name), None)
        if kind == "llama" and of_head is not None:
            values = pairs_of_halves(tensor, of_head)
        # Vectors stay in full precision, as the converter leaves them.
        of_type = quantisation if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        packed = gguf.quantize(values.contiguous().float().numpy(), of_type)
        file.add_tensor(gguf_name(name), packed, raw_dtype=of_type)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def _add_tokenizer(file: gguf.GGUFWriter, pre: str) -> None:
    made = tokenizer("qwen2" if pre == "qwen2" else "smollm")
    by_id = sorted(made.get_vocab().items(), key=lambda item: item[1])
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(pre)
    file.add_token_list([token for token, _ in by_id])
    file.add_token_types([3 if token in SPECIAL else 1 for token, _ in by_id])
    merges = json.loads(made.to_str())["model"]["merges"]
    file.add_token_merges([" ".join(pair) for pair in merges])


def gguf_name(name: str) -> str:
    """transformers' name → llama.cpp's."""
    for ours, theirs in WHOLE.items():
        if name == f"{theirs}.weight":
            return f"{ours}.weight"
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    ours = next(ours for ours, theirs in LAYER.items() if theirs == part)
    return f"blk.{layer}.{ours}.{kind}"


def pairs_of_halves(values: Tensor, n_heads: int) -> Tensor:
    """As llama.cpp's converter permutes a head's rows."""
    shape = values.shape
    halves = values.reshape(n_heads, 2, shape[0] // n_heads // 2, *shape[1:])
    return halves.transpose(1, 2).reshape(shape)


def composed_on_llama(folder: Path) -> Path:
    """A model on a small random Llama, before any training. It is put together in the user's cache at first use."""
    backbone = write_gguf(llama(), folder / "llama.gguf", kind="llama")
    compose(TextBackbone.open(str(backbone)), folder / "new", selector_dim=16)
    return folder / "new"
