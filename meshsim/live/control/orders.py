"""What is asked of a running mesh from outside, until it is in force everywhere, or it is clear where not.

POST /set     JSON: `set`: new values by dotted key, as in an event; `timeout`, s
POST /scale   JSON: `service`, its `version` where it has several, `replicas`, `timeout`
200       JSON: `version` in force everywhere, `proxies`: how many have it
409       JSON: as below; some proxies refuse it, and keep what they have
504       JSON: also `missing`: by proxy, why it has not (yet) taken the version
400, 403  JSON: `error`; of no use, or without the token of the mesh (Authorization: Bearer …)
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from meshsim.errors import MeshsimError, Problem, ScenarioError
from meshsim.live import Message
from meshsim.live.control.server import Follower
from meshsim.live.wire import NOBODY, RequestHead, ServerConnection, ServerStream
from meshsim.scenario import load
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

BODY_BYTES = 256 << 10
TIMEOUT, TIMEOUT_MOST = 10.0, 600.0
"""How long an order may take, s, where nothing is said, and at most."""
MESH = "the mesh"
"""Who is missing where an order has not got as far as to the proxies."""
JSON = [(b"content-type", b"application/json")]


class Order(ServerStream):
    """One request, whose answer waits.

    Attributes:
        version: that which brings what it wants; None while that is unknown, and then `waits` says for what.
        more: what its answer holds besides.
        over: whether it is answered, or nobody waits for it.
    """

    def __init__(self, orders: Orders, connection: ServerConnection, kind: str) -> None:
        self.orders = orders
        self.connection = connection
        self.kind = kind
        self.version: int | None = None
        self.waits = ""
        self.more: Message = {}
        self.over = False
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def body(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > BODY_BYTES:
            self.refuse(413, "the request is too large")

    def complete(self) -> None:
        if self.over:
            return
        try:
            message: Any = json.loads(self._data)
        except (ValueError, RecursionError):
            message = None
        timeout = message.get("timeout", TIMEOUT) if isinstance(message, dict) else 0
        if type(timeout) not in (int, float) or not 0 < timeout <= TIMEOUT_MOST:
            self.refuse(400, f"the request is no JSON object with a timeout of at most {TIMEOUT_MOST:g} s")
            return
        self._timer = asyncio.get_running_loop().call_later(timeout, self.look, True)
        self.waits = "the control plane has not begun"
        self.orders.take(self, message)

    def begin(self, message: Message) -> None:
        """Does what is wanted, if anybody still waits for that."""
        if self.over:
            return
        try:
            self.orders.do(self, message)
        except MeshsimError as error:
            self.refuse(400, str(error))
        self.look()

    def gone(self) -> None:
        self._end()

    def look(self, late: bool = False) -> None:
        """Answers if everybody has taken or refused what it wants, or if it is late."""
        if self.over:
            return
        version, everybody = self.version, self.orders.everybody()
        missing = {MESH: self.waits}
        pending = version is None
        if version is not None:
            scaled = self.kind == "scale"  # then who refuses policies is not behind
            lacking = [each for each in everybody if (each.knows if scaled else each.acked) < version]
            pending = not all(each.refuses(version) for each in lacking)
            missing = {each.name: each.why(version) for each in lacking}
        if pending and not late:
            return
        answer = {
            "version": version,
            "proxies": 0 if version is None else len(everybody) - len(missing),
            "missing": missing,
            **self.more,
        }
        self._answer(504 if pending else 409 if missing else 200, answer)

    def refuse(self, status: int, error: str) -> None:
        """Answers that nothing has changed."""
        if not self.over:
            self._answer(status, {"error": error})

    def _answer(self, status: int, message: Message) -> None:
        self._end()
        self.connection.answer(status, JSON, json.dumps(message).encode() + b"\n")

    def _end(self) -> None:
        self.over = True
        self.orders.open.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class Orders:
    """What is asked of a mesh; `do` begins with an order, `everybody` says who all have to take it.

    Whoever knows the `secret` may ask.
    """

    def __init__(
        self, secret: str, do: Callable[[Order, Message], None], everybody: Callable[[], Collection[Follower]]
    ) -> None:
        self.do = do
        self.everybody = everybody
        self.open: set[Order] = set()
        self._early: list[tuple[Order, Message]] | None = []
        self._secret = f"Bearer {secret}".encode()

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        """A request has come."""
        order = Order(self, connection, head.page[1:].decode())
        self.open.add(order)
        if not hmac.compare_digest(head.get(b"authorization"), self._secret):
            order.refuse(403, "the token of the mesh is not there, or another")
            return NOBODY
        order.body(body)
        if whole:
            order.complete()
        elif head.expects:
            connection.proceed()
        return order

    def take(self, order: Order, message: Message) -> None:
        """Begins with an order, once that can be."""
        if self._early is None:
            order.begin(message)
        else:
            self._early.append((order, message))

    def open_up(self) -> None:
        """From here on orders are done at once; first of all those that have come before."""
        early, self._early = self._early or [], None
        for order, message in early:
            order.begin(message)

    def postpone(self, version: int) -> None:
        """What is wanted by now comes with this version."""
        for order in self.open:
            if order.version is not None:
                order.version = version

    def noted(self) -> None:
        """Some proxy has answered, or has come or gone."""
        for order in list(self.open):
            order.look()


def changed(wanted: Scenario, settings: Any) -> Mapping[str, Any]:
    """What is asked for, as an event sets it; a MeshsimError where it can't be set in a running mesh."""
    if not isinstance(settings, dict) or not settings:
        raise MeshsimError("set is no mapping of dotted keys to values")
    before = wanted.model_copy(update={"events": ()})
    try:
        after = load(before, {"events": [{"at": "0s", "set": settings}]})
    except ScenarioError as error:
        raise MeshsimError("; ".join(map(_without_event, error.problems))) from None
    tracked = Topology(before).tracked
    for edge, now in zip(before.edges(), Topology(after).tracked, strict=True):
        if now and not tracked[before.edges().index(edge)]:
            raise MeshsimError(
                f"connections of {' -> '.join(edge)} are not timed in this mesh; write"
                f" policies.{edge[1]}.connection in the scenario, and start it again"
            )
    return after.events[0].set


def _without_event(problem: Problem) -> str:
    key = problem.key.removeprefix("events[0].set.")
    return f"{key}: {problem.message}" + (f"; {problem.remedy}" if problem.remedy else "")
