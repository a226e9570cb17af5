"""The only room that knows onnxruntime: graphs, tokenizers, sampling."""
