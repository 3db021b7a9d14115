"""Envoy's access logs, and the calls and tries that are read from them.

One JSON object a line: in one log when a request is over, in another (the router's `upstream_log`) when a try
of it is. The call it belongs to is in a header of meshsim's, so a real proxy's view of a call can be set
beside the simulator's, call by call. Envoy stamps the wall clock; the reader gets what to subtract for
scenario time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isnan, nan
from pathlib import Path
from typing import Any, Generic, TypeVar

from meshsim.errors import MeshsimError
from meshsim.live import Address
from meshsim.live.context import ATTEMPT_COUNT, parse_context, stream_key
from meshsim.live.envoy.numbers import Json
from meshsim.live.envoy.policy import called

LOGGER = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
FIELDS = {
    "start_time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
    "duration": "%DURATION%",
    "duration_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "authority": "%REQ(:AUTHORITY)%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "attempt_count": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "connected_after": "%UPSTREAM_CONNECTION_POOL_READY_DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "route_name": "%ROUTE_NAME%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "downstream_peer_uri_san": "%DOWNSTREAM_PEER_URI_SAN%",
    "downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_peer_uri_san": "%UPSTREAM_PEER_URI_SAN%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
"""Of a line: Istio's names where Istio's default format has the field."""

_SHARED = (
    "start_time", "duration", "connected_after", "response_code", "response_flags", "upstream_host",
    "route_name", "request_id",
)  # fmt: skip
TRY_FIELDS = {name: FIELDS[name] for name in _SHARED} | {"number": f"%REQ({ATTEMPT_COUNT.decode().upper()})%"}
"""Of a line of the log of tries; of concurrent ones each has the number of the last."""

NOT_SENT = ("no_healthy_upstream", "upstream_reset_before_response_started{overflow}")
"""Details of an answer that Envoy gave instead of sending a try, though its count has that try."""


def logger(fields: Mapping[str, str], file: Path, context: str) -> Json:
    """What writes lines of such fields; `context` is the name of the header that says whose a call is."""
    fields = {**fields, "x_meshsim": f"%REQ({context.upper()})%"}
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": LOGGER, "path": str(file), "log_format": {"json_format": fields}},
    }


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as its caller's proxy saw it, or, of the listener `inbound`, one attempt as the callee's did.

    Attributes:
        key: of the call; 0 where the request had no header of meshsim's making.
        request_start: of the client's request that it belongs to, s; its own start where that is unknown.
        extra: whether the call exists only because of a retry.
        endpoint: of the service; ``""`` is the service itself.
        start, end: first byte from downstream and last byte to it, s of scenario time.
        status: 0 where the caller had left.
        attempts: tries that got a connection, or were refused one, as the engines count them.
        replica: the last host's id; ``""`` where there was none.
        details: why Envoy answered as it did, such as ``via_upstream``.
    """

    key: int
    request_start: float
    extra: bool
    listener: str
    caller: str
    service: str
    endpoint: str
    start: float
    end: float
    status: int
    flags: tuple[str, ...]
    attempts: int
    replica: str
    details: str
    request_id: str


@dataclass(frozen=True, slots=True)
class TryRow:
    """One try of a call, whose key is `call`.

    Attributes:
        endpoint: as of a call.
        number: in its call, from 0; of concurrent tries, that of the last.
        launched: when it went for a connection, s of scenario time.
        sent: when it had one, or its host refused it; NaN where a breaker did, or where it waited until its
            call was over: the engines don't count such a try.
        end: when it was over; as `sent` it is whole ms later than `launched`.
        status: what the host answered; 0 where it did not.
        replica: ``""`` where it was not sent.
    """

    call: int
    request_start: float
    extra: bool
    request_id: str
    service: str
    endpoint: str
    number: int
    launched: float
    sent: float
    end: float
    status: int
    refused: bool
    replica: str


@dataclass(frozen=True, slots=True)
class Ejection:
    """A host that its caller's Envoy ejected, at `time` s of scenario time; Envoy's log has whole ms."""

    time: float
    service: str
    replica: str


class Hosts:
    """Which replica an address is of, and was: one that comes may get the port of one that has gone."""

    def __init__(self, addresses: Mapping[str, Address] | None = None) -> None:
        self._known: dict[Address, list[tuple[float, str]]] = {}
        self.learn(addresses or {})

    def learn(self, addresses: Mapping[str, Address], now: float = 0.0) -> None:
        """From `now` on, s since 1970, replicas are at these addresses, by id."""
        for id_, address in addresses.items():
            known = self._known.setdefault(address, [])
            if not known or known[-1][1] != id_:
                known.append((now, id_))

    def at(self, host: str | None, time: float) -> str:
        """The id of the replica that Envoy called so at a `time`, s since 1970; KeyError if none ever was."""
        known = self._known[_address(host)]
        return next((id_ for since, id_ in reversed(known) if since <= time), known[0][1])


Row = TypeVar("Row")
Line = dict[str, Any]


class Log(Generic[Row]):
    """A log that is read as it grows; a file that does not exist has no lines.

    `row` makes a row of a line, or None of one that is left out, given scenario time 0, s since 1970.
    """

    def __init__(self, file: Path, row: Callable[[Line, Hosts, float], Row | None], hosts: Hosts) -> None:
        self._file = file
        self._row = row
        self._hosts = hosts
        self._bytes = self._lines = 0

    def more(self, wall_start: float = 0.0, *, ended: bool = False) -> list[Row]:
        """The rows that are new in it, in order of their ends; the last is whole once Envoy has `ended`.

        A MeshsimError if a line is not what Envoy was configured to write, or the last one is not whole.
        """
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._bytes)
            whole, _, torn = file.read().rpartition(b"\n")
        if torn and ended:
            raise MeshsimError(f"{self._file}: its last line is not whole; is the disk full?")
        if not whole:
            return []
        self._bytes += len(whole) + 1
        rows = []
        for line in whole.split(b"\n"):
            self._lines += 1
            try:
                row = self._row(json.loads(line), self._hosts, wall_start)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                place = f"{self._file}:{self._lines}"
                words = f"{place}: no line of Envoy's access log ({error!r}); was the disk full?"
                raise MeshsimError(words) from None
            if row is not None:
                rows.append(row)
        return rows


def call_row(caller: str, line: Line, hosts: Hosts, wall_start: float) -> CallRow:
    """The call of a line of the access log of a service's proxy, or of the client's."""
    start = _start(line, wall_start)
    flags = line["response_flags"]
    inbound = line["listener"] == "inbound"
    details = line["response_code_details"] or ""
    key, request_start, extra = _whose(line, start)
    service, endpoint = (caller, "") if inbound else called(line["route_name"] or "")
    waits = details in NOT_SENT or line["connected_after"] is None  # its last try was not sent
    end = start + _lasted(line)
    replica = ""
    with contextlib.suppress(KeyError):
        replica = hosts.at(line["upstream_host"], wall_start + end)
    return CallRow(
        key=key,
        request_start=request_start,
        extra=extra,
        listener=line["listener"],
        caller="" if inbound else caller,
        service=service,
        endpoint=endpoint,
        start=start,
        end=end,
        status=line["response_code"] or 0,
        flags=() if flags in (None, "-") else tuple(flags.split(",")),
        attempts=max((line["attempt_count"] or 0) - waits, 0),
        replica=replica,
        details=details,
        request_id=line["request_id"] or "",
    )


def try_row(line: Line, hosts: Hosts, wall_start: float) -> TryRow:
    """The try of a line of the log of tries."""
    flags = (line["response_flags"] or "").split(",")
    launched, connected = _start(line, wall_start), line["connected_after"]
    sent = nan if connected is None or "UO" in flags else launched + connected / 1e3
    key, request_start, extra = _whose(line, launched)
    service, endpoint = called(line["route_name"] or "")
    end = launched + (line["duration"] or 0) / 1e3
    return TryRow(
        call=key,
        request_start=request_start,
        extra=extra,
        request_id=line["request_id"] or "",
        service=service,
        endpoint=endpoint,
        number=int(line["number"]) - 1,
        launched=launched,
        sent=sent,
        end=end,
        status=line["response_code"] or 0,
        refused="UF" in flags,
        replica="" if isnan(sent) else hosts.at(line["upstream_host"], wall_start + end),
    )


def ejection(line: Line, hosts: Hosts, wall_start: float) -> Ejection | None:
    """The ejection of a line of an outlier detection's event log, if it is one and was enforced."""
    if line["action"] != "EJECT" or not line["enforced"]:
        return None
    time = datetime.fromisoformat(line["timestamp"]).timestamp()
    service = line["cluster_name"].split("/")[0]
    return Ejection(time - wall_start, service, hosts.at(line["upstream_url"], time))


def _start(line: Line, wall_start: float) -> float:
    return datetime.fromisoformat(line["start_time"]).timestamp() - wall_start


def _whose(line: Line, start: float) -> tuple[int, float, bool]:
    """Key, start of its request and `extra` of the call, by its header if that is of meshsim's making."""
    value = (line["x_meshsim"] or "").encode()
    context = parse_context(value)
    if context is None:
        return stream_key(value), start, False
    return int(context.key), context.start, context.extra


def _address(text: str | None) -> Address:
    host, _, port = (text or "").rpartition(":")
    return host.strip("[]"), int(port or -1)  # of IPv6 it is in brackets


def _lasted(line: Line) -> float:
    """How long a request took, s; where nothing was sent back Envoy knows it in whole ms only."""
    exact = line["duration_us"]
    return (line["duration"] or 0) / 1e3 if exact in (None, "-") else exact / 1e6
