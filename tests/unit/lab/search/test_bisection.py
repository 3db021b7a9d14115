import pytest

from meshsim.lab.search.bisection import bracket, chances, geometric
from meshsim.lab.search.verdict import Verdict


def test_clear_answers_are_bisected_to_the_resolution() -> None:
    def ask(load):
        return Verdict.MET if load <= 3.3 else Verdict.MISSED

    meets, misses = bracket(ask, 0.1, 10.0, geometric(0.01))
    assert meets <= 3.3 < misses <= 1.01 * meets


def test_both_edges_of_what_is_inconclusive_are_found() -> None:
    def ask(load):
        return Verdict.MET if load < 2.0 else Verdict.MISSED if load > 2.5 else Verdict.UNDECIDED

    meets, misses = bracket(ask, 0.1, 10.0, geometric(0.01))
    assert 2.0 / 1.01 <= meets < 2.0
    assert 2.5 < misses <= 2.5 * 1.01


def filled(shares: list[float]) -> tuple[list[float], list[int]]:
    asked: dict[int, float] = {}

    def run(place: int) -> float:
        asked[place] = shares[place]
        return shares[place]

    return chances(run, len(shares)), sorted(asked)


@pytest.mark.parametrize("edge", range(10))
def test_a_sharp_line_is_found_by_bisection(edge) -> None:
    shares = [1.0] * edge + [0.0] * (9 - edge)
    found, asked = filled(shares)
    assert found == shares
    assert len(asked) <= 6


def test_around_the_line_all_that_chance_decides_is_run() -> None:
    shares = [1.0] * 6 + [0.75, 0.5, 0.25, 0.125] + [0.0] * 10
    found, asked = filled(shares)
    assert found == shares
    assert set(range(5, 11)) <= set(asked)
    assert len(asked) < 12


@pytest.mark.parametrize(
    "shares",
    [
        [1.0, 1.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 1.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 0.0, 0.0],
    ],
)
def test_what_is_not_in_order_is_run_as_a_whole_where_it_is_seen(shares) -> None:
    found, _ = filled(shares)
    assert found[2] == shares[2]
    assert (found[0], found[-1]) == (shares[0], shares[-1])
