"""What a scenario asks for that an Envoy can't do, reported by key before anything starts.

Nothing is rounded, left out or replaced by something like it: whoever compares an Envoy with a simulation has
to know that both were asked the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshsim import units
from meshsim.errors import MeshsimError
from meshsim.live.envoy import numbers
from meshsim.scenario.model import ConstantTime, Fault, OutlierDetection, Policy, Retries, Scenario, Time
from meshsim.scenario.origins import written_at
from meshsim.scenario.topology import Topology
from meshsim.scenario.traffic import Event

MILLISECONDS = "Envoy's timers count whole milliseconds"


def refuse(scenario: Scenario) -> None:
    """Raises `MeshsimError` with every key that Envoys can't do; nothing where they can run the scenario."""
    found = refusals(scenario)
    if found:
        listed = "\n".join(f"  {line}" for line in found)
        raise MeshsimError(f"Envoy can't run this scenario as it is written:\n{listed}")


def refusals(scenario: Scenario) -> list[str]:
    """Every key of a scenario that Envoys can't do, each with why and what to write instead."""
    found = [*_mesh(scenario), *_mtls(scenario), *_links(scenario), *_names(scenario), *_services(scenario)]
    reported = refused_policies(scenario)
    found += reported
    stages = [scenario]
    for number, event in enumerate(scenario.events):
        found += _event(number, event)
        if event.set:
            stages.append(scenario.policies_after(number))
            turns = (line for stage in stages for line in _turns(stage, stages[-1]))
            each = dict.fromkeys([*_policies(stages[-1]), *turns])
            new = [line for line in each if line not in reported]
            reported += new
            found += (f"events[{number}].set: {line}" for line in new)
    return found


def _mesh(scenario: Scenario) -> Iterator[str]:
    if not _zero(scenario.mesh.proxy.time):
        yield "mesh.proxy.time: an Envoy takes as long as it takes (write 0s)"
    if scenario.mesh.proxy.workers != units.UNLIMITED:
        yield "mesh.proxy.workers: each Envoy runs one worker thread, which serves all at once (leave it out)"


def _mtls(scenario: Scenario) -> Iterator[str]:
    mtls = scenario.mesh.mtls
    if mtls is None:
        return
    if not _zero(mtls.handshake):
        yield "mesh.mtls.handshake: a handshake costs an Envoy what it costs (write 0s)"
    if mtls.round_trips != 1:
        yield "mesh.mtls.round_trips: TLS 1.3 takes one (leave it out)"


def _links(scenario: Scenario) -> Iterator[str]:
    for name, link in scenario.links.items():
        key = f"links.{name}"
        if not _zero(link.latency):
            yield f"{key}.latency: Envoy delays no message of a link (write 0s)"
        if link.loss:
            yield f"{key}.loss: Envoy loses no message of a link (write 0%)"
        if not _zero(link.connect):
            yield f"{key}.connect: Envoy opens a connection as fast as the machine does (write 0s)"


def _names(scenario: Scenario) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name in scenario.services:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            yield f"services.{name}: Envoy reads host names in lower case, and {other} is there (rename one)"


def _services(scenario: Scenario) -> Iterator[str]:
    for name, service in scenario.services.items() if Topology(scenario).sidecars else ():
        for version, work in service.deployments().items():
            place = f"services.{name}.versions.{version}" if version else f"services.{name}"
            yield from (f"{place}.{key}: {why}" for key, why in _durations({"keep_alive": work.keep_alive}))


def _event(number: int, event: Event) -> Iterator[str]:
    for key, does in (("latency_factor", "delays"), ("loss", "loses")):
        if getattr(event, key) is not None:
            yield f"events[{number}].{key}: Envoy {does} no message of a link (leave the event out)"


def refused_policies(scenario: Scenario) -> list[str]:
    """What Envoys can't do of the policies in force."""
    return list(dict.fromkeys(_policies(scenario)))


def _policies(scenario: Scenario) -> Iterator[str]:
    """What is refused of the policies in force, of those of a preset too."""
    for name, policy in scenario.policies.items():
        for key, why in _policy(policy):
            yield f"policies.{name}.{key}: {why}"
    for route in scenario.routes():
        for key, why in _policy(scenario.policy(*route)):
            if not written_at(scenario, route, tuple(key.split("."))):
                yield f"mesh.preset {scenario.mesh.preset}: {key}: {why}"
        for why in _hedge(scenario, *route):
            yield f"policies.{_named(scenario, *route)}.hedge: {why}"


def _turns(before: Scenario, after: Scenario) -> Iterator[str]:
    """Where hedges come after retries, or retries after hedges."""
    for route in before.routes():
        old, new = before.policy(*route), after.policy(*route)
        if (old.hedge and new.retries) or (old.retries and new.hedge):
            why = "Envoy's log does not distinguish hedges from other retries (leave one of both out)"
            yield f"policies.{_named(after, *route)}.hedge: {why}"


def _named(scenario: Scenario, caller: str, service: str, endpoint: str) -> str:
    """The policy that is named for a route: the narrowest that is written, or the service's."""
    names = [f"{caller} -> {service}/{endpoint}", f"{service}/{endpoint}", f"{caller} -> {service}"]
    return next((name for name in names if name in scenario.policies), service)


Refused = Iterator[tuple[str, str]]
"""Keys below a policy's, each with why."""


def _policy(policy: Policy) -> Refused:
    yield from _durations({"timeout": policy.timeout})
    if policy.retries is not None:
        yield from _retries(policy.retries)
    if policy.balance.kind == "peak_ewma":
        yield (
            "balance",
            "this Envoy lacks peak_ewma, which only contrib builds have (write another balancer)",
        )
    if policy.connection is not None:
        times = ("connect_timeout", "idle_timeout", "max_age")
        yield from _durations({f"connection.{key}": getattr(policy.connection, key) for key in times})
    if policy.outlier_detection is not None:
        yield from _outlier_detection(policy.outlier_detection)
    if policy.failure_accrual is not None:
        why = "Envoy lets no single request through to an ejected host (write outlier_detection)"
        yield "failure_accrual", why
    if policy.rate_limit is not None:
        if not numbers.exact_fill(policy.rate_limit.rate):
            yield "rate_limit.rate", "Envoy adds whole tokens in whole seconds (write such a rate)"
        if policy.rate_limit.burst > numbers.UINT32:
            yield "rate_limit.burst", f"Envoy's bucket holds at most {numbers.UINT32} tokens (write less)"
    if policy.hedge is not None:
        yield from _durations({"hedge.after": policy.hedge.after})
    if policy.split and not numbers.exact_weights(policy.split.values()):
        yield "split", "Envoy's weights are integers (write integers)"
    yield from _fault(policy.fault)


def _durations(times: dict[str, float]) -> Refused:
    for key, seconds in times.items():
        if not numbers.whole(1000 * seconds):
            yield key, f"{MILLISECONDS}, not {units.show_duration(seconds)} (write such a duration)"


def _retries(retries: Retries) -> Refused:
    backoff = retries.backoff
    yield from _durations({"retries.per_try_timeout": retries.per_try_timeout})
    yield from _durations({"retries.backoff.base": backoff.base, "retries.backoff.max": backoff.ceiling})
    if backoff.jitter is not None:
        yield "retries.backoff.jitter", "Envoy draws the whole wait (write null)"
    if "per-try-timeout" in retries.on:
        yield "retries.on", "Envoy retries a try that timed out with all resets (write reset)"
    budget = retries.budget
    if budget is None or budget.kind == "envoy":
        return
    why = "this is Linkerd's budget, and Envoy's counts what is in flight (write ratio and min_concurrency)"
    for key in ("min_per_second", "ttl"):
        if getattr(budget, key) is not None:
            yield f"retries.budget.{key}", why


def _outlier_detection(detection: OutlierDetection) -> Refused:
    times = ("interval", "base_ejection_time", "max_ejection_time", "merge_window")
    yield from _durations({f"outlier_detection.{key}": getattr(detection, key) for key in times})
    for key in ("max_ejection_percent", "min_health_percent"):
        if not numbers.whole(100 * getattr(detection, key)):
            yield f"outlier_detection.{key}", "Envoy takes whole percents (write such a share)"
    rates = detection.success_rate
    if rates is not None and not numbers.whole(1000 * rates.factor):
        yield "outlier_detection.success_rate.factor", "Envoy takes thousandths (write such a factor)"


def _hedge(scenario: Scenario, caller: str, service: str, endpoint: str) -> Iterator[str]:
    """Why a route's hedges would not be Envoy's, which are retries after a per-try time-out."""
    policy = scenario.policy(caller, service, endpoint)
    if policy.hedge is None:
        return
    if policy.retries is not None:
        preset = scenario.mesh.preset
        remedy = "leave one of both out"
        if preset != "none":
            remedy += f", and write retries: null where they are those of mesh.preset {preset}"
        yield f"Envoy's hedges are some of its retries, by their time-out and number ({remedy})"
    if policy.outlier_detection is not None:
        yield "Envoy takes a try that was hedged for a failure of its host (leave outlier_detection out)"
    if policy.circuit_breaker.max_connections != units.UNLIMITED:
        yield "Envoy's wait begins when the first try has a connection (leave max_connections out)"
    if policy.hedge.max > 1 and policy.circuit_breaker.max_retries != units.UNLIMITED:
        yield "at Envoy all hedges of a call hold one retry slot (leave max_retries out, or write max: 1)"
    if _fails(scenario, service, endpoint):
        yield (
            f"at Envoy a 5xx is the answer though another try is under way, and {service} may give one"
            " (leave its errors, queue, script and outages out, or hedge)"
        )


def _fails(scenario: Scenario, service: str, endpoint: str) -> bool:
    """Whether an endpoint of a service may answer 5xx."""
    of = scenario.services[service]
    work = [of.work(version, endpoint) for version in of.deployments()]
    return any(each.errors or each.queue != units.UNLIMITED or each.script for each in work) or any(
        replica.service == service
        for event in scenario.events
        if event.down or event.errors
        for replica in Topology(scenario).affected_by(event)
    )


def _fault(fault: Fault) -> Refused:
    if fault.delay is not None:
        if not isinstance(fault.delay.time, ConstantTime):
            yield "fault.delay.time", "Envoy injects a constant delay only (write a duration)"
        else:
            yield from _durations({"fault.delay.time": fault.delay.time.constant})
    for name in ("delay", "abort"):
        part = getattr(fault, name)
        if part is not None and not numbers.whole(numbers.MILLION * part.percent):
            yield f"fault.{name}.percent", "Envoy counts in millionths (write such a share)"


def _zero(time: Time) -> bool:
    return isinstance(time, ConstantTime) and time.constant == 0
