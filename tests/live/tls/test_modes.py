"""Which connections a proxy lets in, and what their callers see."""

from __future__ import annotations

import json

import pytest

from meshsim.live.tls import refusal
from meshsim.mesh.connection import NOT_ACCEPTED, SECURED, UNTRUSTED
from tests.live.proxy.ends import settle
from tests.live.proxy.rig import live
from tests.live.tls.mesh import pair
from tests.live.tls.pki import Authority


@live
async def test_a_request_through_two_proxies() -> None:
    async with pair() as mesh:
        for _ in range(3):
            assert (await mesh.ask()).status == 200
        assert (mesh.client.client.handshakes, mesh.server.server.handshakes) == (1, 1), "it is kept alive"
        (connection,) = mesh.callee.served()
        assert connection.identity == "client"
        stats = json.loads((await mesh.callee.ask("GET", "admin", target="/stats", host="localhost")).body)
        assert stats["tls"]["server"] == {"handshakes": 1, "refused": {}}


@pytest.mark.parametrize(
    ("mode", "answered", "why"),
    [("strict", False, refusal.PLAINTEXT), ("permissive", True, ""), ("disable", True, "")],
)
@live
async def test_plaintext(mode: str, answered: bool, why: str) -> None:
    async with pair() as mesh:
        mesh.mode = mode
        client = await mesh.stranger()
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        if answered:
            assert (await client.response()).status == 200
            assert not mesh.server.server.refused
            assert [each.identity for each in mesh.callee.served()] == [""]
        else:
            await client.ended()
            await mesh.refused(why)
            assert not mesh.app.requests
            await mesh.still_serves()


@live
async def test_tls_where_it_is_disabled() -> None:
    """The caller, which believes otherwise, fails to connect: 503 UF, as with Envoy."""
    async with pair() as mesh:
        mesh.mode = "disable"
        assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UF", 1, 0)
        await mesh.refused(refusal.DISABLED)
        mesh.mode = "permissive"
        await mesh.still_serves()


@live
async def test_open_plaintext_when_the_mode_becomes_strict() -> None:
    """The next request on it dies; a connection with mTLS does not notice."""
    async with pair(mode="permissive") as mesh:
        client = await mesh.stranger()
        assert (await client.ask()).status == 200
        assert (await mesh.ask()).status == 200
        mesh.mode = "strict"
        assert (await mesh.ask()).status == 200
        client.send(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n")
        assert await client.rest() == b""
        await mesh.refused(refusal.PLAINTEXT)
        assert len(mesh.app.requests) == 3
        assert mesh.client.client.handshakes == 1


@live
async def test_a_root_that_the_caller_does_not_trust() -> None:
    other = Authority("root 1")
    async with pair(callee=other.leaf("cart")) as mesh:
        assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UF", 1, 0)
        assert dict(mesh.client.client.refused) == {refusal.UNTRUSTED_ROOT: 1}
        await mesh.refused(refusal.PEER)
        assert not mesh.app.requests


@live
async def test_a_root_that_the_upstream_does_not_trust() -> None:
    """TLS 1.3: the caller has a connection before the upstream has looked: 503 UC, as with Envoy."""
    authority, other = Authority(), Authority("root 1")
    async with pair(authority=authority, caller=other.leaf("client", roots=[authority])) as mesh:
        assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UC", 1, 0)
        assert mesh.client.client.handshakes == 1
        await mesh.refused(refusal.UNTRUSTED_ROOT)
        assert not mesh.app.requests


@live
async def test_another_service_than_was_wanted() -> None:
    """Whoever has taken cart's address is not cart."""
    authority = Authority()
    async with pair(authority=authority, callee=authority.leaf("thief")) as mesh:
        assert (await mesh.ask()).status == 503
        assert await mesh.caller.outcome() == (503, "UF", 1, 0)
        assert dict(mesh.client.client.refused) == {refusal.WRONG_IDENTITY: 1}
        assert not mesh.app.requests


@pytest.mark.parametrize("begin", [-7200.0, 3600.0])
@live
async def test_certificates_out_of_their_time(begin: float) -> None:
    authority = Authority()
    bad = authority.leaf("cart", begin=begin, end=begin + 60.0)
    async with pair(authority=authority, callee=bad) as mesh:
        assert (await mesh.ask()).status == 503
        assert dict(mesh.client.client.refused) == {refusal.EXPIRED: 1}
        mesh.server.renew(authority.leaf("cart"))
        mesh.client.renew(authority.leaf("client", begin=begin, end=begin + 60.0))
        assert (await mesh.ask()).status == 503
        assert mesh.server.server.refused[refusal.EXPIRED] == 1
        assert [line["response_flags"] for line in await mesh.caller.logged(2)] == ["UF", "UC"]
        mesh.client.renew(authority.leaf("client"))
        await mesh.still_serves()


@live
async def test_modes_that_are_pushed() -> None:
    """The caller's pool makes way for connections of the other kind."""
    async with pair(mode="permissive") as mesh:
        caller, callee = mesh.caller.proxy, mesh.callee.proxy
        mesh.entrance.mode = lambda: callee.configured.mode or "disable"
        scenario = caller.spec.scenario

        async def push(mode: str) -> str:
            """Pushes it to both; whom the callee then takes the caller for."""
            assert scenario.mesh.mtls is not None
            mtls = scenario.mesh.mtls.model_copy(update={"mode": mode})
            pushed = scenario.model_copy(update={"mesh": scenario.mesh.model_copy(update={"mtls": mtls})})
            callee.configured.apply(pushed, callee.clock.now())
            caller.configured.apply(pushed, caller.clock.now())
            assert (await mesh.ask()).status == 200
            await settle(lambda: len(mesh.callee.served()) == 1, "the old connection is closed")
            return mesh.callee.served()[0].identity

        assert await push("strict") == "client"
        assert await push("disable") == ""
        assert await push("permissive") == "client"
        assert await push("strict") == "client"
        assert mesh.client.client.handshakes == 2
        assert not +mesh.server.server.refused


@live
async def test_what_is_recorded_of_handshakes() -> None:
    """An upstream that refuses us is none that we have a secured connection to."""
    authority, other = Authority(), Authority("root 1")
    async with pair(authority=authority) as mesh:
        ledger = mesh.caller.proxy.ledger
        assert ledger is not None

        def kinds() -> list[int]:
            wanted = (SECURED, UNTRUSTED, NOT_ACCEPTED)
            return [kind for _, _, kind in ledger.recorder.connections if kind in wanted]

        assert (await mesh.ask()).status == 200
        await settle(lambda: kinds() == [SECURED], "it is recorded")
        mesh.drop_idle()
        mesh.server.renew(other.leaf("cart", roots=[other]))
        assert (await mesh.ask()).status == 503
        assert kinds() == [SECURED, UNTRUSTED]
        mesh.client.renew(authority.leaf("client", roots=[authority, other]))
        assert (await mesh.ask()).status == 503
        assert kinds() == [SECURED, UNTRUSTED, NOT_ACCEPTED]
