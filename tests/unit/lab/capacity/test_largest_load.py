import math
import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from scipy import stats

from meshsim.lab.capacity.largest_load import LoadSearch, lowest_factor, saturation
from meshsim.lab.capacity.scaling import Scaling
from meshsim.lab.search.inquiry import Inquiry, Plan
from meshsim.lab.search.verdict import Observation, Score, Verdict
from meshsim.measure.capacity import Limit
from meshsim.scenario import loads

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))

from known_answers import P99, late_share, noisy, scenario, spent

EXACT = (100.0 + math.log(0.01) / 0.2) / 50.0
"""Where 1 % of the requests take longer than 200 ms, as a factor on 50/s."""


def search(observe, *, seed=1, resolution=0.02, text=""):
    inquiry = Inquiry(observe, [P99], Plan(seed=seed))
    found = LoadSearch(inquiry, Scaling(scenario(text)), resolution)
    found.run()
    return found, inquiry, found.verifier


# ---- the search -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(0, 2000, 100))
def test_the_bracket_holds_the_exact_capacity(seed) -> None:
    found, inquiry, _ = search(noisy(late_share), seed=seed)
    assert found.meets <= EXACT <= found.misses
    assert found.confirmed
    assert spent(inquiry) < 400


@pytest.mark.parametrize("capacity", [30.0, 40.0, 60.0, 500.0])
def test_own_loads_beyond_the_capacity_and_far_below_it(capacity) -> None:
    exact = (capacity + math.log(0.01) / 0.2) / 50.0
    found, _, _ = search(noisy(lambda rate: late_share(rate, capacity)), resolution=0.1)
    assert found.meets <= exact <= found.misses
    assert found.misses < 2.0 * found.meets  # and says something


def test_of_users_the_last_one_is_found() -> None:
    """14 users meet and 15 miss; there is nothing between to look at."""
    closed = loads("{duration: 40s, services: {a: {}}, load: [{to: a, users: 10}]}")

    def observe(factor, seeds):
        late = 0.005 if round(10 * factor) <= 14 else 0.02
        return [Observation(seed, (Score(None, 1.0 - late, 20_000, 20_000),)) for seed in seeds]

    inquiry = Inquiry(observe, [P99], Plan())
    found = LoadSearch(inquiry, Scaling(closed), 0.02)
    found.run()
    assert (round(10 * found.meets), round(10 * found.misses)) == (14, 15)
    users = [round(10 * factor) for factor in inquiry.findings]
    assert len(users) == len(set(users))  # none twice
    assert min(users) == 1


def test_without_noise_the_bracket_is_as_narrow_as_asked() -> None:
    found, inquiry, verifier = search(noisy(late_share, spread=0.0), resolution=0.2)
    assert found.meets <= EXACT <= found.misses <= 1.2 * found.meets
    assert 1.0 in inquiry.findings  # the scenario's own load is looked at in any case
    assert spent(verifier) >= 8


def test_a_limit_that_no_load_meets_is_told_first() -> None:
    found, inquiry, verifier = search(noisy(lambda rate: 0.2))
    assert (found.meets, found.confirmed) == (None, None)
    assert "Even" in found.notes[0]
    assert all(factor <= 1.0 for factor in inquiry.findings)
    assert spent(verifier) == 0


def test_what_nothing_limits_is_told() -> None:
    found, _, _ = search(noisy(lambda rate: 1e-4, spread=0.0))
    assert found.misses is None
    assert 200.0 < found.meets < 1000.0  # a million requests a run are enough
    assert "nothing here limits it" in found.notes[0]


def test_a_load_that_is_too_low_is_told_and_no_end() -> None:
    """Missed at little load, met at the scenario's own: a cold cache, say."""
    found, _, _ = search(noisy(lambda rate: 0.3 if rate < 40.0 else late_share(rate)))
    assert found.meets <= EXACT <= found.misses
    assert "not always worse" in found.notes[0]


def test_luck_that_fresh_seeds_do_not_have_is_taken_back() -> None:
    """The first seeds see less than there is; those that verify don't, and are wrong no oftener than said."""
    lucky, plain = noisy(lambda rate: late_share(rate) / 3.0), noisy(late_share)
    trials, wrong = 30, 0
    for seed in range(0, 1000 * trials, 1000):

        def observe(factor, seeds, seed=seed):
            return lucky(factor, seeds) if seeds[0] < seed + 32 else plain(factor, seeds)

        found, inquiry, verifier = search(observe, seed=seed)
        claimed = max(load for load, each in inquiry.findings.items() if each.verdict is Verdict.MET)
        assert claimed > EXACT
        assert any("With fresh seeds" in note for note in found.notes)
        assert not found.confirmed or verifier.findings[found.meets].verdict is Verdict.MET
        wrong += found.confirmed and found.meets > EXACT
    assert wrong <= stats.binom.ppf(0.999, trials, 0.05)


def test_taking_back_again_and_again_finds_no_luck_either() -> None:
    """With fresh seeds every load lies on the line, each by its own luck, so that whatever holds is wrong."""

    def observe(trial, factor, seeds):
        if seeds[0] <= plan.most:
            share = 1.0 if factor < 1.5 else 0.5
            return [Observation(seed, (Score(None, share, 10**7, 10**7),)) for seed in seeds]
        draws = [random.Random(f"{trial} {factor} {seed}").gauss(0.99, 0.001) for seed in seeds]
        return [
            Observation(seed, (Score(None, draw, 10**7, 10**7),))
            for seed, draw in zip(seeds, draws, strict=True)
        ]

    plan, trials, wrong = Plan(), 150, Counter[str]()
    for trial in range(trials):
        found, _, verifier = search(partial(observe, trial), resolution=0.2)
        wrong["meets"] += verifier.findings[found.meets].verdict is Verdict.MET
        wrong["misses"] += verifier.findings[found.misses].verdict is Verdict.MISSED
    assert max(wrong.values()) <= stats.binom.ppf(0.999, trials, 0.05), wrong


def test_a_hollow_below_the_capacity_is_told() -> None:
    """Missed between 8 and 45/s, met below and above, up to the capacity."""
    found, _, _ = search(noisy(lambda rate: 0.5 if 8.0 < rate < 45.0 else late_share(rate)))
    assert found.meets <= EXACT <= found.misses
    assert "not always worse" in found.notes[0]


# ---- where it begins --------------------------------------------------------------------------------


def test_the_lowest_load_has_requests_enough_for_its_percentile() -> None:
    scaling = Scaling(scenario())  # 2,000 requests a run
    assert lowest_factor([P99], scaling) == pytest.approx(0.25)
    assert lowest_factor([Limit("a", "mean", 1.0)], scaling) == pytest.approx(0.1)
    assert lowest_factor([Limit("a", "success", 0.9999)], scaling) == 1.0


def test_saturation_by_the_utilisation_law() -> None:
    inquiry = Inquiry(noisy(late_share), [P99], Plan())
    assert saturation(inquiry.look(0.5), 0.5) == pytest.approx(2.0)


# ---- too few requests -------------------------------------------------------------------------------


def without_failures(factor, seeds):
    """Everything succeeds, and of 300 requests a run that shows little."""
    return [Observation(seed, (Score(1.0, 1.0, 300, 300),)) for seed in seeds]


def rare(least, observe=without_failures):
    limits = [Limit("a", "success", least)]
    inquiry = Inquiry(observe, limits, Plan())
    found = LoadSearch(inquiry, Scaling(scenario()), 0.02)
    found.run()
    return found, inquiry


def test_too_few_requests_are_no_fault_of_the_load() -> None:
    found, inquiry = rare(0.9999)
    assert (found.meets, found.misses) == (None, None)
    (note,) = found.notes
    assert "is inconclusive. These runs have too few requests to show a: success >= 99.99 %" in note
    assert "about 50,000 independent ones are needed, and 32 replications are worth 9,600" in note
    assert "5.3 times as long" in note
    assert "more load is not what it fails of" not in note
    assert list(inquiry.findings) == [1.0]


def test_what_is_undecided_at_little_load_and_met_at_more_is_no_disorder() -> None:
    """More load brings the requests that it takes to show it."""

    def observe(factor, seeds):
        count = 100 if factor < 0.9 else 20_000
        return [
            Observation(seed, (Score(1.0, 1.0 if factor < 2.0 else 0.5, count, count),)) for seed in seeds
        ]

    found, _ = rare(0.999, observe)
    assert 1.9 < found.meets < 2.0 <= found.misses < 2.1
    assert found.notes == []


def test_high_loads_that_are_inconclusive_are_not_without_limit() -> None:
    def observe(factor, seeds):
        share = 1.0 if factor < 2.0 else 0.99
        return [Observation(seed, (Score(1.0 - share, share, 5_000, 5_000),)) for seed in seeds]

    found, _, _ = search(observe)
    assert found.misses is None
    assert "for sure; that is inconclusive. A longer duration" in found.notes[0]
    assert "nothing here limits it" not in found.notes[0]
