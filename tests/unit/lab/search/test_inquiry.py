import sys
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.search.inquiry import Inquiry, Plan
from meshsim.lab.search.verdict import Verdict

sys.path.insert(0, str(Path(__file__).parent))

from known_answers import P99, late_share, noisy, spent


def test_looks_double_up_to_the_most() -> None:
    assert Plan(most=32).looks == (4, 8, 16, 32)
    assert Plan(most=20).looks == (4, 8, 16, 20)
    assert Plan(most=4).looks == (4,)
    assert Plan(confidence=0.96, most=32).error == pytest.approx(0.01)


def test_fresh_seeds_have_not_been_used() -> None:
    plan = Plan(most=8, seed=5)
    used, fresh = (range(each.seed, each.seed + each.most) for each in (plan, plan.fresh()))
    assert not set(used) & set(fresh)


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"confidence": 0.3}, {"most": 3}])
def test_plans_that_decide_nothing_are_refused(wrong) -> None:
    with pytest.raises(MeshsimError):
        Plan(**wrong)


def test_clear_candidates_cost_little_and_close_ones_all() -> None:
    inquiry = Inquiry(noisy(late_share), [P99], Plan())
    assert inquiry.ask(0.8).verdict is Verdict.MET
    assert inquiry.ask(1.9).verdict is Verdict.MISSED
    assert len(inquiry.findings[0.8].observations) == len(inquiry.findings[1.9].observations) == 4
    assert inquiry.ask(1.5395).verdict is Verdict.UNDECIDED  # the exact capacity is 1.53948
    assert len(inquiry.findings[1.5395].observations) == 32
    assert spent(inquiry) == 40


def test_what_is_known_is_not_run_again() -> None:
    calls = []
    observe = noisy(late_share)

    def counted(factor, seeds):
        calls.append(list(seeds))
        return observe(factor, seeds)

    inquiry = Inquiry(counted, [P99], Plan(seed=10))
    inquiry.ask(0.8)
    inquiry.ask(0.8)
    inquiry.look(0.8, 6)
    assert calls == [[10, 11, 12, 13], [14, 15]]


def test_every_look_is_told() -> None:
    told = []
    inquiry = Inquiry(noisy(late_share), [P99], Plan(), lambda finding: told.append(finding.verdict))
    inquiry.ask(1.5395)
    assert told == [Verdict.UNDECIDED] * 4
