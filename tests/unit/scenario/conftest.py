"""The scenario that these tests bend."""

import pytest

# Everything the design's example says that is supported, more or less
WHOLE = """\
name: checkout-retry-storm
description: One sentence a reader sees first.
schema: 1
seed: 7
duration: 120s
warmup: 10s
engine: auto
services:
  frontend:
    replicas: 3
    workers: 16
    queue: 200
    discipline: fifo
    holds_worker: true
    when_abandoned: finish
    time: {lognormal: {mean: 4ms, cv: 1.2}}
    errors: 0.1%
    script:
      - call: catalog
      - [{call: cart}, {call: recommend, probability: 30%, optional: true}]
      - sleep: 10ms
  cart:
    versions:
      v1: {replicas: 3, time: {exponential: 5ms}}
      v2: {replicas: 1, time: {exponential: 8ms}}
  catalog: {workers: unlimited, time: 5ms}
  recommend: {time: {mixture: [{weight: 99, constant: 2ms}, {weight: 1, pareto: {mean: 80ms, shape: 2.5}}]}}
mesh:
  dataplane: sidecar
  preset: none
  proxy: {time: 0.2ms, workers: 2}
  push_delay: 100ms
links:
  default: {latency: 0.5ms}
  "frontend -> cart": {latency: {lognormal: {mean: 1ms, cv: 0.5}}, loss: 0.1%}
policies:
  cart:
    timeout: 1s
    retries: {attempts: 2, per_try_timeout: 250ms, on: [5xx, reset, connect-failure],
              backoff: {base: 25ms, max: 250ms}, budget: {ratio: 20%, min_concurrency: 3}}
    balance: least_request
    circuit_breaker: {max_connections: 1024, max_pending: 1024, max_requests: 1024, max_retries: 3}
    outlier_detection: {consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s, max_ejection_percent: 50%}
    rate_limit: {burst: 100, rate: 100/s}
    hedge: {after: 30ms, max: 1}
    split: {v1: 95, v2: 5}
    fault: {delay: {percent: 10%, time: 2s}, abort: {percent: 1%, status: 503}}
  frontend -> catalog: {timeout: 100ms, balance: {least_request: {choices: 3}}}
load:
  - {to: frontend, rate: 200/s, arrivals: poisson}
  - {to: frontend, users: 50, think: {exponential: 1s}}
  - {to: frontend, priority: 1, arrivals: {mmpp: {rates: [40/s, 120/s], mean_times: [1s, 500ms]}}}
  - {to: frontend, profile: [{at: 0s, rate: 100/s}, {at: 60s, rate: 300/s, ramp: 10s}]}
events:
  - {at: 30s, for: 20s, service: catalog, slow: 5}
  - {at: 60s, for: 10s, replica: cart/v1/0, down: true}
  - {at: 70s, for: 10s, link: "frontend -> cart", latency_factor: 10}
  - {at: 80s, set: {policies.cart.split: {v1: 50, v2: 50}}}
objectives:
  - {service: frontend, p99: 250ms}
  - {service: frontend, success: 99.9%}
tracing: {sampling: 5%}
"""


@pytest.fixture
def whole() -> str:
    """A scenario that uses most of the syntax."""
    return WHOLE
