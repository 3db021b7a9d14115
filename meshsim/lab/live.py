"""Runs a scenario for real: the verb behind ``meshsim live``, and what it leaves beside a run's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.jobs import memory
from meshsim.lab.jobs.interrupt import Interrupt, interruptible, orderly
from meshsim.lab.output import RunOutputOptions, output
from meshsim.lab.run import Run, first_seed, provenance
from meshsim.lab.show.sheets import often, share, time
from meshsim.lab.traces import LiveTraces, traces_to, with_traces
from meshsim.live import folders
from meshsim.live.child import ROLES
from meshsim.live.intercept.lacking import refuse_interception
from meshsim.live.launch import LiveMesh
from meshsim.live.machine import Usage
from meshsim.live.merge import Ending, Keys, Merged, merge
from meshsim.live.options import Options, Progress
from meshsim.live.ports import own_address
from meshsim.live.understood import refuse_unknown
from meshsim.measure.disturbance import BUSY, Lag, LiveConditions, MachineUse
from meshsim.measure.parts import ServiceSummary
from meshsim.measure.summary import summarise
from meshsim.measure.traces import TraceExport
from meshsim.plain import converted
from meshsim.scenario import load
from meshsim.scenario.advice import advise
from meshsim.scenario.model import Scenario
from meshsim.scenario.overrides import Overrides
from meshsim.scenario.topology import Topology

GLANCE = 0.5
"""Between two looks at the mesh, s."""
LAG_SHARE, LAG_LEAST = 0.1, 0.005
"""A load generator that is later than this share of the mean latency, and so many s, is late."""
ORDERS_SHOWN = 20
"""So many orders from outside are in the note about them."""
PROXIES = ("meshsim", "envoy")

Watch = Callable[[LiveMesh], None]


@dataclass(frozen=True, repr=False)
class LiveRun(Run):
    """The result of a live run; `keys` of requests, in order of arrival, are those of the same simulation."""

    keys: Keys


@dataclass(frozen=True)
class Served:
    """What a mesh leaves that only served: what became of `traces`, if spans were sent; its troubles."""

    traces: TraceExport | None
    notes: list[str]


@converted
def run_live(
    scenario: str | Path | Scenario,
    *,
    proxy: str = "meshsim",
    seed: int | None = None,
    overrides: Overrides = (),
    access_log: str | Path | None = None,
    host: str = "127.0.0.1",
    intercept: bool = False,
    out: str | Path | None = None,
    roles: Mapping[str, str] | None = None,
    otlp: str | None = None,
    progress: Progress | None = None,
    ready: Watch | None = None,
    watch: Watch | None = None,
    interrupted: Callable[[], None] | None = None,
    **options: Unpack[RunOutputOptions],
) -> LiveRun:
    """Runs a scenario on this machine, until its load is done.

    Ctrl-C or SIGTERM ends it early: what was measured is returned (and saved). A second one aborts.

    Args (all others as of `meshsim.run`):
        proxy: ``meshsim`` or ``envoy``.
        seed: of the draws; None takes the scenario's.
        access_log: folder for the proxies' access logs; None writes none.
        host: address that everybody listens on.
        intercept: replicas are in network namespaces of their own, and their calls are redirected.
        roles: where the class of each role is, for those who have their own.
        otlp: URL of an OTLP receiver, which is sent the spans as they come.
        progress: called with what is being done, in words.
        ready: is called once with the mesh, when it serves and its load begins.
        watch: is called twice a second with the running mesh.

    Raises:
        ScenarioError: the scenario can't be used.
        MeshsimError: another argument can't; a process can't be started, or dies; results can't be written.
    """
    form = output(options, saved=out is not None, of_run=True)
    chosen = seeded(load(scenario, overrides), seed)
    form.check_samples(chosen)
    if out is not None:
        files.prepare(out, scenarios=files.RUN)
    traces = traces_to(otlp, chosen, proxy)
    asked = options_of(chosen, proxy, host, access_log, roles, traces, intercept=intercept)
    with orderly(), traces, LiveMesh(chosen, chosen.seed, asked, progress) as mesh:
        with folders.room(mesh.keeper.folder):
            mesh.launch()
        with interruptible(interrupted, terminate=True) as stop:
            began = Usage.now()
            _begin(mesh, traces, ready)
            ending = _watch(mesh, stop, watch)
            busy = _usage(began)
            parts = mesh.stop()
            stop.give_up_if_pressed_twice()
    merged = merge(chosen, chosen.seed, traces.engine, parts, ending, mesh.topology.extra)
    result = _result(chosen, merged, conditions(merged, mesh, busy), traces.report(), mesh.control.orders)
    if out is not None:
        result.save(out, **options)
    return result


@converted
def serve_live(
    scenario: str | Path | Scenario,
    *,
    proxy: str = "meshsim",
    seed: int | None = None,
    overrides: Overrides = (),
    access_log: str | Path | None = None,
    host: str = "127.0.0.1",
    intercept: bool = False,
    roles: Mapping[str, str] | None = None,
    otlp: str | None = None,
    progress: Progress | None = None,
    ready: Watch | None = None,
    watch: Watch | None = None,
) -> Served:
    """Runs a scenario's mesh without its load, for clients from outside, until Ctrl-C or SIGTERM.

    The arguments and errors are those of `run_live`; `ready` is called once, when the mesh serves.
    """
    chosen = seeded(load(scenario, overrides), seed)
    traces = traces_to(otlp, chosen, proxy)
    options = options_of(chosen, proxy, host, access_log, roles, traces, load=False, intercept=intercept)
    with orderly(), traces, LiveMesh(chosen, chosen.seed, options, progress) as mesh:
        with folders.room(mesh.keeper.folder):
            mesh.launch()
        with interruptible(terminate=True) as stop:
            _begin(mesh, traces, ready)
            while not stop.pressed:
                mesh.run(GLANCE)
                if watch is not None:
                    watch(mesh)
        mesh.stop()  # so that access logs are whole
    return Served(traces.report(), troubles(mesh.troubles))


def _begin(mesh: LiveMesh, traces: LiveTraces, ready: Watch | None) -> None:
    """Scenario time begins, and whoever wants to know hears of it."""
    with folders.room(mesh.keeper.folder):
        mesh.start()
    traces.follow(mesh)
    if ready is not None:
        ready(mesh)


def seeded(scenario: Scenario, seed: int | None) -> Scenario:
    """The scenario with its seed, and keeping rows: a live run can't do otherwise."""
    number = first_seed(scenario.seed if seed is None else seed, 1)
    return scenario.model_copy(update={"seed": number, "keep": "records"})


def options_of(
    scenario: Scenario,
    proxy: str,
    host: str,
    access_log: str | Path | None,
    roles: Mapping[str, str] | None,
    traces: LiveTraces | None = None,
    *,
    load: bool = True,
    intercept: bool = False,
) -> Options:
    """How the mesh is run, its folder for access logs made.

    MeshsimError: there is no such proxy, the folder can't be used, the address is somebody else's, memory
    does not bear so many processes, or a live mesh can't do what the scenario says of `mesh`, or Envoys
    something else in it; or what they or `intercept` need is not there.
    """
    if proxy not in PROXIES:
        raise MeshsimError(f"no proxy {proxy!r}; choose {' or '.join(PROXIES)}")
    refuse_unknown(scenario)
    receiver = None if traces is None else traces.receiver
    if proxy == "envoy":
        from meshsim.live.envoy.mesh import refuse_unable  # noqa: PLC0415 - an extra

        refuse_unable(scenario, receiver)
    memory.check_live(scenario, proxy)
    log = None if access_log is None else files.prepare(access_log, option="--access-log")
    if intercept:
        refuse_interception(scenario, proxy)
    sink = None if traces is None else traces.sink
    return Options(proxy, load, load, log, own_address(host), roles or ROLES, intercept, sink, receiver)


def _watch(mesh: LiveMesh, stop: Interrupt, watch: Watch | None) -> Ending:
    """Watches until the load is done and all work with it, or Ctrl-C, or the drain's limit."""
    scenario = mesh.scenario
    limit = scenario.duration + scenario.drain_limit
    while not mesh.done and not stop.pressed and mesh.now < limit:
        mesh.run(GLANCE)
        if watch is not None:
            watch(mesh)
    settled = mesh.done and mesh.settle(max(0.0, limit - mesh.now), lambda: stop.pressed)
    return Ending(mesh.now, settled, interrupted=stop.pressed and not settled)


def _usage(began: Usage | None) -> MachineUse | None:
    """How busy the machine was since then."""
    now = Usage.now()
    return None if began is None or now is None else MachineUse(*now.since(began))


def conditions(merged: Merged, mesh: LiveMesh, machine: MachineUse | None) -> LiveConditions:
    """How well the machine kept up; of a mesh that has run, and is stopped."""
    lasted = max(merged.records.end, 1e-9)
    cores = dict.fromkeys(("proxy", "service", "load"), 0.0)
    cores |= {role: 0.0 for role, _ in mesh.cpu}
    for (role, _), used in mesh.cpu.items():
        cores[role] += used / lasted
    return LiveConditions(_lag(merged.lag), _lag(merged.timer_lag), cores, machine, mesh.troubles, mesh.began)


def _lag(samples: NDArray[np.float64]) -> Lag | None:
    return Lag(*np.quantile(samples, [0.5, 0.99, 1.0]).tolist()) if len(samples) else None


def words(found: LiveConditions, mean: float | None) -> list[str]:
    """What a reader must know of how well the machine kept up, beside a mean latency, s."""
    said = []
    lag, machine = found.lag, found.machine
    late = max(LAG_LEAST, LAG_SHARE * (mean or 0.0))
    busy = machine is not None and machine.busy > BUSY
    if lag is not None and lag.p99 > late:
        figures = f"{time(lag.p99)} or more after they were due (at most {time(lag.max)})"
        said.append(
            f"The load generator could not keep up: 1 % of the requests were sent {figures}, half of them"
            f" {time(lag.p50)} or more. Latencies count from when they were due; ask for less load, or"
            " use a machine with more cores."
            if busy or lag.p50 > late
            else f"The machine had short delays: 1 % of the requests were sent {figures}, though half of them"
            f" at most {time(lag.p50)}. Latencies count from when they were due, so the highest"
            " percentiles have some of that; it is not the load's doing."
        )
    if machine is not None and busy:
        said.append(
            f"The machine was busy for {share(machine.busy)} of the time; some of the latency is its own."
        )
    return [*said, *troubles(found.troubles)]


def troubles(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What went wrong in processes and how often, by their names, in words."""
    return [
        f"Not the scenario's doing, in {process}, {often(times)}: {what}."
        for process, each in found.items()
        for what, times in each.items()
    ]


def _result(
    scenario: Scenario, merged: Merged, found: LiveConditions, sent: TraceExport | None, orders: Sequence[str]
) -> LiveRun:
    programs = Topology(scenario).programs()
    notes = [*advise(scenario, live=True)]
    if orders:
        more = f"; and {len(orders) - ORDERS_SHOWN} more" if len(orders) > ORDERS_SHOWN else ""
        notes.append(f"Changed from outside while it ran: {'; '.join(orders[:ORDERS_SHOWN])}{more}.")
    if programs:
        notes.append(f"{', '.join(programs)}: workers and queue of a program can't be observed.")
    numbers = summarise([merged.records], scenario, notes=notes)
    numbers = replace(
        numbers,
        services=_known(numbers.services, programs),
        notes=[*numbers.notes, *words(found, numbers.latency.mean)],
        live=found,
        provenance=provenance(scenario),
    )
    if sent is not None:
        numbers = with_traces(numbers, sent)
    return LiveRun(scenario, [merged.records], numbers, merged.keys)


def _known(services: dict[str, ServiceSummary], own: Sequence[str]) -> dict[str, ServiceSummary]:
    """Services without what is not known of programs: that nothing was seen does not say that nothing was."""
    unknown: dict[str, Any] = dict.fromkeys(("utilisation", "busy_mean", "queue_mean"))
    return {
        name: part
        if name not in own
        else replace(
            part,
            **unknown,
            versions={version: replace(each, **unknown) for version, each in part.versions.items()},
            replicas=[replace(each, **unknown) for each in part.replicas],
        )
        for name, part in services.items()
    }
