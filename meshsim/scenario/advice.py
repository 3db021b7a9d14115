"""What a valid scenario says in vain: combinations in which a mechanism cannot act.

Errors are for what can't be meant; these are for what can, in a file that is changed by overrides and sweeps,
but that is more often a mistake.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import ceil, inf, sqrt

from meshsim import random, units
from meshsim.policies.outcome import TRY_TIMEOUT
from meshsim.scenario import mechanisms
from meshsim.scenario.advice_access import advise_access, advise_plaintext
from meshsim.scenario.connections import advise_connections, retries_after
from meshsim.scenario.document import Document
from meshsim.scenario.dump import flow
from meshsim.scenario.mesh import ControlPlane
from meshsim.scenario.model import CLIENT, ZERO, Deployment, OutlierDetection, Policy, Retries, Scenario
from meshsim.scenario.names import Path
from meshsim.scenario.origins import given, written_at
from meshsim.scenario.presets import PRESETS, Default
from meshsim.scenario.rolls import Group
from meshsim.scenario.topology import Topology
from meshsim.scenario.traffic import Restart
from meshsim.units import show_duration

_END = "they are not before the end (lengthen duration)"


NOWHERE = {
    "refused-stream", "envoy-ratelimited",
    "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
}  # fmt: skip
"""Conditions that nothing in this mesh fulfils."""
BESIDE = "beside a preset: "
"""Before a reason that is worth a word only where a preset is in the way, not what else is written."""
DRAWS = 2000
NORMAL_99 = 2.326
"""The 99th percentile of the standard normal distribution."""
PRESET: Path = ("mesh", "preset")


def advise(scenario: Scenario, document: Document | None = None, *, live: bool = False) -> list[str]:
    """A sentence for each thing that has no effect, or that a preset's default contradicts.

    They are in the order of the file, whose lines are told where its document is given. What runs `live` may
    be changed and scaled from outside, whatever its events do.
    """
    policies = [*_policies(scenario, document), *advise_connections(scenario), *advise_access(scenario)]
    about_mesh = [*_mesh(scenario, live), *advise_plaintext(scenario)]
    services = [*_rollouts(scenario, live)]
    return [*about_mesh, *services, *policies, *_load(scenario), *_objectives(scenario)]


def _mesh(scenario: Scenario, live: bool) -> Iterator[str]:
    mesh = scenario.mesh
    if "proxy" in mesh.model_fields_set and mesh.dataplane == "none":
        yield "mesh.proxy has no effect: without sidecars there is none (write dataplane: sidecar)."
    pushed = live or any(event.set or event.rolls for event in scenario.events)
    rotated = any(event.rotate_root for event in scenario.events)
    if "push_delay" in mesh.model_fields_set and not pushed and not rotated:
        yield "mesh.push_delay has no effect: no event sets, scales or restarts anything."
    if mesh.control_plane is not None and not pushed:
        yield "mesh.control_plane has no effect: no event sets, scales or restarts anything."
    plane = mesh.control_plane
    if plane is not None and pushed and plane.time == ZERO and "workers" in plane.model_fields_set:
        yield "mesh.control_plane.workers has no effect: a configuration takes no time (write time)."
    for number, event in enumerate(scenario.events):
        if event.component == "control_plane" and not pushed and mesh.mtls is None:
            yield (
                f"events[{number}] has no effect: no event sets, scales or restarts anything, and there are"
                " no certificates."
            )
    if mesh.mtls is not None and mesh.mtls.renewed_late:
        yield (
            "mesh.mtls.rotate_at and jitter let certificates expire before their renewal begins"
            " (make them less than 100 % together)."
        )
    if mesh.preset != "none" and mesh.dataplane == "none":
        yield (
            f"mesh.preset {mesh.preset} without sidecars: its policies act at the callers, as a client"
            " library's would (write dataplane: sidecar)."
        )


def _rollouts(scenario: Scenario, live: bool) -> Iterator[str]:
    """What is said of replicas that come and go, and whether they go before callers know."""
    topology = Topology(scenario)
    rolled = {roll.group for roll in topology.rolls}
    short = drains(topology)
    known, most = learned(topology) if short else (0.0, False)
    for service, config in scenario.services.items():
        works = config.deployments()
        still = not live and all((service, version) not in rolled for version in works)
        for key in ("startup", "drain") if still else ():
            if any(getattr(work, key) > 0.0 for work in works.values()):
                yield f"services.{service}.{key} has no effect: no event scales or restarts it."
        drain = short.get(service, inf)
        if drain < known:
            time = show_duration(known)
            learns = f"in 1 of 100 cases a caller learns that a replica leaves only after {time}"
            if most:
                learns = f"it takes up to {time} until a caller learns that a replica leaves"
            yield (
                f"services.{service}.drain, {show_duration(drain)}, is too short: {learns}, and until then"
                " its requests to it fail (make drain longer)."
            )


def drains(topology: Topology) -> dict[str, float]:
    """The shortest drain of each service that is called, and of which events let replicas leave, s."""
    found: dict[str, float] = {}
    called = {service for _, service in topology.edges}
    for service, version in (roll.group for roll in topology.rolls if roll.leave):
        if service in called:
            drain = topology.scenario.services[service].deployments()[version].drain
            found[service] = min(drain, found.get(service, inf))
    return found


def learned(topology: Topology) -> tuple[float, bool]:
    """After how long 99 % of the changes of a rollout have reached a proxy, s, and whether that is at most.

    It is where changes are joined, or proxies wait for others: then it is the time of the last in the queue,
    behind all who may be connected and what workers have begun. Else it is by drawing the times of one proxy.
    """
    mesh = topology.scenario.mesh
    delay, plane = mesh.push_delay.build(), mesh.control_plane or ControlPlane(debounce=0.0)
    make = plane.time.build()
    keys = [random.derive(0, number) for number in range(DRAWS)]
    lasts = sorted(make.draw(key, random.GENERATE) + delay.draw(key, random.PUSH) for key in keys)
    joined = _changes(topology, plane.debounce, lasts[0]) * plane.debounce
    waits = max(plane.debounce, min(plane.debounce_max, joined))
    alone = waits + lasts[DRAWS * 99 // 100]
    known, queues = alone, False
    for _ in range(2):  # the second time with a drain as long as the first says, in which more are connected
        connected = _connected(topology, known)
        if make.mean > 0.0 and connected > plane.workers:
            before = ceil(connected / plane.workers)
            spread = make.mean * sqrt(make.scv * before) if make.scv < inf else 0.0
            known, queues = alone + before * make.mean + NORMAL_99 * spread, True
    return known, queues or waits > plane.debounce


def _restarts(topology: Topology) -> Iterator[tuple[Group, Deployment, int, Restart]]:
    """Each version that an event restarts, how many of it there are at most, and how it is done."""
    most: dict[Group, int] = {}
    for roll in topology.rolls:
        most[roll.group] = max(most.get(roll.group, 0), roll.wanted)
    for event in topology.scenario.events:
        if event.restart is not None:
            for group in topology.rolled(event):
                work = topology.scenario.services[group[0]].deployments()[group[1]]
                yield group, work, most[group], event.restart


def _changes(topology: Topology, debounce: float, least: float) -> int:
    """How many changes of a restart, at most, come within a debounce of the one before; 1: none do.

    With each new replica that is ready an old one leaves; those that may be unavailable leave before. Where
    one starts after the other, it is ready no sooner than its first configuration is there, after `least`, s.
    """
    found = 1
    for _, work, most, restart in _restarts(topology):
        apart = max(work.startup, least) if restart.surge + restart.unavailable == 1 else work.startup
        found = max(found, most + (restart.unavailable > 0) if apart < debounce else 1)
    return found


def _connected(topology: Topology, drain: float) -> int:
    """How many proxies are connected at once, at most, with no drain shorter than one, s."""
    services = topology.scenario.services.items()
    most = {
        (name, version): work.replicas
        for name, service in services
        for version, work in service.deployments().items()
    }
    for roll in topology.rolls:
        most[roll.group] = max(most[roll.group], roll.wanted)
    besides: dict[Group, int] = {}
    for group, work, wanted, restart in _restarts(topology):
        at_once = restart.surge + restart.unavailable
        steps = 1.0 + max(work.drain, drain) // work.startup if work.startup > 0.0 else inf
        leaving = int(min(wanted, at_once * steps))
        besides[group] = max(besides.get(group, 0), min(wanted, restart.surge) + leaving)
    return 1 + sum(most.values()) + sum(besides.values())


def _policies(scenario: Scenario, document: Document | None) -> Iterator[str]:
    called = {place for _, to, endpoint in scenario.routes() for place in (to, f"{to}/{endpoint}")}
    for name, layer in scenario.policies.items():
        caller, _, target = name.rpartition(" -> ")
        if target not in called:
            yield f"policies.{name} has no effect: nobody calls {target}."
            continue
        service, _, endpoint = target.partition("/")
        route = caller, service, endpoint
        hosts = sum(each.replicas for each in scenario.services[service].deployments().values())
        for reason, *keys in _policy(scenario.policy(*route), hosts):
            written = {key: written_at(scenario, route, tuple(key.split("."))) for key in keys}
            filled = [key for key in keys if written[key] is None and _default(scenario, key)]
            if keys[0] not in filled and any(given(layer, tuple(key.split("."))) for key in keys):
                place = next(filter(None, written.values()))
                if filled or not reason.startswith(BESIDE):
                    text = f"policies.{name}.{reason.removeprefix(BESIDE)}"
                    yield " ".join([text, *_against(scenario, document, place, filled)])


def _default(scenario: Scenario, key: str) -> Default | None:
    preset = PRESETS.get(scenario.mesh.preset)
    return preset.default(key) if preset else None


def _against(
    scenario: Scenario, document: Document | None, written: Path, filled: list[str]
) -> Iterator[str]:
    """Which preset says what is in the way, and the lines of both, where they are known."""
    rows = filter(None, (_default(scenario, key) for key in filled))
    said = " and ".join(f"{row.key} {flow(row.value, top=True)}" for row in rows)
    whose = f"of mesh.preset {scenario.mesh.preset}"
    if said and document is not None:
        line, of_preset = (_line(document, path) for path in (written, PRESET))
        yield f"This is {line}; {said} is {whose} {of_preset}."
    elif said:
        yield f"{said} is {whose}."


def _line(document: Document, path: Path) -> str:
    file, line = document.place(path)
    return f"on line {line}" if line else f"from {file}"


Reason = tuple[str, ...]
"""What is to be said of a policy's key, that key, and those that are the reason, all below the policy."""


def _policy(policy: Policy, hosts: int) -> Iterator[Reason]:
    retries, hedge, accrual = policy.retries, policy.hedge, policy.failure_accrual
    if policy.outlier_detection is not None:
        yield from _outlier_detection(policy, policy.outlier_detection, hosts)
    if retries is not None:
        yield from _retries(policy, retries, hosts)
    if accrual is not None and accrual.jitter and accrual.min_penalty == accrual.max_penalty:
        keys = ("failure_accrual.jitter", "failure_accrual.min_penalty", "failure_accrual.max_penalty")
        yield f"{keys[0]} has no effect: no penalty exceeds max_penalty (raise it).", *keys
    if hedge is not None and hedge.after >= policy.timeout > 0.0:
        yield "hedge has no effect: it would come after the timeout.", "hedge.after", "timeout"


def _retries(policy: Policy, retries: Retries, hosts: int) -> Iterator[Reason]:
    on = set(retries.on)
    if retries.per_try_timeout >= policy.timeout > 0.0:
        key = "retries.per_try_timeout"
        yield f"{key} has no effect: it is not shorter than the timeout.", key, "timeout"
    elif retries.per_try_timeout and not retries_after(policy, 504, TRY_TIMEOUT):
        key = "retries.per_try_timeout"
        yield (
            f"{BESIDE}{key}: a try that times out is not retried (write on: [5xx, reset]).",
            key,
            "retries.on",
        )
    if on and on <= NOWHERE:
        key = "retries.on"
        yield f"{key} has no effect: nothing in this mesh ends as {' or '.join(retries.on)}.", key
    if retries.statuses and "5xx" in on and min(retries.statuses) >= 500:
        key = "retries.statuses"
        yield f'{key} has no effect: "5xx" retries them already.', key, "retries.on"
    if retries.previous_hosts and hosts == 1:
        key = "retries.previous_hosts"
        yield f"{key} has no effect: there is one host.", key
    if not retries.previous_hosts:
        key = "retries.host_attempts"
        yield f"{key} has no effect: no host is avoided (write previous_hosts: true).", key
    if retries.backoff.jitter and retries.backoff.base >= retries.backoff.ceiling:
        key = "retries.backoff.jitter"
        reason = f"{key} has no effect: no wait is longer than max (raise max)."
        yield reason, key, "retries.backoff.base", "retries.backoff.max"
    most = policy.circuit_breaker.max_retries
    if retries.attempts and retries.budget is None and most < units.UNLIMITED:
        reason = f"{BESIDE}retries: at most {most} at once from each proxy (write a budget, or max_retries)."
        yield reason, "retries", "circuit_breaker.max_retries"


def _outlier_detection(policy: Policy, detection: OutlierDetection, hosts: int) -> Iterator[Reason]:
    block, ratio = "outlier_detection", detection.max_ejection_percent
    share = f"{ratio:.0%} of {hosts} hosts"
    few, most = ratio * hosts < 1.0, f"{block}.max_ejection_percent"
    if few and not detection.always_eject_one:
        yield f"{block} ejects nobody: {share} is less than one (raise max_ejection_percent).", block, most
    if detection.always_eject_one and not few:
        key = f"{block}.always_eject_one"
        yield f"{key} has no effect: {share} is at least one.", key, most
    left = hosts - int(ratio * hosts)
    if mechanisms.detection(policy, 0.0).panics(left, hosts):
        panic = f"once {left} of {hosts} hosts are left, all are used (write min_health_percent: 0%)"
        yield f"{BESIDE}{most}: {panic}.", most, f"{block}.min_health_percent"
    rates, key = detection.success_rate, f"{block}.success_rate"
    if rates is not None and hosts < rates.hosts:
        yield f"{key} has no effect: of {rates.hosts} hosts that it needs there are {hosts}.", key
    elif rates is not None and sqrt(hosts - 1) <= rates.factor:
        few_hosts = f"of {hosts} hosts none lies more than {sqrt(hosts - 1):.2f} standard deviations too low"
        yield f"{key} has no effect: {few_hosts} (write a lower factor).", key


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
