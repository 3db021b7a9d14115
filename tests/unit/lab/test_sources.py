"""Which files are meant where files and folders are named."""

import os
from pathlib import Path

import pytest

from meshsim.errors import ScenarioError
from meshsim.lab.sources import looks_like_scenario, read, sources

SCENARIO = "duration: 1s\nservices: {a: {}}\nload: [{to: a, rate: 1/s}]\n"
MANIFEST = "apiVersion: v1\nkind: Service\nspec: {services: 1, load: 2}\n"


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.yaml", "a.yml", "sub/b.yaml", "sub/deep er/c.yaml", ".hidden/d.yaml", "sub/notes.txt"):
        path = tmp_path / "all" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCENARIO)
    (tmp_path / "all" / "sub" / "manifest.yaml").write_text(MANIFEST)
    return tmp_path


def files(*paths, **options) -> list[str]:
    return [each.file for each in sources(paths, **options)[0]]


def test_folders_give_their_scenarios_in_order(tree) -> None:
    found, skipped = sources(["all"])
    assert [(each.file, each.name) for each in found] == [
        ("all/a.yml", "a"),
        ("all/b.yaml", "b"),
        ("all/sub/b.yaml", "sub-b"),
        ("all/sub/deep er/c.yaml", "sub-deep-er-c"),
    ]
    assert [(each.file, each.reason) for each in skipped] == [
        ("all/sub/manifest.yaml", "no scenario: it has no services with a load")
    ]


def test_each_file_is_taken_once_and_its_name_is_its_own(tree) -> None:
    found, _ = sources(["all/sub/b.yaml", Path("all"), "all/b.yaml", "./all/../all/a.yml", "-", "-"])
    assert [each.file for each in found] == [
        "all/sub/b.yaml", "all/a.yml", "all/b.yaml", "all/sub/deep er/c.yaml", "-",
    ]  # fmt: skip
    assert [each.name for each in found] == ["b", "a", "b-2", "sub-deep-er-c", "stdin"]


def test_what_is_named_is_taken_whatever_it_is(tree) -> None:
    found, skipped = sources(["all/sub/manifest.yaml", "nowhere.yaml", "all", "nul\0", ""])
    assert skipped == []
    assert len({each.name for each in found}) == len(found) == 8
    for each in found[:2]:
        with pytest.raises(ScenarioError):
            read(each)


def test_names_for_results_never_meet(tree) -> None:
    for name in ("b-2.yaml", "sub-b.yaml", "sub/b.yml"):
        (tree / "all" / name).write_text(SCENARIO)
    found, _ = sources(["all/b.yaml", "all/b-2.yaml", "all", "all/sub/../b.yaml"])
    names = [each.name for each in found]
    assert names[:2] == ["b", "b-2"]
    assert len(set(names)) == len(names) == 7


def test_deep_folders_give_names_that_a_folder_can_have(tree) -> None:
    for name in ("one.yaml", "other.yaml"):
        path = Path("all", *["店" * 60] * 3, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCENARIO)
    names = [each.name for each in sources(["all"])[0]]
    assert len(set(names)) == len(names) == 6
    for name in names:
        Path("out", name).mkdir(parents=True)


def test_a_name_that_is_no_text_is_refused(tree) -> None:
    for name in ("bad\udcff.yaml", "bad\x1b[31m.yaml"):
        (tree / "all" / name).write_text(SCENARIO)
    found, _ = sources(["all"])
    (odd,) = (each for each in found if each.wrong)
    assert odd.file == "all/bad\\udcff.yaml"
    with pytest.raises(ScenarioError, match="its name is no UTF-8; rename it"):
        read(odd)


def test_a_folder_without_scenarios_is_told(tree) -> None:
    (tree / "empty").mkdir()
    found, _ = sources(["empty", "all"])
    with pytest.raises(ScenarioError, match=r"^empty: holds no scenario"):
        read(found[0])
    assert len(found) == 5


def test_results_are_not_run_again(tree) -> None:
    for folder, names in {
        "out/x": ("scenario.yaml", "summary.json"),
        "out/y": ("a.yaml", "compare.json"),
    }.items():
        (tree / "all" / folder).mkdir(parents=True)
        for name in names:
            (tree / "all" / folder / name).write_text(SCENARIO)
    found, skipped = sources(["all"])
    assert len(found) == 4
    assert {each.reason for each in skipped[:2]} == {
        "part of the results in all/out/x", "part of the results in all/out/y",
    }  # fmt: skip
    assert len(sources(["all"], out="all/out")[1]) == 1, "the folder for results is not even told"


def test_links_that_lead_round_end_and_pipes_do_not_wait(tree) -> None:
    (tree / "all" / "round").symlink_to(tree / "all")
    (tree / "all" / "gone.yaml").symlink_to(tree / "nowhere")
    os.mkfifo(tree / "all" / "pipe.yaml")
    assert len(files("all")) == 4


def test_a_folder_that_can_not_be_read_is_told(tree, monkeypatch) -> None:
    scan = os.scandir

    def refusing(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found, _ = sources(["all"])
    with pytest.raises(ScenarioError, match=r"^all/sub: can't be read: Permission denied"):
        read(found[-1])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (SCENARIO, True),
        ("# first\n---\n{services: {a: {}}, load: []}", True),
        ('"services": {a: {}}\n"load": 3', True),
        ("services: {a: }}}\nmesh: {", True),
        ("services:\n  a: {}\nduratoin: 3s\npolicies: {}", True),
        (MANIFEST, False),
        ("apiVersion: v1alpha1\nservices: [{name: a}]\nload: 1", False),
        ("name: x\nservices: {web: {image: nginx}}\nvolumes: {}", False),
        ("spec:\n  services: 1\n  load: 2", False),
        ("", False),
        ("\0\ufffe", False),
    ],
)
def test_scenarios_are_told_from_other_yaml_even_when_they_are_wrong(text, meant) -> None:
    assert looks_like_scenario(text) is meant
