"""A choice of the next kind is a name and, if it has options, a field; all else is in `Choice`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from meshsim.scenario.fields import Choice, Model


class Ring(Model):
    """A hash ring."""

    key: str = "user"


class Table(Model):
    """A table."""

    size: int


class Hashing(Choice):
    """Which hash."""

    KEY, NOUN, UNFIT = "hash", "hash", "is not a hash"
    LATER = ("rendezvous",)
    NEEDED: ClassVar = {"table": "{size: 7}"}

    kind: Literal["none", "ring", "table"] = "none"
    ring: Ring = Field(default_factory=Ring)
    table: Table | None = None


@pytest.mark.parametrize("config", ["none", "ring", {"ring": {"key": "cart"}}, {"table": {"size": 7}}])
def test_what_is_read_is_written_again(config: Any) -> None:
    assert Hashing.model_validate(config).as_config() == config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("rang", "no hash 'rang'; did you mean ring?"),
        (7, "7 is not a hash; write one of none, ring or table"),
        ("rendezvous", "rendezvous is not supported yet in this version of meshsim; write one of"),
        ("table", "table needs its options; write {table: {size: 7}}"),
        ({"table": None}, "table is empty; write its options"),
        ({"none": {}}, "none has no options; write hash: none"),
    ],
)
def test_what_is_wrong_is_said(config: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Hashing.model_validate(config)
    assert message in str(caught.value)


def test_the_schema_has_both_forms() -> None:
    bare, options = Hashing.model_json_schema()["anyOf"]
    assert bare == {"enum": ["none", "ring"]}
    assert set(options["properties"]) == {"ring", "table"}
