"""What is wrong with a scenario is told by line and key, with words that help; each thing once."""

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads

# Lines 1-5; what a case adds begins on line 6
BASE = """\
duration: 10s
services:
  a: {script: [{call: b}]}
  b: {versions: {v1: {replicas: 2}, v2: {}}}
load: [{to: a, rate: 1/s}]
"""


def problems(text, **options):
    with pytest.raises(ScenarioError) as caught:
        loads(text, "s.yaml", **options)
    assert all("\n" not in str(problem) for problem in caught.value.problems)
    return caught.value.problems


def test_the_base_is_fine():
    assert loads(BASE).duration == 10.0


POLICIES = [
    ("{timeot: 1s}", "timeot", "unknown key (did you mean timeout?)"),
    ("{timeout: 250}", "timeout", "250 has no unit (write a duration such as 250ms or 250s)"),
    ("{timeout: }", "timeout", "is empty"),
    ("{retries: {attempts: three}}", "retries.attempts", "'three' is no count (write a whole number"),
    (
        "{retries: {on: [5xx, conect-failure]}}",
        "retries.on[1]",
        "'conect-failure' is not known here (did you mean connect-failure?)",
    ),
    ("{retries: {on: 5xx}}", "retries.on", "'5xx' is not a list"),
    ("{retries: {on: []}}", "retries.on", "is empty (give at least 1)"),
    ("{connection: {max_requests: 0}}", "connection.max_requests", "0 is out of range (write at least 1)"),
    ("{connection: {idle_timeout: 5}}", "connection.idle_timeout", "5 has no unit"),
    ("{connection: {max_age: -1s}}", "connection.max_age", "'-1s' is negative (write at least 0)"),
    ("{connection: {protocol: http2}}", "connection.protocol", "not supported yet"),
    ("{connection: {max_streams: 9}}", "connection.max_streams", "not supported yet"),
    ("{connection: 5s}", "connection", "'5s' is not a mapping (its keys: connect_timeout, idle_timeout"),
    (
        "{connection: {keep_alive: 5s}}",
        "connection.keep_alive",
        "unknown key (write services.b.keep_alive, which is the server's)",
    ),
    ("{retries: {previous_hosts: 5}}", "retries.previous_hosts", "5 is neither true nor false"),
    ("{retries: {host_attempts: 0}}", "retries.host_attempts", "0 is out of range (write at least 1)"),
    ("{retries: {host_attempts: 101}}", "retries.host_attempts", "101 is out of range (write at most 100)"),
    (
        "{retries: {on: [5xx, retriable-status-codes]}}",
        "retries.on",
        "retriable-status-codes is not a condition (write statuses: [503])",
    ),
    ("{retries: {on: [502]}}", "retries.on", "502 is not a condition (write statuses: [502])"),
    ("{retries: {statuses: 503}}", "retries.statuses", "503 is not a list"),
    ("{retries: {statuses: []}}", "retries.statuses", "is empty (give at least 1)"),
    ("{retries: {statuses: [99]}}", "retries.statuses[0]", "99 is out of range (write at least 200)"),
    ("{retries: {statuses: [503, 600]}}", "retries.statuses[1]", "600 is out of range (write at most 599)"),
    ("{retries: {statuses: [5xx]}}", "retries.statuses[0]", "'5xx' is not a whole number"),
    ("{retries: {backoff: {base: 1}}}", "retries.backoff.base", "1 has no unit"),
    ("{retries: {backoff: {jitter: 150%}}}", "retries.backoff.jitter", "'150%' is outside 0-100%"),
    ("{retries: {backoff: {jiter: 50%}}}", "retries.backoff.jiter", "unknown key (did you mean jitter?)"),
    ("{retries: {budget: {ratio: 2}}}", "retries.budget.ratio", "2 is outside 0-100%"),
    ("{retries: {budget: {ttl: 100s}}}", "retries.budget.ttl", "'100s' is out of range (write at most 60s)"),
    ("{retries: {budget: {ttl: 10s, min_concurrency: 1}}}", "retries.budget", "keep one kind"),
    ("{balance: least_requests}", "balance", "no balancer 'least_requests' (did you mean least_request?)"),
    ("{balance: maglev}", "balance", "maglev is not supported yet"),
    ("{balance: {ring_hash: {key: user}}}", "balance", "ring_hash is not supported yet"),
    (
        "{balance: {peak_ewma: {decay: 0s}}}",
        "balance.peak_ewma.decay",
        "'0s' is out of range (write more than 0s)",
    ),
    ("{balance: {peak_ewma: {rtt: 30}}}", "balance.peak_ewma.rtt", "30 has no unit"),
    (
        "{balance: {peak_ewma: {default_rtt: 30ms}}}",
        "balance.peak_ewma.default_rtt",
        "unknown key (write rtt)",
    ),
    (
        "{balance: {least_request: {choices: 1}}}",
        "balance.least_request.choices",
        "1 is out of range (write at least 2)",
    ),
    (
        "{balance: {least_request: 2}}",
        "balance.least_request",
        "2 is not a mapping (its keys: choices or selection)",
    ),
    ("{balance: {random: {}}}", "balance", "random has no options (write balance: random)"),
    ("{balance: {random: {}, least_request: {}}}", "balance", "is not a balancer"),
    ("{balance: {kind: random}}", "balance.kind", "unknown key"),
    ("{balance: 5}", "balance", "5 is not a balancer"),
    (
        "{circuit_breaker: {max_conections: 1}}",
        "circuit_breaker.max_conections",
        "did you mean max_connections?",
    ),
    (
        "{outlier_detection: {interval: 0s}}",
        "outlier_detection.interval",
        "'0s' is out of range (write more than 0s)",
    ),
    (
        "{outlier_detection: {consecutive_gateway_failure: 0}}",
        "outlier_detection.consecutive_gateway_failure",
        "0 is out of range (write at least 1)",
    ),
    (
        "{outlier_detection: {success_rate: true}}",
        "outlier_detection.success_rate",
        "true is not a mapping (its keys: hosts, requests or factor)",
    ),
    (
        "{outlier_detection: {success_rate: {hosts: 0}}}",
        "outlier_detection.success_rate.hosts",
        "0 is out of range (write at least 1)",
    ),
    (
        "{outlier_detection: {success_rate: {factor: -1}}}",
        "outlier_detection.success_rate.factor",
        "-1 is out of range (write at least 0)",
    ),
    (
        "{outlier_detection: {always_eject_one: 1}}",
        "outlier_detection.always_eject_one",
        "1 is neither true nor false",
    ),
    (
        "{outlier_detection: {base_ejection_time: 9m, max_ejection_time: 1m}}",
        "outlier_detection",
        "max_ejection_time 60s is less than base_ejection_time 540s (write at least 540s)",
    ),
    (
        "{failure_accrual: {max_failures: 0}}",
        "failure_accrual.max_failures",
        "0 is out of range (write at least 1)",
    ),
    ("{failure_accrual: {min_penalty: 1}}", "failure_accrual.min_penalty", "1 has no unit"),
    ("{failure_accrual: {jitter: 150%}}", "failure_accrual.jitter", "'150%' is outside 0-100%"),
    ("{failure_accrual: true}", "failure_accrual", "true is not a mapping (its keys: max_failures, min_pen"),
    (
        "{failure_accrual: {min_penalty: 2m}}",
        "failure_accrual",
        "min_penalty 120s is more than max_penalty 60s (write at most 60s)",
    ),
    (
        "{failure_accrual: {}, outlier_detection: {}}",
        "",
        "failure_accrual and outlier_detection exclude each other (keep one of them)",
    ),
    ("{rate_limit: {burst: 5}}", "rate_limit.rate", "is missing"),
    ("{hedge: {max: 1}}", "hedge.after", "is missing"),
    ("{split: {v1: 0, v2: 0}}", "split", "the weights are all 0"),
    ("{split: {v1: 1, v3: 2}}", "split.v3", "b has no version 'v3' (write v1 or v2)"),
    ("{split: {v1: -1}}", "split.v1", "-1 is out of range (write at least 0)"),
    ("{split: [v1]}", "split", "['v1'] is not a mapping"),
    ("{fault: {abort: {status: 100}}}", "fault.abort.status", "write at least 200"),
    ("{fault: {delay: {percent: 10%}}}", "fault.delay.time", "is missing"),
    ("5", "", "5 is not a mapping (its keys: timeout"),
    ("", "", "is empty"),
]


@pytest.mark.parametrize(("policy", "key", "words"), POLICIES)
def test_policies(policy, key, words):
    (problem,) = problems(f"{BASE}policies:\n  b: {policy}\n")
    assert (problem.file, problem.line) == ("s.yaml", 7)
    assert problem.key == f"policies.b.{key}".rstrip(".")
    assert words in str(problem)


@pytest.mark.parametrize("policy", [case for case in POLICIES if "kind" not in case[0]])
def test_pushed_policies_are_refused_with_the_same_words_at_the_event(policy):
    written, key, words = policy
    (problem,) = problems(f"{BASE}events:\n  - at: 1s\n    set:\n      policies.b: {written}\n")
    assert problem.line == 9
    assert problem.key == f"events[0].set.policies.b.{key}".rstrip(".")
    assert words in str(problem)


SERVICES = [
    ("{replica: 3}", "replica", "unknown key (did you mean replicas?)"),
    ("{replicas: '3'}", "replicas", "'3' is not a whole number"),
    ("{replicas: 1.5}", "replicas", "1.5 is not a whole number"),
    ("{replicas: true}", "replicas", "true is not a whole number"),
    ("{replicas: 0}", "replicas", "0 is out of range (write at least 1)"),
    ("{workers: 0}", "workers", "0 is out of range (write at least 1)"),
    ("{workers: many}", "workers", "'many' is no count"),
    ("{queue: -1}", "queue", "-1 is no count"),
    ("{discipline: priorty}", "discipline", "'priorty' is not known here (did you mean priority?)"),
    ("{discipline: [fifo]}", "discipline", "['fifo'] is not known here"),
    ("{when_abandoned: abort}", "when_abandoned", "(write finish, leave_queue or stop)"),
    ("{holds_worker: no}", "holds_worker", "'no' is neither true nor false"),
    ("{errors: 5}", "errors", "5 is outside 0-100%"),
    ("{time: 5}", "time", "5 has no unit (write a duration such as 5ms or 5s)"),
    ("{time: }", "time", "is empty"),
    ("{time: -5ms}", "time", "'-5ms' is negative"),
    ("{time: [5ms]}", "time", "['5ms'] is not a valid duration"),
    ("{time: {}}", "time", "a time is one distribution, not none"),
    ("{time: {exponentiel: 5ms}}", "time", "no distribution 'exponentiel' (did you mean exponential?)"),
    ("{time: {exponential: 5ms, constant: 2ms}}", "time", "one distribution, not exponential and constant"),
    ("{time: {exponential: }}", "time.exponential", "is empty"),
    ("{time: {lognormal: {mean: 4ms}}}", "time.lognormal.cv", "is missing"),
    ("{time: {lognormal: 4ms}}", "time.lognormal", "'4ms' is not a mapping (its keys: mean or cv)"),
    ("{time: {gamma: {mean: 4ms, cv: -1}}}", "time.gamma.cv", "-1 is out of range (write at least 1e-09)"),
    ("{time: {gamma: {mean: 4ms, cv: 1e-160}}}", "time.gamma.cv", "1e-160 is out of range (write at least"),
    ("{time: {empirical: {values: [1e-320s]}}}", "time.empirical.values[0]", "'1e-320s' is too short"),
    ("{time: {erlang: {mean: 4ms, k: 1.5}}}", "time.erlang.k", "1.5 is not a whole number"),
    ("{time: {pareto: {mean: 4ms, shape: 1}}}", "time.pareto.shape", "1 is out of range (write more than 1)"),
    ("{time: {uniform: {low: 5ms, high: 1ms}}}", "time.uniform", "high is less than low (swap them)"),
    ("{time: {empirical: {}}}", "time.empirical", "either values or a file"),
    ("{time: {empirical: {values: [1ms, 2]}}}", "time.empirical.values[1]", "2 has no unit"),
    ("{time: {mixture: []}}", "time.mixture", "is empty (give at least 1)"),
    ("{time: {mixture: [{weight: 0, constant: 5ms}]}}", "time", "the weights are all 0"),
    ("{time: {mixture: [{constant: 5ms}]}}", "time.mixture[0].weight", "is missing"),
    ("{time: {mixture: [{weight: 1}]}}", "time.mixture[0]", "one distribution, not none"),
    ("{time: {mixture: [{weight: x, constant: 5ms}]}}", "time.mixture[0].weight", "'x' is not a number"),
    (
        "{time: {mixture: [{weight: 1, weibull: {mean: 1ms, shpe: 1, shape: 1}}]}}",
        "time.mixture[0].weibull.shpe",
        "did you mean shape?",
    ),
    ("{script: call b}", "script", "'call b' is not a list"),
    ("{script: [b]}", "script[0]", "'b' is not a step (write {call: a-service} or {sleep: 10ms})"),
    ("{script: [[b]]}", "script[0][0]", "'b' is not a step"),
    ("{script: [[]]}", "script[0]", "is empty (give at least 1)"),
    ("{script: [{cal: b}]}", "script[0]", "a step needs a call or a sleep (did you mean call?)"),
    ("{script: [{call: b, sleep: 1ms}]}", "script[0]", "a step either calls or sleeps"),
    ("{script: [{sleep: 1}]}", "script[0].sleep", "1 has no unit"),
    ("{script: [{call: b, probability: 200%}]}", "script[0].probability", "'200%' is outside 0-100%"),
    ("{script: [[{call: b, optionl: true}]]}", "script[0][0].optionl", "did you mean optional?"),
    ("{script: [{call: bb}]}", "script[0].call", "no service 'bb' (did you mean b?)"),
    ("{script: [{call: client}]}", "script[0].call", "the client can't be called"),
    ("{script: [{call: c}]}", "script[0].call", "the calls go in a circle: c -> c"),
    ("{versions: {v1: {versions: {}}}}", "versions.v1.versions", "unknown key"),
    ("{versions: {v1: {time: 5}}}", "versions.v1.time", "5 has no unit"),
    ("{versions: {v.1: {}}}", "versions.v.1", "'v.1' is no name"),
    ("{versions: {v1: {script: [{call: x}]}}}", "versions.v1.script[0].call", "no service 'x'"),
    ("{replicas: 100000}", None, "write at most 100,000 in all"),
    ("5", "", "5 is not a mapping (its keys: replicas"),
    ("", "", "is empty (write {} for all defaults)"),
]


@pytest.mark.parametrize(("service", "key", "words"), SERVICES)
def test_services(service, key, words):
    (problem,) = problems(BASE.replace("load:", f"  c: {service}\nload:"))
    if key is not None:
        assert (problem.line, problem.key) == (5, f"services.c.{key}".rstrip("."))
    assert words in str(problem)


TOP = [
    ("polcies: {}", "polcies", "unknown key (did you mean policies?)"),
    ("engine: simpi", "engine", "'simpi' is not known here (did you mean simpy?)"),
    ("schema: 2", "schema", "2 is not known here (write 1)"),
    ("seed: -1", "seed", "-1 is out of range (write at least 0)"),
    ("seed: 1.5", "seed", "1.5 is not a whole number"),
    ("name: 5", "name", "5 is not text (put it in quotes)"),
    ("description: [x]", "description", "['x'] is not text (write text)"),
    ("warmup: 10s", "warmup", "'10s' leaves nothing to measure (make it less than duration)"),
    ("warmup: automatic", "warmup", "'automatic' is not a valid duration"),
    ("drain: 5", "drain", "5 has no unit"),
    ("nodes: {a: [b]}", "nodes", "not supported yet"),
    ("nodes:", "nodes", "not supported yet"),
    ("rollouts: []", "rollouts", "not supported yet"),
    ("sweep: {}", "sweep", "is empty (give at least 1)"),
    (
        "mesh: {mtls: {mode: strict}}",
        "mesh.mtls",
        "there is no mTLS without sidecars (write mesh.dataplane: sidecar)",
    ),
    ("mesh: {dataplane: ambient}", "mesh.dataplane", "ambient is not supported yet"),
    ("mesh: {dataplane: sidcar}", "mesh.dataplane", "did you mean sidecar?"),
    ("mesh: {preset: isto}", "mesh.preset", "'isto' is not known here (did you mean istio?)"),
    ("mesh: {preset: istio-1.24}", "mesh.preset", "'istio-1.24' is not known here (did you mean istio?)"),
    ("mesh: {proxy: {worker: 2}}", "mesh.proxy.worker", "did you mean workers?"),
    ("mesh: {push_delay: 1}", "mesh.push_delay", "1 has no unit"),
    ("tracing: {sampling: 5}", "tracing.sampling", "5 is outside 0-100%"),
    ("tracing: 5", "tracing", "5 is not a mapping (its keys: sampling)"),
    ("policies: [b]", "policies", "['b'] is not a mapping"),
    ("policies:", "policies", "is empty"),
    ("policies: {c: {}}", "policies.c", "no service 'c' (write a or b)"),
    ("policies: {client: {}}", "policies.client", "the client can't be called"),
    ("policies: {a->b: {}}", "policies.a->b", "'a->b' is no edge (write \"caller -> service\", with a space"),
    ("policies: {b -> a: {}}", "policies.b -> a", "b never calls a (b calls nothing)"),
    ("policies: {client -> b: {}}", "policies.client -> b", "client never calls b (client calls a)"),
    (
        "policies: {a/x -> b: {}}",
        "policies.a/x -> b",
        "'a/x' is an endpoint (a policy is for all calls of a service: write a -> b)",
    ),
    ("preset: istio", "preset", "unknown key (write mesh.preset)"),
    ("policies: {a -> x: {}}", "policies.a -> x", "no service 'x'"),
    ("policies: {a: {split: {v1: 1}}}", "policies.a.split", "a has no versions to split between"),
    ("policies: {a -> b: {split: {v9: 1}}}", "policies.a -> b.split.v9", "b has no version 'v9'"),
    ("links: {defalt: {}}", "links.defalt", "did you mean default?"),
    (
        "links: {default: {connect_timeout: 2s}}",
        "links.default.connect_timeout",
        "unknown key (write connect_timeout under the connection of a policy)",
    ),
    (
        "links: {a -> b: {idleTimeout: 2s}}",
        "links.a -> b.idleTimeout",
        "unknown key (write idle_timeout under policies.b.connection)",
    ),
    (
        "links: {default: {keepalive: 2s}}",
        "links.default.keepalive",
        "unknown key (write it under a service)",
    ),
    ("links: {b -> a: {}}", "links.b -> a", "b never calls a"),
    ("links: {a -> b: {lost: 1%}}", "links.a -> b.lost", "did you mean loss?"),
    ("objectives: [{service: c, p99: 1s}]", "objectives[0].service", "no service 'c'"),
    ("objectives: [{service: a}]", "objectives[0]", "says nothing that must hold"),
    ("objectives: [{service: a, sucess: 99%}]", "objectives[0].sucess", "did you mean success?"),
    ("objectives: [{p99: 1s}]", "objectives[0].service", "is missing"),
]


@pytest.mark.parametrize(("text", "key", "words"), TOP)
def test_the_top(text, key, words):
    (problem,) = problems(BASE + text)
    assert (problem.line, problem.key) == (6, key)
    assert words in str(problem)


LOADS = [
    ("", "load", "is empty"),
    ("[]", "load", "is empty (give at least 1)"),
    ("{to: a, rate: 1/s}", "load", "is not a list"),
    ("[a]", "load[0]", "'a' is not a mapping (its keys: to"),
    ("[{to: c, rate: 1/s}]", "load[0].to", "no service 'c'"),
    ("[{to: client, rate: 1/s}]", "load[0].to", "the client can't be called"),
    ("[{rate: 1/s}]", "load[0].to", "is missing"),
    ("[{to: a}]", "load[0]", "nothing says how many requests come (give a rate such as 100/s"),
    ("[{to: a, rat: 1/s}]", "load[0].rat", "did you mean rate?"),
    ("[{to: a, rate: 1}]", "load[0].rate", "1 has no unit (write a rate such as 1/s)"),
    ("[{to: a, rate: 0/s}]", "load[0].rate", "'0/s' is out of range (write more than 0)"),
    ("[{to: a, rate: 1/s, users: 5}]", "load[0]", "rate and users exclude each other"),
    ("[{to: a, rate: 1/s, think: 1s}]", "load[0].think", "only users think"),
    ("[{to: a, users: 5, arrivals: poisson}]", "load[0].arrivals", "users send when they have thought"),
    ("[{to: a, users: 0}]", "load[0].users", "0 is out of range"),
    ("[{to: a, arrivals: mmpp}]", "load[0].arrivals", "mmpp needs its options"),
    ("[{to: a, arrivals: {mmpp: }}]", "load[0].arrivals", "mmpp is empty"),
    (
        "[{to: a, arrivals: {mmpp: {rates: [0/s, 0/s], mean_times: [1s, 1s]}}}]",
        "load[0].arrivals.mmpp.rates",
        "all 0",
    ),
    (
        "[{to: a, arrivals: {mmpp: {rates: [1/s], mean_times: [1s, 1s]}}}]",
        "load[0].arrivals.mmpp.rates",
        "at least 2",
    ),
    (
        "[{to: a, arrivals: {mmpp: {rates: [1/s, 2/s, 3/s], mean_times: [1s, 1s]}}}]",
        "load[0].arrivals.mmpp",
        "3 rates but 2 mean_times",
    ),
    (
        "[{to: a, rate: 1/s, arrivals: {mmpp: {rates: [1/s, 2/s], mean_times: [1s, 1s]}}}]",
        "load[0]",
        "rate and arrivals mmpp exclude each other",
    ),
    (
        "[{to: a, rate: 1/s, arrivals: poison}]",
        "load[0].arrivals",
        "no arrivals 'poison' (did you mean poisson?)",
    ),
    ("[{to: a, rate: 1/s, arrivals: 5}]", "load[0].arrivals", "5 are not valid arrivals"),
    ("[{to: a, rate: 1/s, arrivals: {poisson: {}}}]", "load[0].arrivals", "poisson has no options"),
    ("[{to: a, rate: 1/s, arrivals: {kind: poisson}}]", "load[0].arrivals.kind", "unknown key"),
    ("[{to: a, arrivals: {trace: {}}}]", "load[0].arrivals.trace.file", "is missing"),
    ("[{to: a, arrivals: {trace: {times: [1]}}}]", "load[0].arrivals.trace.times", "unknown key"),
    ("[{to: a, arrivals: {trace: {file: 5}}}]", "load[0].arrivals.trace.file", "5 is not text"),
    (
        "[{to: a, profile: [{at: 0s, rate: 1/s}, {at: 0s, rate: 2/s}]}]",
        "load[0].profile[1].at",
        "not after the point",
    ),
    ("[{to: a, profile: [{rate: 1/s}]}]", "load[0].profile[0].at", "is missing"),
    ("[{to: a, profile: [{at: 1h, rate: 1/s}]}]", "load[0].profile", "the rate is 0 until the end"),
    (
        "[{to: a, arrivals: {mmpp: {rates: [1/s, 2/s], mean_times: [1ns, 1ns]}}}]",
        "load[0].arrivals.mmpp.mean_times",
        "the states would change 1e+10 times until the end",
    ),
    ("[{to: a, profile: []}]", "load[0]", "nothing says how many requests come"),
    ("[{to: a, rate: 1/s, priority: high}]", "load[0].priority", "'high' is not a whole number"),
]


@pytest.mark.parametrize(("text", "key", "words"), LOADS)
def test_load(text, key, words):
    (problem,) = problems(BASE.replace("[{to: a, rate: 1/s}]", text))
    assert (problem.line, problem.key) == (5, key)
    assert words in str(problem)


EVENTS = [
    ("{service: a, slow: 2}", ".at", "is missing"),
    ("{at: 1, service: a, slow: 2}", ".at", "1 has no unit"),
    (
        "{at: 10s, service: a, slow: 2}",
        ".at",
        "'10s' is not before the end, at 10s (make it earlier, or lengthen",
    ),
    ("{at: 1s, service: c, slow: 2}", ".service", "no service 'c'"),
    ("{at: 1s, service: client, slow: 2}", ".service", "the client can't be called"),
    ("{at: 1s, servce: a, slow: 2}", ".servce", "did you mean service?"),
    (
        "{at: 1s, service: a}",
        "",
        "(write slow, errors, down, replicas or restart)",
    ),
    ("{at: 1s, service: a, down: false}", "", "nothing happens to the service"),
    ("{at: 1s, service: a, loss: 5%}", ".loss", "has no effect on a service"),
    ("{at: 1s, replica: a/0, latency_factor: 5}", ".latency_factor", "has no effect on a replica"),
    ("{at: 1s, link: a -> b, slow: 5}", ".slow", "has no effect on a link (write latency_factor or loss)"),
    ("{at: 1s, link: a -> c, loss: 2%}", ".link", "no service 'c'"),
    ("{at: 1s, link: b -> a, loss: 2%}", ".link", "b never calls a"),
    ("{at: 1s, link: default, loss: 2%}", ".link", "'default' is no edge"),
    (
        "{at: 1s, slow: 5}",
        "",
        "nothing is named (give exactly one of service, replica, link, component or set)",
    ),
    ("{at: 1s, service: a, replica: a/0, slow: 5}", "", "service and replica exclude each other"),
    ("{at: 1s, node: x, down: true}", ".node", "not supported yet"),
    ("{at: 1s, zone: x, down: true}", ".zone", "not supported yet"),
    ("{at: 1s, replica: a/1, down: true}", ".replica", "no replica 'a/1' (a has 1, numbered from 0)"),
    ("{at: 1s, replica: a, down: true}", ".replica", "'a' is not a replica (write one such as a/0)"),
    ("{at: 1s, replica: b/0, down: true}", ".replica", "'b/0' is not a replica (write one such as b/v1/0)"),
    ("{at: 1s, replica: b/v1/2, down: true}", ".replica", "b/v1 has 2, numbered from 0"),
    ("{at: 1s, replica: b/v3/0, down: true}", ".replica", "b has no version 'v3' (write v1 or v2)"),
    ("{at: 1s, replica: c/0, down: true}", ".replica", "no service 'c'"),
    ("{at: 1s, replica: b/v1/-1, down: true}", ".replica", "is not a replica"),
    ("{at: 1s, service: a, slow: 0}", ".slow", "0 is out of range (write more than 0)"),
    ("{at: 1s, service: a, slow: 2, for: 0s}", ".for", "'0s' is out of range"),
    ("{at: 1s, service: a, slow: 2, for: 1e-30s}", ".for", "'1e-30s' is too short for a clock at 1s"),
    ("{at: 1s, service: a, slow: 2, lasts: 1s}", ".lasts", "unknown key"),
    ("{at: 1s, set: {}}", ".set", "is empty"),
    ("{at: 1s, set: 5}", ".set", "5 is not a mapping"),
    ("{at: 1s, service: a, set: {policies.b.timeout: 1s}}", "", "service and set exclude each other"),
    ("{at: 1s, for: 1s, set: {policies.b.timeout: 1s}}", ".for", "what is set stays set"),
    ("{at: 1s, slow: 2, set: {policies.b.timeout: 1s}}", ".slow", "doesn't go with set"),
    (
        "{at: 1s, set: {services.b.workers: 1}}",
        ".set.services.b.workers",
        "only policies, access rules and mTLS modes can be pushed (write a key such",
    ),
    ("{at: 1s, set: {policies: {}}}", ".set.policies", "all policies at once can't be pushed (write a key"),
    ("{at: 1s, set: {policies..b: {}}}", ".set.policies..b", "not a dotted key"),
    ("{at: 1s, set: {policies.c.timeout: 1s}}", ".set.policies.c.timeout", "no service 'c'"),
    ("{at: 1s, set: {policies.b -> a.timeout: 1s}}", ".set.policies.b -> a.timeout", "b never calls a"),
    ("{at: 1s, set: {policies.b.timeout: 1}}", ".set.policies.b.timeout", "1 has no unit"),
    ("{at: 1s, set: {policies.b.timeot: 1s}}", ".set.policies.b.timeot", "did you mean timeout?"),
    (
        "{at: 1s, set: {policies.b.hedge.max: 2}}",
        ".set.policies.b.hedge.max",
        "then policies.b.hedge.after: is missing",
    ),
    ("{at: 1s, set: {policies.b.split.v9: 1}}", ".set.policies.b.split.v9", "b has no version 'v9'"),
    (
        "{at: 1s, set: {policies.b.fault.delay.time.empirical.file: x}}",
        ".set.policies.b.fault.delay.time.empirical.file",
        "set the whole time",
    ),
    ("5", "", "5 is not a mapping (its keys: at, for"),
]


@pytest.mark.parametrize(("event", "key", "words"), EVENTS)
def test_events(event, key, words):
    (problem,) = problems(f"{BASE}events:\n  - {event}\n")
    assert (problem.line, problem.key) == (7, f"events[0]{key}")
    assert words in str(problem)


def test_everything_is_told_at_once_in_order_of_line():
    text = """\
duration: 10
services:
  a: {script: [{call: bb}, {call: c}], wrkers: 3}
  b: {script: [{call: c}]}
  c: {script: [{call: b}]}
load:
  - {to: aa, rate: 1}
policies:
  d: {timeout: 1}
"""
    found = [(problem.line, problem.key) for problem in problems(text)]
    assert found == [
        (1, "duration"),
        (3, "services.a.script[0].call"),
        (3, "services.a.wrkers"),
        (4, "services.b.script[0].call"),
        (7, "load[0].rate"),
        (7, "load[0].to"),
        (9, "policies.d"),
        (9, "policies.d.timeout"),
    ]


def test_the_message_reads_as_a_sentence_with_place_key_and_remedy():
    (problem,) = problems(BASE + "policies:\n  b:\n    retries:\n      atempts: 3\n")
    assert str(problem) == "s.yaml:9: policies.b.retries.atempts: unknown key (did you mean attempts?)"


def test_a_long_circle_is_named_once():
    text = "duration: 1s\nload: [{to: a, rate: 1/s}]\nservices:\n" + "".join(
        f"  {name}: {{script: [[{{call: {callee}}}]]}}\n" for name, callee in zip("abcd", "bcdb", strict=True)
    )
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (7, "services.d.script[0][0].call")
    assert "b -> c -> d -> b" in str(problem)


def test_calls_that_every_version_replaces_make_no_edge():
    text = BASE.replace("load:", "  c: {script: [{call: a}], versions: {v1: {script: [{call: b}]}}}\nload:")
    loads(text + "policies: {c -> b: {}}")
    (problem,) = problems(text + "policies: {c -> a: {}}")
    assert "c never calls a (c calls b)" in str(problem)


def test_without_services_names_are_not_complained_about():
    (problem,) = problems("duration: 1s\nload: [{to: a, rate: 1/s}]\npolicies: {b: {}}\n")
    assert problem.key == "services"


def test_reserved_and_malformed_service_names():
    names = [
        problem.key
        for problem in problems(BASE.replace("load:", "  client: {}\n  default: {}\n  a b: {}\nload:"))
    ]
    assert names == ["services.client", "services.default", "services.a b"]


def test_a_flood_of_problems_is_cut():
    text = BASE + "policies:\n" + "".join(f"  x{i}: {{}}\n" for i in range(500))
    found = problems(text)
    assert len(found) == 101
    assert "more problems" in str(found[0])


def test_pushes_are_judged_in_order_of_time():
    first, second = "{at: 1s, set: {policies.b.hedge.after: 1s}}", "{at: 2s, set: {policies.b.hedge.max: 2}}"
    assert loads(f"{BASE}events: [{second}, {first}]").policies_after(0).policies["b"].hedge.max == 2


DETECTED = "policies: {b: {outlier_detection: {}}, a -> b: {failure_accrual: {}%s}}\n"


def test_an_edge_and_its_service_detect_failures_in_one_way():
    (problem,) = problems(BASE + DETECTED % "")
    assert problem.key == "policies.a -> b"
    assert "failure_accrual excludes outlier_detection of b (write outlier_detection: null" in str(problem)
    policy = loads(BASE + DETECTED % ", outlier_detection: null").policy("a", "b")
    assert policy.detection == policy.failure_accrual is not None


@pytest.mark.parametrize("layer", ["b", "a -> b"])
def test_a_push_that_adds_another_way_to_detect_failures_is_refused(layer):
    other = {"b": "a -> b", "a -> b": "b"}[layer]
    policies = f"policies: {{{other}: {{failure_accrual: {{}}}}}}\n"
    pushed = f"events: [{{at: 1s, set: {{policies.{layer}.outlier_detection: {{}}}}}}]\n"
    (problem,) = problems(BASE + policies + pushed)
    assert problem.key.startswith("events[0].set")
    assert "excludes" in str(problem)


@pytest.mark.parametrize("turn", [1, -1])
def test_the_keys_of_one_push_are_judged_together(turn):
    policies = "policies: {b: {outlier_detection: {}}}\n"
    changes = ["policies.b.failure_accrual: {}", "policies.b.outlier_detection: null"][::turn]
    pushed = loads(f"{BASE}{policies}events: [{{at: 1s, set: {{{', '.join(changes)}}}}}]")
    policy = pushed.policies_after(0).policies["b"]
    assert policy.detection == policy.failure_accrual is not None


def test_what_the_file_has_wrong_is_not_told_again_by_every_push():
    (problem,) = problems(
        BASE + "policies: {b: {timeot: 1s}}\nevents: [{at: 1s, set: {policies.b.timeout: 1s}}]"
    )
    assert problem.key == "policies.b.timeot"
