"""Where the towers run: one small protocol, several engines behind it.

`torch` is the reference and always there; engines that `export` writes satisfy the same protocol and are chosen in
`choose`, whose second value is the reason, printed and sent with `session.opened`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from realtime.errors import EngineMissing
from realtime.model.thinker import EmoThinker


class Towers(Protocol):
    """The two encoders with static shapes, inputs and outputs as in `model/vision.py` and `model/audio.py`."""

    def vision(self, patches_BNP: Tensor, positions_BN2: Tensor, valid_BN: Tensor) -> Tensor: ...

    def audio(self, mel_CFT: Tensor, n_frames_C: Tensor) -> Tensor: ...


class TorchTowers:
    """The modules themselves, in the checkpoint's own precision."""

    def __init__(self, model: EmoThinker) -> None:
        self._model = model

    @torch.inference_mode()
    def vision(self, patches_BNP: Tensor, positions_BN2: Tensor, valid_BN: Tensor) -> Tensor:
        device, dtype = self._model.device, self._model.dtype
        tokens: Tensor = self._model.thinker.visual(
            patches_BNP.to(device, dtype), positions_BN2.to(device), valid_BN.to(device)
        )
        return tokens

    @torch.inference_mode()
    def audio(self, mel_CFT: Tensor, n_frames_C: Tensor) -> Tensor:
        device, dtype = self._model.device, self._model.dtype
        tokens: Tensor = self._model.thinker.audio_tower(mel_CFT.to(device, dtype), n_frames_C.to(device))
        return tokens


def choose(engine: str, model: EmoThinker) -> tuple[Towers, str]:
    """The engine asked for and why it was taken. Raises EngineMissing for one that this checkpoint has no files for."""
    where = f"{model.device.type}, {str(model.dtype).removeprefix('torch.')}"
    if engine == "torch":
        return TorchTowers(model), f"torch ({where}; asked for)"
    if engine == "auto":
        return TorchTowers(model), f"torch ({where}; no exported engine beside the checkpoint)"
    raise EngineMissing(
        f"The engine '{engine}' has no exported towers for this checkpoint.",
        hint="Use `--engine auto`, which runs wherever torch does.",
    )
