"""What happens to a mesh from outside: faults that begin and end, and configuration pushes."""

from __future__ import annotations

from typing import final

from meshsim.mesh.certificate import Agent, Authority
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.link import Link
from meshsim.mesh.replica import Replica

BEGIN = 0
END = 1
NO_ROOT = -1
"""The number of no root: nothing is said of one."""


class Overrides:
    """Values that replace a configured one while they last; the latest to begin counts."""

    in_force: dict[Disruption, float]

    def __init__(self, configured: float) -> None:
        self.configured = configured
        self.in_force = {}

    def begin(self, cause: Disruption, value: float) -> float:
        """One more is in force; what counts now."""
        self.in_force[cause] = value
        return self.value()

    def end(self, cause: Disruption) -> float:
        """One is over; what counts now."""
        del self.in_force[cause]
        return self.value()

    def value(self) -> float:
        """What counts now."""
        latest = self.configured
        for value in self.in_force.values():
            latest = value
        return latest


@final
class Factors(Overrides):
    """Factors on a configured value; those in force multiply."""

    def value(self) -> float:
        product = self.configured
        for factor in self.in_force.values():
            product *= factor
        return product


class Disruption(Event):
    """A fault: `fire` with BEGIN and, if it ends, with END."""

    def fire(self, step: int, now: float) -> None:
        if step == BEGIN:
            self.begin(now)
        else:
            self.end(now)

    def begin(self, now: float) -> None:
        """The fault sets in."""
        raise NotImplementedError

    def end(self, now: float) -> None:
        """The fault is over."""
        raise NotImplementedError


@final
class Slowness(Disruption):
    """A replica works slower; `factors` is shared by all that slow it."""

    def __init__(self, replica: Replica, factors: Overrides, factor: float) -> None:
        self.replica = replica
        self.factors = factors
        self.factor = factor

    def begin(self, now: float) -> None:
        self.replica.slow = self.factors.begin(self, self.factor)

    def end(self, now: float) -> None:
        self.replica.slow = self.factors.end(self)


@final
class Errors(Disruption):
    """A replica fails more often, or less."""

    def __init__(self, replica: Replica, ratios: Overrides, ratio: float) -> None:
        self.replica = replica
        self.ratios = ratios
        self.ratio = ratio

    def begin(self, now: float) -> None:
        self.replica.error_ratio = self.ratios.begin(self, self.ratio)

    def end(self, now: float) -> None:
        self.replica.error_ratio = self.ratios.end(self)


@final
class Outage(Disruption):
    """A replica is gone."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    def begin(self, now: float) -> None:
        self.replica.go_down(now)

    def end(self, now: float) -> None:
        self.replica.come_up(now)


@final
class CaOutage(Disruption):
    """The CA signs nothing."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    def begin(self, now: float) -> None:
        self.authority.go_down(now)

    def end(self, now: float) -> None:
        self.authority.come_up()


@final
class RootRotation(Disruption):
    """The CA signs with a new root, and trusts those before it for a while.

    Args:
        overlap: how long, s.
        delays: until each agent hears of the new root, and of the end of the others, s.
    """

    agents: list[Agent]
    delays: list[tuple[float, float]]

    def __init__(
        self, clock: Clock, authority: Authority, overlap: float, agents: list[Agent],
        delays: list[tuple[float, float]],
    ) -> None:  # fmt: skip
        self.clock = clock
        self.authority = authority
        self.overlap = overlap
        self.agents = agents
        self.delays = delays
        self.root = 0

    def begin(self, now: float) -> None:
        self.authority.root += 1
        self.root = self.authority.root
        for i in range(len(self.agents)):
            self.send(TrustNews(self.agents[i], self.root, NO_ROOT), now, self.delays[i][0])
        if self.overlap == 0.0:
            self.end(now)

    def end(self, now: float) -> None:
        if self.root > self.authority.oldest:
            self.authority.oldest = self.root
        for i in range(len(self.agents)):
            self.send(TrustNews(self.agents[i], NO_ROOT, self.root), now, self.delays[i][1])

    def send(self, news: TrustNews, now: float, delay: float) -> None:
        """Has an agent learn something, later or at once."""
        if delay > 0.0:
            self.clock.at(now + delay, news, 0)
        else:
            news.fire(0, now)


@final
class TrustNews(Event):
    """What an agent learns of roots: of a new one, or of the oldest that is still trusted."""

    def __init__(self, agent: Agent, newest: int, oldest: int) -> None:
        self.agent = agent
        self.newest = newest
        self.oldest = oldest

    def fire(self, step: int, now: float) -> None:
        self.agent.trust(self.newest)
        self.agent.distrust(self.oldest)


@final
class Slowdown(Disruption):
    """A link is slower."""

    def __init__(self, link: Link, factors: Overrides, factor: float) -> None:
        self.link = link
        self.factors = factors
        self.factor = factor

    def begin(self, now: float) -> None:
        self.link.factor = self.factors.begin(self, self.factor)

    def end(self, now: float) -> None:
        self.link.factor = self.factors.end(self)


@final
class Loss(Disruption):
    """A link loses more, or less."""

    def __init__(self, link: Link, ratios: Overrides, ratio: float) -> None:
        self.link = link
        self.ratios = ratios
        self.ratio = ratio

    def begin(self, now: float) -> None:
        self.link.loss_ratio = self.ratios.begin(self, self.ratio)

    def end(self, now: float) -> None:
        self.link.loss_ratio = self.ratios.end(self)
