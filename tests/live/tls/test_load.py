"""Many handshakes: rotations that nobody notices, crowds of half-open ones, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket

import pytest
from OpenSSL import SSL

from meshsim.live.tls import refusal
from meshsim.live.tls.channel import Channel
from meshsim.live.tls.engine import Engine
from meshsim.live.tls.entrance import Inspector
from meshsim.live.wire import ClientConnection, ServerConnection
from tests.live.proxy.ends import HOST, settle
from tests.live.proxy.rig import live
from tests.live.tls.mesh import Pair, pair
from tests.live.tls.pki import Authority
from tests.live.tls.test_attacks import Raw, attempt, client_hello

ONCE = {"cart": {"connection": {"max_requests": 1}}}
"""A connection for each request."""


async def keep_asking(mesh: Pair, seen: list[int], enough: asyncio.Event) -> None:
    """One request after the other, over one connection to the caller's proxy."""
    client = await mesh.caller.client()
    while not enough.is_set():
        seen.append((await client.ask()).status)


async def rotate(mesh: Pair, times: int, roots: list[Authority]) -> None:
    """New certificates at both ends, so often; with the last root that signs, all before it are trusted."""
    for number in range(times):
        last = min(len(roots) - 1, number * len(roots) // times)
        trusted, signer = roots[max(0, last - 1) : last + 2], roots[last]
        mesh.client.renew(signer.leaf("client", roots=trusted))
        mesh.server.renew(signer.leaf("cart", roots=trusted))
        await asyncio.sleep(0)


@pytest.mark.parametrize("policies", [{}, ONCE], ids=["kept alive", "a handshake each"])
@live
async def test_rotations_under_load(policies: dict[str, object]) -> None:
    """Certificates come anew hundreds of times, and roots four times; each root is known before it signs."""
    roots = [Authority(f"root {number}") for number in range(4)]
    async with pair(authority=roots[0], policies=policies) as mesh:
        mesh.client.renew(roots[0].leaf("client", roots=roots[:2]))
        mesh.server.renew(roots[0].leaf("cart", roots=roots[:2]))
        seen: list[int] = []
        enough = asyncio.Event()
        asking = [asyncio.create_task(keep_asking(mesh, seen, enough)) for _ in range(8)]
        await rotate(mesh, 400, roots)
        enough.set()
        await asyncio.gather(*asking)
        assert len(seen) > 100
        assert set(seen) == {200}
        assert not +mesh.client.client.refused
        assert not +mesh.server.server.refused


@live
async def test_what_a_dropped_root_has_signed() -> None:
    """It is refused from the next handshake on; what is open lives."""
    old, new = Authority("root 0"), Authority("root 1")
    async with pair(authority=old) as mesh:
        assert (await mesh.ask()).status == 200
        mesh.server.renew(new.leaf("cart", roots=[new]))
        assert (await mesh.ask()).status == 200
        assert mesh.client.client.handshakes == 1
        mesh.drop_idle()
        assert (await mesh.ask()).status == 503
        assert dict(mesh.client.client.refused) == {refusal.UNTRUSTED_ROOT: 1}
        mesh.client.renew(new.leaf("client", roots=[old, new]))
        await mesh.still_serves()


@pytest.mark.long
@live
async def test_ten_thousand_half_open_handshakes() -> None:
    await besiege(9000)


@live
async def test_a_thousand_half_open_handshakes() -> None:
    await besiege(1000)


async def besiege(size: int) -> None:
    """So many begin and never go on, while requests with a handshake each pass; then all of them leave."""
    async with pair(policies=ONCE) as mesh:
        hello = client_hello()
        seen: list[int] = []
        enough = asyncio.Event()
        asking = asyncio.create_task(keep_asking(mesh, seen, enough))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        crowd = []
        for number in range(size):
            crowd.append(socket.create_connection((HOST, mesh.port), timeout=60))
            if number % 4:
                crowd[-1].send(hello if number % 2 else hello[:100])
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        most = mesh.entrance.limits.handshakes
        await settle(lambda: len(mesh.entrance.waiting) >= min(size, most) - 10, "they wait")
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        count = len(seen)
        await settle(lambda: len(seen) > count + 20, "requests go on")
        enough.set()
        await asking
        assert set(seen) == {200}
        crowded = mesh.server.server.refused[refusal.CROWDED]
        assert crowded == 0 or len(mesh.entrance.waiting) >= most - 10
        for each in crowd:
            each.close()
        await settle(lambda: not mesh.entrance.waiting, "nobody waits")
        await mesh.still_serves()
        assert grown < 100.0 + 0.1 * min(size, most), f"{grown:.0f} MB for {size}"


@live
async def test_nothing_of_a_connection_stays() -> None:
    """Neither of one that was closed, nor of one that was refused."""
    kinds = (Channel, Inspector, ClientConnection, ServerConnection, Engine, SSL.Context)
    async with pair(policies=ONCE) as mesh:
        other = Authority("root 1")
        bad = other.leaf("client", roots=[mesh.authority])

        async def all_kinds() -> None:
            for _ in range(5):
                assert (await mesh.ask()).status == 200
            assert await attempt(mesh, Raw(bad)) == b""
            good, mesh.mode = mesh.mode, "disable"
            assert (await mesh.ask()).status == 503
            mesh.mode = good
            await settle(lambda: not mesh.callee.served(), "connections are closed")

        await all_kinds()
        await asyncio.sleep(0.05)
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(each, kinds) for each in gc.get_objects())
            for _ in range(5):
                await all_kinds()
            await asyncio.sleep(0.05)
            after = [type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds)]
        finally:
            gc.enable()
        assert len(after) <= before + 2, after
