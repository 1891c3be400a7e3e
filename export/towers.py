"""Runs an export while it is compared: through the runtime that serves it, or through torch in its precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from export.load import load_graph
from export.onnx import PRECISIONS
from realtime.model import assembly, checkpoint
from realtime.towers.artifact import Artifact
from realtime.towers.choice import Towers
from realtime.towers.onnx_runtime import OnnxTowers
from realtime.towers.torch_runtime import HALVED


class GraphTowers:
    """The torch graphs in a given precision on the CPU: the reference, and a stand-in where no runtime has bf16."""

    def __init__(self, folder: Path, dtype: torch.dtype, adapter: Path | None) -> None:
        self._dtype = dtype
        self._graphs = {name: load_graph(folder, name, dtype, adapter=adapter) for name in ("vision", "audio")}

    def tower(self, name: str) -> nn.Module:
        return self._graphs[name].tower

    @torch.inference_mode()
    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        tokens, *places = self._graphs["vision"](*self._cast(inputs))
        return tokens.float(), *places

    @torch.inference_mode()
    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return [output.float() for output in self._graphs["audio"](*self._cast(inputs))]

    def _cast(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        return [value.to(self._dtype) if name in HALVED else value for name, value in inputs.items()]


def stock(folder: Path, name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """The `vision` or `audio` tower of transformers with these weights. Raises ImportError without transformers."""
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as configurations
    from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as models

    values = checkpoint.read_json(folder / "config.json")
    sizes = values.get("thinker_config", values)[f"{name}_config"]
    kind, encoder = {
        "vision": (configurations.Qwen2_5OmniVisionEncoderConfig, models.Qwen2_5OmniVisionEncoder),
        "audio": (configurations.Qwen2_5OmniAudioEncoderConfig, models.Qwen2_5OmniAudioEncoder),
    }[name]
    tower: nn.Module = encoder(kind(**sizes, attn_implementation="sdpa"))
    # Not strict: both sides compute some tables themselves, which are no weights.
    tower.load_state_dict(state, strict=False)
    return tower.to(next(iter(state.values())).dtype).eval().requires_grad_(False)


def towers_of(made: Artifact, model: str, adapter: Path | None) -> tuple[Towers, str]:
    """The runtime that serves this export on this machine, and its name. Raises EngineMissing or EngineMismatch."""
    if made.kind != "onnx":
        # Imported only when needed, because TensorRT is rarely installed.
        from realtime.towers.tensorrt_runtime import MODULES, TensorRtTowers, fits_here

        fits_here([made], build=f"realtime export trt --model {model} --flavor {made.kind}")
        return TensorRtTowers(made), f"{MODULES[made.kind]}, SM {made.compute_capability}"
    if made.precision == "bf16":
        # ONNX Runtime has no bf16 kernels for the CPU; the same graph in torch's bf16 shows the rounding instead.
        return GraphTowers(assembly.locate(model), PRECISIONS["bf16"], adapter), "torch, bf16"
    return OnnxTowers(made), "onnxruntime, CPU"
