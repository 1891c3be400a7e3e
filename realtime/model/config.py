"""Shapes of a checkpoint: Qwen2.5-Omni's own `config.json`, and EmoThinker's additions in `emothinker.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_type_hints

T = TypeVar("T")
ChainForm = Literal["plain", "first_look", "evidence_first"]
"What a chain is written from (`reason/parts.py`)."
Method = Literal["emothinker", "hybrid", "emochat"]
"""Which parts a model has: EmoThinker's, or also a second merger (`methods/compressor.py`), or those of our reading of
EmoChat (`EmoChatPart`)."""
EmoChatPart = Literal["action_units", "emotion_tokens", "keep_gate", "correlation"]
"""The agent for action units (`methods/action_units.py`), the emotion tokens (`methods/emotion_tokens.py`) with their
gate, without which all are kept, and the aggregator of voice and words (`methods/correlation.py`)."""
Selection = Literal["fixed", "adaptive"]
"How the share of dropped background tokens is chosen (`methods/selection.py`)."

EMOTION_CONFIG = "emothinker.json"
"The file beside `config.json` with EmoThinker's additions."
ADAPTER_CONFIG = "adapter_config.json"
"The file that PEFT writes into the folder of an adapter."


NUMBERS: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float)}
"The JSON types that a numeric field accepts."


def pick(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build the dataclass `kind` from the keys it knows. Other keys are ignored: the published files have many more.

    Raises TypeError for a value of another type.
    """
    hints = get_type_hints(kind)
    given = {key: value for key, value in values.items() if key in hints}
    for key, value in given.items():
        if hints[key] in NUMBERS and (isinstance(value, bool) or not isinstance(value, NUMBERS[hints[key]])):
            raise TypeError(f"{key} is {str(value)[:40]!r}, expected a number")
        if (allowed := get_args(hints[key])) and isinstance(allowed[0], str) and value not in allowed:
            raise TypeError(f"{key} is {str(value)[:40]!r}, expected one of {', '.join(allowed)}")
    return kind(**given)


@dataclass(frozen=True)
class VisionConfig:
    """`thinker_config.vision_config`."""

    depth: int = 32
    hidden_size: int = 1280
    intermediate_size: int = 3420
    num_heads: int = 16
    out_hidden_size: int = 2048
    fullatt_block_indexes: tuple[int, ...] = (7, 15, 23, 31)
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2
    window_size: int = 112
    in_channels: int = 3


@dataclass(frozen=True)
class AudioConfig:
    """`thinker_config.audio_config`."""

    num_mel_bins: int = 128
    encoder_layers: int = 32
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    d_model: int = 1280
    n_window: int = 100
    output_dim: int = 2048
    max_source_positions: int = 1500


@dataclass(frozen=True)
class TextConfig:
    """`thinker_config.text_config`, or the shapes of another text backbone (`backbone.py`)."""

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 11008
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int = 2
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    rope_theta: float = 1_000_000.0
    mrope_section: tuple[int, ...] = (16, 24, 24)
    "Frequencies that turn with time, row and column. Empty: all turn with time, which is plain RoPE for text."
    qkv_bias: bool = True
    "Whether queries, keys and values have a bias: Qwen2's have, Llama's have not."
    head_width: int = 0
    "Width of a head where it is not `hidden_size / num_attention_heads`."

    @property
    def head_dim(self) -> int:
        return self.head_width or self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class Calibration:
    """Temperatures and biases by modality state, fitted on validation people (`train.nano.calibrate`)."""

    fast: Mapping[str, float] = field(default_factory=dict)
    "Temperature for 'both', 'face', 'voice', 'none', and for what the 'words' alone say; 1.0 where absent."
    bias: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    "By state, what is added to the log-score of each trained label. Not used for other label sets."
    alone: Mapping[str, float] = field(default_factory=dict)
    "Weights of the log-scores of 'face' and of 'voice' alone, added to those of both where there are both."
    chain: Mapping[str, float] = field(default_factory=dict)
    """`bonus` is added to the log-probability of the label that the chain names. `fast` and `judged` weigh the fast
    label and what was judged after an evidence-first chain's texts."""
    words: Mapping[str, float] = field(default_factory=dict)
    """In place of `chain` where the judgement read what was said, if fitted. `decide` is how much of what is neutral
    goes to what the words alone say."""
    at_most: Mapping[str, float] = field(default_factory=dict)
    """By what a window has ('face', 'voice', 'both', or 'apart' where face and voice disagree), the largest probability
    that is told: the share of the surest validation windows that was right (`train.tuning.surest`)."""
    unsure_below: float = 0.0
    "A label whose calibrated probability is lower is published as 'unsure'."

    def after_texts(self, *, words: bool) -> Mapping[str, float]:
        """The weights of the fast label and of what was judged, with words or without."""
        return self.words if words and self.words else self.chain


@dataclass(frozen=True)
class EmotionConfig:
    """`emothinker.json`: what this project adds to a Qwen2.5-Omni checkpoint. Absent file: all off."""

    method: Method = "emothinker"
    "Which method the checkpoint is of (`realtime/model/methods`)."
    emochat: tuple[EmoChatPart, ...] = ("action_units",)
    "Which parts a checkpoint of `emochat` has. Those of earlier versions have the agent alone."
    selector_dim: int = 0
    "Width of the selectors' attention; 0: no selector, tokens pass untouched."
    face_geometry: int = 0
    "Mesh components of the geometry cue token; 0: no cue tokens from faces."
    voice_statistics: int = 0
    "Number of prosody statistics that are measured of a voice; 0: no cue tokens from voices."
    voice_width: int = 0
    """Width of the voice expert's own space; 0: no voice expert. It is fitted to one audio tower's layers, and is of no
    use with another."""
    ring: bool = False
    "Whether evidence chunks attended to the prompt prefix and themselves only in training; else attention is causal."
    chain_form: ChainForm = "plain"
    "How chains were written in training (`reason/parts.py`)."
    frame_px: int = 448
    "Longest side of the frame that the vision tower sees."
    grey_face_px: int = 0
    "Above 0: frames are grey, square and framed around the people so that a face is about this wide (nano)."
    dilation_patches: int = 8
    "λ: face boxes grow by λ·patch pixels on each side to form the focal area."
    drop: float = 0.2
    "δ: share of background tokens dropped at random."
    selection: Selection = "fixed"
    "`fixed`: each frame drops δ; `adaptive`: the share follows the content, and δ is its mean."
    words: bool = False
    "Whether the judgement of an evidence-first chain reads what was said, where that is known."
    measured: bool = False
    """Whether the parts of an evidence-first chain that describe face and voice are told in words what was measured
    (`reason/measurements.py`)."""
    questions: bool = True
    """Whether a person's own question is left to its chain. Where it is not, and nano gives the labels, nano's chain
    answers (`engine/pair.py`). For a model whose answers were measured and found wrong."""
    prompt: str = "omni"
    "Which wording of the prompt the checkpoint was trained with (`reason/prompt.py`); `STOCK_PROMPT` for none."
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        if self.selection == "adaptive" and not self.selector_dim:
            raise ValueError("selection is adaptive in emothinker.json, which needs selectors: selector_dim is 0")
        if self.words and self.chain_form != "evidence_first":
            raise ValueError("words is true in emothinker.json, which needs chain_form to be evidence_first")
        if self.measured and self.chain_form != "evidence_first":
            raise ValueError("measured is true in emothinker.json, which needs chain_form to be evidence_first")
        if unknown := [part for part in self.emochat if part not in get_args(EmoChatPart)]:
            known = ", ".join(get_args(EmoChatPart))
            raise ValueError(f"emochat names {str(unknown[0])[:40]!r} in emothinker.json, expected some of {known}")
        if self.has("action_units") and not self.face_geometry:
            raise ValueError("method is emochat in emothinker.json, which needs a mesh: face_geometry is 0")
        for part in ("emotion_tokens", "correlation"):
            if self.has(part) and not self.selector_dim:
                raise ValueError(f"emochat has {part} in emothinker.json, which needs a width: selector_dim is 0")

    def has(self, part: EmoChatPart) -> bool:
        """Whether the checkpoint is of `emochat` with this part."""
        return self.method == "emochat" and part in self.emochat

    @property
    def open_labels(self) -> bool:
        """Whether it can score labels that it was not trained with.

        A general language model knows their words. nano's was trained on chains alone, and its label branches on its
        seven labels: any other words get shares that mean nothing.
        """
        return self.prompt != "nano"

    @property
    def stock(self) -> bool:
        """Whether the model is as Qwen published it, never trained on our chain and labels."""
        return self.prompt == STOCK_PROMPT


STOCK_PROMPT = "stock"
STOCK = EmotionConfig(prompt=STOCK_PROMPT, calibration=Calibration(unsure_below=0.3))
"""What holds for a checkpoint without `emothinker.json`. Its threshold is twice the chance of seven labels: nothing was
fitted, since nobody has measured such a model yet."""


@dataclass(frozen=True)
class ModelConfig:
    """All shapes of a checkpoint."""

    vision: VisionConfig
    audio: AudioConfig
    text: TextConfig
    emotion: EmotionConfig
    position_id_per_seconds: int = 25

    @staticmethod
    def parse(config: Mapping[str, Any], emotion: Mapping[str, Any] | None = None) -> ModelConfig:
        """Read Qwen2.5-Omni's config (whole, or the Thinker's alone). Without `emotion` the model is a stock one.

        Raises KeyError with the missing section.
        """
        thinker = config.get("thinker_config", config)
        text = dict(thinker["text_config"])
        rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
        text["mrope_section"] = tuple(rope.get("mrope_section", (16, 24, 24)))
        text["rope_theta"] = float(rope.get("rope_theta") or text.get("rope_theta") or 1_000_000.0)
        vision = dict(thinker["vision_config"])
        vision["fullatt_block_indexes"] = tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31)))
        extra = dict(emotion or {})
        if extra.pop("first_look", False):
            extra["chain_form"] = "first_look"  # checkpoints from before there was another form
        if "emochat" in extra:
            extra["emochat"] = tuple(extra["emochat"])
        extra["calibration"] = pick(Calibration, extra.get("calibration", {}))
        return ModelConfig(
            vision=pick(VisionConfig, vision),
            audio=pick(AudioConfig, thinker["audio_config"]),
            text=pick(TextConfig, text),
            emotion=STOCK if emotion is None else pick(EmotionConfig, extra),
            position_id_per_seconds=int(thinker.get("position_id_per_seconds", 25)),
        )


PUBLISHED_SHAPES = {
    "3B": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
           "num_key_value_heads": 2, "vocab_size": 151936},
    "7B": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152064},
}  # fmt: skip
"`config.json` of Qwen/Qwen2.5-Omni-3B and -7B; the rest of the shapes are `VisionConfig`'s and `AudioConfig`'s own."


def published_config(shapes: str) -> dict[str, Any]:
    """`config.json` of the published checkpoint."""
    hidden = PUBLISHED_SHAPES[shapes]["hidden_size"]
    return {
        "model_type": "qwen2_5_omni",
        "thinker_config": {
            "text_config": dict(PUBLISHED_SHAPES[shapes]),
            "vision_config": {"out_hidden_size": hidden},
            "audio_config": {"output_dim": hidden},
        },
    }
