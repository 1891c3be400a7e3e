"""Chooses the towers' runtime. One small protocol covers torch, ONNX Runtime and TensorRT.

`torch` is the reference and always available. The other two run what `export` writes. `choose` also returns the reason
for its choice, which is printed and sent with `session.opened`.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from realtime.errors import EngineMissing, RealtimeError
from realtime.model.config import ModelConfig
from realtime.model.thinker import EmoThinker
from realtime.towers import artifact, included, preprocess
from realtime.towers.artifact import Artifact
from realtime.towers.batch import FrameInput, audio_inputs, drop_noise, vision_inputs
from realtime.towers.torch_runtime import TorchTowers

logger = logging.getLogger(__name__)

QUICKER_THAN_TORCH = ("fp32", "int8")
"""Precisions that `auto` accepts on a CPU, where fp16 and bf16 are slow or missing: onnxruntime casts every product, or
has none."""
RUNS_TIMED = 5
USUAL_WORDS = 32
"Tokens of the text query with which runtimes are timed."


class Towers(Protocol):
    """Both towers with their selectors. Inputs are named as in `graph.py` and made by `batch.py`."""

    def vision(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """The outputs `graph.VISION_OUTPUTS`, in order."""
        ...

    def audio(self, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """The outputs `graph.AUDIO_OUTPUTS`, in order."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint whose towers are to run."""

    model: EmoThinker
    folder: Path
    adapter: Path | None = None
    engine_dir: Path | None = None
    "Folder of exported towers; None: beside the checkpoint, then in the user's cache."

    @property
    def where(self) -> str:
        """Device and precision, for people."""
        return f"{self.model.device.type}, {str(self.model.dtype).removeprefix('torch.')}"

    def build(self, kind: str) -> str:
        """The command that exports towers of this checkpoint."""
        adapter = f" --adapter {self.adapter}" if self.adapter is not None else ""
        model = "nano" if self.folder.name == "nano" else self.folder
        return f"realtime export {kind} --model {model}{adapter}"

    def exported(self) -> tuple[list[Artifact], str]:
        """The artifacts of exactly these weights, and why others were skipped."""
        return artifact.find(self.folder, adapter=self.adapter, engine_dir=self.engine_dir)


def choose(runtime: str, checkpoint: Checkpoint, *, sound_on_onnx: bool = False) -> tuple[Towers, str]:
    """The towers in the runtime asked for (`torch`, `onnx`, `trt` or `auto`), and the reason for the choice.

    On a CPU `auto` takes exported towers first, then the included graphs (`included.py`). On a GPU it times each export
    that fits, and torch, and takes the fastest. It runs wherever torch does. With
    `sound_on_onnx` it takes the included graph of the audio tower too, for time rather than memory. Another
    runtime that cannot run raises EngineMissing or EngineMismatch, with the command that builds what it needs.
    """
    if runtime == "torch":
        return TorchTowers(checkpoint.model), f"torch ({checkpoint.where}; asked for)"
    if runtime in ("onnx", "trt"):
        return exported_towers(runtime, checkpoint)
    if checkpoint.model.device.type == "cuda":
        return fastest_on_gpu(checkpoint)
    try:
        towers, reason = exported_towers("onnx", checkpoint, precisions=QUICKER_THAN_TORCH)
        try_out(towers, checkpoint.model.config)
        return towers, reason
    # A runtime can fail in as many ways as there are drivers, and here it is only a faster way to the same result.
    except Exception as error:
        why = error.message if isinstance(error, RealtimeError) else f"onnx does not start: {error}"
    if included.fits(checkpoint.model):
        try:
            sound = sound_on_onnx and included.fits(checkpoint.model, included.AUDIO)
            towers = included.IncludedTowers(checkpoint.model, sound=sound)
            try_out(towers, checkpoint.model.config)
            which = "included graphs" if sound else "included graph for pictures, torch for sound"
            return towers, f"onnx ({which}; {checkpoint.where})"
        except Exception as error:
            logger.warning("The included graphs do not run here (%s); torch does.", error)
    return TorchTowers(checkpoint.model), f"torch ({checkpoint.where}; {why.rstrip('.')})"


def fastest_on_gpu(checkpoint: Checkpoint, now_s: Callable[[], float] = time.perf_counter) -> tuple[Towers, str]:
    """The fastest of TensorRT's plans that fit here, and torch, and the reason for the choice."""
    from realtime.towers.tensorrt_runtime import TensorRtTowers, all_that_fit

    in_torch: Towers = TorchTowers(checkpoint.model)
    found, skipped = checkpoint.exported()
    plans = sorted((made for made in found if made.runs_in("trt")), key=artifact.preference)
    if not plans:
        return in_torch, f"torch ({checkpoint.where}; trt towers of this checkpoint have not been exported{skipped})"
    try:
        fitting = all_that_fit(plans, build=checkpoint.build("trt"))
    except RealtimeError as error:
        return in_torch, f"torch ({checkpoint.where}; {error.message.rstrip('.')})"
    best, best_s, why = in_torch, timed(in_torch, checkpoint.model.config, now_s), "the fastest here"
    reason = f"torch ({checkpoint.where}"
    for made in fitting:
        try:
            towers: Towers = TensorRtTowers(made)
            try_out(towers, checkpoint.model.config)
            took_s = timed(towers, checkpoint.model.config, now_s)
        # As in `choose`.
        except Exception as error:
            logger.warning("%s does not run here (%s).", made.folder.name, error)
            why = error.message.rstrip(".") if isinstance(error, RealtimeError) else f"trt does not start: {error}"
            continue
        if took_s < best_s:
            best, best_s, reason, why = towers, took_s, f"trt ({made.described}", "the fastest here"
    return best, f"{reason}; {why}, {best_s * 1000:.1f} ms for a frame and a chunk)"


def timed(towers: Towers, config: ModelConfig, now_s: Callable[[], float]) -> float:
    """Seconds for one frame of the usual size and one whole chunk on a GPU: the median of a few runs."""
    side = config.emotion.frame_px // preprocess.TOKEN_PX * preprocess.TOKEN_PX
    text_QD = torch.zeros(USUAL_WORDS, config.text.hidden_size)
    focal = torch.arange((side // preprocess.TOKEN_PX) ** 2) % 4 == 0
    frame = vision_inputs([FrameInput(torch.zeros(3, side, side), focal, drop_noise(focal, seed=0), 0.0)], text_QD)
    chunk = audio_inputs(torch.zeros(config.audio.num_mel_bins, 2 * config.audio.n_window), text_QD)
    took_s = []
    for _ in range(1 + RUNS_TIMED):
        began_s = now_s()
        towers.vision(frame)
        towers.audio(chunk)
        torch.cuda.synchronize()
        took_s.append(now_s() - began_s)
    # The first run captures.
    return statistics.median(took_s[1:])


def try_out(towers: Towers, config: ModelConfig) -> None:
    """Encode one window and one chunk, so that a runtime that cannot run here fails now and not in a session."""
    text_QD = torch.zeros(1, config.text.hidden_size)
    focal = torch.zeros(16, dtype=torch.bool)
    towers.vision(vision_inputs([FrameInput(torch.zeros(3, 112, 112), focal, drop_noise(focal, seed=0), 0.0)], text_QD))
    towers.audio(audio_inputs(torch.zeros(config.audio.num_mel_bins, 2 * config.audio.n_window), text_QD))


def exported_towers(
    kind: str, checkpoint: Checkpoint, *, precisions: Sequence[str] = artifact.PREFERRED
) -> tuple[Towers, str]:
    """The first artifact for this runtime, in one of these precisions, that runs here. Raises EngineMissing."""
    found, skipped = checkpoint.exported()
    fitting = sorted(
        (made for made in found if made.runs_in(kind) and made.precision in precisions), key=artifact.preference
    )
    if not fitting:
        raise EngineMissing(
            f"{kind} towers of this checkpoint have not been exported{skipped}.",
            hint=f"Build them with `{checkpoint.build(kind)}`, or use `--engine auto`, which runs wherever torch does.",
        )
    # Imported when needed: onnxruntime and TensorRT take a second each, and TensorRT is rarely installed.
    if kind == "onnx":
        from realtime.towers.onnx_runtime import OnnxTowers

        return OnnxTowers(fitting[0]), f"onnx ({fitting[0].described}; exported from these weights)"
    from realtime.towers.tensorrt_runtime import TensorRtTowers, fits_here

    chosen = fits_here(fitting, build=checkpoint.build(kind))
    return TensorRtTowers(chosen), f"trt ({chosen.described}; built for this GPU and version)"
