"""Where requests go, and what of their heads and bodies gets there and comes back."""

from __future__ import annotations

import asyncio
import re

import pytest

from meshsim.live.context import parse_context, parse_trace
from meshsim.random import derive
from tests.live.proxy.ends import Upstream, answers, chunked, says
from tests.live.proxy.rig import live, proxied


@live
async def test_a_request_finds_its_way_by_its_host() -> None:
    async with proxied() as rig:
        answer = await rig.ask(target="/items?q=1", host="cart:80")
        assert (answer.status, answer.body) == (200, b"hello")
        assert rig.seen[0].first == b"GET /items?q=1 HTTP/1.1"
        assert rig.seen[0].get("host") == b"cart:80"
        assert await rig.outcome() == (200, "-", 1, 1)


@live
async def test_hosts_are_found_in_any_case() -> None:
    async with proxied() as rig:
        assert (await rig.ask(host="CART")).status == 200


@live
async def test_an_absolute_target_is_what_counts() -> None:
    async with proxied() as rig:
        answer = await rig.ask(target="http://cart/items", host="somewhere.else")
        assert answer.status == 200
        assert (rig.seen[0].target, rig.seen[0].get("host")) == (b"/items", b"cart")


@live
async def test_the_listener_of_a_service_rewrites_the_host() -> None:
    async with proxied() as rig:
        answer = await rig.ask(listener="cart", host="127.0.0.1:1234")
        assert answer.status == 200
        assert rig.seen[0].get("host") == b"cart"


@live
async def test_an_unknown_host_is_no_route() -> None:
    async with proxied() as rig:
        client = await rig.client()
        answer = await client.ask(host="nowhere")
        assert (answer.status, answer.body) == (404, b"no route")
        assert (await client.ask(host="cart")).status == 200  # on the same connection
        first, _ = await rig.logged(2)
        assert (first["response_code"], first["response_flags"]) == (404, "NR")
        assert first["response_code_details"] == "route_not_found"
        assert len(rig.seen) == 1


@live
async def test_an_unknown_host_with_a_body_is_no_route() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: nowhere\r\ncontent-length: 100000\r\n\r\nabc")
        assert (await client.response()).status == 404
        assert await client.rest() == b""
        assert not rig.seen


@live
async def test_inbound_goes_to_the_application_whatever_the_host() -> None:
    async with proxied(id="frontend/0", app=Upstream(answers(body=b"mine"))) as rig:
        answer = await rig.ask(
            listener="inbound", host="frontend", target="/x", x_meshsim="0" * 16 + ";1.5;0;0;0"
        )
        assert (answer.status, answer.body) == (200, b"mine")
        assert rig.seen[0].get("host") == b"frontend"
        assert rig.seen[0].get("x-meshsim") == b"0" * 16 + b";1.5;0;0;0"
        (line,) = await rig.logged()
        assert (line["upstream_cluster"], line["response_code"]) == ("frontend", 200)


@live
async def test_a_proxy_does_not_route_to_whom_its_replica_does_not_call() -> None:
    async with proxied(id="cart/0", app=Upstream()) as rig:
        assert (await rig.ask(host="frontend")).status == 404


@live
async def test_a_connection_serves_many_requests() -> None:
    async with proxied() as rig:
        client = await rig.client()
        for n in range(5):
            assert (await client.ask(target=f"/{n}")).status == 200
        assert rig.upstream.accepted == 1
        assert [one.target for one in rig.seen] == [b"/0", b"/1", b"/2", b"/3", b"/4"]


@live
async def test_pipelined_requests_are_answered_in_order() -> None:
    async def echo(request, writer):
        await asyncio.sleep(0.02 if request.target == b"/0" else 0)
        await answers(body=request.target)(request, writer)

    async with proxied(Upstream(echo)) as rig:
        client = await rig.client()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: cart\r\n\r\n" % n for n in range(10)))
        bodies = [(await client.response()).body for _ in range(10)]
        assert bodies == [b"/%d" % n for n in range(10)]


@live
async def test_http_1_0_is_answered_and_closed() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.0\r\nhost: cart\r\n\r\n")
        answer = await client.response()
        assert answer.status == 200
        assert answer.get("connection") == b"close"
        assert await client.rest() == b""
        assert rig.seen[0].first == b"GET / HTTP/1.1"


@live
async def test_http_1_0_gets_no_chunks() -> None:
    async with proxied(
        Upstream(says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(b"ab", b"c")))
    ) as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.0\r\nhost: cart\r\n\r\n")
        answer = await client.response()
        assert answer.get("transfer-encoding") is None
        assert answer.body == b"abc"


@live
async def test_head_has_a_length_and_no_body() -> None:
    async with proxied(Upstream(answers(body=b"x" * 500))) as rig:
        client = await rig.client()
        answer = await client.ask("HEAD")
        assert (answer.status, answer.get("content-length")) == (200, b"500")
        assert (await client.ask("GET")).body == b"x" * 500
        assert rig.upstream.accepted == 1
        first, _ = await rig.logged(2)
        assert first["bytes_sent"] == 0


@pytest.mark.parametrize("status", [204, 304])
@live
async def test_answers_without_a_body(status: int) -> None:
    async with proxied(Upstream(answers(status, etag='"1"'))) as rig:
        client = await rig.client()
        answer = await client.ask()
        assert (answer.status, answer.get("etag")) == (status, b'"1"')
        assert (await client.ask()).status == status
        assert rig.upstream.accepted == 1


@live
async def test_a_client_that_waits_for_100_gets_it_from_the_proxy() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"12345")
        assert (await client.response()).status == 200
        assert rig.seen[0].body == b"12345"
        assert rig.seen[0].get("expect") is None


@live
async def test_chunks_both_ways() -> None:
    async def echo(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for byte in request.body:
            writer.write(b"1\r\n%c\r\n" % byte)
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    async with proxied(Upstream(echo)) as rig:
        client = await rig.client()
        for _ in range(2):
            client.send(b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in (b"3\r\nabc\r\n", b"2;ext=1\r\nde\r", b"\n0\r\n", b"x-trailer: 1\r\n\r\n"):
                client.send(piece)
                await asyncio.sleep(0.003)
            answer = await client.response()
            assert answer.get("transfer-encoding") == b"chunked"
            assert answer.body == b"abcde"
        assert rig.seen[0].get("transfer-encoding") == b"chunked"
        first, _ = await rig.logged(2)
        assert (first["bytes_received"], first["bytes_sent"]) == (5, 5)


@live
async def test_a_body_until_close_becomes_chunks() -> None:
    async with proxied(Upstream(says(b"HTTP/1.1 200 OK\r\n\r\nall there is", close=True))) as rig:
        client = await rig.client()
        for _ in range(2):
            answer = await client.ask()
            assert (answer.body, answer.get("transfer-encoding")) == (b"all there is", b"chunked")


@live
async def test_upgrades_are_refused() -> None:
    async with proxied() as rig:
        client = await rig.client()
        answer = await client.ask(connection="upgrade", upgrade="websocket")
        assert answer.status == 403
        assert await client.rest() == b""
        assert not rig.seen


@live
async def test_connect_is_refused() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"CONNECT cart:443 HTTP/1.1\r\nhost: cart:443\r\n\r\n")
        assert (await client.response()).status == 404
        assert not rig.seen


@live
async def test_headers_of_one_hop_are_dropped_both_ways() -> None:
    named = {"connection": "keep-alive, x-mine", "keep_alive": "timeout=5", "x_mine": "1", "x_kept": "2"}
    async with proxied(Upstream(answers(**named, proxy_authenticate="Basic", trailer="x"))) as rig:
        answer = await rig.ask(
            **named, te="trailers", proxy_connection="keep-alive", proxy_authorization="Basic eA=="
        )
        for message in (rig.seen[0], answer):
            names = {name for name, _ in message.headers}
            assert b"x-kept" in names
            assert not names & {
                b"connection", b"keep-alive", b"x-mine", b"te", b"proxy-connection", b"proxy-authorization",
                b"proxy-authenticate", b"trailer", b"transfer-encoding",
            }  # fmt: skip


@live
async def test_headers_that_repeat_are_all_passed_on() -> None:
    raw = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n"
    async with proxied(Upstream(says(raw))) as rig:
        answer = await rig.ask()
        assert [value for name, value in answer.headers if name == b"set-cookie"] == [b"a=1", b"b=2"]


# ---- headers of the mesh --------------------------------------------------------------------------------

UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@live
async def test_a_request_without_tracing_headers_gets_them() -> None:
    async with proxied() as rig:
        await rig.ask()
        await rig.ask()
        first, second = rig.seen
        for request in (first, second):
            assert UUID.fullmatch(request.get("x-request-id") or b"")
            assert request.get("x-envoy-attempt-count") == b"1"
            context, trace = (
                parse_context(request.get("x-meshsim") or b""),
                parse_trace(request.get("traceparent") or b""),
            )
            assert context is not None
            assert trace is not None
            assert trace.parent == derive(context.key, 0)
        assert first.get("x-request-id") != second.get("x-request-id")
        assert first.get("x-meshsim") != second.get("x-meshsim")
        assert (await rig.logged(2))[0]["request_id"].encode() == first.get("x-request-id")


@live
async def test_no_two_listeners_make_the_same_keys() -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        for listener, host in (("outbound", "cart"), ("cart", "cart"), ("inbound", "frontend")):
            await rig.ask(listener=listener, host=host)
        assert len({request.get("x-request-id") for request in rig.seen}) == 3
        assert len({request.get("x-meshsim") for request in rig.seen}) == 3


@live
async def test_tracing_headers_that_came_are_kept_and_the_span_replaced() -> None:
    async with proxied() as rig:
        trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        context = "00000000000000ff;1.25;1;1;3"
        await rig.ask(
            x_request_id="mine", x_meshsim=context, traceparent=trace, x_envoy_attempt_count="7",
            tracestate="v=1", b3="0",
        )  # fmt: skip
        (request,) = rig.seen
        assert request.get("x-request-id") == b"mine"
        assert request.get("x-meshsim") == context.encode()
        assert request.get("x-envoy-attempt-count") == b"1"
        assert request.get("traceparent") == f"00-{'a' * 32}-{derive(0xFF, 0):016x}-01".encode()
        assert (request.get("tracestate"), request.get("b3")) == (b"v=1", b"0")


@pytest.mark.parametrize(
    "headers",
    [
        b"x-meshsim: garbage\r\n",
        b"x-meshsim: 00000000000000ff;nan;1;1;3\r\n",
        b"x-meshsim: garbage\r\nx-meshsim: 00000000000000ff;1.0;0;0;0\r\n",
    ],
)
@live
async def test_a_context_that_nobody_can_read_is_replaced(headers: bytes) -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n" + headers + b"\r\n")
        assert (await client.response()).status == 200
        assert parse_context(rig.seen[0].get("x-meshsim") or b"") is not None


@pytest.mark.parametrize("listener", ["outbound", "inbound"])
@pytest.mark.parametrize(
    "headers",
    [
        "traceparent: 00-zz-1-0\r\n",
        f"traceparent: 00-{'a' * 32}-{'b' * 16}-01\r\ntraceparent: 00-{'c' * 32}-{'b' * 16}-01\r\n",
        "",
    ],
    ids=["garbage", "two", "none"],
)
@live
async def test_a_trace_that_is_not_continued_leaves_no_state(listener: str, headers: str) -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        client = await rig.client(listener)
        host = "cart" if listener == "outbound" else "frontend"
        client.send(f"GET / HTTP/1.1\r\nhost: {host}\r\ntracestate: v=1\r\n{headers}\r\n".encode())
        assert (await client.response()).status == 200
        (request,) = rig.seen
        (found,) = [value for name, value in request.headers if name == b"traceparent"]
        trace = parse_trace(found)
        assert trace is not None
        assert found[3:35] not in (b"a" * 32, b"c" * 32)
        assert request.get("tracestate") is None


@live
async def test_what_comes_inbound_from_outside_the_mesh_gets_a_trace() -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        await rig.ask(listener="inbound", host="frontend")
        (request,) = rig.seen
        assert UUID.fullmatch(request.get("x-request-id") or b"")
        context, trace = (
            parse_context(request.get("x-meshsim") or b""),
            parse_trace(request.get("traceparent") or b""),
        )
        assert context is not None
        assert trace is not None
        assert trace.parent == derive(context.key, 0)


@live
async def test_a_trace_from_outside_the_mesh_is_kept_and_the_span_replaced() -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        await rig.ask(listener="inbound", host="frontend", traceparent=trace)
        context = parse_context(rig.seen[0].get("x-meshsim") or b"")
        assert context is not None
        found = f"00-{'a' * 32}-{derive(context.key, 0):016x}-01"
        assert rig.seen[0].get("traceparent") == found.encode()


@live
async def test_listeners_are_on_loopback() -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        servers = [one.server for one in rig.proxy.listening.values()]
        names = {sock.getsockname()[0] for server in servers if server for sock in server.sockets}
        assert names == {"127.0.0.1"}
        assert len(servers) == 4


# ---- how far OPTIONS and TRACE go -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize("listener", ["outbound", "cart", "inbound"])
@live
async def test_max_forwards_counts_proxies(method: str, listener: str) -> None:
    async with proxied(id="frontend/0", app=Upstream()) as rig:
        host = "frontend" if listener == "inbound" else "cart"
        sent = {"max_forwards": "0", "x_a": "b", "cookie": "secret", "authorization": "secret"}
        answer = await rig.ask(method, listener=listener, host=host, **sent)
        assert answer.status == 200
        assert not rig.seen
        if method == "TRACE":
            assert answer.get("content-type") == b"message/http"
            first, *lines = answer.body.split(b"\r\n")
            assert first == b"TRACE / HTTP/1.1"
            assert {b"host: " + host.encode(), b"x-a: b", b"max-forwards: 0"} <= set(lines)
            assert b"secret" not in answer.body
        (line,) = await rig.logged()
        assert (line["response_code"], line["response_code_details"]) == (200, "direct_response")
        for many, fewer in (("1", b"0"), ("70", b"69"), ("9" * 30, b"999999999"), ("x", b"x"), ("-1", b"-1")):
            assert (await rig.ask(method, listener=listener, host=host, max_forwards=many)).status == 200
            assert rig.seen[-1].get("max-forwards") == fewer
        assert len(rig.seen) == 5


@live
async def test_a_trace_shows_its_head_as_it_came_and_the_log_the_first_of_several_headers() -> None:
    async with proxied() as rig:
        client = await rig.client()
        client.send(
            b"TRACE / HTTP/1.1\r\nhost: cart\r\nmax-forwards: 7\r\nmax-forwards: 0\r\n"
            b"user-agent: a\r\nuser-agent: b\r\nx-forwarded-for: 10.0.0.1\r\nx-forwarded-for: b\r\n\r\n"
        )
        answer = await client.response()
        client.close()
        named = [line for line in answer.body.split(b"\r\n") if line.startswith(b"max-forwards")]
        assert named == [b"max-forwards: 7", b"max-forwards: 0"]
        assert not rig.seen
        (line,) = await rig.logged()
        assert (line["user_agent"], line["x_forwarded_for"]) == ("a", "10.0.0.1")


@live
async def test_max_forwards_of_other_methods_is_passed_on() -> None:
    async with proxied() as rig:
        assert (await rig.ask(max_forwards="0")).body == b"hello"
        assert rig.seen[0].get("max-forwards") == b"0"


@pytest.mark.parametrize("target", ["*", "http://cart", "http://cart:80"])
@live
async def test_options_of_the_whole_server_is_passed_on_as_such(target: str) -> None:
    async with proxied() as rig:
        assert (await rig.ask("OPTIONS", target=target)).status == 200
        assert rig.seen[0].first == b"OPTIONS * HTTP/1.1"
        await rig.ask("OPTIONS", target="http://cart/")
        assert rig.seen[1].first == b"OPTIONS / HTTP/1.1"
