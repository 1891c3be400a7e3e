"""Runs the graphs in torch, in the checkpoint's own precision. On an NVIDIA GPU each input size is a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from realtime.model.thinker import EmoThinker
from realtime.towers.graph import AudioGraph, VisionGraph

logger = logging.getLogger(__name__)

MAX_CAPTURED = 16
"Sizes (batch, windows, words) kept as CUDA graphs, with their buffers. The one that was used longest ago goes first."
HALVED = ("patches", "mel", "text")
"Inputs in the graph's own precision. The others are int32, or float32 where they are compared."


def graphs_of(model: EmoThinker) -> tuple[VisionGraph, AudioGraph]:
    """Both graphs of a model, on its own modules."""
    thinker, emotion = model.thinker, model.emotion
    vision = VisionGraph(
        thinker.visual,
        emotion.visual_selector,
        hybrid=emotion.hybrid,
        spreads=model.config.emotion.selection == "adaptive",
    )
    audio = AudioGraph(thinker.audio_tower, emotion.audio_extractor, moments=emotion.voice_expert is not None)
    return vision.eval(), audio.eval()


class TorchTowers:
    """Both towers of a loaded model."""

    def __init__(self, model: EmoThinker) -> None:
        self._device, self._dtype = model.device, model.dtype
        self._vision, self._audio = graphs_of(model)
        self._captures = self._device.type == "cuda"
        self._captured: dict[tuple[object, ...], Captured] = {}

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._run("vision", self._vision, inputs)

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return self._run("audio", self._audio, inputs)

    @torch.inference_mode()
    def _run(self, name: str, graph: nn.Module, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        given = [self._cast(key, value) for key, value in inputs.items()]
        if not self._captures:
            return self._now(graph, given)
        size = (name, *(tuple(value.shape) for value in given))
        if size not in self._captured:
            if len(self._captured) >= MAX_CAPTURED:
                self._captured.pop(next(iter(self._captured)))
            try:
                self._captured[size] = Captured(graph, [value.to(self._device) for value in given])
            except torch.OutOfMemoryError:
                logger.warning("no room for a CUDA graph of %s; %d are given up", size, len(self._captured))
        if size in self._captured:
            captured = self._captured[size] = self._captured.pop(size)
            return captured.replay(given)
        # Outside the `except`, where the exception no longer holds the tensors of the failed capture.
        self._captured.clear()
        torch.cuda.empty_cache()
        return self._now(graph, [value.to(self._device) for value in given])

    @staticmethod
    def _now(graph: nn.Module, given: list[Tensor]) -> Sequence[Tensor]:
        outputs: Sequence[Tensor] = graph(*given)
        return outputs

    def _cast(self, name: str, value: Tensor) -> Tensor:
        return value.to(self._dtype) if name in HALVED else value


class Captured:
    """One CUDA graph with its input and output buffers, allocated once.

    Inputs go through pinned memory: from there the GPU fetches them itself, while the host prepares what comes next.
    """

    def __init__(self, graph: Callable[..., Sequence[Tensor]], example: list[Tensor]) -> None:
        self._inputs = [value.clone() for value in example]
        self._pinned = [torch.empty(value.shape, dtype=value.dtype, pin_memory=True) for value in example]
        self._fetched = torch.cuda.Event()  # type: ignore[no-untyped-call]
        # Kernels are chosen and workspaces allocated before the capture, on a side stream (torch.cuda.graph's docs).
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                graph(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = graph(*self._inputs)

    def replay(self, inputs: list[Tensor]) -> Sequence[Tensor]:
        # The GPU may still fetch what the last call put there.
        self._fetched.synchronize()
        for buffer, pinned, value in zip(self._inputs, self._pinned, inputs, strict=True):
            pinned.copy_(value)
            buffer.copy_(pinned, non_blocking=True)
        self._fetched.record()
        self._graph.replay()
        # Copies: the next replay writes over the buffers.
        return [output.clone() for output in self._outputs]
