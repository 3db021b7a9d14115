import json
import re
import signal
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from meshsim.cli import app
from meshsim.lab.capacity import capacity
from meshsim.lab.show import capacity as sheets
from meshsim.lab.show.sheets import share
from meshsim.scenario import loads

QUICK = """
name: quick
duration: 20s
services:
  front: {replicas: 3, time: 1ms, script: [{call: back}]}
  back: {replicas: 2, workers: 1, time: {exponential: 50ms}}
load: [{to: front, rate: 12/s}]
objectives: [{service: front, p90: 400ms}]
"""
HIT = """
name: hit
duration: 30s
drain: 2s
services: {api: {workers: 4, time: {exponential: 40ms}}}
policies: {api: {retries: {attempts: 2, per_try_timeout: 500ms, on: [5xx]}}}
load: [{to: api, rate: 25/s}]
events: [{at: 5s, for: 5s, service: api, slow: 5}]
"""
FAST = ["--jobs", "1", "--at-most", "4", "--resolution", "30%"]


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK)
    return str(path)


@pytest.fixture
def hit(tmp_path):
    path = tmp_path / "hit.yaml"
    path.write_text(HIT)
    return str(path)


def test_options_are_called_as_those_of_the_other_verbs() -> None:
    told = " ".join(call("--help").stdout.split())
    for words in ("auto, fast, simpy or reference", "Processes; by default one for each core.", "--at-most"):
        assert words in told
    assert "--replications" not in told


def call(*arguments: str):
    return CliRunner().invoke(app, ["capacity", *arguments])


def test_it_says_what_was_found_and_writes_files(quick, tmp_path) -> None:
    result = call(quick, *FAST, "--cost", "back=2.5", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    for words in (
        "quick: front: p90 <= 400 ms",
        "largest load",
        "/s misses: ",
        "fresh seeds",
        "The knee",
        "back has the highest utilisation",
        "least replicas",
        "runs, seeds 1 to 8",
    ):
        assert words in result.stdout, words
    assert re.search(r"^load 12/s: 4 replications, p90 [\d.]+ ± [\d.]+ ms, met$", result.stderr, re.MULTILINE)
    assert re.search(r"^front 3, back 2: 4 replications", result.stderr, re.MULTILINE)
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir()} == {"capacity.json", "capacity.parquet", "capacity.png"}
    answer = json.loads((folder / "capacity.json").read_text())
    assert answer["replicas"]["least"]["front"] == 1  # its workers are unlimited
    assert answer["replicas"]["cost_own"] == 3.0 + 2 * 2.5
    table = pd.read_parquet(folder / "capacity.parquet")
    assert len(table) == answer["runs"]
    assert set(table.question) == {"load", "replicas"}
    assert set(table[table.fresh].seed) == set(range(5, 9))
    one = table[(table.factor == 1.0) & (table.seed == 3)].iloc[0]
    made = json.loads(CliRunner().invoke(app, ["run", quick, "--seed", "3", "--json"]).stdout)
    assert one["front.p90"] == made["objectives"][0]["measured"]["p90"]
    assert one["goodput"] == made["requests"]["goodput"]


def test_json_and_quiet(quick) -> None:
    result = call(quick, *FAST, "--find", "load", "--json", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer["load"]["meets"]["factor"] < answer["load"]["misses"]["factor"]
    assert answer["replicas"] is None
    assert answer["load"]["meets"]["loads"] == [
        {"to": "front", "rate": pytest.approx(12.0 * answer["load"]["meets"]["factor"])}
    ]


def test_the_same_seeds_give_the_same_answer_on_any_number_of_processes(quick) -> None:
    one, two = (
        json.loads(call(quick, *FAST[2:], "--find", "load", "--jobs", jobs, "--json").stdout) for jobs in "12"
    )
    assert one == two


def test_objectives_can_be_given(quick) -> None:
    options = ["--objective", "front: success >= 50%, p90 <= 300ms", "--find", "load"]
    result = call(quick, *FAST, *options, "--json")
    asked = json.loads(result.stdout)["objectives"]
    assert {each["key"]: each["limit"] for each in asked} == {"p90": 0.3, "success": 0.5}


def test_a_map_of_recovery(hit, tmp_path) -> None:
    axes = ["--map", "load[0].rate=10/s:80/s:3", "--map", "policies.api.retries.attempts=0,2"]
    result = call(hit, "--jobs", "1", *axes, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    assert "probability of recovery" in result.stdout
    assert "The trigger lasts from 5 to 10 s" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "capacity.json", "capacity.parquet", "map.png",
    }  # fmt: skip
    found = json.loads((tmp_path / "out" / "capacity.json").read_text())["map"]
    shares = {(cell["row"], cell["column"]): cell["share"] for cell in found["cells"]}
    assert shares[0, 1] == 1.0  # 45/s without retries: fine
    assert shares[1, 1] == 0.0  # with two each, 3 x 45 are more than 100/s
    assert found["boundary"] == [["45/s", "80/s"], ["10/s", "45/s"]] or shares[0, 2] > 0.0


def test_the_boundary_of_recovery(hit) -> None:
    result = call(hit, "--jobs", "1", "--at-most", "8", "--resolution", "60%", "--find", "recovery")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"[\d.]+/s recovers more often than not, [\d.]+/s does not", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--find", "lode"], "load"),
        (["--objective", "front: p99 >= 1s"], "is not an objective"),
        (["--objective", "frnt: p99 <= 1s"], "meshsim: --objective: service: no service 'frnt'"),
        (["--objective", "front: p99 <= 1"], "not a valid duration"),
        (["--cost", "back"], "SERVICE=NUMBER"),
        (["--cost", "bakc=2"], "back"),
        (["--map", "load[0].rate=1/s"], "two keys"),
        (["--map", "load[0].rate"], "KEY=V1,V2"),
        (
            ["--map", "load[0].rate=1/s,2/s", "--map", "load[0].rate=3/s,4/s"],
            "--map: load[0].rate is given twice",
        ),
        (
            ["--map", "load[0].rate=1/s,2/s", "--map", "services.bakc.workers=1,2"],
            "meshsim: --map: services.bakc.workers: no service 'bakc'",
        ),
        (["--set", "objectives[0].service=frnt"], "meshsim: --set: objectives[0].service: "),
        (["--find", "load", "--cost", "nope=2"], "--cost applies to replicas only"),
        (["--find", "load", "--window", "5s"], "--window applies to recovery only"),
        (["--find", "recovery", "--objective", "front: p99 <= 1s"], "--objective does not apply"),
        (["--confidence", "2"], "--confidence"),
        (["--confidence", "100%"], "confidence"),
        (["--resolution", "0"], "resolution"),
        (["--at-most", "2"], "at least 4"),
        (["--window", "5"], "--window"),
        (["--find", "recovery"], "no events"),
        (["--set", "objectives=[]"], "has no objectives"),
        (["--objective", "front: success >= 99.999%"], "some 790,000 without a bad one are needed"),
        (
            ["--objective", "front: success >= 99.999%", "--find", "replicas"],
            "some 500,000 without a bad one are needed",
        ),
        (["--seed", "-1"], "seed -1"),
        (["--jobs", "0"], "0 jobs"),
        (["--engine", "warp"], "meshsim: no engine 'warp'"),
        (["--set", "load=[{to: front, arrivals: {trace: {file: quick.yaml}}}]"], ""),
    ],
)
def test_bad_input_is_one_message_and_exit_2(quick, tmp_path, arguments, words) -> None:
    result = call(quick, "--jobs", "1", "--out", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert not (tmp_path / "out").exists()
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert words in result.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_what_is_known(quick, tmp_path, jobs) -> None:
    options = [
        "--jobs",
        jobs,
        "--resolution",
        "0.1%",
        "--set",
        "duration=60s",
        "--out",
        str(tmp_path / "out"),
    ]
    command = [sys.executable, "-m", "meshsim", "capacity", quick, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if len(lines) == 3:
            process.send_signal(signal.SIGINT)
    out = process.stdout.read()
    assert process.wait(timeout=300) == 130, "".join(lines)
    process.stdout.close()
    process.stderr.close()
    assert lines[-1] == "meshsim: interrupted; this is what is known so far\n"
    assert "meets" in out
    answer = json.loads((tmp_path / "out" / "capacity.json").read_text())
    assert answer["partial"]
    assert answer["load"]["meets"]["factor"] > 0.0
    assert answer["load"]["confirmed"] is None


def test_where_no_load_meets_no_curve_is_drawn(quick) -> None:
    """A curve up to the lowest load, and the scenario's own far beyond it, would show a knee that is none."""
    result = call(quick, *FAST, "--find", "load", "--objective", "front: p90 <= 1ms", "--json")
    found = json.loads(result.stdout)["load"]
    assert found["meets"] is None
    assert found["knee"] is None
    assert len(found["curve"]) < 5


def named(sentences) -> set[str]:
    """The loads that sentences name."""
    return set(re.findall(r"[\d.,]+/s", " ".join(sentences)))


def test_every_load_in_a_sentence_is_a_row_of_the_table() -> None:
    """Also those that only fresh seeds were asked about, since the first answer did not stand up to them."""
    scenario = loads(
        """
        name: queue
        duration: 20s
        services: {api: {workers: 1, time: {exponential: 10ms}}}
        load: [{to: api, rate: 40/s}]
        objectives: [{service: api, p90: 100ms}]
        """
    )
    numbers = capacity(scenario, find=["load"], at_most=8, seed=2, resolution=0.05, jobs=1).numbers
    found = numbers.load
    rows = {row[0]: row for row in sheets.curve(numbers, found).rows}
    assert named(sheets.load(numbers, found)) <= set(rows)
    assert any(point.fresh for point in found.curve)
    row = rows[found.meets.label]
    assert row[-1] == "met (fresh seeds)"
    assert row[3:5] == ("api", share(found.busiest.utilisation))


def test_recovery_has_a_table_too(hit) -> None:
    numbers = capacity(hit, find=["recovery"], jobs=1, at_most=4, resolution=0.3).numbers
    rows = sheets.recoveries(numbers, numbers.recovery).rows
    assert named(sheets.recovery(numbers, numbers.recovery)) <= {row[0] for row in rows}
    assert {row[-1].split(" (")[0] for row in rows} >= {"recovers", "does not"}
    assert all(0 <= int(recovered) <= int(pairs) for _, pairs, recovered, _ in rows)
