"""The JSON Schema is valid, and says of the forms what the loader says."""

import jsonschema
import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads, schema
from meshsim.scenario.document import parse

BASE = "duration: 10s\nservices: {a: {}, b: {}}\nload: [{to: a, rate: 1/s}]\n"


@pytest.fixture(scope="module")
def validator():
    whole = schema()
    jsonschema.Draft202012Validator.check_schema(whole)
    return jsonschema.Draft202012Validator(whole)


def test_it_is_a_copy():
    schema()["properties"].clear()
    assert "services" in schema()["properties"]


def test_keys_are_described():
    whole = schema()
    assert "warm-up included" in whole["properties"]["duration"]["description"]
    assert whole["$defs"]["Event"]["properties"]["for"]["description"].startswith("how long")
    assert whole["$defs"]["Service"]["properties"]["workers"]["default"] == "unlimited"
    assert whole["$defs"]["OutlierDetection"]["properties"]["interval"]["default"] == "10s"
    assert "title" not in whole["$defs"]["Service"]


def test_the_whole_syntax(whole, validator):
    validator.validate(parse(whole, "s").value)


def time(text):
    return BASE.replace("a: {}", f"a: {{time: {text}}}")


def policy(text):
    return f"{BASE}policies: {{a: {text}}}"


def load(text):
    return BASE.replace("{to: a, rate: 1/s}", text)


SECURED = """mesh:
  dataplane: sidecar
  mtls: {mode: strict, handshake: 2ms, ca: {time: 5ms, workers: 1, retry: {max: 10s}}}
access: [{allow: {to: a, from: [b, "cl*"], methods: GET, paths: ["/x*"]}}, {deny: {to: "*", not_from: "*"}}]
events:
  - {at: 1s, for: 1s, component: ca, down: true}
  - {at: 2s, component: ca, rotate_root: true, overlap: 1s}
  - {at: 3s, set: {mesh.mtls.mode: disable, services.b.mtls: strict, access: []}}
"""
GOOD = [
    BASE + SECURED,
    BASE,
    BASE + "schema: 1\nwarmup: auto\ndrain: 5s\nseed: 0\n",
    BASE + "warmup: 0\n",
    *map(
        time,
        [
            "5ms",
            "0",
            "{constant: 5ms}",
            "{exponential: 5ms}",
            "{erlang: {mean: 5ms, k: 3}}",
            "{gamma: {mean: 5ms, cv: 2}}",
            "{weibull: {mean: 5ms, shape: 0.5}}",
            "{pareto: {mean: 5ms, shape: 1.5}}",
            "{uniform: {low: 0, high: 1.5e-3s}}",
            "{empirical: {values: [1ms, 2ms]}}",
            "{mixture: [{weight: 1, uniform: {low: 1ms, high: 2ms}}]}",
            "{mixture: [{weight: 2, mixture: [{weight: 1, constant: 1ms}]}]}",
            "{mixture: [{weight: 2, sum: [1ms, {exponential: 1ms}]}]}",
            "{sum: [1ms, {mixture: [{weight: 1, constant: 1ms}]}]}",
        ],
    ),
    *map(
        policy,
        [
            "{}",
            "{timeout: 0}",
            "{balance: round_robin}",
            "{balance: {least_request: {choices: 2}}}",
            "{balance: {least_request: {}}}",
            "{balance: {peak_ewma: {decay: 10s, rtt: 30ms}}}",
            "{failure_accrual: {max_failures: 3, min_penalty: 1s, max_penalty: 1m, jitter: 0.5}}",
            "{failure_accrual: {}, outlier_detection: null}",
            "{balance: {}}",
            "{retries: null}",
            "{retries: {backoff: {max: 250ms, jitter: 100%}}}",
            "{retries: {attempts: unlimited, on: [5xx, gateway-error]}}",
            "{retries: {budget: {ratio: 20%, ttl: 10s, min_per_second: 5}}}",
            "{circuit_breaker: {max_requests: 0, max_retries: unlimited}}",
            "{fault: {delay: {percent: 0.5, time: {exponential: 1s}}}}",
        ],
    ),
    *map(
        load,
        [
            "{to: a, rate: 1/s, arrivals: constant, priority: -3}",
            "{to: a, arrivals: {mmpp: {rates: [0/s, 1/s], mean_times: [1s, 1s]}}}",
            "{to: a, users: 3, think: 1s}",
            "{to: a, users: 3}",
            "{to: a, profile: [{at: 0s, rate: 0/s}, {at: 1s, rate: 5/s, ramp: 1s}]}",
        ],
    ),
    BASE.replace("a: {}", "a: {script: [{call: b}, [{call: b, optional: true}, {sleep: 1ms}], {sleep: 0}]}"),
    BASE.replace("a: {}", "a: {workers: unlimited, queue: 0, versions: {v1: {}, v2: {replicas: 2}}}"),
    BASE + "events: [{at: 1s, for: 1s, service: a, slow: 2}, {at: 0s, set: {policies.a.timeout: 1s}}]",
    BASE + "links: {default: {loss: 0.01}}\nobjectives: [{service: a, p99: 1s, success: 99%}]",
    BASE + "sweep: {duration: [10s, 20s], 'load[0].rate': '1/s:9/s:3'}",
    BASE + "mesh: {dataplane: sidecar, preset: istio, proxy: {time: 1ms, workers: 2}, push_delay: 100ms}",
]
BAD = [
    "duration: 10s\nservices: {a: {}}\n",
    BASE.replace("duration: 10s\n", ""),
    BASE.replace("10s", "10"),
    BASE.replace("10s", "0s"),
    BASE.replace("10s", "-1s"),
    BASE.replace("{a: {}, b: {}}", "{}"),
    BASE + "polcies: {}",
    BASE + "schema: 2",
    BASE + "seed: -1",
    BASE + "seed: x",
    BASE + "warmup: automatic",
    BASE + "engine: simpi",
    BASE + "sweep: {}",
    BASE + "sweep: {duration: []}",
    BASE + "sweep: {duration: 5s}",
    BASE + "nodes: {a: [a]}",
    BASE + "name: 5",
    *map(
        time,
        [
            "5",
            "''",
            "{}",
            "[5ms]",
            "{exponentiel: 5ms}",
            "{exponential: 5ms, constant: 5ms}",
            "{exponential: 5}",
            "{erlang: {mean: 5ms}}",
            "{erlang: {mean: 5ms, k: 0}}",
            "{gamma: {mean: 5ms, cv: 0}}",
            "{gamma: {mean: 5ms, cv: 1, shape: 1}}",
            "{pareto: {mean: 5ms, shape: 1}}",
            "{mixture: []}",
            "{sum: []}",
            "{sum: 5ms}",
            "{sum: [5]}",
            "{mixture: [{weight: 1}]}",
            "{mixture: [{constant: 5ms}]}",
            "{mixture: [{weight: 1, constant: 5ms, exponential: 5ms}]}",
            "{mixture: [{weight: 1, exponentiel: 5ms}]}",
        ],
    ),
    *map(
        policy,
        [
            "5",
            "null",
            "{timeout: 5}",
            "{timeot: 5s}",
            "{balance: fastest}",
            "{balance: maglev}",
            "{balance: {random: {}}}",
            "{balance: {least_request: {choices: 1}}}",
            "{balance: {kind: random}}",
            "{retries: {on: []}}",
            "{retries: {on: 5xx}}",
            "{retries: {on: [6xx]}}",
            "{retries: {attempts: -1}}",
            "{retries: {budget: {ratio: 120%}}}",
            "{rate_limit: {burst: 1}}",
            "{rate_limit: {burst: 1, rate: 0/s}}",
            "{hedge: {after: 0ms}}",
            "{hedge: {}}",
            "{split: {v1: x}}",
            "{fault: {abort: {status: 99}}}",
            "{circuit_breaker: {max_requests: many}}",
        ],
    ),
    *map(
        load,
        [
            "5",
            "{rate: 1/s}",
            "{to: a, rate: 1}",
            "{to: a, rate: 0/s}",
            "{to: a, rate: 1/s, arrivals: poison}",
            "{to: a, arrivals: mmpp}",
            "{to: a, arrivals: {mmpp: {rates: [1/s], mean_times: [1s]}}}",
            "{to: a, rate: 1/s, arrivals: {kind: poisson}}",
            "{to: a, arrivals: {trace: {times: [1]}}}",
            "{to: a, users: 0}",
            "{to: a, profile: [{rate: 1/s}]}",
        ],
    ),
    BASE.replace("a: {}", "a: {workers: 0}"),
    BASE.replace("a: {}", "a: {replicas: '3'}"),
    BASE.replace("a: {}", "a: {replicas: true}"),
    BASE.replace("a: {}", "a: {holds_worker: 1}"),
    BASE.replace("a: {}", "a: {script: [[]]}"),
    BASE.replace("a: {}", "a: {script: [b]}"),
    BASE.replace("a: {}", "a: {script: [{call: b, sleep: 1ms}]}"),
    BASE.replace("a: {}", "a: {script: [{call: b, maybe: true}]}"),
    BASE.replace("a: {}", "a: {versions: {v1: {versions: {}}}}"),
    BASE + "events: [{service: a, slow: 2}]",
    BASE + "events: [{at: 1s, service: a, slow: 0}]",
    BASE + "events: [{at: 1s, service: a, lasts: 1s, slow: 2}]",
    BASE + "events: [{at: 1s, node: a, down: true}]",
    BASE + "mesh: {mtls: {mode: on}}",
    BASE + "access: [{allow: {from: a}}]",
    BASE + "mesh: {dataplane: sidecar}\naccess: [{allow: {to: a, from: }}]",
    BASE + "access: [{allow: {to: a}, deny: {to: b}}]",
    BASE + "mesh: {dataplane: ambient}",
]


@pytest.mark.parametrize("text", GOOD)
def test_both_accept(text, validator):
    loads(text)
    validator.validate(parse(text, "s").value)


@pytest.mark.parametrize("text", BAD)
def test_both_refuse(text, validator):
    with pytest.raises(ScenarioError):
        loads(text)
    assert not validator.is_valid(parse(text, "s").value)
