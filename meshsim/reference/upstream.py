"""What a caller's proxy knows about a service that it calls: the policy in force, and its clusters.

Some of a policy belongs to the call: once it has reached the filters, it keeps its time-outs, retries,
hedges, faults and split, whatever is pushed. The rest belongs to the proxy, with state that all its calls
share: tokens, budgets, thresholds, ejections. A push changes that at once, and clears only what it changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from meshsim.random import Key
from meshsim.reference.attempt import Server
from meshsim.reference.budgets import LinkerdBudget, TokenBucket
from meshsim.reference.clock import Steps
from meshsim.reference.cluster import Cluster
from meshsim.reference.handshake import End
from meshsim.reference.link import Link
from meshsim.reference.run import Run
from meshsim.scenario.model import Policy, Scenario
from meshsim.scenario.policy import RetryBudget


class Upstream:
    """A service, as one caller instance sees it. `edge` is the index of (caller's service, this service)."""

    def __init__(
        self,
        run: Run,
        caller: Key,
        edge: int,
        link: Link,
        replicas: Mapping[int, Server],
        there: Sequence[int],
        endpoints: Sequence[str],
        end: End,
    ) -> None:
        self.run = run
        self.clock = run.clock
        self.caller = caller
        self.edge = edge
        self.link = link  # shared with the caller's other instances
        self.names = list(run.scenario.edges())[edge]
        self.end = end
        self.secure = run.scenario.secures(*self.names)  # whether it uses mTLS
        self.policy = run.scenario.policy(*self.names)  # of the service, in force for its clusters
        self.replicas = replicas  # all that may ever be, by number
        self.there = tuple(there)  # the numbers of those that it knows to be endpoints
        self.rate_limit = self.policy.rate_limit
        self.bucket = self.new_bucket(self.policy)
        self.routes = {endpoint: Route(self, endpoint, run.scenario) for endpoint in endpoints}
        self.budget = self._new_budget()
        self.clusters: dict[str | None, Cluster] = {}
        self.told = set(self._named(run.scenario))  # the clusters that it may have hosts of
        self._grid = 0
        self._watch()
        self._make(run.scenario)

    def cluster(self, version: str | None) -> Cluster:
        """The hosts of one version, or of all: two clusters that know nothing of each other."""
        if version not in self.clusters:
            self.clusters[version] = Cluster(
                self.run,
                self.caller,
                self.edge,
                self.link,
                self.policy,
                self._hosts(version),
                self.end,
                version=version is not None,
                secure=self.secure,
            )
        return self.clusters[version]

    def _named(self, scenario: Scenario) -> dict[str | None, None]:
        """The clusters that the policies of the edge's routes send anybody to, in their order."""
        splits = [scenario.policy(*self.names, endpoint).split for endpoint in self.routes]
        return dict.fromkeys(version for split in splits for version in split or (None,))

    def _make(self, scenario: Scenario) -> None:
        """Have all clusters that policies send anybody to."""
        for version in self._named(scenario):
            self.cluster(version)

    def _hosts(self, version: str | None) -> list[Server]:
        """Those of a cluster: none until it was told of it."""
        there = [self.replicas[number] for number in self.there if version in self.told]
        return [replica for replica in there if version in (None, replica.version)]

    def learn(self, there: Sequence[int], scenario: Scenario) -> None:
        """Hear from the control plane which endpoints there are, and which clusters."""
        before, self.told = self.told, self.told.union(self._named(scenario))
        changed, self.there = self.there != tuple(there), tuple(there)
        known = [version for version in self.clusters if version in before] if changed else []
        for version in known + [version for version in self.clusters if version in self.told - before]:
            self.clusters[version].meet(self._hosts(version))

    def lose(self, replica: Server) -> None:
        """A replica went down."""
        for cluster in self.clusters.values():
            cluster.lose(replica)

    def equip(self, scenario: Scenario) -> None:
        """Take what a scenario's policies say of clusters from the control plane."""
        self._push(scenario.policy(*self.names))
        if scenario.secures(*self.names) != self.secure:
            self.run.did["mode: drained"] += 1
            self.secure = not self.secure
            for cluster in self.clusters.values():
                cluster.use_mtls(secure=self.secure)

    def push(self, scenario: Scenario) -> None:
        """Take the rest of its policies: what calls ask on their way."""
        policy = scenario.policy(*self.names)
        if policy.rate_limit != self.rate_limit:
            self.rate_limit = policy.rate_limit
            self.bucket = self.new_bucket(policy)
        for route in self.routes.values():
            route.push(scenario)
        self._make(scenario)

    def _push(self, policy: Policy) -> None:
        old = self.policy
        if policy == old:
            return
        self.run.did["push"] += 1
        self.policy = policy
        if _budget(policy) != _budget(old):
            self.budget = self._new_budget()
        for cluster in self.clusters.values():
            cluster.push(policy)
        if policy.detection != old.detection:
            self._watch()

    def new_bucket(self, policy: Policy) -> TokenBucket | None:
        """A full bucket, if a policy limits the rate."""
        limit = policy.rate_limit
        return None if limit is None else TokenBucket(limit, self.clock.now)

    def _new_budget(self) -> LinkerdBudget | None:
        budget = _budget(self.policy)
        if budget is None or budget.kind != "linkerd":
            return None
        return LinkerdBudget(budget, self.clock.now)

    def _watch(self) -> None:
        """Start outlier detection's grid here, and end the one that runs."""
        self._grid += 1
        if self.policy.outlier_detection is not None:
            self.clock.process(self._ticks(self._grid, self.policy.outlier_detection.interval))

    def _ticks(self, grid: int, interval: float) -> Steps[None]:
        origin = self.clock.now
        for tick in count(1):
            yield self.clock.at(origin + tick * interval)
            if grid != self._grid:
                return
            for cluster in self.clusters.values():
                cluster.tick()


class Route:
    """An endpoint of an upstream service: the policy of its calls, and their rate limit."""

    def __init__(self, upstream: Upstream, endpoint: str, scenario: Scenario) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self._take(scenario)
        self._own = upstream.new_bucket(self.policy) if self.limited else None

    def _take(self, scenario: Scenario) -> None:
        names = self.upstream.names
        self.policy = scenario.policy(*names, self.endpoint)  # calls that come to the filters now keep it
        self.limited = scenario.limits_itself(*names, self.endpoint)  # by tokens of its own

    @property
    def bucket(self) -> TokenBucket | None:
        """The tokens that its calls take: its own, or those that all endpoints share."""
        return self._own if self.limited else self.upstream.bucket

    def push(self, scenario: Scenario) -> None:
        """Take the policy of a scenario."""
        limited, limit = self.limited, self.policy.rate_limit
        self._take(scenario)
        if self.limited and not (limited and limit == self.policy.rate_limit):
            self._own = self.upstream.new_bucket(self.policy)


def _budget(policy: Policy) -> RetryBudget | None:
    return policy.retries.budget if policy.retries is not None else None
