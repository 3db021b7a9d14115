"""Whether replicas that events ask for, and those that they replace, had come and gone when a run ended."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from meshsim.measure.measurements import Measurements
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

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
