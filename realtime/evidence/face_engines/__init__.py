"""The engines that run MediaPipe's face models: its own package, or ONNX Runtime."""
