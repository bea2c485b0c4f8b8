"""Networks in the formats of other runtimes: ONNX, and folders of transformers and timm."""
