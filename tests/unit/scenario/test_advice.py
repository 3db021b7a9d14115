import pytest

from meshsim.scenario import loads
from meshsim.scenario.advice import advise
from meshsim.scenario.document import parse

BASE = """
duration: 9s
services: {a: {script: [{call: b}]}, b: {replicas: 3}, c: {}}
load: [{to: a, rate: 1/s}]
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mesh: {proxy: {time: 1ms}}", "without sidecars"),
        ("mesh: {push_delay: 1ms}", "no event sets"),
        (
            "mesh: {dataplane: sidecar, mtls: {rotate_at: 90%, jitter: 11%}}",
            "mesh.mtls.rotate_at and jitter let certificates expire before their renewal begins",
        ),
        ("policies: {c: {timeout: 1s}}", "nobody calls c"),
        ("policies: {b: {outlier_detection: {}}}", "10% of 3 hosts"),
        ("policies: {a -> b: {outlier_detection: {max_ejection_percent: 33%}}}", "33% of 3 hosts"),
        (
            "policies: {b: {outlier_detection: {max_ejection_percent: 34%, always_eject_one: true}}}",
            "policies.b.outlier_detection.always_eject_one has no effect: 34% of 3 hosts is at least one.",
        ),
        (
            "policies: {b: {outlier_detection: {max_ejection_percent: 34%, success_rate: {}}}}",
            "policies.b.outlier_detection.success_rate has no effect: of 5 hosts that it needs there are 3.",
        ),
        (
            "policies: {b: {outlier_detection: {max_ejection_percent: 34%, success_rate: {hosts: 3}}}}",
            "of 3 hosts none lies more than 1.41 standard deviations too low (write a lower factor).",
        ),
        ("policies: {b: {timeout: 1s, retries: {per_try_timeout: 1s}}}", "not shorter than the timeout"),
        ("policies: {b: {retries: {on: [refused-stream]}}}", "refused-stream"),
        ("policies: {b: {retries: {on: [5xx], statuses: [500, 503]}}}", '"5xx" retries them already'),
        ("policies: {a: {retries: {previous_hosts: true}}}", "there is one host"),
        ("policies: {b: {retries: {host_attempts: 2}}}", "write previous_hosts: true"),
        (
            "policies: {b: {retries: {backoff: {base: 1s, max: 1s, jitter: 50%}}}}",
            "no wait is longer than max",
        ),
        ("policies: {b: {failure_accrual: {max_penalty: 1s}}}", "no penalty exceeds max_penalty"),
        ("policies: {b: {timeout: 1s, hedge: {after: 2s}}}", "after the timeout"),
        ("objectives: [{service: c, p99: 1s}]", "no request reaches c"),
        (
            "events: [{at: 1s, for: 1s, component: control_plane, down: true}]",
            "events[0] has no effect: no event sets, scales or restarts anything",
        ),
        (
            "mesh: {control_plane: {workers: 2}}\nevents: [{at: 1s, set: {policies.b.timeout: 1s}}]",
            "mesh.control_plane.workers has no effect: a configuration takes no time",
        ),
        (
            "policies: {b: {connection: {max_age: 9s}}}",
            "policies.b.connection.max_age has no effect: it is not shorter than duration.",
        ),
        (
            "policies: {b: {connection: {connect_timeout: 1s}}}",
            "policies.b.connection.connect_timeout has no effect: connections open in no time",
        ),
        (
            "links: {default: {connect: 10ms}}\npolicies: {b: {connection: {connect_timeout: 5ms}}}",
            "connect_timeout 5ms is not above links.default.connect 10ms: no connection ever opens.",
        ),
    ],
)
def test_what_has_no_effect_is_told(text: str, words: str) -> None:
    (advice,) = advise(loads(BASE + text))
    assert words in advice


@pytest.mark.parametrize(
    ("preset", "policy", "expected"),
    [
        (
            "istio",
            "retries: {per_try_timeout: 250ms}",
            (
                "policies.b.retries.per_try_timeout: a try that times out is not retried (write on:"
                " [5xx, reset]). This is on line 7; retries.on [connect-failure, refused-stream, unavailable,"
                " cancelled] is of mesh.preset istio on line 5."
            ),
        ),
        (
            "envoy",
            "hedge: {after: 15s}",
            (
                "policies.b.hedge has no effect: it would come after the timeout."
                " This is on line 7; timeout 15s is of mesh.preset envoy on line 5."
            ),
        ),
        (
            "istio",
            "outlier_detection: {}",
            (
                "policies.b.outlier_detection ejects nobody: 10% of 3 hosts is less than one (raise"
                " max_ejection_percent). This is on line 7; outlier_detection.max_ejection_percent 10% is of"
                " mesh.preset istio on line 5."
            ),
        ),
        (
            "envoy",
            "outlier_detection: {max_ejection_percent: 70%}",
            (
                "policies.b.outlier_detection.max_ejection_percent: once 1 of 3 hosts are left, all are used"
                " (write min_health_percent: 0%). This is on line 7; outlier_detection.min_health_percent 50%"
                " is of mesh.preset envoy on line 5."
            ),
        ),
        (
            "envoy",
            "retries: {attempts: 2}",
            (
                "policies.b.retries: at most 3 at once from each proxy (write a budget, or max_retries)."
                " This is on line 7; circuit_breaker.max_retries 3 is of mesh.preset envoy on line 5."
            ),
        ),
    ],
)
def test_what_a_preset_contradicts_is_told_with_both_lines(preset: str, policy: str, expected: str) -> None:
    text = f"{BASE}mesh: {{preset: {preset}, dataplane: sidecar}}\npolicies:\n  b: {{{policy}}}\n"
    document = parse(text, "s.yaml")
    assert advise(loads(text), document) == [expected]
    (short,) = advise(loads(text))
    assert "line" not in short
    assert short.endswith(f"is of mesh.preset {preset}.")
    bare = loads(text, overrides={"mesh.preset": "none"})
    assert all("preset" not in each for each in advise(bare))


def test_what_only_a_preset_says_is_no_contradiction() -> None:
    for preset in ("envoy", "istio", "linkerd"):
        text = f"{BASE}mesh: {{preset: {preset}, dataplane: sidecar}}\npolicies: {{a: {{timeout: 1s}}}}\n"
        assert advise(loads(text)) == [], "though a has one host, and Istio's retries avoid those tried"


def test_a_preset_makes_what_is_written_act() -> None:
    text = f"{BASE}policies: {{b: {{retries: {{host_attempts: 2}}}}}}\n"
    (told,) = advise(loads(text))
    assert "write previous_hosts: true" in told
    assert advise(loads(text + "mesh: {preset: istio, dataplane: sidecar}")) == []


def test_a_preset_without_sidecars_is_told() -> None:
    (advice,) = advise(loads(BASE + "mesh: {preset: istio}"))
    assert advice == (
        "mesh.preset istio without sidecars: its policies act at the callers, as a client library's would"
        " (write dataplane: sidecar)."
    )


def test_each_policy_is_told_of_its_own_keys() -> None:
    policies = "{b: {outlier_detection: {}, retries: {per_try_timeout: 2s}}, a -> b: {timeout: 1s}}"
    first, second = advise(loads(f"{BASE}policies: {policies}"))
    assert first.startswith("policies.b.outlier_detection ejects nobody")
    assert second.startswith("policies.a -> b.retries.per_try_timeout has no effect")


RACE = """
duration: 9s
services: {a: {keep_alive: 5s}}
links: {default: {latency: 1ms}}
load: [{to: a, rate: 1/s}]
policies: {a: {POLICY}}
"""
HARM = "the server closes first, and a request that is then on its way fails with 503 UC"
NONE = f"services.a.keep_alive 5s and no policies.a.connection.idle_timeout: {HARM} (write one below it)."
LATE = (
    "policies.a.connection.idle_timeout 4.999s is not below services.a.keep_alive 5s by two latencies: "
    f"{HARM} (make it less, or retry on reset)."
)
SENT = (
    "policies.a.retries.on reset-before-request does not retry that: "
    "what meets a closing connection has been sent (write reset)."
)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("", [NONE]),
        ("connection: {idle_timeout: 4.999s}", [LATE]),
        ("connection: {idle_timeout: 4.998s}", []),
        ("connection: {max_age: 3s}", []),
        ("connection: {max_requests: 1}", []),
        ("retries: {on: [reset-before-request]}", [NONE, SENT]),
        ("retries: {attempts: 0, on: [reset]}", [NONE]),
        ("retries: {on: [reset-before-request, reset]}", [NONE.replace(" UC", " UC, and is retried")]),
        (
            "retries: {on: [5xx]}, connection: {idle_timeout: 1h}",
            [
                "policies.a.connection.idle_timeout has no effect: it is not shorter than duration.",
                (
                    "policies.a.connection.idle_timeout 1h is not below services.a.keep_alive 5s by two"
                    f" latencies: {HARM}, and is retried (make it less)."
                ),
            ],
        ),
    ],
)
def test_who_closes_first_is_told(policy: str, told: list[str]) -> None:
    assert advise(loads(RACE.replace("POLICY", policy))) == told


def test_priority_without_anybody_who_looks_at_it() -> None:
    (advice,) = advise(loads(BASE.replace("rate: 1/s", "rate: 1/s, priority: 2")))
    assert "priority has no effect" in advice


def test_load_after_the_end_is_told(tmp_path) -> None:
    points = "profile: [{at: 0s, rate: 1/s}, {at: 9s, rate: 2/s}]"
    (advice,) = advise(loads(BASE.replace("rate: 1/s", points)))
    assert advice.startswith("load[0].profile: 1 of 2 points have no effect")
    (tmp_path / "t.csv").write_text("time\n1\n8\n9\n10\n")
    trace = "arrivals: {trace: {file: t.csv}}"
    (advice,) = advise(loads(BASE.replace("rate: 1/s", trace), folder=tmp_path))
    assert advice.startswith("load[0].arrivals.trace: 2 of 4 requests do not come")


@pytest.mark.parametrize(
    "text",
    [
        "mesh: {dataplane: sidecar, proxy: {time: 1ms}}",
        "policies: {b: {timeout: 1s, retries: {per_try_timeout: 500ms}, hedge: {after: 100ms}}}",
        "policies: {b: {retries: {backoff: {max: 60ms, jitter: 50%}}}}",
        "policies: {b: {outlier_detection: {max_ejection_percent: 34%}}}",
        "policies: {b: {outlier_detection: {always_eject_one: true}}}",
        "policies: {b: {failure_accrual: {}}, a: {failure_accrual: {max_penalty: 1s, jitter: 0%}}}",
        "policies: {b: {retries: {previous_hosts: true, host_attempts: 5}}}",
        "policies: {b: {retries: {statuses: [503]}}, a -> b: {retries: {on: [5xx], statuses: [409, 503]}}}",
        "objectives: [{service: b, p99: 1s}]",
        """mesh: {dataplane: sidecar, push_delay: 1ms, mtls: {rotate_at: 90%, jitter: 10%}}
events: [{at: 1s, component: ca, rotate_root: true}]""",
    ],
)
def test_what_acts_is_not_told(text: str) -> None:
    assert advise(loads(BASE + text)) == []


def test_what_runs_live_may_be_changed_and_scaled_without_an_event() -> None:
    scenario = loads(
        BASE.replace("c: {}", "c: {startup: 1s, drain: 1s}")
        + "mesh: {dataplane: sidecar, push_delay: 1ms, control_plane: {}}"
    )
    assert len(advise(scenario)) == 4
    assert advise(scenario, live=True) == []


def test_the_layer_that_says_it_is_named() -> None:
    text = RACE.replace("POLICY}", "connection: {idle_timeout: 4.999s}}, client -> a: {timeout: 2s}")
    assert advise(loads(text)) == [LATE]


def test_a_race_without_latency_is_told_to_be_none() -> None:
    text = RACE.replace("{POLICY}", "{}").replace("latency: 1ms", "latency: 0s")
    why = "without latency none is on its way when the server closes (write links.default.latency)"
    expected = f"services.a.keep_alive fails no request of client when simulated: {why}."
    assert advise(loads(text)) == [expected]
    closed = text.replace("a: {}}", "a: {connection: {idle_timeout: 5s}}}")
    assert advise(loads(closed)) == []


def test_a_server_that_keeps_connections_to_the_end_closes_none() -> None:
    text = RACE.replace("{POLICY}", "{}").replace("keep_alive: 5s", "keep_alive: 9s")
    assert advise(loads(text)) == ["services.a.keep_alive has no effect: it is not shorter than duration."]


# ---- mTLS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mtls", "events", "since"),
    [
        ("{mode: strict}", "[]", ""),
        ("{}", "[{at: 30s, set: {mesh.mtls.mode: strict}}]", " from 30s on"),
        ("{}", "[]", None),
        ("{mode: disable}", "[]", None),
    ],
)
def test_who_has_no_sidecar_is_told_that_a_strict_service_refuses_it(mtls, events, since):
    scenario = loads(f"""
        duration: 60s
        services: {{old: {{sidecar: false, script: [{{call: cart}}]}}, cart: {{}}}}
        mesh: {{dataplane: sidecar, mtls: {mtls}}}
        load: [{{to: old, rate: 1/s}}]
        events: {events}
    """)
    found = [each for each in advise(scenario) if "refuses its calls" in each]
    assert len(found) == (since is not None)
    assert all(f"services.old.sidecar: false: cart takes mTLS alone{since} and" in each for each in found)


ROLLED = """
mesh: {push_delay: {uniform: {low: 100ms, high: 900ms}}, control_plane: {debounce: 100ms, time: 5ms}}
events: [{at: 1s, service: b, restart: {}}]
"""


@pytest.mark.parametrize(
    ("drain", "told"),
    [("650ms", True), ("900ms", True), ("1005ms", False)],  # callers know after 205 to 1005 ms
)
def test_a_drain_is_too_short_where_a_hundredth_of_the_callers_does_not_know(drain: str, told: bool) -> None:
    notes = advise(loads(BASE + ROLLED, overrides=[f"services.b.drain={drain}"]))
    assert [note.startswith(f"services.b.drain, {drain}, is too short") for note in notes] == [True] * told


@pytest.mark.parametrize(
    ("changed", "drain", "enough"),
    [
        # a client, a, c, 4 of b, 1 more and up to 4 that leave: the last waits for 12, one of them made twice
        (["mesh.control_plane={time: 2s, workers: 1}"], "3s", "27s"),
        (["mesh.control_plane={time: 100ms, workers: 2}", "services.a.replicas=60"], "2s", "4.7s"),
        # a new replica is ready 4 s after the last: the push waits on, up to debounce_max
        (["mesh.control_plane={debounce: 5s}"], "6s", "11s"),
        (["mesh.control_plane={debounce: 20s, debounce_max: 30s}"], "21s", "31s"),
    ],
)
def test_a_drain_is_too_short_where_pushes_wait(changed: list[str], drain: str, enough: str) -> None:
    base = [*changed, "services.b={replicas: 4, startup: 4s}"]
    notes = advise(loads(BASE + ROLLED, overrides=[*base, f"services.b.drain={drain}"]))
    assert len(notes) == 1
    assert notes[0].startswith(f"services.b.drain, {drain}, is too short: it takes up to ")
    assert advise(loads(BASE + ROLLED, overrides=[*base, f"services.b.drain={enough}"])) == []


@pytest.mark.parametrize("b", ["{replicas: 4, startup: 6s, drain: 6s}", "{startup: 4s, drain: 6s}"])
def test_a_push_that_nothing_joins_waits_for_its_own_debounce_alone(b: str) -> None:
    """The next change comes later, or there is none: one replica leaves when its successor is ready."""
    changed = ["mesh.control_plane={debounce: 5s}", f"services.b={b}"]
    assert advise(loads(BASE + ROLLED, overrides=changed)) == []


def test_no_drain_is_too_short_where_nobody_calls() -> None:
    changed = ["services.idle={replicas: 2, drain: 0s}", "events[0].service=idle"]
    assert advise(loads(BASE + ROLLED, overrides=changed)) == []
