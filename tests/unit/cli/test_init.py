"""`meshsim init`: templates that run and teach what they say, and names that can't be files."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.testing import CliRunner

import meshsim as ms
from meshsim.cli import app
from meshsim.lab import templates

TEMPLATES = sorted(templates.FOLDER.glob("*.yaml"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


# ---- the templates ----------------------------------------------------------------------------------


def test_templates_are_part_of_the_package() -> None:
    project = tomllib.loads((templates.FOLDER.parents[1] / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["meshsim"]
    assert {file.stem for file in TEMPLATES} == {"start", "bad-host", "canary", "retry-storm"}
    for file in TEMPLATES:
        assert any(fnmatch(f"templates/{file.name}", pattern) for pattern in patterns)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.stem)
def test_what_a_template_says_to_try_turns_its_verdict_round(file) -> None:
    text = file.read_text("utf-8")
    tried = re.search(r"^# Try: .*\n((?:#   .*\n)+)", text, re.MULTILINE)
    assert tried is not None
    changes = [
        word for word in shlex.split(tried[1].replace("#", " ").replace("\\\n", " ")) if word != "--set"
    ]
    as_it_is, changed = (
        ms.run(file, overrides=overrides).summary["objectives"][0]["met"] for overrides in ((), changes)
    )
    assert as_it_is is (file.stem in ("start", "bad-host"))
    assert changed is not as_it_is
    assert ms.load(file).description
    assert max(map(len, text.splitlines())) <= 110


# ---- the verb ---------------------------------------------------------------------------------------


def test_it_writes_a_scenario_that_runs_and_says_what_to_do_next(folder) -> None:
    result = call("init", "shop")
    assert result.exit_code == 0
    assert "Written: shop.yaml, from the template start" in result.output
    for command in ("meshsim check shop.yaml", "meshsim run shop.yaml --out out"):
        assert f"  {command}\n" in result.output
    assert ms.load("shop.yaml").name == "shop"
    assert call("check", "shop.yaml").exit_code == 0


@pytest.mark.parametrize("template", [file.stem for file in TEMPLATES])
def test_every_template_passes_check_under_another_name(folder, template) -> None:
    result = call("init", "a b/on", "--from", template)
    assert result.exit_code == 2
    assert "there is no folder a b; make it" in result.output
    Path("a b").mkdir()
    told = json.loads(call("init", "a b/on.yml", "--from", template, "--json").stdout)
    assert told["file"] == "a b/on.yml"
    assert told["next"] == ["meshsim check 'a b/on.yml'", "meshsim run 'a b/on.yml' --out out"]
    assert call("check", "a b/on.yml").exit_code == 0
    assert ms.load("a b/on.yml").name == "on", "which YAML takes for a truth unless it is quoted"


def test_nothing_is_replaced_unasked(folder) -> None:
    Path("shop.yaml").write_text("mine")
    result = call("init", "shop")
    assert result.exit_code == 2
    assert "shop.yaml is there already; choose another name, or add --force" in result.output
    assert Path("shop.yaml").read_text() == "mine"
    assert call("init", "shop", "--force").exit_code == 0
    assert ms.load("shop.yaml").name == "shop"
    Path("folder.yaml").mkdir()
    result = call("init", "folder", "--force")
    assert (result.exit_code, "can't write folder.yaml" in result.output) == (2, True)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/", ".hidden", "-", "a\x1b[31m", "a\nb", "\udcff", "*", "/"]
)
def test_names_that_are_none_are_refused(folder, name) -> None:
    result = call("init", "--", name)
    assert result.exit_code == 2
    assert "is not a name for a scenario; write letters, digits, _, - and dots, such as shop" in result.output
    assert list(folder.iterdir()) == []


def test_the_templates_are_listed_and_wrong_ones_told(folder) -> None:
    listed = json.loads(call("init", "--list", "--json").stdout)
    assert next(iter(listed)) == "start"
    assert "One replica of four fails half" in call("init", "--list").output
    assert "choose bad-host, canary, retry-storm or start" in call("init", "x", "--from", "canari").output
    assert "the scenario needs a name; write meshsim init shop" in call("init").output
    assert list(folder.iterdir()) == []
