"""The verbs `live set` and `live scale` as a user has them: words, exit codes, JSON."""

import json
import os
import socket
import tempfile
import threading

import pytest
from typer.testing import CliRunner

from meshsim.cli import app
from meshsim.errors import MeshsimError
from meshsim.lab import steer
from meshsim.lab.steer import Mesh, Steered
from meshsim.live import folders
from tests.live.processes import closed_port

RUNNER = CliRunner()
MESH = Mesh("http://127.0.0.1:1", "shop", 7, "secret")
GOOD = Steered(3, 4, {})
HALF = Steered(3, 3, {"cart/0": "it refuses version 3: no"}, ["cart/0"])


@pytest.fixture
def asked(monkeypatch):
    """What the control plane is asked, and what it answers."""
    found = []
    answers = [GOOD]

    def order(mesh, page, message, timeout):
        found.append((mesh, page, message, timeout))
        return answers[-1]

    monkeypatch.setattr(steer, "running", lambda: [MESH])
    monkeypatch.setattr(steer, "_order", order)
    return found, answers


def test_values_are_read_as_yaml_and_the_version_is_said(asked):
    found, _ = asked
    command = ["live", "set", "policies.cart.timeout=300ms", "policies.cart.split={v1: 90, v2: 10}"]
    result = RUNNER.invoke(app, command)
    assert (result.exit_code, result.stdout) == (0, "version 3 is in force at 4 proxies\n")
    values = {"policies.cart.timeout": "300ms", "policies.cart.split": {"v1": 90, "v2": 10}}
    assert found == [(MESH, "/set", {"set": values}, 10.0)]


def test_where_it_is_not_in_force_is_said_with_exit_code_1(asked):
    found, answers = asked
    answers.append(HALF)
    result = RUNNER.invoke(app, ["live", "scale", "cart", "1", "--of", "v1"])
    assert result.exit_code == 1
    assert "not in force at cart/0: it refuses version 3: no" in result.stderr
    assert found[0][2] == {"service": "cart", "replicas": 1, "version": "v1"}
    result = RUNNER.invoke(app, ["live", "scale", "cart", "1", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["missing"] == HALF.missing


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["set", "policies.cart.timeout"], "meshsim: 'policies.cart.timeout' has no ="),
        (["set", "policies.cart.timeout={"], "meshsim: policies.cart.timeout"),
        (["set", "a.b=1", "c=2", "a.b=3"], "meshsim: 'a.b' is set twice; write it once"),
        (
            ["set", "a=1", "--mesh", "other"],
            "no mesh of yours is called 'other', or has that URL; there are shop",
        ),
    ],
)
def test_what_is_of_no_use_is_said_with_exit_code_2(asked, command, words):
    result = RUNNER.invoke(app, ["live", *command])
    assert result.exit_code == 2
    assert words in result.stderr
    assert not asked[0]


def test_without_a_mesh_or_with_several_one_has_to_be_named(monkeypatch):
    monkeypatch.setattr(steer, "running", list)
    result = RUNNER.invoke(app, ["live", "set", "a=1"])
    assert (result.exit_code, "start one with meshsim live SCENARIO" in result.stderr) == (2, True)
    monkeypatch.setattr(steer, "running", lambda: [MESH, Mesh("http://127.0.0.1:2", "shop", 8, "s")])
    result = RUNNER.invoke(app, ["live", "set", "a=1"])
    assert "shop at http://127.0.0.1:1, shop at http://127.0.0.1:2; choose one with --mesh" in result.stderr
    for url in ("http://127.0.0.1:2/", "http://127.0.0.1:2/status", "http://localhost:2"):
        assert steer.find(url).pid == 8


def test_ctrl_c_ends_the_waiting_alone_and_says_so(monkeypatch):
    def order(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(steer, "running", lambda: [MESH])
    monkeypatch.setattr(steer, "_order", order)
    for command in (["set", "a=1"], ["scale", "cart", "3"]):
        result = RUNNER.invoke(app, ["live", *command])
        assert (result.exit_code, result.stdout) == (130, "")
        assert result.stderr == "meshsim: interrupted; the mesh goes on with what it was asked for\n"


def test_the_help_of_live_leads_to_them():
    text = " ".join(RUNNER.invoke(app, ["live", "--help"]).stdout.split())
    assert "meshsim live set" in text
    assert "live scale" in RUNNER.invoke(app, ["--help"]).stdout


SAID = {"url": "http://127.0.0.1:4321", "scenario": "a\nshop", "pid": 7, "token": "a-B_c"}
NO_NOTES = [
    b"", b"{", b"[]", b"7", b"\xff", b"[" * 60_000, b'{"url": 7}',
    *(json.dumps({**SAID, **bad}).encode() for bad in (
        {"url": "http://elsewhere:80"}, {"url": "file:///etc/passwd"}, {"url": "http://127.0.0.1:999999"},
        {"token": "a\r\nhost: b"}, {"token": "é"}, {"pid": "7"}, {"pid": True},
    )),
]  # fmt: skip


def test_what_lies_where_notes_of_meshes_are_is_read_with_suspicion(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(folders, "_held", lambda path: True)
    for number, said in enumerate([*NO_NOTES, json.dumps(SAID).encode()]):
        (tmp_path / f"meshsim-{number}").mkdir()
        (tmp_path / f"meshsim-{number}" / "mesh.json").write_bytes(said)
    for name in ("pipe", "link", "folder"):
        (tmp_path / f"meshsim-{name}").mkdir()
    os.mkfifo(tmp_path / "meshsim-pipe" / "mesh.json")
    (tmp_path / "meshsim-link" / "mesh.json").symlink_to(tmp_path / f"meshsim-{len(NO_NOTES)}" / "mesh.json")
    (tmp_path / "meshsim-folder" / "mesh.json").mkdir()
    found = []
    reading = threading.Thread(target=lambda: found.extend(folders.notes()), daemon=True)
    reading.start()
    reading.join(60.0)
    assert found == [SAID]


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), 0.0, -1.0, 601.0])
def test_nobody_waits_for_ever(timeout, monkeypatch):
    monkeypatch.setattr(steer, "running", lambda: [MESH])
    with pytest.raises(MeshsimError, match="is not from 0 to 600 s"):
        steer.scale_live("cart", 2, timeout=timeout)


def test_an_order_that_was_sent_and_not_answered_may_still_be_applied(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        url = f"http://127.0.0.1:{stopped.getsockname()[1]}"
        monkeypatch.setattr(steer, "running", lambda: [Mesh(url, "shop", 7, "secret")])
        monkeypatch.setattr(steer, "MARGIN", 0.1)
        result = RUNNER.invoke(app, ["live", "set", "policies.cart.timeout=2s", "--timeout", "0.2", "--json"])
        assert result.exit_code == 1
        why = f"the control plane at {url} does not answer: timed out"
        assert json.loads(result.stdout)["error"].startswith(why)
        assert result.stderr == (
            f"meshsim: {why}; what was asked for may still be applied: look at {url}/status\n"
        )
        stopped.setblocking(False)
        stopped.accept()[0].close()
        with pytest.raises(BlockingIOError):
            stopped.accept()  # its time was over: it was not asked once more


def test_an_order_that_nobody_heard_is_refused(monkeypatch):
    with closed_port() as port:
        monkeypatch.setattr(steer, "running", lambda: [Mesh(f"http://127.0.0.1:{port}", "shop", 7, "secret")])
        result = RUNNER.invoke(app, ["live", "scale", "cart", "2", "--timeout", "0.1"])
    assert result.exit_code == 2
    assert "does not answer" in result.stderr
    assert "may still be applied" not in result.stderr
