"""The keyed draws: their bits, their distributions and that they have nothing to do with each other.

All keys are fixed, so a test that passes once passes always. The probabilities beside the statistical bounds
are those with which a perfect generator, given other keys, would break them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import special, stats

from meshsim import random
from meshsim.random import (
    Constant,
    Distribution,
    Empirical,
    Erlang,
    Exponential,
    Gamma,
    LogNormal,
    Mixture,
    Pareto,
    Sum,
    Uniform,
    Weibull,
)

DRAWS = 30_000
Z_LIMIT = 4.5  # two-sided probability 7e-6 for each mean, variance or correlation
P_LEAST = 1e-4  # significance level of each Kolmogorov-Smirnov and chi-square test

LOAD = random.derive(7, 0)
KEYS = [random.derive(LOAD, n) for n in range(DRAWS)]


# The bits


def splitmix64(state: int, n: int) -> int:
    """The n-th output (from 0) of the published generator, written anew: 64-bit arithmetic is modulo 2^64."""
    z = (state + (n + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z // 2**30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z // 2**27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z // 2**31)


# Vigna's splitmix64.c started with these states; those of 1234567 are Rosetta Code's test vector.
PUBLISHED = {
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
    1234567: [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ],
}


@pytest.mark.parametrize(("state", "expected"), PUBLISHED.items())
def test_draws_of_a_key_are_the_published_splitmix64(state: int, expected: list[int]) -> None:
    assert [splitmix64(state, n) for n in range(len(expected))] == expected
    assert [random.bits(state, n) for n in range(len(expected))] == expected
    assert [random.u01(state, n) for n in range(len(expected))] == [z // 2**11 / 2**53 for z in expected]


@pytest.mark.parametrize("key", [0, 1, 7, 2**63, 2**64 - 1, 0xDEADBEEFCAFEF00D])
@pytest.mark.parametrize("number", [0, 1, 64, 1003, 1 << 17, 1 << 32])
def test_draws_and_children_agree_with_an_independent_form(key: int, number: int) -> None:
    assert random.bits(key, number) == splitmix64(key, number)
    assert random.u01(key, number) == splitmix64(key, number) // 2**11 / 2**53
    # a child steps by the other constant; take the published step back and the generator gives it too
    start = (key + (number + 1) * 0xD1B54A32D192ED03 - 0x9E3779B97F4A7C15) % 2**64
    assert random.derive(key, number) == splitmix64(start, 0)
    assert random.mix((key + 0x9E3779B97F4A7C15) % 2**64) == splitmix64(key, 0)


def test_golden_tree() -> None:
    """These bits are part of every result: a change of them is a change of the model."""
    call = random.derive(random.derive(7, 0), 3)
    step = random.derive(random.derive(call, 1), random.SCRIPT + 2)
    assert call == 0x1B8DFC0596267046
    assert step == 0xB88F58B0B79B0FDF
    assert random.u01(call, random.GAP) == 0.36788058986058736
    assert random.normal(step, random.SERVICE) == pytest.approx(0.629675547933175, rel=1e-14, abs=0)


def test_purposes_keep_their_numbers() -> None:
    numbers = {name: value for name, value in vars(random).items() if name.isupper() and len(name) > 1}
    expected = (
        "GAP THINK STATE PROXY_OUT PROXY_BACK FAULT_DELAY FAULT_TIME FAULT_ABORT ROUTE TAKEN SLEEP BACKOFF "
        "LINK_OUT LINK_BACK LINK_NOTICE PROXY_IN PROXY_RESPONSE SERVICE ERROR START PUSH SAMPLE"
    )
    assert [numbers[name] for name in expected.split()] == list(range(22))
    assert [numbers[name] for name in ("BALANCE", "LOSS_OUT", "LOSS_BACK")] == [64, 1 << 16, 1 << 17]
    assert [numbers[name] for name in ("SCRIPT", "PROXIES")] == [1000, 1 << 32]


def first_multiple(step: int, modulus: int, low: int, high: int) -> int:
    """The least t >= 0 with low <= t·step mod modulus <= high (0 < low), by Euclid's descent; -1 if none."""
    if low > high or step == 0:
        return -1
    whole = -(-low // step)
    if whole * step <= high:
        return whole
    # t·step = y·modulus + r with r in [low, high]: so y·modulus mod step must lie in [-high, -low] mod step
    y = first_multiple(modulus % step, step, -high % step, -low % step)
    return -1 if y < 0 else -(-(low + y * modulus) // step)


def test_first_multiple_against_search() -> None:
    for step in range(1, 37):
        for low, high in ((1, 1), (1, 3), (5, 9), (30, 36)):
            found = [t for t in range(37) if low <= t * step % 37 <= high]
            assert first_multiple(step, 37, low, high) == found[0]


def test_a_child_key_is_never_the_bits_of_a_draw() -> None:
    """Of one parent: they are equal where (tag + 1)·STEP_CHILD = (purpose + 1)·STEP_DRAW."""
    ratio = random.STEP_CHILD * pow(random.STEP_DRAW, -1, 2**64) % 2**64
    assert first_multiple(ratio, 2**64, 1, 200_000) > 1 << 41


def test_children_of_small_seeds_differ() -> None:
    """Of seeds s < t below 2^30: equal children need (tag difference)·STEP_CHILD = ±(t - s)."""
    for step in (random.STEP_CHILD, 2**64 - random.STEP_CHILD):
        assert first_multiple(step, 2**64, 1, 1 << 30) > 2 * random.PROXIES


# The range


def unmix(z: int) -> int:
    """The input of `mix` that gives z."""

    def unshift(value: int, shift: int) -> int:
        return value ^ (value >> shift) ^ (value >> 2 * shift)

    z = unshift(z, 31) * pow(random.MULTIPLY_2, -1, 2**64) % 2**64
    z = unshift(z, 27) * pow(random.MULTIPLY_1, -1, 2**64) % 2**64
    return unshift(z, 30)


def key_of(word: int, purpose: int) -> int:
    """The key whose draw for `purpose` has exactly these bits."""
    return (unmix(word) - (purpose + 1) * random.STEP_DRAW) % 2**64


LEAST = 0
MOST = 2**64 - 1


def test_uniform_reaches_its_ends_and_not_1() -> None:
    assert random.u01(key_of(LEAST, 5), 5) == 0.0
    assert random.u01(key_of(MOST, 5), 5) == 1.0 - 2.0**-53


def test_normal_is_finite_and_symmetric_at_its_ends() -> None:
    assert random.normal(key_of(MOST, 5), 5) == pytest.approx(-special.ndtri(2.0**-53), rel=1e-14, abs=0)
    assert random.normal(key_of(MOST, 5), 5) == -random.normal(key_of(LEAST, 5), 5)


@pytest.mark.parametrize("word", [LEAST, MOST])
def test_every_distribution_is_finite_at_the_ends(word: int) -> None:
    for distribution, _ in CASES.values():
        value = distribution.draw(key_of(word, 5), 5)
        assert math.isfinite(value)
        assert value >= 0.0


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000, 2**20 - 1, 2**20 + 1])
def test_largest_uniform_indexes_the_last_value(size: int) -> None:
    assert int(random.u01(key_of(MOST, 5), 5) * size) == size - 1


# The normal quantile

SEAMS = (0.075, 0.925, math.exp(-25.0), 0.5)  # where the routine changes its polynomials, and the middle


def test_normal_quantile_against_scipy() -> None:
    p = np.concatenate(
        [
            np.logspace(-300, -1, 3000),
            np.linspace(0.001, 0.999, 2999),
            1.0 - np.logspace(-15.9, -1, 2000),
            *([seam, np.nextafter(seam, 0), np.nextafter(seam, 1), seam * (1 + 1e-9)] for seam in SEAMS),
            [1.0 - 2.0**-53, 2.0**-53, 1e-300],
        ]
    )
    ours = np.array([random.normal_quantile(float(x)) for x in p])
    scipy = special.ndtri(p)
    zero = scipy == 0.0
    assert (ours[zero] == 0.0).all()
    error = np.abs(ours[~zero] - scipy[~zero]) / np.abs(scipy[~zero])
    assert error.max() < 1e-14


def test_normal_quantile_is_odd_and_increasing() -> None:
    p = [i / 1024 for i in range(1, 1024)]
    x = [random.normal_quantile(q) for q in p]
    assert all(a < b for a, b in pairwise(x))
    assert x == [-value for value in reversed(x)]


# The distributions

Law = Callable[[np.ndarray], np.ndarray] | None  # the cumulative distribution, where it is continuous


def _mixture(x: np.ndarray) -> np.ndarray:
    return 0.75 * stats.expon(scale=0.01).cdf(x) + 0.25 * stats.gamma(4.0, scale=0.05).cdf(x)


CASES: dict[str, tuple[Distribution, Law]] = {
    "constant": (Constant(0.02), None),
    "exponential": (Exponential(0.02), stats.expon(scale=0.02).cdf),
    "erlang": (Erlang(0.03, 3), stats.gamma(3.0, scale=0.01).cdf),
    "erlang, k = 1": (Erlang(0.03, 1), stats.expon(scale=0.03).cdf),
    "gamma, cv < 1": (Gamma(0.02, 0.5), stats.gamma(4.0, scale=0.005).cdf),
    "gamma, cv = 1": (Gamma(0.02, 1.0), stats.expon(scale=0.02).cdf),
    "gamma, cv > 1": (Gamma(0.02, 2.0), stats.gamma(0.25, scale=0.08).cdf),
    "lognormal": (LogNormal(0.02, 0.8), stats.lognorm(math.sqrt(math.log(1.64)), scale=0.02 / 1.64**0.5).cdf),
    "weibull, shape < 1": (
        Weibull(0.02, 0.7),
        stats.weibull_min(0.7, scale=0.02 / math.gamma(1 + 1 / 0.7)).cdf,
    ),
    "weibull, shape > 1": (Weibull(0.02, 2.5), stats.weibull_min(2.5, scale=0.02 / math.gamma(1.4)).cdf),
    "pareto, shape 6": (Pareto(0.02, 6.0), stats.pareto(6.0, scale=0.02 * 5 / 6).cdf),
    "pareto, shape 1.5": (Pareto(0.02, 1.5), stats.pareto(1.5, scale=0.02 / 3).cdf),
    "uniform": (Uniform(0.01, 0.04), stats.uniform(0.01, 0.03).cdf),
    "empirical": (Empirical([0.001, 0.002, 0.002, 0.009, 0.031]), None),
    "mixture": (Mixture([3.0, 1.0], [Exponential(0.01), Gamma(0.2, 0.5)]), _mixture),
    "sum": (Sum([Exponential(0.01), Exponential(0.01), Constant(0.0)]), stats.gamma(2.0, scale=0.01).cdf),
    "sum of sums": (
        Sum([Sum([Exponential(0.01), Exponential(0.01)]), Exponential(0.01)]),
        stats.gamma(3.0, scale=0.01).cdf,
    ),
    "sum of one": (Sum([Gamma(0.02, 0.5)]), stats.gamma(4.0, scale=0.005).cdf),
}

SAMPLES: dict[str, np.ndarray] = {}


def sample(name: str) -> np.ndarray:
    """The distribution's draws for one purpose of all keys."""
    if name not in SAMPLES:
        draw = CASES[name][0].draw
        SAMPLES[name] = np.array([draw(key, random.SERVICE) for key in KEYS])
    return SAMPLES[name]


@pytest.mark.parametrize("name", [name for name, (_, law) in CASES.items() if law])
def test_law(name: str) -> None:
    law = CASES[name][1]
    assert law is not None
    assert stats.kstest(sample(name), law).pvalue > P_LEAST


@pytest.mark.parametrize("name", [name for name in CASES if name != "pareto, shape 1.5"])
def test_mean_and_variance(name: str) -> None:
    """Each within Z_LIMIT standard errors, estimated from the sample (which needs four finite moments)."""
    distribution, x = CASES[name][0], sample(name)
    variance = distribution.scv * distribution.mean**2
    squares = (x - distribution.mean) ** 2
    assert abs(x.mean() - distribution.mean) <= Z_LIMIT * x.std() / DRAWS**0.5 + 1e-15
    assert abs(squares.mean() - variance) <= Z_LIMIT * squares.std() / DRAWS**0.5 + 1e-15


def test_moments_of_pareto_without_variance() -> None:
    """The mean exists but its standard error does not: take that of min(x, c), whose mean is known."""
    distribution, x = CASES["pareto, shape 1.5"][0], sample("pareto, shape 1.5")
    least, cap = 0.02 / 3, 2.0
    capped = np.minimum(x, cap)
    expected = 3 * least - 2 * least**1.5 * cap**-0.5  # E min(X, c) for shape 1.5
    assert distribution.mean == 0.02
    assert distribution.scv == math.inf
    assert x.min() >= least
    assert abs(capped.mean() - expected) < Z_LIMIT * capped.std() / DRAWS**0.5


def test_scv_against_scipy() -> None:
    for name, law in {
        "weibull, shape < 1": stats.weibull_min(0.7),
        "weibull, shape > 1": stats.weibull_min(2.5),
        "pareto, shape 6": stats.pareto(6.0),
        "gamma, cv > 1": stats.gamma(0.25),
        "lognormal": stats.lognorm(math.sqrt(math.log(1.64))),
        "uniform": stats.uniform(1.0, 3.0),
    }.items():
        assert CASES[name][0].scv == pytest.approx(law.var() / law.mean() ** 2, rel=1e-12)


def test_empirical_draws_each_value_alike() -> None:
    values, counts = np.unique(sample("empirical"), return_counts=True)
    assert values.tolist() == [0.001, 0.002, 0.009, 0.031]
    assert stats.chisquare(counts, np.array([1, 2, 1, 1]) * DRAWS / 5).pvalue > P_LEAST


def test_mixture_of_known_moments() -> None:
    mixture = Mixture([1.0, 3.0], [Constant(4.0), Exponential(2.0)])
    assert mixture.mean == 2.5
    assert mixture.scv == pytest.approx((0.25 * 16 + 0.75 * 8) / 2.5**2 - 1)


def test_mixture_ignores_parts_without_weight() -> None:
    mixture = Mixture([0.0, 2.0, 0.0], [Constant(9.0), Exponential(1.0), Pareto(1.0, 1.5)])
    assert mixture.mean == 1.0
    assert mixture.scv == 1.0
    assert 9.0 not in {mixture.draw(key, 0) for key in KEYS[:1000]}


def test_mixture_of_nothing_but_zero() -> None:
    mixture = Mixture([1.0, 1.0], [Constant(0.0), Pareto(0.0, 1.5)])
    assert (mixture.mean, mixture.scv) == (0.0, 0.0)
    assert mixture.draw(1, 0) == 0.0


def test_sum_of_known_moments() -> None:
    total = Sum([Constant(4.0), Exponential(2.0), Pareto(0.0, 1.5)])
    assert total.mean == 6.0
    assert total.scv == pytest.approx(4.0 / 36.0)
    assert (Sum([Constant(0.0)]).mean, Sum([Constant(0.0)]).scv, Sum([Constant(0.0)]).draw(1, 0)) == (0, 0, 0)


def test_what_is_added_to_a_time_leaves_its_bits_as_they_are() -> None:
    own = LogNormal(0.02, 1.0)
    more = Sum([own, Constant(0.001), Mixture([1.0, 1.0], [Exponential(0.1), Constant(0.2)])])
    for key in KEYS[:100]:
        rest = more.parts[2].draw(random.bits(key, random.LINK_OUT), random.TERM + 2)
        assert more.draw(key, random.LINK_OUT) == own.draw(key, random.LINK_OUT) + 0.001 + rest


@pytest.mark.parametrize("name", CASES)
def test_draws_are_a_pure_function_of_key_and_purpose(name: str) -> None:
    draw = CASES[name][0].draw
    backwards = [draw(key, random.SERVICE) for key in reversed(KEYS[:200])]
    assert backwards[::-1] == sample(name)[:200].tolist()


# Independence


def uniforms(keys: list[int], purpose: int) -> np.ndarray:
    return np.array([random.u01(key, purpose) for key in keys])


ATTEMPTS = [random.derive(key, 0) for key in KEYS]
RETRIES = [random.derive(key, 1) for key in KEYS]
CALLS = [random.derive(key, random.SCRIPT) for key in ATTEMPTS]
SEEDS = [random.derive(random.derive(seed, 0), 0) for seed in range(DRAWS)]

PAIRS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "two purposes": lambda: (uniforms(KEYS, random.ROUTE), uniforms(KEYS, random.TAKEN)),
    "two balancer choices": lambda: (
        uniforms(ATTEMPTS, random.BALANCE),
        uniforms(ATTEMPTS, random.BALANCE + 1),
    ),
    "transmissions out and back": lambda: (
        uniforms(ATTEMPTS, random.LOSS_OUT),
        uniforms(ATTEMPTS, random.LOSS_BACK),
    ),
    "parent and child": lambda: (uniforms(KEYS, random.SERVICE), uniforms(ATTEMPTS, random.SERVICE)),
    "first try and retry": lambda: (uniforms(ATTEMPTS, random.SERVICE), uniforms(RETRIES, random.SERVICE)),
    "attempt and child call": lambda: (uniforms(ATTEMPTS, random.ERROR), uniforms(CALLS, random.FAULT_ABORT)),
    "request and grandchild": lambda: (uniforms(KEYS, random.GAP), uniforms(CALLS, random.GAP)),
    "request and the next": lambda: (uniforms(KEYS[::2], random.GAP), uniforms(KEYS[1::2], random.GAP)),
    "seed and the next": lambda: (uniforms(SEEDS[::2], random.GAP), uniforms(SEEDS[1::2], random.GAP)),
    "seed and the same request of another load": lambda: (
        uniforms(KEYS, random.GAP),
        uniforms([random.derive(random.derive(7, 1), n) for n in range(DRAWS)], random.GAP),
    ),
    "key and its own draw": lambda: (
        np.array(ATTEMPTS, dtype=np.float64) / 2.0**64,
        uniforms(ATTEMPTS, random.SERVICE),
    ),
    "attempt's draw and its compound draw": lambda: (
        uniforms(ATTEMPTS, random.SERVICE),
        uniforms([random.bits(key, random.SERVICE) for key in ATTEMPTS], 0),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_independent(name: str) -> None:
    """No correlation, and 16 × 16 cells of the unit square filled alike."""
    x, y = PAIRS[name]()
    for values in (x, y):
        assert values.min() >= 0.0
        assert values.max() < 1.0
    assert abs(np.corrcoef(x, y)[0, 1]) * len(x) ** 0.5 < Z_LIMIT
    cells = np.histogram2d(x, y, bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(cells.ravel()).pvalue > P_LEAST


def test_low_bits_of_keys_are_even() -> None:
    """Keys are whole 64-bit words: every bit is 1 half of the time, within Z_LIMIT."""
    for keys in (KEYS, ATTEMPTS, CALLS, SEEDS):
        words = np.array(keys, dtype=np.uint64)
        ones = np.array([int(((words >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(64)])
        assert np.abs(ones - DRAWS / 2).max() < Z_LIMIT * DRAWS**0.5 / 2


def test_every_input_bit_moves_half_of_the_output() -> None:
    """Avalanche: each of 64 × 64 pairs flips half of the time, within 5.5 standard errors (1.6e-4 in all)."""
    flips = np.zeros((64, 64))
    rounds = 400
    places = np.arange(64, dtype=np.uint64)
    for key in KEYS[:rounds]:
        here = random.mix(key)
        moved = np.array([here ^ random.mix(key ^ (1 << bit)) for bit in range(64)], dtype=np.uint64)
        flips += (moved[:, None] >> places[None, :]) & np.uint64(1)
    assert np.abs(flips - rounds / 2).max() < 5.5 * rounds**0.5 / 2


def test_compound_draws_share_nothing_with_attempts() -> None:
    """A think time of many exponentials must not reuse the bits of the request's tries."""
    for request in KEYS[:50]:
        own = {random.u01(random.bits(request, random.THINK), i) for i in range(100)}
        tries = {random.u01(random.derive(request, n), i) for n in range(10) for i in range(100)}
        assert not own & tries


def test_compound_draws_take_the_bits_of_their_purpose_as_key() -> None:
    for key in KEYS[:100]:
        own = splitmix64(key, random.THINK)
        terms = [math.log1p(-random.u01(own, i)) for i in range(3)]
        assert CASES["erlang"][0].draw(key, random.THINK) == pytest.approx(
            -sum(terms) * 0.01, rel=1e-14, abs=0
        )
        exponential, rare = Exponential(0.01), Gamma(0.2, 0.5)
        part = exponential if random.u01(own, 0) < 0.75 else rare
        assert CASES["mixture"][0].draw(key, random.THINK) == part.draw(own, 1)
