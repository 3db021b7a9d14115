"""Put meshsim's keyed draws through public batteries of tests: dieharder and TestU01.

    battery.py [--battery B]... [--layout L]... [--seed N] [--part P] [--tests D,D,...]

    smallcrush, crush, bigcrush   TestU01: ten seconds, half an hour, several hours for each layout
    dieharder                     `dieharder -a`: an hour or two for each layout, most of it in test 203

Without arguments: SmallCrush over every layout, if TestU01 is there, and dieharder over `tree`.

A keyed generator has no one stream: what is tested is the order in which meshsim uses keys and purposes.

    draws      one key, purposes 0, 1, 2, ...
    arrivals   sibling keys derive(load, n), one purpose: the gaps of an open load
    keys       the sibling keys themselves, all 64 bits
    tree       all draws of request 0, then of request 1, ...: calls, attempts, child calls
    seeds      seeds 1, 2, 3, ..., one draw each with the same path: what replications differ by

The words are computed with NumPy here and in C for TestU01; both are first compared with meshsim.random.
The full output goes to out/battery. Exit code 1 if a test fails: dieharder's FAILED (p < 1e-6), TestU01's
p < 1e-10; one line for each p that is merely unusual (WEAK: p < 0.005; TestU01: p < 0.001).
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from meshsim import random

Words = npt.NDArray[np.uint64]

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "out" / "battery"
CHUNK_WORDS = 1 << 16  # fits a core's cache
CHECKED = 2000  # indices at which each layout is compared with the plain draws

OF_CALL = (
    random.PROXY_OUT,
    random.PROXY_BACK,
    random.FAULT_DELAY,
    random.FAULT_TIME,
    random.FAULT_ABORT,
    random.ROUTE,
    random.TAKEN,
)
OF_ATTEMPT = (
    random.BACKOFF,
    random.LINK_OUT,
    random.LINK_BACK,
    random.LINK_NOTICE,
    random.PROXY_IN,
    random.PROXY_RESPONSE,
    random.ERROR,
    random.BALANCE,
    random.BALANCE + 1,
    random.LOSS_OUT,
    random.LOSS_BACK,
)


class Plain:
    """The draws of meshsim.random, a number at a time."""

    derive = staticmethod(random.derive)
    bits = staticmethod(random.bits)


class Arrays:
    """The same for arrays of keys, tags or purposes; unsigned arithmetic wraps."""

    @staticmethod
    def mix(z: Words) -> Words:
        z = (z ^ (z >> np.uint64(30))) * np.uint64(random.MULTIPLY_1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(random.MULTIPLY_2)
        return z ^ (z >> np.uint64(31))

    @classmethod
    def derive(cls, key: Words, tag: Words | int) -> Words:
        return cls.mix(np.asarray(key + _steps(tag, random.STEP_CHILD)))

    @classmethod
    def bits(cls, key: Words, purpose: Words | int) -> Words:
        return cls.mix(np.asarray(key + _steps(purpose, random.STEP_DRAW)))


def _steps(number: Words | int, step: int) -> Words:
    if isinstance(number, int):
        return np.array([(number + 1) * step & random.MASK], np.uint64)
    return (number + np.uint64(1)) * np.uint64(step)


# Each layout gives the words of index n; `to` is Plain and n a number, or Arrays and n an array of them.


def draws(to, seed, n):
    return [to.bits(to.derive(to.derive(seed, 0), 0), n)]


def arrivals(to, seed, n):
    return [to.bits(to.derive(to.derive(seed, 0), n), random.GAP)]


def keys(to, seed, n):
    return [to.derive(to.derive(seed, 0), n)]


def seeds(to, seed, n):
    return [to.bits(to.derive(to.derive(to.derive((seed << 32) + n + 1, 0), 0), 0), random.SERVICE)]


def tree(to, seed, n):
    request = to.derive(to.derive(seed, 0), n)
    return [to.bits(request, random.GAP), to.bits(request, random.SAMPLE), *_call(to, request, depth=0)]


def _call(to, key, depth):
    """Two attempts; those of the client's call make two child calls and a sleep."""
    words = [to.bits(key, purpose) for purpose in OF_CALL]
    for i in range(2):
        attempt = to.derive(key, i)
        words += [to.bits(attempt, purpose) for purpose in OF_ATTEMPT]
        own = to.bits(attempt, random.SERVICE)  # an Erlang service time takes these bits as a key
        words += [to.bits(own, purpose) for purpose in range(3)]
        if depth == 0:
            words += _call(to, to.derive(attempt, random.SCRIPT), 1)
            words += _call(to, to.derive(attempt, random.SCRIPT + 1), 1)
            words.append(to.bits(to.derive(attempt, random.SCRIPT + 2), random.SLEEP))
    return words


Layout = Callable[..., list]
LAYOUTS: dict[str, Layout] = {layout.__name__: layout for layout in (draws, arrivals, keys, tree, seeds)}


def chunks(layout: Layout, seed: int) -> Iterator[Words]:
    """The layout's words for n = 0, 1, 2, ..., without end, in pieces."""
    size = max(CHUNK_WORDS // len(layout(Plain, seed, 0)), 1)
    first = 0
    while True:
        n = np.arange(first, first + size, dtype=np.uint64)
        columns = layout(Arrays, np.array([seed], np.uint64), n)
        yield np.stack(columns, axis=1).ravel()
        first += size


def check(layout: Layout, seed: int, binary: Path | None) -> None:
    """Hold the array and the C form against meshsim.random, bit for bit."""
    plain = [word for n in range(CHECKED) for word in layout(Plain, seed, n)]
    parts: list[Words] = []
    for chunk in chunks(layout, seed):
        parts.append(chunk)
        if sum(map(len, parts)) >= len(plain):
            break
    assert np.concatenate(parts)[: len(plain)].tolist() == plain, f"{layout.__name__}: arrays differ"
    if binary is not None:
        command = [binary, "words", layout.__name__, str(seed), str(len(plain))]
        raw = subprocess.run(command, check=True, capture_output=True).stdout
        assert np.frombuffer(raw, np.uint64).tolist() == plain, f"{layout.__name__}: the C form differs"


def build(prefix: Path) -> Path | None:
    """Compile battery.c against TestU01 under `prefix`; None if it is not there."""
    if not (prefix / "include" / "testu01" / "bbattery.h").exists():
        return None
    binary = OUT / "battery"
    folders = ["include", "include/*-linux-gnu"]
    headers = [f"-I{folder}" for pattern in folders for folder in prefix.glob(pattern)]
    places = [f"-L{place}" for place in prefix.glob("lib/*-linux-gnu")]
    places += [f"-Wl,-rpath,{place[2:]}" for place in places]
    libraries = ["-Wl,--no-as-needed", "-ltestu01", "-ltestu01probdist", "-ltestu01mylib", "-lm"]
    compiler = ["gcc", "-O2", "-Wall", "-Wextra"]
    subprocess.run([*compiler, *headers, HERE / "battery.c", "-o", binary, *places, *libraries], check=True)
    return binary


def run_dieharder(layout: str, seed: int, tests: str) -> tuple[str, list[str], bool]:
    """All of dieharder, or the tests given by number: its version, unusual lines, whether one failed."""
    log = OUT / f"dieharder-{layout}-{seed}.txt"
    with log.open("wb") as file:
        for selected in [["-d", number] for number in tests.split(",")] if tests else [["-a"]]:
            command = ["dieharder", "-g", "200", *selected]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it takes what it needs, and goes
                for chunk in chunks(LAYOUTS[layout], seed):
                    process.stdin.write(chunk.tobytes())
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            if process.wait() != 0:  # killed, or never started its tests: what it printed is no verdict
                raise SystemExit(f"dieharder {layout}: ended early, status {process.returncode}; see {log}")
    text = log.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.count("|") == 5 and "Assessment" not in line]
    unusual = [row for row in rows if not row.rstrip(" |").endswith("PASSED")]
    version = re.search(r"version ([\d.]+)", text)
    failed = any("FAILED" in row for row in unusual)
    return f"dieharder {version[1] if version else ''}, {len(rows)} p-values", unusual, failed


def run_testu01(binary: Path, battery: str, layout: str, seed: int, part: str) -> tuple[str, list[str], bool]:
    """A battery of TestU01: its version, unusual lines, whether one failed."""
    text = subprocess.run(
        [binary, battery, layout, str(seed), part], check=True, capture_output=True, text=True
    ).stdout
    (OUT / f"{battery}-{layout}-{seed}-{part}.txt").write_text(text)
    summary = text[text.rindex("Summary results") :]
    version = re.search(r"Version:\s+(.*)", summary)
    count = re.search(r"Number of statistics:\s+(\d+)", summary)
    unusual = [line.strip() for line in summary.splitlines() if re.match(r"\s*\d+\s{2}\S", line)]
    failed = any(re.search(r"\beps\d*\s*$", line) or _tail(line) < 1e-10 for line in unusual)
    return f"{version[1] if version else 'TestU01'}, {count[1] if count else '?'} p-values", unusual, failed


def _tail(line: str) -> float:
    """How far out the p-value of a summary line is: `0.9995`, `7.1e-4` or `1 - 3.2e-5`."""
    numbers = re.search(r"(1 -\s*)?([\d.]+(?:e-\d+)?)\s*$", line)
    if numbers is None:
        return 0.0
    p = float(numbers[2])
    return p if numbers[1] else min(p, 1.0 - p)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    batteries = ["smallcrush", "crush", "bigcrush", "dieharder"]
    parser.add_argument("--battery", action="append", choices=batteries)
    parser.add_argument("--layout", action="append", choices=list(LAYOUTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", default="both", choices=["both", "high", "reversed"], help="TestU01 only")
    parser.add_argument("--tests", default="", help="dieharder's test numbers, instead of all")
    parser.add_argument("--testu01", type=Path, default=Path("/usr"), help="where TestU01 is installed")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    OUT.mkdir(parents=True, exist_ok=True)
    binary = build(options.testu01)
    dieharder = shutil.which("dieharder") is not None
    if not dieharder:
        print("dieharder is not installed: apt-get install dieharder (Debian, main)")
    if binary is None:
        print("TestU01 is not installed: apt-get install libtestu01-0-dev (Debian, non-free; not needed)")
    batteries = options.battery or ["smallcrush", "dieharder"]
    for layout in LAYOUTS.values():
        check(layout, options.seed, binary)
    print(f"words equal meshsim.random's in every layout, {CHECKED} indices each", flush=True)
    failed_any, ran = False, False
    for battery in batteries:
        usual = ["tree"] if battery == "dieharder" and not options.battery else list(LAYOUTS)
        for layout in options.layout or usual:
            start = time.monotonic()
            if battery == "dieharder" and dieharder:
                title, unusual, failed = run_dieharder(layout, options.seed, options.tests)
            elif battery != "dieharder" and binary is not None:
                title, unusual, failed = run_testu01(binary, battery, layout, options.seed, options.part)
            else:
                continue
            ran, failed_any = True, failed_any or failed
            verdict = "FAILED" if failed else f"{len(unusual)} unusual" if unusual else "all passed"
            took = f"{(time.monotonic() - start) / 60:.1f} min"
            print(f"{battery} {layout} seed {options.seed}: {verdict} ({title}, {took})", flush=True)
            for line in unusual:
                print(f"    {line}", flush=True)
    return 1 if failed_any or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
