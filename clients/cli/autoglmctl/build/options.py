"""What to build: the choices of `autoglmctl model build`, checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from autoglmd.errors.request import InvalidArgumentError

GROUP_SIZES = (16, 32, 64, 128, 256)
"""What MatMulNBits takes: powers of two from 16 on."""


class Precision(Enum):
    """The weights' precision."""

    INT8 = "int8"
    FP32 = "fp32"


class Scheme(Enum):
    """How INT8 products are computed."""

    AUTO = "auto"
    """Both are made and measured; `choice` takes one."""
    GROUPS = "groups"
    PER_TOKEN = "per-token"  # noqa: S105  (a scheme, no secret)


class KvPrecision(Enum):
    """The KV cache's precision."""

    INT8 = "int8"
    FP32 = "fp32"


class KvGranularity(Enum):
    """How many scales the KV cache has per layer and side: one per head and dimension, or one."""

    PER_CHANNEL = "per-channel"
    PER_TENSOR = "per-tensor"


class CalibrationMethod(Enum):
    """How a KV threshold is found: see `thresholds`."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


@dataclass(frozen=True)
class KvOptions:
    """The KV cache and how its scales are found."""

    precision: KvPrecision = KvPrecision.INT8
    granularity: KvGranularity = KvGranularity.PER_CHANNEL
    method: CalibrationMethod = CalibrationMethod.MINMAX
    calibration: Path | None = None
    """UTF-8 text to calibrate and measure on; `None` for the short text that ships with the tool."""


@dataclass(frozen=True)
class WeightOptions:
    """The weights and the products with them."""

    precision: Precision = Precision.INT8
    scheme: Scheme = Scheme.AUTO
    group_size: int = 64
    """Inputs that share a scale. Up to 64, a row's result does not depend on the other rows (docs/decisions)."""
    keep_in_groups: tuple[str, ...] = ()
    """With the per-token scheme: layers (shell patterns, such as `lm_head` or `*.down_proj`) left to groups."""
    reduce_range: bool = False
    """7-bit weights, for processors whose 8-bit dot products saturate (x86 without VNNI)."""

    @property
    def chooses(self) -> bool:
        """Whether there are two schemes to choose between."""
        return self.scheme is Scheme.AUTO and self.precision is Precision.INT8

    def candidates(self, *, measured: bool) -> tuple[Scheme, ...]:
        """Return the schemes to build; without figures (`measured` is false) there is nothing to choose by."""
        if self.chooses and measured:
            return (Scheme.GROUPS, Scheme.PER_TOKEN)
        return (Scheme.GROUPS if self.scheme is Scheme.AUTO else self.scheme,)


@dataclass(frozen=True)
class BuildOptions:
    """One run of `build_model`."""

    source: Path
    """A Hugging Face folder: config.json, weights, tokenizer."""
    output: Path
    """The folder to make; it must not exist."""
    weights: WeightOptions = WeightOptions()
    kv: KvOptions = KvOptions()
    prune_lm_head: bool = True
    """Compute the logits of one position per row only: the last, or the one asked for."""
    context_length: int | None = None
    """Tokens; shorter than the checkpoint's own makes smaller rotary tables. `None` keeps it."""
    measure: bool = True
    """Compare with FP32; without it the report has sizes and notes only."""
    threads: int = 0
    """Threads to calibrate and measure with; 0 for one per physical core."""

    def check(self) -> None:
        """Raise `InvalidArgumentError` naming the first option that makes no sense."""
        if self.weights.group_size not in GROUP_SIZES:
            sizes = ", ".join(map(str, GROUP_SIZES))
            raise InvalidArgumentError("group_size", f"{self.weights.group_size} is not one of {sizes}.")
        if self.context_length is not None and self.context_length < 1:
            raise InvalidArgumentError("context_length", f"{self.context_length} is not a positive number.")
        if self.threads < 0:
            raise InvalidArgumentError("threads", f"{self.threads} is negative; 0 means one per core.")
        if self.weights.keep_in_groups and self.weights.scheme is Scheme.GROUPS:
            raise InvalidArgumentError("keep_in_groups", "only the per-token scheme has layers to except.")
        if self.output.exists():
            raise InvalidArgumentError("output", f"{self.output} exists. Remove it or choose another folder.")
