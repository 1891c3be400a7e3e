"""The files that a published folder has beside its weights, held to what is computed here.

    preprocessor_config.json    how sound and pictures become a tower's input (`towers/preprocess.py`)
    chat_template.*             how a conversation is written (`reason/prompt.py`)
    generation_config.json      the token that ends an answer

A model that reads other features, or another conversation, than it was trained on answers wrongly and never fails. So
what a folder says otherwise is refused. A folder without these files is taken as it is: all that our own tools write
is of this kind. The numbers of its special tokens are those of `config.json`, which transformers reads, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.config import ModelConfig
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.records import SAMPLE_RATE_HZ
from realtime.towers import preprocess

PROCESSORS = "preprocessor_config.json"
GENERATION = "generation_config.json"
CHATML = ("<|im_start|>", prompt.END_OF_TURN)
MARKERS = {
    "audio_start_token_id": prompt.AUDIO_START,
    "audio_end_token_id": prompt.AUDIO_END,
    "vision_start_token_id": prompt.VISION_START,
    "vision_end_token_id": prompt.VISION_END,
}
"Settings of the Thinker's `config.json`, and the token that each numbers."
NEAR = 1e-4
"Means and deviations of colours are published with eight digits, and by some with five."
OTHER = "Name the folder of a Qwen2.5-Omni as it was published, or fetch this file again."


def require_alike(folder: Path, config: ModelConfig, vocabulary: Vocabulary) -> None:
    """Raises BadModel for the first thing that a file beside the weights says and that is done otherwise here."""
    for file, name, found, here in _differences(folder, config, vocabulary):
        raise BadModel(f"{file} in {folder} says {name} {found}; here it is {here}.", hint=OTHER)
    template = checkpoint.chat_template(folder)
    if template and not all(mark in template for mark in CHATML):
        raise BadModel(
            f"{folder} converses in a format of its own; our prompts are written in ChatML ({' … '.join(CHATML)}).",
            hint=OTHER,
        )


def _differences(
    folder: Path, config: ModelConfig, vocabulary: Vocabulary
) -> Iterator[tuple[str, str, object, object]]:
    """File, setting, what it says, and what is done here."""
    said = checkpoint.read_json(folder / "config.json")
    said = said.get("thinker_config", said)
    for name, token in MARKERS.items():
        if name in said and said[name] != vocabulary.id_of(token):
            yield "config.json", name, said[name], vocabulary.id_of(token)
    processors = _settings(folder / PROCESSORS)
    for name, here in _computed(config).items():
        if name in processors and not _alike(processors[name], here):
            yield PROCESSORS, name, processors[name], here
    ends = _settings(folder / GENERATION).get("eos_token_id")
    end = vocabulary.id_of(prompt.END_OF_TURN)
    if ends is not None and end not in (ends if isinstance(ends, list) else [ends]):
        yield GENERATION, "eos_token_id", ends, end


def _settings(path: Path) -> Mapping[str, Any]:
    return checkpoint.read_json(path) if path.is_file() else {}


def _computed(config: ModelConfig) -> dict[str, object]:
    """What the towers' inputs are computed with, under the names of transformers' processors."""
    return {
        "feature_size": config.audio.num_mel_bins,
        "sampling_rate": SAMPLE_RATE_HZ,
        "hop_length": preprocess.HOP_SAMPLES,
        "n_fft": preprocess.FFT_SAMPLES,
        "dither": 0.0,
        "patch_size": preprocess.PATCH_PX,
        "merge_size": preprocess.MERGE,
        "temporal_patch_size": config.vision.temporal_patch_size,
        "image_mean": preprocess.CLIP_MEAN.tolist(),
        "image_std": preprocess.CLIP_STD.tolist(),
    }


def _alike(said: object, here: object) -> bool:
    if isinstance(said, list) and isinstance(here, list):
        return len(said) == len(here) and all(_alike(a, b) for a, b in zip(said, here, strict=True))
    if isinstance(said, int | float) and isinstance(here, int | float):
        return abs(said - here) < NEAR
    return said == here
