"""A control plane that takes over from one that has died: what it pushes, and what it answers, and when."""

import asyncio
import contextlib
import json
import time
from types import SimpleNamespace

import pytest

from meshsim.live.child import Addresses, Spec
from meshsim.live.control.journal import Journal
from meshsim.live.control.process import ControlProcess
from meshsim.live.identity.tokens import Holder, Tokens
from meshsim.live.roles.control_plane import ControlPlane
from meshsim.live.secret import hashed
from meshsim.scenario import loads
from meshsim.scenario.topology import Topology
from tests.live.proxy.ends import HOST, settle
from tests.live.proxy.rig import live

HEAD = """
name: successor
duration: 60s
load: [{to: front, rate: 1/s}]
services:
  front: {script: [{call: cart}]}
  cart: {replicas: 2}
policies: {cart: {timeout: 1s}}
mesh: {dataplane: sidecar}
"""
PROXIES = {"client/0": (0, "client"), "front/0": (1, "front")}
PLACES = [
    {"number": n, "name": name, "version": "", "host": HOST, "port": 1000 + n}
    for n, name in enumerate(["front/0", "cart/0", "cart/1", "cart/2"])
]


class Process:
    """One life of a control plane; `told` is what it tells the launcher."""

    def __init__(self, folder, again, more="", endpoints=(1, 2), change=0):
        self.told = []
        self.writers = []
        control = {"ports": {"following": 0, "pages": 0, "authority": 0}, "again": again, "tokens": {}}
        control |= {"journal": str(folder / "journal"), "inclusive": True, "secret": "secret"}
        self.role = ControlPlane(
            Spec("control_plane", "the mesh", loads(HEAD + more), 7, HOST, True, None, control=control)
        )
        self.role.tell = self.told.append
        self.everything = {
            "proxies": {
                name: {"number": number, "token": hashed(name), "caller": caller}
                for name, (number, caller) in PROXIES.items()
            },
            "places": PLACES,
            "endpoints": {"front": [0], "cart": list(endpoints)},
            "change": change,
        }

    async def listen(self):
        self.pages = (await self.role.listen())["pages"]

    async def begin(self, since=0.0):
        """Begins, in a mesh whose scenario time 0 was so long ago, s."""
        await self.role.connect(Addresses({}, None, {}, control=self.everything))
        self.role.start(time.monotonic() - since)
        await self.role._opening

    @property
    def plane(self):
        return self.role.plane

    async def follow(self, name, version):
        """A proxy that has a version: its ends of the stream."""
        reader, writer = await asyncio.open_connection(HOST, self.role.following.port)
        said = {"hello": {"proxy": name, "token": name, "version": version}}
        writer.write(json.dumps(said).encode() + b"\n")
        self.writers.append(writer)
        return reader, writer

    def kill(self):
        """What is left of a process that dies."""
        for stream in list(self.role.streams._known):
            stream.close()
        for writer in self.writers:
            writer.close()
        self.role.close()


@contextlib.asynccontextmanager
async def process(*args, since=0.0, begins=True, **options):
    """One that listens, and has begun if it `begins`; it has gone at the end, whatever happens."""
    found = Process(*args, **options)
    try:
        await found.listen()
        if begins:
            await found.begin(since)
        yield found
    finally:
        found.kill()
        await asyncio.sleep(0.01)


async def order(port, page, body):
    """Status and answer of an order."""
    reader, writer = await asyncio.open_connection(HOST, port)
    data = json.dumps(body).encode()
    head = f"POST {page} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer secret\r\nconnection: close\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    answer = await asyncio.wait_for(reader.read(), 60.0)
    writer.close()
    first, _, content = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(content)


@live
async def test_what_was_set_while_the_first_push_still_waited_is_not_lost(tmp_path):
    more = "events: [{at: 0s, set: {policies.cart.timeout: 300ms}}]"
    async with process(tmp_path, False) as first:
        assert first.plane.version == 0
    journal = Journal(tmp_path / "journal")
    journal.add({"event": 0})  # it was killed between an event and its push
    journal.close()
    async with process(tmp_path, True, more, since=1.0) as second:
        await settle(lambda: second.plane.version == 1, "it pushes what is wanted")
        assert second.plane.content.scenario.policy("front", "cart").timeout == pytest.approx(0.3)


@live
async def test_endpoints_that_changed_meanwhile_are_pushed_and_said_to_be_in_force(tmp_path):
    async with process(tmp_path, False) as first:
        assert first.plane.version == 0
    async with process(tmp_path, True, endpoints=(1, 2, 3), change=4, since=9.0) as second:
        await settle(lambda: second.plane.version == 1, "it pushes who is there")
        streams = [await second.follow(name, 0) for name in PROXIES]
        for reader, writer in streams:
            update = json.loads(await reader.readline())
            assert update["version"] == 1
            writer.write(json.dumps({"ack": update["nonce"], "version": 1}).encode() + b"\n")
        await settle(lambda: {"in_force": 4} in second.told, "all know")
        assert second.plane.content.endpoints["cart"] == [1, 2, 3]


@live
async def test_one_that_has_no_configuration_yet_gets_one_of_a_process_that_has_pushed_nothing(tmp_path):
    async with process(tmp_path, True, since=1.0) as second:
        await settle(lambda: second.plane.version == 1, "it pushes")
    async with process(tmp_path, False) as other:  # as if nothing had ever been pushed
        reader, _ = await other.follow("front/0", -1)
        assert json.loads(await asyncio.wait_for(reader.readline(), 60.0))["version"] == other.plane.version


@live
async def test_nothing_is_pushed_while_the_scenario_has_it_down(tmp_path):
    more = "events: [{at: 1s, for: 4500ms, component: control_plane, down: true}]"
    async with process(tmp_path, True, more, since=5.0) as second:
        await asyncio.sleep(0.1)
        assert second.plane.downs == 1
        assert second.plane.version == 0
        await settle(lambda: second.plane.version == 1, "it pushes when that is over")


@live
async def test_what_is_heard_before_time_is_known_is_no_change_of_a_day_ago(tmp_path):
    async with process(tmp_path, True, begins=False) as found:
        await found.role.connect(Addresses({}, None, {}, control=found.everything))
        found.role.hear({"endpoints": {"front": [0], "cart": [1, 2, 3]}, "change": 1})
        found.role.start(time.monotonic() - 3.0)
        await settle(lambda: found.plane.version == 1, "it pushes")
        assert found.plane.pushes[1].changed >= 3.0
        assert found.role.change == (1, 1)
        await found.role._opening


@live
async def test_an_order_that_comes_before_it_has_begun_waits_and_reports_all_proxies(tmp_path):
    async with process(tmp_path, True, begins=False) as found:
        asked = asyncio.ensure_future(order(found.pages, "/set", {"set": {"policies.cart.timeout": "300ms"}}))
        late = await order(found.pages, "/set", {"set": {"policies.cart.timeout": "9s"}, "timeout": 0.1})
        missing = {"the mesh": "the control plane has not begun"}
        assert late == (504, {"version": None, "proxies": 0, "missing": missing})
        await found.begin(since=2.0)
        streams = [await found.follow(name, 0) for name in PROXIES]
        while not asked.done():
            for reader, writer in streams:
                with contextlib.suppress(TimeoutError):
                    update = json.loads(await asyncio.wait_for(reader.readline(), 0.1))
                    said = {"ack": update["nonce"], "version": update["version"]}
                    writer.write(json.dumps(said).encode() + b"\n")
        status, answer = asked.result()
        assert (status, answer["proxies"], answer["missing"]) == (200, 2, {})
        assert found.role.memory.wanted.policy("front", "cart").timeout == pytest.approx(0.3)


@live
async def test_an_event_that_comes_late_takes_back_nothing_that_was_set_since(tmp_path):
    more = "events: [{at: 1s, set: {policies.cart.timeout: 300ms}}]"
    async with process(tmp_path, False, more) as first:
        memory = first.role.memory
        memory.change({"policies.front.timeout": "2s"}, 1.001)
        memory.set(0)  # by a clock that rings a little late
        assert memory.wanted.policy("front", "cart").timeout == pytest.approx(0.3)
        assert memory.wanted.policy("client", "front").timeout == 2.0
        memory.change({"policies.cart.timeout": "400ms"}, 1.5)
        assert memory.wanted.policy("front", "cart").timeout == pytest.approx(0.4)
    async with process(tmp_path, True, more, since=2.0) as second:
        wanted = second.role.memory.wanted
        assert wanted.policy("client", "front").timeout == 2.0
        assert wanted.policy("front", "cart").timeout == pytest.approx(0.4)


@live
async def test_what_was_sent_on_a_stream_that_a_newer_one_replaces_is_sent_again(tmp_path):
    async with process(tmp_path, False) as first:
        await first.follow("front/0", 0)
        follower = first.role.streams.followers["front/0"]
        await settle(lambda: follower.stream is not None, "it follows")
        first.plane.push(0.0)
        assert follower.sent
        reader, _ = await first.follow("front/0", 0)  # nobody has noticed the end of the old one
        assert json.loads(await asyncio.wait_for(reader.readline(), 60.0))["version"] == 1


@live
async def test_who_refuses_policies_knows_of_endpoints(tmp_path):
    async with process(tmp_path, False) as first:
        streams = [await first.follow(name, 0) for name in PROXIES]
        await settle(lambda: len(first.role.streams._known) == 2, "both follow")
        first.role.hear({"endpoints": {"front": [0], "cart": [1]}, "change": 1})
        for word, (reader, writer) in zip(("ack", "nack"), streams, strict=True):
            update = json.loads(await reader.readline())
            said = {word: update["nonce"], "version": 1, "error": "not this policy"}
            writer.write(json.dumps(said).encode() + b"\n")
        await settle(lambda: {"in_force": 1} in first.told, "who leaves may go")
        found = first.role.streams.followers["front/0"]
        assert found.refuses(1)
        assert found.acked < 1


def test_a_replica_that_is_admitted_while_a_process_starts_can_get_its_certificate(tmp_path):
    scenario = loads(HEAD.replace("{dataplane: sidecar}", "{dataplane: sidecar, mtls: {mode: strict}}"))
    process = ControlProcess(
        Topology(scenario), tmp_path, lambda told: SimpleNamespace(name="control plane"), inclusive=True
    )
    process.start()
    later = Topology(scenario, [("cart", "")])
    said = process.admit(later.proxy("cart/2"))  # nobody listens yet
    process.close()
    assert said["tokens"].items() <= process.everything({})["tokens"].items()


def test_a_first_token_that_is_told_again_is_as_used_as_before():
    tokens, first, second, third = Tokens(), *("0123"[n] * 64 for n in range(3))
    holder = Holder(1, "cart")
    tokens.add(first, holder)
    tokens.use(first, b"key", second)
    tokens.add(first, holder)
    assert not tokens.use(first, b"key", second), "the same again"
    tokens.use(second, b"key", third)
    tokens.add(first, holder)
    assert first not in tokens._known
