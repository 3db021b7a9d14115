"""What a hop costs on this machine, measured where nothing else takes time.

In the calibration run services need no time, never fail, and nobody waits for a worker; only policies that
choose where a request goes act; links add nothing; the load is the scenario's. What time passes is the
machine's. Of each call the time waiting for its service's own calls is taken out (it is counted at their
edges), and the rest is put on the simulated edge's link, half on the way out and half on the way back.

There is one run before the live run and one after it, since a shared machine varies. Services that are called
at the same time answer some milliseconds apart, by a pause in their scripts that is taken out again: else all
answers would come back at one instant, as they never do, and wait for each other. A wrong service time of the
model has no way into the measurement, so validation still finds it.

With mTLS there is one run more, in which every call opens a connection. How much longer its calls take is
what a handshake costs both ends, TCP's included; half of it is work at each sidecar, which has one worker: a
live proxy is one thread. In the other runs connections last, so that no handshake is counted as a hop's.

Simplified: what a call costs before its proxy decides (the caller's side) is put behind that decision, on the
link. So an answer that the proxy makes by itself, such as a refusal, takes no time in the model, and half a
millisecond in truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from meshsim.errors import MeshsimError
from meshsim.measure.grid import Floats
from meshsim.measure.records import Records
from meshsim.measure.validation import Overhead
from meshsim.random import derive, u01
from meshsim.scenario.mesh import Mtls, Proxy
from meshsim.scenario.model import ZERO, CallStep, Load, Policy, Scenario, Service, SleepStep, Stage
from meshsim.scenario.policy import Connection
from meshsim.scenario.services import Script, Version
from meshsim.scenario.times import ConstantTime, Empirical, EmpiricalTime, SumTime, Time
from meshsim.units import UNLIMITED, duration_text

Edge = tuple[str, str]
Overheads = dict[Edge, Floats]
"""By edge what its calls cost, one number a call, s."""

LONGEST = 10.0
"""Of a calibration run, s; it lasts no longer than the scenario."""
STAGGER = 0.005
"""Between the answers of services that are called at the same time, s."""
DRIFT = 0.02
"""The share of a latency by which an overhead may change from before the live run to after it."""
WARMING = 0.2
"""Share of it in which connections are opened and code gets warm."""
LEAST = 20
"""Calls that an edge needs for numbers of its own."""
VALUES = 200
"""Of an edge's overhead in the model; each is the mean of as many calls."""
LASTING = 86400.0
"""How long certificates last while it is measured what handshakes cost, s."""
SHUFFLE = 0
"""The only thing that is drawn with keys of a deal."""
CHOOSING = ("balance", "split", "connection")
"""Policies that only say where a request goes, and over what."""

D = TypeVar("D", Service, Version)
M = TypeVar("M", bound=BaseModel)


# ---- the run ----------------------------------------------------------------------------------------


def still(scenario: Scenario, rates: Mapping[int, float]) -> Scenario:
    """The scenario without anything that takes time, fails or is refused.

    `rates` are of each closed load, per s, by index: it becomes an open one, since users who are answered at
    once would send much more.
    """
    duration = min(scenario.duration, LONGEST)
    late = pauses(scenario)
    mesh = {"preset": "none", "mtls": _lasting(scenario)}
    return scenario.model_copy(
        update={
            "name": f"{scenario.name or 'scenario'}, calibration",
            "duration": duration,
            "warmup": WARMING * duration,
            "services": {
                name: _idle(service, late.get(name, 0.0)) for name, service in scenario.services.items()
            },
            "mesh": without_proxy_time(scenario).model_copy(update=mesh),
            "links": {},
            "policies": _choosing(scenario),
            "access": (),
            "load": tuple(_open(load, rates.get(index)) for index, load in enumerate(scenario.load)),
            "events": (),
            "objectives": (),
        }
    )


def without_proxy_time(scenario: Scenario) -> Any:
    """The mesh with proxies that cost nothing by themselves: a live one costs what it costs."""
    return scenario.mesh.model_copy(update={"proxy": Proxy()})


def opening(calm: Scenario) -> Scenario:
    """What `still` made, but every call opens a connection."""
    once = {"connection": _made(Connection, max_requests=1)}
    policies = {
        name: policy if "/" in name else policy.model_copy(update=once)  # endpoints share connections
        for name, policy in calm.policies.items()
    }
    return calm.model_copy(update={"name": f"{calm.name} of handshakes", "policies": policies})


def _lasting(scenario: Scenario) -> Mtls | None:
    """Its mTLS, with certificates that last, and handshakes that cost what they cost."""
    mtls = scenario.mesh.mtls
    return None if mtls is None else mtls.model_copy(update={"certificate_ttl": LASTING, "handshake": ZERO})


def pauses(scenario: Scenario) -> dict[str, float]:
    """How long each service rests before it answers, s, so that no two answer the same caller at once."""
    late: dict[str, float] = {}
    for service in scenario.services.values():
        for stage in chain.from_iterable(service.scripts()):
            calls = dict.fromkeys(step.service for step in stage if isinstance(step, CallStep))
            for place, name in enumerate(calls):
                late[name] = max(late.get(name, 0.0), place * STAGGER)
    return {name: pause for name, pause in late.items() if pause}


def _idle(service: Service, pause: float) -> Service:
    versions = {
        name: _at_rest(version, version.model_fields_set, pause) for name, version in service.versions.items()
    }
    always = {"time", "errors", "workers", "queue", *(["script"] if pause else [])}
    own = _at_rest(service, {*service.model_fields_set, *always}, pause)
    return own.model_copy(update={"versions": versions} if versions else {})


def _at_rest(deployment: D, given: set[str], pause: float) -> D:
    """A deployment whose given fields are changed so that it takes no time but the pause, at the very end."""
    quick: dict[str, Any] = {
        "time": ZERO,
        "errors": 0.0,
        "workers": UNLIMITED,
        "queue": UNLIMITED,
        "script": _resting(deployment.script, pause),
        "endpoints": {
            name: each.model_copy(
                update={
                    "time": None,
                    "errors": None,
                    "script": None if each.script is None else _resting(each.script, pause),
                }
            )
            for name, each in deployment.endpoints.items()
        },
    }
    return deployment.model_copy(update={name: value for name, value in quick.items() if name in given})


def _resting(script: Script, pause: float) -> Script:
    """A script that takes no time but the pause, at the very end."""
    sleep = _made(SleepStep, sleep=_made(ConstantTime, constant=pause))
    return (*map(_awake, script), *([(sleep,)] if pause else []))


def _awake(stage: Stage) -> Stage:
    """A stage whose pauses take no time; they stay, since draws are keyed by the places of steps."""
    return tuple(
        step.model_copy(update={"sleep": ZERO}) if isinstance(step, SleepStep) else step for step in stage
    )


def _choosing(scenario: Scenario) -> dict[str, Policy]:
    """What the policies in force, the preset's among them, say of where a request goes."""
    found = {}
    for caller, service, endpoint in scenario.routes():
        policy = scenario.policy(caller, service, endpoint)
        kept = ("connection",) if scenario.mesh.mtls is not None else ()  # for ever
        given = {
            name: getattr(policy, name)
            for name in CHOOSING
            if name in policy.model_fields_set and name not in kept
        }
        found[f"{caller} -> {service}/{endpoint}".rstrip("/")] = _made(Policy, **given)
    return found


def _open(load: Load, rate: float | None) -> Load:
    if rate is None:
        return load
    return _made(Load, to=load.to, endpoints=load.endpoints, rate=rate, priority=load.priority)


def _made(model: type[M], **given: Any) -> M:
    """A model with the given fields, which are known to be right."""
    return model.model_construct(_fields_set=set(given), **given)


# ---- what it shows ----------------------------------------------------------------------------------


def overheads(records: Records, scenario: Scenario) -> Overheads:
    """What each edge's calls cost by themselves, in a calibration run of what `still` made."""
    warm = float(scenario.warmup) if scenario.warmup != "auto" else 0.0
    late = pauses(scenario)
    found = {}
    for edge in records.edges:
        own = _own_time(records, edge, warm)
        found[edge] = np.asarray(np.maximum(own - late.get(edge[1], 0.0), 0.0))
    return found


def pooled(runs: Sequence[Overheads]) -> Overheads:
    """The overheads of several runs together; an edge with under `LEAST` calls takes those of all others.

    MeshsimError: too few calls came through.
    """
    found = {edge: np.concatenate([run[edge] for run in runs]) for edge in runs[0]}
    everything = np.concatenate([*found.values(), np.zeros(0)])
    if len(everything) < LEAST:
        raise MeshsimError(
            f"the calibration runs show {len(everything)} good calls of at least {LEAST}; make the scenario"
            " longer, or see with `meshsim live` what keeps its requests from being answered"
        )
    return {edge: own if len(own) >= LEAST else everything for edge, own in found.items()}


def _own_time(records: Records, edge: Edge, warm: float) -> Floats:
    """How long each good call after the warm-up took without the calls that its service made for it, s.

    Children are found by the start of the request they belong to. Where a request makes several calls to one
    service that calls others, they can't be assigned, and the request is left out.
    """
    calls = records.calls
    here = calls.edge == records.edges.index(edge)
    here &= (calls.status > 0) & (calls.status < 400) & (calls.request_start >= warm)
    took = (calls.end - calls.start)[here]
    children = [place for place, below in enumerate(records.edges) if below[0] == edge[1]]
    if not children:
        return np.asarray(took)
    inside = np.isin(calls.edge, children)
    below: dict[float, list[tuple[float, float]]] = {}
    spans = (column[inside].tolist() for column in (calls.request_start, calls.start, calls.end))
    for request, start, end in zip(*spans, strict=True):
        below.setdefault(request, []).append((start, end))
    requests, first, counts = np.unique(calls.request_start[here], return_index=True, return_counts=True)
    lone = counts == 1
    waited = np.array([_union(below.get(request, [])) for request in requests[lone].tolist()])
    return np.asarray(took[first[lone]] - waited)


def _union(spans: list[tuple[float, float]]) -> float:
    """How long at least one of some spans lasts, s."""
    total, upto = 0.0, -np.inf
    for start, end in sorted(spans):
        if end > upto:
            total += end - max(start, upto)
            upto = end
    return total


def handshake(kept: Overheads, opened: Overheads, scenario: Scenario) -> float:
    """What a handshake costs each sidecar, s; `opened` is of the run in which every call opened a connection.

    It is of medians, of the calls of all edges together that use mTLS.
    """
    edges = [edge for edge in opened if scenario.secures(*edge) and len(opened[edge])]
    if not edges:
        return 0.0
    more = [np.median(opened[edge]) - np.median(kept[edge]) for edge in edges]
    return max(float(np.average(more, weights=[len(opened[edge]) for edge in edges])), 0.0) / 2.0


def drift(before: Overheads, after: Overheads, latency: float) -> list[str]:
    """Where a hop cost so much more or less after the live run than before that the mean of both is no guide.

    The simulated median `latency`, s, decides whether a change is large.
    """
    found = []
    for edge, own in before.items():
        if min(len(own), len(after[edge])) >= LEAST:
            then, now = float(own.mean()), float(after[edge].mean())
            if abs(now - then) > DRIFT * latency:
                found.append(
                    f"{edge[0]} -> {edge[1]}: a call cost {duration_text(then)} before the live run and"
                    f" {duration_text(now)} after it"
                )
    return found


# ---- into the model ---------------------------------------------------------------------------------


def with_handshake(scenario: Scenario, cost: float) -> Scenario:
    """The scenario whose handshakes take so long at each of both sidecars, s; a sidecar has one worker.

    Their messages take no time where links take none by themselves: else the model, in which every message
    has the overhead of a call, would count that too.
    """
    mtls = scenario.mesh.mtls
    if mtls is None:
        return scenario
    far = any(link.latency != ZERO for link in scenario.links.values())
    trips = mtls.round_trips if far else 0
    work = mtls.model_copy(update={"handshake": _made(ConstantTime, constant=cost), "round_trips": trips})
    mesh = scenario.mesh.model_copy(update={"mtls": work, "proxy": _made(Proxy, workers=1)})
    return scenario.model_copy(update={"mesh": mesh})


def with_overheads(scenario: Scenario, found: Overheads, deal: int = 0) -> Scenario:
    """The scenario as the machine runs it: every edge's link takes its overhead on top of its own latency.

    `deal` decides which message gets which of the overheads, with all other draws the same; any number will
    do.
    """
    links = {}
    for caller, service in scenario.edges():
        own = scenario.link(caller, service)
        extra = _spread(found.get((caller, service), np.concatenate(list(found.values()))), deal)
        links[f"{caller} -> {service}"] = own.model_copy(update={"latency": _added(own.latency, extra)})
    mesh = without_proxy_time(scenario) if scenario.mesh.mtls is None else scenario.mesh
    return scenario.model_copy(update={"links": links, "mesh": mesh})


def _added(own: Time, extra: EmpiricalTime) -> Time:
    if isinstance(own, ConstantTime) and own.constant == 0.0:
        return extra
    return _made(SumTime, sum=(own, extra))


def _spread(overhead: Floats, deal: int) -> EmpiricalTime:
    """Half of an overhead as at most `VALUES` values with the same mean, shuffled.

    Each is the mean of an equal share of the ordered sample, of one that is cut the share: groups of whole
    numbers would be of unequal size, and weigh some calls more than others.
    """
    count = len(overhead)
    number = min(VALUES, count)
    sums = np.concatenate([[0.0], np.cumsum(np.sort(overhead) / 2.0)])
    cuts = np.interp(np.linspace(0.0, count, number + 1), np.arange(count + 1), sums)
    order = np.argsort([u01(derive(deal, place), SHUFFLE) for place in range(number)])
    values = tuple((np.diff(cuts) * number / count)[order].tolist())
    return _made(EmpiricalTime, empirical=_made(Empirical, values=values))


def described(found: Overheads) -> dict[str, Overhead]:
    """The overheads by edge in a few numbers, s."""
    return {
        f"{caller} -> {service}": Overhead(
            len(own), float(own.mean()), *np.quantile(own, (0.5, 0.99)).tolist()
        )
        for (caller, service), own in found.items()
    }
