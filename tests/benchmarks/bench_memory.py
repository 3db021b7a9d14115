"""Whether memory grows per request by more than its record.

A run of n requests, and one of four times as many: what the second holds more, per request, beside the
bytes of the rows it has more. Peak memory is that of Python's allocator, at the end of the run before
results are made.

    python tests/benchmarks/bench_memory.py
"""

from __future__ import annotations

import gc
import tracemalloc

from meshsim.engine import Simulation
from meshsim.mesh.recorder import Recorder
from meshsim.scenario.model import Scenario

SHOP = {
    "services": {
        "frontend": {"workers": 16, "time": {"exponential": "4ms"}, "script": [{"call": "cart"}]},
        "cart": {"workers": 8, "replicas": 2, "time": {"exponential": "5ms"}, "errors": "2%"},
    },
    "policies": {"cart": {"timeout": "1s", "retries": {"attempts": 2, "per_try_timeout": "30ms"}}},
    "load": [{"to": "frontend", "rate": "400/s"}],
    "tracing": {"sampling": 0},
}


def record_bytes(recorder: Recorder) -> int:
    """Bytes in the recorder's columns, as allocated."""
    return sum(column.__sizeof__() for column in vars(recorder).values() if hasattr(column, "itemsize"))


def measure(duration: str) -> tuple[int, int, int]:
    """Requests, bytes held at the end of the run, bytes of its records."""
    scenario = Scenario.model_validate({**SHOP, "duration": duration})
    gc.collect()
    tracemalloc.start()
    simulation = Simulation(scenario)
    begin = tracemalloc.get_traced_memory()[0]
    while not simulation.mesh.settled:
        simulation.env.run(until=simulation.env.now + 1.0)
    held = tracemalloc.get_traced_memory()[0] - begin
    tracemalloc.stop()
    recorder = simulation.mesh.recorder
    return recorder.requests, held, record_bytes(recorder)


def main() -> None:
    """Prints the growth per request of memory and of records, and their ratio."""
    (few, held_few, rows_few), (many, held_many, rows_many) = measure("10s"), measure("40s")
    held = (held_many - held_few) / (many - few)
    rows = (rows_many - rows_few) / (many - few)
    print(f"{few} and {many} requests")
    print(f"{held:.0f} bytes a request, {rows:.0f} of them rows: {held / rows:.2f}")


if __name__ == "__main__":
    main()
