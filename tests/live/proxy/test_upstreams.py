"""Upstreams that fail: what the client gets, what the log says, how many tries there were (SEMANTICS 2.1)."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.proxy.ends import (
    Behaviour,
    Message,
    Upstream,
    answers,
    chunked,
    dies,
    in_turn,
    says,
    settle,
    silence,
)
from tests.live.proxy.rig import live, proxied

HEAD = b"HTTP/1.1 200 OK\r\n"
WORDS = b"upstream connect error or disconnect/reset before headers. "
RESET = {"retries": {"attempts": 2, "on": ["reset"], "backoff": {"base": "0s"}}}
CONNECT = {"retries": {"attempts": 2, "on": ["connect-failure"], "backoff": {"base": "0s"}}}
TRIED = {"retries": {"attempts": 2, "on": ["5xx"], "per_try_timeout": "30ms", "backoff": {"base": "0s"}}}


@live
async def test_nobody_listens() -> None:
    async with proxied(refusing=1) as rig:
        answer = await rig.ask()
        assert (answer.status, answer.body) == (503, WORDS + b"reset reason: remote connection failure")
        (line,) = await rig.logged()
        assert (line["response_code"], line["response_flags"]) == (503, "UF")
        why = "remote_connection_failure|delayed_connect_error:_Connection_refused"
        assert line["response_code_details"] == f"upstream_reset_before_response_started{{{why}}}"


@live
async def test_nobody_listens_tried_again() -> None:
    async with proxied(refusing=1, policy=CONNECT) as rig:
        assert (await rig.ask()).status == 503
        (line,) = await rig.logged()
        assert (line["response_flags"], line["attempt_count"]) == ("URX,UF", 3)


@live
async def test_one_of_two_does_not_listen() -> None:
    async with proxied(Upstream(), refusing=1, policy=CONNECT) as rig:
        answers_ = [await rig.ask() for _ in range(10)]
        assert {answer.status for answer in answers_} == {200}
        assert sum(line["attempt_count"] for line in await rig.logged(10)) in (
            19,
            20,
        )  # each begins where the last left off


@live
async def test_all_who_wait_for_a_host_fail_with_its_connection() -> None:
    async with proxied(refusing=1) as rig:
        assert [answer.status for answer in await rig.burst(20)] == [503] * 20
        assert {line["response_flags"] for line in await rig.logged(20)} == {"UF"}


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (dies, (503, "UC")),
        (says(b"", close=True), (503, "UC")),
        (says(b"this is no HTTP\r\n\r\n"), (502, "UPE")),
        (says(b"SSH-2.0-OpenSSH_9.6\r\n"), (502, "UPE")),
        (says(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"), (502, "UPE")),
        (says(HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), (502, "UPE")),
        (says(HEAD + b"x: 1\r\n folded: 2\r\ncontent-length: 0\r\n\r\n"), (502, "UPE")),
        (says(HEAD + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n"), (502, "UPE")),
        (says(b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"), (502, "UPE")),
        (says(HEAD + b"x: " + b"y" * 70000 + b"\r\n\r\n"), (502, "UPE")),
        (says(HEAD + b"x: y\r\n" * 101 + b"\r\n"), (502, "UPE")),
        (
            says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            (502, "UPE"),
        ),
        (says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + HEAD + b"content-length: 0\r\n\r\n"), (502, "UPE")),
    ],
)
@live
async def test_it_fails_before_its_response(behaviour: Behaviour, outcome: tuple[int, str]) -> None:
    async with proxied(Upstream(behaviour), policy=RESET) as rig:
        client = await rig.client()
        assert (await client.ask()).status == outcome[0]
        assert await rig.outcome() == (outcome[0], f"URX,{outcome[1]}", 3, 3)
        await settle(lambda: not rig.upstream.connections, "no connection to it is kept")
        rig.upstream.behaviour = answers()
        assert (await client.ask()).status == 200  # the client's connection is as good as before


@live
async def test_a_failure_is_made_good_by_another_try() -> None:
    async with proxied(Upstream(in_turn(dies, says(b"garbage\r\n\r\n"), answers())), policy=RESET) as rig:
        assert (await rig.ask()).status == 200
        assert await rig.outcome() == (200, "-", 3, 3)


@live
async def test_it_never_answers() -> None:
    async with proxied(Upstream(silence), policy=TRIED) as rig:
        answer = await rig.ask()
        assert (answer.status, answer.body) == (504, b"upstream request timeout")
        assert await rig.outcome() == (504, "URX,UT", 3, 3)
        assert 85 <= rig.log()[0]["duration"] < 5000
        await settle(lambda: not rig.upstream.connections, "the tries' connections are closed")


@live
async def test_it_never_answers_and_there_is_no_timeout_by_try() -> None:
    async with proxied(Upstream(silence), policy={"timeout": "40ms"}) as rig:
        assert (await rig.ask()).status == 504
        assert await rig.outcome() == (504, "UT", 1, 1)


@pytest.mark.parametrize("kind", ["closed", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@live
async def test_it_dies_in_the_middle_of_its_response(kind: str, framing: str) -> None:
    begun = (
        b"content-length: 10\r\n\r\nhalf."
        if framing == "length"
        else b"transfer-encoding: chunked\r\n\r\n5\r\nhalf.\r\n"
    )

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + begun)
        await asyncio.sleep(0.02)
        writer.close() if kind == "closed" else writer.transport.abort()

    async with proxied(Upstream(behave), policy=RESET) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        await client.reader.readuntil(b"half.")
        assert isinstance(await client.ended(), ConnectionResetError)
        status, flags, attempts, seen = await rig.outcome()
        assert (status, attempts, seen) == (200, 1, 1)
        assert flags in ("UC", "UPE")
        assert rig.log()[0]["response_code_details"].startswith("upstream_reset_after_response_started{")


@live
async def test_garbage_in_the_middle_of_its_response() -> None:
    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhalf.\r\n")
        await asyncio.sleep(0.02)
        writer.write(b"no chunk\r\n")

    async with proxied(Upstream(behave), policy=RESET) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        assert isinstance(await client.ended(), ConnectionResetError)
        assert await rig.outcome() == (200, "UPE", 1, 1)


@live
async def test_it_closes_a_connection_that_is_idle() -> None:
    async with proxied() as rig:
        client = await rig.client()
        assert (await client.ask()).status == 200
        for writer in list(rig.upstream.connections):
            writer.close()
        await settle(lambda: not rig.idle(), "the proxy has noticed")
        assert (await client.ask()).status == 200
        assert rig.upstream.accepted == 2


@pytest.mark.parametrize("policy", [{}, RESET])
@live
async def test_it_closes_an_idle_connection_at_the_wrong_moment(policy: dict[str, object]) -> None:
    """The end of the connection and the next request cross; the next try gets through, if there is one."""
    statuses = []
    async with proxied(policy=policy) as rig:
        for _ in range(20):
            client = await rig.client()
            statuses.append((await client.ask()).status)
            for writer in list(rig.upstream.connections):
                writer.close()
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
            statuses.append((await client.response()).status)
        assert set(statuses) <= ({200} if policy else {200, 503})
        flags = {line["response_flags"] for line in await rig.logged(40)}
        assert flags <= ({"-"} if policy else {"-", "UC"})


@live
async def test_it_closes_every_connection_as_soon_as_it_is_open() -> None:
    async with proxied() as rig:
        server = rig.upstream.server
        assert server is not None
        server.close()
        await server.wait_closed()
        slammed = await asyncio.start_server(
            lambda _, writer: writer.transport.abort(), "127.0.0.1", rig.upstream.port
        )
        for _ in range(5):
            answer = await rig.ask()
            assert answer.status == 503
        assert {line["response_flags"] for line in await rig.logged(5)} <= {"UC", "UF"}
        for _ in range(100):  # nor is one kept that nobody waits for any more when it is open
            client = await rig.client()
            client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
            client.close()
        slammed.close()
        await slammed.wait_closed()
        await settle(lambda: not rig.idle(), "no dead connection is kept")
        await rig.upstream.open()
        assert (await rig.ask()).status == 200


@live
async def test_it_answers_twice() -> None:
    twice = (HEAD + b"content-length: 1\r\n\r\n1") * 2
    async with proxied(Upstream(in_turn(says(twice), answers(body=b"mine")))) as rig:
        client = await rig.client()
        assert (await client.ask()).body == b"1"
        assert (await client.ask()).body == b"mine"
        assert rig.upstream.accepted == 2


@live
async def test_it_says_more_than_was_asked() -> None:
    """What comes on an idle connection closes it: it could be taken for the answer to another request."""

    async def behave(request: Message, writer: asyncio.StreamWriter) -> None:
        await answers(body=b"1")(request, writer)
        await asyncio.sleep(0.02)
        writer.write(HEAD + b"content-length: 6\r\n\r\npoison")

    async with proxied(Upstream(in_turn(behave, answers(body=b"mine")))) as rig:
        client = await rig.client()
        assert (await client.ask()).body == b"1"
        await settle(lambda: not rig.idle(), "the connection is closed")
        assert (await client.ask()).body == b"mine"


@live
async def test_informational_answers_are_not_the_answer() -> None:
    raw = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        + HEAD
        + b"content-length: 2\r\n\r\nok"
    )
    async with proxied(Upstream(says(raw))) as rig:
        client = await rig.client()
        for _ in range(2):
            answer = await client.ask()
            assert (answer.status, answer.body, answer.interim) == (200, b"ok", [])
        assert rig.upstream.accepted == 1


@live
async def test_it_closes_after_its_answer() -> None:
    async with proxied(Upstream(answers(connection="close"))) as rig:
        client = await rig.client()
        for _ in range(3):
            answer = await client.ask()
            assert (answer.status, answer.get("connection")) == (200, None)
        assert rig.upstream.accepted == 3
        assert not rig.idle()


@live
async def test_old_upstreams_are_understood() -> None:
    async with proxied(Upstream(says(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))) as rig:
        client = await rig.client()
        for _ in range(2):
            assert (await client.ask()).body == b"ok"
        assert rig.upstream.accepted == 2


@live
async def test_it_answers_head_with_a_body() -> None:
    async with proxied(Upstream(says(HEAD + b"content-length: 4\r\n\r\nbody"))) as rig:
        client = await rig.client()
        assert (await client.ask("HEAD")).get("content-length") == b"4"
        assert (await client.ask()).body == b"body"


@live
async def test_an_upstream_that_fails_inbound() -> None:
    async with proxied(id="frontend/0", app=Upstream(dies)) as rig:
        assert (await rig.ask(listener="inbound", host="frontend")).status == 503
        (line,) = await rig.logged()
        assert (line["response_flags"], line["attempt_count"]) == ("UC", 1)


@live
async def test_chunks_in_odd_pieces() -> None:
    """A response that comes byte by byte is the same response."""

    async def drip(request: Message, writer: asyncio.StreamWriter) -> None:
        for byte in HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(b"hello", b" ", b"world"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async with proxied(Upstream(drip)) as rig:
        client = await rig.client()
        for _ in range(3):
            assert (await client.ask()).body == b"hello world"
        assert rig.upstream.accepted == 1


@live
async def test_requests_before_it_knows_its_upstreams() -> None:
    """A proxy that does not know yet where its upstreams are says so, and keeps no count of it."""
    async with proxied() as rig:
        addresses = dict(rig.proxy.addresses)
        rig.proxy.addresses.clear()
        assert (await rig.ask()).status == 503
        rig.proxy.addresses.update(addresses)
        assert (await rig.ask()).status == 200
