"""autoglmd: serves INT8 ONNX language models on small boxes."""
