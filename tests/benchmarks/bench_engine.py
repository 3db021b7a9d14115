"""How fast the engines are beside the reference model, on M/M/4, the four-service shop and its retry storm.

Sides: the reference model; the SimPy engine, plain and on compiled classes; the fast engine, with its checks
(as it is installed) and without (built for this, in a folder of its own under build/). Each side is a process
of its own; a round asks them in turn, and ratios are taken within a round, so that what disturbs the machine
disturbs all. Timed is the simulation alone; all sides simulate the same scenario with the same draws.

    python tests/benchmarks/bench_engine.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "scenarios"
CASES = {
    "M/M/4": ("mmc.yaml", {"warmup": "0s"}, {"short": "60s", "long": "3000s"}),
    "shop": ("shop.yaml", {"warmup": "0s", "events": []}, {"short": "5s", "long": "200s"}),
    "retry storm": ("retry-storm.yaml", {}, {}),
}
"""File, overrides, and how long for slow and for fast sides; the storm is what it is."""
SIDES = {
    "reference": {"MESHSIM_FORM": "plain"},
    "SimPy, plain": {"MESHSIM_FORM": "plain"},
    "SimPy, compiled": {},
    "fast": {},
    "fast, unchecked": {},
}


def serve(side: str) -> None:
    """A side: answers each case's name on standard input with requests per second."""
    from meshsim import engine, forms, reference
    from meshsim.scenario import load

    assert forms.FORM.compiled == (SIDES[side] == {}), forms.FORM.reason
    assert forms.FORM.checked == (SIDES[side] == {} and side != "fast, unchecked")
    for line in sys.stdin:
        file, overrides, durations = CASES[line.strip()]
        lasts = durations.get("long" if side.startswith("fast") else "short")
        scenario = load(SCENARIOS / file, {**overrides, **({"duration": lasts} if lasts else {})})
        begin: Callable[[], object]
        if side == "reference":
            begin = lambda: reference.simulate(scenario)  # noqa: B023, E731
        else:
            make = engine.Simulation if side.startswith("SimPy") else engine.FastSimulation
            begin = make(scenario).run
        start = time.perf_counter()
        records = begin()
        print(json.dumps(len(records.requests.start) / (time.perf_counter() - start)), flush=True)  # type: ignore[attr-defined]


def unchecked() -> Path:
    """The package in a folder of its own, compiled without checks."""
    folder = ROOT / "build" / "unchecked"
    fresh = folder / "fresh"
    newest = max(file.stat().st_mtime for file in (ROOT / "meshsim").rglob("*.py"))
    if not fresh.exists() or fresh.stat().st_mtime < newest:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(
            ROOT / "meshsim", folder / "meshsim", ignore=shutil.ignore_patterns("__pycache__", "_compiled")
        )
        command = [sys.executable, "-m", "meshsim.compiler", "--unchecked"]
        subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, check=True)
        fresh.touch()
    return folder


def start(side: str) -> subprocess.Popen[str]:
    """Starts a side's process."""
    path = unchecked() if side == "fast, unchecked" else ROOT
    environment = {**os.environ, **SIDES[side], "PYTHONPATH": str(path)}
    command = [sys.executable, __file__, "--side", side]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=path
    )


def ask(process: subprocess.Popen[str], case: str) -> float:
    """One measurement."""
    to, back = process.stdin, process.stdout
    assert isinstance(to, IO) or to is not None
    assert back is not None
    to.write(case + "\n")
    to.flush()
    return float(json.loads(back.readline()))


def main(rounds: int) -> None:
    """Prints requests/s of all sides, and ratios, medians over the rounds."""
    sides = {side: start(side) for side in SIDES}
    print(f"requests/s, medians of {rounds} rounds; ratios within a round")
    print(
        f"{'':<12}"
        + "".join(f"{side:>17}" for side in SIDES)
        + f"{'fast/reference':>16}{'fast/SimPy plain':>18}"
    )
    for case in CASES:
        for process in sides.values():
            ask(process, case)  # warm up
        found = [{side: ask(process, case) for side, process in sides.items()} for _ in range(rounds)]
        speeds = "".join(f"{statistics.median(each[side] for each in found):>17,.0f}" for side in SIDES)
        ratios = [
            statistics.median(each["fast"] / each[side] for each in found)
            for side in ("reference", "SimPy, plain")
        ]
        print(f"{case:<12}{speeds}{ratios[0]:>16.1f}{ratios[1]:>18.1f}", flush=True)
    for process in sides.values():
        process.kill()


if __name__ == "__main__":
    if "--side" in sys.argv:
        serve(sys.argv[-1])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
