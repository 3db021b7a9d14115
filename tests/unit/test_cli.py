import json
import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import meshsim
from meshsim.cli import app
from meshsim.cli.app import reporting_errors
from meshsim.errors import MeshsimError
from meshsim.forms import FORM

SMALL = """
name: small
duration: 5s
services: {api: {workers: 2, time: {exponential: 10ms}}}
load: [{to: api, rate: 50/s}]
objectives: [{service: api, p99: 10s}]
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def call(*arguments: str, text: str | None = None):
    return CliRunner().invoke(app, list(arguments), input=text)


# ---- run --------------------------------------------------------------------------------------------


def test_run_shows_tables_and_writes_files(small, tmp_path) -> None:
    result = call("run", small, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    for word in (
        "goodput",
        "success",
        "amplification",
        "utilisation",
        "client -> api",
        "met",
        "summary.json",
        "engine",
    ):
        assert word in result.stdout, word
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "summary.json",
        "requests.parquet",
        "run.png",
        "metrics.prom",
    }


def test_run_prints_json_for_machines(small) -> None:
    result = call("run", small, "--json", "--seed", "3", "--set", "load[0].rate=20/s", "--replications", "2")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["seed"] == 3
    assert summary["replications"] == 2
    assert summary["ci"]
    assert summary["requests"]["rate"] < 35.0


def test_run_keeps_what_it_is_told_to(small, tmp_path) -> None:
    result = call("run", small, "--keep", "histograms", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    assert "within 0.5 %" in result.stdout
    assert not (tmp_path / "out" / "requests.parquet").exists()
    wrong = call("run", small, "--keep", "nothing")
    assert wrong.exit_code == 2
    assert "keep" in wrong.stderr


def test_run_reads_standard_input(small) -> None:
    result = call("run", "-", "--json", text=SMALL)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["scenario"] == "small"


def test_quiet_says_nothing(small) -> None:
    result = call("run", small, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_missed_objective_matters_only_with_check(small) -> None:
    miss = ["--set", "objectives[0].p99=1us"]
    assert call("run", small, *miss).exit_code == 0
    missed = call("run", small, *miss, "--check")
    assert missed.exit_code == 1
    assert "MISSED" in missed.stdout
    assert call("run", small, "--check").exit_code == 0


def test_the_reference_model_is_an_engine(small) -> None:
    pytest.importorskip("meshsim.reference").simulate  # noqa: B018
    result = call("run", small, "--engine", "reference", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["engine"] == "reference"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "no-such-file.yaml"],
        ["run", "{small}", "--set", "lod=1"],
        ["run", "{small}", "--set", "nonsense"],
        ["run", "{small}", "--engine", "warp"],
        ["run", "{small}", "--seed", "-1"],
        ["run", "{small}", "--replications", "0"],
        ["run", "{small}", "--out", "{small}/below"],
        ["run", "{small}", "--bogus"],
        ["run"],
        ["check", "no-such-file.yaml"],
        ["theory", "no-such-file.yaml"],
        ["import", "isotope", "no-such-file.yaml"],
        ["nonsense"],
    ],
)
def test_bad_input_is_one_message_and_exit_2(small, arguments) -> None:
    result = call(*(argument.format(small=small) for argument in arguments))
    assert result.exit_code == 2, result.stderr
    assert isinstance(result.exception, SystemExit)  # not what would print a traceback
    assert result.stdout == ""
    assert result.stderr


def test_a_real_process_says_the_same(small) -> None:
    command = [sys.executable, "-m", "meshsim", "run", small, "--set", "duration=fast"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("meshsim: --set: duration:")
    assert "Traceback" not in result.stderr


def test_all_problems_are_told_at_once(tmp_path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("duratoin: 5s\nservices: {api: {workrs: 2}}\nload: [{to: ap, rate: 50}]\n")
    result = call("run", str(path), "--json")
    assert result.exit_code == 2
    told = json.loads(result.stdout)
    assert len(told["problems"]) >= 4
    assert set(told["problems"][0]) == {"file", "line", "key", "message", "remedy"}
    assert result.stderr.startswith(f"meshsim: {len(told['problems'])} problems\n")
    for problem in told["problems"]:
        assert problem["message"] in result.stderr


def test_a_full_disk_does_not_hide_the_numbers(small, tmp_path, monkeypatch) -> None:
    from meshsim.errors import MeshsimError
    from meshsim.lab.run import Run

    def full(self, folder):
        raise MeshsimError("can't write summary.json: No space left on device")

    monkeypatch.setattr(Run, "save", full)
    result = call("run", small, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "goodput" in result.stdout
    assert "No space left on device" in result.stderr


INTERRUPTED = """
import signal
from meshsim.cli import main
from meshsim.lab import run

report = run._Replications.report

def pressing(replications, now):
    if now >= 60.0:
        signal.raise_signal(signal.SIGINT)
    report(replications, now)

run._Replications.report = pressing
main()
"""


def test_ctrl_c_keeps_what_there_is(small, tmp_path) -> None:
    arguments = ["run", small, "--set", "duration=10m", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", INTERRUPTED, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 130, result.stderr
    assert result.stderr.splitlines() == [
        "meshsim: stopping, and keeping the results so far; Ctrl-C again aborts",
        "meshsim: interrupted; the results are partial",
    ]
    assert "Interrupted" in result.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["partial"]
    assert 55.0 <= summary["measured"] <= 65.0


# ---- the other verbs --------------------------------------------------------------------------------


def test_check_says_what_is_there(small) -> None:
    result = call("check", small)
    assert result.exit_code == 0
    assert "fine" in result.stdout
    told = json.loads(call("check", small, "--json").stdout)
    assert told["ok"]
    assert told["services"] == ["api"]
    assert told["edges"] == ["client -> api"]


def test_check_names_the_programs_that_live_would_start(small) -> None:
    changes = (
        "services.shop={live: {command: [node, a b], env: {D: '1'}}, versions: {v1: {}, v2: {}}}",
        'services.shop.versions.v2.live={command: ["./x\\e[31m"]}',
        "load[0].to=shop",
    )
    words = ["check", small, *(word for change in changes for word in ("--set", change))]
    programs = json.loads(call(*words, "--json").stdout)["programs"]
    assert programs == {"shop/v1": "env D=1 node 'a b'", "shop/v2": "'./x\x1b[31m'"}
    lines = call(*words).stdout.splitlines()
    assert "live starts, as shop/v1: env D=1 node 'a b'" in lines
    assert r"live starts, as shop/v2: './x\x1b[31m'" in lines
    assert json.loads(call("check", small, "--json").stdout)["programs"] == {}


def test_schema_is_json() -> None:
    result = call("schema")
    assert result.exit_code == 0
    assert "services" in json.loads(result.stdout)["properties"]


def test_theory_in_both_forms(tmp_path) -> None:
    path = tmp_path / "mm1.yaml"
    path.write_text(
        "duration: 10s\nservices: {a: {workers: 1, time: {exponential: 10ms}}}\nload: [{to: a, rate: 50/s}]"
    )
    solution = json.loads(call("theory", str(path), "--json").stdout)
    assert set(solution) >= {"predictions", "reasons"}
    shown = call("theory", str(path))
    assert shown.exit_code == 0
    assert "services.a.utilisation" in shown.stdout
    assert "50 %" in shown.stdout


def test_an_isotope_graph_becomes_a_scenario_that_runs(tmp_path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text("services:\n- {name: a, isEntrypoint: true, script: [{call: b}]}\n- {name: b}\n")
    result = call("import", "isotope", str(path), "--rate", "50/s", "--duration", "5s")
    assert result.exit_code == 0
    assert "Poisson" in result.stderr
    summary = json.loads(call("run", "-", "--json", text=result.stdout).stdout)
    assert set(summary["edges"]) == {"client -> a", "a -> b"}
    told = json.loads(call("import", "isotope", str(path), "--json").stdout)
    assert told["scenario"]["name"] == "graph"
    assert told["notes"]


# ---- the frame --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", [[], ["run"], ["capacity"], ["check"], ["schema"], ["theory"], ["import"], ["import", "isotope"]]
)
def test_help_teaches(verb) -> None:
    result = call(*verb, "--help")
    assert result.exit_code == 0
    assert "meshsim" in result.stdout.partition("\n\n")[2] or verb == ["import"]


def test_version() -> None:
    assert call("--version").stdout.startswith(f"meshsim {meshsim.__version__}, the mesh {FORM}")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_output_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "meshsim", "schema"]
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=300
        )
    assert result.returncode == 2
    assert result.stderr == "meshsim: No space left on device: the output is incomplete\n"


def test_a_reader_who_leaves_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "meshsim", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=300)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import meshsim",
            {"numpy", "pandas", "pydantic", "typer", "rich", "simpy", "matplotlib", "ruamel", "pyarrow"},
        ),
        (
            "import meshsim.cli",
            {"numpy", "pandas", "pydantic", "rich", "simpy", "matplotlib", "ruamel", "pyarrow"},
        ),
        ("import meshsim.lab.run", {"pandas", "simpy", "matplotlib", "pyarrow", "typer", "rich"}),
    ],
)
def test_slow_imports_wait_until_they_are_needed(statement, absent) -> None:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    assert not absent & set(found.stdout.split())


def test_the_public_names_are_there() -> None:
    for name in set(meshsim.__all__) - {"solve"}:
        assert getattr(meshsim, name) is not None
        assert name in dir(meshsim)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        meshsim.nonsense  # noqa: B018


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(small, closed: str) -> None:
    command = f'"$0" -m meshsim run "$1" --quiet {closed}'
    assert subprocess.run(["sh", "-c", command, sys.executable, small], check=False).returncode == 0


def test_a_message_of_several_lines_is_one_problem(capsys) -> None:
    with pytest.raises(typer.Exit), reporting_errors(False):
        raise MeshsimError("it has ended; its last output:\n  bye")
    assert capsys.readouterr().err == "meshsim: it has ended; its last output:\n    bye\n"


# ---- check --explain --------------------------------------------------------------------------------


def test_check_explains_who_says_each_value(tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SMALL + "mesh: {preset: linkerd}\npolicies: {api: {retries: {attempts: 2}}}\n")
    result = call("check", str(path), "--explain")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["client", "->", "api"] in lines
    assert ["retries.attempts", "2", "line", "8:", "policies.api.retries.attempts"] in lines
    statuses = next(line for line in result.stdout.splitlines() if "retries.statuses" in line)
    assert statuses.split(maxsplit=2)[1] == "500-599"
    assert statuses.endswith("preset linkerd 2.19: linkerd.io 2.19 reference retries: 5xx")
    assert "preset linkerd 2.19 (line 7), not modelled:" in result.stdout
    facts = json.loads(call("check", str(path), "--explain", "--json").stdout)
    assert facts["preset"]["line"] == 7
    own = facts["policies"]["client -> api"]["retries.attempts"]
    assert own == {"value": 2, "from": {"file": str(path), "line": 8, "key": "policies.api.retries.attempts"}}
    filled = facts["policies"]["client -> api"]["balance"]["from"]
    assert (filled["preset"], filled["version"]) == ("linkerd", "2.19")
    assert facts["policies_pushed"] == []


def test_check_says_what_the_command_line_says_of_a_preset(small) -> None:
    policy = "policies={api: {hedge: {after: 20s}}}"
    result = call("check", small, "--set", "mesh.preset=envoy", "--set", policy)
    said = "This is from --set; timeout 15s is of mesh.preset envoy from --set."
    assert said in " ".join(result.stdout.split())


def test_check_without_explain_says_what_it_said(small, tmp_path) -> None:
    assert "policies" not in json.loads(call("check", small, "--json").stdout)
    explained = json.loads(call("check", small, "--explain", "--json").stdout)
    assert explained["preset"] is None
    assert explained["policies"] == {
        "client -> api": {"balance": {"value": "round_robin", "from": "silence"}}
    }
    (tmp_path / "b.yaml").write_text(SMALL)
    both = call("check", small, str(tmp_path / "b.yaml"), "--explain")
    assert both.stdout.count("client -> api") == 2
