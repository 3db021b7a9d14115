"""Envoy's access logs, and the calls and tries that are read from them.

One JSON object a line: in one log when a request is over, in another (the router's `upstream_log`) when a try
of it is. The call it belongs to is in a header of meshsim's, so a real proxy's view of a call can be set
beside the simulator's, call by call. Envoy stamps the wall clock; the reader gets what to subtract for
scenario time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isnan, nan
from pathlib import Path
from typing import Any, TypeVar

from meshsim.errors import MeshsimError
from meshsim.live.context import ATTEMPT_COUNT, parse_context, stream_key
from meshsim.live.envoy.numbers import Json

LOGGER = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
FIELDS = {
    "start_time": "%START_TIME(%s%9f)%",
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
}
"""Of a line: Istio's names where Istio's default format has the field."""

TRY_FIELDS = {
    **{
        name: FIELDS[name]
        for name in (
            "start_time", "duration", "connected_after", "response_code", "response_flags", "upstream_host",
            "route_name", "request_id",
        )
    },
    "number": f"%REQ({ATTEMPT_COUNT.decode().upper()})%",
}  # fmt: skip
"""Of a line of the log of tries; of concurrent ones each has the number of the last."""

NOT_SENT = ("no_healthy_upstream", "upstream_reset_before_response_started{overflow}")
"""Details of an answer that Envoy gave instead of sending a try, though its count has that try."""

WALL_CLOCK_TICKS = 10**9
"""`start_time` is in ns since 1970."""


def access_log(listener: str, file: Path, context: str) -> Json:
    """The logger of a listener; `context` is the name of the header that says whose a call is."""
    return _logger({"listener": listener, **FIELDS}, file, context)


def try_log(file: Path, context: str) -> Json:
    """The logger of a router's tries; `context` as of `access_log`."""
    return _logger(TRY_FIELDS, file, context)


def _logger(fields: Mapping[str, str], file: Path, context: str) -> Json:
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
        caller: the service whose proxy this is, or ``client``.
        service: the service that was called; ``""`` where no route was found.
        start, end: first byte from downstream and last byte to it, s of scenario time.
        status: HTTP status; 0 where the caller had left.
        flags: in Envoy's order, such as ``("URX", "UF")``.
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
        number: in its call, from 0; of concurrent tries, that of the last.
        launched: when it went for a connection, s of scenario time.
        sent: when it had one, or its host refused it; NaN where a breaker did, or where it waited until its
            call was over: the engines don't count such a try.
        end: when it was over; as `sent` it is whole ms later than `launched`.
        status: what the host answered; 0 where it did not.
        refused: whether there was no connection to be had.
        replica: the host's id; ``""`` where it was not sent.
    """

    call: int
    request_start: float
    extra: bool
    request_id: str
    service: str
    number: int
    launched: float
    sent: float
    end: float
    status: int
    refused: bool
    replica: str


Row = TypeVar("Row")
Line = dict[str, Any]


class Log:
    """A log that is read as it grows; a file that does not exist has no lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._bytes = self._lines = 0

    def more(self, row: Callable[[Line], Row], *, ended: bool = False) -> list[Row]:
        """What `row` makes of the lines that are new in it; the last is whole once Envoy has `ended`.

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
                rows.append(row(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                place = f"{self._file}:{self._lines}"
                raise MeshsimError(f"{place}: no line of Envoy's access log ({error!r})") from None
        return rows


class CallLog:
    """The access log of proxy `id_`, read as it grows; `replicas`: ids by the address that callers use."""

    def __init__(self, file: Path, id_: str, replicas: Mapping[tuple[str, int], str]) -> None:
        self._log = Log(file)
        self._caller = id_.split("/", maxsplit=1)[0]
        self._replicas = replicas

    def more(self, wall_start: float = 0.0, *, ended: bool = False) -> list[CallRow]:
        """The calls that are new in it, as they ended; `wall_start` is scenario time 0, s since 1970."""
        return self._log.more(lambda line: _call(line, self._caller, self._replicas, wall_start), ended=ended)


def read_tries(
    file: Path, replicas: Mapping[tuple[str, int], str], wall_start: float = 0.0, *, ended: bool = False
) -> list[TryRow]:
    """All tries in a log of them, in the order in which they ended; see `CallLog.more`."""
    return Log(file).more(lambda line: _try(line, replicas, wall_start), ended=ended)


def _call(line: Line, caller: str, replicas: Mapping[tuple[str, int], str], wall_start: float) -> CallRow:
    start = _start(line, wall_start)
    flags = line["response_flags"]
    inbound = line["listener"] == "inbound"
    details = line["response_code_details"] or ""
    key, request_start, extra = _whose(line, start)
    waits = details in NOT_SENT or line["connected_after"] is None  # its last try was not sent
    return CallRow(
        key=key,
        request_start=request_start,
        extra=extra,
        listener=line["listener"],
        caller="" if inbound else caller,
        service=caller if inbound else line["route_name"] or "",
        start=start,
        end=start + _lasted(line),
        status=line["response_code"] or 0,
        flags=() if flags in (None, "-") else tuple(flags.split(",")),
        attempts=max((line["attempt_count"] or 0) - waits, 0),
        replica=replicas.get(_address(line), ""),
        details=details,
        request_id=line["request_id"] or "",
    )


def _try(line: Line, replicas: Mapping[tuple[str, int], str], wall_start: float) -> TryRow:
    flags = (line["response_flags"] or "").split(",")
    launched, connected = _start(line, wall_start), line["connected_after"]
    sent = nan if connected is None or "UO" in flags else launched + connected / 1e3
    key, request_start, extra = _whose(line, launched)
    return TryRow(
        call=key,
        request_start=request_start,
        extra=extra,
        request_id=line["request_id"] or "",
        service=line["route_name"] or "",
        number=int(line["number"]) - 1,
        launched=launched,
        sent=sent,
        end=launched + (line["duration"] or 0) / 1e3,
        status=line["response_code"] or 0,
        refused="UF" in flags,
        replica="" if isnan(sent) else replicas[_address(line)],
    )


def _start(line: Line, wall_start: float) -> float:
    return (int(line["start_time"]) - round(wall_start * WALL_CLOCK_TICKS)) / WALL_CLOCK_TICKS


def _whose(line: Line, start: float) -> tuple[int, float, bool]:
    """Key, start of its request and `extra` of the call, by its header if that is of meshsim's making."""
    value = (line["x_meshsim"] or "").encode()
    context = parse_context(value)
    if context is None:
        return stream_key(value), start, False
    return int(context.key), context.start, context.extra


def _address(line: Line) -> tuple[str, int]:
    host, _, port = (line["upstream_host"] or "").rpartition(":")
    return host, int(port or -1)


@dataclass(frozen=True, slots=True)
class Ejection:
    """A host that its caller's Envoy ejected, at `time` s of scenario time; Envoy's log has whole ms."""

    time: float
    service: str
    replica: str


def read_ejections(
    file: Path, replicas: Mapping[tuple[str, int], str], wall_start: float = 0.0, *, ended: bool = False
) -> list[Ejection]:
    """The ejections in an outlier detection's event log, in order of time; see `read_tries`."""

    def ejection(event: Line) -> Ejection | None:
        if event["action"] != "EJECT" or not event["enforced"]:
            return None
        host, _, port = event["upstream_url"].rpartition(":")
        time = datetime.fromisoformat(event["timestamp"]).timestamp() - wall_start
        service = event["cluster_name"].split("/")[0]
        return Ejection(time, service, replicas.get((host, int(port)), ""))

    return [found for found in Log(file).more(ejection, ended=ended) if found is not None]


def _lasted(line: Line) -> float:
    """How long a request took, s; where nothing was sent back Envoy knows it in whole ms only."""
    exact = line["duration_us"]
    return (line["duration"] or 0) / 1e3 if exact in (None, "-") else exact / 1e6
