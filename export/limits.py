"""The best figures that a GPU allows with the 3B and 7B shapes. They are computed from shapes and rates; nothing runs.

    realtime export limits [--gbyte-per-s 4800] [--tflop-per-s 989] [--json FILE]

Each step takes at least the longer of two times: moving its bytes at the memory's rate, and its multiply-adds at the
tensor cores' rate (bf16, dense; the defaults are an H200's). Each second a session has one 448-px frame, half a 2-s
chunk of audio, and `APPENDED` tokens to prefill into its KV-cache ring. It has a label every `LABEL_EVERY_S`. Its chain
is decoded in the rest of each second.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from realtime.commands.program_parser import ProgramParser
from realtime.model.config import PUBLISHED_SHAPES, AudioConfig, ModelConfig, TextConfig, VisionConfig, published_config
from realtime.model.static_step import SIZES

FRAME_PX = 448
CHUNK_MEL_FRAMES = 200
APPENDED = 115
"Tokens of a live second: those kept of a frame, its cue tokens, and 25 of audio."
SEEN = 1000
"Tokens that a chain attends to: eight such seconds and its own words."
LABEL_TOKENS = 120
LABEL_EVERY_S = 3.0
SESSIONS = 100
N_BYTES = 2


@dataclass(frozen=True)
class Limits:
    """The best figures of one GPU."""

    shapes: str
    decode_tokens_per_s: float
    "Tokens per second of one chain alone."
    lanes_tokens_per_s: float
    "Tokens per second of all chains, with as many decoded as one batch as there are lanes."
    frame_ms: float
    chunk_ms: float
    append_ms: float
    "Prefill of one live second into the ring, alone."
    label_ms: float
    session_ms: float
    "GPU time for one live second of a session without its chain, in batches."
    sessions_share: float
    "Share of the GPU's time that `SESSIONS` sessions use, without chains."
    chain_tokens_per_session_s: float
    "Tokens per second for the chain of each session in the rest of the GPU's time."


def language_weights(text: TextConfig) -> tuple[int, int]:
    """Numbers of weights: of all layers, and of the language model's head."""
    heads = text.hidden_size * text.head_dim * (2 * text.num_attention_heads + 2 * text.num_key_value_heads)
    layer = heads + 3 * text.hidden_size * text.intermediate_size
    return text.num_hidden_layers * layer, text.hidden_size * text.vocab_size


def kept_bytes(text: TextConfig) -> int:
    """Bytes of the keys and values of one token."""
    return 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * N_BYTES


def vision(config: VisionConfig, frame_px: int = FRAME_PX) -> tuple[int, float]:
    """Number of weights, and floating-point operations for one square frame (a multiply-add is two)."""
    dim, patches = config.hidden_size, (frame_px // config.patch_size) ** 2
    layer = 4 * dim**2 + 3 * dim * config.intermediate_size
    merged = dim * config.spatial_merge_size**2
    embed = config.in_channels * config.temporal_patch_size * config.patch_size**2 * dim
    merger = merged**2 + merged * config.out_hidden_size
    n_full = len(config.fullatt_block_indexes)
    looked_at = n_full * patches + (config.depth - n_full) * (config.window_size // config.patch_size) ** 2
    flop = 2 * patches * (config.depth * layer + embed + merger / config.spatial_merge_size**2 + 2 * looked_at * dim)
    return config.depth * layer + embed + merger, flop


def audio(config: AudioConfig, mel_frames: int = CHUNK_MEL_FRAMES) -> tuple[int, float]:
    """Number of weights, and floating-point operations for one chunk of audio (a multiply-add is two)."""
    dim, tokens = config.d_model, mel_frames // 2
    layer = 4 * dim**2 + 2 * dim * config.encoder_ffn_dim
    convs = 3 * config.num_mel_bins * dim, 3 * dim**2
    flop = 2 * (mel_frames * convs[0] + tokens * (convs[1] + config.encoder_layers * (layer + 2 * tokens * dim)))
    flop += tokens * dim * config.output_dim
    return config.encoder_layers * layer + sum(convs) + dim * config.output_dim, flop


def limits(shapes: str, *, bytes_per_s: float, flop_per_s: float) -> Limits:
    """The figures for the published `shapes`, 3B or 7B."""
    config = ModelConfig.parse(published_config(shapes))
    layers, head = language_weights(config.text)

    def longer_s(weights: float, flop: float) -> float:
        return max(weights * N_BYTES / bytes_per_s, flop / flop_per_s)

    def step_s(lanes: int) -> float:
        return ((layers + head) * N_BYTES + lanes * SEEN * kept_bytes(config.text)) / bytes_per_s

    frame, chunk = vision(config.vision), audio(config.audio)
    label_s = longer_s(layers + head, 2 * layers * LABEL_TOKENS)
    # Frames, chunks and prefills of many sessions share one reading of the weights, so only their arithmetic counts.
    second_flop = frame[1] + chunk[1] / 2 + 2 * layers * APPENDED
    session_s = second_flop / flop_per_s + label_s / LABEL_EVERY_S
    lanes, share = max(SIZES), SESSIONS * session_s
    together = lanes / step_s(lanes)
    return Limits(
        shapes=shapes,
        decode_tokens_per_s=1 / step_s(1),
        lanes_tokens_per_s=together,
        frame_ms=longer_s(*frame) * 1000,
        chunk_ms=longer_s(*chunk) * 1000,
        append_ms=longer_s(layers, 2 * layers * APPENDED) * 1000,
        label_ms=label_s * 1000,
        session_ms=session_s * 1000,
        sessions_share=share,
        chain_tokens_per_session_s=max(0.0, 1 - share) * together / SESSIONS,
    )


def main() -> int:
    parser = ProgramParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gbyte-per-s", type=float, default=4800.0, help="of the GPU's memory (default: an H200's)")
    parser.add_argument("--tflop-per-s", type=float, default=989.0, help="bf16, dense (default: an H200's)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = [
        asdict(limits(shapes, bytes_per_s=options.gbyte_per_s * 1e9, flop_per_s=options.tflop_per_s * 1e12))
        for shapes in PUBLISHED_SHAPES
    ]
    print("| computed | " + " | ".join(str(each["shapes"]) for each in found) + " |")
    print("| --- |" + " ---: |" * len(found))
    for name in list(found[0])[1:]:
        print(f"| {name} | " + " | ".join(f"{each[name]:.3g}" for each in found) + " |")
    line = json.dumps({"gbyte_per_s": options.gbyte_per_s, "tflop_per_s": options.tflop_per_s, "computed": found})
    print(line)
    if options.json is not None:
        options.json.write_text(line + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
