"""asyncflow-sim: a scenario as its schema has it, on its SimulationRunner.

Times of work are constants there, so an exponential time is told as many endpoints, among which each
request chooses one evenly: the means of as many slices of the exponential law, equal in probability. That
keeps the mean and loses 0.1 % of the variance. Users are drawn anew each window; a normal number of
variance 0 is always the same.
"""

from __future__ import annotations

import math
from importlib.metadata import version

import simpy
from asyncflow.runtime.simulation_runner import SimulationRunner
from asyncflow.schemas.payload import SimulationPayload
from common import CannotExpressError, Run, System, main

SLICES = 1_000
INSTANT = 1e-9
"""Latency of an edge, s: it has to be positive."""


def slices(mean: float) -> list[float]:
    """The conditional means of an exponential time within slices of equal probability, s."""

    def above(share: float) -> float:  # the part of the mean that lies beyond that quantile
        return mean * share * (1.0 - math.log(share)) if share else 0.0

    parts = [above(1.0 - i / SLICES) - above(1.0 - (i + 1) / SLICES) for i in range(SLICES)]
    return [part * SLICES for part in parts]


def build(system: System, requests: int, seed: int) -> Run:
    """One server. The runner takes no seed: its generator is always a fresh one."""
    if len(system.stations) > 1:
        raise CannotExpressError(
            "a server gives back its cores and memory, then passes the request on along its one edge; nobody "
            "waits for an answer, so no worker can be held during a call"
        )
    [station] = system.stations
    endpoints = [
        {
            "endpoint_name": f"/{number}",
            "steps": [{"kind": "cpu_bound_operation", "step_operation": {"cpu_time": time}}],
        }
        for number, time in enumerate(slices(station.mean))
    ]
    instant = {"mean": INSTANT, "distribution": "exponential"}
    payload = SimulationPayload.model_validate(
        {
            "rqs_input": {
                "id": "load",
                "avg_active_users": {"mean": 1.0, "variance": 0.0, "distribution": "normal"},
                "avg_request_per_minute_per_user": {"mean": 60.0 * system.rate, "distribution": "poisson"},
                "user_sampling_window": 120,
            },
            "topology_graph": {
                "nodes": {
                    "client": {"id": "client"},
                    "servers": [
                        {
                            "id": "server",
                            "server_resources": {"cpu_cores": station.workers, "ram_mb": 1024},
                            "endpoints": endpoints,
                        }
                    ],
                },
                "edges": [
                    {"id": f"{a} {b}", "source": a, "target": b, "latency": instant, "dropout_rate": 0.0}
                    for a, b in (("load", "client"), ("client", "server"), ("server", "client"))
                ],
            },
            "sim_settings": {
                "total_simulation_time": math.ceil(requests / system.rate),
                "sample_period_s": 0.1,
            },
        }
    )
    runner = SimulationRunner(env=simpy.Environment(), simulation_input=payload)

    def run():
        runner.run()
        [client] = runner._client_runtime.values()  # the analyzer keeps the clocks to itself as well
        return lambda: [clock.finish - clock.start for clock in client.rqs_clock]

    return run


if __name__ == "__main__":
    main("asyncflow-sim", version("asyncflow-sim"), {"server": build})
