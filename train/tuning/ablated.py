"""Evidence of annotated clips as a row of the ablation table has it, so that the row can be trained, too.

A row has the same name in training and in evaluation (`train/evaluation/variants.py`): `--variant "F + B"` of
`train.warmup` and `train.lora` trains what `train.evaluate --variant "F + B"` measures. The chains stay as they were
annotated; only what they are learnt from changes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from realtime.model.config import EmotionConfig
from realtime.model.selectors import focal_mask
from realtime.towers import preprocess
from train.evaluation.variants import TABLE, Variant, varied_config
from train.readers.perceived import FrameSeen, Perceived

TRAINABLE = tuple(each.name for rows in TABLE.values() for each in rows if not each.words and each.towers)
"Rows that can be trained. Measurements in words are those of `--measured`, and zeros teach nothing."


def without(perceived: Perceived, variant: Variant) -> Perceived:
    """The clip without pictures, or without speech, where the row has none."""
    if "F" not in variant.parts and "B" not in variant.parts:
        perceived = replace(perceived, frames=(), window=replace(perceived.window, frames=()))
    if "A" not in variant.parts:
        perceived = replace(perceived, speech=(), window=replace(perceived.window, speech=()))
    return perceived


def focal_of(frame: FrameSeen, variant: Variant) -> Tensor:
    """(N,) bool, the focal area of a frame with the row's margin around faces."""
    if variant.dilation is None:
        return frame.focal_N
    seen = frame.evidence.map
    assert seen is not None
    region = seen.region
    boxes = tuple(preprocess.into_region(face.box, region, height=1, width=1) for face in frame.evidence.faces)
    margin_px = variant.dilation * preprocess.PATCH_PX
    return focal_mask(boxes, rows=seen.rows, columns=seen.columns, token_px=preprocess.TOKEN_PX, dilation_px=margin_px)


def kept_tokens(x_ND: Tensor, offsets_3N: Tensor, n_focal: int, variant: Variant) -> tuple[Tensor, Tensor]:
    """The tokens of a frame without the focal ones, which come first, where the row has none."""
    first = 0 if "F" in variant.parts else n_focal
    return x_ND[first:], offsets_3N[:, first:]


def emotion_of(emotion: EmotionConfig, variant: Variant) -> EmotionConfig:
    """How much background the row drops. The margin is not part of it: clips are kept as the model perceives them."""
    return replace(varied_config(emotion, variant), dilation_patches=emotion.dilation_patches)


def attention_noise(scores_BMQ: Tensor) -> Tensor:
    """(B, M) by which background tokens are dropped, lowest first: the attention of the text to each."""
    return scores_BMQ.detach().amax(-1).to(torch.float32)
