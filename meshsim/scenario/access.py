"""Access rules: who may call a service, and for what."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from meshsim.errors import shown
from meshsim.scenario.fields import Model

PATTERN = re.compile(r"\*?[^*\s]+|[^*\s]+\*|\*")
"""An exact text, one with a ``*`` before or behind it, or ``*`` alone."""


def _pattern(value: str) -> str:
    if not PATTERN.fullmatch(value):
        raise ValueError(f"{shown(value)} is no pattern; write a text, one that begins or ends with *, or *")
    return value


def _patterns(value: Any) -> Any:
    """One pattern, or a list of them, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _given(value: Any) -> Any:
    if value is None:  # it would match everything, as if the key were not there
        raise ValueError("is empty; write [] for nothing, or leave the key out for everything")
    return _patterns(value)


Pattern = Annotated[str, AfterValidator(_pattern)]
_FORM, _FORM_GIVEN = (
    BeforeValidator(check, json_schema_input_type=str | tuple[str, ...]) for check in (_patterns, _given)
)
Patterns = Annotated[tuple[Pattern, ...] | None, _FORM_GIVEN]
"""None where they are not given."""


class Match(Model):
    """Which requests a rule is about: all that is given must match; of a list, one entry.

    Entries are exact, ``abc*`` (begins so), ``*abc`` (ends so) or ``*`` (anything but nothing). An empty list
    matches nothing.

    Attributes:
        to: services that are called, by name.
        callers: `from`; the identity of the caller: a service, or client.
        not_callers: `not_from`; whose identity matches none of these; nobody without mTLS has one.
        endpoints, not_endpoints: of the service that is called, by name.
        methods, not_methods: of the request.
        paths, not_paths: of the request, without its query.
    """

    to: Annotated[tuple[Pattern, ...], Field(min_length=1), _FORM]
    callers: Patterns = Field(default=None, alias="from")
    not_callers: Patterns = Field(default=None, alias="not_from")
    endpoints: Patterns = None
    not_endpoints: Patterns = None
    methods: Patterns = None
    not_methods: Patterns = None
    paths: Patterns = None
    not_paths: Patterns = None


class AccessRule(Model):
    """A rule: ``{allow: {to: cart, from: [frontend]}}``, or ``{deny: ...}``.

    Attributes:
        allow: what may pass; a service that is named by such a rule is closed to all else.
        deny: what may not, whatever allows it.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    allow: Match | None = None
    deny: Match | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.allow is None) == (self.deny is None):
            raise ValueError("a rule either allows or denies; write {allow: {to: a-service}} or {deny: ...}")
        return self

    @property
    def denies(self) -> bool:
        """Whether it denies what it matches."""
        return self.deny is not None

    @property
    def match(self) -> Match:
        """What it is about."""
        found = self.deny or self.allow
        assert found is not None, "a rule has one"
        return found
