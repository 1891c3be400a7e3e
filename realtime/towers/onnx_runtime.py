"""Runs exported graphs in ONNX Runtime on the CPU, for laptops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor

from realtime.errors import EngineMissing
from realtime.towers.artifact import Artifact
from realtime.towers.filled_graph import filled

NUMPY: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
}
NOT_FOLDED = ["ConstantFolding"]
"Unfolded, the transposition of a weight becomes part of its product, which is as fast."


class OnnxTowers:
    """Both graphs of one artifact. Raises EngineMissing when this onnxruntime cannot run them."""

    def __init__(self, artifact: Artifact) -> None:
        self._vision = OnnxGraph(artifact.folder / artifact.towers["vision"]["file"])
        self._audio = OnnxGraph(artifact.folder / artifact.towers["audio"]["file"])

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._vision(inputs)

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._audio(inputs)


class OnnxGraph:
    """One graph, called with inputs by name. Inputs that it lacks (the text, without selectors) are ignored."""

    def __init__(self, path: Path, *, weights: Mapping[str, Tensor] | None = None) -> None:
        """`weights` are the values of a graph that has none of its own, by name (`included.py`)."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # There is nothing to do for most of a second between frames; spinning threads would use a full core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # The arena keeps 11 MB between two frames and saves no time.
        options.enable_cpu_mem_arena = False
        try:
            # Of a file it keeps what it reads. Values that it is given it refers to, and its Python part keeps bytes.
            with nullcontext(path) if weights is None else filled(path, weights) as whole:
                self._session = onnxruntime.InferenceSession(
                    whole,
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=None if weights is None else NOT_FOLDED,
                )
        except OSError as error:
            raise EngineMissing(
                f"{path.name} cannot be written with its weights: {error.strerror or error}.",
                hint="Set TMPDIR to a folder that has 20 MB free.",
            ) from error
        # onnxruntime's errors share no base class of their own.
        except Exception as error:
            raise EngineMissing(
                f"onnxruntime {onnxruntime.__version__} cannot run {path.name} of {path.parent}: {first_line(error)}",
                hint="bf16 graphs need a GPU runtime; export fp32 or int8 for the CPU, or use `--engine torch`.",
            ) from error
        self._kinds = {value.name: NUMPY[value.type] for value in self._session.get_inputs()}

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        feed = {name: as_numpy(inputs[name], kind) for name, kind in self._kinds.items()}
        return [torch.from_numpy(value) for value in self._session.run(None, feed)]


def as_numpy(value: Tensor, kind: type[np.generic]) -> npt.NDArray[np.generic]:
    wide = value.detach().to(torch.float32) if value.is_floating_point() else value
    return np.ascontiguousarray(wide.cpu().numpy().astype(kind, copy=False))


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
