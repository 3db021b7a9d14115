"""How the requests of an open load come; each process says its own mean rate, and how it is scaled."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from meshsim.scenario.fields import AsTuple, Choice, Duration, Model, PositiveDuration, Rate


class ProfilePoint(Model):
    """From `at` on, this rate; reached in a straight line over the `ramp` that begins at `at`."""

    at: Duration
    rate: Rate
    ramp: Duration = 0.0


def profile_pieces(profile: tuple[ProfilePoint, ...]) -> tuple[list[float], list[float], list[float]]:
    """The straight pieces of a profile: when each starts, s, its rate there, and how that changes, per s²."""
    starts, rates, slopes = [0.0], [0.0], [0.0]

    def piece(start: float, rate: float, slope: float) -> None:
        if start <= starts[-1]:
            for column in (starts, rates, slopes):
                column.pop()
        for column, value in ((starts, start), (rates, rate), (slopes, slope)):
            column.append(value)

    for i, point in enumerate(profile):
        before = rates[-1] + slopes[-1] * (point.at - starts[-1])
        if point.ramp > 0.0:
            end = profile[i + 1].at if i + 1 < len(profile) else profile[-1].at + 1e18
            piece(point.at, before, (point.rate - before) / point.ramp)
            if point.at + point.ramp < end:
                piece(point.at + point.ramp, point.rate, 0.0)
        else:
            piece(point.at, point.rate, 0.0)
    return starts, rates, slopes


def profile_mean(profile: tuple[ProfilePoint, ...], start: float, end: float) -> float:
    """Requests per second, on average between two times, s."""
    starts, rates, slopes = profile_pieces(profile)
    total = 0.0
    for left, right, rate, slope in zip(starts, [*starts[1:], inf], rates, slopes, strict=True):
        low, high = max(left, start), min(right, end)
        if low < high:
            total += (high - low) * (rate + slope * (0.5 * (low + high) - left))
    return total / (end - start)


class Mmpp(Model):
    """A Markov-modulated Poisson process: the state cycles through `rates`, staying exponentially long."""

    rates: Annotated[tuple[Rate, ...], Field(min_length=2), AsTuple]
    mean_times: Annotated[tuple[PositiveDuration, ...], Field(min_length=2), AsTuple]

    @model_validator(mode="after")
    def _as_many(self) -> Mmpp:
        if len(self.rates) != len(self.mean_times):
            counts = f"{len(self.rates)} rates but {len(self.mean_times)} mean_times"
            raise ValueError(f"{counts}; give as many of each")
        return self

    def mean_rate(self, start: float, end: float) -> float:
        """Requests per second, on average over all time."""
        states = zip(self.rates, self.mean_times, strict=True)
        return sum(rate * time for rate, time in states) / sum(self.mean_times)

    def scaled(self, factor: float) -> Mmpp:
        """The same states, with other rates."""
        return self.model_copy(update={"rates": tuple(rate * factor for rate in self.rates)})


class Trace(Model):
    """Arrivals from a CSV file next to the scenario.

    Attributes:
        file: its column `time` has seconds from the start, in order.
        times: these; the loader puts them here.
    """

    file: str = ""
    times: Annotated[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...], AsTuple] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Trace:
        if list(self.times) != sorted(self.times):
            raise ValueError("the times are not in order; sort them")
        return self

    def mean_rate(self, start: float, end: float) -> float:
        """Requests per second between two times, s."""
        return sum(start <= time < end for time in self.times) / (end - start)

    def scaled(self, factor: float) -> Trace:
        """Always a ValueError: times that come faster are another trace."""
        raise ValueError("a trace can't come faster without being another one")

    def __eq__(self, other: object) -> bool:
        """The same arrivals, whichever file they came from."""
        return isinstance(other, Trace) and self.times == other.times

    def __hash__(self) -> int:
        return hash(self.times)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The form in a file: without times."""
        parsed = super().__get_pydantic_json_schema__(core, handler)
        del parsed["properties"]["times"]
        return {**parsed, "required": ["file"]}


class Arrivals(Choice):
    """How requests of an open load come: ``poisson``, ``constant``, ``{mmpp: ...}``, ``{trace: ...}``."""

    KEY, NOUN, UNFIT = "arrivals", "arrivals", "are not valid arrivals"
    NEEDED: ClassVar = {"mmpp": "{rates: [...], mean_times: [...]}", "trace": "{file: arrivals.csv}"}

    kind: Literal["poisson", "constant", "mmpp", "trace"] = "poisson"
    mmpp: Mmpp | None = None
    trace: Trace | None = None

    @property
    def process(self) -> Mmpp | Trace | None:
        """What has a rate of its own; None where the load gives it."""
        return self.mmpp or self.trace
