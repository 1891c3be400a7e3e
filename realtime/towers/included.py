"""The included graphs of nano's towers and of the face expert, run by ONNX Runtime on a CPU.

The files in `graphs/` hold no weights: `realtime export included` writes them, and a session gets its weights from the
model that is loaded (`filled_graph.py`). So they fit every checkpoint of these shapes, and nothing has to be exported
first. On one core with AVX2 a frame takes two thirds of torch's time, and so does a chunk of sound; a face takes half.
ONNX Runtime has a copy of the weights. A program that only serves lets go of torch's (`let_go`). The audio tower takes
up to 60 MB more than in torch while it runs, so it stays there unless a whole folder is analysed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from realtime.model.config import ModelConfig
from realtime.model.face_expert import FACE_CROP_PX, FaceExpert
from realtime.model.thinker import EmoThinker
from realtime.towers.graph import AudioGraph, VisionGraph
from realtime.towers.torch_runtime import TorchTowers, graphs_of

logger = logging.getLogger(__name__)

GRAPHS = Path(__file__).parent / "graphs"
VISION, AUDIO, FACE = "vision.onnx", "audio.onnx", "face.onnx"
MADE_FOR = "made_for.json"
"The `shapes_key` that each tower's graph was traced from. All face experts have one shape."
CROPS, JUDGED = "crops", "log_probabilities"
"Input and output of the face expert's graph."

JudgeFaces = Callable[[Tensor], Tensor]
"(B, 1, 96, 96) grey face crops → (B, 7) log-probabilities, as `FaceExpert`."


class IncludedTowers:
    """Pictures through the included graph, sound through torch or its own graph, of a model that `fits`."""

    def __init__(self, model: EmoThinker, *, sound: bool = False) -> None:
        """With `sound`, which is for a model whose audio tower `fits` too, that runs on ONNX Runtime as well."""
        vision, audio = graphs_of(model)
        from realtime.towers.onnx_runtime import OnnxGraph

        self.copied: tuple[nn.Module, ...] = (vision.tower, audio.tower) if sound else (vision.tower,)
        "Modules whose weights the graphs have, and that nothing else of a session runs."
        self._vision = OnnxGraph(GRAPHS / VISION, weights=weights_of(vision))
        self._audio = OnnxGraph(GRAPHS / AUDIO, weights=weights_of(audio)) if sound else TorchTowers(model).audio

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._vision(inputs)

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._audio(inputs)


class OnnxFaceExpert:
    """`FaceExpert` through the included graph; in float32 on the CPU."""

    def __init__(self, expert: FaceExpert) -> None:
        from realtime.towers.onnx_runtime import OnnxGraph

        self.copied: tuple[nn.Module, ...] = (expert,)
        self._graph = OnnxGraph(GRAPHS / FACE, weights=weights_of(expert))

    def __call__(self, crops_B1HW: Tensor) -> Tensor:
        return self._graph({CROPS: crops_B1HW})[0]


def judge_of(model: EmoThinker) -> JudgeFaces | None:
    """The quickest form of a model's face expert here; None without one. Call it once per model."""
    expert = model.emotion.face_expert
    if expert is None:
        return None
    if computes_in_float32(expert):
        try:
            judge = OnnxFaceExpert(expert)
            judge(torch.zeros(1, 1, FACE_CROP_PX, FACE_CROP_PX))
            return judge
        # A runtime can fail in as many ways as there are machines, and here it is only a faster way to the same result.
        except Exception as error:
            logger.warning("The graph of the face expert does not run here (%s); torch does.", error)
    expert.put_channels_innermost()
    return expert


def let_go(module: nn.Module) -> None:
    """Free the weights of a module that runs as a graph. Its shapes stay, and torch cannot run it again."""
    module.to("meta")


def fits(model: EmoThinker, name: str = VISION) -> bool:
    """Whether the graph of a tower was made for this model's shapes, and its weights are in float32 on the CPU."""
    made_for = json.loads((GRAPHS / MADE_FOR).read_text(encoding="utf-8"))[name]
    vision, audio = graphs_of(model)
    return computes_in_float32(model) and bool(made_for == shapes_key(audio if name == AUDIO else vision, model.config))


def computes_in_float32(module: nn.Module) -> bool:
    """Whether it does so on the CPU."""
    weight = next(module.parameters())
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def shapes_key(graph: VisionGraph | AudioGraph, config: ModelConfig) -> str:
    """Equal for two models whose graphs of a tower are equal but for the values of their weights."""
    shapes = {name: list(value.shape) for name, value in weights_of(graph).items()}
    tower = config.audio if isinstance(graph, AudioGraph) else config.vision
    told = json.dumps([asdict(tower), graph.outputs, shapes], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Weights and tables by the names that their places in the graph have. Counters of norm layers are in no graph."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: value.detach() for name, value in named if value.is_floating_point()}
