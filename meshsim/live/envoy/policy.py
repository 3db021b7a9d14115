"""One policy as Envoy has it: what becomes part of a route, and what of a cluster.

=====================================  =====================================================================
policy                                 Envoy
=====================================  =====================================================================
``timeout``                            route ``timeout``; 0 is none, where Envoy's default would be 15 s
``retries``                            route ``retry_policy``; ``attempts`` is ``num_retries``
``retries.budget`` (Envoy's)           cluster ``circuit_breakers.thresholds.retry_budget``
``hedge``                              route ``hedge_policy``, a ``retry_policy`` that only time sets off
``circuit_breaker``                    cluster ``circuit_breakers.thresholds``; unlimited is 2^32 - 1
``connection``                         cluster ``connect_timeout``, ``common_http_protocol_options``
``balance``                            cluster ``load_balancing_policy``
``outlier_detection``                  cluster ``outlier_detection``; detectors that are not written are off
``outlier_detection.min_health_...``   cluster ``common_lb_config.healthy_panic_threshold``
``outlier_detection.merge_window``     cluster ``common_lb_config.update_merge_window``
``split``                              route ``weighted_clusters``, a cluster for each version
``fault``                              route, for the filter ``fault``
``rate_limit``                         virtual host, for the filter ``local_ratelimit``; a route if its own
=====================================  =====================================================================

What a push changes of a route takes effect in flight and keeps connections, gauges and ejections. What it
changes of a cluster makes Envoy build the cluster anew, without them.

Source: envoyproxy/envoy, api/envoy/config (route/v3, cluster/v3, endpoint/v3) and api/envoy/extensions; the
defaults that need switching off are those of SEMANTICS 2 to 5, measured on 1.40.
"""

from __future__ import annotations

from meshsim import units
from meshsim.live.envoy.numbers import Json, count, duration, fill, share, weights
from meshsim.scenario.model import Balance, Hedge, Policy, RateLimit, Retries
from meshsim.scenario.policy import Connection

TYPE = "type.googleapis.com/"
FAULT = "envoy.filters.http.fault"
RATE_LIMIT = "envoy.filters.http.local_ratelimit"
FAULT_TYPE = TYPE + "envoy.extensions.filters.http.fault.v3.HTTPFault"
RATE_LIMIT_TYPE = TYPE + "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
PREVIOUS_HOSTS_TYPE = TYPE + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
BALANCING_TYPE = TYPE + "envoy.extensions.load_balancing_policies."
UPSTREAM = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
CONNECT_TIMEOUT = "5s"
"""Where none is written: Envoy's default."""
SHORTEST_BACKOFF = 0.001
"""Envoy draws whole ms below the bound, so a bound of 1 ms is always 0: no back-off."""

ALWAYS: Json = {"default_value": {"numerator": 100}}
OFF: Json = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "disabled": True}
"""Of a filter, on one route."""
EVERYTHING: Json = {"prefix": "/"}


def cluster_name(service: str, version: str) -> str:
    """The cluster of a version, or, with ``""``, of the whole service."""
    return f"{service}/{version}" if version else service


def route_name(service: str, endpoint: str) -> str:
    """What the log calls a route; `called` takes it apart."""
    return f"{service}/{endpoint}" if endpoint else service


def called(name: str) -> tuple[str, str]:
    """Service and endpoint of a route, by its name."""
    service, _, endpoint = name.partition("/")
    return service, endpoint


def page(method: str, path: str) -> Json:
    """What matches the requests for one endpoint; a query is no part of the path."""
    return {"path": path, "headers": [{"name": ":method", "string_match": {"exact": method}}]}


def route(policy: Policy, service: str, endpoint: str = "", match: Json = EVERYTHING) -> Json:
    """A route to an upstream service: what matches goes there, as the policy says."""
    action: Json = {"timeout": duration(policy.timeout)}
    if policy.split:
        action["weighted_clusters"] = {"clusters": _split(policy, service)}
    else:
        action["cluster"] = cluster_name(service, "")
    if policy.retries is not None:
        action["retry_policy"] = retry_policy(policy.retries)
    elif policy.hedge is not None:
        action["retry_policy"] = hedged_tries(policy.hedge)
        action["hedge_policy"] = {"hedge_on_per_try_timeout": True}
    return {
        "name": route_name(service, endpoint),
        "match": match,
        "route": action,
        "typed_per_filter_config": faults(policy),
    }


def _split(policy: Policy, service: str) -> list[Json]:
    shares = zip(policy.split, weights(policy.split.values()), strict=True)
    return [{"name": cluster_name(service, version), "weight": weight} for version, weight in shares]


def retry_policy(retries: Retries) -> Json:
    """When a try is tried again, and whether its host may be one that was tried."""
    ceiling = max(retries.backoff.ceiling if retries.backoff.base else 0.0, SHORTEST_BACKOFF)
    base = min(max(retries.backoff.base, SHORTEST_BACKOFF), ceiling)
    on = [*retries.on, "retriable-status-codes"] if retries.statuses else retries.on
    config: Json = {
        "retry_on": ",".join(on),
        "num_retries": count(retries.attempts),
        "retry_back_off": {"base_interval": duration(base), "max_interval": duration(ceiling)},
    }
    if retries.statuses:
        config["retriable_status_codes"] = list(retries.statuses)
    if retries.previous_hosts:
        config["retry_host_predicate"] = [
            {"name": PREVIOUS_HOSTS, "typed_config": {"@type": PREVIOUS_HOSTS_TYPE}}
        ]
        config["host_selection_retry_max_attempts"] = retries.host_attempts
    if retries.per_try_timeout:
        config["per_try_timeout"] = duration(retries.per_try_timeout)
    return config


def hedged_tries(hedge: Hedge) -> Json:
    """Second tries beside slow first ones: retries at once, after a per-try time-out that stops nothing.

    Nothing but a time-out is retried: the only condition is a list of status codes that is empty.
    """
    return {
        "retry_on": "retriable-status-codes",
        "num_retries": hedge.max,
        "per_try_timeout": duration(hedge.after),
        "retry_back_off": dict.fromkeys(("base_interval", "max_interval"), duration(SHORTEST_BACKOFF)),
    }


def faults(policy: Policy) -> Json:
    """What the filter for faults does on a route; nothing if it is not named."""
    fault: Json = {}
    if policy.fault.delay is not None and policy.fault.delay.percent:
        time = policy.fault.delay.time.build().mean
        if time:
            fault["delay"] = {"fixed_delay": duration(time), "percentage": share(policy.fault.delay.percent)}
    if policy.fault.abort is not None:
        abort = policy.fault.abort
        fault["abort"] = {"http_status": abort.status, "percentage": share(abort.percent)}
    return {FAULT: {"@type": FAULT_TYPE, **fault}} if fault else {}


def rate_limit(limit: RateLimit | None, name: str) -> Json:
    """What the filter for rate limits does on a route, or on all of a virtual host, which share a bucket."""
    if limit is None:
        return {RATE_LIMIT: OFF}
    tokens, seconds = fill(limit.rate)
    bucket = {
        "max_tokens": count(limit.burst),
        "tokens_per_fill": tokens,
        "fill_interval": duration(seconds),
    }
    config = {"@type": RATE_LIMIT_TYPE, "stat_prefix": name, "token_bucket": bucket}
    return {RATE_LIMIT: {**config, "filter_enabled": ALWAYS, "filter_enforced": ALWAYS}}


def cluster(policy: Policy) -> Json:
    """What a policy says of a cluster, beside its endpoints."""
    detection = policy.outlier_detection
    panic = 0.0 if detection is None else detection.min_health_percent
    window = 0.0 if detection is None else detection.merge_window
    config: Json = {
        **connections(policy.connection),
        "circuit_breakers": {"thresholds": [thresholds(policy)]},
        "load_balancing_policy": balancing(policy.balance),
        "common_lb_config": {
            "healthy_panic_threshold": {"value": round(100 * panic)},
            "update_merge_window": duration(window),  # left out, Envoy's default would be 1 s
        },
    }
    if detection is not None:
        gateway = detection.consecutive_gateway_failure
        rates = detection.success_rate
        config["outlier_detection"] = {
            "consecutive_5xx": count(detection.consecutive_5xx),
            "consecutive_gateway_failure": count(gateway or 0),
            "interval": duration(detection.interval),
            "base_ejection_time": duration(detection.base_ejection_time),
            "max_ejection_time": duration(detection.max_ejection_time),
            "max_ejection_time_jitter": "0s",
            "max_ejection_percent": round(100 * detection.max_ejection_percent),
            "always_eject_one_host": detection.always_eject_one,
            "enforcing_consecutive_5xx": 100,
            "enforcing_consecutive_gateway_failure": 0 if gateway is None else 100,
            "enforcing_success_rate": 0 if rates is None else 100,
            "enforcing_failure_percentage": 0,
        }
        if rates is not None:
            config["outlier_detection"] |= {
                "success_rate_minimum_hosts": count(rates.hosts),
                "success_rate_request_volume": count(rates.requests),
                "success_rate_stdev_factor": round(1000 * rates.factor),
            }
    return config


def connections(connection: Connection | None) -> Json:
    """How long connections of HTTP/1.1 take to open, and how they end."""
    protocol: Json = {"@type": TYPE + UPSTREAM, "explicit_http_config": {"http_protocol_options": {}}}
    timeout = CONNECT_TIMEOUT
    if connection is not None:
        timeout = duration(connection.connect_timeout) if connection.connect_timeout else CONNECT_TIMEOUT
        ends: Json = {
            "idle_timeout": duration(connection.idle_timeout)
        }  # left out, Envoy's default would be 1 h
        if connection.max_requests != units.UNLIMITED:
            ends["max_requests_per_connection"] = count(connection.max_requests)
        if connection.max_age:
            ends["max_connection_duration"] = duration(connection.max_age)
        protocol["common_http_protocol_options"] = ends
    return {"connect_timeout": timeout, "typed_extension_protocol_options": {UPSTREAM: protocol}}


def thresholds(policy: Policy) -> Json:
    """The breaker's gauges, and the budget where there is one: it then counts, and `max_retries` does not."""
    limits = policy.circuit_breaker
    config: Json = {
        "max_connections": count(limits.max_connections),
        "max_pending_requests": count(limits.max_pending),
        "max_requests": count(limits.max_requests),
        "max_retries": count(limits.max_retries),
    }
    budget = None if policy.retries is None else policy.retries.budget
    if budget is not None:
        config["retry_budget"] = {
            "budget_percent": {"value": 100 * budget.ratio},
            "min_retry_concurrency": 3 if budget.min_concurrency is None else count(budget.min_concurrency),
        }
    return config


def balancing(balance: Balance) -> Json:
    """The balancer and its options."""
    options: Json = {}
    if balance.kind == "least_request" and balance.least_request.selection == "full_scan":
        options = {"selection_method": "FULL_SCAN"}
    elif balance.kind == "least_request":
        options = {"choice_count": balance.least_request.choices}
    kind = "".join(word.capitalize() for word in balance.kind.split("_"))
    config = {"@type": f"{BALANCING_TYPE}{balance.kind}.v3.{kind}", **options}
    name = f"envoy.load_balancing_policies.{balance.kind}"
    return {"policies": [{"typed_extension_config": {"name": name, "typed_config": config}}]}
