"""How fast the SimPy engine is beside the reference model, on the four-service shop and in its retry storm.

Both sides simulate the same scenario with the same draws, in turns in one run; the ratio is what counts.

    python tests/benchmarks/bench_engine.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from meshsim import engine, reference
from meshsim.measure.records import Records
from meshsim.scenario import load
from meshsim.scenario.model import Scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CASES = {
    "M/M/4": ("mmc.yaml", {"duration": "60s", "warmup": "0s"}),
    "shop": ("shop.yaml", {"duration": "15s", "warmup": "0s", "events": []}),
    "retry storm": ("retry-storm.yaml", {}),
}


def speed(simulate: Callable[[Scenario], Records], scenario: Scenario) -> float:
    """Requests per second of wall time."""
    begin = time.perf_counter()
    records = simulate(scenario)
    return len(records.requests.start) / (time.perf_counter() - begin)


def main(rounds: int) -> None:
    """Prints requests/s of both and their ratio, medians over the rounds."""
    print(f"requests/s, median of {rounds} rounds")
    print(f"{'scenario':<14}{'reference':>12}{'engine':>12}{'ratio':>8}")
    for name, (file, overrides) in CASES.items():
        scenario = load(SCENARIOS / file, overrides)
        pairs = [
            (speed(reference.simulate, scenario), speed(engine.simulate, scenario)) for _ in range(rounds)
        ]
        slow, fast = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name:<14}{slow:>12,.0f}{fast:>12,.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
