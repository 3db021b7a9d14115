"""The ways a scenario writes a random time: ``5ms``, ``{exponential: 5ms}``, ``{lognormal: {mean: 4ms, cv: 1.2}}``.

Each form is a frozen model that builds the :class:`meshsim.random.Distribution` it names.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from meshsim import random
from meshsim.scenario.fields import Duration, Model, Positive, Weight


class ConstantTime(Model):
    """Always the same."""

    constant: Duration

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"constant": value}

    def build(self) -> random.Distribution:
        return random.Constant(self.constant)


class ExponentialTime(Model):
    """Exponential; the value is its mean."""

    exponential: Duration

    def build(self) -> random.Distribution:
        return random.Exponential(self.exponential)


class _Erlang(Model):
    mean: Duration
    k: int = Field(ge=1, le=1000)


class ErlangTime(Model):
    """The sum of k exponentials."""

    erlang: _Erlang

    def build(self) -> random.Distribution:
        return random.Erlang(self.erlang.mean, self.erlang.k)


class _MeanCv(Model):
    mean: Duration
    cv: Positive


class GammaTime(Model):
    """Gamma by mean and coefficient of variation."""

    gamma: _MeanCv

    def build(self) -> random.Distribution:
        return random.Gamma(self.gamma.mean, self.gamma.cv)


class LogNormalTime(Model):
    """Log-normal by mean and coefficient of variation."""

    lognormal: _MeanCv

    def build(self) -> random.Distribution:
        return random.LogNormal(self.lognormal.mean, self.lognormal.cv)


class _Weibull(Model):
    mean: Duration
    shape: Annotated[Positive, Field(ge=0.05)]


class WeibullTime(Model):
    """Weibull by mean and shape."""

    weibull: _Weibull

    def build(self) -> random.Distribution:
        return random.Weibull(self.weibull.mean, self.weibull.shape)


class _Pareto(Model):
    mean: Duration
    shape: Annotated[Positive, Field(gt=1.0)]


class ParetoTime(Model):
    """Pareto by mean and shape, which must exceed 1 for the mean to exist."""

    pareto: _Pareto

    def build(self) -> random.Distribution:
        return random.Pareto(self.pareto.mean, self.pareto.shape)


class _Uniform(Model):
    low: Duration
    high: Duration

    @model_validator(mode="after")
    def _ordered(self) -> _Uniform:
        if self.high < self.low:
            raise ValueError("high is less than low")
        return self


class UniformTime(Model):
    """Uniform between low and high."""

    uniform: _Uniform

    def build(self) -> random.Distribution:
        return random.Uniform(self.uniform.low, self.uniform.high)


class _Empirical(Model):
    values: tuple[Duration, ...] = ()
    file: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> _Empirical:
        if bool(self.values) == bool(self.file):
            raise ValueError("give either values or a file")
        return self


class EmpiricalTime(Model):
    """One of the measured values; a file holds one duration a line (seconds where it has no unit).

    The loader reads the file, next to the scenario, and puts its content in ``values``.
    """

    empirical: _Empirical

    def build(self) -> random.Distribution:
        return random.Empirical(list(self.empirical.values))


def _kind(value: Any) -> str:
    """Which form a written time has: the name of its first known key."""
    if isinstance(value, Model):
        return next(iter(type(value).model_fields))
    if isinstance(value, dict):
        known = [key for key in value if key in KINDS and key != "weight"]
        return str(known[0] if known else next(iter(value), "constant"))
    return "constant"


class _Part(Model):
    """One branch of a mixture: a weight beside a time."""

    weight: Weight
    time: Time

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, value: Any) -> Any:
        if isinstance(value, dict) and "time" not in value:
            rest = {key: entry for key, entry in value.items() if key != "weight"}
            return {"weight": value.get("weight"), "time": rest}
        return value


class MixtureTime(Model):
    """One of several times, by weight."""

    mixture: Annotated[tuple[_Part, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _some_weight(self) -> MixtureTime:
        if sum(part.weight for part in self.mixture) <= 0:
            raise ValueError("the weights are all 0")
        return self

    def build(self) -> random.Distribution:
        return random.Mixture([part.weight for part in self.mixture], [part.time.build() for part in self.mixture])


KINDS = {
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
}

Time = Annotated[
    Annotated[ConstantTime, Tag("constant")]
    | Annotated[ExponentialTime, Tag("exponential")]
    | Annotated[ErlangTime, Tag("erlang")]
    | Annotated[GammaTime, Tag("gamma")]
    | Annotated[LogNormalTime, Tag("lognormal")]
    | Annotated[WeibullTime, Tag("weibull")]
    | Annotated[ParetoTime, Tag("pareto")]
    | Annotated[UniformTime, Tag("uniform")]
    | Annotated[EmpiricalTime, Tag("empirical")]
    | Annotated[MixtureTime, Tag("mixture")],
    Discriminator(
        _kind,
        custom_error_type="time",
        custom_error_message="no such distribution; write a duration or one of " + ", ".join(KINDS),
    ),
]

_Part.model_rebuild()
MixtureTime.model_rebuild()
