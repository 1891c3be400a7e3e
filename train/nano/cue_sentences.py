"""Cues as sentences in the prompt, in place of cue tokens.

EmoChat's AU agent gives action units to a language model as text. Here the measurements and the experts' outputs become
a short sentence at the place of the cue tokens. A share of nano's training windows has such sentences, and the ablation
compares both ways (`train.evaluation.variants`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from realtime.evidence.cues import CUES
from realtime.evidence.tokens import CueSwitches, FaceFeatures, with_frame_cues, with_voice_cues
from realtime.evidence.voice import VOICE_VALUES
from realtime.model.experts import EXPERT_LABELS
from realtime.model.thinker import EmoThinker
from realtime.model.tokenizer import Vocabulary
from realtime.reason.measurements import AT_REST, CUE_WORDS, VOICE_WORDS, cue_told, degree, difference_told
from train.coet.measured import EXPRESSION

IN_WORDS = CueSwitches(measures=False, face_expert=False, voice_expert=False)
N_TOLD = 3
"Number of cues that are named: the strongest, as in a chain."


def face_words(face: FaceFeatures) -> str:
    """Describe a face: 'Brows clearly lowered, lips slightly pressed. The expression is angry or neutral.'"""
    intensities = dict(zip(CUES, face.measures_20[: len(CUES)].tolist(), strict=True))
    strongest = sorted(CUE_WORDS, key=lambda cue: -intensities[cue])[:N_TOLD]
    named = [(cue, degree(intensities[cue])) for cue in CUE_WORDS if cue in strongest]
    told = ", ".join(cue_told(cue, word) for cue, word in named if word) or AT_REST[0]
    return _sentence(told, "expression", face.verdict_7)


def voice_words(measures_11: Tensor, verdict_7: Tensor) -> str:
    """Describe a voice: 'Higher in pitch, much faster than usual. The voice is fearful.'"""
    relative = dict(zip(VOICE_VALUES, measures_11.tolist(), strict=False))
    told = [words for key in VOICE_WORDS if (words := difference_told(key, relative[key]))]
    return _sentence(", ".join(told) + " than usual" if told else "as usual for this voice", "voice", verdict_7)


def _sentence(told: str, what: str, verdict_7: Tensor) -> str:
    best, second = verdict_7.topk(2).indices.tolist()
    words = EXPRESSION[EXPERT_LABELS[best]][0]
    if float(verdict_7[best] - verdict_7[second]) < 1.0:  # less than e times as likely
        words = f"{words} or {EXPRESSION[EXPERT_LABELS[second]][0]}"
    return f"{told[0].upper()}{told[1:]}. The {what} is {words}."


def appended(
    model: EmoThinker, vocabulary: Vocabulary, x_ND: Tensor, positions_3N: Tensor, text: str
) -> tuple[Tensor, Tensor]:
    """Append a sentence to evidence; its positions count from the start of the evidence on every axis."""
    ids = torch.tensor(vocabulary.ids(text))
    steps = torch.arange(len(ids)).expand(3, -1)
    return torch.cat([x_ND, model.embed(ids)]), torch.cat([positions_3N, steps], dim=1)


def with_frame_words(
    model: EmoThinker,
    selected_ND: Tensor,
    order_N: Tensor,
    *,
    text_QD: Tensor,
    rows: int,
    columns: int,
    faces: Sequence[FaceFeatures],
    scene_3: Tensor,
    vocabulary: Vocabulary,
) -> tuple[Tensor, Tensor]:
    """Like `with_frame_cues`, with a sentence for each face."""
    x, positions = with_frame_cues(
        model,
        selected_ND,
        order_N,
        text_QD=text_QD,
        rows=rows,
        columns=columns,
        faces=faces,
        scene_3=scene_3,
        switches=IN_WORDS,
    )
    for face in faces:
        x, positions = appended(model, vocabulary, x, positions, face_words(face))
    return x, positions


def with_voice_words(
    model: EmoThinker,
    tokens_ND: Tensor,
    *,
    text_QD: Tensor,
    measures_11: Tensor,
    verdict_7: Tensor,
    vocabulary: Vocabulary,
) -> tuple[Tensor, Tensor]:
    """Like `with_voice_cues`, with a sentence for the voice."""
    x, positions = with_voice_cues(
        model, tokens_ND, text_QD=text_QD, measures_11=measures_11, verdict_7=verdict_7, switches=IN_WORDS
    )
    return appended(model, vocabulary, x, positions, voice_words(measures_11, verdict_7))
