"""The towers of two models that differ in their last layers alone: each picture and sound runs through them once.

A model that is composed on a text backbone has nano's towers, and layers of its own after them (`model/assembly.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from realtime.model.thinker import EmoThinker
from realtime.towers.graph import TEXT_INPUTS, VISION_INPUTS
from realtime.towers.torch_runtime import HALVED, graphs_of

AFTER_VISION = VISION_INPUTS[2:]
"What the vision graph needs after its tower: all but the patches and their positions."


class Trunk:
    """The towers up to their last layers, in the precision of the model that they are taken from.

    The result of a run waits for the second model, which asks next and with the very same tensor.
    """

    def __init__(self, model: EmoThinker) -> None:
        self._visual, self._audio = model.thinker.visual, model.thinker.audio_tower
        self._dtype = model.dtype
        self._waiting: tuple[Tensor, tuple[Tensor, ...]] | None = None
        self.n_runs = 0

    def vision(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, N, hidden_size) of `VisionTower.before_merger`."""
        patches = inputs["patches"]
        found = self._taken(patches)
        if found is None:
            x = self._visual.before_merger(patches.to(self._dtype), inputs["positions"], inputs["valid"])
            found = self._ran(patches, (x,))
        return found[0]

    def audio(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What `AudioTower.before_projection` returns."""
        mel = inputs["mel"]
        found = self._taken(mel)
        if found is None:
            found = self._ran(mel, self._audio.before_projection(mel.to(self._dtype), inputs["n_frames"]))
        return found[0], found[1]

    def _ran(self, given: Tensor, result: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self.n_runs += 1
        self._waiting = (given, result)
        return result

    def _taken(self, given: Tensor) -> tuple[Tensor, ...] | None:
        # What nobody took is dropped here, so that nothing of a person stays.
        waiting, self._waiting = self._waiting, None
        return waiting[1] if waiting is not None and waiting[0] is given else None


class SharedTowers:
    """One model's last layers and selectors behind a trunk that it shares (`choice.Towers`). On a CPU."""

    def __init__(self, model: EmoThinker, trunk: Trunk) -> None:
        self._trunk, self._dtype = trunk, model.dtype
        self._vision, self._audio = graphs_of(model)

    @torch.inference_mode()
    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        x_BND = self._trunk.vision(inputs).to(self._dtype)
        return self._vision.after_tower(x_BND, *(self._cast(inputs, name) for name in AFTER_VISION if name in inputs))

    @torch.inference_mode()
    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        x_CTD, moments_CLD = self._trunk.audio(inputs)
        text = (self._cast(inputs, name) for name in TEXT_INPUTS if name in inputs)
        # The voice expert reads the moments as the trunk gave them.
        return self._audio.after_tower(x_CTD.to(self._dtype), moments_CLD, *text)

    def _cast(self, inputs: Mapping[str, Tensor], name: str) -> Tensor:
        return inputs[name].to(self._dtype) if name in HALVED else inputs[name]
