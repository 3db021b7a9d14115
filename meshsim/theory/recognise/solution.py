"""What theory says about a scenario, in the names of `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["exact", "approx", "bound"]

DERIVED = {
    "failures.KEY_ratio": "failures.KEY / requests.completed",
    "derived.services.X.wait_mean": "services.X.queue_mean / services.X.rate (Little), s",
    "derived.services.X.versions.V.share": "services.X.versions.V.requests / services.X.requests",
    "derived.load[I].latency.mean": "mean of `latency` over the measured requests of load I, s",
    "derived.edges.A -> B.tries": "edges.A -> B.attempts / edges.A -> B.requests",
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


def measured(summary: Mapping[str, Any], metric: str) -> float | None:
    """What a run's summary says about a predicted metric; None where it does not.

    Args:
        summary: as `summary.json` has it.
        metric: of a :class:`Prediction`; any but ``derived.load[I]...``, which takes the requests themselves.
    """
    if metric.startswith("failures.") and metric.endswith("_ratio"):
        count = summary["failures"].get(metric.removeprefix("failures.").removesuffix("_ratio"), 0)
        return _quotient(count, summary["requests"]["completed"])
    kind, _, rest = metric.removeprefix("derived.").partition(".")
    if not metric.startswith("derived."):
        return _at(summary, kind, rest)
    if rest.endswith(".wait_mean"):
        part = summary["services"][rest.removesuffix(".wait_mean")]
        return _quotient(part["queue_mean"], part["rate"])
    if rest.endswith(".tries"):
        part = summary["edges"][rest.removesuffix(".tries")]
        return _quotient(part["attempts"], part["requests"])
    if rest.endswith(".share"):
        service, _, version = rest.removesuffix(".share").partition(".versions.")
        part = summary["services"][service]
        return _quotient(part["versions"][version]["requests"], part["requests"])
    return None


def _at(summary: Mapping[str, Any], kind: str, rest: str) -> float | None:
    """The number at a path; the names of services may hold dots."""
    place: Any = summary[kind]
    if kind == "services":
        name = next(name for name in sorted(place, key=len, reverse=True) if rest.startswith(f"{name}."))
        place, rest = place[name], rest.removeprefix(f"{name}.")
    for key in rest.split("."):
        place = place[key]
    return None if place is None else float(place)


def _quotient(amount: float | None, base: float | None) -> float | None:
    return float(amount) / float(base) if amount is not None and base else None
