"""The expert on words: what the words alone say, as probabilities of the seven labels. English only.

A regression on hashed words and pieces of words (`features.py`), in NumPy: 0.96 M parameters, 8-bit weights, under a
millisecond a sentence. `train/words/fit.py` fits it on GoEmotions with Ekman's labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from realtime.errors import BadModel
from realtime.records import LABELS, Float32
from realtime.words.features import Fingerprints, rows

WEIGHTS = Path(__file__).with_name("expert.safetensors")
LANGUAGE = "en"


@dataclass(frozen=True)
class WordsExpert:
    """The fitted weights."""

    fingerprints_N: Fingerprints
    rarity_N: Float32
    "(N,) weight of the feature by how few texts have it; float16 in the file."
    weights_N7: npt.NDArray[np.int8]
    scale_7: Float32
    "(7,) what one step of a label's weights is worth."
    bias_7: Float32

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Read the weights. Raises BadModel for a file that is missing or has others."""
        try:
            with safe_open(str(path), framework="numpy") as file:
                read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                labels = (file.metadata() or {}).get("labels", "")
            expert = cls(read["fingerprints"], read["rarity"].astype(np.float32), *(read[n] for n in PARAMETERS))
        except (OSError, SafetensorError, KeyError) as error:
            raise BadModel(
                f"{path} holds no expert on words: {error}.", "Install the package again, or fit it: train/README.md."
            ) from error
        n = len(expert.fingerprints_N)
        if labels != " ".join(LABELS) or expert.weights_N7.shape != (n, len(LABELS)) or len(expert.rarity_N) != n:
            raise BadModel(f"{path} is an expert on other labels, or cut off.", "Fit it again: train/README.md.")
        return expert

    def save(self, path: Path) -> None:
        tensors: dict[str, npt.NDArray[Any]] = {
            "fingerprints": self.fingerprints_N,
            "rarity": self.rarity_N.astype(np.float16),
            **dict(zip(PARAMETERS, (self.weights_N7, self.scale_7, self.bias_7), strict=True)),
        }
        save_file(tensors, str(path), metadata={"labels": " ".join(LABELS), "data": "GoEmotions (Apache-2.0)"})

    def probabilities(self, text: str) -> dict[str, float] | None:
        """What the words say, by label; None where the expert knows none of them."""
        found, weights = rows(text, self.fingerprints_N, self.rarity_N)
        if not found:
            return None
        values_R = np.asarray(weights, np.float32)
        scores_7 = (values_R @ self.weights_N7[found]) * self.scale_7 + self.bias_7
        raised_7 = np.exp(scores_7 - scores_7.max())
        return dict(zip(LABELS, (raised_7 / raised_7.sum()).tolist(), strict=True))


PARAMETERS = ("weights", "scale", "bias")
