"""An ONNX graph that grows node by node, and what is known of the pictures in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.tflite import AnyArray
from realtime.records import Float32

OPSET = 17


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A result inside the graph, (1, channels, height, width), and what its numbers stand for."""

    name: str
    units_C: Float32
    "For each channel, what a number is to be multiplied by. Others than 1 are taken into the next weights."

    @property
    def channels(self) -> int:
        return len(self.units_C)

    @property
    def plain(self) -> bool:
        return bool((self.units_C == 1).all())


class Nodes:
    """The nodes and the constants of a graph."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[tuple[bytes, tuple[int, ...], str], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._ids = count()

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        name = f"v{next(self._ids)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: AnyArray) -> str:
        """A constant as it is; one that is there already is shared. Halves are cast to single precision."""
        value = np.ascontiguousarray(value)
        key = (value.tobytes(), value.shape, str(value.dtype))
        if key not in self._weights:
            name = f"w{next(self._ids)}"
            self._initializers.append(numpy_helper.from_array(value, name))
            self._weights[key] = self.add("Cast", [name], to=TensorProto.FLOAT) if value.dtype == np.float16 else name
        return self._weights[key]

    def number(self, value: float) -> str:
        return self.constant(np.asarray(value, np.float32))

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.asarray(values, np.int64))

    def part(self, name: str, first: int, last: int, axis: int) -> str:
        """What lies from `first` to before `last` on an axis."""
        return self.add("Slice", [name, *(self.integers([number]) for number in (first, last, axis))])

    def model(
        self, name: str, side: int, outputs: Mapping[str, tuple[str, list[int]]], *, about: str
    ) -> onnx.ModelProto:
        """The finished model; `outputs` maps the names it gets to those inside, and to their shapes."""
        results = []
        for outside, (inside, shape) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [inside], [outside]))
            results.append(helper.make_tensor_value_info(outside, TensorProto.FLOAT, shape))
        picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, side, side])
        graph = helper.make_graph(self._nodes, name, [picture], results, self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="export.faces")
        # The lowest that has this opset, so that older versions of ONNX Runtime take the file too.
        model.ir_version = 8
        model.doc_string = about
        onnx.checker.check_model(model, full_check=True)
        return model
