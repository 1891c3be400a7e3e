"""Towers and selectors to ONNX and TensorRT, with their parity and speed. See README.md."""

from realtime.commands.extras import explain_missing

explain_missing()
