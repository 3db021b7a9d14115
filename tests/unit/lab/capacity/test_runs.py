import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity.runs import Runner
from meshsim.lab.jobs import memory
from meshsim.lab.jobs.interrupt import Interrupt
from meshsim.lab.jobs.pool import Pool, simulate
from meshsim.scenario import loads

TEXT = """
duration: 20s
services: {a: {time: 5ms}}
load: [{to: a, rate: 50/s}]
objectives: [{service: a, p99: 30ms}]
"""


def made(scenario):
    return Runner(Pool(1, simulate), Interrupt()).summaries([(scenario, 1, "load 50/s, seed 1")])


@pytest.mark.parametrize("overrides", [(), ["keep=histograms"]])
def test_rows_that_do_not_fit_into_memory_are_refused_before_the_runs(overrides, monkeypatch) -> None:
    """Also those of a scenario that keeps histograms: a search needs rows, whatever `keep` says."""
    scenario = loads(TEXT, overrides=overrides)
    assert made(scenario)[0].requests.ok > 900
    monkeypatch.setattr(memory, "available", lambda: 500_000)
    with pytest.raises(
        MeshsimError, match=r"load 50/s, seed 1: .* shorter, or insist with --set keep=records$"
    ) as told:
        made(scenario)
    assert "histograms" not in str(told.value)


def test_who_insists_on_rows_has_them(monkeypatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 500_000)
    assert made(loads(TEXT, overrides=["keep=records"]))
