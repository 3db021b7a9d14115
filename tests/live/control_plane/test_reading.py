"""Updates from a control plane that is broken, or somebody else: no proxy takes any in part."""

import copy
import errno
import json

import pytest

from meshsim.live.control.messages import Endpoint, MessageError, Update
from meshsim.live.control.reading import UpdateReader
from meshsim.live.envoy.configured import WAITING, ConfiguredEnvoy
from meshsim.live.envoy.process import Envoy
from meshsim.live.troubles import OWN_ERROR, troubles
from meshsim.scenario import loads
from meshsim.scenario.topology import Topology

SCENARIO = loads("""
name: read
duration: 1s
load: [{to: front, rate: 1/s}]
services:
  front: {script: [{call: cart}]}
  cart: {replicas: 2, versions: {v1: {}, v2: {}}}
policies: {cart: {timeout: 1s, split: {v1: 100}}}
access: [{allow: {to: cart, from: front}}]
mesh: {dataplane: sidecar, mtls: {mode: strict}}
""")
CONFIG = json.loads(json.dumps(SCENARIO.pushable()))


def endpoint(number, version="v1", name=None):
    return Endpoint(number, name or f"cart/{version}/{number}", version, ("127.0.0.1", 80 + number))


def update(version=1, endpoints=None, **config):
    found = {"cart": [endpoint(1), endpoint(2, "v2")]} if endpoints is None else endpoints
    return Update(version, 0, "n", {**copy.deepcopy(CONFIG), **config}, frozenset(), found)


def policy(name, **keys):
    return {"policies": {**copy.deepcopy(CONFIG["policies"]), name: keys}}


BAD = {
    "no endpoints": ({}, "the endpoints of cart are missing"),
    "a service of nobody": ({"cart": [endpoint(1)], "db": []}, "there is no service db"),
    "a version of nobody": ({"cart": [endpoint(1, "v9")]}, "cart has no version v9"),
    "another name": ({"cart": [endpoint(1, name="front/0")]}, "no endpoint of cart is called 'front/0'"),
    "a strange name": ({"cart": [endpoint(1, name="cart/v1/../0")]}, "no endpoint of cart is called"),
    "policy of nobody": (policy("db", timeout="1s"), "no service 'db'"),
    "edge of nobody": (policy("cart -> front", timeout="1s"), "cart never calls front"),
    "endpoint of nobody": (policy("cart/add", timeout="1s"), "cart has no endpoints"),
    "split to nobody": (policy("cart", split={"v9": 1}), "no version 'v9'"),
    "split of nothing": (policy("front -> cart", split={"v1": 0}), "the weights are all 0"),
    "rule for nobody": ({"access": [{"deny": {"to": "db"}}]}, "no service 'db'"),
    "mode of the mesh": ({"mesh": {"mtls": {"mode": "open"}}}, "'strict', 'permissive'"),
    "no mode": ({"mesh": {"mtls": {"mode": None}}}, "mode"),
    "mode of a service": (
        {"services": {"front": {"mtls": None}, "cart": {"mtls": "open"}}}, "'strict', 'permissive'",
    ),
    "half the services": ({"services": {"front": {"mtls": None}}}, "cart"),
    "no mapping": ({"policies": ["cart"]}, "config is not valid"),
}  # fmt: skip


def bad(name):
    what, why = BAD[name]
    found = (
        update(2, what) if not what or any(key in what for key in SCENARIO.services) else update(2, **what)
    )
    return found, why


@pytest.mark.parametrize("name", BAD)
def test_what_a_scenario_could_not_say_is_refused_by_every_proxy(name, tmp_path):
    message, why = bad(name)
    reader = UpdateReader(SCENARIO, ["cart"])
    with pytest.raises(MessageError, match=why):
        reader.read(message)
    rig = EnvoyRig(tmp_path)
    assert rig.answer(update()) == ""
    assert why in rig.answer(message)
    assert len(rig.envoy.pushed) == 1


def test_what_was_taken_is_not_read_again():
    reader = UpdateReader(SCENARIO, ["cart"])
    first = update(**policy("cart", timeout="2s"))
    configuration, replicas = reader.read(first)
    scenario = configuration.scenario
    assert configuration.endpoints == {"cart": [each.number for each in replicas["cart"]]}
    assert scenario.policy("front", "cart").timeout == 2.0
    assert [each.name for each in replicas["cart"]] == ["cart/v1/1", "cart/v2/2"]
    reader.take(scenario, first)
    assert reader.read(update(2, **policy("cart", timeout="2s")))[0].scenario is scenario


class QuietEnvoy(Envoy):
    """Takes all at once, or fails in a way that a test wants."""

    failure = None

    def __init__(self, folder):
        super().__init__(SCENARIO, "front/0", folder)
        self.pushed = []

    def settled(self):
        return True

    def find(self, addresses, scenario=None):
        if self.failure is not None:
            raise self.failure

    def push(self, scenario, *, routes_only=False):
        self.pushed.append(scenario)


class EnvoyRig:
    """The Envoy of front/0 as the launcher has it; it is its own follower."""

    version = 0

    def __init__(self, folder):
        (proxy,) = (each for each in Topology(SCENARIO).proxies if each.name == "front/0")
        self.envoy = QuietEnvoy(folder)
        self.answers = []
        self.newest = []
        self.configured = ConfiguredEnvoy(self.envoy, 1, proxy, self.answered)

    def answered(self, _, __, update, newest, refused):
        self.answers.append(refused)
        self.newest.append((update.version, newest))

    def answer(self, message):
        """What is refused of an update."""
        self.configured.receive(self, None, message)
        self.configured._looked = 0.0
        self.configured.tick()
        return self.answers.pop()


def test_a_flood_of_updates_waits_in_little_room_and_its_last_one_counts(tmp_path):
    rig = EnvoyRig(tmp_path)
    for version in range(1, 1001):
        rig.configured.receive(rig, None, update(version, **policy("cart", timeout=f"{version}ms")))
    assert len(rig.configured._inbox) <= WAITING
    for _ in range(WAITING):
        rig.configured._looked = 0.0
        rig.configured.tick()
    assert rig.envoy.pushed[-1].policy("front", "cart").timeout == pytest.approx(1.0)
    assert sorted(version for version, _ in rig.newest) == list(range(1, 1001)), "each is answered once"
    assert all(newest <= version for version, newest in rig.newest), "none says more than it has"
    assert rig.newest[-1] == (1000, 1000)
    assert set(rig.answers) == {""}


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "its files can't be written: No space left on device",
        ),
        (KeyError("cart"), "it could not be applied: KeyError('cart')"),
    ],
)
def test_an_envoy_that_can_not_be_told_is_no_end_of_the_mesh(failure, why, tmp_path):
    rig = EnvoyRig(tmp_path)
    rig.envoy.failure = failure
    assert rig.answer(update()) == why
    rig.envoy.failure = None
    assert rig.answer(update(2)) == ""
    assert [each for each in troubles if each.startswith(OWN_ERROR)] == (
        []
        if isinstance(failure, OSError)
        else [f"{OWN_ERROR}: a configuration could not be applied: {failure!r}"]
    )
    troubles.clear()
