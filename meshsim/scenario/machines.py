"""From written policies to the machines of one caller proxy; the same for every body.

A `ConfiguredRoute` is a proxy's end of the control plane: it builds a route's machines from a policy, and
changes them when another policy is pushed, keeping what real proxies keep (connections, gauges, ejections).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from meshsim import random
from meshsim.errors import MeshsimError
from meshsim.mesh import route as routes
from meshsim.mesh.clock import Clock
from meshsim.mesh.cluster import Cluster, Host, Transport
from meshsim.mesh.dataplane import Dataplane
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.policies.backoff import Backoff
from meshsim.policies.balance import Balancer, LeastRequest, LeastRequestFullScan, Random, RoundRobin
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import Budget, EnvoyBudget, LinkerdBudget, MaxRetries
from meshsim.policies.fault import FaultInjection
from meshsim.policies.hedge import Hedge
from meshsim.policies.limit import TokenBucket
from meshsim.policies.outlier import ConsecutiveErrors, OutlierDetection
from meshsim.policies.retry import CONDITIONS, RetryRule, never
from meshsim.policies.split import WeightedSplit
from meshsim.scenario import model

Machine = TypeVar("Machine")
BalancerFactory = Callable[[], Balancer]
RetryRuleFactory = Callable[[], RetryRule]


@dataclass(frozen=True, slots=True)
class Custom:
    """The user's own machines, by service: called once for each caller proxy (balancers: and cluster)."""

    balancers: Mapping[str, BalancerFactory] = field(default_factory=dict)
    retry_rules: Mapping[str, RetryRuleFactory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A replica as callers find it: its number, id and version."""

    number: int
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Site:
    """What all routes of one caller instance share.

    Attributes:
        instance: the caller's number; the client's is 0.
        seed: of the run.
    """

    clock: Clock
    recorder: Recorder
    tracer: Tracer
    transport: Transport
    dataplane: Dataplane
    instance: int
    seed: int
    custom: Custom

    @property
    def key(self) -> random.Key:
        """The key of the caller instance."""
        return random.derive(random.derive(self.seed, random.PROXIES), self.instance)


def retry_rule(policy: model.Policy) -> RetryRule:
    """What a policy retries."""
    if policy.retries is None:
        return never()
    retries = policy.retries
    conditions = 0
    for name in retries.on:
        conditions |= CONDITIONS[name]
    return RetryRule(retries.attempts, conditions, Backoff(retries.backoff.base, retries.backoff.ceiling))


def outlier_detection(policy: model.Policy, origin: float) -> OutlierDetection:
    """How a policy ejects hosts; its grid of ticks begins at `origin`."""
    written = policy.outlier_detection
    if written is None:
        return OutlierDetection()
    return ConsecutiveErrors(
        limit=written.consecutive_5xx,
        interval=written.interval,
        base=written.base_ejection_time,
        ceiling=max(written.max_ejection_time, written.base_ejection_time),
        max_ratio=written.max_ejection_percent,
        min_healthy_ratio=written.min_health_percent,
        origin=origin,
        merge_window=written.merge_window,
    )


def fault_injection(policy: model.Policy) -> FaultInjection:
    """What a policy injects."""
    delay, abort = policy.fault.delay, policy.fault.abort
    return FaultInjection(
        delay_ratio=0.0 if delay is None else delay.percent,
        delay=random.Constant(0.0) if delay is None else delay.time.build(),
        abort_ratio=0.0 if abort is None else abort.percent,
        status=503 if abort is None else abort.status,
    )


def balancer(balance: model.Balance, key: random.Key, hosts: int) -> Balancer:
    """A balancer over so many hosts, for the caller instance with this key."""
    if balance.kind == "random":
        return Random()
    if balance.kind == "round_robin":
        return RoundRobin(int(random.u01(key, random.START) * hosts))
    if balance.least_request.selection == "full_scan":
        return LeastRequestFullScan()
    return LeastRequest(balance.least_request.choices)


def _linkerd(policy: model.Policy) -> model.RetryBudget | None:
    """The policy's budget, if it is Linkerd's."""
    budget = None if policy.retries is None else policy.retries.budget
    return budget if budget is not None and budget.kind == "linkerd" else None


def _made(factory: Callable[[], Machine], what: str) -> Machine:
    """One machine of the user's own."""
    if not callable(factory):
        raise MeshsimError(
            f"a {what} is made for each proxy: give the class, not an object of {type(factory).__name__}"
        )
    return factory()


def _complete(rule: RetryRule) -> RetryRule:
    """A rule of the user's own, whose attributes must be set by its base class: compiled, they live there."""
    name = type(rule).__name__
    if getattr(rule, "backoff", None) is None:
        raise MeshsimError(
            f"{name}.__init__ must call super().__init__(attempts=…), which sets its attributes"
        )
    own = {key for kind in type(rule).__mro__[:-2] if kind is not RetryRule for key in vars(kind)}
    for key in sorted(own & {"attempts", "conditions", "backoff"}):
        raise MeshsimError(f"{name}.{key} must be given to super().__init__, not set in the class")
    return rule


class ConfiguredRoute:
    """One caller proxy's route to one service, and the policy it was built from.

    Attributes:
        route: what calls use.
        written: the policy in force.
        version: of the newest push that has arrived: when it was sent, s, and its number in the file.
        clusters: built so far: by version, and the whole service under ``""``.
        grid: where the ticks of outlier detection began: the start, or the push that changed it, s.
    """

    def __init__(
        self, site: Site, service: str, edge: int, targets: Sequence[Target], policy: model.Policy
    ) -> None:
        self.site = site
        self.service = service
        self.edge = edge
        self.targets = targets
        self.written = policy
        self.version = (-1.0, -1)
        self.grid = 0.0
        self.clusters: dict[str, Cluster] = {}
        self.linkerd: LinkerdBudget | None = self._new_linkerd(0.0)
        rule = site.custom.retry_rules.get(service)
        self.custom_rule = None if rule is None else _complete(_made(rule, "retry rule"))
        self.route = routes.Route(
            site.clock, site.recorder, site.tracer, site.transport, edge, site.dataplane,
            self._policy(), self._bucket(0.0),
        )  # fmt: skip

    def apply(self, policy: model.Policy, now: float) -> None:
        """Puts another policy in force."""
        before, self.written = self.written, policy
        if before.outlier_detection != policy.outlier_detection:
            self.grid = now
        if _linkerd(before) != _linkerd(policy):
            self.linkerd = self._new_linkerd(now)
        for cluster in self.clusters.values():
            self._reconfigure(cluster, before, now)
        self.route.policy = self._policy()
        if before.rate_limit != policy.rate_limit:
            self.route.bucket = self._bucket(now)

    def _reconfigure(self, cluster: Cluster, before: model.Policy, now: float) -> None:
        """Changes what changed in a cluster; connections, gauges and ejections stay."""
        limits = self.written.circuit_breaker
        cluster.breaker.limit(limits.max_connections, limits.max_pending, limits.max_requests)
        cluster.budget = self._budget()
        if before.balance != self.written.balance and self.service not in self.site.custom.balancers:
            cluster.balancer = balancer(self.written.balance, self.site.key, len(cluster.hosts))
        if before.outlier_detection != self.written.outlier_detection:
            cluster.detect(outlier_detection(self.written, self.grid), now)

    def _policy(self) -> routes.Policy:
        written = self.written
        retries = written.retries
        hedge = written.hedge
        names = list(written.split) or [""]
        return routes.Policy(
            clock=self.site.clock,
            rule=self.custom_rule or retry_rule(written),
            retries=retries is not None or self.custom_rule is not None,
            timeout=written.timeout,
            try_timeout=0.0 if retries is None else retries.per_try_timeout,
            hedge=Hedge(0.0, 0) if hedge is None else Hedge(hedge.after, hedge.max),
            fault=fault_injection(written),
            split=WeightedSplit(list(written.split.values()) or [1.0]),
            clusters=[self._cluster(name) for name in names],
        )

    def _cluster(self, version: str) -> Cluster:
        if version not in self.clusters:
            targets = [target for target in self.targets if version in ("", target.version)]
            hosts = [Host(target.name, i, target.number, target.version) for i, target in enumerate(targets)]
            limits = self.written.circuit_breaker
            custom = self.site.custom.balancers.get(self.service)
            self.clusters[version] = Cluster(
                clock=self.site.clock,
                recorder=self.site.recorder,
                transport=self.site.transport,
                edge=self.edge,
                hosts=hosts,
                balancer=_made(custom, "balancer")
                if custom
                else balancer(self.written.balance, self.site.key, len(hosts)),
                breaker=CircuitBreaker(limits.max_connections, limits.max_pending, limits.max_requests),
                detection=outlier_detection(self.written, self.grid),
                budget=self._budget(),
            )
        return self.clusters[version]

    def _budget(self) -> Budget:
        """What grants retry slots: Linkerd's budget, or Envoy's, or `max_retries`."""
        retries = self.written.retries
        budget = None if retries is None else retries.budget
        if budget is None:
            return MaxRetries(self.written.circuit_breaker.max_retries)
        if self.linkerd is not None:
            return self.linkerd
        return EnvoyBudget(budget.ratio, 3 if budget.min_concurrency is None else budget.min_concurrency)

    def _new_linkerd(self, now: float) -> LinkerdBudget | None:
        budget = _linkerd(self.written)
        if budget is None:
            return None
        return LinkerdBudget(
            budget.ratio,
            10 if budget.min_per_second is None else budget.min_per_second,
            10.0 if budget.ttl is None else budget.ttl,
            now,
        )

    def _bucket(self, now: float) -> TokenBucket | None:
        limit = self.written.rate_limit
        return None if limit is None else TokenBucket(float(limit.burst), limit.rate, now)
