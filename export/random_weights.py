"""Towers of the published 3B and 7B shapes with random weights, to try an export without fetching the models.

    python -m export.random_weights --shapes 7B --out DIR
    python -m export.onnx --model DIR --out OUT --precision fp16 --opset 23 --peak

Writes a folder in the published layout: nested config, numbered bf16 shards with their index, keys `thinker.…`, and
random selectors beside them. The language model, which no export reads, is in the config only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from export import command
from export.folder import check_space, whole_folder
from export.source import PREFIXES, TOWERS, blank, selector_name
from realtime.model import checkpoint
from realtime.model.config import ModelConfig

TEXT = {
    "3B": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
           "num_key_value_heads": 2, "vocab_size": 151936},
    "7B": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152064},
}  # fmt: skip
"`config.json` of Qwen/Qwen2.5-Omni-3B and -7B; the rest of the shapes are `VisionConfig`'s and `AudioConfig`'s own."
SELECTOR_DIM = 256
GATE = 0.5
"Open: with the gates as initialised, a selector would leave every token as it is."
SPREAD = 0.03


def published_config(shapes: str) -> dict[str, Any]:
    hidden = TEXT[shapes]["hidden_size"]
    return {
        "model_type": "qwen2_5_omni",
        "thinker_config": {
            "text_config": TEXT[shapes],
            "vision_config": {"out_hidden_size": hidden},
            "audio_config": {"output_dim": hidden},
        },
    }


def write(folder: Path, shapes: str, *, seed: int = 0, smaller: dict[str, Any] | None = None) -> int:
    """Bytes written. `smaller` replaces entries of the vision and audio sections, for a test."""
    values = published_config(shapes)
    thinker = values["thinker_config"]
    for section, changes in (smaller or {}).items():
        thinker[section] |= changes
    emotion = {"selector_dim": SELECTOR_DIM, "drop": 0.2}
    config = ModelConfig.parse(values, emotion)
    generator = torch.Generator().manual_seed(seed)
    selectors: dict[str, torch.Tensor] = {}
    placed: dict[str, str] = {}
    with whole_folder(folder) as partial:
        for number, tower in enumerate(TOWERS, start=1):
            tower_prefix, selector_prefix = PREFIXES[tower]
            with torch.device("meta"):
                wanted = blank(config, tower).state_dict()
            check_space(partial, sum(2 * tensor.numel() for tensor in wanted.values()))
            shard: dict[str, torch.Tensor] = {}
            for name, empty in wanted.items():
                made = random_like(name, empty, generator)
                if name.startswith("tower."):
                    shard[tower_prefix + name.removeprefix("tower.")] = made
                else:
                    inner = name.removeprefix(f"{selector_name(tower)}.")
                    selectors[selector_prefix.removeprefix("emotion.") + inner] = made
            file = f"model-{number:05}-of-{len(TOWERS):05}.safetensors"
            save_file(shard, partial / file, metadata={"format": "pt"})
            placed |= dict.fromkeys(shard, file)
        save_file(selectors, partial / checkpoint.EMOTION_WEIGHTS)
        index = {"metadata": {}, "weight_map": placed}
        for name, content in (
            ("config.json", values), (checkpoint.EMOTION_CONFIG, emotion), (checkpoint.INDEX, index)
        ):  # fmt: skip
            (partial / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return sum(path.stat().st_size for path in folder.iterdir())


def random_like(name: str, empty: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Norms at 1 and the rest small, so that 32 layers neither vanish nor overflow fp16."""
    if "gate" in name.rsplit(".", 1)[-1]:
        return torch.full(empty.shape, GATE, dtype=torch.bfloat16)
    if name.endswith("weight") and ("norm" in name or "ln_" in name):
        return torch.ones(empty.shape, dtype=torch.bfloat16)
    return torch.empty(empty.shape).uniform_(-SPREAD, SPREAD, generator=generator).to(torch.bfloat16)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m export.random_weights", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shapes", choices=sorted(TEXT), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="replaced when it is there")
    options = parser.parse_args()
    if options.out.exists() and not (options.out / "config.json").exists():
        parser.error(f"{options.out} is there and holds no checkpoint")
    return command.run("export.random_weights", lambda: make(options))


def make(options: argparse.Namespace) -> int:
    n_bytes = write(options.out, options.shapes)
    print(f"{options.out}  {n_bytes / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
