"""One row a client request: the table that `requests.parquet` holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshsim.measure.records import Records, Requests
from meshsim.measure.table import Table, meanings
from meshsim.scenario.model import Scenario

RECORDED = meanings(Requests)
COLUMNS = {
    "id": "number of the request in its replication, in order of arrival, from 0",
    "start": "when the client sent it, s",
    "latency": "from sending to receipt, s",
    **{name: meaning for name, meaning in RECORDED.items() if name not in ("version", "endpoint")},
    "entry": "the service it went to",
    "version": RECORDED["version"],
    "measured": "whether it belongs to the measured window (the warm-up does not)",
    "replication": "number of the replication, from 0",
    "endpoint": RECORDED["endpoint"],
}


def requests(records: Sequence[Records], scenario: Scenario, *, start: float, end: float) -> Table:
    """The completed requests of all replications, warm-up included; measured is [start, end), s."""
    tables = [_rows(record, scenario, number, start, end) for number, record in enumerate(records)]
    return {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}


def _rows(record: Records, scenario: Scenario, number: int, start: float, end: float) -> Table:
    rows = record.requests
    done = np.flatnonzero(rows.status > 0)
    begin = rows.start[done]
    return {
        "id": done,
        "start": begin,
        "latency": rows.end[done] - begin,
        "entry": np.array([load.to for load in scenario.load])[rows.load[done]],
        "measured": (begin >= start) & (begin < end),
        "replication": np.full(len(done), number),
        **{name: getattr(rows, name)[done] for name in RECORDED},
    }
