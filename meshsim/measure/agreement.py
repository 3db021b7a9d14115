"""Request by request: how a live run's answers agree with the simulated ones.

The n-th request of an open load is the same in both runs: it comes at the same time and needs the same
service times. Those of a closed load are not: its users send when they have their answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.measure.blocks import Truths
from meshsim.measure.grid import Floats, Ints, Window
from meshsim.measure.latency import QUANTILES
from meshsim.measure.metrics import enough
from meshsim.measure.records import Records

RESIDUALS = {"p01": 0.01, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Requests that have an answer in both runs.

    Attributes:
        start: (n,) when they came, s.
        simulated, live: (n,) latencies, s.
        same_status, same_attempts: (n,) whether status and number of tries are equal.
    """

    start: Floats
    simulated: Floats
    live: Floats
    same_status: Truths
    same_attempts: Truths

    @property
    def residuals(self) -> Floats:
        """(m,) live minus simulated latency, s, of those that ended in the same way after as many tries."""
        same = self.same_status & self.same_attempts
        return np.asarray((self.live - self.simulated)[same])

    def as_dict(self) -> dict[str, object]:
        """The numbers; those of no requests are None.

        `p50_error` and `p99_error` compare the percentiles of all these requests, None where fewer than
        `LEAST_BEYOND` lie beyond; `residuals` are percentiles and mean of the residuals, s.
        """
        if not len(self.start):
            empty = dict.fromkeys(("status_equal", "attempts_equal", "p50_error", "p99_error", "residuals"))
            return {"requests": 0, **empty}
        errors = [
            float(np.quantile(self.live, QUANTILES[key]) / np.quantile(self.simulated, QUANTILES[key]) - 1.0)
            if enough(len(self.start), QUANTILES[key])
            else None
            for key in ("p50", "p99")
        ]
        rest = self.residuals
        return {
            "requests": len(self.start),
            "status_equal": float(self.same_status.mean()),
            "attempts_equal": float(self.same_attempts.mean()),
            "p50_error": errors[0],
            "p99_error": errors[1],
            "residuals": {
                "mean": float(rest.mean()),
                **{key: float(np.quantile(rest, q)) for key, q in RESIDUALS.items()},
            }
            if len(rest)
            else None,
        }


def agreement(simulated: Records, live: Records, loads: Sequence[int], window: Window) -> Agreement:
    """Pairs the requests of two runs by load and rank.

    Args:
        simulated: a run.
        live: another of the same arrivals; it may have been cut short.
        loads: indices of the open loads.
        window: requests that come outside of it don't count.
    """
    pairs = [(_rows(simulated, load), _rows(live, load)) for load in loads]
    some = [(one[: len(other)], other[: len(one)]) for one, other in pairs]
    first = np.concatenate([one for one, _ in some] or [np.zeros(0, np.int64)])
    second = np.concatenate([other for _, other in some] or [np.zeros(0, np.int64)])
    a, b = simulated.requests, live.requests
    start = a.start[first]
    take = (a.status[first] > 0) & (b.status[second] > 0) & (start >= window.start) & (start < window.end)
    first, second = first[take], second[take]
    return Agreement(
        start=a.start[first],
        simulated=(a.end - a.start)[first],
        live=(b.end - b.start)[second],
        same_status=np.asarray(a.status[first] == b.status[second]),
        same_attempts=np.asarray(a.attempts[first] == b.attempts[second]),
    )


def _rows(records: Records, load: int) -> Ints:
    """The rows of a load's requests, in order of arrival."""
    return np.flatnonzero(records.requests.load == load)
