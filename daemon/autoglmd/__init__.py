"""autoglmd: serves INT8 ONNX language models on small boxes."""

import os

# onnxruntime's Linux wheels collect usage data unless told otherwise before the import. A model at home reports to
# nobody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
