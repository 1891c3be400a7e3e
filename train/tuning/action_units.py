"""What teaches the agent for action units: our own measurements of the same faces, so no annotator is needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.evidence.cues import CUES
from realtime.evidence.tokens import FaceFeatures
from realtime.model.methods.action_units import STRONGEST, UNITS
from realtime.model.thinker import EmoThinker
from train.tuning.data import AnnotatedWindow

PRESENT_FROM = 0.2
"Intensity, in 0–1, from which an action counts as present."
SHARE = 0.1
"Weight of this loss; the chain's is 1."
MEASURED = [CUES.index(name) for name in UNITS]


def faces_of(examples: Sequence[AnnotatedWindow]) -> list[FaceFeatures]:
    return [face for example in examples for frame in example.perceived.frames for face in frame.cues["faces"]]


def action_unit_loss(model: EmoThinker, faces: Sequence[FaceFeatures]) -> Tensor:
    """Cross-entropy of presence and half the squared error of intensity, a mean over faces and units."""
    agent = model.emotion.action_units
    assert agent is not None
    shape_NF = model.emotion.geometry(torch.stack([face.geometry_936 for face in faces]).to(model.device))
    logits_NK, intensity_NK = agent.units(shape_NF.clamp(-4, 4))
    measured_NK = torch.stack([face.measures_20 for face in faces])[:, MEASURED].to(model.device, logits_NK.dtype)
    presence = F.binary_cross_entropy_with_logits(logits_NK, (measured_NK >= PRESENT_FROM).to(logits_NK.dtype))
    return presence + 0.5 * F.mse_loss(intensity_NK / STRONGEST, measured_NK)
