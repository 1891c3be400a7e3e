"""Loads one tower at a time from a checkpoint, shard by shard, so that exporting a 7B needs the memory of one tower."""

from __future__ import annotations

from pathlib import Path

import torch

from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.audio import AudioTower
from realtime.model.blank import blank_modules
from realtime.model.config import ModelConfig
from realtime.model.methods.compressor import HybridMerger
from realtime.model.selectors import AudioExtractor, VisualSelector
from realtime.model.vision import VisionTower
from realtime.towers.artifact import AUDIO, VISION, tower_tensors
from realtime.towers.graph import AudioGraph, VisionGraph

TOWERS = ("vision", "audio")
Graph = VisionGraph | AudioGraph
PREFIXES = {"vision": VISION, "audio": AUDIO}
PARTS = {
    "thinker.visual.": "tower.",
    "emotion.visual_selector.": "selector.",
    "emotion.hybrid.": "hybrid.",
    "thinker.audio_tower.": "tower.",
    "emotion.audio_extractor.": "extractor.",
}
"Prefix of a tensor in the checkpoint → that in the graph of its tower."


def load_graph(folder: Path, tower: str, dtype: torch.dtype, *, adapter: Path | None = None) -> Graph:
    """The static graph of one tower with its selector. Raises BadModel that names what is missing or does not fit."""
    config = checkpoint.read_config(folder, adapter)
    if adapter is not None:
        refuse_tower_adapters(adapter)
    with blank_modules():
        graph = blank(config, tower)
    wanted = graph.state_dict()
    state = {}
    for name, tensor in tower_tensors(folder, adapter, PREFIXES[tower]):
        prefix = next(prefix for prefix in PREFIXES[tower] if name.startswith(prefix))
        key = PARTS[prefix] + name.removeprefix(prefix)
        if key in wanted:
            state[key] = tensor.to(dtype)
    checkpoint.check_fit(wanted, state, folder)
    # `assign` takes the tensors as they are: no second copy of the tower is ever made.
    graph.load_state_dict(state, assign=True)
    graph.tower.fill_tables()
    return graph.eval().requires_grad_(False)


def blank(config: ModelConfig, tower: str) -> Graph:
    """The graph of one tower with the weights that its modules are initialised with."""
    dim, inner = config.text.hidden_size, config.emotion.selector_dim
    if tower == "vision":
        return VisionGraph(
            VisionTower(config.vision),
            VisualSelector(dim, inner) if inner else None,
            hybrid=HybridMerger(config.vision) if config.emotion.method == "hybrid" else None,
            spreads=config.emotion.selection == "adaptive",
        )
    return AudioGraph(
        AudioTower(config.audio),
        AudioExtractor(dim, inner) if inner else None,
        moments=config.emotion.voice_width > 0,
    )


def refuse_tower_adapters(adapter: Path) -> None:
    """Raise BadModel where an adapter has LoRA weights for a tower, which an export would silently leave out.

    LoRA of the language model does not change the towers. Modules that an adapter saves whole replace those of a tower.
    """
    path = adapter / checkpoint.ADAPTER_WEIGHTS
    if not path.exists():
        return
    touched = [
        key
        for key in checkpoint.read_tensors(path)
        if ".lora_" in key and (".visual." in key or ".audio_tower." in key)
    ]
    if touched:
        raise BadModel(
            f"{adapter} changes the towers themselves (first {touched[0]}), which an export does not merge.",
            hint="Export from a checkpoint with the adapter merged, or train with targets scoped to language_model.",
        )
