"""What a scenario asks for that an Envoy can't do, told by key before anything starts.

Nothing is rounded, left out or replaced by something like it: whoever compares an Envoy with a simulation has
to know that both were asked the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshsim import units
from meshsim.errors import MeshsimError
from meshsim.live.envoy import forms
from meshsim.scenario.model import (
    ConstantTime,
    Fault,
    Hedge,
    OutlierDetection,
    Policy,
    Retries,
    Scenario,
    Time,
)
from meshsim.scenario.traffic import Event

MILLISECONDS = "Envoy's timers count whole milliseconds"


def refuse(scenario: Scenario) -> None:
    """Does nothing for a scenario that Envoys can run.

    Raises:
        MeshsimError: with every key that they can't do.
    """
    found = refusals(scenario)
    if found:
        listed = "\n".join(f"  {line}" for line in found)
        raise MeshsimError(f"Envoy can't run this scenario as it is written:\n{listed}")


def refusals(scenario: Scenario) -> list[str]:
    """Every key of a scenario that Envoys can't do, each with why and what to write instead."""
    found = [*_mesh(scenario), *_links(scenario), *_names(scenario)]
    told = set()
    for name, policy in scenario.policies.items():
        for key, why in _policy(policy):
            told.add((name, key, why))
            found.append(f"policies.{name}.{key}: {why}")
    for number, event in enumerate(scenario.events):
        found += _event(number, event)
        after = scenario.policies_after(number).policies if event.set else {}
        for name, policy in after.items():
            for key, why in _policy(policy):
                if (name, key, why) not in told:
                    told.add((name, key, why))
                    found.append(f"events[{number}].set: policies.{name}.{key}: {why}")
    return found


def _mesh(scenario: Scenario) -> Iterator[str]:
    if not _zero(scenario.mesh.proxy.time):
        yield "mesh.proxy.time: an Envoy takes as long as it takes (write 0s)"
    if scenario.mesh.proxy.workers != units.UNLIMITED:
        yield "mesh.proxy.workers: each Envoy runs one worker thread, which serves all at once (leave it out)"


def _links(scenario: Scenario) -> Iterator[str]:
    for name, link in scenario.links.items():
        key = f"links.{name}"
        if not _zero(link.latency):
            yield f"{key}.latency: Envoy delays no message of a link (write 0s)"
        if link.loss:
            yield f"{key}.loss: Envoy loses no message of a link (write 0%)"


def _names(scenario: Scenario) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name in scenario.services:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            yield f"services.{name}: Envoy reads host names in lower case, and {other} is there (rename one)"


def _event(number: int, event: Event) -> Iterator[str]:
    if event.latency_factor is not None:
        yield f"events[{number}].latency_factor: Envoy delays no message of a link (leave the event out)"
    if event.loss is not None:
        yield f"events[{number}].loss: Envoy loses no message of a link (leave the event out)"


Refused = Iterator[tuple[str, str]]
"""Keys below a policy's, each with why."""


def _policy(policy: Policy) -> Refused:
    yield from _durations({"timeout": policy.timeout})
    if policy.retries is not None:
        yield from _retries(policy.retries)
    if policy.outlier_detection is not None:
        yield from _outlier_detection(policy.outlier_detection)
    if policy.rate_limit is not None:
        if not forms.exact_fill(policy.rate_limit.rate):
            yield "rate_limit.rate", "Envoy adds whole tokens in whole seconds (write such a rate)"
        if policy.rate_limit.burst > forms.UINT32:
            yield "rate_limit.burst", f"Envoy's bucket holds at most {forms.UINT32} tokens (write less)"
    if policy.hedge is not None:
        yield from _hedge(policy.hedge)
    if policy.split and not forms.exact_weights(policy.split.values()):
        yield "split", "Envoy's weights are integers (write integers)"
    yield from _fault(policy.fault)


def _durations(written: dict[str, float]) -> Refused:
    for key, seconds in written.items():
        if not forms.exact_duration(seconds):
            yield key, f"{MILLISECONDS}, not {units.show_duration(seconds)} (write such a duration)"


def _retries(retries: Retries) -> Refused:
    backoff = retries.backoff
    yield from _durations({"retries.per_try_timeout": retries.per_try_timeout})
    yield from _durations({"retries.backoff.base": backoff.base, "retries.backoff.max": backoff.ceiling})
    budget = retries.budget
    if budget is None or budget.kind == "envoy":
        return
    why = "this is Linkerd's budget, and Envoy's counts what is in flight (write ratio and min_concurrency)"
    for key in ("min_per_second", "ttl"):
        if getattr(budget, key) is not None:
            yield f"retries.budget.{key}", why


def _outlier_detection(detection: OutlierDetection) -> Refused:
    times = ("interval", "base_ejection_time", "max_ejection_time")
    yield from _durations({f"outlier_detection.{key}": getattr(detection, key) for key in times})
    for key in ("max_ejection_percent", "min_health_percent"):
        if not forms.exact_percent(getattr(detection, key)):
            yield f"outlier_detection.{key}", "Envoy takes whole percents (write such a share)"


def _hedge(hedge: Hedge) -> Refused:
    why = "Envoy hedges only when a per-try time-out has passed, as one of its retries (leave hedge out)"
    yield "hedge", f"{why}; {units.show_duration(hedge.after)} after the first try it does nothing"


def _fault(fault: Fault) -> Refused:
    if fault.delay is not None:
        if not isinstance(fault.delay.time, ConstantTime):
            yield "fault.delay.time", "Envoy injects a constant delay only (write a duration)"
        else:
            yield from _durations({"fault.delay.time": fault.delay.time.constant})
    for name in ("delay", "abort"):
        part = getattr(fault, name)
        if part is not None and not forms.exact_share(part.percent):
            yield f"fault.{name}.percent", "Envoy counts in millionths (write such a share)"


def _zero(time: Time) -> bool:
    return isinstance(time, ConstantTime) and time.constant == 0
