"""Programs of the user's own: what they are told, and what is said when they do not serve."""

from __future__ import annotations

import json
import secrets
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from meshsim.errors import MeshsimError
from meshsim.live import launch
from meshsim.live.commands import no_proxy, variable
from meshsim.live.launch import LiveMesh
from meshsim.live.options import Options
from meshsim.live.ports import LOWEST, free_ports, own_address, own_range
from meshsim.live.processes import TAIL_BYTES, Process
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import CLIENT_PROXY
from tests.live.fakes import ROLES
from tests.live.processes import alive, until

HERE = Path(__file__).parent


def scenario(*command: str, env: str = "{}") -> Scenario:
    words = json.dumps(list(command) or [sys.executable, "echo.py", "late"])
    text = f"""
duration: 2s
services:
  echo-1: {{live: {{command: {words}, env: {env}}}, script: [{{call: back}}]}}
  back: {{}}
mesh: {{dataplane: sidecar}}
load: [{{to: echo-1, rate: 10/s}}]
"""
    return loads(text, folder=HERE)


def mesh(chosen: Scenario) -> LiveMesh:
    return LiveMesh(chosen, 7, Options(load=False, roles=ROLES))


def asked(running: LiveMesh) -> Any:
    with urllib.request.urlopen(running.listeners[CLIENT_PROXY].urls["echo-1"], timeout=60) as response:
        return json.load(response)


def launched(running: LiveMesh) -> None:
    with running:
        running.launch()


def test_what_a_program_prints_does_not_fill_the_disk() -> None:
    with mesh(scenario(sys.executable, "echo.py", "flooding")) as running:
        running.launch()
        (log,) = (each.log for each in running.keeper.processes if "program" in each.name)
        assert until(lambda: log.stat().st_size < 20 << 20)
        assert asked(running)["args"] == ["flooding"]


def test_a_program_is_told_its_port_and_its_upstreams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere:1")
    monkeypatch.setenv("GREETING", "hello")
    with mesh(scenario(env='{COLOUR: red, LANG: "C"}')) as running:
        running.launch()
        said = asked(running)
        env, own = said["env"], running.listeners["echo-1/0"]
        assert env["PORT"] == str(running.apps["echo-1/0"][1])
        assert env["BACK_URL"] == own.urls["back"]
        assert own.outbound is not None
        assert env["HTTP_PROXY"] == env["http_proxy"] == f"http://127.0.0.1:{own.outbound[1]}"
        assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,localhost,::1"
        assert "HTTPS_PROXY" not in env  # ours would lead it past its sidecar
        assert (env["COLOUR"], env["LANG"], env["GREETING"]) == ("red", "C", "hello")
        assert Path(said["folder"]) == HERE
        assert said["args"] == ["late"]


DYING = r"the program of echo-1/0 has ended with code 7; .*\n.*the database is not configured"
DEAF = r"the program of echo-1/0 does not listen on port \d+ after 1 s; .*PORT.*\n  waiting for the moon"
MISSING = r"the program of echo-1/0 can't be started: No such file"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("echo-no-such-program",), MISSING),
        ((sys.executable, "echo.py", "deaf"), DEAF),
        ((sys.executable, "echo.py", "dying"), DYING),
    ],
)
def test_one_that_does_not_serve_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(launch, "PHASE_LIMIT", 1.0 if "deaf" in command else 20.0)
    with pytest.raises(MeshsimError, match=words):
        launched(mesh(scenario(*command)))


def test_what_a_program_has_started_ends_with_it() -> None:
    with mesh(scenario(sys.executable, "echo.py", "forking")) as running:
        running.launch()
        env = asked(running)["env"]
        daemon = int(env["DAEMON"])
        assert alive(daemon)
    assert until(lambda: not alive(daemon))


def test_names_become_those_of_variables() -> None:
    assert variable("cart-v2.internal") == "CART_V2_INTERNAL"
    assert no_proxy(["localhost", "cart"]) == "127.0.0.1,::1"


def test_only_the_end_of_what_a_program_printed_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 10 * TAIL_BYTES + "\nthe last word\n")
    said = Process("it", log).tail()
    assert said.endswith("\n  the last word")
    assert len(said) < 2 * TAIL_BYTES


def test_ports_for_programs_are_free_and_different(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = free_ports("127.0.0.1", 500)
    assert len(set(ports)) == 500
    first, last = own_range()
    assert not [port for port in ports if first <= port <= last], "somebody may be given it meanwhile"
    monkeypatch.setattr(secrets, "randbelow", lambda _: ports[0] - LOWEST)
    with socket.create_server(("127.0.0.1", ports[0])):
        assert ports[0] not in free_ports("127.0.0.1", 500)


def test_programs_get_some_of_the_systems_ports_where_these_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshsim.live.ports.own_range", lambda: (1024, 65535))
    assert len(set(free_ports("127.0.0.1", 50))) == 50


def test_a_name_becomes_one_address_of_this_machine() -> None:
    assert own_address("localhost") in ("127.0.0.1", "::1")
    for host in ("192.0.2.1", "no-such-host.invalid", "a" * 300):
        with pytest.raises(MeshsimError, match=r"can't listen on .*give an address of this machine"):
            own_address(host)
