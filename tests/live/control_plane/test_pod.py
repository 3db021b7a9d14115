"""The end of a replica: when it goes, and what is still expected of its processes."""

from types import SimpleNamespace

from meshsim.live import pod
from meshsim.live.pod import LivePod
from meshsim.mesh.rollout import GONE, LEAVING, READY, STARTING


class Member:
    """A process that takes note of what it is told."""

    def __init__(self):
        self.said = []

    def send(self, message):
        self.said.append(message)

    def hang_up(self):
        self.said.append("the end")


class Cluster:
    """One with a replica, whose mesh is quiet if nothing has been on its way since `calm`."""

    def __init__(self):
        self.members = [Member(), Member()]
        self.endpoints = {"cart": (1, 2)}
        self.changes, self.applied, self.calm = 0, (0, 0.0), 0.0
        self.of, self.ordering = {}, False
        ignored = SimpleNamespace(remove=lambda name: None, tell=lambda it: None, dismiss=lambda name: {})
        self.mesh = SimpleNamespace(
            members_of=lambda name: self.members, proxies=ignored, control=ignored,
            quiet=lambda name, since: since <= self.calm, now=5.0,
        )  # fmt: skip

    def change(self, service, numbers, now):
        self.endpoints[service] = numbers
        self.changes += 1


def replica(cluster, state):
    place = SimpleNamespace(number=1, name="cart/1", service="cart", deployment=SimpleNamespace(drain=0.0))
    return LivePod(cluster, place, state=state)


def test_of_one_that_was_never_ready_no_rows_are_expected():
    cluster = Cluster()
    live = replica(cluster, STARTING)
    live.leave(False, 5.0)
    assert live.state == GONE
    assert live.done == set(cluster.members)
    assert [each.said for each in cluster.members] == [["the end"], ["the end"]]


def test_one_that_is_ordered_away_does_not_wait_for_what_changes_later(monkeypatch):
    """Each later change is in force later; those who send to it know since the first."""
    monkeypatch.setattr(pod.time, "monotonic", lambda: 100.0)
    cluster = Cluster()
    live = replica(cluster, READY)
    live.state = LEAVING
    cluster.ordering = True
    live.leave(True, 5.0)
    assert cluster.endpoints["cart"] == [2]
    cluster.applied = 1, 101.0
    monkeypatch.setattr(pod.time, "monotonic", lambda: 101.0)
    live.tick()
    assert live.state == LEAVING
    cluster.applied, cluster.calm = (7, 102.0), 101.5
    live.tick()
    assert live.state == GONE
    assert {"stop": True} in cluster.members[0].said
