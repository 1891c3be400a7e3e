"""Measure what one CoT-LoRA step costs at real shapes with random weights: tokens/s, memory, FLOPs utilisation.

    realtime train tuning.bench --shape tiny|3b|7b [--tokens 2500] [--frames 8] [--steps 5] [--json FILE]

A step is one window: the frozen vision tower over its frames, the language model over its tokens with gradient
checkpointing, the loss on the chain's tokens, and AdamW on the adapter. Model FLOPs count each frozen product twice,
for the forward pass and for the gradient of its input (4 per weight and token), and leave out recomputation. The
ceiling is the GPU's dense bf16 peak. The command prints one JSON line.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import nn

from realtime.commands.program_parser import ProgramParser
from realtime.errors import BadSettings
from realtime.model.blank import blank_modules
from realtime.model.config import AudioConfig, EmotionConfig, ModelConfig, TextConfig, VisionConfig
from realtime.model.language import chunk_mask
from realtime.model.thinker import EmoThinker
from realtime.model.vision import window_plan
from train.command import run_command, tell_result
from train.lora import TARGETS
from train.tuning.model import recompute

PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 4090": 165, "A10": 125, "RTX 3090": 71}
"Dense bf16, from the makers' data sheets."
N_ANSWER = 400
"Number of tokens that carry loss: a chain and three label words."
SIDE_PATCHES = 32


def shape(name: str) -> ModelConfig:
    """The configuration of a published shape of Qwen2.5-Omni; `tiny` is for trying the command."""
    if name == "tiny":
        text = TextConfig(512, 64, 128, 2, 4, 2, mrope_section=(2, 3, 3))
        vision = VisionConfig(2, 32, 48, 2, 64, (1,))
        return ModelConfig(vision, AudioConfig(128, 2, 2, 64, 32, 100, 64), text, EmotionConfig())
    if name == "3b":
        return ModelConfig(VisionConfig(), AudioConfig(), TextConfig(), EmotionConfig())
    text = TextConfig(152064, 3584, 18944, 28, 28, 4)
    return ModelConfig(VisionConfig(out_hidden_size=3584), AudioConfig(output_dim=3584), text, EmotionConfig())


def random_model(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> EmoThinker:
    with blank_modules():
        model = EmoThinker(config)
    model = model.to(dtype).to_empty(device=device)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.02)
    for module in (model.thinker.visual, model.thinker.audio_tower, model.thinker.model):
        module.fill_tables()
        module.to(device)
    return model.requires_grad_(False)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = shape(args.shape)
    model = random_model(config, device, dtype)
    n_backbone = sum(p.numel() for p in model.thinker.model.layers.parameters())
    net = get_peft_model(model, LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules=TARGETS))
    trained = [p for p in net.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    recompute(model)
    optimizer = torch.optim.AdamW(trained, lr=2e-5, weight_decay=0.1)
    n, n_answer = args.tokens, min(N_ANSWER, args.tokens // 2)
    x = torch.randn(1, n, config.text.hidden_size, device=device, dtype=dtype)
    positions = torch.arange(n, device=device).expand(3, 1, n)
    mask = chunk_mask([], n_prefix=n, n_branch=0, device=device)[None, None]
    targets = torch.randint(config.text.vocab_size, (n_answer,), device=device)
    plan = window_plan(SIDE_PATCHES, SIDE_PATCHES)
    patches = torch.randn(args.frames, plan.gather_N.shape[0], 1176, device=device, dtype=dtype)
    places = plan.positions_N2.to(device).expand(args.frames, -1, -1)
    valid = plan.valid_N.to(device).to(torch.int32).expand(args.frames, -1)

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            if args.frames:
                with torch.no_grad():
                    model.thinker.visual(patches, places, valid)
            hidden = model.thinker.model(x, positions, mask)
            logits = model.thinker.lm_head(hidden[0, -n_answer:])
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    step()
    began_s = time.perf_counter()
    for _ in range(args.steps):
        step()  # reading the loss waits for the device
    passed_s = (time.perf_counter() - began_s) / args.steps
    attention = 4 * config.text.num_hidden_layers * config.text.hidden_size * n * n  # scores and sums, unmasked
    head = 4 * config.text.vocab_size * config.text.hidden_size * n_answer
    flops = 4 * n_backbone * n + head + 3 * attention
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = args.peak_tflops or next((v for key, v in PEAK_TFLOPS.items() if key in name), None)
    return {
        "shape": args.shape,
        "device": name,
        "precision": str(dtype).removeprefix("torch."),
        "tokens": n,
        "frames": args.frames,
        "lora_rank": args.rank,
        "trained_parameters": sum(p.numel() for p in trained),
        "frozen_layer_parameters": n_backbone,
        "seconds_per_step": round(passed_s, 4),
        "tokens_per_s": round(n / passed_s, 1),
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None,
        "model_tflops_per_step": round(flops / 1e12, 4),
        "model_flops_utilisation": round(flops / passed_s / (peak * 1e12), 4) if peak else None,
    }


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=("tiny", "3b", "7b"), required=True)
    parser.add_argument("--tokens", type=int, default=2500)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--peak-tflops", type=float, help="peak of this GPU, if it is not in the list")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.tokens < 16 or args.steps < 1:
        raise BadSettings("--tokens is at least 16 and --steps at least 1.", "Leave them out for the usual window.")
    tell_result(measure(args), args.json)


if __name__ == "__main__":
    run_command(main, "train.tuning.bench")
