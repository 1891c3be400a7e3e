"""A stand-in for TensorRT's runtime on the stand-in for a GPU: it checks each call, and runs the graph in torch.

Names, arguments and results are those of the bindings (`help(tensorrt_rtx.IExecutionContext)`, TensorRT 10 and 11, and
TensorRT-RTX 1.7). What the documentation forbids or leaves undefined raises: a call that comes too early, a shape that
is not the profile's, an address whose memory was freed or has another type or size, a launch in a capture that is the
first one after a change of shape, and a profile that was set on another stream than the launch's.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.card import Card, OnCard


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT32 = 3
    INT64 = 8
    BF16 = 7


KINDS = {torch.float32: DataType.FLOAT, torch.float16: DataType.HALF, torch.int32: DataType.INT32}


class ILogger:
    Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)


class Logger(ILogger):
    WARNING = 2

    def __init__(self, min_severity: int = WARNING) -> None: ...


@dataclass(frozen=True)
class Plan:
    """What a plan's bytes stand for."""

    graph: Callable[..., Sequence[Tensor]]
    inputs: Mapping[str, torch.dtype]
    outputs: Sequence[str]
    profiles: Sequence[Mapping[str, Sequence[int]]]


class Library:
    """The module `tensorrt`. `plans` are by the bytes that a file of a plan holds."""

    __name__ = "tensorrt"

    def __init__(self, plans: Mapping[bytes, Plan], version: str = "10.9.0") -> None:
        self.__version__ = version
        self.plans = plans
        self.TensorIOMode, self.DataType, self.Logger, self.ILogger = TensorIOMode, DataType, Logger, ILogger
        self.contexts: list[Context] = []

    def Runtime(self, logger: Logger) -> Any:
        assert isinstance(logger, ILogger)
        return SimpleNamespace(deserialize_cuda_engine=self._deserialized)

    def _deserialized(self, serialized: bytes) -> Engine | None:
        plan = self.plans.get(serialized)
        return None if plan is None else Engine(self, plan)


class Engine:
    def __init__(self, library: Library, plan: Plan) -> None:
        self.library, self.plan = library, plan
        self.names = [*plan.inputs, *plan.outputs]
        self.num_io_tensors = len(self.names)
        self.num_optimization_profiles = len(plan.profiles)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.plan.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return KINDS[self.kind(name)]

    def kind(self, name: str) -> torch.dtype:
        if name in self.plan.inputs:
            return self.plan.inputs[name]
        return torch.int32 if name in ("order", "n_focal", "n_kept") else torch.float32

    def create_execution_context(self) -> Context:
        self.library.contexts.append(Context(self))
        return self.library.contexts[-1]


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.card = Card.inserted_now()
        self.profile: Mapping[str, Sequence[int]] | None = None
        self.stream: int | None = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.applied = False
        "Whether a launch has applied the shapes, which cannot be captured."
        self.n_launches = 0

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if not 0 <= profile_index < self.engine.num_optimization_profiles:
            return False
        taken = [other for other in self.engine.library.contexts if other is not self and other.engine is self.engine]
        self.profile, self.stream = self.engine.plan.profiles[profile_index], stream_handle
        assert all(other.profile is not self.profile for other in taken), "two contexts of one profile"
        self.shapes, self.applied = {}, False
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None, "a shape before its profile"
        assert isinstance(shape, tuple)
        if name not in self.engine.plan.inputs or tuple(self.profile[name]) != shape:
            return False
        self.shapes[name], self.applied = shape, False
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.engine.plan.inputs:
            return self.shapes[name]
        assert self.shapes.keys() == self.engine.plan.inputs.keys(), "shapes of outputs before those of all inputs"
        if name not in self.shapes:
            inputs = self.engine.plan.inputs.items()
            with torch.no_grad():
                examples = (torch.zeros(self.shapes[one], dtype=kind, device="cuda") for one, kind in inputs)
                made = self.engine.plan.graph(*examples)
            self._outputs = dict(zip(self.engine.plan.outputs, (tuple(one.shape) for one in made), strict=True))
        return self._outputs[name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert isinstance(memory, int)
        self.addresses[name] = memory
        return name in self.engine.names

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == self.stream, "the profile was set on another stream"
        assert self.card.capture is None or self.applied, "the first launch after a change of shape, in a capture"
        assert self.card.current.cuda_stream == stream_handle, "torch works on another stream than TensorRT"
        buffers = {name: self._buffer(name) for name in self.engine.names}
        outputs = self.engine.plan.graph(*(buffers[name] for name in self.engine.plan.inputs))
        for name, value in zip(self.engine.plan.outputs, outputs, strict=True):
            buffers[name].copy_(value)
        self.applied = True
        self.n_launches += 1
        return True

    def _buffer(self, name: str) -> OnCard:
        shape, kind = self.get_tensor_shape(name), self.engine.kind(name)
        there = self.card.at(self.addresses[name])
        assert there, f"the memory of {name} was freed"
        fitting = [one for one in there if tuple(one.shape) == shape and one.dtype is kind and one.is_contiguous()]
        assert fitting, f"{name} is {kind} {shape}, and its memory holds {there}"
        return fitting[0]
