"""Calls read from lines as Envoy 1.40 writes them."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshsim.errors import MeshsimError
from meshsim.live.envoy.accesslog import CallRow, Hosts, Log, call_row, ejection, try_row

LINE = {
    "attempt_count": 3,
    "connected_after": 2,
    "authority": "cart",
    "duration": 109,
    "duration_us": 109945,
    "listener": "url/cart",
    "request_id": "abcd",
    "response_code": 504,
    "response_code_details": "response_timeout",
    "response_flags": "URX,UT",
    "route_name": "cart",
    "start_time": "2026-11-25T04:25:42.461673Z",
    "upstream_host": "127.0.0.1:9001",
    "x_meshsim": "00000000000000ff;1.5;0;0;0",
}
WALL_START = 1795580740.0
HOSTS = Hosts({"cart/v1/0": ("127.0.0.1", 9001)})


def read_calls(file: Path, id_: str, hosts: Hosts, wall_start: float = 0.0) -> list[CallRow]:
    return Log(file, partial(call_row, id_.partition("/")[0]), hosts).more(wall_start)


def test_a_line_is_a_call(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text(json.dumps(LINE) + "\n")
    (call,) = read_calls(file, "frontend/0", HOSTS, WALL_START)
    assert (call.key, call.caller, call.service) == (255, "frontend", "cart")
    assert (call.request_start, call.extra) == (1.5, False)
    assert (call.status, call.flags, call.attempts) == (504, ("URX", "UT"), 3)
    assert call.replica == "cart/v1/0"
    assert call.start == pytest.approx(2.461673, abs=1e-6)
    assert call.end - call.start == pytest.approx(0.109945, abs=1e-9)


def test_nothing_is_null(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    names = ("x_meshsim", "upstream_host", "route_name", "request_id", "attempt_count")
    gone = {**LINE, **dict.fromkeys(names), "response_code": 0, "response_flags": "-", "duration_us": None}
    file.write_text(json.dumps(gone) + "\n")
    (call,) = read_calls(file, "client/0", HOSTS, WALL_START)
    assert (call.key, call.status, call.flags, call.attempts, call.replica) == (0, 0, (), 0, "")
    assert call.service == ""
    assert call.end - call.start == pytest.approx(0.109)  # ms are all there is


@pytest.mark.parametrize(
    "details", ["no_healthy_upstream", "upstream_reset_before_response_started{overflow}"]
)
def test_a_try_that_was_not_sent_does_not_count(details: str, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text(json.dumps({**LINE, "attempt_count": 2, "response_code_details": details}) + "\n")
    (call,) = read_calls(file, "client/0", HOSTS)
    assert call.attempts == 1


def test_a_try_that_waited_for_a_connection_until_its_call_was_over_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    limited = {**LINE, "attempt_count": 0, "connected_after": None}  # the call was never sent anywhere
    lines = [{**LINE, "connected_after": None}, limited]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [call.attempts for call in read_calls(file, "client/0", HOSTS)] == [2, 0]


TRY = {
    name: LINE[name] for name in ("duration", "connected_after", "request_id", "route_name", "start_time",
                                  "upstream_host", "x_meshsim")
} | {"response_code": 503, "response_flags": "-", "number": "2"}  # fmt: skip


def test_a_line_of_the_log_of_tries_is_a_try(tmp_path: Path) -> None:
    file = tmp_path / "tries.log"
    refused = {**TRY, "response_code": 0, "response_flags": "UF"}
    file.write_text(json.dumps(TRY) + "\n" + json.dumps(refused) + "\n")
    answered, gone = Log(file, try_row, HOSTS).more(WALL_START)
    assert (answered.call, answered.number, answered.service) == (255, 1, "cart")
    assert (answered.status, answered.refused, answered.replica) == (503, False, "cart/v1/0")
    assert answered.launched == pytest.approx(2.461673, abs=1e-6)
    assert answered.sent - answered.launched == pytest.approx(0.002)
    assert answered.end - answered.launched == pytest.approx(0.109)
    assert (gone.status, gone.refused, gone.sent) == (0, True, answered.sent)


@pytest.mark.parametrize("why", [{"connected_after": None}, {"response_flags": "UO"}])
def test_a_try_that_was_not_sent_has_no_time_of_it(why: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "tries.log"
    file.write_text(json.dumps({**TRY, "upstream_host": None, **why}) + "\n")
    (found,) = Log(file, try_row, HOSTS).more()
    assert math.isnan(found.sent)


def test_a_try_at_a_host_that_nobody_knows_is_no_line(tmp_path: Path) -> None:
    file = tmp_path / "tries.log"
    file.write_text(json.dumps({**TRY, "upstream_host": "127.0.0.1:9"}) + "\n")
    with pytest.raises(MeshsimError, match=r"tries\.log:1"):
        Log(file, try_row, HOSTS).more()


def test_a_replica_is_known_by_an_address_of_ipv6(tmp_path: Path) -> None:
    file = tmp_path / "tries.log"
    file.write_text(json.dumps({**TRY, "upstream_host": "[::1]:9001"}) + "\n")
    (found,) = Log(file, try_row, Hosts({"cart/v1/0": ("::1", 9001)})).more()
    assert found.replica == "cart/v1/0"


def test_an_inbound_line_is_an_attempt_at_the_own_service(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text(json.dumps({**LINE, "listener": "inbound", "route_name": "inbound"}) + "\n")
    (call,) = read_calls(file, "cart/v1/0", HOSTS)
    assert (call.caller, call.service) == ("", "cart")


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text(json.dumps(LINE) + "\n" + json.dumps(LINE)[:40])
    assert len(read_calls(file, "client/0", Hosts())) == 1
    assert read_calls(tmp_path / "none", "client/0", Hosts()) == []


def test_another_line_is_an_error_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text(json.dumps(LINE) + "\nnonsense\n")
    with pytest.raises(MeshsimError, match=r"access\.log:2"):
        read_calls(file, "client/0", Hosts())


def test_a_header_that_is_not_ours_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text(json.dumps({**LINE, "x_meshsim": "of somebody's own"}) + "\n")
    (call,) = read_calls(file, "client/0", Hosts(), WALL_START)
    assert (call.key, call.request_start, call.extra) == (0, call.start, False)


def test_enforced_ejections(tmp_path: Path) -> None:
    event = {
        "action": "EJECT", "enforced": True, "cluster_name": "cart/v1", "upstream_url": "127.0.0.1:9001",
        "timestamp": "2026-11-25T04:30:00.500Z",
    }  # fmt: skip
    file = tmp_path / "ejections.log"
    lines = [event, {**event, "action": "UNEJECT"}, {**event, "enforced": False}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = Log(file, ejection, HOSTS).more(wall_start=1795581000.0)
    assert (found.service, found.replica) == ("cart", "cart/v1/0")
    assert found.time == pytest.approx(0.5)
    assert Log(tmp_path / "none", ejection, Hosts()).more() == []


@pytest.mark.parametrize(("row", "line"), [(partial(call_row, "client"), LINE), (try_row, TRY)])
def test_a_replica_that_gets_the_port_of_one_that_has_gone_does_not_get_its_lines(
    row: Any, line: dict[str, object], tmp_path: Path
) -> None:
    """A line is of who had the port when it ended."""
    hosts, port = Hosts({"cart/v1/0": ("127.0.0.1", 9001)}), ("127.0.0.1", 9001)
    hosts.learn({"cart/v1/0": port}, WALL_START + 1.0)
    hosts.learn({"cart/v1/7": port}, WALL_START + 2.6)
    later = {**line, "start_time": "2026-11-25T04:25:42.500000Z"}  # both last 109 ms: until 2.571 and 2.609 s
    file = tmp_path / "log"
    file.write_text(f"{json.dumps(line)}\n{json.dumps(later)}\n")
    assert [each.replica for each in Log(file, row, hosts).more(WALL_START)] == ["cart/v1/0", "cart/v1/7"]
