"""The configuration of a proxy, the same for every body: from policies to the machines that decide.

A `ConfiguredProxy` is a proxy's end of the control plane. It builds the routes of the proxy, and changes them
when other policies are pushed, keeping what real proxies keep (connections, gauges, ejections).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from meshsim import random
from meshsim.errors import MeshsimError
from meshsim.mesh.certificate import MODES
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.connection import HostPool, Lifetimes
from meshsim.mesh.hosts import Host
from meshsim.mesh.policy import Policy
from meshsim.mesh.proxy import Proxy, Route
from meshsim.policies.access import AccessPolicy
from meshsim.policies.balance import Balancer
from meshsim.policies.breaker import CircuitBreaker
from meshsim.policies.budget import Budget, EnvoyBudget, LinkerdBudget, MaxRetries
from meshsim.policies.hedge import Hedge
from meshsim.policies.retry import RetryRule
from meshsim.policies.split import WeightedSplit
from meshsim.scenario import model
from meshsim.scenario.guards import Guards
from meshsim.scenario.mechanisms import (
    BALANCERS,
    connection_rule,
    detection,
    fault_injection,
    linkerd_budget,
    retry_rule,
    token_bucket,
)
from meshsim.scenario.mesh import MtlsMode
from meshsim.scenario.push import Configuration, Receiver
from meshsim.scenario.topology import Edge, Replica, Topology

Machine = TypeVar("Machine")
BalancerFactory = Callable[[], Balancer]
RetryRuleFactory = Callable[[], RetryRule]


@dataclass(frozen=True, slots=True)
class Custom:
    """The user's own machines, by service: called once for each caller proxy (balancers: and cluster)."""

    balancers: Mapping[str, BalancerFactory] = field(default_factory=dict)
    retry_rules: Mapping[str, RetryRuleFactory] = field(default_factory=dict)


class ConfiguredProxy(Receiver):
    """A proxy of a topology: the configuration of what it calls, by edge, and the rules that it asks.

    Attributes:
        access: the rules for the one service behind it; None without any.
        mode: what is accepted of callers; None without mTLS.
        replicas: by number: where what is an endpoint is looked up.
    """

    mode: MtlsMode | None
    replicas: Sequence[Replica] | Mapping[int, Replica]

    def __init__(
        self, proxy: Proxy, topology: Topology, custom: Custom | None = None, guards: Guards | None = None
    ) -> None:
        place = topology.proxies[proxy.number]
        super().__init__(proxy.key, place.callers)
        self.replicas = topology.replicas
        self.agent = proxy.agent
        self.proxy = proxy
        self.guards = guards or Guards(topology)
        self.guarded = sorted({replica.service for replica in place.replicas if place.in_path})
        self.access: AccessPolicy | None = None
        self._guard(topology.scenario)
        self.upstreams: dict[Edge, ConfiguredUpstream] = {}
        for number, edge in topology.edges_of(place):
            caller, service = edge
            policy = topology.scenario.policy(caller, service)
            replicas = [replica for replica in topology.by_service[service] if not replica.added]
            tracked = topology.tracked[number]
            secure = topology.scenario.secures(caller, service)
            upstream = ConfiguredUpstream(proxy, number, service, replicas, policy, custom, tracked, secure)
            self.upstreams[edge] = upstream
            for number_, endpoint in topology.routes_of[edge]:
                route = ConfiguredRoute(
                    upstream,
                    topology.scenario.policy(caller, service, endpoint),
                    number_,
                    topology.endpoint_of[number_],
                    topology.scenario.limits_itself(caller, service, endpoint),
                )
                upstream.routes[endpoint] = route
                proxy.routes[number_] = route.route
            control = topology.scenario.mesh.control_plane
            if control is not None and not control.ordered:
                upstream.told = upstream.named(topology.scenario, edge)

    def find(self, configuration: Configuration, now: float) -> None:
        for edge, upstream in self.upstreams.items():
            numbers = configuration.endpoints[edge[1]]
            upstream.find([self.replicas[number] for number in numbers], now)
            if upstream.told is not None:
                upstream.tell(upstream.named(configuration.scenario, edge), now)

    def equip(self, scenario: model.Scenario, now: float) -> None:
        for edge, upstream in self.upstreams.items():
            upstream.use_mtls(scenario.secures(*edge))
            upstream.apply(scenario.policy(*edge), now)

    def configure(self, scenario: model.Scenario, now: float) -> None:
        self._guard(scenario)
        for edge, upstream in self.upstreams.items():
            upstream.limit(scenario.policy(*edge), now)
            for endpoint, route in upstream.routes.items():
                route.apply(scenario.policy(*edge, endpoint), scenario.limits_itself(*edge, endpoint), now)

    def apply(self, scenario: model.Scenario, now: float) -> None:
        """Puts all of a scenario's policies, rules and modes in force."""
        self.equip(scenario, now)
        self.configure(scenario, now)

    def _guard(self, scenario: model.Scenario) -> None:
        """Sets what it accepts of its callers, and allows them."""
        modes = [mode for service in self.guarded if (mode := scenario.mode(service)) is not None]
        self.mode = modes[0] if modes else None
        if self.agent is not None and self.mode is not None:
            self.agent.mode = MODES[self.mode]
        guards = [guard for service in self.guarded if (guard := self.guards.of(scenario, service))]
        self.proxy.guard(frozenset[int]().union(*(guard.denied for guard in guards)))
        self.access = guards[0].policy if guards and len(self.guarded) == 1 else None


class ConfiguredUpstream:
    """A service as one proxy calls it: the clusters, shared by the routes to its endpoints.

    Attributes:
        replicas: the endpoints, in order; a body may give them names of its own.
        told: versions of which the control plane has told that there are clusters of them; None: of all.
        lifetimes: of its connections, if they are tracked; `key` is theirs.
        config: the policy of the service in force, as far as it is about clusters.
        secure: whether connections are opened with mTLS.
        clusters: built so far: by version, and the whole service under ``""``.
        grid: where the ticks of outlier detection began: the start, or the push that changed it, s.
        bucket: of the rate limit in force, for all routes that have none of their own.
        routes: by name of the endpoint.
    """

    def __init__(
        self, proxy: Proxy, edge: int, service: str, replicas: Sequence[Replica], policy: model.Policy,
        custom: Custom | None = None, tracked: bool = False, secure: bool = False,
    ) -> None:  # fmt: skip
        custom = custom or Custom()
        self.proxy = proxy
        self.secure = secure
        self.edge = edge
        self.service = service
        self.replicas = replicas
        self.told: set[str] | None = None
        self.key = random.derive(random.derive(proxy.key, random.CONNECTIONS), edge)
        self.lifetimes = Lifetimes(proxy.clock, connection_rule(policy)) if tracked else None
        self.config = policy
        self.grid = 0.0
        self.clusters: dict[str, Cluster] = {}
        self.linkerd: LinkerdBudget | None = self._new_linkerd(0.0)
        rule = custom.retry_rules.get(service)
        self.custom_rule = None if rule is None else _complete(_made(rule, "retry rule"))
        self.custom_balancer = custom.balancers.get(service)
        self.bucket = token_bucket(policy, 0.0)
        self._rate_limit = policy.rate_limit
        self.routes: dict[str, ConfiguredRoute] = {}

    def use_mtls(self, secure: bool) -> None:
        """Has connections opened with mTLS from now on, or without."""
        self.secure = secure
        for cluster in self.clusters.values():
            cluster.use_mtls(secure)

    def apply(self, policy: model.Policy, now: float) -> None:
        """Puts another policy of the service in force for its clusters, if it is another."""
        before, self.config = self.config, policy
        if before == policy:
            return
        if before.detection != policy.detection:
            self.grid = now
        if linkerd_budget(before) != linkerd_budget(policy):
            self.linkerd = self._new_linkerd(now)
        if before.connection != policy.connection and self.lifetimes is not None:
            self.lifetimes.configure(connection_rule(policy))
        for cluster in self.clusters.values():
            self._reconfigure(cluster, before, now)

    def limit(self, policy: model.Policy, now: float) -> None:
        """Puts the rate limit of a policy of the service in force, if it is another."""
        if policy.rate_limit != self._rate_limit:
            self._rate_limit = policy.rate_limit
            self.bucket = token_bucket(policy, now)

    def _reconfigure(self, cluster: Cluster, before: model.Policy, now: float) -> None:
        """Changes what changed in a cluster; connections, gauges and ejections stay."""
        limits = self.config.circuit_breaker
        cluster.breaker.limit(limits.max_connections, limits.max_pending, limits.max_requests)
        cluster.budget = self._budget()
        if before.balance != self.config.balance and self.custom_balancer is None:
            cluster.use(self._balancer(len(cluster.known)))
        if before.detection != self.config.detection:
            cluster.detect(detection(self.config, self.grid), now)

    def find(self, replicas: Sequence[Replica], now: float) -> None:
        """These are the endpoints from now on."""
        if [each.number for each in replicas] != [each.number for each in self.replicas]:
            self.replicas = replicas
            for version in self.clusters:
                self._fill(version, now)

    def named(self, scenario: model.Scenario, edge: Edge) -> set[str]:
        """The versions that the policies of a scenario send the calls on its edge to."""
        policies = (scenario.policy(*edge, endpoint) for endpoint in self.routes)
        return {version for policy in policies for version in policy.split or [""]}

    def tell(self, versions: set[str], now: float) -> None:
        """There are clusters of these versions, too."""
        self.told = (self.told or set()) | versions
        for version in versions & self.clusters.keys():
            self.clusters[version].configured = True
            self._fill(version, now)

    def _fill(self, version: str, now: float) -> None:
        """Has a cluster send to the endpoints of its version; to none of one that it was not told of."""
        cluster = self.clusters[version]
        known = {host.replica: host for host in cluster.known}
        members = self._members(version) if cluster.configured else []
        for replica in members:
            if replica.number not in known:
                host = Host(replica.name, len(cluster.known), replica.number, replica.version)
                known[replica.number] = host
                self._pool(cluster, host, version)
                cluster.add(host, now)
        hosts = [known[replica.number] for replica in members]
        if hosts != cluster.hosts:
            cluster.replace(hosts, now)

    def _members(self, version: str) -> list[Replica]:
        return [replica for replica in self.replicas if version in ("", replica.version)]

    def _pool(self, cluster: Cluster, host: Host, version: str) -> None:
        if self.lifetimes is not None:
            key = random.derive(self.key, 2 * host.replica + (version != ""))
            host.pool = HostPool(cluster, host.index, self.lifetimes, key)

    def cluster(self, version: str) -> Cluster:
        """The cluster of a version, or of the whole service: ``""``."""
        if version not in self.clusters:
            told = self.told is None or version in self.told
            members = self._members(version) if told else []
            hosts = [Host(each.name, i, each.number, each.version) for i, each in enumerate(members)]
            limits = self.config.circuit_breaker
            self.clusters[version] = cluster = Cluster(
                clock=self.proxy.clock,
                recorder=self.proxy.recorder,
                transport=self.proxy.transport,
                edge=self.edge,
                hosts=hosts,
                balancer=self._balancer(len(hosts)),
                breaker=CircuitBreaker(limits.max_connections, limits.max_pending, limits.max_requests),
                detection=detection(self.config, self.grid),
                budget=self._budget(),
            )
            cluster.secure = self.secure
            cluster.agent = self.proxy.agent
            cluster.configured = told
            for host in hosts:
                self._pool(cluster, host, version)
        return self.clusters[version]

    def _balancer(self, hosts: int) -> Balancer:
        if self.custom_balancer is not None:
            return _made(self.custom_balancer, "balancer")
        return BALANCERS[self.config.balance.kind](self.config.balance, self.proxy.key, hosts)

    def _budget(self) -> Budget:
        """What grants retry slots: Linkerd's budget, or Envoy's, or `max_retries`."""
        budget = None if self.config.retries is None else self.config.retries.budget
        if budget is None:
            return MaxRetries(self.config.circuit_breaker.max_retries)
        if self.linkerd is not None:
            return self.linkerd
        return EnvoyBudget(budget.ratio, 3 if budget.min_concurrency is None else budget.min_concurrency)

    def _new_linkerd(self, now: float) -> LinkerdBudget | None:
        budget = linkerd_budget(self.config)
        if budget is None:
            return None
        least = 10 if budget.min_per_second is None else budget.min_per_second
        return LinkerdBudget(budget.ratio, least, 10.0 if budget.ttl is None else budget.ttl, now)


class ConfiguredRoute:
    """A proxy's route to one endpoint of a service, and the policy it was built from.

    Attributes:
        config: the policy in force.
        limits_itself: whether its rate limit is its own, or the one of the service, with a bucket for all.
        route: what calls use.
    """

    def __init__(
        self, upstream: ConfiguredUpstream, policy: model.Policy, number: int = 0, endpoint: int = 0,
        limits_itself: bool = False,
    ) -> None:  # fmt: skip
        self.upstream = upstream
        self.config = policy
        self.limits_itself = limits_itself
        bucket = token_bucket(policy, 0.0) if limits_itself else upstream.bucket
        self.route = Route(upstream.proxy, number, upstream.edge, endpoint, self._policy(), bucket)

    def apply(self, policy: model.Policy, limits_itself: bool, now: float) -> None:
        """Puts another policy in force, if it is another; its upstream has the service's already."""
        before, self.config = self.config, policy
        did, self.limits_itself = self.limits_itself, limits_itself
        if before != policy:
            self.route.policy = self._policy()
        if not limits_itself:
            self.route.bucket = self.upstream.bucket
        elif not did or before.rate_limit != policy.rate_limit:
            self.route.bucket = token_bucket(policy, now)

    def _policy(self) -> Policy:
        config, rule = self.config, self.upstream.custom_rule
        retries, hedge = config.retries, config.hedge
        return Policy(
            clock=self.upstream.proxy.clock,
            rule=rule or retry_rule(config),
            timeout=config.timeout,
            try_timeout=0.0 if retries is None else retries.per_try_timeout,
            hedge=Hedge(0.0, 0) if hedge is None else Hedge(hedge.after, hedge.max),
            repicks=retries.host_attempts if retries is not None and retries.previous_hosts else 0,
            fault=fault_injection(config),
            split=WeightedSplit(list(config.split.values()) or [1.0]),
            clusters=[self.upstream.cluster(version) for version in config.split or [""]],
        )


def _made(factory: Callable[[], Machine], what: str) -> Machine:
    if not callable(factory):
        name = type(factory).__name__
        raise MeshsimError(f"a {what} is made for each proxy: give the class, not an object of {name}")
    return factory()


def _complete(rule: RetryRule) -> RetryRule:
    """A rule of the user's own, whose attributes must be set by its base class: compiled, they live there."""
    name = type(rule).__name__
    if getattr(rule, "backoff", None) is None:
        reason = "must call super().__init__(attempts=…), which sets its attributes"
        raise MeshsimError(f"{name}.__init__ {reason}")
    own = {key for kind in type(rule).__mro__[:-2] if kind is not RetryRule for key in vars(kind)}
    for key in sorted(own & {"attempts", "conditions", "backoff", "statuses"}):
        raise MeshsimError(f"{name}.{key} must be given to super().__init__, not set in the class")
    return rule
