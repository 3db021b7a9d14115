"""A scenario with more or less load: every load of it by the same factor.

Rates, profiles and the rates of a Markov-modulated load are multiplied; users are, and then rounded.
"""

from __future__ import annotations

from typing import Any

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.bracket import Middle, geometric
from meshsim.lab.show.sheets import number, rate
from meshsim.scenario.model import Load, Scenario

REQUESTS_MOST = 1e6
"""Of a run."""
USERS_MOST = 20_000.0


class Scaling:
    """The loads that a scenario could have.

    Attributes:
        scenario: with its own load, which is the factor 1.

    Raises:
        MeshsimError: a load follows a trace, which can't come faster without being another one.
    """

    def __init__(self, scenario: Scenario) -> None:
        for index, load in enumerate(scenario.load):
            if load.arrivals.kind == "trace":
                raise MeshsimError(
                    f"load[{index}] follows a trace, whose load can't be changed; for a search of the"
                    " capacity give it a rate, such as the trace's mean, and arrivals: poisson"
                )
        self.scenario = scenario
        self.closed = all(load.users is not None for load in scenario.load)

    def at(self, factor: float) -> Scenario:
        """The scenario with its loads multiplied."""
        if factor == 1.0:
            return self.scenario
        loads = tuple(load.scaled(factor) for load in self.scenario.load)
        return self.scenario.model_copy(update={"load": loads})

    @property
    def requests(self) -> float | None:
        """How many requests of the open loads a run measures; None where all are closed."""
        return None if self.closed else self.rate() * (self.scenario.duration - self._warmup)

    @property
    def highest(self) -> float:
        """A load so high that runs of it would take too long to be worth it."""
        if self.requests is None:
            return USERS_MOST / self._most
        return max(4.0, REQUESTS_MOST / self.requests)

    def rate(self, factor: float = 1.0) -> float:
        """Requests per second of the open loads together, on average over the measured time."""
        return sum(self._rate(load) for load in self.at(factor).load)

    def amounts(self, factor: float) -> list[dict[str, Any]]:
        """What each load is then: `to`, and `rate` (mean, per second) or `users`."""
        return [
            {"to": load.to, "users": load.users}
            if load.users is not None
            else {"to": load.to, "rate": self._rate(load)}
            for load in self.at(factor).load
        ]

    def label(self, factor: float) -> str:
        """A load for people: ``412/s``, ``52 users``; of several, their sums."""
        amounts = self.amounts(factor)
        users = sum(amount.get("users", 0) for amount in amounts)
        open_rate = self.rate(factor)
        return " and ".join(
            [*([rate(open_rate)] if open_rate else []), *([f"{number(users)} users"] if users else [])]
        )

    def nearest(self, factor: float) -> float:
        """The nearest load that can be had: users come in whole numbers, at least one."""
        return self._users(factor) / self._most if self.closed else factor

    def apart(self, factor: float, resolution: float, step: int) -> float:
        """The load so many steps away: each one more user where all loads are closed."""
        if self.closed:
            return self.nearest(factor + step / self._most)
        return float(factor * (1.0 + resolution) ** step)

    def middle(self, resolution: float) -> Middle:
        """Where to ask next between two factors."""
        return self._between_users if self.closed else geometric(resolution)

    def _between_users(self, low: float, high: float) -> float | None:
        """Users come in whole numbers: the search ends where there is none between."""
        fewer, more = self._users(low), self._users(high)
        if more - fewer < 2:
            return None
        return float(min(max(round((fewer * more) ** 0.5), fewer + 1), more - 1) / self._most)

    def _users(self, factor: float) -> int:
        return max(1, round(factor * self._most))

    @property
    def _most(self) -> int:
        """Users of the largest closed load."""
        return max(load.users or 0 for load in self.scenario.load)

    @property
    def _warmup(self) -> float:
        return 0.0 if self.scenario.warmup == "auto" else float(self.scenario.warmup)

    def _rate(self, load: Load) -> float:
        return load.mean_rate(self._warmup, self.scenario.duration)
