"""meshsim beside SimPy, Ciw, salabim, happysim, asyncflow-sim, cimba and a plain heapq loop.

    python tests/benchmarks/bench_peers.py [--rounds N] [--seconds S] [--only NAME]...
                                           [--save FILE] [--markdown]
    python tests/benchmarks/bench_peers.py --load FILE --markdown

M/M/1, M/M/4 and a chain of three services with held workers (`peers/common.py`), each told to each peer
as well as it can be told (`peers/*.py`), each peer in a virtual environment of its own, made under
build/peers when it is first needed. One process at a time; a round measures everybody once, so that what
disturbs the machine disturbs all.

Speeds are medians over the rounds; a ratio is the median of the ratios within the rounds. Every mean is
compared with the exact one (`peers/exact.py`): a peer that simulates something else is marked.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "peers"))

import exact  # noqa: E402 - the programs beside each other import by plain names, as the peers do
from common import SYSTEMS  # noqa: E402
from environments import PEERS, ROOT, MissingError, python_of  # noqa: E402

MESHSIM = ("fast", "fast-histograms", "simpy", "reference")
TITLES = {"mm1": "M/M/1", "mm4": "M/M/4", "chain": "chain"}
PROBES = (5_000, 100_000)
"""Requests of the runs that tell how many a measured run should have; the second one is for who is fast."""
FEWEST, MOST = 20_000, 3_000_000
PATIENCE = 300.0
"""Seconds that one run may take at most."""
STANDARD_ERRORS = 4.0
"""As far from the exact mean a pooled mean may be; a right one is farther once in 15,000 times."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """Something that simulates: a peer, or one of meshsim's engines, in one form.

    Attributes:
        name: of the peer.
        form: in which it is told the systems.
        command: what runs it, but for system, requests, seed and form; None where it can't be run.
        reason: why it can't.
    """

    name: str
    form: str
    command: tuple[str, ...] | None
    reason: str = ""

    @property
    def label(self) -> str:
        """As the tables have it."""
        several = self.name == "meshsim" or len(PEERS[self.name].forms) > 1
        return f"{self.name}, {self.form}" if several else self.name

    def run(self, system: str, requests: int, seed: int) -> Line:
        """One process; what it printed, or ``{"cannot": why}``."""
        if self.command is None:
            return {"cannot": self.reason}
        path = {"PYTHONPATH": str(ROOT)} if self.name == "meshsim" else {"PYTHONPATH": ""}
        command = [*self.command, system, str(requests), str(seed), self.form]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                env={**os.environ, **path},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"cannot": f"took more than {PATIENCE:.0f} s for {requests:,} requests"}
        if done.returncode:
            return {"cannot": f"failed: {done.stderr.strip().splitlines()[-1]}"}
        return json.loads(done.stdout.splitlines()[-1])


# ---- measuring --------------------------------------------------------------------------------------


def sides(only: Iterable[str]) -> list[Side]:
    """meshsim's engines, and the peers (those whose names contain one of the words, if any), installed."""
    program = str(HERE / "peers" / "meshsim_scenario.py")
    found = [Side("meshsim", engine, (sys.executable, program)) for engine in MESHSIM]
    words = [word.lower() for word in only]
    for name, peer in PEERS.items():
        if words and not any(word in name.lower() for word in words):
            continue
        try:
            python, reason = python_of(peer), ""
        except MissingError as missing:
            python, reason = None, str(missing)
        command = None if python is None else (str(python), str(HERE / "peers" / peer.program))
        found += [Side(name, form, command, reason) for form in peer.forms]
    return found


def size(side: Side, system: str, seconds: float) -> tuple[int, str]:
    """How many requests keep a side busy for so long, and why it can't have any."""
    for probe in PROBES:
        line = side.run(system, probe, seed=0)
        if "cannot" in line:
            return 0, line["cannot"]
        if line["seconds"] > 0.2:
            break
    wanted = seconds * line["requests"] / line["seconds"]
    return int(min(max(wanted, FEWEST), MOST)), ""


def measure(chosen: list[Side], rounds: int, seconds: float) -> list[Line]:
    """All rounds, interleaved. Ctrl-C keeps what has been measured."""
    lines: list[Line] = []
    sizes: dict[tuple[str, str], int] = {}
    try:
        for number in range(rounds):
            for system in SYSTEMS:
                for side in chosen:
                    key = side.label, system
                    if key not in sizes:
                        sizes[key], why = size(side, system, seconds)
                        if why:
                            lines.append({"label": side.label, "system": system, "cannot": why})
                    if not sizes[key]:
                        continue
                    line = {"label": side.label, "round": number, "system": system}
                    line |= side.run(system, sizes[key], seed=1 + number)
                    lines.append(line)
                    told = line.get("cannot") or f"{speed(line):>12,.0f} requests/s"
                    print(
                        f"round {number + 1}  {system:<6}{side.label:<26}{told}", file=sys.stderr, flush=True
                    )
    except KeyboardInterrupt:
        print("interrupted: the tables hold what was measured until now", file=sys.stderr)
    return lines


# ---- telling ----------------------------------------------------------------------------------------


def speed(line: Line) -> float:
    """Requests a second of wall time."""
    return line["requests"] / line["seconds"]


def of(lines: list[Line], label: str, system: str) -> dict[int, Line]:
    """The measured lines of a side by round."""
    found = (line for line in lines if line["label"] == label and line["system"] == system)
    return {line["round"]: line for line in found if "cannot" not in line}


def ratio(lines: list[Line], base: str, label: str, system: str) -> float:
    """How many times as fast as a side the base is."""
    ours, theirs = of(lines, base, system), of(lines, label, system)
    return statistics.median(speed(ours[n]) / speed(theirs[n]) for n in ours.keys() & theirs.keys())


def base_of(lines: list[Line]) -> str:
    """The engine against which ratios are: the fast one if it is there."""
    return "meshsim, fast" if any(of(lines, "meshsim, fast", each) for each in SYSTEMS) else "meshsim, simpy"


def pooled(found: Iterable[Line]) -> tuple[float, float, float]:
    """Mean, its standard error (NaN where it is not known) and p99, s, of equally long runs."""
    runs = list(found)
    errors = [math.nan if line["se"] is None else line["se"] for line in runs]
    error = math.sqrt(sum(each * each for each in errors)) / len(runs)
    mean = statistics.fmean(line["mean"] for line in runs)
    return mean, error, statistics.fmean(line["p99"] for line in runs)


def speeds(lines: list[Line]) -> list[list[str]]:
    """The table of speeds: a row a side."""
    base = base_of(lines)
    head = ["", "version", "Python"]
    for title in TITLES.values():
        head += [f"{title}, requests/s", "ratio"]
    rows = [[*head, "start, s"]]
    for label in dict.fromkeys(line["label"] for line in lines):
        done = [line for line in lines if line["label"] == label and "cannot" not in line]
        if not done:
            continue
        row = [label, done[0]["version"], ".".join(done[0]["python"].split(".")[:2])]
        for system in SYSTEMS:
            found = of(lines, label, system)
            if found:
                row += [f"{statistics.median(map(speed, found.values())):,.0f}"]
                row += [f"{ratio(lines, base, label, system):.3g}"]
            else:
                row += ["can't", ""]
        rows.append([*row, f"{statistics.median(line['startup_s'] for line in done):.2f}"])
    return rows


def results(lines: list[Line]) -> list[list[str]]:
    """The table of means beside the exact ones: a row a side, those that differ marked."""
    truth = {name: exact.mean_time(system) for name, system in SYSTEMS.items()}
    rows = [["mean ± standard error, p99, ms", *TITLES.values()]]
    rows.append(["exact mean", *(f"{1e3 * value:.3f}" for value in truth.values())])
    for label in dict.fromkeys(line["label"] for line in lines):
        row = [label]
        for system in SYSTEMS:
            found = of(lines, label, system)
            if not found:
                row.append("can't")
                continue
            mean, error, p99 = pooled(found.values())
            known = "" if math.isnan(error) else f" ± {1e3 * error:.3f}"
            wrong = " **differs**" if abs(mean - truth[system]) > STANDARD_ERRORS * error else ""
            row.append(f"{1e3 * mean:.3f}{known}, {1e3 * p99:.1f}{wrong}")
        if row[1:] != ["can't"] * len(SYSTEMS):
            rows.append(row)
    return rows


def notes(lines: list[Line]) -> list[str]:
    """What could not be measured, and why; and what the ratios are against."""
    told = [f"Ratios: how many times as fast {base_of(lines)} is, the median of the rounds."]
    if base_of(lines) != "meshsim, fast":
        told.append(
            "NOTE: engine `fast` is not in this version of meshsim; ratios are against its SimPy engine."
        )
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if "cannot" in line:
            systems = reasons.setdefault((line["label"], line["cannot"]), [])
            systems += [TITLES[line["system"]]] * (TITLES[line["system"]] not in systems)
    return told + [f"{label}, {', '.join(systems)}: {why}" for (label, why), systems in reasons.items()]


def rendered(rows: list[list[str]], markdown: bool) -> str:
    """A table as text or Markdown; all columns but the first to the right."""
    if markdown:
        head, *body = rows
        rule = ["---", *["---:"] * (len(head) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def main() -> None:
    """Measures, or reads what was measured, and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everybody is measured (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="about as long takes a run (default 1.5)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="these peers only; repeat it"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep what was measured, as JSON")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing; take what was kept")
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    asked = parser.parse_args()
    if asked.load:
        lines = json.loads(asked.load.read_text("utf-8"))
    else:
        lines = measure(sides(asked.only), asked.rounds, asked.seconds)
    if asked.save:
        asked.save.parent.mkdir(parents=True, exist_ok=True)
        asked.save.write_text(json.dumps(lines, indent=1), "utf-8")
    bullet = "- " if asked.markdown else ""
    tables = [rendered(table, asked.markdown) for table in (speeds(lines), results(lines))]
    print("\n\n".join([*tables, "\n".join(f"{bullet}{note}" for note in notes(lines))]))


if __name__ == "__main__":
    main()
