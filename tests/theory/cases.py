"""The shared table of cases as scenarios: what to run, and which of its outputs is which expected number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from readings import (
    AT_FIRST,
    HEDGED,
    IDLE,
    NUMBER,
    RETRIED,
    SERVICE_TIME,
    WAIT,
    AtMost,
    Check,
    Document,
    Mean,
    Part,
    Quantile,
    Variance,
    at,
    dropped_at,
    ejections_last,
    failed,
    of_load,
    requests_to_eject,
    share_of,
    slower_than,
    station,
    tries_per_second,
    waited,
    works_again,
)

TEN: Document = {"exponential": "10ms"}
QUANTILES = {
    "p50_ms": Quantile(0.5),
    "p90_ms": Quantile(0.9),
    "p95_ms": Quantile(0.95),
    "p99_ms": Quantile(0.99),
    "p999_ms": Quantile(0.999),
}


def lone(rate: float, *, policy: Document | None = None, **service: Any) -> Document:
    """The client and service x."""
    policies = {"policies": {"x": policy}} if policy else {}
    return {"services": {"x": service}, "load": [{"to": "x", "rate": f"{rate!r}/s"}], **policies}


def mm1(rate: float, warm: float, requests: int, fast: tuple[int, int] | None = None) -> Part:
    quantiles = QUANTILES
    checks: dict[str, Check] = {
        "util": station("utilisation"),
        "mean_sojourn_ms": at("latency", "mean"),
        "mean_wait_ms": WAIT,
        "L": NUMBER,
        "Lq": station("queue_mean"),
        "p_wait": waited(1),
        "asymp_var_wait": Variance(lambda run: 1e3 * WAIT.read(run), scale=requests),
        **quantiles,
    }
    burst = round(1.0 / (1.0 - rate / 100.0) ** 2)
    return Part(lone(rate, workers=1, time=TEN), rate, warm, checks, requests, fast, burst=burst)


def mmc(workers: int, warm: float, fast: tuple[int, int] | None = None) -> Part:
    checks: dict[str, Check] = {
        "p_wait": waited(workers),
        "mean_wait_ms": WAIT,
        "mean_sojourn_ms": at("latency", "mean"),
        "Lq": station("queue_mean"),
        **{key: check for key, check in QUANTILES.items() if key != "p95_ms"},
    }
    rate = 80.0 * workers
    document = lone(rate, workers=workers, time=TEN)
    requests, burst = (9_000, 2) if workers == 50 else (6_000, 10)
    return Part(document, rate, warm, checks, requests, fast, burst=burst)


def finite(rate: float, workers: int, queue: int, fast: tuple[int, int] | None = None) -> Part:
    checks: dict[str, Check] = {
        "p_block": failed("503"),
        "throughput": at("requests", "goodput"),
        "mean_sojourn_acc_ms": at("ok_latency", "mean"),
        "util": station("utilisation"),
        "L": NUMBER,
    }
    return Part(lone(rate, workers=workers, queue=queue, time=TEN), rate, 5.0, checks, 6_000, fast)


def mg1(time: Any, fast: tuple[int, int] | None = None) -> Part:
    checks: dict[str, Check] = {
        "mean_wait_ms": WAIT,
        "mean_sojourn_ms": at("latency", "mean"),
        "p_wait": waited(1),
    }
    return Part(lone(80.0, workers=1, time=time), 80.0, 10.0, checks, 6_000, fast)


def balanced(replicas: int, policy: Any, checks: Mapping[str, Check], requests: int = 6_000) -> Part:
    document = lone(80.0 * replicas, policy={"balance": policy}, workers=1, replicas=replicas, time=TEN)
    return Part(document, 80.0 * replicas, 8.0, checks, requests)


SOJOURN: dict[str, Check] = {"mean_sojourn_ms": at("latency", "mean")}
TURNS: dict[str, Check] = {
    **SOJOURN,
    "sigma": waited(1),
    "p_wait": waited(1),
    "p50_ms": Quantile(0.5),
    "p99_ms": Quantile(0.99),
}
ANY: dict[str, Check] = {**SOJOURN, "p99_ms": Quantile(0.99)}
FULL_SCAN = {"least_request": {"selection": "full_scan"}}


def gives_up(
    rate: float, tau: str, when: str, checks: Mapping[str, Check], fast: tuple[int, int] | None = None
) -> Part:
    document = lone(rate, policy={"timeout": tau}, workers=1, time=TEN, when_abandoned=when)
    return Part(document, rate, 5.0, checks, 6_000, fast)


def tried_again(backoff: Document, checks: Mapping[str, Check], fast: tuple[int, int] | None = None) -> Part:
    policy = {"retries": {"attempts": 2, "per_try_timeout": "100ms", "backoff": backoff}}
    document = lone(200.0, policy=policy, time={"exponential": "50ms"})
    return Part(document, 200.0, 1.0, checks, 6_000, fast, burst=1)


def failing(
    p: float, retries: int | str, names: tuple[str, str], fast: tuple[int, int] | None = None
) -> Part:
    policy = {"retries": {"attempts": retries, "backoff": {"base": 0}}}
    document = lone(200.0, policy=policy, time="1ms", errors=p)
    checks = {names[0]: at("attempts", "amplification"), names[1]: at("requests", "success_ratio")}
    return Part(document, 200.0, 1.0, checks, 6_000, fast, burst=1)


def closed(users: int, rate: float, fast: tuple[int, int] | None = None) -> Part:
    load = {"to": "x", "users": users, "think": {"exponential": "100ms"}}
    checks: dict[str, Check] = {
        "throughput_rps": at("requests", "rate"),
        "mean_sojourn_ms": at("latency", "mean"),
        "util": station("utilisation"),
    }
    return Part(
        {"services": {"x": {"workers": 1, "time": TEN}}, "load": [load]}, rate, 5.0, checks, 6_000, fast
    )


def fan_out(branches: int, requests: int, fast: tuple[int, int] | None = None) -> Part:
    services = {"root": {"script": [[{"call": "x"}] * branches]}, "x": {"time": TEN}}
    checks: dict[str, Check] = {
        "mean_ms": at("latency", "mean"),
        "p50_ms": Quantile(0.5),
        "p99_ms": Quantile(0.99),
    }
    document = {"services": services, "load": [{"to": "root", "rate": "100/s"}]}
    return Part(document, 100.0, 0.2, checks, requests, fast, burst=1)


def any_slow(branches: int, p: float, name: str, requests: int, replications: int) -> Part:
    slow = {"mixture": [{"weight": 1.0 - p, "constant": "1ms"}, {"weight": p, "constant": "10ms"}]}
    services = {"root": {"script": [[{"call": "x"}] * branches]}, "x": {"time": slow}}
    document = {"services": services, "load": [{"to": "root", "rate": "100/s"}]}
    checks = {name: slower_than(0.005)}
    return Part(document, 100.0, 0.1, checks, requests, replications=replications, burst=1)


def canary(weight: float, n: int, fast: tuple[int, int] | None = None) -> Part:
    services = {"x": {"versions": {"v1": {}, "v2": {}}}}
    load = [{"to": "x", "rate": "1000/s", "arrivals": "constant"}]
    policies = {"x": {"split": {"v1": 1.0 - weight, "v2": weight}}}
    checks: dict[str, Check] = {"mean": Mean(share_of("v2")), "sd": Variance(share_of("v2"))}
    document = {"services": services, "load": load, "policies": policies}
    return Part(document, 1000.0, 0.0, checks, n, fast, burst=1)


def metastable(rate: float, checks: Mapping[str, Check]) -> Part:
    """A database of 300/s whose clients give up after a second and try once more, slow for 9 s."""
    policy = {"retries": {"attempts": 1, "per_try_timeout": "1s", "backoff": {"base": 0}}}
    document = lone(rate, policy=policy, workers=30, time="100ms")
    document["events"] = [{"at": "5s", "for": "9s", "service": "x", "slow": 10}]
    document["drain"] = "1s"
    return Part(document, rate, 0.0, checks, replications=6, duration=110.0)


EJECTED = lone(
    2000.0,
    policy={
        "balance": "round_robin",
        "outlier_detection": {
            "consecutive_5xx": 5,
            "interval": "1000s",
            "base_ejection_time": "1000s",
            "max_ejection_time": "1000s",
            "max_ejection_percent": "100%",
        },
    },
    replicas=150,
    errors=0.8,
)
EJECTED_AGAIN = lone(
    20.0,
    policy={
        "outlier_detection": {
            "consecutive_5xx": 1,
            "interval": "500ms",
            "base_ejection_time": "30s",
            "max_ejection_time": "300s",
            "max_ejection_percent": "100%",
        }
    },
    errors=1.0,
)
EJECTED_AGAIN["load"][0]["arrivals"] = "constant"

UT = failed("UT")
TIMED: dict[str, Check] = {"util": station("utilisation"), "P0": IDLE, "p_abandon": dropped_at(0.05)}
HEDGE = lone(200.0, policy={"hedge": {"after": "29.957322735539908ms"}}, time=TEN)
BIMODAL = {"mixture": [{"weight": 0.999, "exponential": "100us"}, {"weight": 0.001, "exponential": "10ms"}]}
PRIORITIES: Document = {
    "services": {"x": {"workers": 1, "time": TEN, "discipline": "priority"}},
    "load": [{"to": "x", "rate": "30/s", "priority": 1}, {"to": "x", "rate": "50/s"}],
}
MMPP: Document = {
    "services": {"x": {"workers": 1, "time": TEN}},
    "load": [{"to": "x", "arrivals": {"mmpp": {"rates": ["40/s", "120/s"], "mean_times": ["1s", "500ms"]}}}],
}
CAPPED = lone(
    200.0,
    policy={
        "retries": {
            "attempts": "unlimited",
            "backoff": {"base": 0},
            "budget": {"ratio": 0.2, "min_per_second": 0},
        }
    },
    errors=1.0,
)
THREE = ("load_three_retries", "success_three_retries")

CASES: dict[str, list[Part]] = {
    "MM1_rho0.50": [mm1(50.0, 3.0, 6_000, (12, 1_500))],
    "MM1_rho0.80": [mm1(80.0, 10.0, 11_000)],
    "MM1_rho0.90": [mm1(90.0, 40.0, 18_000)],
    "MM2_rho0.80": [mmc(2, 6.0)],
    "MM4_rho0.80": [mmc(4, 4.0, (12, 1_500))],
    "MM8_rho0.80": [mmc(8, 3.0)],
    "MM10_rho0.80": [mmc(10, 2.0)],
    "MM50_rho0.80": [mmc(50, 0.5)],
    "ErlangC_Brooker2020": [
        Part(lone(2.5, workers=5, time={"exponential": "1s"}), 2.5, 30.0, {"p_wait_c5": waited(5)}, 5_000),
        Part(lone(5.0, workers=10, time={"exponential": "1s"}), 5.0, 30.0, {"p_wait_c10": waited(10)}, 5_000),
    ],
    "MM4_10_overload": [finite(450.0, 4, 6, (12, 1_500))],
    "MM1_11_overload": [finite(120.0, 1, 10)],
    "MG1_D_rho0.8": [mg1("10ms", (12, 1_500))],
    "MG1_Erlang4_rho0.8": [mg1({"erlang": {"mean": "10ms", "k": 4}})],
    "MG1_gamma_scv0.5_rho0.8": [mg1({"gamma": {"mean": "10ms", "cv": 0.5**0.5}})],
    "Brooker_openclosed_bimodal_open": [
        Part(
            lone(7279.344858962694, workers=1, time=BIMODAL),
            7279.344858962694,
            0.5,
            {
                "mean_service_ms": SERVICE_TIME,
                "mean_wait_ms": WAIT,
                "mean_sojourn_ms": at("latency", "mean"),
            },
            16_000,
        )
    ],
    "DM1_rho0.8": [
        Part(
            {
                **lone(80.0, workers=1, time=TEN),
                "load": [{"to": "x", "rate": "80/s", "arrivals": "constant"}],
            },
            80.0,
            8.0,
            {
                "sigma": waited(1),
                "p_wait": waited(1),
                "mean_sojourn_ms": at("latency", "mean"),
                "mean_wait_ms": WAIT,
                "p99_ms": Quantile(0.99),
            },
            6_000,
        )
    ],
    "RR_2xMM1": [balanced(2, "round_robin", TURNS)],
    "RANDOM_2xMM1": [balanced(2, "random", ANY)],
    "RANDOM_4xMM1": [balanced(4, "random", ANY)],
    "RR_10xMM1": [balanced(10, "round_robin", TURNS, 8_000)],
    "RANDOM_10xMM1": [balanced(10, "random", ANY, 8_000)],
    "JSQ_2": [balanced(2, FULL_SCAN, SOJOURN)],
    "JSQ_4": [balanced(4, FULL_SCAN, SOJOURN)],
    "MM1_priority_nonpreempt": [
        Part(
            PRIORITIES,
            80.0,
            10.0,
            {"wait_hi_ms": of_load(0, 0.01), "wait_lo_ms": of_load(1, 0.01)},
            6_000,
        )
    ],
    "MM1_det_queue_timeout_lam80": [gives_up(80.0, "50ms", "leave_queue", TIMED)],
    "MM1_det_queue_timeout_lam100": [gives_up(100.0, "50ms", "leave_queue", TIMED, (12, 1_500))],
    "MM1_det_total_timeout_cancel_lam100": [
        gives_up(
            100.0,
            "50ms",
            "stop",
            {
                "P0": IDLE,
                "p_timeout": UT,
                "util": station("utilisation"),
                "mean_sojourn_success_ms": at("ok_latency", "mean"),
                "goodput": at("requests", "goodput"),
            },
            (12, 2_000),
        )
    ],
    "MM1_client_timeout_no_cancel": [
        gives_up(
            80.0,
            "100ms",
            "finish",
            {
                "p_timeout": UT,
                "mean_sojourn_success_ms": at("ok_latency", "mean"),
                "mean_client_latency_ms": at("latency", "mean"),
                "util": station("utilisation"),
            },
        )
    ],
    "timeout_retry_inf_server": [
        tried_again(
            {"base": 0},
            {
                "p_try_timeout": RETRIED,
                "success": at("requests", "success_ratio"),
                "attempts_per_request": at("attempts", "amplification"),
                "mean_client_ms": at("latency", "mean"),
                "mean_success_given_first_ms": AT_FIRST,
            },
            (12, 2_000),
        )
    ],
    "timeout_retry_backoff_envoy": [
        tried_again(
            {"base": "25ms"},
            {
                "success": at("requests", "success_ratio"),
                "attempts_per_request": at("attempts", "amplification"),
                "mean_client_ms": at("latency", "mean"),
            },
            (12, 2_000),
        )
    ],
    "retry_amp_p0.1_n3": [failing(0.1, 3, ("amplification", "success"))],
    "retry_amp_p0.3_n2": [failing(0.3, 2, ("amplification", "success"), (12, 1_500))],
    "retry_amp_p0.5_n3": [failing(0.5, 3, ("amplification", "success"))],
    "MM1_feedback_inf": [
        Part(
            lone(
                50.0,
                policy={"retries": {"attempts": "unlimited", "backoff": {"base": 0}}},
                workers=1,
                time=TEN,
                errors=0.3,
            ),
            50.0,
            8.0,
            {"util": station("utilisation"), "mean_total_sojourn_ms": at("latency", "mean")},
        )
    ],
    "closed_N5": [closed(5, 43.6, (12, 1_500))],
    "closed_N20": [closed(20, 99.8)],
    "fanout_max2": [fan_out(2, 6_000)],
    "fanout_max10": [fan_out(10, 1_000, (12, 250))],
    "fanout_max100": [fan_out(100, 150)],
    "tail_at_scale_fanout": [
        any_slow(100, 0.01, "p_any_slow", 150, 24),
        any_slow(2000, 1e-4, "p_any_slow_1e4_2000", 15, 20),
    ],
    "hedge_exp_p95": [
        Part(
            HEDGE,
            200.0,
            0.5,
            {
                "extra_load": HEDGED,
                "mean_ms": at("latency", "mean"),
                "p99_ms": Quantile(0.99),
                "p999_ms": Quantile(0.999),
            },
            6_000,
            (12, 1_500),
            burst=1,
        )
    ],
    "MMPP_M_1": [
        Part(
            MMPP,
            66.667,
            30.0,
            {"mean_rate": at("requests", "rate"), "L": NUMBER, "mean_sojourn_ms": at("latency", "mean")},
            12_000,
            burst=100,
        )
    ],
    "consecutive5xx_run_p0.8": [
        Part(
            EJECTED,
            2000.0,
            0.0,
            {
                "mean_requests_to_eject": Mean(lambda run: float(requests_to_eject(run).mean())),
                "sd": Mean(lambda run: float(requests_to_eject(run).var(ddof=1))),
            },
            replications=24,
            duration=6.0,
            solved=False,
        )
    ],
    "ejection_time": [
        Part(
            EJECTED_AGAIN,
            20.0,
            0.0,
            {
                "durations_s": ejections_last(
                    [30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0, 270.0, 300.0, 300.0]
                )
            },
            replications=1,
            duration=1960.0,
            solved=False,
        )
    ],
    "canary_w0.1_N10000": [canary(0.1, 10_000)],
    "canary_w0.05_N2000": [canary(0.05, 2_000, (20, 2_000))],
    "retry_budget_10pct_p0.05": [failing(0.05, 3, THREE)],
    "retry_budget_10pct_p0.2": [failing(0.2, 3, THREE)],
    "retry_budget_10pct_p0.5": [failing(0.5, 3, THREE)],
    "retry_budget_10pct_p1.0": [failing(1.0, 3, THREE)],
    "retry_budget_cap": [
        Part(
            CAPPED,
            200.0,
            0.0,
            {"max_load": AtMost(lambda run: run.summary["attempts"]["amplification"])},
            4_000,
            replications=4,
        )
    ],
    "metastable_hotos_fluid": [
        metastable(280.0, {"load_after_trigger": tries_per_second(40.0, 100.0)}),
        metastable(280.0, {"vulnerable_range": works_again(95.0, False)}),
        metastable(170.0, {"stable_threshold": works_again(95.0, False)}),
        metastable(130.0, {"stable_threshold": works_again(95.0, True)}),
    ],
}

UNITS = {"sd": {"canary_w0.1_N10000": 2, "canary_w0.05_N2000": 2, "consecutive5xx_run_p0.8": 2}}
"""Expected numbers that are compared after raising them to a power: standard deviations, as variances."""

BATCHES = "the format's bucket refills continuously; its own law is checked instead"
DEPOSITS = "a budget that earns with each first try; Linkerd's earns with each end that is final"

NOT_EXPRESSED: dict[str, dict[str, str]] = {
    "Brooker_openclosed_bimodal_open": {"scv": "an input: service times are drawn with it"},
    "P2C_4_distinct": {
        "*": "the format's least_request draws with replacement, as Envoy does; two distinct choices take a"
        " balancer of the user's own"
    },
    "P2C_meanfield": {"*": "a limit of infinitely many replicas; see the approximations for 100"},
    "MG1_PS": {"*": "no processor sharing: workers serve one request at a time"},
    "jackson_branch_feedback": {"*": "its route goes in a circle; services can't call each other in one"},
    "availability_mtbf": {"*": "events happen at given times, not after random ones"},
    "canary_w0.1_N10000": {"ci95": "1.96 times the standard deviation, which is compared"},
    "canary_w0.05_N2000": {"ci95": "1.96 times the standard deviation, which is compared"},
    "tokenbucket_batch_lam80": {"*": BATCHES},
    "tokenbucket_batch_lam120": {"*": BATCHES},
    **{
        f"retry_budget_10pct_p{p}": {"load_budget": DEPOSITS, "success_budget": DEPOSITS}
        for p in ("0.05", "0.2", "0.5", "1.0")
    },
}
"""Expected numbers that no scenario can show, and why; ``*``: none of the case's."""
