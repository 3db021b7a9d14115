"""All that is read back is refused or harmless when its bytes have changed: never another number.

Before there were digests, 1,390 of 3,000 flipped bits of a journal gave a wrong table and 13 a traceback; of
a table, 536 and 16. Of 20,000 flipped bits of a process's rows 26 changed a number and 97 gave a traceback.

Two files have no digest: a scenario, which is there to be changed, and an Envoy's log, which it writes itself
and which is read within seconds. There damage may change what is said, but is no traceback.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshsim import forms
from meshsim.errors import MeshsimError, ScenarioError
from meshsim.lab import tidy
from meshsim.lab.jobs.journal import JOURNAL, TABLE, Journal, save
from meshsim.lab.sweep import Sweep, sweep
from meshsim.live.child import packed
from meshsim.live.envoy.accesslog import FIELDS, TRY_FIELDS, Hosts, Log, call_row, ejection, try_row
from meshsim.live.processes import Member
from meshsim.scenario import config, load, loads
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
    before, true = path.read_bytes(), taken(tmp_path, done)
    assert true is not None
    assert len(true) == 6
    refused = 0
    for what, damaged in itertools.chain(flips(before, times), cuts(before, times // 8)):
        path.write_bytes(damaged)
        found = taken(tmp_path, done)
        if found is None:
            refused += 1
            assert path.read_bytes() == damaged, f"{what}: refused, and yet changed"
        else:
            assert found.items() <= true.items(), what
    assert refused > times // 2


# ---- what a process of the live mesh hands over -----------------------------------------------------


def handed_over(said: bytes, log: Path) -> dict[str, np.ndarray]:
    """What is heard of a process that says so and ends."""
    member, events = Member("the proxy of a/0", log), queue.SimpleQueue()
    incoming, outgoing = os.pipe()
    os.write(outgoing, said)
    os.close(outgoing)
    member.converse(incoming, os.open(os.devnull, os.O_WRONLY), events)
    _, message = events.get(timeout=60.0)
    member.hang_up()
    if "rows" not in message:
        raise MeshsimError(message.get("error", "it ended"))
    return member.rows(message["rows"])


@pytest.mark.parametrize("times", TIMES)
def test_no_damage_to_the_rows_of_a_process_changes_a_number(tmp_path, times) -> None:
    rows = {f"calls.{name}": np.arange(9).astype(kind) for name, kind in {"key": "u8", "end": "f8"}.items()}
    payload = packed(rows)
    word = json.dumps({"rows": len(payload), "crc": zlib.crc32(payload)}).encode() + b"\n"
    assert handed_over(word + payload, tmp_path / "log").keys() == rows.keys()
    for _, damaged in itertools.chain(flips(payload, times), cuts(payload, times // 8)):
        if damaged[: len(payload)] != payload:
            with pytest.raises(MeshsimError):
                handed_over(word + damaged, tmp_path / "log")


CALL = {
    **dict.fromkeys(FIELDS, ""), "listener": "outbound", "start_time": "2026-11-25T04:30:02.461673Z",
    "duration": 3, "duration_us": 3_100, "response_code": 200, "response_flags": "-", "attempt_count": 1,
    "connected_after": 1, "upstream_host": "127.0.0.1:80", "route_name": "a",
    "x_meshsim": "00000000000000ff;1.5;0;0;0",
}  # fmt: skip
TRY = {**{name: CALL[name] for name in (*TRY_FIELDS, "x_meshsim") if name in CALL}, "number": "1"}
EJECTION = {
    "action": "EJECT", "enforced": True, "upstream_url": "127.0.0.1:80", "cluster_name": "a/x",
    "timestamp": "2026-11-28T10:00:00.123Z",
}  # fmt: skip


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(
    ("line", "row"),
    [(CALL, partial(call_row, "client")), (TRY, try_row), (EJECTION, ejection)],
    ids=["calls", "tries", "ejections"],
)
def test_damage_to_an_envoys_log_is_no_traceback_and_a_torn_line_is_told(tmp_path, line, row, times) -> None:
    def read() -> list[Any]:
        return Log(file, row, hosts).more(ended=True)

    hosts, file = Hosts({"a/0": ("127.0.0.1", 80)}), tmp_path / "log"
    whole = (json.dumps(line) + "\n").encode() * 2
    file.write_bytes(whole)
    assert len(read()) == 2
    for _, damaged in itertools.chain(flips(whole, times), cuts(whole, times // 8)):
        file.write_bytes(damaged)
        try:
            read()
        except MeshsimError as error:
            message = str(error)
            if str(file) not in message:
                raise
    file.write_bytes(whole[:-9])
    with pytest.raises(MeshsimError, match="its last line is not whole"):
        read()


# ---- what meshsim reads of itself -------------------------------------------------------------------


@pytest.mark.parametrize("times", TIMES)
def test_no_damage_to_the_manifest_lets_another_build_pass(tmp_path, monkeypatch, times) -> None:
    form, files = forms._look()
    if not form.compiled:
        pytest.skip("nothing is compiled")
    whole = forms.MANIFEST.read_bytes()
    monkeypatch.setattr(forms, "MANIFEST", tmp_path / "manifest.json")
    for _, damaged in itertools.chain(flips(whole, times // 4), cuts(whole, times // 16)):
        forms.MANIFEST.write_bytes(damaged)
        _, found = forms._look()
        assert found.items() <= files.items()


@pytest.mark.parametrize("times", TIMES)
def test_a_damaged_dump_is_a_scenario_or_told(tmp_path, times) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(config.text(loads(TEXT)))
    whole = file.read_bytes()
    for _, damaged in itertools.chain(flips(whole, times), cuts(whole, times // 8)):
        file.write_bytes(damaged)
        try:
            load(file)
        except ScenarioError as error:
            message = str(error)
            if str(file) not in message:
                raise
