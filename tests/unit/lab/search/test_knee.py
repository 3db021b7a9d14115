import random
import sys
from pathlib import Path

import pytest

from meshsim.lab.capacity.scaling import Scaling
from meshsim.lab.search.inquiry import Inquiry, Plan
from meshsim.lab.search.knee import draw_curve, find_knee
from meshsim.lab.search.verdict import Observation, Score
from meshsim.scenario import loads
from meshsim.theory.erlang import mmc_sojourn

sys.path.insert(0, str(Path(__file__).parent))

from known_answers import P99


def queue(workers: int, spread: float = 0.0):
    """An M/M/c of capacity 100/s; a factor of 1 is 50/s."""

    def observe(factor, seeds):
        rate, found = 50.0 * factor, []
        for seed in seeds:
            if rate >= 100.0:
                latency = 10.0
            else:
                latency = mmc_sojourn(rate, 100.0 / workers, workers)
            latency *= 1.0 + spread * random.Random(seed).uniform(-1.0, 1.0)
            numbers = {"goodput": min(rate, 100.0), "ok_latency.mean": latency}
            found.append(Observation(seed, (Score(0.1, 1.0, 100, 100),), False, numbers))
        return found

    return observe


def power(rate: float, workers: int) -> float:
    return rate / mmc_sojourn(rate, 100.0 / workers, workers)


def any_load(factor: float) -> float:
    return factor


@pytest.mark.parametrize("workers", [1, 4])
def test_the_knee_of_a_queue_is_where_its_power_is_greatest(workers) -> None:
    inquiry = Inquiry(queue(workers, spread=0.05), [P99], Plan())
    draw_curve(inquiry, 2.0, any_load)
    knee = find_knee(inquiry, any_load)
    best = max(range(1, 100), key=lambda rate: power(float(rate), workers))
    assert best == 50 or workers > 1  # Kleinrock: half the capacity of an M/M/1
    assert knee.low <= best / 50.0 <= knee.high
    assert knee.inside
    assert power(50.0 * knee.best, workers) > 0.98 * power(float(best), workers)
    assert power(50.0 * knee.low, workers) < power(float(best), workers)


def test_a_curve_that_only_rises_has_no_knee_inside() -> None:
    inquiry = Inquiry(queue(1), [P99], Plan())
    draw_curve(inquiry, 0.5, any_load)
    knee = find_knee(inquiry, any_load)
    assert not knee.inside
    assert knee.best == max(inquiry.findings)


def test_no_successes_no_knee() -> None:
    inquiry = Inquiry(
        lambda factor, seeds: [Observation(seed, (Score(None, 0.0, 9, 9),)) for seed in seeds], [P99], Plan()
    )
    draw_curve(inquiry, 1.0, any_load)
    assert find_knee(inquiry, any_load) is None


def test_no_number_of_users_is_looked_at_twice() -> None:
    """Of three users a tenth of the curve is less than one user away from the next."""
    closed = Scaling(loads("{duration: 40s, services: {a: {}}, load: [{to: a, users: 3}]}"))
    inquiry = Inquiry(queue(1, spread=0.05), [P99], Plan())
    draw_curve(inquiry, 2.0, closed.nearest)
    find_knee(inquiry, closed.nearest)
    users = [closed.label(factor) for factor in inquiry.findings]
    assert len(users) == len(set(users)) >= 5
    assert set(inquiry.findings) == {number / 3 for number in range(1, 8)}
