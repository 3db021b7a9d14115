"""Failure accrual under any use: one probe at a time, never forgotten; a shut host gets nothing."""

from __future__ import annotations

from math import inf

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshsim.policies.accrual import ADMITS, PROBE, PROBING, SHUT, FailureAccrual
from meshsim.policies.backoff import Backoff
from meshsim.policies.endpoint import Endpoint
from meshsim.policies.outlier import BACK, OUT


class Doors(RuleBasedStateMachine):
    """A caller that binds attempts to hosts the balancer may pick; they end in any order, or are given up."""

    @initialize(
        hosts=st.integers(1, 3), limit=st.integers(1, 3), jitter=st.sampled_from([0.0, 0.5]),
        longest=st.integers(1, 9),
    )  # fmt: skip
    def build(self, hosts: int, limit: int, jitter: float, longest: int) -> None:
        self.hosts = [Endpoint(f"cart/{i}", i) for i in range(hosts)]
        self.rule = FailureAccrual(limit, Backoff(1.0, float(longest), 1.0, 1.0 + jitter))
        self.longest = longest
        self.now = 0.0
        self.key = 0
        self.under_way: dict[int, Endpoint] = {}
        self.trials: dict[str, set[int]] = {
            host.name: set() for host in self.hosts
        }  # bound since it was shut

    @precondition(lambda self: not all(host.ejected for host in self.hosts))
    @rule(data=st.data())
    def bind(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from([host for host in self.hosts if not host.ejected]))
        self.key += 1
        waited = host.gate == PROBE
        assert self.rule.picked(host, self.key) == waited
        self.under_way[self.key] = host
        if waited:
            self.trials[host.name].add(self.key)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), status=st.sampled_from([200, 404, 500, 504]))
    def end(self, data: st.DataObject, status: int) -> None:
        key = data.draw(st.sampled_from(list(self.under_way)))
        host = self.under_way.pop(key)
        self.trials[host.name].discard(key)
        before, count = host.gate, host.consecutive
        verdict = self.rule.record(host, self.hosts, status, key, self.now)
        if verdict == OUT:
            assert status >= 500
            assert before != SHUT
            assert before != ADMITS or count == self.rule.limit - 1
            assert self.now + 1.0 <= host.returns <= self.now + self.longest
        if verdict == BACK:
            assert status < 500
            assert before in (PROBE, PROBING)
        if verdict in (OUT, BACK):
            self.trials[host.name].clear()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.under_way)))
        host = self.under_way.pop(key)
        was_trial = key in self.trials[host.name]
        assert self.rule.gave_up(host, key) == was_trial
        self.trials[host.name].discard(key)

    @precondition(lambda self: any(host.gate == SHUT for host in self.hosts))
    @rule()
    def wait(self) -> None:
        self.now = min(host.returns if host.gate == SHUT else inf for host in self.hosts)
        for host in self.hosts:
            over = host.gate == SHUT and host.returns <= self.now
            assert self.rule.tick(host, self.now) == over

    @invariant()
    def one_probe_at_a_time(self) -> None:
        for host in self.hosts if self.key or self.now else ():
            assert host.ejected == (host.gate in (SHUT, PROBING))
            assert len(self.trials[host.name]) == (host.gate == PROBING)


TestDoors = Doors.TestCase
