"""meshsim on the scenarios beside this file. FORM is the engine; `fast-histograms` keeps histograms and no
rows.

As for the peers, what is timed is the simulation alone, up to where its rows are in memory: no summary,
no files.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from common import SYSTEMS, Build, CannotExpressError, Result, Run, System, main

import meshsim
from meshsim import engine
from meshsim.measure.summary import summarise
from meshsim.reference import simulate as reference_run
from meshsim.scenario import load
from meshsim.scenario.model import Scenario


def scenario_of(system: System, requests: int, **changes: object) -> Scenario:
    """A system's file, for about so many requests, and without spans, which no peer keeps."""
    name = next(name for name, each in SYSTEMS.items() if each == system)
    overrides = {"duration": f"{requests / system.rate!r}s", "tracing.sampling": 0.0, **changes}
    return load(Path(__file__).parent / f"{name}.yaml", overrides)


def fast(scenario: Scenario, seed: int):
    """The fast engine, with the scenario in it."""
    if not hasattr(engine, "FastSimulation"):
        raise CannotExpressError("no fast engine in this version of meshsim")
    return engine.FastSimulation(scenario, seed)


def rows(name: str, system: System, requests: int, seed: int) -> Run:
    """One replication that keeps a row of each request, call and attempt."""
    scenario = scenario_of(system, requests)
    if name == "reference":
        simulate = partial(reference_run, scenario, seed)
    else:
        simulate = (fast(scenario, seed) if name == "fast" else engine.Simulation(scenario, seed)).run

    def run():
        rows = simulate().requests
        return lambda: list(rows.end - rows.start)

    return run


def histograms(system: System, requests: int, seed: int) -> Run:
    """One replication on the fast engine, in memory that does not grow with the requests."""
    if "keep" not in Scenario.model_fields:
        raise CannotExpressError("this version of meshsim always keeps rows")
    scenario = scenario_of(system, requests, keep="histograms")
    simulation = fast(scenario, seed)

    def run():
        kept = simulation.run()

        def told() -> Result:
            summary = summarise([kept], scenario)
            mean, p99 = summary.latency.mean, summary.latency.p99
            return {"requests": summary.requests.completed, "mean": mean, "p99": p99, "se": None}

        return told

    return run


FORMS: dict[str, Build] = {
    "fast": partial(rows, "fast"),
    "fast-histograms": histograms,
    "simpy": partial(rows, "simpy"),
    "reference": partial(rows, "reference"),
}

if __name__ == "__main__":
    main("meshsim", meshsim.__version__, FORMS)
