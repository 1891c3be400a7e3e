"""Builds the tokens of one frame or utterance from tower outputs and measurements: selectors and cue projectors.

Training calls these functions with gradients and serving without, so that the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.cues import CUES
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.methods.emotion_tokens import EmotionTokens
from realtime.model.thinker import FACE_REGIONS, EmoThinker
from realtime.records import Float32, Scene, VoiceCues

MAX_FACES = 5
"Number of faces that the scene measures count up to."


@dataclass(frozen=True)
class FaceFeatures:
    """The measures from which the cue tokens of one face are projected."""

    measures_20: Tensor
    geometry_936: Tensor
    verdict_7: Tensor
    "Log-probabilities of the face expert."
    centre_in_view: tuple[float, float]
    "(x, y) of the face in 0–1 of the frame that the tower sees."


@dataclass(frozen=True)
class CueSwitches:
    """Which cues become tokens. All of them do in nano; each is a row of the ablations."""

    measures: bool = True
    face_expert: bool = True
    voice_expert: bool = True
    scene: bool = True


ALL_CUES = CueSwitches()


def face_measures(
    intensities: Mapping[str, float], pose_deg: Sequence[float], *, centre: tuple[float, float], height: float
) -> Float32:
    """(20,) cue intensities, pose in units of 45°, centre and height of the face in 0–1 of the camera's frame."""
    pose = [angle / 45.0 for angle in pose_deg]
    return np.array([*(intensities[name] for name in CUES), *pose, *centre, height], np.float32)


def voice_measures(cues: VoiceCues) -> Float32:
    """(11,) prosody relative to the voice's own baseline, and 1 where its usual is known, else 0."""
    return np.array([*(cues.relative[name] for name in VOICE_VALUES), float(cues.usual_known)], np.float32)


def scene_measures(scene: Scene, n_faces: int) -> Float32:
    """(3,) brightness, saturation, and number of faces / 5."""
    return np.array([scene.brightness, scene.saturation, min(n_faces, MAX_FACES) / MAX_FACES], np.float32)


def frame_tokens(
    model: EmoThinker,
    tokens_ND: Tensor,
    *,
    columns: int,
    focal_N: Tensor,
    keep_N: Tensor,
    text_QD: Tensor,
    faces: Sequence[FaceFeatures],
    scene_3: Tensor,
    switches: CueSwitches = ALL_CUES,
) -> tuple[Tensor, Tensor]:
    """Focal tokens, then kept background tokens, then cue tokens: (N', D), and their TMRoPE offsets (3, N').

    `tokens_ND` are in row order over the frame, `columns` per row.
    """
    if model.emotion.visual_selector is not None:
        tokens_ND = model.emotion.visual_selector(tokens_ND, text_QD, focal_N)
    order = torch.cat([torch.nonzero(focal_N)[:, 0], torch.nonzero(~focal_N & keep_N)[:, 0]])
    return with_frame_cues(
        model,
        tokens_ND[order],
        order,
        text_QD=text_QD,
        rows=tokens_ND.shape[0] // columns,
        columns=columns,
        faces=faces,
        scene_3=scene_3,
        switches=switches,
    )


def with_frame_cues(
    model: EmoThinker,
    selected_ND: Tensor,
    order_N: Tensor,
    *,
    text_QD: Tensor,
    rows: int,
    columns: int,
    faces: Sequence[FaceFeatures],
    scene_3: Tensor,
    switches: CueSwitches = ALL_CUES,
) -> tuple[Tensor, Tensor]:
    """Selected tokens, whose numbers in the frame are `order_N`, then cue tokens at the positions of their faces.

    `text_QD` embeds the question, which the emotion tokens follow.
    """
    emotion = model.emotion
    parts = [selected_ND]
    token_rows, token_columns = order_N // columns, order_N % columns
    positions = [torch.stack([torch.zeros_like(token_rows), token_rows, token_columns])]
    if emotion.face_expert is not None:
        for face in faces:
            place = torch.tensor(
                [0, grid_place(face.centre_in_view[1], rows), grid_place(face.centre_in_view[0], columns)]
            )[:, None]
            if switches.measures:
                shape = emotion.geometry(face.geometry_936).clamp(-4, 4)
                measured = [emotion.face_regions[name](face.measures_20[part]) for name, part in FACE_REGIONS.items()]
                token = emotion.face_shape(shape)
                if emotion.action_units is not None:
                    # Added, not appended: a token of zeros would still be attended to.
                    token = token + emotion.action_units(shape)
                parts.append(torch.stack([*measured, token]))
                positions.append(place.expand(3, len(measured) + 1))
            if switches.face_expert:
                parts.append(emotion.face_verdict(face.verdict_7)[None])
                positions.append(place)
        if switches.scene:
            parts.append(emotion.scene_measures(scene_3)[None])
            positions.append(torch.zeros(3, 1, dtype=torch.long))
    x = with_emotion_tokens(emotion.face_tokens, torch.cat(parts), selected_ND, text_QD)
    return x, torch.cat(positions, dim=1)


def with_emotion_tokens(maker: EmotionTokens | None, x_ND: Tensor, read_ND: Tensor, text_QD: Tensor) -> Tensor:
    """(N, D) tokens of a frame or utterance, with what the emotion tokens of `read_ND` say added to the last one."""
    if maker is None or not read_ND.shape[0]:
        return x_ND
    return torch.cat([x_ND[:-1], x_ND[-1:] + maker.added(read_ND, text_QD)])


def grid_place(share: float, n: int) -> int:
    """The row or column, of `n`, at a position in 0–1."""
    return min(max(int(share * n), 0), n - 1)


def speech_tokens(
    model: EmoThinker,
    tokens_ND: Tensor,
    *,
    text_QD: Tensor,
    measures_11: Tensor,
    verdict_7: Tensor,
    switches: CueSwitches = ALL_CUES,
) -> tuple[Tensor, Tensor]:
    """Audio tokens conditioned on the text, then cue tokens: (N', D), and offsets (3, N') from their start."""
    if model.emotion.audio_extractor is not None:
        tokens_ND = model.emotion.audio_extractor(tokens_ND, text_QD)
    return with_voice_cues(
        model, tokens_ND, text_QD=text_QD, measures_11=measures_11, verdict_7=verdict_7, switches=switches
    )


def with_voice_cues(
    model: EmoThinker,
    tokens_ND: Tensor,
    *,
    text_QD: Tensor,
    measures_11: Tensor,
    verdict_7: Tensor,
    switches: CueSwitches = ALL_CUES,
) -> tuple[Tensor, Tensor]:
    """Audio tokens from the extractor, then cue tokens, and their offsets, as in `speech_tokens`."""
    emotion = model.emotion
    parts = [tokens_ND]
    if emotion.voice_measures is not None and switches.measures:
        parts.append(emotion.voice_measures(measures_11)[None])
    if emotion.voice_expert is not None and switches.voice_expert:
        parts.append(emotion.voice_verdict(verdict_7)[None])
    x = with_emotion_tokens(emotion.voice_tokens, torch.cat(parts), tokens_ND, text_QD)
    last = max(tokens_ND.shape[0] - 1, 0)
    steps = torch.cat([torch.arange(tokens_ND.shape[0]), torch.full((x.shape[0] - tokens_ND.shape[0],), last)])
    return x, steps.expand(3, -1)
