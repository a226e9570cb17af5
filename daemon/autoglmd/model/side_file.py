"""The small JSON files beside a graph: bounded before they are parsed, and objects or nothing."""

import json
from pathlib import Path
from typing import Any

from autoglmd.errors.model import ModelError

MAX_BYTES = 16 << 20


def read_object(path: Path, broken: type[ModelError]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        broken: the file is too large, not JSON, or not an object.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise broken(f"{path} has {size} bytes; a file of its kind has at most {MAX_BYTES}. Copy the bundle again.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise broken(f"{path} is not valid JSON: {error}. Copy the bundle again.") from error
    if not isinstance(content, dict):
        raise broken(f"{path} holds {type(content).__name__}, not an object. Copy the bundle again.")
    return content
