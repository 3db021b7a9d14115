"""The ways a scenario writes a random time, such as ``5ms`` and ``{lognormal: {mean: 4ms, cv: 1.2}}``.

Each form is a frozen model that builds the :class:`meshsim.random.Distribution` it names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union

from pydantic import BeforeValidator, Field, Tag, model_validator
from typing_extensions import TypeAliasType  # pydantic's own dependency; typing has it from 3.12 on

from meshsim import random
from meshsim.scenario.fields import AsTuple, Duration, Model, Weight, by_key, with_unit
from meshsim.scenario.names import listed, suggestion


class TimeForm(Model):
    """One way to write a random time: a field with the arguments of the distribution."""

    KIND: ClassVar[Callable[..., random.Distribution]]

    def build(self) -> random.Distribution:
        """The distribution to draw from."""
        (name,) = type(self).model_fields
        value = getattr(self, name)
        return type(self).KIND(*(vars(value).values() if isinstance(value, Model) else [value]))


class ConstantTime(TimeForm):
    """Always the same; a bare duration means it too."""

    KIND = random.Constant
    constant: Duration

    def as_config(self) -> str:
        return with_unit(self.constant, "s")


class ExponentialTime(TimeForm):
    """Exponential; the value is its mean."""

    KIND = random.Exponential
    exponential: Duration


class Erlang(Model):
    """Parameters of an Erlang distribution.

    Attributes:
        mean: of the whole sum.
        k: how many exponentials are summed.
    """

    mean: Duration
    k: Annotated[int, Field(ge=1, le=1000)]


class ErlangTime(TimeForm):
    """The sum of k exponentials."""

    KIND = random.Erlang
    erlang: Erlang


class MeanCv(Model):
    """Parameters of a gamma or log-normal distribution.

    Attributes:
        mean: the mean.
        cv: standard deviation over mean.
    """

    mean: Duration
    cv: Annotated[float, Field(ge=1e-9, le=1e9)]  # the square of a smaller one is next to nothing, or nothing


class GammaTime(TimeForm):
    """Gamma by mean and coefficient of variation."""

    KIND = random.Gamma
    gamma: MeanCv


class LogNormalTime(TimeForm):
    """Log-normal by mean and coefficient of variation."""

    KIND = random.LogNormal
    lognormal: MeanCv


class Weibull(Model):
    """Parameters of a Weibull distribution.

    Attributes:
        mean: the mean.
        shape: below 1 the tail is heavier than exponential.
    """

    mean: Duration
    shape: Annotated[float, Field(ge=0.05, le=1e9)]


class WeibullTime(TimeForm):
    """Weibull by mean and shape."""

    KIND = random.Weibull
    weibull: Weibull


class Pareto(Model):
    """Parameters of a Pareto distribution.

    Attributes:
        mean: the mean.
        shape: the tail's exponent, more than 1 for the mean to exist.
    """

    mean: Duration
    shape: Annotated[float, Field(gt=1.0, le=1e9)]


class ParetoTime(TimeForm):
    """Pareto by mean and shape."""

    KIND = random.Pareto
    pareto: Pareto


class Uniform(Model):
    """The two ends of a uniform distribution."""

    low: Duration
    high: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.high < self.low:
            raise ValueError("high is less than low; swap them")
        return self


class UniformTime(TimeForm):
    """Uniform between low and high."""

    KIND = random.Uniform
    uniform: Uniform


class Empirical(Model):
    """Measured values, here or in a file next to the scenario.

    Attributes:
        values: durations.
        file: one duration a line, seconds where it has no unit; the loader puts them in `values`.
    """

    values: Annotated[tuple[Duration, ...], AsTuple] = ()
    file: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Empirical:
        if bool(self.values) == bool(self.file):
            raise ValueError("an empirical time has either values or a file; give one of them")
        return self


class EmpiricalTime(TimeForm):
    """One of the measured values, each as likely as the other."""

    empirical: Empirical

    def build(self) -> random.Distribution:
        return random.Empirical(list(self.empirical.values))


class Part(Model):
    """One branch of a mixture: a weight beside a time."""

    weight: Weight
    time: Time

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, value: Any) -> Any:
        if isinstance(value, dict) and "time" not in value:
            weight = {"weight": value["weight"]} if "weight" in value else {}
            return {**weight, "time": {key: entry for key, entry in value.items() if key != "weight"}}
        return value


class MixtureTime(TimeForm):
    """One of several times, by weight."""

    mixture: Annotated[tuple[Part, ...], Field(min_length=1), AsTuple]

    @model_validator(mode="after")
    def _some_weight(self) -> MixtureTime:
        if sum(part.weight for part in self.mixture) <= 0:
            raise ValueError("the weights are all 0; give one of them more")
        return self

    def build(self) -> random.Distribution:
        times = [part.time.build() for part in self.mixture]
        return random.Mixture([part.weight for part in self.mixture], times)


class SumTime(TimeForm):
    """Several independent times, one after the other."""

    sum: Annotated[tuple[Time, ...], Field(min_length=1, max_length=1000), AsTuple]

    def build(self) -> random.Distribution:
        return random.Sum([part.build() for part in self.sum])


KINDS: dict[str, type[TimeForm]] = {
    "constant": ConstantTime,
    "exponential": ExponentialTime,
    "erlang": ErlangTime,
    "gamma": GammaTime,
    "lognormal": LogNormalTime,
    "weibull": WeibullTime,
    "pareto": ParetoTime,
    "uniform": UniformTime,
    "empirical": EmpiricalTime,
    "mixture": MixtureTime,
    "sum": SumTime,
}


def _one_form(value: Any) -> Any:
    """A bare duration spelt out, and anything that is not exactly one distribution refused."""
    if isinstance(value, Model):
        return value
    if not isinstance(value, dict):
        return {"constant": value}
    if len(value) != 1:
        given = listed([str(key) for key in value], "and") or "none"
        message = f"a time is one distribution, not {given}"
        raise ValueError(f"{message}; write a duration or one of {listed(KINDS)}")
    (name,) = value
    if name not in KINDS:
        raise ValueError(f"no distribution {name!r}; {suggestion(str(name), KINDS)}")
    return value


if TYPE_CHECKING:
    Time = TimeForm
else:
    _Form = Union[tuple(Annotated[kind, Tag(f"<{name}>")] for name, kind in KINDS.items())]  # noqa: UP007
    Time = TypeAliasType(
        "Time",
        Annotated[
            Annotated[_Form, by_key(KINDS)],
            BeforeValidator(_one_form, json_schema_input_type=Duration | _Form),
        ],
    )
