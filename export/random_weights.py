"""Writes the published 3B and 7B shapes with random weights, to try an export or a GPU without fetching the models.

    realtime export random_weights --shapes 7B --out DIR
    realtime export onnx --model DIR --out OUT --precision fp16 --opset 23 --peak

The folder has the published layout: a nested config, numbered bf16 shards with their index, keys `thinker.…`, and
random selectors beside them. No export reads the language model, so it is only in the config. --whole writes it too,
with nano's tokenizer, so that `realtime bench --model DIR` runs: its answers mean nothing, but its times are real.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from export import command
from export.folder import check_space, whole_folder
from export.load import PARTS, PREFIXES, TOWERS, blank
from realtime.commands.program_parser import ProgramParser
from realtime.model import checkpoint
from realtime.model.blank import blank_modules
from realtime.model.config import EMOTION_CONFIG, PUBLISHED_SHAPES, ModelConfig, published_config
from realtime.model.thinker import EmoThinker

SELECTOR_DIM = 256
GATE = 0.5
"The gates are open: as initialised (0), a selector would return every token unchanged."
SPREAD = 0.03
LAYERS_A_SHARD = 8
TOKENIZER = "tokenizer.json"
MADE_BY = "export.random_weights"
"Stands in the index; only a folder that says so is replaced."


def write(
    folder: Path, shapes: str, *, whole: bool = False, seed: int = 0, smaller: dict[str, Any] | None = None
) -> int:
    """Write the checkpoint and return its bytes. `smaller` replaces entries of the config's sections, for a test."""
    values = published_config(shapes)
    thinker = values["thinker_config"]
    for section, changes in (smaller or {}).items():
        thinker[section] |= changes
    emotion = {"selector_dim": SELECTOR_DIM, "drop": 0.2, "ring": whole}
    config = ModelConfig.parse(values, emotion)
    # A GPU draws the weights of a 7B in seconds, and a CPU in minutes.
    generator = torch.Generator("cuda" if torch.cuda.is_available() else "cpu").manual_seed(seed)
    selectors: dict[str, Tensor] = {}
    shards: list[dict[str, Tensor]] = []
    for tower in TOWERS:
        with blank_modules():
            wanted = blank(config, tower).state_dict()
        shards.append({})
        for name, empty in wanted.items():
            prefix = next(prefix for prefix in PREFIXES[tower] if name.startswith(PARTS[prefix]))
            stored = prefix + name.removeprefix(PARTS[prefix])
            if stored.startswith("thinker."):
                shards[-1][stored] = empty
            else:
                selectors[stored.removeprefix("emotion.")] = random_like(name, empty, generator)
    if whole:
        shards += language_model(config)
    placed: dict[str, str] = {}
    with whole_folder(folder) as partial:
        for number, shard in enumerate(shards, start=1):
            check_space(partial, sum(2 * empty.numel() for empty in shard.values()))
            file = f"model-{number:05}-of-{len(shards):05}.safetensors"
            made = {name: random_like(name, empty, generator) for name, empty in shard.items()}
            save_file(made, partial / file, metadata={"format": "pt"})
            placed |= dict.fromkeys(shard, file)
        save_file(selectors, partial / checkpoint.EMOTION_WEIGHTS)
        index = {"metadata": {"made_by": MADE_BY}, "weight_map": placed}
        for name, content in (
            ("config.json", values), (EMOTION_CONFIG, emotion), (checkpoint.INDEX, index)
        ):  # fmt: skip
            (partial / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
        if whole:
            shutil.copy(checkpoint.NANO / TOKENIZER, partial)
    return sum(path.stat().st_size for path in folder.iterdir())


def language_model(config: ModelConfig) -> list[dict[str, Tensor]]:
    """Its tensors by name, on no device, so many layers a shard: one shard at a time is in memory."""
    with blank_modules():
        state = EmoThinker(config).state_dict()
    shards: dict[int, dict[str, Tensor]] = {}
    for name, empty in state.items():
        if name.startswith(("thinker.model.", "thinker.lm_head.")):
            layer = re.match(r"thinker\.model\.layers\.(\d+)\.", name)
            shards.setdefault(int(layer[1]) // LAYERS_A_SHARD if layer else -1, {})[name] = empty
    return list(shards.values())


def random_like(name: str, empty: Tensor, generator: torch.Generator) -> Tensor:
    """Norms at 1 and the rest small, so that 32 layers neither vanish nor overflow fp16."""
    if "gate" in name.rsplit(".", 1)[-1]:
        return torch.full(empty.shape, GATE, dtype=torch.bfloat16)
    if name.endswith("weight") and ("norm" in name or "ln_" in name):
        return torch.ones(empty.shape, dtype=torch.bfloat16)
    drawn = torch.empty(empty.shape, device=generator.device).uniform_(-SPREAD, SPREAD, generator=generator)
    return drawn.to(torch.bfloat16).cpu()


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shapes", choices=sorted(PUBLISHED_SHAPES), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="replaced when this command made it")
    parser.add_argument("--whole", action="store_true", help="with the language model, to be served and timed")
    options = parser.parse_args()
    if options.out.exists() and not made_here(options.out):
        parser.error(f"{options.out} is there and was not made by this command; name another folder")
    return command.run("export.random_weights", lambda: make(options))


def made_here(folder: Path) -> bool:
    """Whether the folder holds random weights of an earlier run, and so nothing that anybody would miss."""
    try:
        index = json.loads((folder / checkpoint.INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(index, dict) and index.get("metadata") == {"made_by": MADE_BY}


def make(options: argparse.Namespace) -> int:
    n_bytes = write(options.out, options.shapes, whole=options.whole)
    print(f"{options.out}  {n_bytes / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
