import numpy as np
import pytest

from meshsim.measure import warmup


def brute_force(means: np.ndarray) -> int:
    """MSER by its definition."""
    count = len(means)
    errors = [np.sum((means[d:] - means[d:].mean()) ** 2) / (count - d) ** 2 for d in range(count // 2 + 1)]
    return int(np.argmin(errors))


@pytest.mark.parametrize("seed", range(20))
def test_mser_is_its_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    means = generator.exponential(1.0, 200) + 3.0 * np.exp(-np.arange(200) / generator.uniform(1, 40))
    assert warmup.mser(means) == brute_force(means)


def test_mser_of_what_has_no_transient() -> None:
    assert warmup.mser(np.full(100, 0.1)) == 0
    assert warmup.mser(np.array([1.0])) == 0


def test_a_transient_is_cut_at_an_edge_of_the_grid(make_scenario, make_records) -> None:
    scenario = make_scenario(warmup="auto", duration="100s")
    start = np.arange(0.0, 100.0, 0.02)
    noise = np.random.default_rng(2).exponential(0.1, len(start))
    record = make_records(scenario, start, noise + 2.0 * np.exp(-start / 4.0))
    found = warmup.find([record], scenario.duration)
    assert found.found
    assert 8.0 < found.time < 35.0
    assert found.time == record.grid.edges(found.bins)[-1]


def test_growth_to_the_end_has_no_end_of_the_warmup(make_scenario, make_records) -> None:
    scenario = make_scenario(warmup="auto")
    start = np.arange(0.0, 100.0, 0.02)
    found = warmup.find([make_records(scenario, start, 0.01 * start + 0.001)], scenario.duration)
    assert not found.found
    assert found.time <= 50.0


def test_replications_share_one_cut(make_scenario, make_records) -> None:
    scenario = make_scenario(warmup="auto")
    start = np.arange(0.0, 100.0, 0.05)
    records = [
        make_records(
            scenario,
            start,
            np.random.default_rng(seed).exponential(0.1, len(start)) + np.exp(-start / 5.0),
            seed=seed,
        )
        for seed in range(5)
    ]
    found = warmup.find(records, scenario.duration)
    assert found.found
    assert 8.0 < found.time < 35.0


def test_few_requests_are_all_kept(make_scenario, make_records) -> None:
    scenario = make_scenario(warmup="auto")
    assert warmup.find([make_records(scenario, [1.0, 2.0, 3.0])], 100.0) == warmup.Warmup(0, 0.0, False)
    assert warmup.find([make_records(scenario, [])], 100.0).bins == 0
