import pytest

from meshsim.scenario import loads
from meshsim.scenario.config import files, text

WHOLE = """
name: whole
description: "everything: at once"
seed: 3
duration: 2m
warmup: auto
drain: 90s
services:
  a:
    replicas: 3
    workers: unlimited
    queue: 20
    discipline: lifo
    holds_worker: false
    time: {lognormal: {mean: 4ms, cv: 1.2}}
    errors: 0.1%
    script:
      - call: b
      - [{call: c, probability: 30%, optional: true}, {sleep: 10ms}]
  b:
    versions:
      v1: {replicas: 3, time: {exponential: 5ms}}
      v2: {replicas: 1, workers: 3}
  c: {time: {mixture: [{weight: 99, constant: 2ms}, {weight: 1, pareto: {mean: 80ms, shape: 2.5}}]}}
  c2: {time: {sum: [2ms, {exponential: 1ms}, {empirical: {values: [1ms, 2500us]}}]}}
  d: {time: {empirical: {values: [1ms, 2ms]}}}
mesh: {dataplane: sidecar, proxy: {time: 0.2ms, workers: 2}, push_delay: {exponential: 100ms}}
links:
  default: {latency: 0.5ms}
  "a -> b": {latency: {lognormal: {mean: 1ms, cv: 0.5}}, loss: 0.1%}
policies:
  b:
    timeout: 1s
    retries: {attempts: 2, per_try_timeout: 250ms, on: [5xx, reset], backoff: {base: 25ms, max: 250ms},
              budget: {ratio: 20%, min_concurrency: 3}}
    balance: {least_request: {choices: 3}}
    circuit_breaker: {max_connections: 10, max_pending: unlimited}
    outlier_detection: {consecutive_5xx: 5, interval: 10s}
    rate_limit: {burst: 100, rate: 100/s}
    hedge: {after: 30ms, max: 1}
    split: {v1: 95, v2: 5}
    fault: {delay: {percent: 10%, time: 2s}, abort: {percent: 1%, status: 503}}
  a: {balance: random}
  "a -> c": {timeout: 0.1us}
load:
  - {to: a, rate: 12/m, arrivals: constant}
  - {to: d, users: 50, think: {exponential: 1s}, priority: 1}
  - {to: a, arrivals: {mmpp: {rates: [40/s, 120/s], mean_times: [1s, 500ms]}}}
  - {to: a, profile: [{at: 0s, rate: 100/s}, {at: 60s, rate: 300/s, ramp: 10s}]}
events:
  - {at: 30s, for: 20s, service: c, slow: 5}
  - {at: 60s, for: 10s, replica: b/v1/0, down: true}
  - {at: 70s, for: 10s, link: "a -> b", latency_factor: 10}
  - {at: 80s, set: {policies.b.split: {v1: 50, v2: 50}}}
objectives:
  - {service: a, p99: 250ms}
  - {service: a, success: 99.9%}
tracing: {sampling: 5%}
"""


def test_what_is_written_loads_to_the_same() -> None:
    scenario = loads(WHOLE)
    again = loads(text(scenario))
    assert again.model_dump() == scenario.model_dump()
    assert text(again) == text(scenario)


def test_silence_stays_silent() -> None:
    written = text(loads("duration: 1s\nservices: {a: {}}\nload: [{to: a, rate: 1/s}]"))
    assert written.splitlines()[0] == "duration: 1s"
    for key in ("policies", "replicas", "seed", "mesh"):
        assert key not in written


@pytest.mark.parametrize("duration", ["1e-3s", "0.1ms", "3h", "123456789us", "0.3s"])
def test_durations_keep_every_digit(duration) -> None:
    scenario = loads(f"duration: {duration}\nservices: {{a: {{}}}}\nload: [{{to: a, rate: 1/s}}]")
    assert loads(text(scenario)).duration == scenario.duration


def test_a_trace_is_in_a_file_named_by_its_content(tmp_path) -> None:
    (tmp_path / "arrivals.csv").write_text("time\n0.25\n0.5\n")
    document = "duration: 1s\nservices: {a: {}}\nload: [{to: a, arrivals: {trace: {file: arrivals.csv}}}]"
    scenario = loads(document, folder=tmp_path)
    ((name, content),) = files(scenario).items()
    assert content == "time\n0.25\n0.5\n"
    (tmp_path / name).write_text(content)
    again = loads(text(scenario), folder=tmp_path)
    assert again.load[0].arrivals.trace.times == (0.25, 0.5)
