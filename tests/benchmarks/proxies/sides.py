"""Proxies beside each other, each with the same upstream behind it: meshsim's, Envoy's, nginx, HAProxy.

All have the same features on, as far as they have them: routing by host, a route time-out, retries, circuit
breaker limits, metrics and an access log. One process, one thread (or worker) each.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshsim.live.envoy import Envoy
from meshsim.scenario import loads

SCENARIO = """
name: a proxy alone
duration: 1h
services:
  echo: {time: 1ms}
mesh: {dataplane: sidecar}
policies:
  echo:
    timeout: 5s
    retries: {attempts: 2, per_try_timeout: 2s, on: [5xx, reset, connect-failure], budget: {ratio: 20%}}
    circuit_breaker: {max_connections: 1024, max_pending: 1024, max_requests: 1024}
    outlier_detection: {consecutive_5xx: 5, max_ejection_percent: 50%}
load: [{to: echo, rate: 1/s}]
"""

UPSTREAM = """
worker_processes 1; daemon off; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events { worker_connections 12000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f;
  uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  server { listen 127.0.0.1:%(port)d; location / { default_type text/plain; return 200 "echo\\n"; } } }
"""

NGINX = """
worker_processes 1; daemon off; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events { worker_connections 12000; }
http { keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f;
  uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  log_format json escape=json '{"time":"$time_iso8601","method":"$request_method","path":"$request_uri",'
    '"status":$status,"received":$request_length,"sent":$bytes_sent,"duration":$request_time,'
    '"upstream":"$upstream_addr","agent":"$http_user_agent","id":"$http_x_request_id","host":"$host"}';
  access_log %(folder)s/access.log json buffer=64k flush=1s;
  upstream echo {
    server 127.0.0.1:%(upstream)d max_conns=1024; keepalive 512; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%(port)d;
    location / { proxy_pass http://echo; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Request-Id $request_id; proxy_read_timeout 5s;
      proxy_next_upstream error timeout http_500 http_503; proxy_next_upstream_tries 3; } } }
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4000
  log 127.0.0.1:%(log)d format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 1h
  timeout server 5s
  retries 2
  retry-on conn-failure 500 503 response-timeout
frontend in
  bind 127.0.0.1:%(port)d
  unique-id-format %%{+X}o%%ci:%%cp_%%fi:%%fp_%%Ts_%%rt:%%pid
  unique-id-header X-Request-Id
  default_backend echo
backend echo
  http-reuse always
  server echo 127.0.0.1:%(upstream)d maxconn 1024 pool-max-conn 512
"""


@dataclass
class Side:
    """A running proxy.

    Attributes:
        name: whose.
        url: where it listens.
        pid: of the process that does the work.
        more: processes that work too.
    """

    name: str
    url: str
    pid: int
    more: tuple[int, ...] = ()

    def cpu(self) -> tuple[float, float]:
        """What it has used of a core so far: for itself, and in the kernel, s."""
        ticks = os.sysconf("SC_CLK_TCK")
        user = system = 0.0
        for pid in (self.pid, *self.more):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user += int(fields[11]) / ticks
            system += int(fields[12]) / ticks
        return user, system

    def memory_mb(self) -> float:
        """Resident now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int) -> None:
    """Waits until somebody accepts there."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")


@contextmanager
def program(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended at the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def worker_of(master: int) -> int:
    """The worker of an nginx master."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(children[0]) if children else master


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """An nginx that answers everything with a short page; its port."""
    port = free_port()
    with nginx(folder / "upstream", UPSTREAM, port, 0):
        yield port


@contextmanager
def nginx(folder: Path, template: str, port: int, behind: int) -> Iterator[int]:
    """An nginx; its worker's pid."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(template % {"folder": folder, "port": port, "upstream": behind})
    with program([find("nginx"), "-c", str(config)]) as process:
        await_port(port)
        yield worker_of(process.pid)


def find(name: str) -> str:
    """A program of Debian's."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise FileNotFoundError(
            f"{name} is not installed; apt-get install wrk nginx-light haproxy nghttp2-client"
        )
    return found


@contextmanager
def meshsim_side(folder: Path, behind: int) -> Iterator[Side]:
    """Our proxy."""
    command, addresses = ["-m", "meshsim.live"], {"echo/0": ["127.0.0.1", behind]}
    with own_proxy(command, "client/0", SCENARIO, folder, addresses=addresses) as (ports, pid):
        yield Side("meshsim", f"http://127.0.0.1:{ports['urls']['echo']}/", pid)


@contextmanager
def own_proxy(
    command: list[str],
    id: str,
    scenario: str,
    folder: Path,
    addresses: dict[str, list[str | int]] | None = None,
    app: list[str | int] | None = None,
    *,
    log: bool = True,
    under: Sequence[str] = (),
    **spec: object,
) -> Iterator[tuple[dict[str, Any], int]]:
    """One of our proxies, started as the launcher starts it: its ports, and its pid.

    It writes a `log`, unless told otherwise, and runs `under` a program; `spec` is more of its first line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(
        [*under, sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None

    def say(message: object) -> None:
        child.stdin.write(json.dumps(message) + "\n")
        child.stdin.flush()

    def hear(word: str) -> Any:
        while True:
            message = json.loads(child.stdout.readline())
            if word in message:
                return message[word]

    try:
        say(
            {
                "role": "proxy",
                "id": id,
                "scenario": scenario,
                "folder": None,
                "seed": 1,
                "host": "127.0.0.1",
                "keep": False,
                "access_log": str(folder / "access.log") if log else None,
                "context": "x-meshsim",
                **spec,
            }
        )
        ports = hear("listening")
        say({"addresses": addresses or {}, "app": app, "urls": {}})
        hear("ready")
        say({"start": time.monotonic()})
        # what it reports twice a second must not fill the pipe
        drain = subprocess.Popen(["cat"], stdin=child.stdout, stdout=subprocess.DEVNULL)
        try:
            yield ports, child.pid
        finally:
            say({"stop": True})
            drain.wait(60)
    finally:
        child.stdin.close()
        child.wait(60)


@contextmanager
def envoy_side(folder: Path, behind: int) -> Iterator[Side]:
    """A real Envoy."""
    envoy = Envoy(loads(SCENARIO), "client/0", folder)
    try:
        envoy.start()
        ports = envoy.listen()
        envoy.connect({"echo/0": ("127.0.0.1", behind)}, None)
        envoy.settle()
        assert envoy._process is not None
        yield Side("Envoy", f"http://127.0.0.1:{ports.urls['echo']}/", envoy._process.pid)
    finally:
        envoy.stop()


@contextmanager
def nginx_side(folder: Path, behind: int) -> Iterator[Side]:
    """nginx as a proxy."""
    port = free_port()
    with nginx(folder, NGINX, port, behind) as pid:
        yield Side("nginx", f"http://127.0.0.1:{port}/", pid)


@contextmanager
def haproxy_side(folder: Path, behind: int) -> Iterator[Side]:
    """HAProxy; its log goes to a socket that nobody reads."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "haproxy.cfg"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        config.write_text(HAPROXY % {"port": port, "upstream": behind, "log": log.getsockname()[1]})
        with program([find("haproxy"), "-f", str(config), "-db"]) as process:
            await_port(port)
            yield Side("HAProxy", f"http://127.0.0.1:{port}/", process.pid)


SIDES = {"meshsim": meshsim_side, "envoy": envoy_side, "nginx": nginx_side, "haproxy": haproxy_side}
