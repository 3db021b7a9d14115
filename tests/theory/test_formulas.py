"""Every number of the shared table of cases, reproduced by the formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshsim.theory import (
    availability,
    balancing,
    bucket,
    budgets,
    erlang,
    finite,
    forkjoin,
    general,
    hedging,
    markov,
    networks,
    outliers,
    overload,
    patience,
    priority,
    renewal,
    retries,
    split,
)

TABLE = Path(__file__).resolve().parents[3] / "shared" / "theory" / "cases.json"
CASES: dict[str, dict[str, Any]] = (
    {case["name"]: case for case in json.loads(TABLE.read_text(encoding="utf-8"))} if TABLE.exists() else {}
)
DIGITS = 1e-7
"""The table gives eight digits; those of a chain that is cut are off by the probability of the cut."""

Params = dict[str, Any]
Numbers = dict[str, Any]


# ---- single queues ----------------------------------------------------------------------------------


def _mm1(p: Params) -> Numbers:
    lam, mu = p["lam"], 1e3 / p["mean_ms"]
    quantiles = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}
    return {
        "util": lam / mu,
        "mean_sojourn_ms": 1e3 * erlang.mmc_sojourn(lam, mu),
        "mean_wait_ms": 1e3 * erlang.mmc_wait(lam, mu),
        "L": lam * erlang.mmc_sojourn(lam, mu),
        "Lq": erlang.mmc_queue(lam, mu),
        "p_wait": erlang.erlang_c(1, lam / mu),
        "asymp_var_wait": 1e6 * erlang.mm1_wait_mean_variance(lam, mu),
        **{key: 1e3 * erlang.mmc_sojourn_quantile(q, lam, mu) for key, q in quantiles.items()},
    }


def _mmc(p: Params) -> Numbers:
    lam, mu, c = p["lam"], 1e3 / p["mean_ms"], p["workers"]
    quantiles = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999}
    return {
        "p_wait": erlang.erlang_c(c, lam / mu),
        "mean_wait_ms": 1e3 * erlang.mmc_wait(lam, mu, c),
        "mean_sojourn_ms": 1e3 * erlang.mmc_sojourn(lam, mu, c),
        "Lq": erlang.mmc_queue(lam, mu, c),
        **{key: 1e3 * erlang.mmc_sojourn_quantile(q, lam, mu, c) for key, q in quantiles.items()},
    }


def _brooker_erlang(_: Params) -> Numbers:
    return {"p_wait_c5": erlang.erlang_c(5, 2.5), "p_wait_c10": erlang.erlang_c(10, 5.0)}


def _mmck(p: Params) -> Numbers:
    solved = finite.mmck(p["lam"], 1e3 / p["mean_ms"], p["workers"], p["K_total"])
    return {
        "p_block": solved.block,
        "throughput": solved.throughput,
        "mean_sojourn_acc_ms": 1e3 * solved.sojourn,
        "util": solved.utilisation,
        "L": solved.number,
    }


def _mg1(p: Params) -> Numbers:
    wait = general.mg1_wait(p["lam"], p["mean_ms"] / 1e3, p["scv"])
    return {
        "mean_wait_ms": 1e3 * wait,
        "mean_sojourn_ms": 1e3 * wait + p["mean_ms"],
        "p_wait": p["lam"] * p["mean_ms"] / 1e3,
    }


def _bimodal(p: Params) -> Numbers:
    mean, square = 0.999 * 0.1 + 0.001 * 10.0, 2.0 * (0.999 * 0.01 + 0.001 * 100.0)
    scv = square / mean**2 - 1.0
    wait = general.mg1_wait(p["rho"] / mean, mean, scv)
    return {"mean_service_ms": mean, "scv": scv, "mean_wait_ms": wait, "mean_sojourn_ms": wait + mean}


def _dm1(p: Params) -> Numbers:
    mu = 1e3 / p["mean_ms"]
    sigma = renewal.dm1_sigma(0.0125, mu)
    return {
        "sigma": sigma,
        "p_wait": sigma,
        "mean_sojourn_ms": 1e3 * renewal.gm1_sojourn(sigma, mu),
        "mean_wait_ms": 1e3 * renewal.gm1_wait(sigma, mu),
        "p99_ms": 1e3 * renewal.gm1_sojourn_quantile(0.99, sigma, mu),
    }


def _ps(p: Params) -> Numbers:
    lam, mean = p["lam"], p["mean_ms"] / 1e3
    return {
        "mean_sojourn_ms": 1e3 * general.ps_sojourn(lam, mean),
        "slowdown": general.ps_sojourn_of_size(lam, mean, 1.0),
        "mean_given_size_20ms": 1e3 * general.ps_sojourn_of_size(lam, mean, 0.02),
    }


def _priority(p: Params) -> Numbers:
    high, low = priority.cobham_waits([p["lam1"], p["lam2"]], p["mean_ms"] / 1e3)
    return {"wait_hi_ms": 1e3 * high, "wait_lo_ms": 1e3 * low}


def _mmpp(p: Params) -> Numbers:
    phases = markov.mmpp([p["rate_low"], p["rate_high"]], [p["mean_low_s"], p["mean_high_s"]])
    solved = markov.map_m_c(*phases, 1e3 / p["mean_ms"])
    return {"mean_rate": solved.rate, "L": solved.number, "mean_sojourn_ms": 1e3 * solved.sojourn}


def _kingman(p: Params) -> Numbers:
    return {"mean_wait_ms": 1e3 * general.kingman_wait(p["lam"], p["mean_ms"] / 1e3, p["ca2"], p["cs2"])}


def _allen_cunneen(p: Params) -> Numbers:
    wait = general.allen_cunneen_wait(p["lam"], p["mean_ms"] / 1e3, p["workers"], p["ca2"], p["cs2"])
    return {"mean_wait_ms": 1e3 * wait}


# ---- balancers --------------------------------------------------------------------------------------


def _round_robin(p: Params) -> Numbers:
    mu, k = 1e3 / p["mean_ms"], p["replicas"]
    sigma = renewal.ekm1_sigma(p["lam"] / k, k, mu)
    return {
        "sigma": sigma,
        "p_wait": sigma,
        "mean_sojourn_ms": 1e3 * renewal.gm1_sojourn(sigma, mu),
        "p50_ms": 1e3 * renewal.gm1_sojourn_quantile(0.5, sigma, mu),
        "p99_ms": 1e3 * renewal.gm1_sojourn_quantile(0.99, sigma, mu),
    }


def _random(p: Params) -> Numbers:
    lam, mu = p["lam"] / p["replicas"], 1e3 / p["mean_ms"]
    return {
        "mean_sojourn_ms": 1e3 * erlang.mmc_sojourn(lam, mu),
        "p99_ms": 1e3 * erlang.mmc_sojourn_quantile(0.99, lam, mu),
    }


def _balanced(choice: balancing.Choice) -> Callable[[Params], Numbers]:
    def solve(p: Params) -> Numbers:
        solved = balancing.balanced(p["lam"], 1e3 / p["mean_ms"], p["replicas"], choice)
        return {"mean_sojourn_ms": 1e3 * solved.sojourn}

    return solve


def _mean_field(_: Params) -> Numbers:
    return {
        f"T_d{d}_rho{rho}": balancing.mean_field_sojourn(rho, d)
        for d in (2, 3, 5)
        for rho in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    }


# ---- time-outs and retries --------------------------------------------------------------------------


def _queue_timeout(p: Params) -> Numbers:
    lam, mu, tau = p["lam"], 1e3 / p["mean_ms"], p["timeout_ms"] / 1e3
    idle = patience.queue_timeout_idle(lam, mu, tau)
    return {"P0": idle, "p_abandon": patience.queue_timeout_abandon(lam, mu, tau), "util": 1.0 - idle}


def _total_timeout(p: Params) -> Numbers:
    lam, mu, tau = p["lam"], 1e3 / p["mean_ms"], p["timeout_ms"] / 1e3
    idle = patience.bounded_sojourn_idle(lam, mu, tau)
    return {
        "P0": idle,
        "p_timeout": patience.bounded_sojourn_timeout(lam, mu, tau),
        "util": 1.0 - idle,
        "mean_sojourn_success_ms": 1e3 * patience.bounded_sojourn_success_sojourn(lam, mu, tau),
        "goodput": lam * patience.bounded_sojourn_success(lam, mu, tau, tau),
    }


def _client_timeout(p: Params) -> Numbers:
    lam, mu, tau = p["lam"], 1e3 / p["mean_ms"], p["timeout_ms"] / 1e3
    return {
        "p_timeout": patience.client_timeout_ratio(lam, mu, tau),
        "mean_sojourn_success_ms": 1e3 * patience.client_timeout_success_latency(lam, mu, tau),
        "mean_client_latency_ms": 1e3 * patience.client_timeout_latency(lam, mu, tau),
        "util": lam / mu,
    }


def _timeout_retry(base: float) -> Callable[[Params], Numbers]:
    def solve(p: Params) -> Numbers:
        mean, tau, n = 0.05, p["per_try_timeout_ms"] / 1e3, p["retries"]
        late = math.exp(-tau / mean)
        waits = retries.backoff_means(base, 10.0 * base, n)
        first = {"p_try_timeout": late, "mean_success_given_first_ms": 1e3 * _cut_mean(mean, tau)}
        return {
            "success": retries.success(late, n),
            "attempts_per_request": retries.amplification(late, n),
            "mean_client_ms": 1e3 * retries.client_latency(late, mean * (1.0 - late), waits),
            **(first if base == 0.0 else {}),
        }

    return solve


def _cut_mean(mean: float, tau: float) -> float:
    """Mean of an exponential that is known to be below tau."""
    return patience.client_timeout_success_latency(0.0, 1.0 / mean, tau)


def _amplified(p: Params) -> Numbers:
    return {
        "amplification": retries.amplification(p["fail_prob"], p["retries"]),
        "success": retries.success(p["fail_prob"], p["retries"]),
    }


def _feedback(p: Params) -> Numbers:
    lam, mu, q = p["lam"], 1e3 / p["mean_ms"], p["fail_prob"]
    return {
        "util": retries.feedback_utilisation(lam, mu, q),
        "mean_total_sojourn_ms": 1e3 * retries.feedback_sojourn(lam, mu, q),
    }


def _budget(p: Params) -> Numbers:
    q, ratio = p["fail_prob"], p["token_per_first_try"]
    return {
        "load_three_retries": retries.amplification(q, 3),
        "success_three_retries": retries.success(q, 3),
        "load_budget": budgets.budget_load(q, ratio),
        "success_budget": budgets.budget_success(q, ratio),
    }


def _budget_cap(p: Params) -> Numbers:
    return {"max_load": budgets.budget_bound(p["budget_ratio"])}


def _metastable(p: Params) -> Numbers:
    threshold = overload.stable_load(p["db_capacity"], p["retries"])
    return {
        "load_after_trigger": overload.retry_load(p["load"], p["retries"]),
        "stable_threshold": threshold,
        "vulnerable_range": [threshold, p["db_capacity"]],
    }


def _collapse(p: Params) -> Numbers:
    capacity, mean = p["workers"] / p["mean_ms"] * 1e3, p["mean_ms"] / 1e3
    waiting = overload.backlog(p["lam"], capacity / p["slow_x"], p["slow_to_s"] - p["slow_from_s"])
    back = overload.goodput_back(waiting, p["lam"], capacity, p["client_timeout_s"], mean)
    return {
        "backlog_at_16s": waiting,
        "drain_s": overload.drain_time(waiting, p["lam"], capacity),
        "goodput_zero_until_s": p["slow_to_s"] + back,
    }


# ---- networks, fan-out, the rest --------------------------------------------------------------------


def _closed(p: Params) -> Numbers:
    solved = networks.mva(p["users"], 0.1, [0.01])
    return {
        "throughput_rps": solved.throughput,
        "mean_sojourn_ms": 1e3 * solved.total,
        "util": solved.throughput * 0.01,
    }


def _jackson(p: Params) -> Numbers:
    external, routing = [p["lam"], 0.0, 0.0], [[0.0, 0.6, 0.4], [0.2, 0.0, 0.0], [0.0, 0.0, 0.0]]
    gateway, a, b = networks.traffic(external, routing)
    total = networks.jackson_total(external, routing, [p["gw_mu"], p["A_mu"], p["B_mu"]])
    return {"lam_gw": gateway, "lam_A": a, "lam_B": b, "mean_total_ms": 1e3 * total}


def _fork_join(p: Params) -> Numbers:
    return {"mean_total_ms": 1e3 * forkjoin.fork_join_sojourn(p["lam"], 1e3 / p["mean_ms"], p["branches"])}


def _fan_out(p: Params) -> Numbers:
    n = p["branches"]
    return {
        "mean_ms": forkjoin.max_mean(n, 10.0),
        "p50_ms": forkjoin.max_quantile(0.5, n, 10.0),
        "p99_ms": forkjoin.max_quantile(0.99, n, 10.0),
    }


def _tail_at_scale(p: Params) -> Numbers:
    return {
        "p_any_slow": forkjoin.any_slow(p["p_slow"], p["fanout"]),
        "p_any_slow_1e4_2000": forkjoin.any_slow(1e-4, 2000),
    }


def _hedge(p: Params) -> Numbers:
    after = p["hedge_after_ms"]
    return {
        "extra_load": hedging.hedge_extra(10.0, after),
        "mean_ms": hedging.hedge_mean(10.0, after),
        "p99_ms": hedging.hedge_quantile(0.99, 10.0, after),
        "p999_ms": hedging.hedge_quantile(0.999, 10.0, after),
    }


def _availability(p: Params) -> Numbers:
    up = availability.availability(p["mtbf_s"], p["mttr_s"])
    return {
        "A": up,
        "serial3": availability.at_least(3, 3, up),
        "parallel2": availability.at_least(1, 2, up),
        "two_of_three": availability.at_least(2, 3, up),
        "sd_of_A_over_1e6s": availability.availability_sd(p["mtbf_s"], p["mttr_s"], 1e6),
    }


def _run(p: Params) -> Numbers:
    q, r = p["host_error_prob"], p["consecutive_5xx"]
    return {"mean_requests_to_eject": outliers.run_mean(q, r), "sd": outliers.run_sd(q, r)}


def _ejections(p: Params) -> Numbers:
    return {"durations_s": outliers.ejection_times(p["base_ejection_s"], p["max_ejection_s"], 11)}


def _canary(p: Params) -> Numbers:
    w, n = p["weight"], p["N"]
    return {"mean": w, "sd": split.share_sd(w, n), "ci95": split.share_interval(w, n)}


def _bucket(p: Params) -> Numbers:
    passed = bucket.batch_passed(p["lam"], p["max_tokens"], p["fill_interval_s"])
    return {"pass_rps": passed, "reject_frac": 1.0 - passed / p["lam"]}


FORMULAS: dict[str, Callable[[Params], Numbers]] = {
    **dict.fromkeys(["MM1_rho0.50", "MM1_rho0.80", "MM1_rho0.90"], _mm1),
    **dict.fromkeys(["MM2_rho0.80", "MM4_rho0.80", "MM8_rho0.80", "MM10_rho0.80", "MM50_rho0.80"], _mmc),
    "ErlangC_Brooker2020": _brooker_erlang,
    **dict.fromkeys(["MM4_10_overload", "MM1_11_overload"], _mmck),
    **dict.fromkeys(["MG1_D_rho0.8", "MG1_Erlang4_rho0.8", "MG1_gamma_scv0.5_rho0.8"], _mg1),
    "Brooker_openclosed_bimodal_open": _bimodal,
    "DM1_rho0.8": _dm1,
    **dict.fromkeys(["RR_2xMM1", "RR_10xMM1"], _round_robin),
    **dict.fromkeys(["RANDOM_2xMM1", "RANDOM_4xMM1", "RANDOM_10xMM1"], _random),
    **dict.fromkeys(["JSQ_2", "JSQ_4"], _balanced(balancing.shortest)),
    "P2C_4_distinct": _balanced(balancing.distinct(2)),
    "P2C_meanfield": _mean_field,
    "GG1_Kingman": _kingman,
    **dict.fromkeys(["MG4_AllenCunneen", "MD4_AllenCunneen"], _allen_cunneen),
    "MG1_PS": _ps,
    "MM1_priority_nonpreempt": _priority,
    **dict.fromkeys(["MM1_det_queue_timeout_lam80", "MM1_det_queue_timeout_lam100"], _queue_timeout),
    "MM1_det_total_timeout_cancel_lam100": _total_timeout,
    "MM1_client_timeout_no_cancel": _client_timeout,
    "timeout_retry_inf_server": _timeout_retry(0.0),
    "timeout_retry_backoff_envoy": _timeout_retry(0.025),
    **dict.fromkeys(["retry_amp_p0.1_n3", "retry_amp_p0.3_n2", "retry_amp_p0.5_n3"], _amplified),
    "MM1_feedback_inf": _feedback,
    **dict.fromkeys(["closed_N5", "closed_N20"], _closed),
    "jackson_branch_feedback": _jackson,
    **{f"forkjoin{n}_rho{rho}": _fork_join for n in (4, 8, 16) for rho in (0.5, 0.8)},
    **dict.fromkeys(["fanout_max2", "fanout_max10", "fanout_max100"], _fan_out),
    "tail_at_scale_fanout": _tail_at_scale,
    "hedge_exp_p95": _hedge,
    "MMPP_M_1": _mmpp,
    "availability_mtbf": _availability,
    "consecutive5xx_run_p0.8": _run,
    "ejection_time": _ejections,
    **dict.fromkeys(["canary_w0.1_N10000", "canary_w0.05_N2000"], _canary),
    **dict.fromkeys(["tokenbucket_batch_lam80", "tokenbucket_batch_lam120"], _bucket),
    **{f"retry_budget_10pct_p{p}": _budget for p in ("0.05", "0.2", "0.5", "1.0")},
    "retry_budget_cap": _budget_cap,
    "metastable_hotos_fluid": _metastable,
    "goodput_collapse_fluid": _collapse,
}

WORDS = {"tail_rule"}
"""Expected entries that are no numbers."""

needs_table = pytest.mark.skipif(not CASES, reason=f"the shared table of cases is not at {TABLE}")


@needs_table
def test_no_case_is_left_out() -> None:
    assert len(CASES) == 69
    assert set(FORMULAS) == set(CASES)


@needs_table
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_reproduce_the_table(name: str) -> None:
    expected = {key: value for key, value in CASES[name]["expected"].items() if key not in WORDS}
    computed = FORMULAS[name](CASES[name]["params"])
    assert set(computed) == set(expected)
    for key, value in expected.items():
        assert computed[key] == pytest.approx(value, rel=DIGITS), f"{name}.{key}"


# ---- what the table does not have -------------------------------------------------------------------


def test_one_phase_is_poisson_in_every_telling() -> None:
    for c in (1, 3):
        solved = markov.map_m_c(*markov.erlang_renewal(80.0 * c, 1), 100.0, c)
        assert solved.sojourn == pytest.approx(erlang.mmc_sojourn(80.0 * c, 100.0, c), rel=1e-9)
    two = markov.map_m_c(*markov.erlang_renewal(80.0, 2), 100.0)
    assert two.sojourn == pytest.approx(
        renewal.gm1_sojourn(renewal.ekm1_sigma(80.0, 2, 100.0), 100.0), rel=1e-9
    )


def test_one_replica_needs_no_balancer() -> None:
    solved = balancing.balanced(50.0, 100.0, 1, balancing.shortest)
    assert solved.sojourn == pytest.approx(1 / 50, rel=1e-6)
    assert solved.queue == pytest.approx(0.5, rel=1e-6)


def test_more_looking_waits_less() -> None:
    choices = [balancing.drawn(2), balancing.distinct(2), balancing.shortest]
    sojourns = [balancing.balanced(150.0, 100.0, 2, choice).sojourn for choice in choices]
    assert sojourns[0] > sojourns[1] == pytest.approx(sojourns[2], rel=1e-9)


def test_closed_networks_agree_by_mean_values_and_by_convolution() -> None:
    by_mean, by_sum = (
        networks.mva(12, 0.2, [0.01, 0.03]),
        networks.closed_network(12, 0.2, [0.01, 0.03], [1, 1]),
    )
    assert by_sum.throughput == pytest.approx(by_mean.throughput, rel=1e-9)
    assert by_sum.number == pytest.approx(by_mean.number, rel=1e-9)
    many = networks.closed_network(5, 0.1, [0.04], [5])  # as many workers as users: nobody waits
    assert many.throughput == pytest.approx(5 / 0.14, rel=1e-9)


def test_a_bucket_of_one_token_refuses_as_erlang_says() -> None:
    for lam in (20.0, 100.0, 300.0):
        assert bucket.bucket_refused(lam, 100.0, 1) == pytest.approx(
            erlang.erlang_b(1, lam / 100.0), rel=1e-9
        )
    assert bucket.bucket_refused(300.0, 100.0, 50) == pytest.approx(
        2 / 3, rel=1e-9
    )  # fluid: only the rate passes


def test_a_finite_queue_by_departures_is_the_one_by_balance() -> None:
    rho, K = 0.9, 12
    exponential = np.array([(1 / (1 + rho)) * (rho / (1 + rho)) ** j for j in range(K)])
    p = finite.mg1k(exponential, rho)
    solved = finite.mmck(90.0, 100.0, 1, K)
    assert p[K] == pytest.approx(solved.block, rel=1e-9)
    assert float(np.arange(K + 1) @ p) == pytest.approx(solved.number, rel=1e-9)


def test_priorities_leave_the_mean_wait_alone() -> None:
    high, low = priority.cobham_waits([120.0, 200.0], 0.01, c=4)
    assert (120 * high + 200 * low) / 320 == pytest.approx(erlang.mmc_wait(320.0, 100.0, 4), rel=1e-9)


def test_linkerds_budget_lies_between_no_retries_and_its_bound() -> None:
    assert budgets.linkerd_load(0.05, 0.2, 0.0, 100.0) == pytest.approx(1 / 0.95)  # enough for every failure
    for p in (0.3, 0.6, 0.9):
        load = budgets.linkerd_load(p, 0.2, 0.0, 100.0)
        assert 1.0 < load < budgets.budget_bound(0.2)
    assert budgets.linkerd_load(1.0, 0.2, 10.0, 100.0) == pytest.approx(1.1)  # only the reserve


def test_patience_without_end_is_plain_mm1() -> None:
    assert patience.queue_timeout_idle(80.0, 100.0, 10.0) == pytest.approx(0.2, rel=1e-6)
    assert patience.queue_timeout_queue(80.0, 100.0, 10.0) == pytest.approx(3.2, rel=1e-6)
    assert patience.bounded_sojourn_queue(80.0, 100.0, 10.0) == pytest.approx(3.2, rel=1e-6)
    near = patience.queue_timeout_queue(100.0, 100.0 * (1 + 1e-9), 0.05)  # λ = μ is no special place
    assert patience.queue_timeout_queue(100.0, 100.0, 0.05) == pytest.approx(near, rel=1e-6)


def test_departures_of_a_poisson_queue_are_poisson() -> None:
    assert general.departures_ca2(0.7, 1, 1.0, 1.0) == pytest.approx(1.0)
