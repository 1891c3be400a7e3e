"""A graph without weights and the weights make one file that others read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.towers.filled_graph import filled
from realtime.towers.included import FACE, GRAPHS

onnx = pytest.importorskip("onnx")


def test_the_weights_are_initialisers_of_the_graph(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    # Lengths on both sides of a limit of the encoding, a turned matrix, and a single number.
    weights = {
        "long": torch.rand(3, 5_000, generator=generator),
        "turned": torch.rand(7, 4, generator=generator).t(),
        "number": torch.tensor(0.5),
        "empty": torch.zeros(0, 2),
    }
    before = onnx.load(str(GRAPHS / FACE))
    with filled(GRAPHS / FACE, weights) as path:
        model = onnx.load(str(path))
    assert not path.exists()
    own = len(before.graph.initializer)
    assert list(model.graph.initializer[:own]) == list(before.graph.initializer)
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer[own:]}
    assert list(found) == list(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value.numpy(), strict=True)
    del model.graph.initializer[own:]
    assert model == before
