"""A mesh with --intercept: programs that know of no proxy are in it, and nothing else changes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshsim import run
from meshsim.lab import steer
from meshsim.lab.live import run_live
from meshsim.live.launch import LiveMesh, Options
from meshsim.live.stats import by_edge
from meshsim.scenario import load, loads
from meshsim.scenario.topology import CLIENT_PROXY
from tests.live.intercept.pods import inside, lacking, namespace
from tests.live.processes import gone, signal_control_plane, traces, until

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())
ROOT = Path(__file__).parent.parent.parent.parent
POLYGLOT = ROOT / "scenarios" / "live" / "polyglot.yaml"
SHOP = """
duration: 3s
seed: 5
services:
  shop: {replicas: 2, script: [{call: cart}]}
  cart: {script: [{call: prices}], time: 1ms}
  prices: {time: 2ms, errors: 20%}
  idle: {}
mesh: {dataplane: sidecar, MTLS}
policies: {prices: {retries: {attempts: 2, on: [5xx]}}}
load: [{to: shop, rate: 40/s}, {to: idle, rate: 1/s}]
"""
PLAIN, SECURE = SHOP.replace(", MTLS", ""), SHOP.replace("MTLS", "mtls: {mode: strict}")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        body: bytes = response.read()
    return body.decode()


@pytest.fixture(scope="module")
def shop() -> Iterator[LiveMesh]:
    with LiveMesh(loads(SECURE), 5, Options(load=False, keep=False, intercept=True)) as mesh:
        mesh.launch()
        mesh.start()
        yield mesh


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
def test_python_and_node_are_in_the_mesh_without_a_word_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with LiveMesh(load(POLYGLOT), 7, Options(load=False, intercept=True)) as mesh:
        with monkeypatch.context() as changed:
            changed.setenv("http_proxy", "http://127.0.0.1:9")
            mesh.launch()
        mesh.start()
        answer = json.loads(get(mesh.listeners[CLIENT_PROXY].urls["shop"]))
        assert answer["catalog"] == "catalog/0"
        assert answer["cart"].endswith("price from prices/0")
        programs = [each for each in mesh.keeper.processes if each.name.startswith("the program")]
        assert len(programs) == 2
        for program in programs:
            words = Path(f"/proc/{program.pid}/environ").read_text().lower().split("\0")
            assert not [word for word in words if "_proxy=" in word or "_url=" in word]
        networks = {namespace(pid, "net") for pid in mesh.pods.inside(mesh.keeper.processes).values()}
        assert len(networks) == 4
        assert namespace(os.getpid(), "net") not in networks
        made = {"shop -> cart": 1, "cart -> prices": 1}  # each proxy reports when it gets round to it
        assert until(lambda: mesh.run(0.1) is None and made.items() <= calls(mesh).items())
        left = traces(mesh)
    assert gone(*left)


def calls(mesh: LiveMesh) -> dict[str, int]:
    return {edge: counts.calls for edge, counts in by_edge(mesh.reports()).items()}


@pytest.mark.parametrize("text", [PLAIN, SECURE])
def test_it_decides_as_the_same_mesh_does_without_pods(text: str) -> None:
    live, simulated = run_live(loads(text), intercept=True), run(loads(text))
    assert live.summary["requests"]["failed"] == simulated.summary["requests"]["failed"]
    for edge, expected in simulated.summary["edges"].items():
        found = live.summary["edges"][edge]
        assert (found["attempts"], found["retries"]) == (expected["attempts"], expected["retries"]), edge


GROWS = f"""
duration: 4s
seed: 5
services:
  shop:
    live: {{command: [{sys.executable}, -c, SCRIPT]}}
    script: [{{call: cart}}]
    startup: 100ms
  cart: {{time: 5ms, startup: 100ms, drain: 500ms}}
mesh: {{dataplane: sidecar}}
load: [{{to: shop, rate: 20/s}}]
events:
  - {{at: 1s, service: shop, replicas: 2}}
  - {{at: 1s, service: cart, replicas: 3}}
  - {{at: 3s, service: cart, replicas: 1}}
"""
PROGRAM = """import os, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        names = {name: self.headers[name] for name in ("traceparent", "x-request-id")}
        asked = urllib.request.Request("http://cart/", headers=names)
        body = urllib.request.urlopen(asked).read()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("", int(os.environ["PORT"])), Shop).serve_forever()
"""


def test_replicas_that_come_later_are_in_pods_of_their_own() -> None:
    networks: dict[str, str] = {}

    def watch(mesh: LiveMesh) -> None:
        for replica, pid in mesh.pods.inside(mesh.keeper.processes).items():
            networks[replica] = namespace(pid, "net")

    scenario = loads(GROWS.replace("SCRIPT", json.dumps(PROGRAM)))
    result = run_live(scenario, intercept=True, watch=watch)
    assert set(networks) == {"shop/0", "shop/1", "cart/0", "cart/1", "cart/2"}
    assert len(set(networks.values())) == 5
    assert result.summary["requests"]["failed"] == 0
    assert all(each["busy_mean"] > 0.0 for each in result.summary["services"]["cart"]["replicas"])


def test_replicas_that_are_ordered_come_and_go_with_their_namespaces_and_no_request_fails() -> None:
    text = SECURE.replace("errors: 20%", "errors: 0%").replace("duration: 3s", "name: ordered\nduration: 8s")
    found: dict[str, str] = {}
    left: list[bool] = []

    def order(mesh: LiveMesh) -> None:
        url = mesh.control.url
        said = steer.scale_live("cart", 3, mesh=url).pods
        steer.set_live({"policies.prices.timeout": "900ms"}, mesh=url)
        inside = mesh.pods.inside(mesh.keeper.processes)
        found.update({each: namespace(inside[each], "net") for each in ("cart/0", "cart/1", "cart/2")})
        assert said == {each: inside[each] for each in ("cart/0", "cart/1", "cart/2")}
        status = json.loads(get(f"{url}/status"))
        assert status["pods"] == inside
        assert f"cart/2 (process {inside['cart/2']})" in get(f"{url}/")
        signal_control_plane(mesh)
        steer.scale_live("cart", 1, mesh=url)
        gone = {found["cart/1"], found["cart/2"]}
        left.append(until(lambda: not gone & known_networks()) and found["cart/0"] in known_networks())

    ordering: list[threading.Thread] = []

    def ready(mesh: LiveMesh) -> None:
        ordering.append(threading.Thread(target=order, args=(mesh,)))
        ordering[0].start()

    result = run_live(loads(text), intercept=True, ready=ready)
    ordering[0].join(60.0)
    assert len(set(found.values())) == 3
    assert left == [True], "those of who has gone are gone, and no other"
    assert result.summary["requests"]["failed"] == 0
    assert found["cart/0"] not in known_networks()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_a_static_binary_is_in_the_mesh(shop: LiveMesh, tmp_path: Path) -> None:
    source, program = Path(__file__).parent / "ask.c", tmp_path / "ask"
    subprocess.run(["gcc", "-static", "-w", str(source), "-o", str(program)], check=True, capture_output=True)
    assert inside(shop, "cart/0", str(program), "prices").endswith("\n\nprices/0\n")


def ask(mesh: LiveMesh, replica: str, address: tuple[str, int], said: bytes) -> str:
    """What is heard at an address after these bytes, until the other side closes."""
    script = (
        f"import socket; line = socket.create_connection({address!r}, 30); line.sendall({said!r});"
        " print(b''.join(iter(lambda: line.recv(4096), b'')).decode())"
    )
    return inside(mesh, replica, sys.executable, "-c", script)


GET = b"GET / HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("address", "said", "status", "words"),
    [
        (("prices", 80), GET, "200 OK", "prices/0"),
        (("prices", 9080), GET, "200 OK", "prices/0"),
        (("93.184.216.34", 80), GET.replace(b"HOST", b"prices"), "200 OK", "prices/0"),
        (("93.184.216.34", 8443), GET, "502 Bad Gateway", "93.184.216.34:8443 is no service of the scenario"),
        (("shop", 80), GET, "502 Bad Gateway", "the scenario has no call from cart to shop"),
        (
            ("prices", 443),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
            "400",
            "this is TLS",
        ),
        (("prices", 80), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", "this is HTTP/2"),
        (("8.8.8.8", 22), b"SSH-2.0-OpenSSH_9.2\r\n", "400", "this is another protocol"),
        (("prices", 3306), b"\x4a\0\0\1\x85\xa6" * 2_000, "400", "this is another protocol"),
    ],
)
def test_where_a_connection_goes(
    shop: LiveMesh, address: tuple[str, int], said: bytes, status: str, words: str
) -> None:
    answer = ask(shop, "cart/0", address, said)
    assert answer.startswith(f"HTTP/1.1 {status}"), answer
    assert words in answer


def test_what_is_not_tcp_and_names_of_nobody_are_refused_at_once(shop: LiveMesh) -> None:
    script = (
        "import socket, time; began = time.monotonic()\n"
        "for address in ('nobody.example', 80), ('2001:db8::1', 80):\n"
        "    try: socket.create_connection(address)\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "line = socket.socket(type=socket.SOCK_DGRAM); line.connect(('8.8.8.8', 53))\n"
        "try: print(line.send(b'a') and line.recv(1))\n"
        "except OSError as error: print(type(error).__name__)\n"
        "print(time.monotonic() - began < 5)"
    )
    printed = inside(shop, "cart/0", sys.executable, "-c", script).split()
    assert printed[0] == "gaierror"
    assert printed[1] == "OSError"
    assert printed[2] in ("PermissionError", "ConnectionRefusedError")
    assert printed[3] == "True"


def test_a_program_cannot_change_its_pod(shop: LiveMesh) -> None:
    process = shop.pods.inside(shop.keeper.processes)["cart/0"]
    (bounding,) = (
        int(line.split()[1], 16)
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("CapBnd")
    )
    assert not bounding & (1 << 12 | 1 << 21)  # CAP_NET_ADMIN, CAP_SYS_ADMIN


def test_its_listeners_are_to_be_had_from_outside_and_its_applications_are_not(shop: LiveMesh) -> None:
    assert get(shop.listeners[CLIENT_PROXY].urls["shop"]).startswith("shop/")
    with pytest.raises(OSError, match="refused"):
        get("http://{}:{}/".format(*shop.apps["cart/0"]))


@pytest.mark.parametrize("victim", ["launcher", "keeper", "watcher"])
def test_nothing_is_left_of_pods_whoever_is_killed(victim: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(PLAIN)
    command = [sys.executable, "-m", "meshsim", "live", str(file), "--intercept", "--no-load", "--json"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as program:
        assert program.stdout is not None
        said = json.loads(program.stdout.readline())
        pods = [each["pod"] for each in said["proxies"] if "pod" in each]
        assert len(pods) == 5
        networks = {namespace(pod, "net") for pod in pods}
        keeper = int(Path(f"/proc/{pods[0]}/stat").read_text().rpartition(")")[2].split()[1])
        watcher = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill({"launcher": program.pid, "keeper": keeper, "watcher": watcher}[victim], signal.SIGKILL)
        program.wait(60.0)
    assert until(lambda: not networks & known_networks())
    assert until(lambda: not list(tmp_path.glob("meshsim-*")))


def known_networks() -> set[str]:
    """Those that some process is in, or holds."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        for link in [process / "ns" / "net", *(process / "fd").glob("*")]:
            try:
                found.add(str(link.readlink()))
            except OSError:
                continue
    return found
