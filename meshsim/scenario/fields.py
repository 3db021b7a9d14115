"""The kinds of value a scenario key takes, each parsed once, here, with its unit."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from meshsim import units


class Model(BaseModel):
    """A frozen part of a scenario; keys it does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _later(value: Any) -> Any:
    raise ValueError("not supported yet in this version of meshsim; leave the key out")


DURATION = r"^\s*[+]?[0-9.]+(e-?[0-9]+)?\s*(ns|us|µs|ms|s|m|h|d)\s*$"

Duration = Annotated[
    float,
    BeforeValidator(units.duration),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["250us", "25ms", "2s", "5m", "24h"]}),
]
Rate = Annotated[
    float,
    BeforeValidator(units.rate),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9.]+\s*/\s*(ms|s|m|h)\s*$", "examples": ["200/s"]}),
]
Ratio = Annotated[
    float,
    BeforeValidator(units.ratio),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"}, {"type": "number", "minimum": 0, "maximum": 1}]}
    ),
]
Count = Annotated[
    int,
    BeforeValidator(units.count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"const": "unlimited"}]}),
]
Positive = Annotated[float, Field(gt=0, le=1e9)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
Later = Annotated[None, BeforeValidator(_later), WithJsonSchema({"not": {}, "description": "not supported yet"})]
"""A key of the design whose mechanism is not built yet: refused, never ignored."""
