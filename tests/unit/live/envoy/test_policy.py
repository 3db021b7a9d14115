"""Policies as parts of Envoy's routes and clusters."""

from __future__ import annotations

from typing import Any

import pytest

from meshsim.live.envoy import policy as compiled
from meshsim.scenario.model import Policy, Retries

UNLIMITED = 4294967295


def written(**fields: Any) -> Policy:
    return Policy.model_validate(fields)


def test_silence_means_absence_where_envoy_has_defaults() -> None:
    route = compiled.route(Policy(), "cart")["route"]
    assert route == {"timeout": "0.000s", "cluster": "cart"}  # Envoy's own default is 15 s
    cluster = compiled.cluster(Policy())
    assert cluster["circuit_breakers"]["thresholds"] == [
        {
            "max_connections": UNLIMITED,
            "max_pending_requests": UNLIMITED,
            "max_requests": UNLIMITED,
            "max_retries": UNLIMITED,
        }
    ]
    assert cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}
    assert "outlier_detection" not in cluster
    assert compiled.faults(Policy()) == {}


def test_retries() -> None:
    policy = written(
        timeout="1s",
        retries={
            "attempts": 2,
            "per_try_timeout": "250ms",
            "on": ["5xx", "reset"],
            "backoff": {"base": "10ms"},
        },
    )
    assert compiled.route(policy, "cart")["route"]["retry_policy"] == {
        "retry_on": "5xx,reset",
        "num_retries": 2,
        "per_try_timeout": "0.250s",
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
    }


def test_connections_end_as_envoy_does_only_where_nothing_is_written() -> None:
    plain = compiled.connections(None)
    assert plain["connect_timeout"] == "5s"
    assert "common_http_protocol_options" not in plain["typed_extension_protocol_options"][compiled.UPSTREAM]
    keys = {"connect_timeout": "250ms", "idle_timeout": "2s", "max_requests": 100, "max_age": "1m"}
    said = compiled.cluster(written(connection=keys))
    assert said["connect_timeout"] == "0.250s"
    assert said["typed_extension_protocol_options"][compiled.UPSTREAM]["common_http_protocol_options"] == {
        "idle_timeout": "2.000s",
        "max_requests_per_connection": 100,
        "max_connection_duration": "60.000s",
    }


def test_what_is_not_written_of_a_connection_never_ends_it() -> None:
    said = compiled.cluster(written(connection={"max_age": "1s"}))
    options = said["typed_extension_protocol_options"][compiled.UPSTREAM]["common_http_protocol_options"]
    assert options == {"idle_timeout": "0.000s", "max_connection_duration": "1.000s"}  # Envoy's own: 1 h
    assert said["connect_timeout"] == "5s"


def test_statuses_are_a_condition_with_a_list() -> None:
    def made(**retries: object) -> dict[str, object]:
        return compiled.route(written(retries=retries), "cart")["route"]["retry_policy"]

    alone = made(statuses=[503, 429])
    assert (alone["retry_on"], alone["retriable_status_codes"]) == ("retriable-status-codes", [503, 429])
    assert made(statuses=[503], on=["reset"])["retry_on"] == "reset,retriable-status-codes"
    assert "retriable_status_codes" not in made()


def test_previous_hosts_are_a_predicate() -> None:
    config = compiled.retry_policy(Retries(previous_hosts=True, host_attempts=5))
    (predicate,) = config["retry_host_predicate"]
    assert predicate["name"] == "envoy.retry_host_predicates.previous_hosts"
    assert predicate["typed_config"]["@type"].endswith("PreviousHostsPredicate")
    assert config["host_selection_retry_max_attempts"] == 5
    assert not {"retry_host_predicate", "host_selection_retry_max_attempts"} & set(
        compiled.retry_policy(Retries(host_attempts=5))
    )


@pytest.mark.parametrize(
    ("base", "ceiling", "bounds"),
    [
        ("0s", None, ("0.001s", "0.001s")),
        ("0s", "250ms", ("0.001s", "0.001s")),  # doubling nothing makes nothing
        ("25ms", "10ms", ("0.010s", "0.010s")),
        ("5ms", "5ms", ("0.005s",) * 2),
    ],
)
def test_backoffs_that_envoy_would_not_take_are_written_so_that_they_mean_the_same(
    base: str, ceiling: str | None, bounds: tuple[str, str]
) -> None:
    backoff = {"base": base, **({} if ceiling is None else {"max": ceiling})}
    policy = written(retries={"backoff": backoff})
    assert policy.retries is not None
    made = compiled.retry_policy(policy.retries)["retry_back_off"]
    assert (made["base_interval"], made["max_interval"]) == bounds


def test_no_retries_and_zero_retries_are_different_things() -> None:
    assert "retry_policy" not in compiled.route(written(), "cart")["route"]
    assert (
        compiled.route(written(retries={"attempts": 0}), "cart")["route"]["retry_policy"]["num_retries"] == 0
    )


def test_hedges_are_retries_after_a_time_out_that_stops_nothing() -> None:
    action = compiled.route(written(hedge={"after": "150ms", "max": 2}), "cart")["route"]
    assert action["hedge_policy"] == {"hedge_on_per_try_timeout": True}
    assert action["retry_policy"] == {
        "retry_on": "retriable-status-codes",  # none of which are named
        "num_retries": 2,
        "per_try_timeout": "0.150s",
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
    }
    assert "hedge_policy" not in compiled.route(written(), "cart")["route"]


def test_a_budget_is_part_of_the_breaker() -> None:
    (limits,) = compiled.cluster(written(retries={"budget": {"ratio": "25%"}}))["circuit_breakers"][
        "thresholds"
    ]
    assert limits["retry_budget"] == {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 3}
    (limits,) = compiled.cluster(written(retries={"budget": {"min_concurrency": 5_000_000_000}}))[
        "circuit_breakers"
    ]["thresholds"]
    assert limits["retry_budget"]["min_retry_concurrency"] == UNLIMITED


def test_only_consecutive_errors_eject() -> None:
    policy = written(
        outlier_detection={
            "consecutive_5xx": 3, "interval": "1s", "base_ejection_time": "2s", "max_ejection_percent": "50%",
            "min_health_percent": "40%", "merge_window": "1s",
        }
    )  # fmt: skip
    cluster = compiled.cluster(policy)
    detection = cluster["outlier_detection"]
    assert detection["consecutive_5xx"] == 3
    assert detection["max_ejection_percent"] == 50
    assert detection["max_ejection_time"] == "300.000s"
    enforced = {key: value for key, value in detection.items() if key.startswith("enforcing")}
    assert {key for key, value in enforced.items() if value} == {"enforcing_consecutive_5xx"}
    assert not detection["always_eject_one_host"]
    assert cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 40}
    assert cluster["common_lb_config"]["update_merge_window"] == "1.000s"
    unwritten = compiled.cluster(written(outlier_detection={}))["common_lb_config"]
    assert unwritten["update_merge_window"] == "0.000s", "Envoy's default would be a second"


def test_other_detectors_eject_once_they_are_written() -> None:
    policy = written(
        outlier_detection={
            "consecutive_gateway_failure": 2, "always_eject_one": True, "success_rate": {"factor": 1.2},
        }
    )  # fmt: skip
    detection = compiled.cluster(policy)["outlier_detection"]
    assert detection["consecutive_gateway_failure"] == 2
    assert detection["enforcing_consecutive_gateway_failure"] == 100
    assert detection["always_eject_one_host"]
    assert detection["enforcing_success_rate"] == 100
    rates = {key: value for key, value in detection.items() if key.startswith("success_rate")}
    assert rates == {
        "success_rate_minimum_hosts": 5,
        "success_rate_request_volume": 100,
        "success_rate_stdev_factor": 1200,
    }


@pytest.mark.parametrize(
    ("balance", "name", "options"),
    [
        ("round_robin", "round_robin.v3.RoundRobin", {}),
        ("random", "random.v3.Random", {}),
        ({"least_request": {"choices": 3}}, "least_request.v3.LeastRequest", {"choice_count": 3}),
        (
            {"least_request": {"selection": "full_scan"}},
            "least_request.v3.LeastRequest",
            {"selection_method": "FULL_SCAN"},
        ),
    ],
)
def test_balancers(balance: object, name: str, options: dict[str, object]) -> None:
    (made,) = compiled.balancing(written(balance=balance).balance)["policies"]
    config = made["typed_extension_config"]["typed_config"]
    assert config.pop("@type").endswith(name)
    assert config == options


def test_a_split_has_a_cluster_for_each_version() -> None:
    route = compiled.route(written(split={"v1": 95, "v2": 5}), "cart")["route"]
    assert route["weighted_clusters"]["clusters"] == [
        {"name": "cart/v1", "weight": 95},
        {"name": "cart/v2", "weight": 5},
    ]
    assert "cluster" not in route


def test_faults_and_rate_limits_are_filters() -> None:
    policy = written(
        fault={"delay": {"percent": "10%", "time": "2s"}, "abort": {"percent": "0.5%", "status": 500}},
        rate_limit={"burst": 10, "rate": "30/m"},
    )
    fault = compiled.faults(policy)[compiled.FAULT]
    limit = compiled.rate_limit(policy.rate_limit, "cart")[compiled.RATE_LIMIT]
    assert fault["delay"]["fixed_delay"] == "2.000s"
    assert fault["delay"]["percentage"] == {"numerator": 100_000, "denominator": "MILLION"}
    assert fault["abort"] == {"http_status": 500, "percentage": {"numerator": 5000, "denominator": "MILLION"}}
    assert limit["token_bucket"] == {"max_tokens": 10, "tokens_per_fill": 1, "fill_interval": "2.000s"}
    assert limit["filter_enabled"] == limit["filter_enforced"] == {"default_value": {"numerator": 100}}
    assert compiled.rate_limit(None, "cart")[compiled.RATE_LIMIT]["disabled"]
