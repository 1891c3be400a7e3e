"""Write a small random Qwen2.5-Omni folder and generated clips, to try every stage without data or downloads.

    realtime train tuning.tiny OUT            OUT/model in the published layout, OUT/clips with labels.csv

The model is transformers' own class with a small configuration, saved like the published checkpoints, with keys under
`thinker.`. It is not trained.
"""

from __future__ import annotations

import argparse
import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from safetensors.torch import save_file

from realtime.commands.program_parser import ProgramParser
from realtime.engine.companions import MARKERS
from realtime.model import checkpoint
from realtime.reason import prompt
from realtime.records import LABELS, SAMPLE_RATE_HZ, Float32, UInt8
from train.command import run_command
from train.nano.tokenizer import train_tokenizer

VOCABULARY = 512


def write_model(folder: Path, *, seed: int = 0) -> Path:
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as qwen

    text = qwen.Qwen2_5OmniTextConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
    )  # fmt: skip
    vision = qwen.Qwen2_5OmniVisionEncoderConfig(
        depth=2, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=64, fullatt_block_indexes=[1],
        window_size=112, patch_size=14, spatial_merge_size=2, temporal_patch_size=2,
    )  # fmt: skip
    audio = qwen.Qwen2_5OmniAudioEncoderConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64, num_mel_bins=128, n_window=100,
        output_dim=64,
    )  # fmt: skip
    config = qwen.Qwen2_5OmniThinkerConfig(
        text_config=text, vision_config=vision, audio_config=audio, audio_token_index=500, image_token_index=501,
        video_token_index=502, position_id_per_seconds=25, seconds_per_chunk=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    folder.mkdir(parents=True, exist_ok=True)
    # The published files have the talker's markers, too, which nothing here reads.
    state = {
        checkpoint.published_name(key) or f"thinker.{key.removeprefix('model.')}": tensor.detach().clone()
        for key, tensor in model.state_dict().items()
    }
    save_file(state, folder / checkpoint.WEIGHTS, metadata={"format": "pt"})
    words = [
        prompt.prefix_text("omni", prompt.Question()),
        *(f"{tag} {label}" for tag in prompt.TAGS for label in LABELS),
    ]
    tokenizer = train_tokenizer(iter(words * 3), VOCABULARY)
    tokenizer.save(str(folder / "tokenizer.json"))
    markers = {name: tokenizer.token_to_id(token) for name, token in MARKERS.items()}
    whole = {"model_type": "qwen2_5_omni", "thinker_config": config.to_dict() | markers}
    (folder / "config.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return folder


def write_clips(folder: Path, n: int = 6) -> Path:
    """Write two-second clips: a drawn face that smiles or frowns a little, a buzzing voice. The last has no sound."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "speaker", "split"])
        for index in range(n):
            name = f"clip{index}.mp4"
            write_clip(folder / name, hue=index / n, pitch_hz=110 + 25 * index, silent=index == n - 1)
            rows.writerow([name, LABELS[index % 3], f"s{index % 2}", "train"])
    return folder


def write_clip(path: Path, *, hue: float, pitch_hz: float, silent: bool) -> None:
    rate, seconds = 10, 2
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=rate)
        video.width, video.height, video.pix_fmt = 160, 112, "yuv420p"
        sound = None if silent else out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for index in range(rate * seconds):
            frame = av.VideoFrame.from_ndarray(picture(hue, index / rate), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if sound is not None:
            samples_N = voice(pitch_hz, seconds)
            for start in range(0, samples_N.size, 1024):
                pcm = (samples_N[start : start + 1024] * 32767).astype(np.int16)
                part = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
                part.sample_rate, part.pts, part.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
                out.mux(sound.encode(part))
            out.mux(sound.encode())


def picture(hue: float, at_s: float) -> UInt8:
    """(112, 160, 3): an oval with eyes and a mouth, on a coloured ground. The face finder may or may not see a face."""
    y, x = np.mgrid[0:112, 0:160].astype(np.float32)
    rgb = np.empty((112, 160, 3), np.float32)
    rgb[:] = 90 + 80 * np.array([hue, 0.5, 1 - hue], np.float32)
    cx = 80 + 3 * np.sin(at_s)
    rgb[((x - cx) / 26) ** 2 + ((y - 56) / 36) ** 2 < 1] = (222, 178, 150)
    for eye in (-10, 10):
        rgb[((x - cx - eye) / 4) ** 2 + ((y - 46) / 2.5) ** 2 < 1] = (40, 30, 30)
    curve = 74 + (hue - 0.5) * ((x - cx) / 5) ** 2
    rgb[(abs(y - curve) < 1.5) & (abs(x - cx) < 12)] = (150, 50, 60)
    return rgb.clip(0, 255).astype(np.uint8)


def voice(pitch_hz: float, seconds: float) -> Float32:
    """(N,) harmonics with the rhythm of syllables, and pauses at both ends."""
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.2 * np.sin(4 * t))) / SAMPLE_RATE_HZ
    sound = sum(np.sin(k * phase) / k for k in range(1, 20))
    loud = (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)) * ((t > 0.2) & (t < seconds - 0.4))
    # Breath up to 8 kHz, as a voice has that did not come through a telephone.
    noise = np.random.default_rng(0).normal(0, 1, t.size) * (3e-4 + 0.02 * loud)
    samples_N: Float32 = (0.25 * sound * loud + noise).astype(np.float32)
    return samples_N


def main() -> None:
    parser = ProgramParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    out = parser.parse_args().out
    print(f"{write_model(out / 'model')} and {write_clips(out / 'clips')}")


if __name__ == "__main__":
    run_command(main, "train.tuning.tiny")
