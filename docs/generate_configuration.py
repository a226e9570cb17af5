"""Writes the configuration reference from `autoglmd.config.rooms`: `make docs`."""

import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from autoglmd.config.rooms import EngineConfig, LogConfig, ModelConfig, Rule, ServerConfig, SessionsConfig

HEAD = """# Configuration

One TOML file, given with `autoglmd serve --config FILE`. `autoglmd check-config --config FILE` reads it and says what
is wrong. An unknown key is an error that names the nearest known one; nothing is ignored. This page is generated from
`daemon/autoglmd/config/rooms.py` by `make docs`.

```toml
default_model = "glm-small"
state_dir = "/var/lib/autoglmd"

[server]
socket = "/run/autoglmd/autoglmd.sock"

[engine]
rows = 8

[models.my-model]
path = "/srv/models/my-model"
device = "auto"

[models.my-model.engine]   # over [engine], for this model only
rows = 4
```

## Top level

| key | default | meaning |
|---|---|---|
| `state_dir` | `"/var/lib/autoglmd"` | Where prepared models and conversations live, and the bundles of `glm-base` and `glm-large`. Unset, for a user who cannot write there: `$XDG_STATE_HOME/autoglmd`, or `~/.local/state/autoglmd`. |
| `default_model` | `"glm-small"` | The model of requests that name none. The daemon does not start without it. |
| `standard_models` | `true` | Also serve `glm-small`, which is embedded, and `glm-base` and `glm-large` if their bundles are in `state_dir`/bundles. |
| `amx` | `false` | Let onnxruntime use the processor's AMX unit, where there is one. With it W8A8 models compute prompts faster, and answer a few streams more slowly; results are the same bit for bit. |
"""


def _default(entry: Field[Any]) -> str:
    value = entry.default
    if value is None:
        return "unset"
    if entry.metadata["rule"].octal:
        return f"`0o{value:o}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str | Path) else f"`{value}`"


def _range(rule: Rule) -> str:
    if rule.choices:
        return ", ".join(f"`{choice}`" for choice in rule.choices)
    return rule.range


def _table(title: str, kind: type[Any]) -> str:
    rows = [
        f"| `{entry.name}` | {_default(entry)} | {_range(entry.metadata['rule'])} | {entry.metadata['rule'].text} |"
        for entry in fields(kind)
        if "rule" in entry.metadata
    ]
    about = (kind.__doc__ or "").split(": ", 1)[1]
    return "\n".join(
        [
            f"## {title}",
            "",
            about[0].upper() + about[1:],
            "",
            "| key | default | range | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Print the page."""
    tables = [
        _table("[server]", ServerConfig),
        _table("[log]", LogConfig),
        _table("[engine] and [models.NAME.engine]", EngineConfig),
        _table("[sessions]", SessionsConfig),
        _table("[models.NAME]", ModelConfig),
    ]
    sys.stdout.write("\n".join([HEAD, *tables]))


if __name__ == "__main__":
    main()
