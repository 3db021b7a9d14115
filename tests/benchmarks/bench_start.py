"""How long a user waits: importing the package, asking for help, and a run of 10,000 requests, start-up
included.

Each line is the median of several fresh processes.

    python tests/benchmarks/bench_start.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MMC = Path(__file__).parents[2] / "scenarios" / "mmc.yaml"


def seconds(command: list[str], rounds: int) -> float:
    """Wall time of a command, the median of fresh processes."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(rounds: int) -> None:
    """Prints the times, the bare interpreter's beside them."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as out:
        run = [python, "-m", "meshsim", "run", str(MMC), "--out", out]
        changes = ["warmup=0s", "duration=31.25s", "load[0].rate=320/s"]
        run += [word for change in changes for word in ("--set", change)]
        rows = {
            "python -c pass": [python, "-c", "pass"],
            "import meshsim": [python, "-c", "import meshsim"],
            "meshsim --help": [python, "-m", "meshsim", "--help"],
            "meshsim run, 10,000 requests": run,
        }
        for name, command in rows.items():
            print(f"{name:<32}{seconds(command, rounds):>7.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
