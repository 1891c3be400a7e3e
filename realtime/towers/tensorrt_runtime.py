"""Runs TensorRT plans (TensorRT 10 and 11, TensorRT-RTX). Each batch bucket is a profile with its own CUDA graph.

Sizes inside a profile are fixed. Smaller inputs are padded with zeros, which every mask of the graphs treats as absent.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realtime.errors import EngineMissing
from realtime.records import MAX_QUERY_TOKENS
from realtime.towers.artifact import Artifact, EngineMismatch

MODULES = {"trt": "tensorrt", "rtx": "tensorrt_rtx"}
INSTALL = {
    "trt": "pip install tensorrt-cu13  (fetches from NVIDIA's own index)",
    "rtx": "pip install tensorrt-rtx-cu13",
}


def load_runtime(flavor: str) -> Any:
    """The Python module of this flavor. Raises EngineMissing with the command that installs it."""
    try:
        return importlib.import_module(MODULES[flavor])
    # A wheel whose CUDA libraries are missing fails with OSError.
    except (ImportError, OSError) as error:
        other = next(name for name in MODULES if name != flavor)
        is_there = importlib.util.find_spec(MODULES[other]) is not None
        instead = f" {MODULES[other]} is installed: build with --flavor {other} to use it." if is_there else ""
        raise EngineMissing(
            f"{MODULES[flavor]} is not installed or does not load ({error}).",
            hint=f"Install it: {INSTALL[flavor]}.{instead}",
        ) from error


def runtime_version(flavor: str) -> str:
    return str(load_runtime(flavor).__version__)


def fits_here(artifacts: Iterable[Artifact], *, build: str) -> Artifact:
    """The first of `all_that_fit`, with its errors."""
    return all_that_fit(artifacts, build=build)[0]


def all_that_fit(artifacts: Iterable[Artifact], *, build: str) -> list[Artifact]:
    """The artifacts built for this GPU and this version, at least one.

    Raises EngineMissing without a GPU, EngineMismatch with the differences and the command that builds a fitting one.
    """
    # Checked before TensorRT is used: a Runtime without a driver can crash the process at its exit.
    if not torch.cuda.is_available():
        raise EngineMissing("TensorRT needs an NVIDIA GPU, and none is here.", hint="Use `--engine onnx` or `auto`.")
    major, minor = torch.cuda.get_device_capability()
    here = f"{major}.{minor}"
    reasons, fitting = [], []
    for artifact in artifacts:
        module = MODULES[artifact.kind]
        if artifact.compute_capability != here:
            reasons.append(f"{artifact.folder.name} was built for SM {artifact.compute_capability}, here is SM {here}")
            continue
        if artifact.has_text and (room := text_room(artifact)) < MAX_QUERY_TOKENS:
            reasons.append(
                f"{artifact.folder.name} takes questions of up to {room} tokens, and people may ask one of "
                f"{MAX_QUERY_TOKENS}"
            )
            continue
        have, wanted = runtime_version(artifact.kind), artifact.versions[module]
        if have == wanted:
            fitting.append(artifact)
        else:
            reasons.append(f"{artifact.folder.name} was built with {module} {wanted}, here is {have}")
    if fitting:
        return fitting
    raise EngineMismatch(f"{'; '.join(reasons)}.", hint=f"Build one for this machine: `{build}`.")


def text_room(artifact: Artifact) -> int:
    """The most tokens of a text query that both towers take."""
    return min(
        (
            max((profile["text"][1] for profile in tower["profiles"] if "text" in profile), default=0)
            for tower in artifact.towers.values()
        ),
        default=0,
    )


class TensorRtTowers:
    """Both plans of one artifact. Raises EngineMismatch when they are not what the manifest describes."""

    def __init__(self, artifact: Artifact) -> None:
        artifact.check_hashes()
        self._plans = {
            name: PlanRunner(artifact.folder / tower["file"], artifact.kind, tower["profiles"])
            for name, tower in artifact.towers.items()
        }

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._plans["vision"](inputs)

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._plans["audio"](inputs)


class PlanRunner:
    """Runs one plan. Its buckets are made when they are first needed, and kept."""

    def __init__(self, path: Path, flavor: str, profiles: Sequence[Mapping[str, Sequence[int]]]) -> None:
        self._trt = load_runtime(flavor)
        self._logger = self._trt.Logger(self._trt.Logger.WARNING)
        self._runtime = self._trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise EngineMismatch(
                f"{path} cannot be read by {MODULES[flavor]} {self._trt.__version__} with this machine's driver.",
                hint="Build it again here: `realtime export trt --model …`.",
            )
        self._profiles = profiles
        self._buckets: dict[int, Bucket] = {}

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        sizes = self._fitting(inputs)
        batch, largest = next(iter(inputs.values())).shape[0], max(sizes.values())
        if batch > largest:
            parts = [
                self({name: value[start : start + largest] for name, value in inputs.items()})
                for start in range(0, batch, largest)
            ]
            return [torch.cat(same) for same in zip(*parts, strict=True)]
        index = min((size, index) for index, size in sizes.items() if size >= batch)[1]
        if index not in self._buckets:
            self._buckets[index] = Bucket(self._trt, self._engine, index, self._profiles[index])
        return [output[:batch].cpu() for output in self._buckets[index].run(inputs)]

    def _fitting(self, inputs: Mapping[str, Tensor]) -> dict[int, int]:
        """Batch size by profile, of those with room for the inputs. Raises EngineMismatch where there are none."""
        fitting = {
            index: next(iter(profile.values()))[0]
            for index, profile in enumerate(self._profiles)
            if all(
                given <= room
                for name, shape in profile.items()
                for given, room in zip(inputs[name].shape[1:], shape[1:], strict=True)
            )
        }
        if not fitting:
            given = ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())
            raise EngineMismatch(
                f"No profile of the plan has room for these inputs: {given}.",
                hint="Build it with a larger --windows or --words.",
            )
        # The usual profiles first: that of long questions copies their room with each call.
        least = min(self._profiles[index]["text"][1] if "text" in self._profiles[index] else 0 for index in fitting)
        return {
            index: size
            for index, size in fitting.items()
            if "text" not in self._profiles[index] or self._profiles[index]["text"][1] == least
        }


class Bucket:
    """An execution context for one profile, with buffers at fixed addresses, captured once as a CUDA graph."""

    def __init__(self, trt: Any, engine: Any, index: int, profile: Mapping[str, Sequence[int]]) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineMissing(
                "The GPU has no memory left for another size of a TensorRT plan.",
                hint="Free some of it, serve fewer sessions, or take --engine torch.",
            )
        taken = [self._context.set_optimization_profile_async(index, self._stream.cuda_stream)]
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        is_input = {name: engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        for name in names:
            if is_input[name]:
                taken.append(self._context.set_input_shape(name, tuple(profile[name])))
        if not all(taken):
            raise EngineMismatch(
                f"The plan does not take the sizes of profile {index} that its manifest tells.",
                hint="Build it again: `realtime export trt --model …`.",
            )
        kinds = {
            trt.DataType.FLOAT: torch.float32, trt.DataType.HALF: torch.float16, trt.DataType.BF16: torch.bfloat16,
            trt.DataType.INT32: torch.int32, trt.DataType.INT64: torch.int64,
        }  # fmt: skip
        buffers = {}
        for name in names:
            shape = tuple(self._context.get_tensor_shape(name))
            buffers[name] = torch.zeros(shape, dtype=kinds[engine.get_tensor_dtype(name)], device="cuda")
            self._context.set_tensor_address(name, buffers[name].data_ptr())
        self._inputs = {name: buffers[name] for name in names if is_input[name]}
        self._outputs = [buffers[name] for name in names if not is_input[name]]
        # The buffers were zeroed on the caller's stream, and what is in them decides what the graph reads.
        self._stream.wait_stream(torch.cuda.current_stream())
        # Launched once before the capture: changes of shape are applied at the first launch and cannot be captured.
        with torch.cuda.stream(self._stream):
            self._launch()
        self._stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._launch()

    def _launch(self) -> None:
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise EngineMismatch("TensorRT refused to run the engine.", hint="Build it again on this machine.")

    def run(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The outputs for these inputs, which fit into the profile and are padded to it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for name, buffer in self._inputs.items():
                value = inputs[name]
                buffer.zero_()
                buffer[tuple(slice(size) for size in value.shape)].copy_(value, non_blocking=True)
            self._graph.replay()
            copies = [output.clone() for output in self._outputs]
        self._stream.synchronize()
        return copies
