"""Readers of HTTP/1.1, each a program, in front of one recorder: what they pass on is what they have read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import h11

from meshsim.live.envoy import Envoy
from meshsim.scenario import loads
from tests.benchmarks.proxies.sides import await_port, free_port, program
from tests.live.proxy.children import Child

HOST = "127.0.0.1"
SCENARIO = """
duration: 1h
services: {cart: {}}
mesh: {dataplane: sidecar}
load: [{to: cart, rate: 1/s}]
"""

NGINX = """
worker_processes 1; daemon off; pid %(folder)s/nginx.pid; error_log %(folder)s/error.log;
events { worker_connections 1000; }
http { access_log off; client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p;
  fastcgi_temp_path %(folder)s/f; uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  upstream cart { server 127.0.0.1:%(behind)d; keepalive 32; }
  server { listen 127.0.0.1:%(port)d;
    location / { proxy_pass http://cart; proxy_http_version 1.1; proxy_set_header Connection ""; } } }
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  retries 0
frontend in
  bind 127.0.0.1:%(port)d
  default_backend cart
backend cart
  http-reuse always
  server cart 127.0.0.1:%(behind)d
"""
VARNISH = """
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "%(behind)d"; }
sub vcl_recv { return (pass); }
"""
NODE = """
const http = require('http');
const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', piece => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces).toString('base64');
    console.log(JSON.stringify({method: request.method, path: request.url, body}));
    response.end();
  });
});
server.listen(%(port)d, '127.0.0.1');
"""


class Read(NamedTuple):
    """A request as somebody has read it; not whole where it broke off."""

    method: bytes
    path: bytes
    body: bytes
    whole: bool = True


class Reader:
    """What h11 reads on one connection."""

    def __init__(self, keep: Callable[[Read], None]) -> None:
        self._keep = keep
        self._line = h11.Connection(h11.SERVER)
        self._raw, self._body = bytearray(), b""
        self._request: h11.Request | None = None

    def feed(self, data: bytes) -> bytes:
        """Answers to the requests that are whole by now."""
        self._raw += data
        answers = b""
        try:
            self._line.receive_data(data)
            while (event := self._line.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Request):
                    self._request, self._body = event, b""
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                    answers += answer(self._line, self._request.method)
                    self._over(whole=True)
        except h11.RemoteProtocolError as error:
            self._keep(Read(b"malformed", bytes(self._raw[-300:]), str(error).encode()))
            self._request = None
        return answers

    def close(self) -> None:
        """The connection is over."""
        self._over(whole=False)

    def _over(self, *, whole: bool) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._keep(Read(request.method, request.target, self._body, whole))


class Recorder:
    """Keeps what it reads, by the number of the vector."""

    def __init__(self) -> None:
        self.found: dict[int, list[Read]] = defaultdict(list)

    def keep(self, request: Read) -> None:
        """One that has come; with no number in its path it is -1's."""
        number = re.search(rb"/v(\d+)", request.path)
        self.found[int(number[1]) if number else -1].append(request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to it as an upstream that answers everything."""
        line = Reader(self.keep)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(line.feed(data))
        line.close()
        writer.close()

    async def relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection that goes on to a port, read on the way."""
        line = Reader(self.keep)
        answers, onward = await asyncio.open_connection(HOST, port)

        async def back() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await answers.read(65536):
                    writer.write(data)
            writer.close()

        returning = asyncio.create_task(back())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                line.feed(data)
                onward.write(data)
        line.close()
        onward.close()
        returning.cancel()
        writer.close()


def answer(line: h11.Connection, method: bytes) -> bytes:
    """An empty answer; a tunnel is not to be had."""
    status = 405 if method == b"CONNECT" else 200
    said = line.send(h11.Response(status_code=status, headers=[("content-length", "0")])) or b""
    said += line.send(h11.EndOfMessage()) or b""
    if line.our_state is h11.DONE and line.their_state is h11.DONE:
        line.start_next_cycle()
    return said


# ---- the programs -------------------------------------------------------------------------------------


def found(name: str) -> str | None:
    """A program of Debian's; None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


@contextmanager
def nginx(folder: Path, behind: int) -> Iterator[int]:
    """nginx in front of a port; where it listens."""
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX % {"folder": folder, "port": port, "behind": behind})
    with program([str(found("nginx")), "-c", str(config)]):
        await_port(port)
        yield port


@contextmanager
def haproxy(folder: Path, behind: int) -> Iterator[int]:
    """HAProxy in front of a port; where it listens."""
    port, config = free_port(), folder / "haproxy.cfg"
    config.write_text(HAPROXY % {"port": port, "behind": behind})
    with program([str(found("haproxy")), "-db", "-q", "-f", str(config)]):
        await_port(port)
        yield port


@contextmanager
def varnish(folder: Path, behind: int) -> Iterator[int]:
    """Varnish in front of a port, with nothing cached; where it listens."""
    port, config = free_port(), folder / "default.vcl"
    config.write_text(VARNISH % {"behind": behind})
    command = ["-F", "-j", "none", "-n", str(folder / "varnish"), "-a", f"{HOST}:{port}", "-f", str(config)]
    with program([str(found("varnishd")), *command]):
        await_port(port)
        yield port


@contextmanager
def envoy(folder: Path, behind: int) -> Iterator[int]:
    """A real Envoy in front of a port; where it listens."""
    running = Envoy(loads(SCENARIO), "client/0", folder)
    try:
        running.start()
        ports = running.listen()
        running.connect({"cart/0": (HOST, behind)}, None)
        running.settle()
        yield ports.urls["cart"]
    finally:
        running.stop()


@contextmanager
def ours(behind: int) -> Iterator[int]:
    """Our proxy in front of a port; where it listens."""
    with Child(behind, scenario=SCENARIO) as child:
        yield child.port


@contextmanager
def node(folder: Path, recorder: Recorder) -> Iterator[int]:
    """A server of node's, which tells the recorder itself what it has read; where it listens."""
    port, log = free_port(), folder / "node.log"
    with log.open("wb") as out:
        process = subprocess.Popen([str(found("node")), "-e", NODE % {"port": port}], stdout=out)
    try:
        await_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(60.0)
        for line in log.read_bytes().splitlines():
            said = json.loads(line)
            body = base64.b64decode(said["body"])
            recorder.keep(Read(said["method"].encode(), said["path"].encode("latin-1"), body))


PROXIES: dict[str, Callable[[Path, int], AbstractContextManager[int]]] = {
    "nginx": nginx,
    "HAProxy": haproxy,
    "Varnish": varnish,
    "Envoy": envoy,
}
PARTIES = {"nginx": "nginx", "HAProxy": "haproxy", "Varnish": "varnishd", "Envoy": None, "node": "node"}
"""All, and the program of each where it is Debian's."""


def installed() -> list[str]:
    """Those that can run here."""
    names = [name for name, program in PARTIES.items() if program is not None and found(program)]
    return [*names, "Envoy"] if importlib.util.find_spec("envoy") else names
