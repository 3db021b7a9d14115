"""Results and their one way to JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from meshsim.measure.result import LEFT_OUT, Result, at


@dataclass(frozen=True)
class Part(Result):
    p99: float | None


@dataclass(frozen=True)
class Whole(Result):
    name: str
    latency: Part
    services: dict[str, Part]
    notes: tuple[str, ...]
    until: Part | None = field(default=None, metadata=LEFT_OUT)


WHOLE = Whole("shop", Part(0.1), {"cart": Part(None)}, ("a", "b"))


def test_the_fields_are_the_keys_in_their_order() -> None:
    assert json.dumps(WHOLE.as_dict()) == (
        '{"name": "shop", "latency": {"p99": 0.1}, "services": {"cart": {"p99": null}}, "notes": ["a", "b"]}'
    )


def test_a_field_that_is_left_out_is_there_once_it_is_given() -> None:
    assert Whole("shop", Part(0.1), {}, (), Part(0.2)).as_dict()["until"] == {"p99": 0.2}


def test_a_path_goes_through_fields_and_mappings() -> None:
    assert at(WHOLE, "latency.p99") == 0.1
    assert at(WHOLE, "services.cart.p99") is None
    with pytest.raises(AttributeError):
        at(WHOLE, "latency.p100")
    with pytest.raises(KeyError):
        at(WHOLE, "services.nobody")
