"""The keys of a scenario that each solver takes into account; any other that is set, it refuses by name.

So a key that is new to the scenario's models is never ignored: whoever adds one declares it here for every
solver whose formulas know it. Keys are patterns (:mod:`meshsim.scenario.settings`); those of `RUN` say
nothing of the mesh. What a declared key may be beside the others is for each solver to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

RUN = {
    "schema", "name", "description", "seed", "duration", "warmup", "drain", "engine", "keep",
    "objectives", "sweep", "tracing",
}  # fmt: skip
"""Keys, with all that lies below them, that say how a run is made, measured and judged."""


def keys(*lines: str) -> frozenset[str]:
    """The patterns that lines such as ``policies.*.hedge: after max`` name, the line's own part included."""
    found = set()
    for line in lines:
        part, _, names = line.partition(": ")
        found.add(part)
        for name in names.split():
            key, equals, choices = f"{part}.{name}".partition("=")
            found |= {f"{key}{equals}{choice}" for choice in choices.split(",")}
    return frozenset(found)


MESH = keys(
    "mesh: dataplane=none,sidecar preset=none,envoy,istio,linkerd proxy.time proxy.workers push_delay",
    "mesh.control_plane: debounce debounce_max time workers ordered",  # act with events, which are refused
    "services.*: startup drain",
    "links.*: latency",
    "services.*: replicas workers queue discipline=fifo holds_worker time errors",
    "services.*: when_abandoned=finish,leave_queue,stop",
    "services.*.live: command env",
    "policies.*.balance: kind=round_robin,random,least_request",
    "policies.*.balance.least_request: choices selection=n_choices,full_scan",
    "load[*]: to priority",
)
SCRIPTS = keys("services.*.script[*][*]: call probability optional sleep")
ENDPOINTS = keys(
    "services.*: path script method=GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS",
    "services.*.script[*][*]: repeat",
    "load[*]: endpoints",
)
DISCIPLINES = keys("services.*: discipline=lifo,priority")
LOSS = keys("links.*: loss")
CONNECTIONS = keys(
    "links.*: connect", "policies.*.connection: connect_timeout idle_timeout max_requests max_age"
)
MTLS = keys(
    "mesh.mtls: mode=strict,permissive,disable handshake round_trips certificate_ttl rotate_at jitter",
    "mesh.mtls.ca: time workers retry.base retry.max",
    "services.*: mtls mtls=strict,permissive,disable",
)
ACCESS = keys(
    "access[*]: allow deny",
    "access[*].allow: to from not_from endpoints not_endpoints methods not_methods paths not_paths",
    "access[*].deny: to from not_from endpoints not_endpoints methods not_methods paths not_paths",
)
OPEN_LOAD = keys(
    "load[*]: rate profile[*].at profile[*].rate profile[*].ramp arrivals.kind=poisson,constant,mmpp,trace",
    "load[*].arrivals.mmpp: rates mean_times",
    "load[*].arrivals.trace: file times",
)
CLOSED_LOAD = keys("load[*]: users think")

RETRIES = keys(
    "policies.*.retries: attempts backoff.base backoff.max backoff.jitter",
    "policies.*.retries: on=5xx,gateway-error,reset,connect-failure,refused-stream,reset-before-request",
    "policies.*.retries: on=retriable-4xx,envoy-ratelimited,per-try-timeout",
    "policies.*.retries: on=cancelled,deadline-exceeded,internal,resource-exhausted,unavailable",
)
STATUSES = keys("policies.*.retries: statuses")
TIMEOUTS = keys("policies.*: timeout retries.per_try_timeout")
DELAYS = keys("policies.*.fault.delay: percent time")
ABORTS = keys("policies.*.fault.abort: percent status")
SPLIT = keys("policies.*: split")
HEDGE = keys("policies.*.hedge: after max")
RATE_LIMIT = keys("policies.*.rate_limit: burst rate")
BREAKER = keys("policies.*.circuit_breaker: max_connections max_pending max_requests")
LEFT_OUT = keys(
    "policies.*.circuit_breaker: max_retries",
    "policies.*.retries.budget: ratio min_concurrency min_per_second ttl",
    "policies.*.outlier_detection: consecutive_5xx consecutive_gateway_failure always_eject_one",
    "policies.*.outlier_detection.success_rate: hosts requests factor",
    "policies.*.outlier_detection: interval base_ejection_time max_ejection_time",
    "policies.*.outlier_detection: max_ejection_percent min_health_percent merge_window",
)
"""Solved as if they never acted; where they might, the solution says so."""

PRODUCT_FORM = MESH | MTLS | ACCESS | CONNECTIONS | RETRIES | STATUSES | TIMEOUTS | DELAYS | ABORTS | SPLIT
PRODUCT_FORM |= LEFT_OUT
"""Of the calls to queues: a network with product form (Jackson 1957; Kelly 1979)."""
CLOSED = PRODUCT_FORM | SCRIPTS | ENDPOINTS | DISCIPLINES | LOSS | HEDGE | BREAKER | CLOSED_LOAD
"""One closed load (:mod:`meshsim.theory.recognise.closed`)."""
OPEN = PRODUCT_FORM | SCRIPTS | ENDPOINTS | DISCIPLINES | LOSS | HEDGE | BREAKER | RATE_LIMIT | OPEN_LOAD
"""Open loads (:mod:`meshsim.theory.recognise.analysis`)."""
IMPATIENT = MESH | RETRIES | TIMEOUTS | SPLIT | LEFT_OUT | keys("load[*]: rate")
"""A lone M/M/1 whose clients give up (:mod:`meshsim.theory.recognise.impatient`)."""
BUDGETED = MESH | DISCIPLINES | OPEN_LOAD | RETRIES | DELAYS | SPLIT
BUDGETED |= keys(
    "policies.*.retries.budget: ratio min_per_second ttl",
    "policies.*.circuit_breaker: max_retries",  # a budget takes its place
)
"""Linkerd's budget over independent errors (:mod:`meshsim.theory.recognise.budgeted`)."""
LOSS_SYSTEM = MESH | DELAYS | ABORTS | LEFT_OUT | keys("policies.*: timeout circuit_breaker.max_requests")
"""Of the calls to a service: a breaker in front of unlimited workers (Erlang 1917)."""


def unknown(known: frozenset[str], set_keys: Iterable[tuple[str, str]]) -> list[str]:
    """The places of what is set that a solver does not declare; parts as a whole.

    Args:
        known: what it declares; the keys of a version, and of an endpoint, are those of its service.
        set_keys: the keys that are set, each with its place.
    """
    found: list[str] = []
    for pattern, place in set_keys:
        own = pattern.replace("versions.*.", "").replace("endpoints.*.", "")
        declared = own in known or re.split(r"[.=[]", pattern)[0] in RUN
        if not declared and not (found and place.startswith(f"{found[-1]}.")):
            found.append(place)
    return found
