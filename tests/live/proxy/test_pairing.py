"""A program's calls are paired with the requests that it serves, and outsiders decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshsim.live.context import Context, Trace, attempt_key, parse_context, parse_trace
from meshsim.live.proxy import pairing
from meshsim.live.proxy.pairing import KEPT, UNPAIRED, Pairing
from meshsim.live.troubles import troubles
from meshsim.mesh.spans import server_span
from meshsim.random import SCRIPT, derive
from tests.live.proxy.ends import Message, Upstream, answers
from tests.live.proxy.rig import Rig, live, proxied

SECRET = "x-meshsim-5ec7e7"
GATEWAY = {
    "frontend": {
        "live": {"command": ["gateway"]},
        "script": [{"call": "cart"}, [{"call": "stock"}, {"call": "cart"}]],
    },
    "cart": {},
    "stock": {},
}
OURS = Context(0xFF, 1.25, True, False, 3)
FIRST = derive(OURS.key, 1)  # the second try's key
TRACE = Trace(0, 5, FIRST, False)


def sent_by_a_sidecar(context: Context = OURS) -> dict[str, str]:
    """The headers of a second try."""
    return {
        SECRET.replace("-", "_"): context.header().decode(),
        "traceparent": TRACE.header().decode(),
        "x_request_id": "id-of-it",
        "x_envoy_attempt_count": "2",
    }


async def through_a_program(forwards: Callable[[str], bool], calls: int = 4, **given: Any) -> list[Message]:
    """What a program got, and then the calls that it made while it served one request."""
    rigs: list[Rig] = []

    async def gateway(request: Message, writer: Any) -> None:
        passed = {name.decode(): value.decode() for name, value in request.headers}
        for number in range(calls):
            kept = {name: value for name, value in passed.items() if forwards(name)}
            await rigs[0].ask(listener="cart" if number % 2 else "outbound", **kept)
        await answers()(request, writer)

    program, cart = Upstream(gateway), Upstream()
    async with proxied(cart, id="frontend/0", app=program, services=GATEWAY, context=SECRET) as rig:
        rigs.append(rig)
        await rig.ask(listener="inbound", host="frontend", **{**sent_by_a_sidecar(), **given})
        assert all(not name.startswith(b"x-meshsim") for name, _ in program.requests[0].headers)
        return [*program.requests, *cart.requests]


@pytest.mark.parametrize(
    "forwards",
    [
        lambda name: name not in ("host", "connection"),
        lambda name: name == "traceparent",
        lambda name: name == "x-request-id",
    ],
    ids=["everything", "traceparent", "x-request-id"],
)
@live
async def test_each_call_of_a_program_has_the_key_of_its_step(forwards: Callable[[str], bool]) -> None:
    program, *calls = await through_a_program(forwards)
    assert parse_trace(program.get("traceparent") or b"") is not None
    assert program.get("x-request-id") == b"id-of-it"
    contexts = [parse_context(call.get(SECRET) or b"") for call in calls]
    keys = [context.key for context in contexts if context is not None]
    assert keys[:2] == [derive(FIRST, SCRIPT), derive(FIRST, SCRIPT + 2)]
    assert len(set(keys)) == 4  # two more than the script has
    for call, context in zip(calls, contexts, strict=True):
        assert context is not None
        assert (context.start, context.extra, context.priority) == (1.25, True, 3)
        trace = parse_trace(call.get("traceparent") or b"")
        assert trace is not None
        assert (trace.root, trace.parent) == (5, attempt_key(context, b"1")[0])


@live
async def test_a_program_that_forwards_nothing_has_keys_of_its_own_and_that_is_told() -> None:
    before = troubles[UNPAIRED]
    _, *calls = await through_a_program(lambda name: False)
    assert troubles[UNPAIRED] == before + 4
    assert len({call.get(SECRET) for call in calls}) == 4
    _, *again = await through_a_program(lambda name: False)
    own = [[(call.get(SECRET) or b"")[:16] for call in run] for run in (calls, again)]
    assert own[0] == own[1]


@live
async def test_what_a_program_makes_up_is_not_sent_on() -> None:
    made_up = {"x_meshsim": "1;0;0;0;0", "x_meshsim_upstream": "x", "x_meshsim_0": OURS.header().decode()}
    async with proxied(id="frontend/0", app=Upstream(), services=GATEWAY, context=SECRET) as rig:
        await rig.ask(**made_up)
        (call,) = rig.seen
        assert [name for name, _ in call.headers if name.startswith(b"x-meshsim")] == [SECRET.encode()]


@pytest.mark.parametrize(("id", "listener"), [("client/0", "outbound"), ("frontend/0", "inbound")])
@live
async def test_an_outsider_decides_nothing(id: str, listener: str) -> None:
    """Not the key, the start, the priority, nor which try it is."""
    app = Upstream() if id == "frontend/0" else None
    host = "frontend" if app else "cart"
    async with proxied(id=id, app=app, context=SECRET) as rig:
        spoof = {"x_meshsim": OURS.header().decode(), "x_envoy_attempt_count": "7"}
        await rig.ask(listener=listener, host=host, **spoof)
        await rig.ask(listener=listener, host=host, **spoof)
        first, second = (parse_context(request.get(SECRET) or b"") for request in rig.seen)
        assert first is not None
        assert second is not None
        assert len({first.key, second.key, OURS.key}) == 3
        assert (first.extra, first.priority) == (False, 0)
        assert first.start != OURS.start
        for request in rig.seen:
            assert request.get("x-meshsim") is None
            assert request.get("x-envoy-attempt-count") in (None, b"1")


# ---- the table by itself -------------------------------------------------------------------------------


def serving(table: Pairing, key: int, trace: str = "a", request_id: bytes = b"r") -> pairing.Serving:
    found = pairing.Serving(key, 0, OURS, trace, 0, 1, request_id, "")
    table.begin(found)
    return found


def test_a_program_goes_on_with_what_its_caller_has_given_up() -> None:
    table = Pairing()
    one = serving(table, 1)
    table.end(one, answered=False)
    assert table.find(Trace(0, 9, server_span(1), False), "", b"") is one
    assert table.find(Trace(0, 9, 77, False), "a", b"") is one
    assert table.find(None, "", b"r") is one


def test_of_two_attempts_of_one_trace_only_the_parent_tells_which() -> None:
    table = Pairing()
    one, two = serving(table, 1), serving(table, 2)
    assert table.find(Trace(0, 9, server_span(2), False), "a", b"r") is two
    assert table.find(Trace(0, 9, 77, False), "a", b"r") is None
    table.end(two, answered=True)
    assert table.find(Trace(0, 9, 77, False), "a", b"r") is one
    assert table.find(Trace(0, 9, server_span(2), False), "a", b"r") is two  # work after the answer


def test_what_is_over_is_forgotten_in_time() -> None:
    table = Pairing()
    for key in range(1, 2 * KEPT):
        table.end(serving(table, key, f"{key}", b"%d" % key), answered=key % 2 == 0)
    assert len(table._by_span) == KEPT
    assert len(table._by_name) == KEPT  # two names of each that was not answered


# ---- numbers from the network --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"00000000000000ff;0.0;0;0;1_0",
        b"00000000000000ff;1_0.0;0;0;0",
        b"00000000000000ff; 1.0;0;0;0",
        b"00000000000000ff;+1.0;0;0;0",
        b"00000000000000ff;1.0;0;0;+1",
        b"00000000000000ff;1.0;0;0;1 ",
        b"00000000000000ff;1.0;0;0;\xd9\xa1",
        b"0x000000000000ff;1.0;0;0;0",
        b"+0000000000000ff;1.0;0;0;0",
        b"000000000000_0ff;1.0;0;0;0",
        b"00000000000000FF;1.0;0;0;0",
        b"00000000000000ff;1e999;0;0;0",
        b"00000000000000ff;nan;0;0;0",
        b"00000000000000ff;inf;0;0;0",
        b"00000000000000ff;1e10;0;0;0",
        b"00000000000000ff;1.0;2;0;0",
        b"00000000000000ff;1.0;0;0;1001",
        b"00000000000000ff;1.0;0;0;0\n",
    ],
)
def test_a_context_is_exactly_what_meshsim_writes(value: bytes) -> None:
    assert parse_context(value) is None


@pytest.mark.parametrize(
    "start", [0.0, 1.25, -0.25, 1e-05, 1.2345678901234567e-07, 0.00012345678901234567, 86400.1]
)
def test_every_start_is_read_as_it_was_config(start: float) -> None:
    found = parse_context(Context(7, start, False, True, -5).header())
    assert found is not None
    assert (found.start, found.priority) == (start, -5)


@pytest.mark.parametrize(
    "value",
    [
        b"00-" + b"+" + b"a" * 31 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a_" * 16 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b" " + b"a" * 31 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-0_",
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-1",
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01-more",
        b"cc-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01.more",
        b"ff-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"0-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-" + b"a" * 32 + b"-" + b"0" * 16 + b"-01",
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\n",
    ],
)
def test_a_traceparent_is_what_the_standard_says(value: bytes) -> None:
    assert parse_trace(value) is None


@pytest.mark.parametrize("more", [b"", b"-", b"-what-is-still-to-come"])
def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known(more: bytes) -> None:
    found = parse_trace(b"cc-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01" + more)
    assert found is not None
    assert found.header() == b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


@pytest.mark.parametrize("trace", ["f" * 32, "f" * 16 + "0" * 16, "0" * 15 + "1" + "8" + "0" * 15])
def test_a_trace_id_is_kept_to_the_last_bit(trace: str) -> None:
    value = f"00-{trace}-{'f' * 16}-01".encode()
    found = parse_trace(value)
    assert found is not None
    assert found.header() == value


@pytest.mark.parametrize("count", [b"+2", b" 2", b"2_0", b"\xd9\xa2", b"2" * 16, b"-2", b"0", b""])
def test_an_attempt_count_that_is_no_number_is_the_first(count: bytes) -> None:
    assert attempt_key(OURS, count) == (derive(OURS.key, 0), 0)
