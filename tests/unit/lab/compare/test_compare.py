"""Comparing two scenarios: small ones on the engine, and pairs made by hand."""

import json
import signal

import numpy as np
import pandas as pd
import pytest

import meshsim as ms
from meshsim.errors import MeshsimError, ScenarioError
from meshsim.lab import engines as module
from meshsim.lab.compare import compare
from meshsim.lab.show import compare as sheets
from meshsim.scenario import loads

TEXT = """
name: small
duration: 5s
services: {api: {workers: 1, time: {exponential: 10ms}}, other: {}}
load: [{to: api, rate: 50/s}]
"""
FILES = {"compare.json", "compare.parquet", "replications.parquet", "compare.png", "a.yaml", "b.yaml"}
SMALL = loads(TEXT)
TWO = ["services.api.workers=2"]


@pytest.fixture
def result():
    return compare(SMALL, changes=["services.api.time={exponential: 8ms}"], replications=4, jobs=1)


def row(result, metric: str):
    (found,) = [each for each in result.summary["differences"] if each["metric"] == metric]
    return found


def test_differences_are_of_runs_with_the_same_seed(result) -> None:
    a = [ms.run(SMALL, seed=seed).summary["latency"]["mean"] for seed in range(1, 5)]
    faster = {"services.api.time": {"exponential": "8ms"}}
    b = [ms.run(SMALL, seed=seed, overrides=faster).summary["latency"]["mean"] for seed in range(1, 5)]
    found = row(result, "latency.mean")
    assert (found["a"], found["b"]) == pytest.approx((np.mean(a), np.mean(b)))
    assert found["difference"] == pytest.approx(np.mean(b) - np.mean(a))
    rows = result.replications[result.replications.metric == "latency.mean"]
    assert rows.a.tolist() == a
    assert rows.b.tolist() == b
    assert rows.seed.tolist() == [1, 2, 3, 4]
    assert result.summary["seeds"] == [1, 2, 3, 4]


def test_requests_are_paired_with_themselves(result) -> None:
    found = result.summary["requests"]
    first = ms.run(SMALL, replications=4).requests
    second = ms.run(SMALL, replications=4, overrides=["services.api.time={exponential: 8ms}"]).requests
    change = second.latency - first.latency
    assert found["count"] == len(first)
    assert found["faster"] == (change < -1e-9).sum() == len(first)  # each needs 4/5 of its time
    assert found["slower"] == found["lost"] == found["rescued"] == found["failed"] == 0
    assert found["difference"]["mean"] == pytest.approx(change.groupby(first.replication).mean().mean())


def test_a_scenario_does_not_differ_from_itself() -> None:
    result = compare(SMALL, SMALL, replications=3, jobs=1)
    assert all(each["identical"] for each in result.summary["differences"])
    found = result.summary["requests"]
    assert found["same"] == found["count"] > 0
    told = sheets.sentences(result.numbers)
    assert "no pair of runs differs" in told[0]
    assert not any("succeeded in both" in sentence for sentence in told)
    assert result.plot().alt


def test_the_same_for_any_number_of_processes(result) -> None:
    several = compare(SMALL, changes=["services.api.time={exponential: 8ms}"], replications=4, jobs=2)
    for summary in (several.summary, result.summary):
        summary.pop("notes")  # what is said once in a process
    assert several.summary == result.summary


def test_results_are_saved_and_can_be_read(result, tmp_path) -> None:
    assert {path.name for path in result.save(tmp_path / "new")} == FILES
    folder = tmp_path / "new"
    assert json.loads((folder / "compare.json").read_text()) == result.summary
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "compare.parquet"), result.table, check_dtype=False
    )
    assert len(pd.read_parquet(folder / "replications.parquet")) == len(result.replications)
    again = compare(folder / "a.yaml", folder / "b.yaml", replications=4, jobs=1)
    assert again.summary["differences"] == result.summary["differences"]


def test_overrides_are_of_both_and_changes_of_b() -> None:
    result = compare(
        SMALL, changes={"load[0].rate": "60/s"}, overrides=["duration=2s"], replications=2, jobs=1
    )
    assert (result.a.duration, result.b.duration) == (2.0, 2.0)
    assert (result.a.load[0].rate, result.b.load[0].rate) == (50.0, 60.0)
    assert result.summary["b"]["label"] == "with load[0].rate=60/s"
    assert result.summary["requests"] is None
    assert any("load[0] is not the same in both" in note for note in result.summary["notes"])


def test_both_are_asked_the_objectives_of_either() -> None:
    a = loads(TEXT + "objectives: [{service: api, p99: 10s}]")
    b = loads(TEXT + "objectives: [{service: api, success: 50%, p99: 1us}]")
    result = compare(a, b, replications=3, jobs=1, overrides=["duration=30s"])
    found = {each["objective"]: each for each in result.summary["objectives"]}
    assert (found["objectives.api.p99"]["met_a"], found["objectives.api.p99"]["met_b"]) == (3, 0)
    assert (found["objectives.api.success"]["met_a"], found["objectives.api.success"]["met_b"]) == (3, 3)
    assert row(result, "objectives.api.p99")["identical"]
    assert {line[0] for line in sheets.objectives(result.numbers).rows} == {"api.p99", "api.success"}


def test_objectives_of_one_service_are_told_apart_by_endpoint() -> None:
    text = """
duration: 30s
services: {api: {time: 1ms, endpoints: {good: {}, bad: {errors: 100%}, ENDPOINT: {}}}}
load: [{to: api, rate: 50/s, endpoints: {good: 1, bad: 1}}]
objectives:
  - {service: api, endpoint: good, success: 99%}
  - {service: api, endpoint: bad, success: 90%}
"""
    a = loads(text.replace("ENDPOINT", "a"))
    more = "  - {service: api, mean: 1s}\n  - {service: api, endpoint: b, mean: 1s}"
    b = loads(text.replace("ENDPOINT", "b") + more)
    result = compare(a, b, replications=2, jobs=1)
    found = {each["objective"]: (each["met_a"], each["met_b"]) for each in result.summary["objectives"]}
    assert found == {
        "objectives.api/good.success": (2, 2),
        "objectives.api/bad.success": (0, 0),
        "objectives.api.mean": (2, 2),
        "objectives.api/b.mean": (None, 0),
    }
    assert row(result, "objectives.api/bad.success")["a"] == 0.0
    assert row(result, "objectives.api/good.success")["a"] == 1.0


def test_an_objective_on_a_service_of_b_alone_counts(tmp_path) -> None:
    more = loads(TEXT.replace("other: {}", "more: {}") + "objectives: [{service: more, success: 99%}]")
    result = compare(SMALL, more, replications=2, jobs=1, out=tmp_path / "to")
    (found,) = result.summary["objectives"]
    assert (found["objective"], found["met_a"], found["met_b"]) == ("objectives.more.success", None, 0)
    assert sheets.objectives(result.numbers).rows[0][-2:] == ("-", "0/2")
    back = compare(more, SMALL, replications=2, jobs=1, out=tmp_path / "back")
    assert back.summary["objectives"] == []  # B has no such service to ask
    rows = back.replications[back.replications.metric == "objectives.more.success"]
    assert rows.b.isna().all()


def test_services_of_one_alone_are_named() -> None:
    b = loads(TEXT.replace("other: {}", "more: {}"))
    notes = compare(SMALL, b, replications=2, jobs=1).summary["notes"]
    assert "In A only, so not compared: other." in notes
    assert "In B only, so not compared: more." in notes


def test_b_has_the_seed_of_a() -> None:
    b = loads(TEXT + "seed: 9")
    result = compare(SMALL, b, replications=2, jobs=1)
    assert result.summary["seeds"] == [1, 2]
    assert any("B's own seed, 9, is not used" in note for note in result.summary["notes"])
    assert all(each["identical"] for each in result.summary["differences"])


def test_percentiles_that_the_runs_are_too_short_for_are_left_out(result) -> None:
    assert "latency.p999" not in {each["metric"] for each in result.summary["differences"]}
    assert any("latency.p999" in note for note in result.summary["notes"] if note.startswith("Left out"))
    with pytest.raises(MeshsimError, match=r"latency.p99 can't be supported"):
        compare(SMALL, changes=["load[0].rate=60/s"], replications=2, metric="latency.p99", jobs=1)


@pytest.mark.parametrize(
    ("metric", "instead"),
    [
        ("latency.p99", "latency.p95"),
        ("services.api.latency.p99", "services.api.latency.mean"),
        ("objectives.api.p99", "latency.mean"),
    ],
)
def test_every_percentile_is_held_to_the_same(metric, instead) -> None:
    asked = loads(TEXT + "objectives: [{service: api, p99: 1s}]")
    result = compare(asked, changes=TWO, replications=2, jobs=1)
    assert metric not in {each["metric"] for each in result.summary["differences"]}
    assert any(f" {metric}" in note for note in result.summary["notes"] if note.startswith("Left out"))
    with pytest.raises(MeshsimError, match=rf"^{metric} can't be supported.*or choose {instead}$"):
        compare(asked, changes=TWO, until="5%", metric=metric, jobs=1)


def test_what_one_never_has_is_left_out() -> None:
    result = compare(SMALL, changes={"services.api.errors": "100%"}, replications=2, jobs=1)
    assert row(result, "requests.success_ratio")["difference"] == -1.0
    assert "ok_latency.mean" not in {each["metric"] for each in result.summary["differences"]}
    assert result.summary["requests"]["lost"] == result.summary["requests"]["count"]
    assert result.summary["requests"]["difference"] is None
    assert any("not in every run: ok_latency.mean" in note for note in result.summary["notes"])
    assert result.plot().alt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing to compare with"),
        ({"b": SMALL, "replications": 1}, "at least 2"),
        ({"b": SMALL, "metric": "latency.p98"}, "did you mean"),
        ({"b": SMALL, "until": "0%"}, "gets that narrow"),
        ({"b": SMALL, "seed": -1}, "out of range"),
        ({"b": SMALL, "jobs": 0}, "at least 1"),
        ({"changes": ["lod=1"]}, "--with: lod"),
    ],
)
def test_bad_arguments_have_one_clear_message(arguments, message) -> None:
    with pytest.raises(MeshsimError, match=message):
        compare(SMALL, **arguments)


def test_all_problems_of_a_scenario_are_told() -> None:
    with pytest.raises(ScenarioError) as caught:
        compare(SMALL, changes=["lod=1", "duration=fast"])
    assert {problem.file for problem in caught.value.problems} == {"--with"}
    assert len(caught.value.problems) == 2


def test_histograms_can_be_compared_but_not_request_by_request(result) -> None:
    kept = compare(
        SMALL,
        changes=["services.api.time={exponential: 8ms}"],
        overrides=["keep=histograms"],
        replications=4,
        jobs=1,
    )
    assert kept.summary["requests"] is None
    for metric in ("latency.mean", "requests.goodput", "services.api.utilisation"):
        assert row(kept, metric)["difference"] == pytest.approx(row(result, metric)["difference"])
    assert any(note.startswith("Percentiles of A and B are those of hist") for note in kept.summary["notes"])
    assert kept.plot().png()


def test_percentiles_of_one_sides_histograms_are_said_to_be_rounded() -> None:
    result = compare(SMALL, changes=["keep=histograms"], replications=4, jobs=1)
    assert not row(result, "latency.p50")["identical"]  # though the runs are the same
    (note,) = [note for note in result.summary["notes"] if note.startswith("Percentiles")]
    assert "Percentiles of B are those of histograms, within 0.5 % of the exact ones" in note
    assert "rounding" in note


def test_each_side_says_its_engine() -> None:
    changes = {"engine": "reference"}
    result = compare(SMALL, changes=changes, overrides={"engine": "simpy"}, replications=2, jobs=1)
    assert [result.summary[side]["engine"] for side in ("a", "b")] == ["simpy", "reference"]
    assert result.summary["engine"] == "simpy for A and reference for B"
    same = compare(SMALL, changes=changes, engine="simpy", replications=2, jobs=1)
    assert same.summary["engine"] == same.summary["b"]["engine"] == "simpy"


# ---- pairs made by hand -----------------------------------------------------------------------------


@pytest.fixture
def by_hand(monkeypatch, make_records):
    """Runs whose latency is their seed's luck; B, of two workers, is 0.1 s faster, with noise of its own."""

    def replace(noise: float, press_in: int | None = None):
        runs = []

        def engine(scenario, seed=None, *, progress=None):
            runs.append(seed)
            start = np.linspace(0.0, 4.9, 1000)
            try:
                if len(runs) == press_in:
                    signal.raise_signal(signal.SIGINT)
                (progress or (lambda now: None))(5.0)
            except KeyboardInterrupt:
                return make_records(scenario, start, 1.0, seed=seed, end=2.0, complete=False)
            luck = np.random.default_rng(seed).normal(1.0, 0.3)
            if scenario.services["api"].workers == 2:
                luck += np.random.default_rng(1000 + seed).normal(-0.1, noise)
            return make_records(scenario, start, luck, seed=seed)

        monkeypatch.setattr(module, "engine", lambda name, *parts: engine)
        return runs

    return replace


PLAIN = loads("{duration: 5s, services: {api: {workers: 1}}, load: [{to: api, rate: 200/s}]}")


def test_pairs_are_added_until_the_difference_is_narrow(by_hand) -> None:
    by_hand(0.05)
    looks = []
    result = compare(PLAIN, changes=TWO, until="1%", jobs=1, looked=looks.append)
    found, until = row(result, "latency.mean"), result.summary["until"]
    assert until["reached"]
    assert found["half_width"] <= 0.01 * found["a"]
    assert until["replications"] == result.summary["replications"] > 10
    assert looks[-1].to == result.summary["replications"]
    assert any("of A's mean" in note for note in result.summary["notes"])
    # Var(A) is 0.09, Var(B - A) 0.0025: pairing saves (0.09 + 0.0925) / 0.0025 = 73, as samples go
    assert 20 < found["variance_ratio"] < 300
    assert found["unpaired_replications"] > 10 * result.summary["replications"]


def test_luck_that_is_not_shared_saves_nothing(by_hand) -> None:
    by_hand(0.6)
    result = compare(PLAIN, changes=TWO, replications=200, jobs=1)
    found = row(result, "latency.mean")
    # (0.09 + 0.45) / 0.36 = 1.5
    assert 1.2 < found["variance_ratio"] < 1.9
    assert result.summary["replications"] < found["unpaired_replications"] < 400


def test_ctrl_c_keeps_the_pairs_that_have_finished(by_hand, tmp_path) -> None:
    by_hand(0.1, press_in=8)  # in B of the fourth pair
    told: list[str] = []
    result = compare(PLAIN, changes=TWO, jobs=1, out=tmp_path, interrupted=lambda: told.append("noticed"))
    assert told == ["noticed"]
    assert result.summary["partial"]
    assert result.summary["replications"] == 3
    assert "Interrupted after 3 pairs." in result.summary["notes"]
    assert json.loads((tmp_path / "compare.json").read_text())["partial"]


def test_ctrl_c_with_nothing_to_compare_gives_up(by_hand) -> None:
    by_hand(0.1, press_in=3)
    with pytest.raises(KeyboardInterrupt):
        compare(PLAIN, changes=TWO, jobs=1)


def test_progress_goes_through_all_pairs(by_hand) -> None:
    by_hand(0.1)
    told: list[float] = []
    compare(PLAIN, changes=TWO, replications=3, jobs=1, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(30.0)


def test_a_folder_that_cannot_be_written_is_told_before_the_runs(by_hand, tmp_path) -> None:
    runs = by_hand(0.1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MeshsimError, match=r"can't write to .*file"):
        compare(PLAIN, changes=TWO, out=tmp_path / "file" / "below", jobs=1)
    assert runs == []
