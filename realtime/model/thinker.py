"""One module that holds every weight of a checkpoint, under the published names.

thinker.visual.*  thinker.audio_tower.*  thinker.model.*  thinker.lm_head.*      Qwen2.5-Omni's own
emotion.*                                                                        what EmoThinker adds
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realtime.model.audio import AudioTower
from realtime.model.config import ModelConfig
from realtime.model.experts import EXPERT_LABELS, VoiceExpert
from realtime.model.face_expert import FaceExpert
from realtime.model.language import LanguageModel
from realtime.model.methods.action_units import ActionUnitAgent
from realtime.model.methods.compressor import HybridMerger
from realtime.model.methods.correlation import CorrelationAggregator
from realtime.model.methods.emotion_tokens import EmotionTokens
from realtime.model.selectors import AudioExtractor, CueProjector, VisualSelector
from realtime.model.vision import VisionTower

FACE_REGIONS = {"upper": slice(0, 4), "middle": slice(4, 8), "lower": slice(8, 14), "pose": slice(14, 20)}
"""Cue token → its slice of a face's 20 measures. These are brows and lids, cheeks to upper lip, and mouth (with closed
eyes), in the order of `cues.CUES`; then head pose (3), and the face's centre and height in the camera's frame (3)."""
N_VOICE_MEASURES = 11
"""Prosody measures relative to the voice's own baseline, in the order of `VOICE_VALUES`, and whether its usual is
known."""
N_SCENE_MEASURES = 3
"Number of scene measures: brightness, saturation, number of faces / 5."
SHARE, POSE, SPREADS, LOG_PROBABILITY = (0.0, 1.0), (-1.0, 1.0), (-3.0, 3.0), (-5.0, 0.0)
"""Ranges of the measures: intensities; pose in units of 45° and place; spreads from the baseline; an expert's
log-probabilities (all below −5 mean "no": the tail of an expert is noise)."""


class OmniThinker(nn.Module):
    """Qwen2.5-Omni's Thinker: towers, language model and head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.visual = VisionTower(config.vision)
        self.audio_tower = AudioTower(config.audio)
        self.model = LanguageModel(config.text)
        self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        if config.text.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight


class Emotion(nn.Module):
    """EmoThinker's additions: selectors, cue projectors, experts, and what another method adds.

    Parts that a checkpoint does not have are None.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, emotion = config.text.hidden_size, config.emotion
        self.visual_selector = VisualSelector(dim, emotion.selector_dim) if emotion.selector_dim else None
        self.audio_extractor = AudioExtractor(dim, emotion.selector_dim) if emotion.selector_dim else None
        self.hybrid = HybridMerger(config.vision) if emotion.method == "hybrid" else None
        self.action_units: ActionUnitAgent | None = None
        self.face_tokens: EmotionTokens | None = None
        self.voice_tokens: EmotionTokens | None = None
        if emotion.has("emotion_tokens"):
            gated = emotion.has("keep_gate")
            self.face_tokens = EmotionTokens(dim, emotion.selector_dim, gated=gated)
            self.voice_tokens = EmotionTokens(dim, emotion.selector_dim, gated=gated)
        has = emotion.has("correlation")
        self.correlation = CorrelationAggregator(dim, emotion.selector_dim) if has else None
        self.face_expert: FaceExpert | None = None
        self.voice_expert: VoiceExpert | None = None
        self.voice_measures: CueProjector | None = None
        if emotion.face_geometry:
            self.face_expert = FaceExpert()
            self.register_buffer("geometry_mean", torch.zeros(936))
            self.register_buffer("geometry_basis", torch.zeros(936, emotion.face_geometry))
            self.face_regions = nn.ModuleDict(
                {
                    name: CueProjector(part.stop - part.start, dim, bounds=POSE if name == "pose" else SHARE)
                    for name, part in FACE_REGIONS.items()
                }
            )
            self.face_shape = CueProjector(emotion.face_geometry, dim)
            if emotion.has("action_units"):
                self.action_units = ActionUnitAgent(emotion.face_geometry, dim)
            self.face_verdict = CueProjector(len(EXPERT_LABELS), dim, bounds=LOG_PROBABILITY)
            self.scene_measures = CueProjector(N_SCENE_MEASURES, dim, bounds=SHARE)
        if emotion.voice_statistics:
            self.voice_measures = CueProjector(N_VOICE_MEASURES, dim, bounds=SPREADS)
        if emotion.voice_width:
            n_layers = 2 * config.audio.encoder_layers * config.audio.d_model
            self.voice_expert = VoiceExpert(n_layers + emotion.voice_statistics, emotion.voice_width)
            self.voice_verdict = CueProjector(len(EXPERT_LABELS), dim, bounds=LOG_PROBABILITY)
        self.geometry_mean: Tensor
        self.geometry_basis: Tensor

    def geometry(self, aligned_N936: Tensor) -> Tensor:
        """(…, 936) aligned landmarks → (…, G) whitened mesh components."""
        return (aligned_N936 - self.geometry_mean) @ self.geometry_basis


class EmoThinker(nn.Module):
    """The whole checkpoint: `thinker` and `emotion`. Attribute names are those of the stored tensors."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.thinker = OmniThinker(config)
        self.emotion = Emotion(config)

    @property
    def device(self) -> torch.device:
        return self._always_there.device

    @property
    def dtype(self) -> torch.dtype:
        return self._always_there.dtype

    @property
    def _always_there(self) -> Tensor:
        """A weight that is in full precision, whatever the products are kept in."""
        return self.thinker.model.norm.weight

    def embed(self, ids: Tensor) -> Tensor:
        """(…, D) embeddings of token ids."""
        return self.thinker.model.embed_tokens(ids)  # type: ignore[no-any-return]
