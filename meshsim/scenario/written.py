"""A scenario as YAML again: what a result was made with, overrides and seed included.

Only what was written is written again, so that what silence means stays silent. Numbers get their units
back from the type of their field. Traces, and measured times if they are many, go into files of their own,
which the text names.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic.fields import FieldInfo

from meshsim.scenario import fields
from meshsim.scenario.dump import dump
from meshsim.scenario.files import take_files
from meshsim.scenario.model import Arrivals, Balance, ConstantTime, Model, Scenario
from meshsim.units import UNLIMITED

UNITS = {
    fields.Duration: "s",
    fields.PositiveDuration: "s",
    fields.Rate: "/s",
    fields.PositiveRate: "/s",
}


def text(scenario: Scenario) -> str:
    """The scenario as YAML that loads, next to its `files`, to an equal one."""
    return apart(scenario)[0]


def files(scenario: Scenario) -> dict[str, str]:
    """The content of the files that the scenario's `text` names, by name."""
    return apart(scenario)[1]


def apart(scenario: Scenario) -> tuple[str, dict[str, str]]:
    """The scenario's text, and the files that it names."""
    written = document(scenario)
    taken = take_files(written)
    return dump(written), taken


def document(model: Model) -> dict[str, Any]:
    """A model as the mapping that it could have been written as."""
    written = {}
    for name, field in type(model).model_fields.items():
        if name in model.model_fields_set:
            written[field.alias or name] = _plain(getattr(model, name), _unit(name, field))
    return written


def _unit(name: str, field: FieldInfo) -> str:
    """What stands behind a number of this field; empty for bare ones."""
    return "s" if name == "warmup" else _unit_of(field.annotation)  # warmup, which may be `auto`, is odd


def _unit_of(annotation: object) -> str:
    if annotation in UNITS:
        return UNITS[annotation]
    return next(filter(None, map(_unit_of, get_args(annotation))), "")


def _plain(value: Any, unit: str) -> Any:
    """A value as YAML knows it."""
    if isinstance(value, ConstantTime):
        return _number(value.constant, "s")
    if isinstance(value, Balance | Arrivals):
        options = getattr(value, value.kind, None)
        written = _plain(options, "") if options is not None else {}
        return {value.kind: written} if written else value.kind
    if isinstance(value, Model):
        return document(value)
    if isinstance(value, tuple | list):
        return [_plain(entry, unit) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry, unit) for key, entry in value.items()}
    if isinstance(value, float) and unit:
        return _number(value, unit)
    return "unlimited" if isinstance(value, int) and value >= UNLIMITED else value


def _number(value: float, unit: str) -> str:
    """``120.0`` -> ``120s``, with every digit that it has."""
    return f"{value!r}".removesuffix(".0") + unit
