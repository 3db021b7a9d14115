"""Whether memory bears a mesh and the rows that it would keep, asked before a run and not after an hour."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from graphlib import TopologicalSorter
from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.scenario.model import CLIENT, CallStep, Load, Scenario
from meshsim.scenario.topology import Topology

ROW_BYTES = 200
"""Of a request, a call, an attempt, or the opening or the end of a tracked connection: 150 as measured, with
results; more when tables have just doubled."""
HOST_BYTES = 250
"""Of a replica as one replica of a caller knows it: 200 as measured, with all gauges at rest."""
PROCESS_BYTES = 8e6
"""Of a live replica's process, as measured, besides what all of them share; and of the proxy beside it:"""
PROXY_BYTES = {"meshsim": 9e6, "envoy": 15e6}


def check(scenario: Scenario, replications: int) -> None:
    """Refuses a run whose mesh or rows would not fit into the free memory; rows may be insisted on."""
    check_mesh(scenario)
    if scenario.keep != "records" or "keep" in scenario.model_fields_set:
        return
    free, rows = available(), expected_rows(scenario) * replications
    if free is not None and rows * ROW_BYTES > free:
        raise MeshsimError(
            f"this run would keep some {rounded(rows)} rows of requests, calls and attempts,"
            f" {rows * ROW_BYTES / 1e9:.3g} GB, and {free / 1e9:.3g} GB of memory are free; keep histograms"
            " and time series only (--set keep=histograms, or keep: histograms in the file), make it shorter,"
            " or insist on the rows with --set keep=records"
        )


def check_mesh(scenario: Scenario) -> None:
    """Refuses a mesh that does not fit into the free memory: every caller's replica knows every callee's."""
    topology = Topology(scenario)
    edges = {(a, b): topology.proxy_count(a) * topology.replica_count(b) for a, b in topology.edges}
    free, hosts = available(), sum(edges.values())
    if free is not None and hosts * HOST_BYTES > free:
        caller, service = max(edges, key=lambda edge: edges[edge])
        raise MeshsimError(
            f"each of the {topology.proxy_count(caller):,} replicas of {caller} keeps connections and"
            f" counts for each of the {topology.replica_count(service):,} of {service}; such pairs would take"
            f" {hosts * HOST_BYTES / 1e9:.3g} GB in all, and {free / 1e9:.3g} GB of memory are free;"
            " give them fewer replicas"
        )


def check_live(scenario: Scenario, proxy: str) -> None:
    """Refuses a live mesh whose processes would not fit into the free memory."""
    replicas = sum(map(Topology(scenario).replica_count, scenario.services))
    free, needed = available(), replicas * (PROCESS_BYTES + PROXY_BYTES[proxy])
    if free is not None and needed > free:
        raise MeshsimError(
            f"the mesh has {replicas:,} replicas, each a process with a proxy beside it; they would take some"
            f" {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB of memory are free; simulate it with"
            " meshsim run, or give it fewer replicas"
        )


def rounded(rows: float) -> str:
    """To two digits, for messages: ``12,000``."""
    return f"{float(f'{rows:.2g}'):,.0f}"


def expected_rows(scenario: Scenario) -> float:
    """About how many rows a run has, without retries, hedges, and connections that are not spent."""
    below = _rows_below(scenario)
    return sum(
        _requests(load, scenario)
        * load.share(endpoint)
        * (1.0 + _rows(scenario, CLIENT, load.to) + below[load.to, endpoint])
        for load in scenario.load
        for endpoint in load.endpoints or ("",)
    )


def _requests(load: Load, scenario: Scenario) -> float:
    """How many requests a load sends, about; of users, as many as they would of an idle mesh."""
    until = scenario.duration
    if load.users is not None:
        service, asked = scenario.services[load.to], load.endpoints or ("",)
        works = (service.work(version, each) for version in service.deployments() for each in asked)
        pause = load.think.build().mean + min(work.time.build().mean for work in works)
        return load.users * until / pause if pause > 0.0 else 0.0
    return until * load.mean_rate(0.0, until)


def _rows(scenario: Scenario, caller: str, service: str) -> float:
    """Of a call, its attempt, and its share of the opening and the end of a connection that is soon spent."""
    connection = scenario.policy(caller, service).connection
    return 2.0 if connection is None else 2.0 + 2.0 / connection.max_requests


def _rows_below(scenario: Scenario) -> dict[tuple[str, str], float]:
    """How many rows what a service, or endpoint of it, calls has on average for one call of it."""
    made: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for name, service in scenario.services.items():
        for endpoint in ("", *service.endpoints):
            works = [service.work(version, endpoint) for version in service.deployments()]
            replicas = sum(each.replicas for each in works)
            calls = made[name, endpoint] = {}
            for each in works:
                for step in (step for stage in each.script for step in stage if isinstance(step, CallStep)):
                    callee, share = (step.service, step.endpoint), each.replicas / replicas * step.probability
                    calls[callee] = calls.get(callee, 0.0) + share * step.repeat
    known: dict[tuple[str, str], float] = {}
    for asked in TopologicalSorter(made).static_order():  # callees before callers
        known[asked] = sum(
            share * (_rows(scenario, asked[0], callee[0]) + known[callee])
            for callee, share in made[asked].items()
        )
    return known


# ---- the machine ------------------------------------------------------------------------------------


def available() -> int | None:
    """Bytes that this process may still take, as far as the machine says; None if it doesn't."""
    return min((*_of_machine(), *_of_container()), default=None)


def _of_machine() -> Iterator[int]:
    with suppress(OSError, ValueError):
        if found := re.search(
            r"^MemAvailable: *(\d+)", Path("/proc/meminfo").read_text("ascii"), re.MULTILINE
        ):
            yield 1024 * int(found[1])
            return
    with suppress(OSError, ValueError, AttributeError):  # not every system has these
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_container() -> Iterator[int]:
    """What the limits of the control group leave, by version 2 and 1."""
    group = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no such group, or "max"
            yield max(0, int((group / limit).read_text("ascii")) - int((group / used).read_text("ascii")))
