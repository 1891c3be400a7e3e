"""One backbone in a replica, and the adapters that share its weights.

A model with an adapter is used as a whole model: towers with the adapter's own selectors, and a reasoner with the
adapter's low-rank products. The backbone's weights are in memory once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from realtime.engine import companions
from realtime.errors import BadModel
from realtime.evidence.cue_model import cue_weights
from realtime.model import adapters, assembly, checkpoint
from realtime.model.blank import blank_modules
from realtime.model.config import EMOTION_CONFIG, STOCK, ModelConfig
from realtime.model.fused import FusedLanguageModel
from realtime.model.products import Weights
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.reasoner import Reasoner
from realtime.records import LABELS, Question
from realtime.towers.batch import text_inputs
from realtime.towers.choice import Checkpoint, Towers, choose
from realtime.towers.torch_runtime import TorchTowers

KEPT_QUESTIONS = 64
"Questions whose embedded text is kept; most sessions use the default one."


@dataclass
class AdaptedModel:
    """The backbone with one adapter or without any."""

    weights: EmoThinker
    towers: Towers
    reasoner: Reasoner
    emotion_config: Mapping[str, object] | None
    "From the checkpoint's file: the shapes of selectors, experts and projectors."
    texts: dict[Question, Tensor] = dataclasses.field(default_factory=dict)

    def text_inputs(self, question: Question, batch: int) -> dict[str, Tensor]:
        """The text of a question as the towers' graphs take it."""
        if question not in self.texts:
            if len(self.texts) >= KEPT_QUESTIONS:
                self.texts.pop(next(iter(self.texts)))
            self.texts[question] = self.reasoner.query_embeddings(question)
        return text_inputs(self.texts[question], batch)


@dataclass
class Backbone:
    """A loaded model, and the same with each adapter."""

    model: str
    fingerprint: str
    runtime_reason: str
    labels: tuple[str, ...]
    models: Mapping[str, AdaptedModel]
    "By the adapter's name; the empty name is the backbone alone."
    folder: Path

    def with_adapter(self, adapter: str) -> AdaptedModel:
        return self.models[adapter]


def load(
    model: str,
    paths: Mapping[str, str] | None = None,
    *,
    engine: str = "auto",
    device: str = "cpu",
    kept: Weights = "full",
) -> Backbone:
    """Load a model and the adapters at `paths`, by name. Raises BadModel or EngineMissing with what to do next.

    `kept` is what the language model's weights are kept in, for labels and chains.
    """
    parts = checkpoint.locate(model)
    folder = assembly.locate(str(parts))
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    weights = checkpoint.load(folder, dtype=dtype, device=device, joined=True, kept=kept)
    vocabulary = Vocabulary.read(folder)
    companions.require_alike(folder, weights.config, vocabulary)
    towers, reason = choose(engine, Checkpoint(weights, folder))
    language = FusedLanguageModel(weights.thinker.model, weights.thinker.lm_head)
    models = {
        "": AdaptedModel(weights, towers, Reasoner(weights, vocabulary, language=language), emotion_config(folder))
    }
    for name, path in (paths or {}).items():
        if not name or not name.isidentifier():
            raise BadModel(f"'{name}' is not a name for an adapter.", hint="Use letters, digits and underscores.")
        models[name] = adapted(Path(path), folder, weights, vocabulary, language, kept)
    return Backbone(model, fingerprint(parts, paths or {}), reason, LABELS, models, folder)


def adapted(
    adapter: Path,
    folder: Path,
    weights: EmoThinker,
    vocabulary: Vocabulary,
    language: FusedLanguageModel,
    kept: Weights = "full",
) -> AdaptedModel:
    """Load an adapter on the backbone's weights if it changes the language model only, and as a whole model otherwise.

    `train.lora` tunes the vision merger too, unless it is run with `--merger-lr 0`.
    """
    config = checkpoint.read_config(folder, adapter)
    own_shape = config != weights.config and not only_worded_anew(config, weights.config)
    # LoRA alone was trained on a stock model, and no longer is one with it.
    described = emotion_config(adapter, folder) or {}
    if own_shape or not adapters.beside(adapter):
        whole = checkpoint.load(
            folder, adapter=adapter, dtype=weights.dtype, device=weights.device, joined=True, kept=kept
        )
        return AdaptedModel(whole, TorchTowers(whole), Reasoner(whole, vocabulary), described)
    low_rank = adapters.read(adapter, weights.config.text, dtype=weights.dtype, device=weights.device)
    mine = with_emotion(weights, adapter, config)
    reasoner = Reasoner(mine, vocabulary, language=language.adapted(low_rank))
    return AdaptedModel(mine, TorchTowers(mine), reasoner, described)


def only_worded_anew(config: ModelConfig, backbone: ModelConfig) -> bool:
    """Whether the model is a stock backbone but for its prompt, so that both have the same weights beside LoRA."""
    emotion = dataclasses.replace(config.emotion, prompt=STOCK.prompt, calibration=STOCK.calibration)
    return backbone.emotion.stock and dataclasses.replace(config, emotion=emotion) == backbone


def emotion_config(*folders: Path) -> Mapping[str, object] | None:
    """The config of the first folder that has one."""
    found = [folder / EMOTION_CONFIG for folder in folders if (folder / EMOTION_CONFIG).exists()]
    return checkpoint.read_json(found[0]) if found else None


def with_emotion(weights: EmoThinker, adapter: Path, config: ModelConfig) -> EmoThinker:
    """The same towers and language model, with the adapter's selectors, experts and projectors if it has any."""
    path = adapter / checkpoint.EMOTION_WEIGHTS
    theirs = checkpoint.read_tensors(path) if path.exists() else {}
    with blank_modules():
        mine = EmoThinker(config)
    state = weights.emotion.state_dict() | {
        key: tensor.to(weights.device, weights.dtype) for key, tensor in theirs.items()
    }
    wanted = weights.emotion.state_dict()
    checkpoint.check_fit(wanted, state, adapter)
    mine.thinker = weights.thinker
    mine.emotion.load_state_dict({key: state[key] for key in wanted}, assign=True)
    return mine.eval().requires_grad_(False)


def instruments(weights: EmoThinker) -> bytes:
    """The weights that a session's node runs itself (`evidence/cue_model.py`), as safetensors."""
    return bytes(save(cue_weights(weights)))


def fingerprint(folder: Path, paths: Mapping[str, str] | None = None) -> str:
    """A hash of the weights and adapters: of the size, the first and the last megabyte of each file.

    The first has every tensor's name, shape and offset; the last makes two trainings of one shape differ. The folder
    is the one that was named: of a composed model its parts, whose config has the hashes of the rest.
    """
    digest = hashlib.sha256()
    files = [*checkpoint.shard_files(folder), folder / checkpoint.EMOTION_WEIGHTS, folder / EMOTION_CONFIG]
    if assembly.is_composed(folder):
        files += [folder / name for name in ("config.json", assembly.PROJECTORS, checkpoint.ADAPTER_WEIGHTS)]
    for name, path in sorted((paths or {}).items()):
        digest.update(name.encode())
        files += [Path(path) / checkpoint.ADAPTER_WEIGHTS, Path(path) / checkpoint.EMOTION_WEIGHTS]
    for file in files:
        if not file.exists():
            continue
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as content:
            digest.update(content.read(1 << 20))
            content.seek(max(0, size - (1 << 20)))
            digest.update(content.read())
    return digest.hexdigest()[:16]
