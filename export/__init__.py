"""Towers and selectors to ONNX and TensorRT, with their parity and speed. See README.md."""
