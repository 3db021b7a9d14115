"""Machine instructions a request of the fast engine: the same on a busy machine as on an idle one.

Each scenario is simulated once in one process and three times in another; the difference, divided by the
requests of the two runs more, is what a request costs, without start-up. Both processes are forked from one
that has loaded everything, under valgrind's callgrind (Debian: `apt install valgrind`).

    chain    three services that hold their workers (peers/chain.yaml), 350/s, no spans
    shop     scenarios/shop.yaml at 300/s, from the first request on
    storm    scenarios/retry-storm.yaml, all of it: most instructions are those of retries

    python tests/benchmarks/bench_instructions.py [--keep FOLDER] [chain] [shop] [storm]

`--keep` leaves callgrind's files in a folder, for `callgrind_annotate`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = {
    "chain": ("tests/benchmarks/peers/chain.yaml", {"duration": "57s", "tracing.sampling": 0.0}),
    "shop": ("scenarios/shop.yaml", {"warmup": "0s", "events": [], "duration": "40s"}),
    "storm": ("scenarios/retry-storm.yaml", {}),
}
"""File and overrides: 20,000, 12,000 and 4,500 requests."""
FEW, MANY = 1, 3
"""Runs in the two processes."""


def simulate_all(names: list[str]) -> None:
    """Under callgrind: forks both processes of each case, and prints which they were, and their requests."""
    sys.path.insert(0, str(ROOT))
    from meshsim import forms
    from meshsim.engine import FastSimulation
    from meshsim.scenario import load

    assert forms.FORM.compiled, forms.FORM.reason
    for name in names:
        file, overrides = CASES[name]
        scenario = load(ROOT / file, overrides)
        for runs in (FEW, MANY):
            process = os.fork()
            if process == 0:
                requests = sum(len(FastSimulation(scenario, 1).run().requests.start) for _ in range(runs))
                print(name, runs, os.getpid(), requests, flush=True)
                os._exit(0)
            assert os.waitpid(process, 0)[1] == 0, name


def count(names: list[str], folder: Path) -> dict[str, float]:
    """Net instructions a request of each case."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/%p", sys.executable]
    command += [__file__, "--simulate", *names]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}
    )
    if done.returncode:
        sys.exit(f"callgrind failed:\n{done.stderr[-2000:]}")
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for line in done.stdout.splitlines():
        name, runs, process, requests = line.split()
        totals = re.search(r"^totals: (\d+)", (folder / process).read_text("utf-8"), re.MULTILINE)
        assert totals is not None
        found[name, int(runs)] = int(totals[1]), int(requests)
    return {
        name: (found[name, MANY][0] - found[name, FEW][0]) / (found[name, MANY][1] - found[name, FEW][1])
        for name in names
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave callgrind's files there")
    parser.add_argument("--simulate", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    names = asked.cases or list(CASES)
    if asked.simulate:
        simulate_all(names)
        return
    if shutil.which("valgrind") is None:
        print("bench_instructions: no valgrind here (Debian: apt install valgrind), so nothing is counted")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'':<8}{'instructions a request':>24}")
        for name, instructions in count(names, folder).items():
            print(f"{name:<8}{instructions:>24,.0f}")


if __name__ == "__main__":
    main()
