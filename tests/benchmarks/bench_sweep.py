"""What a second process brings to a sweep: the shop at nine loads, with one process and with two.

python tests/benchmarks/bench_sweep.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import meshsim as ms

SHOP = Path(__file__).parents[2] / "scenarios" / "shop.yaml"
VARIED = {"load[0].rate": ms.linspace("200/s", "600/s", 9)}


def seconds(jobs: int, replications: int) -> float:
    """Wall time of the whole sweep, files and all."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        ms.sweep(SHOP, VARIED, replications=replications, jobs=jobs, out=Path(folder) / "out")
        return time.perf_counter() - begin


def main(rounds: int, replications: int = 12) -> None:
    """Prints the seconds of both, and their ratio, medians over the rounds."""
    pairs = [(seconds(1, replications), seconds(2, replications)) for _ in range(rounds)]
    one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{9 * replications} runs of the shop, median of {rounds} rounds")
    print(f"one process {one:.1f} s, two {two:.1f} s: {ratio:.2f} times as fast")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
