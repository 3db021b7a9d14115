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
    for wrong in ("latency.p100", "services.nobody", "services.cart.p100"):
        with pytest.raises(KeyError):
            at(WHOLE, wrong)


def test_a_name_in_a_mapping_may_have_dots() -> None:
    parts = {"a": Part(0.1), "a.p99": Part(0.2), "a.b": {"p99": 0.3}}
    assert at(parts, "a.p99") == Part(0.2)
    assert at(parts, "a.p99.p99") == 0.2
    assert at(parts, "a.b.p99") == 0.3
    assert at({"a": {"b.p99": 0.4}, "a.b": {}}, "a.b.p99") == 0.4
