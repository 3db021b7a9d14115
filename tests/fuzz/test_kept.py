"""What a sweep keeps is refused or harmless when its bytes have changed: never another number.

Before there were digests, 1,390 of 3,000 flipped bits of a journal gave a wrong table and 13 a traceback; of
a table, 536 and 16.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab import tidy
from meshsim.lab.journal import JOURNAL, TABLE, Journal, save
from meshsim.lab.sweep import Sweep, sweep
from meshsim.scenario import loads
from tests.fuzz.damage import cuts, flips

FAST, LONG = 100, 3_000
TIMES = [FAST, pytest.param(LONG, marks=pytest.mark.long)]

TEXT = """
name: small
duration: 2s
services:
  api: {workers: 2, queue: 5, time: {exponential: 10ms}, script: [{call: db}]}
  db: {time: 5ms}
load: [{to: api, rate: 50/s}]
"""


@pytest.fixture(scope="module")
def done() -> Sweep:
    return sweep(loads(TEXT), {"load[0].rate": "50/s:150/s:3"}, replications=2, jobs=1)


def put(folder: Path, done: Sweep, name: str) -> Path:
    """A folder with a journal of all runs, or their table."""
    if name == TABLE:
        save(folder, done.columns, done.header, {})
    else:
        with Journal(folder, done.header) as journal:
            for run, rows in tidy.runs_of(done.columns).items():
                journal.add(run, rows)
    return folder / name


def taken(folder: Path, done: Sweep) -> dict[tidy.Run, list[tidy.Row]] | None:
    """What a sweep that goes on there takes for finished; None where it refuses."""
    try:
        with Journal(folder, done.header) as journal:
            return dict(journal.finished)
    except MeshsimError:
        return None


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", [JOURNAL, TABLE])
def test_no_damage_changes_a_number(done, tmp_path, name, times) -> None:
    path = put(tmp_path, done, name)
    written, true = path.read_bytes(), taken(tmp_path, done)
    assert true is not None
    assert len(true) == 6
    refused = 0
    for what, damaged in itertools.chain(flips(written, times), cuts(written, times // 8)):
        path.write_bytes(damaged)
        found = taken(tmp_path, done)
        if found is None:
            refused += 1
            assert path.read_bytes() == damaged, f"{what}: refused, and yet changed"
        else:
            assert found.items() <= true.items(), what
    assert refused > times // 2
