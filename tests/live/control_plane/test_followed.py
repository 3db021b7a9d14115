"""From an update to a proxy's machines; and what the control plane's end thinks of proxies that are none."""

import asyncio
import contextlib
import errno
import json
import os
import time

import pytest

from meshsim.live.clock import LiveClock
from meshsim.live.control import lines, server
from meshsim.live.control.followed import BY_SCENARIO, Followed
from meshsim.live.control.journal import Journal
from meshsim.live.control.memory import Memory
from meshsim.live.control.messages import Endpoint, MessageError, Update
from meshsim.live.control.server import Streams
from meshsim.live.secret import hashed
from meshsim.live.troubles import troubles
from meshsim.mesh.cluster import Transport
from meshsim.mesh.control_plane import CLUSTERS, ROUTES, WHOLE
from meshsim.mesh.proxy import Proxy
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import Station
from meshsim.scenario import loads
from meshsim.scenario.machines import ConfiguredProxy
from meshsim.scenario.push import control_plane
from meshsim.scenario.topology import Topology
from tests.live.proxy.ends import HOST, settle
from tests.live.proxy.rig import live

SCENARIO = loads("""
name: followed
duration: 1s
load: [{to: front, rate: 1/s}]
services:
  front: {script: [{call: cart}]}
  cart: {replicas: 2, versions: {v1: {}, v2: {}}}
policies: {cart: {timeout: 1s, split: {v1: 100}}}
mesh: {dataplane: sidecar}
""")
PORT = 1000


class Quiet(Transport):
    """Drains nothing."""

    def drain(self, host):
        pass

    def stop_opening(self, host):
        pass


class Rig:
    """The proxy of front/0, and what it is sent."""

    def __init__(self):
        self.clock = LiveClock(asyncio.get_running_loop(), ideal=False)
        self.clock.begin(time.monotonic())
        proxy = Proxy(self.clock, Recorder(), Tracer(), Quiet(), 1, 7, Station())
        self.configured = ConfiguredProxy(proxy, Topology(SCENARIO))
        self.addresses = {}
        self.followed = Followed(self.configured, SCENARIO, self.addresses, self.clock.now)
        self.version = 0

    @property
    def route(self):
        (upstream,) = self.configured.upstreams.values()
        return upstream.routes[""]

    def hosts(self):
        return [host.name for host in self.route.route.policy.clusters[0].hosts]

    def update(self, numbers=(1, 2), part=WHOLE, config=None, nacked=(), version="v1", **other):
        self.version += 1
        found = [Endpoint(n, f"cart/{version}/{n - 1}", version, (HOST, PORT + n)) for n in numbers]
        return Update(
            self.version, part, f"n{self.version}", config or self.config(), frozenset(nacked),
            {"cart": found, **other},
        )  # fmt: skip

    def config(self, **policy):
        found = SCENARIO.pushable()
        found["policies"]["cart"] |= policy
        return json.loads(json.dumps(found))


@live
async def test_endpoints_and_policies_are_taken_together():
    rig = Rig()
    assert rig.followed.apply(rig.update((1, 2, 9), config=rig.config(timeout="300ms"))) == (1, "")
    assert rig.hosts() == ["cart/v1/0", "cart/v1/1", "cart/v1/8"]
    assert rig.addresses["cart/v1/8"] == (HOST, PORT + 9)
    assert rig.route.config.timeout == pytest.approx(0.3)
    rig.followed.apply(rig.update((9,)))
    assert rig.hosts() == ["cart/v1/8"]
    assert rig.route.config.timeout == 1.0
    rig.followed.apply(rig.update(()))
    assert rig.hosts() == []
    rig.clock.close()


@live
async def test_what_is_not_valid_changes_nothing():
    rig = Rig()
    rig.followed.apply(rig.update((1, 2)))
    bad = [
        rig.update((1,), config={"cart": 7}),
        rig.update((1,), config={**rig.config(), "policies": {"cart": {"timeout": "soon"}}}),
        rig.update((1,), config={**rig.config(), "policies": 7}),
        rig.update((1,), config={**rig.config(), "access": [{"allow": 7}]}),
        rig.update((1,), config={**rig.config(), "services": {}}),
        rig.update((1,), config={**rig.config(), "mesh": {"mtls": None}}),
        rig.update((1,), version="v9"),
        rig.update((1,), nobody=[]),
        Update(99, WHOLE, "n", rig.config(), frozenset(), {}),
    ]
    for update in bad[:5] + bad[6:]:
        with pytest.raises(MessageError):
            rig.followed.apply(update)
        assert rig.hosts() == ["cart/v1/0", "cart/v1/1"]
        assert rig.route.config.timeout == 1.0
    rig.clock.close()


@live
async def test_what_fails_on_the_way_leaves_the_last_good_policies_in_force(monkeypatch):
    rig = Rig()
    rig.followed.apply(rig.update(config=rig.config(timeout="700ms")))
    real = ConfiguredProxy.find

    def broken(self, configuration, now):
        real(self, configuration, now)
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(ConfiguredProxy, "find", broken)
    with pytest.raises(MessageError, match="a mistake of ours"):
        rig.followed.apply(rig.update(config=rig.config(timeout="5ms")))
    assert rig.route.config.timeout == pytest.approx(0.7)
    rig.clock.close()


@live
async def test_a_refusal_that_the_scenario_wants_is_of_policies_alone():
    rig = Rig()
    update = rig.update((1,), config=rig.config(timeout="5ms"), nacked=["front"])
    assert rig.followed.apply(update) == (1, BY_SCENARIO)
    assert rig.hosts() == ["cart/v1/0"]
    assert rig.route.config.timeout == 1.0
    assert rig.followed.apply(rig.update(config=rig.config(timeout="6ms"))) == (2, "")
    rig.clock.close()


@live
async def test_parts_that_travel_apart_make_a_version_together():
    rig = Rig()
    first = rig.update((1,), part=CLUSTERS)
    assert rig.followed.apply(first) == (-1, "")
    routes = Update(1, ROUTES, "r", rig.config(timeout="5ms"), frozenset(), first.endpoints)
    assert rig.followed.apply(routes) == (1, "")
    assert rig.route.config.timeout == pytest.approx(0.005)
    rig.clock.close()


# ---- the other end ------------------------------------------------------------------------------------


class Plane:
    """The control plane's end, with one proxy that may follow it."""

    def __init__(self, folder):
        self.clock = LiveClock(asyncio.get_running_loop(), ideal=True)
        self.clock.begin(time.monotonic())
        self.memory = Memory(SCENARIO, Journal(folder / "journal"))
        self.memory.learn({
            "places": [
                {"number": n, "name": f"cart/v1/{n - 1}", "version": "v1", "host": HOST, "port": PORT + n}
                for n in range(1, 5)
            ]
        })  # fmt: skip
        self.plane = control_plane(Topology(SCENARIO), self.clock, self.memory)
        self.memory.resume(self.plane)
        self.streams = Streams(self.clock, self.plane, self.memory)
        self.follower = self.streams.add("front/0", frozenset(["cart"]), hashed("secret"))
        self.follower.subscription = self.plane.subscribe(self.follower, 7, connected=True)

    async def __aenter__(self):
        self.server = await asyncio.get_running_loop().create_server(self.streams.protocol, HOST, 0)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for stream in list(self.streams._known):
            stream.close()
        await asyncio.sleep(0.02)
        self.memory.journal.close()
        self.clock.close()


async def rest(reader):
    """What still comes of a stream that is to end."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 60.0)
    return b""


async def follow(address, *said):
    reader, writer = await asyncio.open_connection(*address)
    for each in said:
        writer.write(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n")
    return reader, writer


def hello(token="secret", proxy="front/0", version=0):
    return {"hello": {"proxy": proxy, "token": token, "version": version}}


@live
async def test_only_proxies_with_their_token_are_told_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "PARTIAL_LIMIT", 600.0)
    async with Plane(tmp_path) as plane:
        bad = [
            hello("x"), hello(proxy="cart/v1/0"), hello(version=-2), hello(token=7), {"ack": "n"},
            b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 70_000, b'{"hello": ' + b"[" * 50_000 + b"\n",
        ]  # fmt: skip
        for said in bad:
            reader, writer = await follow(plane.address, said)
            plane.plane.push(plane.clock.now())
            assert await rest(reader) == b"", said
            writer.close()
        assert plane.follower.stream is None
        assert sum(plane.streams.refused.values()) == len(bad)


@live
async def test_who_was_away_gets_what_it_missed_and_the_newer_stream_counts(tmp_path):
    async with Plane(tmp_path) as plane:
        plane.plane.push(plane.clock.now())
        reader, writer = await follow(plane.address, hello())
        update = json.loads(await reader.readline())
        assert update["version"] == 1
        assert [each["name"] for each in update["endpoints"]["cart"]] == [f"cart/v1/{n}" for n in range(4)]
        writer.write(json.dumps({"ack": update["nonce"], "version": 1}).encode() + b"\n")
        await settle(lambda: plane.follower.acked >= 1, "it is acked")
        again, other = await follow(plane.address, hello(version=1))
        await settle(lambda: len(plane.streams._known) == 1, "the older stream is closed")
        assert await rest(reader) == b""
        plane.plane.push(plane.clock.now())
        update = json.loads(await again.readline())
        other.write(json.dumps({"nack": update["nonce"], "version": 1, "error": "no"}).encode() + b"\n")
        await settle(lambda: plane.follower.refuses(2), "it is refused")
        assert plane.follower.why(2) == "it refuses version 2: no"
        assert plane.plane.pushes[2].nacked == 1
        other.write(json.dumps({"ack": "never sent", "version": 7}).encode() + b"\n")
        assert await rest(again) == b""
        assert plane.follower.acked < 2
        for each in (writer, other):
            each.close()


@live
async def test_a_journal_gives_all_to_the_next_process_and_half_a_line_is_nothing(tmp_path):
    async with Plane(tmp_path) as plane:
        plane.memory.change({"policies.cart.timeout": "300ms"}, 0.0)
        plane.plane.changed(0.0)
        plane.plane.push(0.0)
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"version": 3')
    async with Plane(tmp_path) as again:
        assert again.plane.version == 2
        assert again.memory.wanted.policy("front", "cart").timeout == pytest.approx(0.3)
        assert again.plane.content.scenario == again.memory.wanted
        again.plane.push(1.0)
        assert again.plane.version == 3
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600
    lines = (tmp_path / "journal").read_bytes().splitlines()
    assert json.loads(lines[-1][9:]) == {"version": 3, "changed": 1.0, "begun": 1.0}


def test_a_damaged_line_of_a_journal_is_left_out_and_told(tmp_path):
    journal = Journal(tmp_path / "journal")
    for version in (1, 2, 3):
        journal.add({"version": version})
    journal.close()
    whole = (tmp_path / "journal").read_bytes()
    for damaged in (
        whole.replace(b'"version": 2', b'"version": 7'),
        whole.replace(b' {"version": 2}', b"\xff["),
    ):
        (tmp_path / "journal").write_bytes(damaged)
        troubles.clear()
        again = Journal(tmp_path / "journal")
        assert again.found("version") == [1, 3]
        assert any("damaged" in each for each in troubles)
        again.close()
    troubles.clear()


def test_a_full_disk_is_told_and_what_it_does_not_take_is_written_later(tmp_path, monkeypatch):
    journal, write, room = Journal(tmp_path / "journal"), os.write, [20]

    def full(file, data):
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= (taken := write(file, bytes(data)[: room[0]]))
        return taken

    monkeypatch.setattr(os, "write", full)
    journal.add({"version": 1})
    journal.add({"version": 2})
    assert any("No space left" in each for each in troubles)
    half = Journal(tmp_path / "other")  # what another process would find now
    assert half.found("version") == []
    half.close()
    room[0] = 1000
    journal.add({"version": 3})
    journal.close()
    assert Journal(tmp_path / "journal").found("version") == [1, 2, 3]
    troubles.clear()


@live
async def test_what_is_set_again_and_again_does_not_become_dearer(tmp_path):
    async with Plane(tmp_path) as plane:
        size = []
        for number in range(1, 60):
            plane.memory.change({"policies.cart.timeout": f"{number}ms"}, float(number))
            size.append(len(plane.memory.scenario.events))
        assert max(size) <= 1
        assert plane.memory.wanted.policy("front", "cart").timeout == pytest.approx(0.059)
    async with Plane(tmp_path) as again:
        assert again.memory.wanted.policy("front", "cart").timeout == pytest.approx(0.059)


@live
async def test_who_does_not_say_who_he_is_is_shown_out(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "PARTIAL_LIMIT", 0.1)
    monkeypatch.setattr(server, "STRANGERS", 3)
    async with Plane(tmp_path) as plane:
        _, own = await follow(plane.address, hello())
        await settle(lambda: plane.follower.stream is not None, "it is known")
        others = [await follow(plane.address) for _ in range(5)]
        for reader, writer in others:
            assert await rest(reader) == b""
            writer.close()
        assert plane.streams.refused == {"too many have not said who they are": 2, "nothing was said": 3}
        assert plane.follower.stream is not None
        own.close()
    troubles.clear()


@live
async def test_a_proxy_that_does_not_read_is_sent_no_more_until_it_comes_again(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LINE_BYTES", 10_000)
    async with Plane(tmp_path) as plane:
        reader, writer = await follow(plane.address, hello())
        await settle(lambda: plane.follower.stream is not None, "it is known")
        reader._transport.pause_reading()
        for _ in range(30_000):
            plane.plane.repeat(plane.follower.subscription, plane.clock.now())
            if plane.follower.missed:
                break
        await settle(lambda: plane.follower.stream is None, "it is given up")
        assert plane.streams.refused == {"what was sent is not read": 1}
        writer.transport.abort()
        again, other = await follow(plane.address, hello(version=-1))
        plane.plane.push(plane.clock.now())
        assert json.loads(await again.readline())["version"] >= 1
        other.close()


@live
async def test_a_version_that_was_never_made_is_no_answer(tmp_path):
    async with Plane(tmp_path) as plane:
        reader, writer = await follow(plane.address, hello())
        await settle(lambda: plane.follower.stream is not None, "it is known")
        plane.plane.push(plane.clock.now())
        nonce = json.loads(await reader.readline())["nonce"]
        writer.write(json.dumps({"ack": nonce, "version": 2_000_000}).encode() + b"\n")
        assert await rest(reader) == b""
        assert plane.follower.acked < 1
        writer.close()
