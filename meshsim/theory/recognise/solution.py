"""What theory says about a scenario, in the names of `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from meshsim.measure.result import Result, at

Kind = Literal["exact", "approx", "bound"]

DERIVED = {
    "failures.KEY_ratio": "failures.KEY / requests.completed",
    "derived.services.X.wait_mean": "services.X.queue_mean / services.X.rate (Little), s",
    "derived.services.X.versions.V.share": "services.X.versions.V.requests / services.X.requests",
    "derived.load[I].latency.mean": "mean of `latency` over the measured requests of load I, s",
    "derived.edges.A -> B.tries": "edges.A -> B.attempts / edges.A -> B.requests",
    "derived.edges.A -> B.endpoints.E.tries": "the same of the calls to an endpoint",
}
"""How the predictions that are no fields of the summary are computed from a run (see :func:`measured`)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One number that a run should show.

    Attributes:
        metric: path in `summary.json` (``latency.p99``, ``services.cart.utilisation``), or one of
            :data:`DERIVED`.
        value: seconds, per second, or a ratio.
        kind: ``exact`` in the long run; ``approx``; ``bound``: an upper bound.
        formula: what it was computed by.
        source: where that comes from.
    """

    metric: str
    value: float
    kind: Kind
    formula: str
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Solution:
    """Everything theory says, and why it does not say more.

    Attributes:
        scenario: the scenario's name.
        predictions: in the order of the summary.
        reasons: why parts can't be solved, or only approximately; empty if everything is exact.
    """

    scenario: str
    predictions: list[Prediction] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        said = f"{len(self.predictions)} predictions, {len(self.reasons)} reasons why there are no more"
        return f"<Solution {self.scenario[:60]!r}: {said}>"

    def get(self, metric: str) -> Prediction | None:
        """The prediction of a metric, or None."""
        return next((prediction for prediction in self.predictions if prediction.metric == metric), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json`."""
        return asdict(self)


def kind_of(exact: bool) -> Kind:
    """What to call a number that is exact, or is not."""
    return "exact" if exact else "approx"


def measured(summary: Result | Mapping[str, Any], metric: str) -> float | None:
    """What a run's summary says about a predicted metric; None where it does not.

    Args:
        summary: typed, or as `summary.json` has it.
        metric: of a :class:`Prediction`; any but ``derived.load[I]...``, which takes the requests themselves.
    """
    if metric.startswith("failures.") and metric.endswith("_ratio"):
        count = at(summary, "failures").get(metric.removeprefix("failures.").removesuffix("_ratio"), 0)
        return _quotient(count, at(summary, "requests.completed"))
    if not metric.startswith("derived."):
        value = at(summary, metric)
        return None if value is None else float(value)
    place, _, name = metric.removeprefix("derived.").rpartition(".")
    ratios = {
        "wait_mean": (f"{place}.queue_mean", f"{place}.rate"),
        "tries": (f"{place}.attempts", f"{place}.requests"),
        "share": (f"{place}.requests", f"{place.partition('.versions.')[0]}.requests"),
    }
    return _quotient(*(at(summary, path) for path in ratios[name])) if name in ratios else None


def _quotient(amount: float | None, base: float | None) -> float | None:
    return float(amount) / float(base) if amount is not None and base else None
