import itertools

import pytest

from meshsim.errors import ScenarioError
from meshsim.scenario import loads
from meshsim.scenario.names import file_name, folder_name

BASE = "duration: 5s\nservices: {web: {time: 2ms}}\nload: [{to: web, rate: 50/s}]\n"


def test_replicas_keep_files_apart() -> None:
    ids = [
        *(f"{service}/{replica}" for service in ("a", "a-v1", "a-v1-0") for replica in range(2)),
        *(f"{service}/{version}/0" for service in ("a", "a-v1") for version in ("v1", "0", "v1-0")),
    ]
    for one, other in itertools.combinations(ids, 2):
        assert file_name(one) != file_name(other)
    assert file_name("shop/0") == "shop-0"


@pytest.mark.parametrize("name", ["../../etc", "a\0b", "a" * 5000, "店" * 500, "a\nb", "\U0001f680", "c:\\x"])
def test_any_name_makes_a_file(tmp_path, name) -> None:
    path = tmp_path / f"{file_name(name)}.jsonl"
    path.write_text("x")
    assert path.parent == tmp_path
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "folder"), [("a shop: 50", "a-shop-50"), ("-x", "x"), (".x.", "x"), ("..", "none"), ("", "none")]
)
def test_folders_are_neither_hidden_nor_options(name, folder) -> None:
    assert folder_name(name, "none") == folder


@pytest.mark.parametrize("name", [r'"\ud83d\ude80 rocket"', r'"\U0001F680 rocket"', "\U0001f680 rocket"])
def test_surrogate_pairs_are_joined(name) -> None:
    assert loads(f"{BASE}name: {name}").name == "\U0001f680 rocket"


@pytest.mark.parametrize("text", [r'"\ud83d"', r'"\ude80\ud83d"', r'{"\ud83d": 1}'])
def test_lone_surrogates_are_refused_where_they_stand(text) -> None:
    with pytest.raises(ScenarioError, match=r"^s.yaml:4: one half of a surrogate pair .* \(write the char"):
        loads(f"{BASE}description: {text}", "s.yaml")


def test_names_that_are_too_long_for_files() -> None:
    with pytest.raises(ScenarioError, match="at most 100 letters"):
        loads(BASE.replace("web", "w" * 101))
    assert loads(BASE.replace("web", "w" * 100)).services
