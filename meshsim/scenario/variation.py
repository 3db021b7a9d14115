"""The values that a sweep gives a key: lists, and ranges such as ``100/s:900/s:17``.

Values are written as in a scenario, with their units, and stay so until the scenario of each point is read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, WithJsonSchema

from meshsim.errors import ScenarioError, shown
from meshsim.plain import converted
from meshsim.scenario.document import parse_value
from meshsim.units import NUMBER, SECONDS

MOST_VALUES = 10_000
"""Of one key."""

QUANTITY = re.compile(rf"\s*{NUMBER}\s*(ns|us|µs|ms|s|m|h|d|/\s*ms|/\s*s|/\s*m|/\s*h|%)?\s*")
RANGE = re.compile(r"([^:]+):([^:]+):\s*([0-9]{1,9})\s*")
NUMBER_KIND, DURATION_KIND, RATE_KIND = "number", "duration", "rate"
UNITS = {"": (NUMBER_KIND, 1.0), "%": (NUMBER_KIND, 0.01)}
UNITS |= {unit: (DURATION_KIND, size) for unit, size in SECONDS.items()}
UNITS |= {f"/{unit}": (RATE_KIND, 1.0 / size) for unit, size in SECONDS.items()}


class Quantity(NamedTuple):
    """A number in its unit: ``ms``, ``/s``, ``%``, or nothing."""

    amount: float
    unit: str

    @property
    def kind(self) -> str:
        """What it measures; a percentage is a number too."""
        return UNITS[self.unit][0]

    @property
    def size(self) -> float:
        """What one of the unit is in the unit that meshsim computes with: s, 1/s, 1."""
        return UNITS[self.unit][1]

    @property
    def value(self) -> float:
        """In the unit that meshsim computes with: s, 1/s, 1."""
        return self.amount / SECONDS[self.unit[1:]] if self.kind == RATE_KIND else self.amount * self.size


def quantity(value: object) -> Quantity | None:
    """A value as number and unit; None where it is neither a number nor one with a unit."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Quantity(float(value), "") if abs(value) <= sys.float_info.max else None
    match = QUANTITY.fullmatch(value) if isinstance(value, str) else None
    return Quantity(float(match[1]), "".join((match[2] or "").split())) if match else None


def kind(values: Sequence[object]) -> str:
    """What the values of a key measure: ``duration``, ``rate``, ``number``, or nothing in common: ``""``."""
    found = [quantity(value) for value in values]
    kinds = {each.kind if each is not None else "" for each in found if each is None or each != (0.0, "")}
    return kinds.pop() if len(kinds) == 1 else "" if kinds else NUMBER_KIND


@converted
def linspace(start: str | float, stop: str | float, count: int) -> list[str | int | float]:
    """Values at even distances, with their unit, for `meshsim.sweep`.

    Args:
        start: the first, such as ``"100/s"``, ``"10ms"``, ``"5%"`` or 1.
        stop: the last, of the same kind; if its unit differs, values have that of `start`.
        count: how many, at least 2.

    Returns:
        Text where there is a unit, else numbers, whole ones as int; 12 digits at most.

    Raises:
        ValueError: no numbers, of different kinds, or too few or too many values.

    >>> linspace("100/s", "300/s", 3)
    ['100/s', '200/s', '300/s']
    """
    first, last = quantity(start), quantity(stop)
    for given, found in ((start, first), (stop, last)):
        if found is None:
            raise ValueError(f"{shown(given)} is not a number; write one such as 4, 100/s, 25ms or 5%")
    assert first is not None
    assert last is not None
    if not 2 <= count <= MOST_VALUES:
        raise ValueError(f"{count} values are no range; write a number from 2 to {MOST_VALUES}")
    first, last = _alike(first, last)
    low, high = Fraction(first.amount), Fraction(last.amount) * Fraction(last.size) / Fraction(first.size)
    steps = [float(low + (high - low) * step / (count - 1)) for step in range(count)]
    return [_with_unit(amount, first.unit) for amount in steps]


def _alike(first: Quantity, last: Quantity) -> tuple[Quantity, Quantity]:
    """Both ends, a bare 0 with the unit of the other one."""
    if first.amount == 0.0 and not first.unit:
        first = Quantity(0.0, last.unit)
    if last.amount == 0.0 and not last.unit:
        last = Quantity(0.0, first.unit)
    if first.kind != last.kind or (first.unit == "") != (last.unit == ""):
        ends = " to ".join(f"{end.amount:g}{end.unit}" for end in (first, last))
        raise ValueError(f"{ends} is not a range; give both ends units of one kind")
    return first, last


def _with_unit(amount: float, unit: str) -> str | int | float:
    """An amount as a scenario has it; 12 digits hide what binary fractions add."""
    text = f"{amount:.12g}"
    if unit:
        return text + unit
    return int(float(text)) if float(text).is_integer() else float(text)


def values(config: object) -> tuple[object, ...]:
    """The values of a key of a sweep: a list, in which ``A:B:N`` is N values from A to B, or such a text.

    A ValueError for anything else, and for a value that is there twice.
    """
    if isinstance(config, str) and RANGE.fullmatch(config):
        config = [config]
    if not isinstance(config, list | tuple):
        remedy = "write [100/s, 200/s] or a range such as 100/s:900/s:17"
        raise ValueError(f"{shown(config)} is not a list; {remedy}")
    if not config:
        raise ValueError("is empty; write at least one value")
    found = [value for entry in config for value in _expanded(entry)]
    if len(found) > MOST_VALUES:
        raise ValueError(f"{len(found)} values are too many; write at most {MOST_VALUES}")
    _refuse_twins(found)
    return tuple(found)


def _expanded(entry: object) -> Sequence[object]:
    """A value, or all those of a range."""
    match = RANGE.fullmatch(entry) if isinstance(entry, str) else None
    if match is None or quantity(match[1]) is None or quantity(match[2]) is None:
        return [entry]
    return linspace(match[1].strip(), match[2].strip(), int(match[3]))


def _refuse_twins(found: Sequence[object]) -> None:
    seen: set[object] = set()
    for entry in found:
        amount = quantity(entry)
        same = (amount.kind, amount.value) if amount is not None else ("", repr(entry))
        if same in seen:
            raise ValueError(f"{shown(entry)} is there twice; leave one out")
        seen.add(same)


def variation(text: str) -> tuple[str, list[Any]]:
    """The key and the list of a ``KEY=V1,V2`` or ``KEY=A:B:N``; a ValueError where it can't be read."""
    key, equals, listed = text.partition("=")
    if not equals or not key.strip():
        remedy = "write KEY=V1,V2 or KEY=A:B:N, such as load[0].rate=100/s:900/s:17"
        raise ValueError(f"{shown(text)} has no =; {remedy}")
    try:
        found = parse_value(f"[{listed}]", "")
    except ScenarioError as error:
        (wrong, *_), found = error.problems, None
        if wrong.key:  # one of the values, and not how they are written
            raise ValueError(f"{key.strip()}: {wrong.message}; {wrong.remedy}") from None
    if not isinstance(found, list):
        raise ValueError(f"{shown(text)} has no values that can be read; write KEY=V1,V2 or KEY=A:B:N")
    return key.strip(), found


VALUES = {"anyOf": [{"type": "array", "minItems": 1}, {"type": "string", "pattern": "^[^:]+:[^:]+:[^:]+$"}]}
Sweep = Annotated[
    dict[str, Annotated[tuple[Any, ...], BeforeValidator(values), WithJsonSchema(VALUES)]],
    Field(min_length=1),
]
"""The key `sweep` of a scenario: values by dotted key."""
