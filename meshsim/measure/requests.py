"""One row a client request: the table that `requests.parquet` holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshsim.measure.records import Records
from meshsim.measure.table import Table
from meshsim.scenario.model import Scenario

COLUMNS = {
    "id": "number of the request in its replication, in order of arrival, from 0",
    "start": "when the client sent it, s",
    "latency": "from sending to receipt, s",
    "status": "HTTP status",
    "flag": "Envoy's response flags, joined by commas; empty where there are none",
    "attempts": "tries of the client's call that were sent",
    "entry": "the service it went to",
    "version": "of the replica whose answer it was; empty where there is none",
    "measured": "whether it belongs to the measured window (the warm-up does not)",
    "replication": "number of the replication, from 0",
}


def requests(records: Sequence[Records], scenario: Scenario, *, start: float, end: float) -> Table:
    """The completed requests of all replications, warm-up included.

    Args:
        records: the replications.
        scenario: which they are of.
        start: of the measured window, s.
        end: of the measured window, s.
    """
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
        "status": rows.status[done],
        "flag": rows.flag[done],
        "attempts": rows.attempts[done],
        "entry": np.array([load.to for load in scenario.load])[rows.load[done]],
        "version": rows.version[done],
        "measured": (begin >= start) & (begin < end),
        "replication": np.full(len(done), number),
    }
