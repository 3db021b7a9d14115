"""Processes seen from outside, as tests of what happens to them must (on Linux)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    return _stat(process, 0) not in ("", "Z")


def members(group: int) -> list[int]:
    """The processes of a process group that run."""
    return [process for process in _all() if alive(process) and _stat(process, 2) == str(group)]


def workers(parent: int) -> list[int]:
    """The processes that a pool has started for its runs."""
    children = [process for process in _all() if _stat(process, 1) == str(parent) and alive(process)]
    return [process for process in children if b"LokyProcess" in _file(process, "cmdline")]


def eventually(condition: Callable[[], object], within: float = 60.0) -> bool:
    """Waits for something to become true."""
    end = time.monotonic() + within
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(met)


def _all() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _stat(process: int, field: int) -> str:
    """A field of what the system says of a process, after its name: state, parent, group."""
    said = _file(process, "stat").decode(errors="replace").rpartition(")")[2].split()
    return said[field] if said else ""


def _file(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""
