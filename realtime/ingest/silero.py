"""Silero's voice activity detector, a small network (MIT), on the ONNX Runtime that the face models run on.

Its model comes with the package `silero-vad` (the extra `silero`), of which only the file is read: its code would
import torch into a process that has no model.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from realtime.errors import EngineMissing
from realtime.records import SAMPLE_RATE_HZ, Float32

MODEL = Path("data") / "silero_vad_16k_op15.onnx"
WINDOW, CONTEXT = 512, 64
"Samples that the network takes at once, and samples of the window before that it sees again."
LEAST = 0.5
"Probability from which a window holds a voice: the package's own default."
INSTALL = "pip install 'emothinker[silero]'"


@functools.cache
def _network() -> Any:
    """One for all tracks; what a track has heard is passed in with each window. Raises EngineMissing."""
    spec = importlib.util.find_spec("silero_vad")
    path = Path(spec.origin).parent / MODEL if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise EngineMissing("speech.vad is silero, and the package silero-vad is not installed.", INSTALL)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # A window takes a fraction of a millisecond. More threads would only wait for each other.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SileroVad:
    """The detector of one track. Raises EngineMissing where it is not installed."""

    def __init__(self) -> None:
        self._network = _network()
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context_N = np.zeros(CONTEXT, np.float32)
        self._waiting_N = np.zeros(0, np.float32)
        self._voiced = False

    def is_speech(self, frame_N: Float32) -> bool:
        """What the last whole window says, at most 32 ms ago: frames of 30 ms are joined to windows of 32."""
        self._waiting_N = np.concatenate([self._waiting_N, frame_N])
        while self._waiting_N.size >= WINDOW:
            window_N, self._waiting_N = self._waiting_N[:WINDOW], self._waiting_N[WINDOW:]
            given = {
                "input": np.concatenate([self._context_N, window_N])[None],
                "state": self._state,
                "sr": np.array(SAMPLE_RATE_HZ, np.int64),
            }
            probability, self._state = self._network.run(None, given)
            self._context_N = window_N[-CONTEXT:]
            self._voiced = float(probability[0, 0]) >= LEAST
        return self._voiced
