"""The same weights in plain transformers: each answer encodes and prefills its whole window anew.

Every frame of the window and its speech go through the towers, everything is prefilled, then `generate` decodes. It has
less to do than our engine, with neither a face mesh nor token selection. Needs transformers (the `train` extra).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from realtime.engine.loading import LoadedModel
from realtime.model.config import ModelConfig
from realtime.reason import prompt
from realtime.reason.sequence import text_positions
from realtime.records import Question, SpeechSegment, VideoFrame
from realtime.towers import preprocess

NOT_OURS = ("positional_embedding", "positional_embedding.weight", "audio_bos_eos_token.weight")
"Weights that our checkpoints lack: a fixed table, and a weight of the talker."
TOKENS_OF_A_WORD = 2
TOKENS_TIMED = 32


class PlainModel:
    """The model in plain transformers. Raises ImportError where transformers is not installed."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._device, self._dtype = model.weights.device, model.weights.dtype
        self._plain = plain_thinker(model).to(self._device, self._dtype)
        self._vocabulary = model.thinker.vocabulary

    @torch.inference_mode()
    def label(self, frames: Sequence[VideoFrame], segment: SpeechSegment, question: Question) -> str:
        """Encode and prefill the window; return the label whose first token is most likely."""
        x, positions = self._window(frames, segment, question, prompt.LABEL_TAG)
        hidden = self._plain.model.language_model(inputs_embeds=x, position_ids=positions, use_cache=True)
        logits = self._plain.lm_head(hidden.last_hidden_state[:, -1])[0]
        first = {label: self._vocabulary.ids(label)[0] for label in question.labels}
        return max(first, key=lambda label: float(logits[first[label]]))

    @torch.inference_mode()
    def write(self, frames: Sequence[VideoFrame], segment: SpeechSegment, question: Question, n_tokens: int) -> float:
        """Encode and prefill the window and decode `n_tokens` of the chain; return the seconds that took."""
        began_s = time.perf_counter()
        x, positions = self._window(frames, segment, question, f"<{prompt.SECTIONS[0]}>")
        self._plain.generate(
            inputs_embeds=x,
            position_ids=positions,
            attention_mask=torch.ones(x.shape[:2], dtype=torch.long, device=self._device),
            max_new_tokens=n_tokens,
            min_new_tokens=n_tokens,
            do_sample=False,
            pad_token_id=0,
        )
        return time.perf_counter() - began_s

    def _window(
        self, frames: Sequence[VideoFrame], segment: SpeechSegment, question: Question, opening: str
    ) -> tuple[Tensor, Tensor]:
        """Embeddings (1, T, D) and positions (3, 1, T) of trunk, evidence and branch."""
        config = self._model.weights.config
        prefix = self._ids(prompt.prefix_text(config.emotion.prompt, question))
        base, parts = prefix.shape[0], [prefix]
        places = [text_positions(base, 0)]
        views = [self._view(frame) for frame in frames]
        rows, columns = (side // preprocess.PATCH_PX for side in views[0].shape[1:])
        grids = torch.tensor([[1, rows, columns]] * len(views), device=self._device)
        patches = torch.cat([preprocess.patchify(view) for view in views]).to(self._device, self._dtype)
        seen = self._plain.model.visual(patches, grid_thw=grids)
        start_s = min(frames[0].at_s, segment.start_s)
        for frame, tokens in zip(frames, seen.pooler_output.chunk(len(views)), strict=True):
            t = base + round((frame.at_s - start_s) * config.position_id_per_seconds)
            number = torch.arange(tokens.shape[0])
            parts.append(tokens)
            spread = torch.stack([torch.zeros_like(number), number // (columns // 2), number % (columns // 2)])
            places.append(spread + torch.tensor([[t], [base], [base]]))
        mel = torch.from_numpy(preprocess.log_mel(segment.samples_N, config.audio.num_mel_bins))
        mel = mel.to(self._device, self._dtype)
        lengths = torch.tensor([mel.shape[1]], device=self._device)
        sound = self._plain.model.audio_tower(mel, feature_lens=lengths).last_hidden_state
        parts.append(sound)
        t = base + round((segment.start_s - start_s) * config.position_id_per_seconds)
        places.append(text_positions(sound.shape[0], t))
        state = prompt.branch_text(n_faces=1, has_picture=True, has_speech=True, opening=opening)
        parts.append(self._ids(state))
        places.append(text_positions(parts[-1].shape[0], 1 + max(int(place.max()) for place in places)))
        return torch.cat(parts)[None], torch.cat(places, 1)[:, None].to(self._device)

    def _ids(self, text: str) -> Tensor:
        return self._model.weights.embed(torch.tensor(self._vocabulary.ids(text), device=self._device))

    def _view(self, frame: VideoFrame) -> Tensor:
        emotion = self._model.weights.config.emotion
        if not emotion.grey_face_px:
            return preprocess.whole_frame(frame.rgb_HW3, emotion.frame_px)
        height, width = frame.rgb_HW3.shape[:2]
        region = preprocess.people_region(
            (), height=height, width=width, face_px=emotion.grey_face_px, frame_px=emotion.frame_px
        )
        return preprocess.cut_region(preprocess.to_grey(frame.rgb_HW3), region, emotion.frame_px)


def plain_thinker(model: LoadedModel) -> Any:
    """transformers' own Qwen2.5-Omni Thinker with our weights, in evaluation mode."""
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    plain: Any = Qwen2_5OmniThinkerForConditionalGeneration(plain_config(model.weights.config))
    state = {theirs(key): value for key, value in model.weights.thinker.state_dict().items()}
    missing = plain.load_state_dict(state, strict=False).missing_keys
    assert all(key.endswith(NOT_OURS) for key in missing), missing
    return plain.eval().requires_grad_(False)


def theirs(key: str) -> str:
    """The name in transformers of one of our Thinker's weights."""
    if key.startswith("model."):
        return f"model.language_model.{key.removeprefix('model.')}"
    return key if key.startswith("lm_head") else f"model.{key}"


def plain_config(config: ModelConfig) -> Any:
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as c

    text, vision, audio = config.text, config.vision, config.audio
    return c.Qwen2_5OmniThinkerConfig(
        text_config=c.Qwen2_5OmniTextConfig(
            vocab_size=text.vocab_size,
            hidden_size=text.hidden_size,
            intermediate_size=text.intermediate_size,
            num_hidden_layers=text.num_hidden_layers,
            num_attention_heads=text.num_attention_heads,
            num_key_value_heads=text.num_key_value_heads,
            rms_norm_eps=text.rms_norm_eps,
            tie_word_embeddings=text.tie_word_embeddings,
            max_position_embeddings=32_768,
            rope_parameters={
                "rope_type": "default",
                "rope_theta": text.rope_theta,
                "mrope_section": list(text.mrope_section),
            },
        ),
        vision_config=c.Qwen2_5OmniVisionEncoderConfig(
            depth=vision.depth,
            hidden_size=vision.hidden_size,
            intermediate_size=vision.intermediate_size,
            num_heads=vision.num_heads,
            out_hidden_size=vision.out_hidden_size,
            fullatt_block_indexes=list(vision.fullatt_block_indexes),
            window_size=vision.window_size,
            patch_size=vision.patch_size,
            spatial_merge_size=vision.spatial_merge_size,
            temporal_patch_size=vision.temporal_patch_size,
        ),
        audio_config=c.Qwen2_5OmniAudioEncoderConfig(
            d_model=audio.d_model,
            encoder_layers=audio.encoder_layers,
            encoder_attention_heads=audio.encoder_attention_heads,
            encoder_ffn_dim=audio.encoder_ffn_dim,
            num_mel_bins=audio.num_mel_bins,
            n_window=audio.n_window,
            output_dim=audio.output_dim,
        ),
        position_id_per_seconds=config.position_id_per_seconds,
        tie_word_embeddings=text.tie_word_embeddings,
    )
