"""Shapes of nano, the checkpoint in the package: Qwen2.5-Omni's architecture with about 11 million parameters."""

from __future__ import annotations

from typing import Any

HIDDEN = 256
VOCABULARY = 1536
FACE_GEOMETRY = 32
SELECTOR_DIM = 64
VOICE_WIDTH = 400


def config(vocabulary: int = VOCABULARY) -> dict[str, Any]:
    """The content of `config.json`, in the published layout of a Thinker without Talker."""
    return {
        "model_type": "qwen2_5_omni_thinker",
        "architectures": ["Qwen2_5OmniThinkerForConditionalGeneration"],
        "position_id_per_seconds": 25,
        "seconds_per_chunk": 2,
        "tie_word_embeddings": False,
        "text_config": {
            "vocab_size": vocabulary,
            "hidden_size": HIDDEN,
            "intermediate_size": 896,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]},
        },
        "vision_config": {
            "depth": 4,
            "hidden_size": 192,
            "intermediate_size": 576,
            "num_heads": 4,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1, 3],
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
        },
        "audio_config": {
            "d_model": 384,
            "encoder_layers": 4,
            "encoder_attention_heads": 6,
            "encoder_ffn_dim": 1536,
            "num_mel_bins": 80,
            "n_window": 100,
            "output_dim": HIDDEN,
        },
    }


def emotion(n_statistics: int) -> dict[str, Any]:
    """The content of `emothinker.json`. `n_statistics`: prosody statistics that the voice expert reads."""
    return {
        "selector_dim": SELECTOR_DIM,
        "face_geometry": FACE_GEOMETRY,
        "voice_statistics": n_statistics,
        "voice_width": VOICE_WIDTH,
        "ring": True,
        "chain_form": "evidence_first",
        "frame_px": 224,
        "grey_face_px": 96,
        "dilation_patches": 2,
        "drop": 0.2,
        "prompt": "nano",
    }
