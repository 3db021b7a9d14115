"""A proxy's decisions on tape, and the same tape played to the simulator's classes.

    python tests/parity/tape.py        (plain form: MESHSIM_FORM=plain)

A proxy serves real connections from clients that come and go to upstreams that answer, fail, break off or
say nothing. All that reaches its call life is taped (requests, connections, responses, timers, with their
times), and all that it decides: whom it connects to, what it sends where, what it gives up, what it answers.
Then the same routes are built anew, without loop or socket, and fed with the tape. They must decide the same.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from meshsim.live.child import Addresses, Spec
from meshsim.live.clock import LiveClock
from meshsim.live.context import FAMILY, Context, parse_context
from meshsim.live.loops import new_loop
from meshsim.live.proxy.exchange import Exchange
from meshsim.live.roles.proxy import Proxy
from meshsim.live.servers import Listening
from meshsim.live.transport import SocketTransport
from meshsim.live.wire import ClientConnection, Handler, Limits, Reply, ServerStream, request_head
from meshsim.mesh.attempt import OVER, Attempt
from meshsim.mesh.call import Call, Owner
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.cluster import Cluster, Transport
from meshsim.mesh.connection import Connection
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.proxy import Proxy as MeshProxy
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.request import Request
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.policies.outcome import flag_names
from meshsim.random import Key, derive, u01
from meshsim.scenario import loads
from meshsim.scenario.machines import ConfiguredProxy
from meshsim.scenario.topology import Topology

SCENARIO = """
name: taped
duration: 4s
services:
  cart:
    versions: {v1: {replicas: 2}, v2: {replicas: 1}}
mesh: {dataplane: sidecar}
policies:
  cart:
    timeout: 400ms
    retries: {attempts: 2, per_try_timeout: 120ms, on: [5xx], budget: {ratio: 30%, min_concurrency: 2}}
    circuit_breaker: {max_connections: 6, max_pending: 6, max_requests: 12}
    outlier_detection: {consecutive_5xx: 3, interval: 200ms, base_ejection_time: 300ms,
                        max_ejection_percent: 60%, merge_window: 150ms}
    rate_limit: {burst: 30, rate: 150/s}
    balance: least_request
    split: {v1: 70, v2: 30}
    fault: {delay: {percent: 5%, time: {exponential: 20ms}}, abort: {percent: 3%}}
load: [{to: cart, rate: 120/s}]
events:
  - {at: 2s, set: {policies.cart.retries.attempts: 1, policies.cart.split: {v1: 20, v2: 80}}}
"""
REQUESTS = 450
LEAVE = 0.08

Entry = tuple[Any, ...]
DECISIONS = {"open", "send", "abandon", "drain", "stop opening", "answer"}


class Tape:
    """What went in and what came out, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, *entry: Any) -> None:
        self.entries.append(entry)

    def decided(self) -> list[Entry]:
        return [entry for entry in self.entries if entry[0] in DECISIONS]


# ---- recording ----------------------------------------------------------------------------------------


def before(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Has `note` called, with the same arguments, before each call of a method."""
    original = getattr(owner, name)

    def noted(*given: Any, **named: Any) -> Any:
        note(*given, **named)
        return original(*given, **named)

    setattr(owner, name, noted)


def watch(tape: Tape) -> None:
    """Tapes every proxy of this process."""

    def begin(exchange: Exchange, body: bytes, whole: bool) -> None:
        context = exchange.context
        tape.put("begin", exchange.begun, context)

    def respond(attempt: Attempt, status: int, flag: int, cause: int, now: float) -> None:
        tape.put("respond", attempt.key, status, flag, cause, attempt.closing, attempt.lasting, now)

    def detach(attempt: Attempt, reusable: bool, now: float) -> None:
        if attempt.lasting and attempt.step == OVER:  # else it is the attempt's own doing
            tape.put("detach", attempt.key, reusable, now)

    def answered(exchange: Exchange, call: Call, now: float) -> None:
        tape.put("answer", call.key, call.status, flag_names(call.flags), call.sent)

    before(LiveClock, "fire", lambda clock, event, step, now, number: tape.put("fire", number, now))
    before(Exchange, "begin", begin)
    before(Exchange, "answered", answered)
    before(Exchange, "limit", lambda exchange, due: tape.put("limit", due))
    before(Attempt, "respond", respond)
    before(Attempt, "detach", detach)
    before(Call, "cancel", lambda call, now: tape.put("cancel", call.key, now))
    for what in ("opened", "failed", "closed"):
        before(Cluster, what, lambda _, host, tracked, now, what=what: tape.put(what, host.name, now))
    before(SocketTransport, "open", lambda transport, cluster, host, *_: tape.put("open", host.name))
    before(SocketTransport, "send", lambda transport, try_, now: tape.put("send", try_.key, try_.host.name))
    before(SocketTransport, "drain", lambda transport, host: tape.put("drain", host.name))
    before(SocketTransport, "stop_opening", lambda transport, host: tape.put("stop opening", host.name))
    before(SocketTransport, "abandon", lambda transport, try_, now: tape.put("abandon", try_.key))


class Unheard:
    """A request whose body and end are of no interest."""

    def body(self, data: bytes) -> None: ...

    def complete(self) -> None: ...

    def gone(self) -> None: ...

    def broken(self, status: int, why: str) -> None: ...

    def stalled(self) -> None: ...

    def writable(self, yes: bool) -> None: ...


class Upstream(Handler):
    """A host whose answers are drawn by the key of the call and the number of its attempt."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def begin(self, connection: Any, head: Any, body: bytes, whole: bool) -> ServerStream:
        context = parse_context(head.get(FAMILY))
        assert context is not None
        key = derive(context.key, 1000 + int(head.get(b"x-envoy-attempt-count")))
        drawn = u01(key, 0)
        after = 0.08 * u01(key, 1)
        if drawn < 0.1:
            self.loop.call_later(after, connection.abort)
        elif drawn < 0.3:
            self.loop.call_later(after, connection.answer, 503, [], b"no")
        elif drawn < 0.9:
            self.loop.call_later(after, connection.answer, 200, [], b"yes")
        elif drawn < 0.95:
            self.loop.call_later(after, self.stream, connection)
        return Unheard()

    def stream(self, connection: Any) -> None:
        connection.start(200, [], -1)
        self.loop.call_later(0.03, connection.send, b"more")
        self.loop.call_later(0.05, connection.end)


class Heard(Reply):
    """A client that closes its connection once it has its answer."""

    def whole(self, connection: Any, head: Any, body: bytes) -> None:
        connection.close()

    def complete(self, connection: Any) -> None:
        connection.close()


async def client(port: int, base: float, number: int) -> None:
    """One request on a connection of its own; some leave before they are answered."""
    key = derive(77, number)
    start = 3.4 * u01(key, 0)
    await asyncio.sleep(max(0.0, base + start - time.monotonic()))
    loop = asyncio.get_running_loop()
    connection = ClientConnection(lambda lost: None, Limits())
    await loop.create_connection(lambda: connection, "127.0.0.1", port)
    headers = [(FAMILY, Context(key, start, False, False, 0).header())]
    connection.request(Heard(), request_head(b"GET", b"/", b"cart", headers, 0), b"", True, b"GET")
    if u01(key, 1) < LEAVE:
        await asyncio.sleep(0.1 * u01(key, 2))
        connection.abort()


def push(tape: Tape, role: Proxy) -> None:
    """The proxy gets other policies, as from the control plane."""
    now = role.clock.now()
    tape.put("push", now)
    role.configured.apply(role.spec.scenario.policies_after(0), now)


async def record(tape: Tape, role: Proxy) -> None:
    """A few seconds of traffic."""
    loop = asyncio.get_running_loop()
    upstreams = [Listening(Upstream(loop)) for _ in range(3)]
    ports = [await upstream.open("127.0.0.1") for upstream in upstreams]
    listening = await role.listen()
    ids = [replica.name for replica in Topology(role.spec.scenario).replicas]
    await role.connect(
        Addresses({id_: ("127.0.0.1", port) for id_, port in zip(ids, ports, strict=True)}, None, {})
    )
    base = time.monotonic() + 0.05
    await asyncio.sleep(0.06)
    role.start(base)
    pushed = loop.call_later(2.0, push, tape, role)
    url = listening["urls"]["cart"]
    down = loop.call_later(2.5, upstreams[0].close)  # from here on it refuses
    await asyncio.gather(*(client(url, base, number) for number in range(REQUESTS)))
    await asyncio.sleep(0.8)
    down.cancel()
    pushed.cancel()
    role.clock.close()
    for upstream in upstreams[1:]:
        upstream.close()


# ---- playing it back ------------------------------------------------------------------------------------


class Player(Clock, Transport):
    """A clock that fires what the tape says was fired; a transport that only notes what it is asked for."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.numbers = 0
        self.waiting: dict[int, tuple[Event, int]] = {}
        self.attempts: dict[Key, Attempt] = {}

    def at(self, time: float, event: Event, step: int) -> None:
        self.at_number(time, event, step, self.number())

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def at_number(self, time: float, event: Event, step: int, number: int) -> None:
        self.waiting[number] = event, step

    def open(self, cluster: Cluster, host: Host, connection: Connection | None, now: float) -> None:
        self.tape.put("open", host.name)

    def send(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt)
        self.attempts[stream.key] = stream
        self.tape.put("send", stream.key, stream.host_sent().name)

    def abandon(self, stream: Stream, now: float) -> None:
        assert isinstance(stream, Attempt)
        self.tape.put("abandon", stream.key)

    def drain(self, host: Host) -> None:
        self.tape.put("drain", host.name)

    def stop_opening(self, host: Host) -> None:
        self.tape.put("stop opening", host.name)


class Maker(Owner):
    """Who makes the calls, and notes their answers."""

    def __init__(self, tape: Tape) -> None:
        self.span = 0
        self.tape = tape

    def answered(self, call: Call, now: float) -> None:
        self.tape.put("answer", call.key, call.status, flag_names(call.flags), call.sent)


def play(tape: Tape, spec: Spec) -> Tape:
    """Feeds routes that are built anew with all that went in; what they decide."""
    found = Tape()
    player = Player(found)
    scenario = spec.scenario
    proxy = MeshProxy(player, Recorder(), Tracer(), player, 0, spec.seed, Station())
    topology = Topology(scenario)
    configured = ConfiguredProxy(proxy, topology)
    upstream = configured.upstreams["client", "cart"]
    route = upstream.routes[""]
    calls: dict[Key, Call] = {}

    def host_of(name: str) -> tuple[Cluster, Host]:
        return next(
            (cluster, host)
            for cluster in upstream.clusters.values()
            for host in cluster.hosts
            if host.name == name
        )

    for what, *given in tape.entries:
        if what == "push":
            configured.apply(scenario.policies_after(0), given[0])
        elif what == "fire":
            number, now = given
            event, step = player.waiting.pop(number)
            if type(event) is not Event:
                event.fire(step, now)
        elif what == "limit":  # the end of a streamed answer at the latest: the proxy's own affair
            player.at(given[0], Event(), 0)
        elif what == "begin":
            now, context = given
            request = Request(-1, context.key, context.start, context.priority, False)
            call = calls[context.key] = Call(
                route.route, Maker(found), request, context.key, context.extra, now
            )
            call.begin(now)
        elif what in ("opened", "failed", "closed"):
            name, now = given
            cluster, host = host_of(name)
            getattr(cluster, what)(host, None, now)
        elif what == "respond":
            key, status, flag, cause, closing, lasting, now = given
            attempt = player.attempts[key]
            attempt.closing, attempt.lasting = closing, lasting
            attempt.respond(status, flag, cause, now)
        elif what == "detach":
            key, reusable, now = given
            player.attempts[key].detach(reusable, now)
        elif what == "cancel":
            key, now = given
            calls[key].cancel(now)
    return found


def main() -> None:
    spec = Spec(
        role="proxy", id="client/0", scenario=loads(SCENARIO), seed=5, host="127.0.0.1", keep=False,
        access_log=None,
    )  # fmt: skip
    tape = Tape()
    watch(tape)
    loop = new_loop()
    asyncio.set_event_loop(loop)
    role = Proxy(spec)
    loop.run_until_complete(record(tape, role))
    expected = tape.decided()
    entries = list(tape.entries)
    recorded = Tape()
    recorded.entries = entries
    # playing calls the same methods, which go on being taped: what they note is not looked at
    found = play(recorded, spec).decided()
    for place, (mine, theirs) in enumerate(zip(found, expected, strict=False)):
        if mine != theirs:
            sys.exit(
                f"decision {place} of {len(expected)}: the proxy {theirs}, the simulator's classes {mine}"
            )
    if len(found) != len(expected):
        sys.exit(f"the proxy took {len(expected)} decisions, the simulator's classes {len(found)}")
    kinds: dict[str, int] = {}
    for entry in expected:
        word = f"{entry[0]} {entry[2]} {entry[3]}".strip() if entry[0] == "answer" else entry[0]
        kinds[word] = kinds.get(word, 0) + 1
    print(
        f"{len(expected)} decisions, all the same:",
        ", ".join(f"{n} {word}" for word, n in sorted(kinds.items())),
    )


if __name__ == "__main__":
    main()
