"""A scenario with more or less load: rates, profiles and users (rounded) by the same factor."""

from __future__ import annotations

from meshsim.errors import MeshsimError
from meshsim.lab.search.bisection import Middle, geometric
from meshsim.lab.show.sheets import number, rate
from meshsim.measure.capacity import Amount, LoadLevel
from meshsim.scenario.model import Scenario

REQUESTS_MOST = 1e6
"""Of a run."""
USERS_MOST = 20_000.0


class Scaling:
    """The loads that a scenario could have, 1 is its own; MeshsimError for a trace, which is as it is."""

    def __init__(self, scenario: Scenario) -> None:
        for index, load in enumerate(scenario.load):
            if load.arrivals.kind == "trace":
                raise MeshsimError(
                    f"load[{index}] follows a trace, whose load can't be changed; for a search of the"
                    " capacity give it a rate, such as the trace's mean, and arrivals: poisson"
                )
        self.scenario = scenario
        self.closed = all(load.users is not None for load in scenario.load)
        self.most_users = max(load.users or 0 for load in scenario.load)

    def at(self, factor: float) -> Scenario:
        """The scenario with its loads multiplied."""
        if factor == 1.0:
            return self.scenario
        loads = tuple(load.scaled(factor) for load in self.scenario.load)
        return self.scenario.model_copy(update={"load": loads})

    @property
    def requests(self) -> float | None:
        """How many requests of the open loads a run measures; None where all are closed."""
        if self.closed:
            return None
        return self._rate(self.amounts(1.0)) * (self.scenario.duration - measured_from(self.scenario))

    @property
    def highest(self) -> float:
        """A load so high that runs of it would take too long to be worth it."""
        if self.requests is None:
            return USERS_MOST / self.most_users
        return max(4.0, REQUESTS_MOST / self.requests)

    def level(self, factor: float) -> LoadLevel:
        """A load as results have it."""
        return LoadLevel(factor, self.label(factor), self.amounts(factor))

    def amounts(self, factor: float) -> list[Amount]:
        """What each of the scenario's loads is then."""
        start, end = measured_from(self.scenario), self.scenario.duration
        return [
            Amount(load.to, load.mean_rate(start, end) if load.users is None else None, load.users)
            for load in self.at(factor).load
        ]

    def label(self, factor: float) -> str:
        """A load for people: ``412/s``, ``52 users``; of several, their sums."""
        amounts = self.amounts(factor)
        users, open_rate = sum(amount.users or 0 for amount in amounts), self._rate(amounts)
        parts = [rate(open_rate) if open_rate else "", f"{number(users)} users" if users else ""]
        return " and ".join(filter(None, parts))

    def _rate(self, amounts: list[Amount]) -> float:
        return sum(amount.rate or 0.0 for amount in amounts)

    def nearest(self, factor: float) -> float:
        """The nearest load that can be had: users come in whole numbers, at least one."""
        return self._users(factor) / self.most_users if self.closed else factor

    def apart(self, factor: float, resolution: float, step: int) -> float:
        """The load so many steps away: each one more user where all loads are closed."""
        if self.closed:
            return self.nearest(factor + step / self.most_users)
        return float(factor * (1.0 + resolution) ** step)

    def middle(self, resolution: float) -> Middle:
        """Where to ask next between two factors."""
        return self._between_users if self.closed else geometric(resolution)

    def _between_users(self, low: float, high: float) -> float | None:
        """Users come in whole numbers: the search ends where there is none between."""
        fewer, more = self._users(low), self._users(high)
        if more - fewer < 2:
            return None
        return float(min(max(round((fewer * more) ** 0.5), fewer + 1), more - 1) / self.most_users)

    def _users(self, factor: float) -> int:
        return max(1, round(factor * self.most_users))


def measured_from(scenario: Scenario) -> float:
    """The end of the warm-up, s; 0 where runs find it out themselves."""
    return 0.0 if scenario.warmup == "auto" else float(scenario.warmup)
