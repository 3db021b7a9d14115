"""Nothing of a proxied request stays: no object outlives it, none waits for the cycle collector."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshsim.live.child import Spec
from meshsim.live.context import FAMILY, parse_context
from meshsim.live.pool import Pool
from meshsim.live.proxy.exchange import Exchange
from meshsim.live.roles.proxy import Proxy
from meshsim.live.transport import Delivery
from meshsim.live.wire import ClientConnection, Limits, RequestHead, ResponseHead, ServerConnection
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.call import Call
from meshsim.scenario import loads

sys.path.insert(0, str(Path(__file__).parent / "wire"))
from ends import Loop, Transport

PASSING = (Exchange, Call, Attempt, Delivery, RequestHead, ResponseHead)
SCENARIO = """
duration: 1h
services:
  echo: {time: 1ms}
mesh: {dataplane: sidecar}
policies:
  echo:
    timeout: 5s
    retries: {attempts: 2, per_try_timeout: 2s, on: [5xx], backoff: {base: 0ms}}
load: [{to: echo, rate: 1/s}]
"""
REQUEST = b"POST /a HTTP/1.1\r\nHost: echo\r\nContent-Length: 3\r\nUser-Agent: test\r\n\r\nabc"
RESPONSE = b"HTTP/1.1 %d X\r\nContent-Length: 4\r\nServer: s\r\n\r\nback"


class Between:
    """A proxy with one connection on either side, and no socket."""

    def __init__(self, folder: Path) -> None:
        spec = Spec("proxy", "client/0", loads(SCENARIO), 1, "127.0.0.1", False, folder / "access.log")
        self.proxy = Proxy(spec)
        self.proxy.clock.begin(time.monotonic() - 12.5)
        self.route = self.proxy.routes["echo"]
        cluster = self.route.mesh_route.policy.clusters[0]
        host = cluster.hosts[0]
        pool = Pool(("127.0.0.1", 1), cluster, host)
        self.proxy.transport.pools[host] = pool
        cluster.breaker.connections += 1
        host.connections += 1
        host.opening += 1
        self.upstream = Transport(ClientConnection(lambda lost: None, Limits()))
        pool.idle.append(self.upstream.protocol)
        cluster.opened(host, None, 0.0)
        listener = self.proxy._listener({b"": self.route})
        self.downstream = Transport(ServerConnection(listener, Limits(), Loop()))  # type: ignore[arg-type]

    def exchange(self, status: int) -> bytes:
        """What the client gets when it asks and the upstream answers."""
        self.upstream.sent = self.downstream.sent = b""
        self.downstream.feed([REQUEST])
        self.upstream.feed([RESPONSE % status])
        return self.downstream.sent

    def close(self) -> None:
        self.downstream.end()
        self.upstream.end()
        self.proxy.clock.close()
        self.proxy.close()


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Between]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    made = Between(tmp_path)
    yield made
    made.close()
    asyncio.set_event_loop(None)
    loop.close()


def test_no_object_of_a_request_outlives_it(between: Between) -> None:
    for _ in range(10):
        assert between.exchange(200).endswith(b"\r\n\r\nback")
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for number in range(300):
            assert between.exchange(200 if number % 3 else 404)
        after = len(gc.get_objects())
        left = [type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, PASSING)]
    finally:
        gc.enable()
    assert left == []
    assert after - before < 30, "what is kept (lines of the log, series) does not grow with the requests"
    assert between.route.passed.calls == 310


def test_the_header_of_a_stranger_says_what_its_context_is(between: Between) -> None:
    between.exchange(200)
    line = next(line for line in between.upstream.sent.split(b"\r\n") if line.startswith(FAMILY))
    written = line.partition(b": ")[2]
    context = parse_context(written)
    assert context is not None
    again = parse_context(context.header())
    assert again is not None
    assert (again.key, again.start, again.priority) == (context.key, context.start, context.priority)
    assert 12.5 <= context.start < 60.0
