"""From the configuration to the mechanisms in `policies`: one function for each."""

from __future__ import annotations

from collections.abc import Callable

from meshsim import random
from meshsim.policies.accrual import FailureAccrual
from meshsim.policies.backoff import Backoff
from meshsim.policies.balance import Balancer, LeastRequest, LeastRequestFullScan, Random, RoundRobin
from meshsim.policies.connection import ConnectionRule
from meshsim.policies.ewma import PeakEwma
from meshsim.policies.fault import FaultInjection
from meshsim.policies.limit import TokenBucket
from meshsim.policies.outlier import ConsecutiveErrors, OutlierDetection
from meshsim.policies.retry import CONDITIONS, RetryRule
from meshsim.policies.success_rate import SuccessRate
from meshsim.scenario import model
from meshsim.scenario.policy import Connection, RetryBudget


def token_bucket(policy: model.Policy, now: float) -> TokenBucket | None:
    """The bucket of a rate limit; None without one."""
    limit = policy.rate_limit
    return None if limit is None else TokenBucket(float(limit.burst), limit.rate, now)


def retry_rule(policy: model.Policy) -> RetryRule | None:
    """What a policy retries."""
    if policy.retries is None:
        return None
    retries = policy.retries
    conditions = 0
    for name in retries.on:
        conditions |= CONDITIONS[name]
    backoff = Backoff(retries.backoff.base, retries.backoff.ceiling, *retries.backoff.shares)
    return RetryRule(retries.attempts, conditions, backoff, frozenset(retries.statuses))


def connection_rule(policy: model.Policy) -> ConnectionRule:
    """How long a policy keeps connections."""
    config = policy.connection or Connection()
    return ConnectionRule(config.connect_timeout, config.idle_timeout, config.max_requests, config.max_age)


def detection(policy: model.Policy, origin: float) -> OutlierDetection:
    """How a policy leaves out hosts that fail; the grid of ticks begins at `origin`."""
    config = policy.detection
    if config is None:
        return OutlierDetection()
    if isinstance(config, model.FailureAccrual):
        penalty = Backoff(config.min_penalty, config.max_penalty, 1.0, 1.0 + config.jitter)
        return FailureAccrual(config.max_failures, penalty)
    rates = config.success_rate
    return ConsecutiveErrors(
        limit=config.consecutive_5xx,
        gateway_limit=config.consecutive_gateway_failure or 0,
        interval=config.interval,
        base=config.base_ejection_time,
        ceiling=max(config.max_ejection_time, config.base_ejection_time),
        max_ratio=config.max_ejection_percent,
        always_one=config.always_eject_one,
        min_healthy_ratio=config.min_health_percent,
        origin=origin,
        merge_window=config.merge_window,
        rates=None if rates is None else SuccessRate(rates.hosts, rates.requests, rates.factor),
    )


def fault_injection(policy: model.Policy) -> FaultInjection:
    """What a policy injects."""
    delay, abort = policy.fault.delay, policy.fault.abort
    return FaultInjection(
        delay_ratio=0.0 if delay is None else delay.percent,
        delay=random.Constant(0.0) if delay is None else delay.time.build(),
        abort_ratio=0.0 if abort is None else abort.percent,
        status=503 if abort is None else abort.status,
    )


def _least_request(balance: model.Balance, key: random.Key, hosts: int) -> Balancer:
    if balance.least_request.selection == "full_scan":
        return LeastRequestFullScan()
    return LeastRequest(balance.least_request.choices)


BALANCERS: dict[str, Callable[[model.Balance, random.Key, int], Balancer]] = {
    "random": lambda balance, key, hosts: Random(),
    "round_robin": lambda balance, key, hosts: RoundRobin(int(random.u01(key, random.START) * hosts)),
    "least_request": _least_request,
    "peak_ewma": lambda balance, key, hosts: PeakEwma(balance.peak_ewma.decay, balance.peak_ewma.rtt, hosts),
}
"""By `balance.kind`: from the options, the key of the proxy and the number of hosts."""


def linkerd_budget(policy: model.Policy) -> RetryBudget | None:
    """The budget of retries, if it is Linkerd's."""
    budget = None if policy.retries is None else policy.retries.budget
    return budget if budget is not None and budget.kind == "linkerd" else None
