"""Builds models in onnxruntime-genai's layout from Hugging Face folders (needs the extra `[build]`)."""
