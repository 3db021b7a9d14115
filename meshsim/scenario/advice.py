"""What a valid scenario says in vain: combinations in which a mechanism cannot act.

Errors are for what can't be meant; these are for what can, in a file that is changed by overrides and sweeps,
but that is more often a mistake.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import sqrt

from meshsim.scenario.connections import advise_connections
from meshsim.scenario.model import CLIENT, OutlierDetection, Policy, Scenario

_END = "they are not before the end (lengthen duration)"


def advise(scenario: Scenario) -> list[str]:
    """A sentence for each thing that has no effect, in order of the file."""
    policies = [*_policies(scenario), *advise_connections(scenario)]
    return [*_mesh(scenario), *policies, *_load(scenario), *_objectives(scenario)]


def _mesh(scenario: Scenario) -> Iterator[str]:
    mesh = scenario.mesh
    if "proxy" in mesh.model_fields_set and mesh.dataplane == "none":
        yield "mesh.proxy has no effect: without sidecars there is none (write dataplane: sidecar)."
    if "push_delay" in mesh.model_fields_set and not any(event.set for event in scenario.events):
        yield "mesh.push_delay has no effect: no event sets anything."


def _policies(scenario: Scenario) -> Iterator[str]:
    called = {place for _, to, endpoint in scenario.routes() for place in (to, f"{to}/{endpoint}")}
    for name, written in scenario.policies.items():
        caller, _, target = name.rpartition(" -> ")
        if target not in called:
            yield f"policies.{name} has no effect: nobody calls {target}."
            continue
        service, slash, endpoint = target.partition("/")
        policy = scenario.policy(caller, service, endpoint) if slash else written
        hosts = sum(each.replicas for each in scenario.services[service].deployments().values())
        yield from (f"policies.{name}.{reason}" for reason in _policy(policy, hosts))


def _policy(policy: Policy, hosts: int) -> Iterator[str]:
    detection, retries = policy.outlier_detection, policy.retries
    if detection is not None:
        yield from (f"outlier_detection{reason}" for reason in _outlier_detection(detection, hosts))
    if retries is not None and retries.per_try_timeout >= policy.timeout > 0.0:
        yield "retries.per_try_timeout has no effect: it is not shorter than the timeout."
    if retries is not None and retries.on and set(retries.on) <= {"refused-stream", "envoy-ratelimited"}:
        yield f"retries.on has no effect: nothing in this mesh ends as {' or '.join(retries.on)}."
    if retries is not None and retries.statuses and "5xx" in retries.on and min(retries.statuses) >= 500:
        yield 'retries.statuses has no effect: "5xx" retries them already.'
    if retries is not None and retries.previous_hosts and hosts == 1:
        yield "retries.previous_hosts has no effect: there is one host."
    if retries is not None and "host_attempts" in retries.model_fields_set and not retries.previous_hosts:
        yield "retries.host_attempts has no effect: no host is avoided (write previous_hosts: true)."
    if retries is not None and retries.backoff.jitter and retries.backoff.base >= retries.backoff.ceiling:
        yield "retries.backoff.jitter has no effect: no wait is longer than max (raise max)."
    accrual = policy.failure_accrual
    if accrual is not None and accrual.jitter and accrual.min_penalty == accrual.max_penalty:
        yield "failure_accrual.jitter has no effect: no penalty exceeds max_penalty (raise it)."
    if policy.hedge is not None and policy.hedge.after >= policy.timeout > 0.0:
        yield "hedge has no effect: it would come after the timeout."


def _outlier_detection(detection: OutlierDetection, hosts: int) -> Iterator[str]:
    few = detection.max_ejection_percent * hosts < 1.0
    share = f"{detection.max_ejection_percent:.0%} of {hosts} hosts"
    if few and not detection.always_eject_one:
        yield f" ejects nobody: {share} is less than one (raise max_ejection_percent)."
    if detection.always_eject_one and not few:
        yield f".always_eject_one has no effect: {share} is at least one."
    rates = detection.success_rate
    if rates is not None and hosts < rates.hosts:
        yield f".success_rate has no effect: of {rates.hosts} hosts that it needs there are {hosts}."
    elif rates is not None and sqrt(hosts - 1) <= rates.factor:
        most = f"of {hosts} hosts none lies more than {sqrt(hosts - 1):.2f} standard deviations too low"
        yield f".success_rate has no effect: {most} (write a lower factor)."


def _load(scenario: Scenario) -> Iterator[str]:
    services = scenario.services.values()
    works = [work for service in services for work in service.deployments().values()]
    looked_at = any(work.discipline == "priority" for work in works)
    for number, load in enumerate(scenario.load):
        if load.priority != 0 and not looked_at:
            yield f"load[{number}].priority has no effect: no service has discipline: priority."
        late = sum(point.at >= scenario.duration for point in load.profile)
        if late:
            yield f"load[{number}].profile: {late} of {len(load.profile)} points have no effect: {_END}."
        times = load.arrivals.trace.times if load.arrivals.trace is not None else ()
        late = len(times) - bisect_left(times, scenario.duration)
        if late:
            yield f"load[{number}].arrivals.trace: {late} of {len(times)} requests do not come: {_END}."


def _objectives(scenario: Scenario) -> Iterator[str]:
    called: dict[str, list[str]] = {}
    for caller, service in scenario.edges():
        called.setdefault(caller, []).append(service)
    reached, look = {CLIENT}, [CLIENT]
    while look:
        new = set(called.get(look.pop(), ())) - reached
        reached |= new
        look += new
    for number, objective in enumerate(scenario.objectives):
        if objective.service not in reached:
            yield f"objectives[{number}] can't be met: no request reaches {objective.service}."
