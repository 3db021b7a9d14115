"""No key of a scenario is lost on the way to an Envoy: each is compiled, or refused, or somebody else's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from meshsim.live.envoy import refusals
from meshsim.live.envoy.mesh import Envoys
from meshsim.live.envoy.process import Envoy
from meshsim.live.envoy.proxy import Proxy
from meshsim.live.envoy.resources import documents
from meshsim.live.options import Options
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology
from tests.unit.every_key import every_key

TEXT = """
name: keys
duration: 10s
services:
  other: {}
  cart: {versions: {v1: {}, v2: {}}}
mesh: {dataplane: sidecar}
load: [{to: cart, rate: 1/s}]
"""
POLICY = "policies.cart"
RETRIES = {f"{POLICY}.retries": {"attempts": 2, "backoff": {"base": "10ms", "max": "20ms"}}}
CONNECTION: dict[str, Any] = {f"{POLICY}.connection": {}}
BUDGET = {f"{POLICY}.retries": {"budget": {"ratio": "10%", "min_concurrency": 1}}}
LINKERD = {f"{POLICY}.retries": {"budget": {"ratio": "10%"}}}
EJECTIONS: dict[str, Any] = {f"{POLICY}.outlier_detection": {}}
RATES: dict[str, Any] = {f"{POLICY}.outlier_detection": {"success_rate": {}}}
DELAY = {f"{POLICY}.fault": {"delay": {"time": "1s"}}}
ABORT: dict[str, Any] = {f"{POLICY}.fault": {"abort": {}}}
LIMIT = {f"{POLICY}.rate_limit": {"burst": 1, "rate": "1/s"}}
HEDGE = {f"{POLICY}.hedge": {"after": "1s"}}

RULES = {kind: {"access": [{kind: {"to": "cart"}}]} for kind in ("allow", "deny")}
FIELDS = {
    "to": "other",
    "from": ["client"],
    "not_from": "other",
    "endpoints": "g*",
    "not_endpoints": ["g*"],
    "methods": "POST",
    "not_methods": "P*",
    "paths": ["/a*", "*b"],
    "not_paths": "/a",
}
"""Of access rules, with a value each."""
MTLS: dict[str, Any] = {"mesh.mtls": {}}

DOWN = {"events": [{"at": "1s", "for": "1s", "service": "cart", "down": True}]}
PUSH = {"events": [{"at": "1s", "set": {"policies.cart.timeout": "1s"}}]}

COMPILED: dict[str, tuple[dict[str, Any], Any]] = {
    "mesh.dataplane": ({}, "none"),
    "policies.*.timeout": ({}, "1s"),
    "policies.*.retries.attempts": (RETRIES, 3),
    "policies.*.retries.per_try_timeout": (RETRIES, "1s"),
    "policies.*.retries.on": (RETRIES, ["reset"]),
    "policies.*.retries.statuses": (RETRIES, [503]),
    "policies.*.retries.previous_hosts": (RETRIES, True),
    "policies.*.retries.host_attempts": ({f"{POLICY}.retries": {"previous_hosts": True}}, 3),
    "policies.*.retries.backoff.base": (RETRIES, "5ms"),
    "policies.*.retries.backoff.max": (RETRIES, "30ms"),
    "policies.*.retries.budget.ratio": (BUDGET, "20%"),
    "policies.*.retries.budget.min_concurrency": (BUDGET, 2),
    "policies.*.connection.connect_timeout": (CONNECTION, "1s"),
    "policies.*.connection.idle_timeout": (CONNECTION, "1s"),
    "policies.*.connection.max_requests": (CONNECTION, 9),
    "policies.*.connection.max_age": (CONNECTION, "1s"),
    "policies.*.balance.kind": ({}, "random"),
    "policies.*.balance.least_request.choices": ({f"{POLICY}.balance": "least_request"}, 3),
    "policies.*.balance.least_request.selection": ({f"{POLICY}.balance": "least_request"}, "full_scan"),
    "policies.*.circuit_breaker.max_connections": ({}, 9),
    "policies.*.circuit_breaker.max_pending": ({}, 9),
    "policies.*.circuit_breaker.max_requests": ({}, 9),
    "policies.*.circuit_breaker.max_retries": ({}, 9),
    "policies.*.outlier_detection.consecutive_5xx": (EJECTIONS, 9),
    "policies.*.outlier_detection.consecutive_gateway_failure": (EJECTIONS, 9),
    "policies.*.outlier_detection.success_rate.hosts": (RATES, 9),
    "policies.*.outlier_detection.success_rate.requests": (RATES, 9),
    "policies.*.outlier_detection.success_rate.factor": (RATES, 2.1),
    "policies.*.outlier_detection.always_eject_one": (EJECTIONS, True),
    "policies.*.outlier_detection.interval": (EJECTIONS, "9s"),
    "policies.*.outlier_detection.base_ejection_time": (EJECTIONS, "9s"),
    "policies.*.outlier_detection.max_ejection_time": (EJECTIONS, "900s"),
    "policies.*.outlier_detection.max_ejection_percent": (EJECTIONS, "9%"),
    "policies.*.outlier_detection.min_health_percent": (EJECTIONS, "9%"),
    "policies.*.outlier_detection.merge_window": (EJECTIONS, "900ms"),
    "policies.*.rate_limit.burst": (LIMIT, 9),
    "policies.*.rate_limit.rate": (LIMIT, "9/s"),
    "policies.*.hedge.after": (HEDGE, "9s"),
    "policies.*.hedge.max": (HEDGE, 9),
    "policies.*.split": ({}, {"v1": 1}),
    "policies.*.fault.delay.percent": (DELAY, "9%"),
    "policies.*.fault.delay.time": (DELAY, "9s"),
    "policies.*.fault.abort.percent": (ABORT, "9%"),
    "policies.*.fault.abort.status": (ABORT, 409),
    "events[0].set": (PUSH, {"policies.cart.timeout": "2s"}),
    "mesh.mtls.mode": (MTLS, "strict"),
    **{f"access[0].{kind}.{key}": (RULES[kind], value) for kind in RULES for key, value in FIELDS.items()},
}
"""By key: what else is written, and a value that makes other documents."""

REFUSED: dict[str, tuple[dict[str, Any], Any]] = {
    "mesh.mtls.handshake": (MTLS, "1ms"),
    "mesh.mtls.round_trips": (MTLS, 2),
    "mesh.proxy.time": ({}, "1ms"),
    "mesh.proxy.workers": ({}, 9),
    "links.*.latency": ({}, "1ms"),
    "links.*.loss": ({}, "9%"),
    "links.*.connect": ({}, "1ms"),
    "policies.*.retries.backoff.jitter": (RETRIES, "50%"),
    "policies.*.balance.peak_ewma.decay": ({}, "9s"),
    "policies.*.balance.peak_ewma.rtt": ({}, "9ms"),
    "policies.*.failure_accrual.max_failures": ({}, 9),
    "policies.*.failure_accrual.min_penalty": ({}, "9s"),
    "policies.*.failure_accrual.max_penalty": ({}, "9s"),
    "policies.*.failure_accrual.jitter": ({}, "9%"),
    "policies.*.retries.budget.min_per_second": (LINKERD, 9),
    "policies.*.retries.budget.ttl": (LINKERD, "9s"),
    "events[0].latency_factor": ({"events": [{"at": "1s", "link": "client -> cart"}]}, 2.0),
    "events[0].loss": ({"events": [{"at": "1s", "link": "client -> cart"}]}, "9%"),
}
"""By key: what else is written, and a value that is told by the key's name."""

TIMED: dict[str, tuple[dict[str, Any], Any]] = {
    "events[0].at": (DOWN, "2s"),
    "events[0].for": (DOWN, "2s"),
    "events[0].service": (DOWN, "other"),
    "events[0].replica": ({"events": [{"at": "1s", "replica": "cart/v1/0", "down": True}]}, "cart/v2/0"),
    "events[0].down": ({"events": [{"at": "1s", "service": "cart", "slow": 2.0}]}, True),
}
"""By key: what else is written, and a value that makes other things happen to the Envoys at other times."""

ELSEWHERE = {
    "schema": "of the file",
    "name": "of the run",
    "description": "of the run",
    "seed": "of the draws, which travel in headers",
    "duration": "of the load",
    "warmup": "of what is measured",
    "drain": "of the launcher",
    "engine": "of a simulation",
    "keep": "of what is measured",
    "services": "processes of meshsim's own",
    "load": "the load generator's, a process of meshsim's own; priorities travel in headers",
    "mesh.push_delay": "of the control plane, a process of meshsim's own",
    "mesh.control_plane": "of the control plane",
    "events[0].replicas": "of the launcher, which starts and ends replicas",
    "events[0].restart": "of the launcher",
    "events[0].version": "of the launcher",
    "events[0].nack": "of the control plane, which has them refuse",
    "mesh.mtls.certificate_ttl": "of certificates, which agents get from the CA",
    "mesh.mtls.rotate_at": "of certificates",
    "mesh.mtls.jitter": "of certificates",
    "mesh.mtls.ca": "of the CA",
    "events[0].component": "of the CA",
    "events[0].rotate_root": "of the CA",
    "events[0].overlap": "of the CA",
    "objectives": "of what is measured",
    "sweep": "of a simulation",
    "tracing": "of spans, which services and load generator leave",
    "mesh.preset": "fills policies before anybody sees them",
    "events[0].slow": "the services'",
    "events[0].errors": "the services'",
    "events[0].link": "of events that are refused",
}


def keys() -> set[str]:
    """Every key that can be written; choices as one, and what is somebody else's as a whole."""
    found = set()
    for key in every_key(Scenario):
        name = key.partition("=")[0].replace("[*]", "[0]", 1)
        found.add(next((other for other in ELSEWHERE if re.match(rf"{re.escape(other)}\b", name)), name))
    return {key for key in found if not any(other.startswith(f"{key}.") for other in found)}


def written(others: dict[str, Any], key: str | None = None, value: Any = None) -> Scenario:
    """The scenario with other things written, and a key's value."""
    overrides = dict(others)
    if key is not None:
        name = key.replace("policies.*", POLICY).replace("links.*", "links.default").removesuffix(".kind")
        overrides[name] = value
    return loads(TEXT, overrides=overrides)


def made(scenario: Scenario) -> Any:
    """All documents of all its proxies, from the start and after each push."""
    ids = [proxy.name for proxy in Topology(scenario).proxies]
    addresses = {id_: ("127.0.0.1", 9000 + number) for number, id_ in enumerate(ids)}
    pushed = [scenario.policies_after(number) for number, event in enumerate(scenario.events) if event.set]
    return [
        documents(Proxy(stage, id_), Path("/run"), addresses=addresses, app=("127.0.0.1", 8000))
        for stage in (scenario, *pushed)
        for id_ in ids
    ]


def test_every_key_is_somebodys() -> None:
    known = [*COMPILED, *REFUSED, *TIMED, *ELSEWHERE]
    assert len(known) == len(set(known))
    assert keys() == set(known)


@pytest.mark.parametrize("key", COMPILED)
def test_a_compiled_key_is_in_the_documents(key: str) -> None:
    others, value = COMPILED[key]
    before, after = written(others), written(others, key, value)
    assert not refusals(before)
    assert not refusals(after)
    assert made(before) != made(after)


@pytest.mark.parametrize("key", REFUSED)
def test_a_refused_key_is_named(key: str) -> None:
    others, value = REFUSED[key]
    name = key.replace("policies.*", POLICY).replace("links.*", "links.default")
    found = refusals(written(others, key, value))
    whole = re.sub(r"(balance|failure_accrual)\..*", r"\1", name)
    assert [line.split(": ")[0] for line in found] == [whole]


@pytest.mark.parametrize("key", TIMED)
def test_a_timed_key_changes_what_happens_to_the_envoys(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, value = TIMED[key]
    happened: list[tuple[str, str]] = []
    for act in ("push", "take_down", "bring_up"):
        monkeypatch.setattr(Envoy, act, lambda envoy, *given, act=act: happened.append((act, envoy.proxy.id)))

    def seen(scenario: Scenario) -> list[tuple[str, str]]:
        """What happens to each Envoy, second by second."""
        happened.clear()
        clock = Envoys(scenario, 7, Options(), tmp_path)._clock
        for second in range(10):
            clock.advance(second)
            happened.append(("second", str(second)))
        return list(happened)

    assert seen(written(others)) != seen(written(others, key, value))
