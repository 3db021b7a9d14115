import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.capacity import sample_size
from meshsim.lab.capacity.objectives import required
from meshsim.lab.search.inquiry import Plan
from meshsim.lab.search.verdict import requests_needed
from meshsim.scenario import loads

TEXT = (
    "{duration: 12s, warmup: 2s, services: {a: {script: [{call: b}]}, b: {}}, load: [%s], objectives: [%s]}"
)


def refuse(load: str, objective: str, plan: Plan) -> None:
    scenario = loads(TEXT % (load, objective))
    sample_size.refuse(scenario, required(scenario), plan)


def test_what_perfect_runs_would_not_show_is_refused() -> None:
    """16 runs of 10 s at 10/s and 20/s are 4,800 requests; for 99.99 % it takes ten times as many."""
    objective = "{service: a, success: 99.99%}"
    with pytest.raises(
        MeshsimError, match=r"^a: success >= 99.99 %: 16 runs have about 4,800 requests.* 9.* times as long"
    ):
        refuse("{to: a, rate: 10/s}, {to: a, rate: 20/s}", objective, Plan(most=16))
    with pytest.raises(MeshsimError, match=r"^a: p999 <= 1 s: 16 runs have about 1,600 requests"):
        refuse("{to: a, rate: 10/s}", "{service: a, p99: 1s, p999: 1s}", Plan(most=16))


def test_the_line_is_where_the_requests_just_do() -> None:
    plan = Plan(most=4)
    rate = requests_needed(0.99, plan.error) / (4 * 10.0)
    refuse(f"{{to: a, rate: {1.01 * rate}/s}}", "{service: a, p99: 1s}", plan)
    with pytest.raises(MeshsimError, match="p99 <= 1 s: 4 runs"):
        refuse(f"{{to: a, rate: {0.99 * rate}/s}}", "{service: a, p99: 1s}", plan)


@pytest.mark.parametrize(
    ("load", "objective"),
    [
        ("{to: a, users: 1}", "{service: a, success: 99.99%}"),
        ("{to: a, rate: 1/s}", "{service: b, success: 99.99%}"),
        ("{to: a, rate: 1/s}", "{service: a, mean: 1s}"),
    ],
)
def test_what_is_not_known_beforehand_is_left_to_the_runs(load, objective) -> None:
    refuse(load, objective, Plan())
