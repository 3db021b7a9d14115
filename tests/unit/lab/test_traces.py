"""The spans of a folder that somebody else has written, or a bad disk: read whole, or refused by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import meshsim as ms
from meshsim.errors import MeshsimError
from meshsim.lab.observe.waterfall import waterfall
from meshsim.lab.traces import LATEST, read_spans, rows_of

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))
from damage import cuts, flips

TEXT = """
duration: 2s
services: {web: {time: {exponential: 20ms}, script: [{call: cart}]}, cart: {time: 5ms}}
load: [{to: web, rate: 20/s}]
tracing: {sampling: 100%}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ms.run(ms.loads(TEXT), out=tmp_path)
    return tmp_path


def changed(folder: Path, name: str, values: Callable[[list[Any]], Any]) -> None:
    """Writes other values of a column."""
    table = pq.read_table(folder / "spans.parquet")
    column = pa.array(values(table.column(name).to_pylist()))
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, column), folder / "spans.parquet")


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("trace_id", lambda rows: ["x"] * len(rows), "trace_id is no id"),
        ("span_id", lambda rows: rows[:1] * len(rows), "two spans have one span_id"),
        ("parent_id", lambda rows: [None] * len(rows), "column parent_id can't be read"),
        ("parent_id", lambda rows: [7] * len(rows), "column parent_id can't be read"),
        ("kind", lambda rows: ["ours"] * len(rows), "kind is none of call, attempt, server"),
        ("start", lambda rows: [-1.0, *rows[1:]], "start and end are not times"),
        ("end", lambda rows: [float("nan"), *rows[1:]], "start and end are not times"),
        ("end", lambda rows: [LATEST, *rows[1:]], "start and end are not times"),
        ("status", lambda rows: [[200]] * len(rows), "column status can't be read"),
    ],
)
def test_a_damaged_column_is_named(
    folder: Path, name: str, values: Callable[[list[Any]], Any], why: str
) -> None:
    changed(folder, name, values)
    with pytest.raises(MeshsimError, match=f"spans.parquet is damaged: {why}; run it again"):
        read_spans(folder)


def test_spans_that_are_their_own_parents_have_no_replica_and_end(folder: Path) -> None:
    ids = pq.read_table(folder / "spans.parquet").column("span_id").to_pylist()
    changed(folder, "parent_id", lambda _: ids)
    rows = rows_of(read_spans(folder)[1])
    assert {row["instance"] for row in rows if row["kind"] != "server"} == {""}
    with pytest.raises(MeshsimError, match="there is no trace"):
        waterfall(folder)


@pytest.mark.parametrize("began", [float("inf"), float("nan"), -5e9, 1e300, 10**400, True, "then", []])
def test_a_beginning_that_is_no_time_is_not_used(folder: Path, began: object) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "live": {"began": began}}))
    *_, used = read_spans(folder)
    saved = (folder / "spans.parquet").stat().st_mtime
    assert saved - 60.0 < used < saved


def test_whatever_a_disk_does_to_it_it_is_read_or_refused(folder: Path) -> None:
    for name in ("spans.parquet", "summary.json"):
        whole = (folder / name).read_bytes()
        outcomes = set()
        for _, data in [*flips(whole, 60), *cuts(whole, 15)]:
            (folder / name).write_bytes(data)
            try:
                rows_of(read_spans(folder)[1])
                outcomes.add("read")
            except MeshsimError:
                outcomes.add("refused")
        assert "refused" in outcomes
        (folder / name).write_bytes(whole)
    assert rows_of(read_spans(folder)[1])
