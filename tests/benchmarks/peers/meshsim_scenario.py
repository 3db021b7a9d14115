"""meshsim on the scenarios beside this file. FORM is the engine; `fast-streaming` keeps histograms, no records.

As for the peers, what is timed is the simulation alone, up to where the latencies are in memory: no summary, no files.
"""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path

from common import SYSTEMS, Build, CannotExpressError, Run, System, main

import meshsim
from meshsim.errors import MeshsimError
from meshsim.lab import run as lab
from meshsim.scenario import load
from meshsim.scenario.model import Scenario

STREAMING = "streaming"
"""The keyword of `meshsim.lab.run.run` that asks for histograms instead of records."""


def scenario_of(system: System, requests: int) -> Scenario:
    """A system's file, for about so many requests, and without spans, which no peer keeps."""
    name = next(name for name, each in SYSTEMS.items() if each == system)
    overrides = {"duration": f"{requests / system.rate!r}s", "tracing.sampling": 0.0}
    return load(Path(__file__).parent / f"{name}.yaml", overrides)


def records(engine: str, system: System, requests: int, seed: int) -> Run:
    """One replication, with a row for each request, call and attempt."""
    scenario = scenario_of(system, requests)
    try:
        simulate = lab._engine(engine)
    except MeshsimError as reason:
        raise CannotExpressError(str(reason)) from reason

    def run() -> list[float]:
        rows = simulate(scenario, seed).requests
        return (rows.end - rows.start).tolist()

    return run


def streaming(system: System, requests: int, seed: int) -> Run:
    """One replication on the fast engine, whose memory does not grow with the requests."""
    if STREAMING not in inspect.signature(lab.run).parameters:
        raise CannotExpressError("this version of meshsim always keeps records")
    scenario = scenario_of(system, requests)

    def run() -> dict[str, float | None]:
        summary = lab.run(scenario, engine="fast", seed=seed, **{STREAMING: True}).summary
        latency = summary["latency"]
        return {
            "requests": summary["requests"]["completed"],
            "mean": latency["mean"],
            "p99": latency["p99"],
            "se": None,
        }

    return run


FORMS: dict[str, Build] = {engine: partial(records, engine) for engine in ("fast", "simpy", "reference")}
FORMS["fast-streaming"] = streaming

if __name__ == "__main__":
    main("meshsim", meshsim.__version__, FORMS)
