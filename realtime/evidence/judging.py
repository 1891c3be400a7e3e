"""What the face expert says of the faces in a frame, and the second look at a lone one.

It is asked as soon as the faces are found. Where it has a thread of its own, it runs while the vision tower does. The
first look becomes cue tokens. The second takes two more crops, and counts for the answer alone
(`reason/second_look.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from realtime.evidence.beside import Submit
from realtime.records import Face, Float32
from realtime.towers import preprocess
from realtime.towers.included import JudgeFaces

LOOKS = (1.0, 0.92, 1.08)
"""How close the crops of a face are that its second look takes; the first is the expert's verdict. Chosen on FER+'s
validation faces, of nine closer, farther and turned crops (`train/LOG.md`)."""


@dataclass(frozen=True)
class Judging:
    """What was asked of the expert about the faces in a frame that have a mesh."""

    result: Callable[[], Tensor]
    "Waits for the log-probabilities, (crops, 7): of each face, look by look."
    n_looks: int
    "Crops of each face."


@dataclass(frozen=True)
class Verdicts:
    """What the expert says of the faces in a frame that have a mesh, as log-probabilities."""

    first_F7: Tensor
    second_7: Tensor | None
    "Of a lone face, by the mean of all of its crops. None for several."


def begin(judge: JudgeFaces, faces: Sequence[Face], grey_HW: Float32, dtype: torch.dtype, submit: Submit) -> Judging:
    """Ask about the faces, at least one of which has a mesh, in one call that `submit` starts."""
    meshes = [face.mesh_N3 for face in faces if face.mesh_N3 is not None]
    # Of several people, an answer is about all of them. So one alone is looked at again.
    looks = LOOKS if len(meshes) == 1 else LOOKS[:1]

    @torch.inference_mode()
    def judged_N7() -> Tensor:
        crops = [preprocess.crop_face(grey_HW, mesh_N3, closer=by) for mesh_N3 in meshes for by in looks]
        return judge(torch.from_numpy(np.stack(crops))[:, None].to(dtype))

    return Judging(submit(judged_N7), len(looks))


def verdicts(judging: Judging) -> Verdicts:
    """Wait for what the expert says. Raises what it raised."""
    judged_N7 = judging.result()
    several = judging.n_looks > 1
    return Verdicts(judged_N7[:: judging.n_looks], judged_N7.float().mean(0).log_softmax(0) if several else None)
