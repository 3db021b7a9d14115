from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.recovery import compare, trial, twins
from meshsim.lab.run import run
from meshsim.scenario import load

FILE = Path(__file__).parents[4] / "scenarios" / "metastable.yaml"
SHORT = ["duration=60s", "events=[{at: 5s, for: 5s, service: backend, slow: 5}]"]


def scenario(*changes: str):
    return load(FILE, [*SHORT, *changes])


def observed(found, seed=7):
    hit, twin = twins(found, trial(found))
    return compare(run(hit, seed=seed).numbers, run(twin, seed=seed).numbers, seed)


def test_a_trial_is_read_off_the_events() -> None:
    found = trial(scenario())
    assert (found.hit, found.over) == (5.0, 10.0)
    assert found.looked == pytest.approx(60.0 - 50.0 / 3.0)
    assert trial(scenario(), 5.0).looked == 55.0


def test_the_twin_has_no_events_and_both_are_measured_at_the_end() -> None:
    hit, twin = twins(scenario(), trial(scenario()))
    assert hit.warmup == twin.warmup == pytest.approx(43.333, abs=1e-3)
    assert hit.events
    assert not twin.events


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["events=[]"], "has no events"),
        (["events=[{at: 5s, service: backend, slow: 5}]"], r"events\[0\] never ends"),
        (["duration=10s"], "no 0 s are left"),
    ],
)
def test_what_is_no_trigger_is_told(changes, message) -> None:
    with pytest.raises(MeshsimError, match=message):
        trial(scenario(*changes))


def test_a_window_longer_than_what_is_left_is_refused() -> None:
    with pytest.raises(MeshsimError, match="or the window shorter"):
        trial(scenario(), 51.0)


@pytest.mark.parametrize(
    ("changes", "recovered"),
    [
        ([], 0.0),  # as the scenario's header says: dead in ten of ten
        (["services.backend.queue=50"], 1.0),
        (["services.backend.discipline=lifo"], 1.0),
        (["services.backend.when_abandoned=stop"], 1.0),
        (["policies.backend.retries.attempts=1"], 0.0),
        (["load[0].rate=15/s"], 1.0),
    ],
)
def test_metastable_and_its_cures(changes, recovered) -> None:
    found = observed(scenario(*changes))
    assert found.scores[0].measured == recovered
    assert found.numbers["overloaded"] == 0.0


def test_what_is_overloaded_anyway_has_nothing_to_return_to() -> None:
    found = observed(scenario("load[0].rate=150/s", "policies.backend.retries.attempts=0"))
    assert found.scores[0].measured == 0.0
    assert found.numbers["overloaded"] == 1.0
