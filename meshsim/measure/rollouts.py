"""Of replicas that come and go: whether they had when a run ended, and whether callers knew in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from meshsim.measure.measurements import Measurements
from meshsim.measure.parts import EdgeSummary
from meshsim.measure.pushes import PushesSummary
from meshsim.scenario.advice import drains
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology
from meshsim.units import show_duration

LIVE = ("live", "envoy")


def unfinished(record: Measurements, scenario: Scenario) -> Iterator[str]:
    """A sentence for each restart, and each number of replicas, that a run ended too early for.

    How many are wanted is known of a simulation alone: a live mesh may have been scaled from outside.
    """
    if not record.lives:
        return
    topology = Topology(scenario)
    events = [event for event in scenario.events if event.rolls and event.at <= record.end]
    there = [(record.replicas[replica][:2], since) for replica, since, until in record.lives if until == inf]
    for group in dict.fromkeys(group for event in events for group in topology.rolled(event)):
        name = f"services.{' '.join(filter(None, group))}"
        own = sorted((event for event in events if group in topology.rolled(event)), key=lambda each: each.at)
        began = max((event.at for event in own if event.restart is not None), default=-inf)
        old = sum(key == group and since < began for key, since in there)
        wanted = [event.replicas for event in own if event.replicas is not None]
        have = sum(key == group for key, _ in there)
        if old:
            yield (
                f"{name}: the restart at {began:g} s was not over when the run ended: {old} of the replicas"
                " that it was to replace were still there (lengthen duration)."
            )
        elif wanted and record.engine not in LIVE and have < wanted[-1]:
            yield (
                f"{name}: of the {wanted[-1]} replicas that it was scaled to, {have} were ready when the run"
                " ended (lengthen duration)."
            )


def unheard(
    pushes: PushesSummary | None, edges: Mapping[str, EdgeSummary], scenario: Scenario, said: Sequence[str]
) -> Iterator[str]:
    """A sentence for each service whose callers failed to reach replicas of which they learned too late.

    A service about whose drain something was `said` before the run is left out.
    """
    longest = pushes.convergence_max if pushes is not None else None
    if longest is None:
        return
    for service, drain in drains(Topology(scenario)).items():
        key = f"services.{service}.drain, "
        to = [edge.flags for name, edge in edges.items() if name.endswith(f" -> {service}")]
        failed = sum(flags.get("UF", 0) + flags.get("UC", 0) for flags in to)
        if longest > drain and failed and not any(note.startswith(key) for note in said):
            yield (
                f"{key}{show_duration(drain)}, may be too short: changes took up to"
                f" {show_duration(longest)} to reach a proxy, and of the calls to it {failed} ended in UF or"
                " UC (make drain longer)."
            )
