"""From what the processes of a live mesh have recorded to the tables of `meshsim.measure.records`.

Each process knows its part: the load generator the client's requests, each caller's proxy its calls and
tries, each service the visits that it had. They are put together by their keys, which travelled with them.
The client's calls are its requests as it saw them itself, as in a simulation: its proxy sees less of each.
All times are scenario time, s. The columns, by process (an .npz each):

    load      requests.{load, route, start, end, status, key}
                                                         one row a request; end NaN and status 0: unfinished
              lag                                        how much later than meant a request was sent
    proxy     calls.{key, route, request_start, start, end, status, flags, extra, sent, host}
                                                         flags packed as in `policies.outcome`; sent: tries;
                                                         host: the number of the replica that answered, or -1
              attempts.{key, route, replica, kind, extra, request_start, sent, ended}
              attempts.{arrived, answered, answer_status}  as the proxy saw it; used where no visit is known
              ejections.{time, edge, replica}
              connections.{time, edge, what}             as `meshsim.mesh.connection` numbers them
              certificates.{time, what}                  as `meshsim.mesh.certificate` numbers them
              span_*                                     as `live.spans` has them; of services too
    control_plane  pushes.{version, changed, begun, proxies, nacked}, arrivals.{time, push}
    cluster   lives.{replica, since, until}              of the replicas that come and go
    service   visits.{key, arrived, answered, status}    key: the attempt's
              busy, queued                               worker-seconds and waiting seconds, by bin
              lag                                        how much later than meant its timers woke it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live.spans import kept_spans
from meshsim.measure.grid import Floats, Grid, Ints
from meshsim.measure.records import Attempts, Calls, Records, Requests
from meshsim.measure.spans import Spans, span_table
from meshsim.measure.table import table_of
from meshsim.mesh.certificate import CERTIFICATE_EVENTS
from meshsim.mesh.connection import COUNTED
from meshsim.mesh.control_plane import Push
from meshsim.policies.outcome import flag_names
from meshsim.scenario.model import CLIENT, Scenario
from meshsim.scenario.topology import Extra, RouteKey, Topology

Rows = Mapping[str, NDArray[Any]]
Parts = Mapping[tuple[str, str], Rows]
"""What each process has recorded, by (role, id)."""
Keys = NDArray[np.uint64]

REQUESTS = {"load": "i8", "route": "i8", "start": "f8", "end": "f8", "status": "i8", "key": "u8"}
CALLS = {
    "key": "u8", "route": "i8", "request_start": "f8", "start": "f8", "end": "f8", "status": "i8",
    "flags": "i8", "extra": "?", "sent": "i8", "host": "i8",
}  # fmt: skip
ATTEMPTS = {
    "key": "u8", "route": "i8", "replica": "i8", "kind": "i8", "extra": "?", "request_start": "f8",
    "sent": "f8", "ended": "f8", "arrived": "f8", "answered": "f8", "answer_status": "i8",
}  # fmt: skip
EJECTIONS = {"time": "f8", "edge": "i8", "replica": "i8"}
CONNECTIONS = {"time": "f8", "edge": "i8", "what": "i8"}
PUSHES = {"version": "i8", "changed": "f8", "begun": "f8", "proxies": "i8", "nacked": "i8"}
LIVES = {"replica": "i8", "since": "f8", "until": "f8"}
VISITS = {"key": "u8", "arrived": "f8", "answered": "f8", "status": "i8"}

Table = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a live run came to its end: nothing after `time`, s, when the processes were stopped, is looked at.

    It is `complete` if all that had begun was finished by then.
    """

    time: float
    complete: bool
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """A live run; `keys` of its requests, in order, pair each with the same one of a simulation.

    `lag` is how much later than meant requests were sent, `timer_lag` the services' timers woke them, s.
    """

    records: Records
    keys: Keys
    lag: Floats
    timer_lag: Floats


def merge(
    scenario: Scenario, seed: int, engine: str, parts: Parts, ending: Ending, extra: Extra = ()
) -> Merged:
    """Puts a run of `engine` (``live`` or ``envoy``) together; `extra` replicas are as in a `Topology`."""
    topology = Topology(scenario, extra)
    replicas = topology.labels
    ids = [id_ for _, _, id_ in replicas]
    edges = topology.edges
    calls = gather(parts, "proxy", "calls", CALLS, "start")
    attempts = gather(parts, "proxy", "attempts", ATTEMPTS, "sent")
    requests = cut(gather(parts, "load", "requests", REQUESTS, "start"), ending.time)
    asked, others = client_calls(requests, calls, topology)
    attempts = with_visits(attempts, visits_of(parts, ids))
    grid = Grid.of(scenario)
    records = Records(
        engine=engine,
        seed=seed,
        end=ending.time,
        complete=ending.complete,
        grid=grid,
        edges=edges,
        replicas=replicas,
        endpoints=topology.with_endpoints,
        busy=bins(parts, "busy", ids, grid.last),
        queued=bins(parts, "queued", ids, grid.last),
        ejections=ejections(parts),
        connections=connections(parts, ending.time),
        certificates=certificates(parts, topology, ending.time),
        spans=spans_of(parts, topology, ending.time),
        pushes=pushes(parts, ending.time),
        lives=lives(parts),
        interrupted=ending.interrupted,
        requests=requests_table(requests, asked, topology),
        calls=calls_table(together(asked, cut(others, ending.time)), topology),
        attempts=attempts_table(attempts, topology, ending.time),
    )
    return Merged(records, requests["key"], lags(parts, "load"), lags(parts, "service"))


# ---- collecting -------------------------------------------------------------------------------------


def gather(parts: Parts, role: str, table: str, columns: Mapping[str, str], order: str) -> Table:
    """The rows of one table of all processes of a role, in order of one of its columns, from time 0 on."""
    each = [rows for (who, _), rows in sorted(parts.items()) if who == role and f"{table}.{order}" in rows]
    found = {
        name: _column([rows[f"{table}.{name}"] for rows in each], kind) for name, kind in columns.items()
    }
    places = in_time(found[order])
    return {name: column[places] for name, column in found.items()}


def in_time(began: Floats) -> Ints:
    """The places of rows in order of their times. What programs did before time 0 is left out."""
    places = np.argsort(began, kind="stable")
    return places[began[places] >= 0.0]


def _column(pieces: Sequence[NDArray[Any]], kind: str) -> NDArray[Any]:
    return np.concatenate([np.asarray(piece, dtype=kind) for piece in pieces] or [np.zeros(0, dtype=kind)])


def visits_of(parts: Parts, ids: Sequence[str]) -> Table:
    """All visits from time 0 on, in order of arrival."""
    # what a proxy denies its service never sees; and a program of the user's own records nothing
    visits = {
        ("visits", f"{role} {id_}"): parts.get((role, id_), {})
        for id_ in ids
        for role in ("service", "proxy")
    }
    return gather(visits, "visits", "visits", VISITS, "arrived")


def bins(parts: Parts, name: str, ids: Sequence[str], least: int) -> Floats:
    """(replicas, bins) of what services have integrated; 0 where none has."""
    rows = [np.asarray(parts.get(("service", id_), {}).get(name, ()), dtype=np.float64) for id_ in ids]
    table = np.zeros((len(ids), max([least, *map(len, rows)])))
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def ejections(parts: Parts) -> list[tuple[float, int, int]]:
    """(time, edge, replica) of each ejection, in order of time."""
    table = gather(parts, "proxy", "ejections", EJECTIONS, "time")
    return list(zip(*(table[name].tolist() for name in EJECTIONS), strict=True))


def connections(parts: Parts, end: float) -> list[tuple[float, int, str]]:
    """(time, edge, what) of each opening and end of a tracked connection, in order of time."""
    table = gather(parts, "proxy", "connections", CONNECTIONS, "time")
    rows = zip(*(table[name].tolist() for name in CONNECTIONS), strict=True)
    return [(time, edge, COUNTED[what]) for time, edge, what in rows if time <= end]


def certificates(parts: Parts, topology: Topology, end: float) -> list[tuple[float, int, str]] | None:
    """(time, proxy, what) of each certificate, in order of time; None where there are none."""
    if topology.scenario.mesh.mtls is None:
        return None
    found = [
        (time, number, CERTIFICATE_EVENTS[what])
        for number, proxy in enumerate(topology.proxies)
        for time, what in _certificate_rows(parts.get(("proxy", proxy.name), {}))
        if 0.0 <= time <= end
    ]
    return sorted(found, key=lambda row: row[0])


def _certificate_rows(rows: Mapping[str, NDArray[Any]]) -> Iterable[tuple[float, int]]:
    columns = (rows.get(f"certificates.{name}", np.zeros(0)) for name in ("time", "what"))
    time, what = (column.tolist() for column in columns)
    return zip(time, map(int, what), strict=True)


def pushes(parts: Parts, end: float) -> list[Push]:
    """What became of each push by the end."""
    table = gather(parts, "control_plane", "pushes", PUSHES, "begun")
    arrivals = gather(parts, "control_plane", "arrivals", {"time": "f8", "push": "i8"}, "time")
    found = []
    for row in zip(*(table[name].tolist() for name in PUSHES), strict=True):
        push = Push(*row)
        at = arrivals["time"][arrivals["push"] == push.version]
        push.arrivals = at[at <= end].tolist()
        if push.begun <= end:
            found.append(push)
    return found


def lives(parts: Parts) -> list[tuple[int, float, float]]:
    """(replica, from, to) of each that was there, s; empty where none came or went."""
    table = gather(parts, "cluster", "lives", LIVES, "since")
    return list(zip(*(table[name].tolist() for name in LIVES), strict=True))


def lags(parts: Parts, role: str) -> Floats:
    """All samples of how late the timers of a role were, s."""
    found = [rows["lag"] for (who, _), rows in sorted(parts.items()) if who == role and "lag" in rows]
    return _column(found, "f8")


def spans_of(parts: Parts, topology: Topology, end: float) -> Table:
    """The spans of all processes that had ended by the end, in order of their start."""
    each = (kept_spans(rows) for _, rows in sorted(parts.items()) if "span_keys" in rows)
    spans = Spans.pooled(each)
    start, ended = spans.times.T
    order = np.argsort(start, kind="stable")
    return span_table(spans.chosen(order[ended[order] <= end]), topology)


# ---- joining ----------------------------------------------------------------------------------------


def find(wanted: Keys, among: Keys) -> Ints:
    """(wanted,) where each key is among others, -1 where it is not; of equal ones the first."""
    if not len(among):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(among, kind="stable")
    place = np.searchsorted(among[order], wanted)
    found = order[np.minimum(place, len(among) - 1)]
    return np.where(among[found] == wanted, found, -1).astype(np.int64)


def with_visits(attempts: Table, visits: Table) -> Table:
    """Attempts with arrival, answer and status of their visits, where these are known."""
    place = find(attempts["key"], visits["key"])
    known = place >= 0
    joined = dict(attempts)
    for own, its in (("arrived", "arrived"), ("answered", "answered"), ("answer_status", "status")):
        joined[own] = attempts[own].copy()
        joined[own][known] = visits[its][place[known]]
    return joined


def hedged(scenario: Scenario) -> set[RouteKey]:
    """The routes whose further tries are hedges, as no policy there retries at any time.

    Which of two concurrent tries is the hedge, a service can't see.
    """
    pushed = [scenario.policies_after(number) for number, event in enumerate(scenario.events) if event.set]
    found = set()
    for route in scenario.routes():
        policies = [stage.policy(*route) for stage in (scenario, *pushed)]
        if any(each.hedge for each in policies) and not any(each.retries for each in policies):
            found.add(route)
    return found


# ---- tables -----------------------------------------------------------------------------------------


def cut(table: Table, end: float) -> Table:
    """The rows that began by the end; what ended later is unfinished."""
    began = table["start"] <= end
    taken = {name: column[began] for name, column in table.items()}
    late = ~(taken["end"] <= end)
    taken["end"] = np.where(late, np.nan, taken["end"])
    taken["status"] = np.where(late, 0, taken["status"])
    return taken


def client_calls(requests: Table, calls: Table, topology: Topology) -> tuple[Table, Table]:
    """The calls that are the client's requests, one for each in their order, and all other calls.

    When they began and ended, and how, the client knows itself; its proxy knows the rest, if it saw them.
    """
    client = np.array([caller == CLIENT for caller, _, _ in topology.routes], dtype=np.bool_)
    own = np.flatnonzero(client[calls["route"]])
    place = find(requests["key"], calls["key"][own])
    known = (place >= 0) & (requests["status"] != 0)
    asked: Table = {
        "key": requests["key"],
        "route": requests["route"],
        "request_start": requests["start"],
        "start": requests["start"],
        "end": requests["end"],
        "status": requests["status"],
        "extra": np.zeros(len(known), dtype=np.bool_),
    }
    for name, blank in (("flags", 0), ("sent", 0), ("host", -1)):
        asked[name] = np.full(len(known), blank, dtype=np.int64)
        asked[name][known] = calls[name][own[place[known]]]
    rest = np.setdiff1d(np.arange(len(calls["key"])), own[place[place >= 0]])
    return asked, {name: column[rest] for name, column in calls.items()}


def together(one: Table, other: Table) -> Table:
    """The rows of two tables, in order of their start."""
    found = {name: np.concatenate([column, other[name]]) for name, column in one.items()}
    order = in_time(found["start"])
    return {name: column[order] for name, column in found.items()}


def requests_table(requests: Table, asked: Table, topology: Topology) -> Requests:
    """Requests with what is known of their calls."""
    endpoints = np.array([endpoint for _, _, endpoint in topology.routes], dtype=np.str_)
    known = {
        **requests,
        "flag": names(asked["flags"]),
        "attempts": asked["sent"],
        "version": versions_of(asked["host"], topology),
        "endpoint": endpoints[requests["route"]],
    }
    return table_of(Requests, lambda name, _: known.get(name), len(requests["start"]))


def versions_of(hosts: Ints, topology: Topology) -> NDArray[np.str_]:
    """The versions of replicas by number; empty for -1."""
    return np.array([*(version for _, version, _ in topology.labels), ""], dtype=np.str_)[hosts]


def placed(table: Table, topology: Topology) -> Table:
    """A table with the edge and the endpoint of its routes."""
    columns = {"edge": topology.edge_of, "endpoint": topology.endpoint_of}
    found = {name: np.array(column, dtype=np.int64) for name, column in columns.items()}
    return {**table, **{name: column[table["route"]] for name, column in found.items()}}


def calls_table(calls: Table, topology: Topology) -> Calls:
    """The table of calls."""
    known = {
        **placed(calls, topology),
        "flag": np.where(calls["status"] == 0, "", names(calls["flags"])),
        "version": versions_of(calls["host"], topology),
    }
    return table_of(Calls, lambda name, _: known.get(name), len(calls["start"]))


def attempts_table(attempts: Table, topology: Topology, end: float) -> Attempts:
    """The table of the attempts that were sent by the end."""
    began = attempts["sent"] <= end
    known = {name: column[began] for name, column in placed(attempts, topology).items()}
    for name in ("arrived", "answered", "ended"):
        known[name] = np.where(known[name] <= end, known[name], np.nan)
    known["status"] = np.where(np.isnan(known["answered"]), 0, known["answer_status"])
    return table_of(Attempts, lambda name, _: known.get(name), len(known["sent"]))


def names(flags: Ints) -> NDArray[np.str_]:
    """Packed flags as the access log prints them."""
    values, places = np.unique(flags, return_inverse=True)
    return np.array([flag_names(int(value)) for value in values] or [""], dtype=np.str_)[places]
