"""Keys as other meshes have them: the suggestion is the key that means the same, or that nothing does."""

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads
from meshsim.scenario.schema import cached_schema
from meshsim.scenario.synonyms import NOT_MODELLED, SYNONYMS

SCENARIO = """
duration: 10s
load: [{{to: a, rate: 1/s{load}}}]
services: {{a: {{script: [{{call: b}}]{service}}}, b: {{}}}}
policies: {{b: {{{policy}}}}}
"""


def keys() -> set[str]:
    """All that a scenario may have anywhere."""
    schema = cached_schema()
    forms = [schema, *schema["$defs"].values()]
    return {key for form in forms for key in form.get("properties", {})}


@pytest.mark.parametrize(
    ("where", "text", "said"),
    [
        ("policy", "retries: {retry_on: [5xx]}", "retry_on: unknown key (write on)"),
        ("policy", "retries: {num_retries: 2}", "num_retries: unknown key (write attempts)"),
        ("policy", "retries: {retriable_status_codes: [503]}", "unknown key (write statuses)"),
        ("policy", "retries: {host_selection_retry_max_attempts: 5}", "unknown key (write host_attempts)"),
        ("policy", "retries: {retryHostPredicate: []}", "unknown key (write previous_hosts)"),
        ("policy", "retries: {perTryTimeout: 2s}", "perTryTimeout: unknown key (write per_try_timeout)"),
        ("policy", "circuit_breaker: {max_pending_requests: 2}", "unknown key (write max_pending)"),
        ("policy", "circuit_breaker: {http1MaxPendingRequests: 2}", "unknown key (write max_pending)"),
        ("policy", "connect_timeout: 2s", "b.connect_timeout: unknown key (write connection)"),
        ("policy", "connection: {maxRequestsPerConnection: 2}", "unknown key (write max_requests)"),
        ("policy", "connection: {max_connection_duration: 2s}", "unknown key (write max_age)"),
        ("policy", "connection_pool: {}", "unknown key (write circuit_breaker or connection)"),
        ("policy", "connection: {keep_alive: 2s}", "(write services.b.keep_alive, which is the server's)"),
        ("policy", "keep_alive: 2s", "(write services.b.keep_alive, which is the server's)"),
        ("service", ", keepalive_timeout: 2s", "unknown key (write keep_alive)"),
        ("service", ", connect_timeout: 2s", "(write connect_timeout under policies.a.connection)"),
        ("service", ", handshake: 2ms", "unknown key (write links.default.connect)"),
        ("service", ", versions: {v1: {script: [{call: b, endpoint: x}]}}", "(name it in the call, such as"),
        ("service", ", routes: {}", "unknown key (write endpoints)"),
        ("service", ", preStop: 2s", "preStop: unknown key (write drain)"),
        ("service", ", terminationGracePeriodSeconds: 30", "unknown key (write drain)"),
        ("service", ", minReadySeconds: 2", "unknown key (write startup)"),
        (
            "service",
            ", idle_timeout: 2s",
            "(write keep_alive; the caller's is policies.a.connection.idle_timeout)",
        ),
        ("policy", "outlier_detection: {always_eject_one_host: true}", "(write always_eject_one)"),
        (
            "policy",
            "outlier_detection: {consecutiveGatewayErrors: 5}",
            "unknown key (write consecutive_gateway_failure)",
        ),
        ("policy", "outlier_detection: {success_rate_minimum_hosts: 5}", "(write success_rate)"),
        ("policy", "outlier_detection: {success_rate: {success_rate_stdev_factor: 1900}}", "(write factor)"),
        ("policy", "outlier_detection: {enforcing_success_rate: 5}", "is not modelled (leave it out)"),
        ("policy", "circuit_breaking: {}", "b.circuit_breaking: unknown key (write failure_accrual)"),
        ("policy", "failure_accrual: {consecutive_failures: 7}", "unknown key (write max_failures)"),
        ("policy", "failure_accrual: {failure-accrual-consecutive-min-penalty: 1s}", "(write min_penalty)"),
        ("policy", "failure_accrual: {jitter_ratio: 0.5}", "unknown key (write jitter)"),
        ("policy", "timout: 2s", "timout: unknown key (did you mean timeout?)"),
        ("service", ", cpu: 2", "a.cpu: unknown key (write workers)"),
        ("service", ", concurrency: 2", "a.concurrency: unknown key (write workers)"),
        ("service", ", latency: 2ms", "a.latency: unknown key (write time)"),
        ("load", ", concurrency: 2", "load[0].concurrency: unknown key (write users)"),
    ],
)
def test_what_another_mesh_calls_it_is_told_as_ours(where: str, text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(SCENARIO.format(**{"policy": "", "service": "", "load": "", where: text}))
    assert said in str(caught.value)


def test_every_suggestion_is_a_key_and_nothing_that_is_a_key_is_called_lacking() -> None:
    assert set(SYNONYMS) <= keys()
    assert not set(NOT_MODELLED.split()) & keys()
