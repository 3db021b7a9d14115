"""The kinds of value a scenario key takes, each parsed once, here, with its unit.

A validator's message is ``what is wrong; what to write``: the loader shows the second half as the remedy.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, model_validator
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import WithJsonSchema
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType  # pydantic's own dependency; typing has it from 3.12 on

from meshsim import units
from meshsim.errors import shown
from meshsim.plain import native
from meshsim.scenario.names import listed, suggestion

PLAIN = (type(None), bool, int, float, str, list, dict)
"""The types of what YAML gives."""
ATTRIBUTE = re.compile(r"^    (\w[\w, ]*): (.+(?:\n {8,}.+)*)", re.MULTILINE)


class Model(BaseModel):
    """A frozen part of a scenario; keys it does not know are errors."""

    # Strict: `replicas: "3"` and `optional: yes` are slips, not numbers and truths. Deferred: a scenario's
    # schema is built once, as a whole, when the first one is read.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON Schema, in the words of the docstring, whose `Attributes` are the fields."""
        parsed: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        text = inspect.getdoc(cls) or ""
        parsed["description"] = " ".join(text.split("\n\n")[0].split()).replace("`", "")
        words = {
            name.strip(): " ".join(about.split())
            for names, about in ATTRIBUTE.findall(text.partition("Attributes:")[2])
            for name in names.split(",")
        }
        for key, name, _ in keyed_fields(cls):
            entry = parsed["properties"].get(key)
            if entry is not None and name in words and "description" not in entry:
                entry["description"] = re.sub(r"^`\w+`; ", "", words[name]).replace("`", "")
        return parsed

    def as_config(self) -> Any:
        """It as a file could have it: the keys that were given, and no defaults."""
        return {
            key: _as_config(getattr(self, name), _unit(name, field))
            for key, name, field in keyed_fields(type(self))
            if name in self.model_fields_set
        }

    @model_validator(mode="before")
    @classmethod
    def _native(cls, value: Any) -> Any:
        """What Python code may hand over: numpy's numbers and such; what YAML gives stays as it is."""
        if isinstance(value, dict):
            return {key: entry if type(entry) in PLAIN else native(entry) for key, entry in value.items()}
        return value


def keyed_fields(model: type[Model]) -> Iterator[tuple[str, str, FieldInfo]]:
    """The fields of a model: the key in a file, the name here, and what pydantic knows of it."""
    for name, field in model.model_fields.items():
        yield field.alias or name, name, field


def by_key(kinds: Collection[str]) -> Discriminator:
    """Distinguishes models by a key that only one of them has; a validator has made sure that it is there.

    Angle brackets distinguish the tags from keys in the place of an error.
    """

    def tag(value: Any) -> str:
        names = type(value).model_fields if isinstance(value, Model) else value
        return f"<{next((kind for kind in kinds if kind in names), '')}>"

    return Discriminator(tag)


NOT_YET = "is not supported yet in this version of meshsim"


def not_yet(names: tuple[str, ...], remedy: str) -> BeforeValidator:
    """Refuses values whose mechanisms are not built yet."""

    def check(value: Any) -> Any:
        if value in names:
            raise ValueError(f"{value} {NOT_YET}; {remedy}")
        return value

    return BeforeValidator(check)


def _later(value: Any) -> Any:
    raise ValueError(f"{NOT_YET.removeprefix('is ')}; leave the key out")


def _text_form(number: str, unit: str, *examples: str) -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^\s*{number}\s*{unit}\s*$", "examples": list(examples)}


NUMBER, SOME = r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", r"(?=[+0.]*[1-9])"
"""A number, and before one: it is not 0, since it has another digit before any exponent."""
DURATION, POSITIVE_DURATION = (
    _text_form(number, "(ns|us|µs|ms|s|m|h|d)", "25ms", "2s", "5m") for number in (NUMBER, SOME + NUMBER)
)
RATE, POSITIVE_RATE = (
    _text_form(number, r"/\s*(ms|s|m|h)", "200/s", "12/m") for number in (NUMBER, SOME + NUMBER)
)
PERCENT = _text_form(r"\+?(100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?|\.[0-9]+)", "%", "5%")
SECONDS, PER_SECOND, COUNT = map(BeforeValidator, (units.duration, units.rate, units.count))


def _json(*forms: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": list(forms)} if len(forms) > 1 else forms[0])


# Named aliases, so that the JSON Schema says each form once
Duration = TypeAliasType("Duration", Annotated[float, SECONDS, _json(DURATION, {"const": 0})])
PositiveDuration = TypeAliasType(
    "PositiveDuration", Annotated[float, SECONDS, Field(gt=0), _json(POSITIVE_DURATION)]
)
Rate = TypeAliasType("Rate", Annotated[float, PER_SECOND, _json(RATE)])
PositiveRate = TypeAliasType("PositiveRate", Annotated[float, PER_SECOND, Field(gt=0), _json(POSITIVE_RATE)])
Ratio = TypeAliasType(
    "Ratio",
    Annotated[
        float, BeforeValidator(units.ratio), _json(PERCENT, {"type": "number", "minimum": 0, "maximum": 1})
    ],
)
Count = TypeAliasType(
    "Count", Annotated[int, COUNT, _json({"type": "integer", "minimum": 0}, {"const": "unlimited"})]
)
PositiveCount = TypeAliasType(
    "PositiveCount",
    Annotated[int, COUNT, Field(ge=1), _json({"type": "integer", "minimum": 1}, {"const": "unlimited"})],
)
Weight = Annotated[float, Field(ge=0, le=1e9)]
Later = Annotated[
    None, BeforeValidator(_later), WithJsonSchema({"not": {}, "description": "Not supported yet."})
]
"""A key of the design whose mechanism is not built yet: refused, never ignored."""


def _as_tuple(value: Any) -> Any:
    """A YAML list as the tuple that strict, frozen models hold."""
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's arrays
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(_as_tuple)
"""Goes with every tuple field."""


class Choice(Model):
    """One of several kinds, written as a bare name or, with options, as ``{name: options}``.

    A choice has a field `kind`, the names in a Literal, and fields of these names for those with options.
    """

    KEY: ClassVar[str]
    NOUN: ClassVar[str]
    UNFIT: ClassVar[str]
    """The key whose value it is, what a kind is called, and what is said of any other value."""
    LATER: ClassVar[tuple[str, ...]] = ()
    """Kinds that are not built yet."""
    NEEDED: ClassVar[dict[str, str]] = {}
    """By kind: what the options look like that must be given. All others may stand bare."""

    kind: str

    @model_validator(mode="before")
    @classmethod
    def _chosen(cls, value: Any) -> Any:
        if isinstance(value, dict) and (not value or "kind" in value):  # as Python code builds it
            return value
        kinds = get_args(cls.model_fields["kind"].annotation)
        name = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else value
        if not isinstance(name, str):
            raise ValueError(f"{shown(value)} {cls.UNFIT}; write one of {listed(kinds)}")
        if name in cls.LATER:
            raise ValueError(f"{name} {NOT_YET}; write one of {listed(kinds)}")
        if name not in kinds:
            raise ValueError(f"no {cls.NOUN} {shown(name)}; {suggestion(name, kinds)}")
        if isinstance(value, str) and name in cls.NEEDED:
            raise ValueError(f"{name} needs its options; write {{{name}: {cls.NEEDED[name]}}}")
        if isinstance(value, dict) and name not in cls.model_fields:
            raise ValueError(f"{name} has no options; write {cls.KEY}: {name}")
        return {"kind": name, **(value if isinstance(value, dict) else {})}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if getattr(self, self.kind, self) is None:
            raise ValueError(f"{self.kind} is empty; write its options")
        return self

    def as_config(self) -> Any:
        options = getattr(self, self.kind, None)
        return {self.kind: config} if options and (config := options.as_config()) else self.kind

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The forms in a file."""
        parsed = super().__get_pydantic_json_schema__(core, handler)
        forms = parsed["properties"]
        bare = [name for name in forms.pop("kind")["enum"] if name not in cls.NEEDED]
        options = {name: form.get("anyOf", [form])[0] for name, form in forms.items()}
        mapping = {"type": "object", "properties": options, "additionalProperties": False}
        return {
            "description": parsed["description"],
            "anyOf": [{"enum": bare}, {**mapping, "maxProperties": 1}],
        }


UNITS = {Duration: "s", PositiveDuration: "s", Rate: "/s", PositiveRate: "/s"}


def _unit(name: str, field: FieldInfo) -> str:
    """What stands behind a number of this field; empty for bare ones."""
    return "s" if name == "warmup" else _unit_of(field.annotation)  # warmup, which may be `auto`, is odd


def _unit_of(annotation: object) -> str:
    if annotation in UNITS:
        return UNITS[annotation]
    return next(filter(None, map(_unit_of, get_args(annotation))), "")


def _as_config(value: Any, unit: str) -> Any:
    if isinstance(value, Model):
        return value.as_config()
    if isinstance(value, tuple | list):
        return [_as_config(entry, unit) for entry in value]
    if isinstance(value, dict):
        return {key: _as_config(entry, unit) for key, entry in value.items()}
    if isinstance(value, float) and unit:
        return with_unit(value, unit)
    return "unlimited" if isinstance(value, int) and value >= units.UNLIMITED else value


def with_unit(value: float, unit: str) -> str:
    """``120.0`` -> ``120s``, with every digit that it has."""
    return f"{value!r}".removesuffix(".0") + unit
