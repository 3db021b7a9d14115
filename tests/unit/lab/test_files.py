import errno
import json
import os
import stat
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import meshsim as ms
from meshsim.cli import app
from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.show import junit
from meshsim.scenario.files import MOST_INLINE


def test_a_folder_is_made_and_left_empty(tmp_path) -> None:
    folder = files.prepare(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["file/below", "file", "nul\0byte"])
def test_what_is_no_folder_is_refused(tmp_path, name) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MeshsimError, match=r"can't write to .*; choose another folder with --out"):
        files.prepare(tmp_path / name)


@pytest.mark.parametrize(("name", "result"), [("scenario.yaml", "summary.json"), ("b.yaml", "compare.json")])
def test_results_do_not_replace_the_users_own_scenario(tmp_path, name, result) -> None:
    own = "# mine\nduration: 1s\nservices: {a: {}}\nload: [{to: a, rate: 9/s}]\n"
    (tmp_path / name).write_text(own)
    verb = ms.run if name in files.RUN else partial(ms.compare, changes=["services.a.replicas=2"])
    with pytest.raises(MeshsimError, match=f"{name} is no earlier result .* another folder with --out"):
        verb(tmp_path / name, replications=2, out=tmp_path)
    assert (tmp_path / name).read_text() == own
    (tmp_path / result).write_text("{}")
    assert files.prepare(tmp_path, scenarios=[name]) == tmp_path


def test_a_full_disk_leaves_everything_as_it_was(tmp_path) -> None:
    (tmp_path / "one.txt").write_text("old")

    def full(out):
        out.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MeshsimError, match=r"can't write .*two.txt: No space left on device"):
        files.write(tmp_path, {"one.txt": lambda out: out.write(b"new"), "two.txt": full})
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]
    assert (tmp_path / "one.txt").read_text() == "old"


def test_ctrl_c_while_writing_leaves_no_part(tmp_path) -> None:
    def stop(out):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path, {"one.txt": lambda out: out.write(b"new"), "two.txt": stop})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fifo(tmp_path) -> tuple[Path, int]:
    """A FIFO that is being read, so that nobody waits for anybody."""
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo", os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)


@pytest.fixture
def full(tmp_path) -> Path:
    """A device that takes nothing: a copy for root, who could replace the machine's own."""
    device, own = Path("/dev/full"), tmp_path / "full"
    if not device.exists():
        pytest.skip("there is no /dev/full")
    if os.geteuid() == 0:
        try:
            os.mknod(own, stat.S_IFCHR | 0o600, device.stat().st_rdev)
            own.open("wb").close()
        except OSError as error:
            pytest.skip(f"no devices can be made here: {error}")
        device = own
    return device


def test_a_fifo_is_written_into_and_stays(tmp_path, fifo) -> None:
    path, reader = fifo
    junit.prepare(path)
    assert files.write(tmp_path, {path.name: b"all of it", "b": "b"}) == [path, tmp_path / "b"]
    assert os.read(reader, 100) == b"all of it"
    os.close(reader)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["b", "fifo"]
    assert path.is_fifo()


def test_a_reader_may_leave(tmp_path, fifo) -> None:
    path, reader = fifo

    def left(out):
        os.close(reader)
        out.write(b"to nobody")

    files.write(tmp_path, {path.name: left})
    assert path.is_fifo()


def test_a_full_device_is_an_error_and_stays(full) -> None:
    shown = CliRunner().invoke(app, ["export", "dashboard", "-o", str(full)])
    assert shown.exit_code == 2
    assert f"can't write {full}: No space left on device" in shown.output
    assert stat.S_ISCHR(full.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(tmp_path, there) -> None:
    link, real = tmp_path / "link.json", tmp_path / "elsewhere" / "real.json"
    link.symlink_to("elsewhere/real.json")
    real.parent.mkdir()
    if there:
        real.write_text("old")
    assert CliRunner().invoke(app, ["export", "dashboard", "-o", str(link)]).exit_code == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["title"]
    assert [each.name for each in real.parent.iterdir()] == ["real.json"]


def test_links_do_not_get_into_each_others_way(tmp_path) -> None:
    (tmp_path / "a").symlink_to("b")
    files.write(tmp_path, {"a": "a", "b": "b"})
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "b").read_text() == "b"


def test_a_link_to_a_folder_is_refused(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with pytest.raises(MeshsimError, match="link: there is a folder of that name"):
        files.write(tmp_path, {"link": "text"})


def test_a_dash_is_standard_output(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("duration: 1s\nservices: {a: {}}\nload: [{to: a, rate: 9/s}]\n")
    run = partial(CliRunner().invoke, app)
    assert "title" in json.loads(run(["export", "dashboard", "-o", "-"]).output)
    run(["access", "s.yaml", "-o", "rules.yaml"])
    assert run(["access", "s.yaml", "-o", "-"]).output == Path("rules.yaml").read_text()
    both = run(["access", "s.yaml", "--json", "-o", "-"])
    assert both.exit_code == 2
    assert "choose one" in json.loads(both.stdout)["error"]
    assert sorted(map(str, Path().iterdir())) == ["rules.yaml", "s.yaml"]


def test_json_and_parquet_say_nothing_that_is_no_number(tmp_path) -> None:
    table = {"x": np.array([1.0, np.nan]), "word": np.array(["a", ""])}
    found = files.write(
        tmp_path, {"a.json": files.json_text({"µ": [1, None]}), "a.parquet": files.parquet_writer(table)}
    )
    assert [path.name for path in found] == ["a.json", "a.parquet"]
    assert json.loads(found[0].read_text(encoding="utf-8")) == {"µ": [1, None]}
    read = pq.read_table(found[1])
    assert read.column("x").null_count == 1
    assert read.column("word").to_pylist() == ["a", ""]
    with pytest.raises(ValueError, match="JSON"):
        files.json_text(float("nan"))


def test_every_result_brings_the_files_that_its_scenario_names(tmp_path) -> None:
    values = [f"{1 + number % 3}ms" for number in range(MOST_INLINE + 1)]
    document = {
        "duration": "1s",
        "services": {"a": {"workers": 1, "time": {"empirical": {"values": values}}}},
    }
    scenario = ms.loads(ms.dump({**document, "load": [{"to": "a", "rate": "20/s"}]}))
    ms.compare(scenario, changes=["services.a.workers=2"], replications=2, jobs=1, out=tmp_path)
    assert ms.load(tmp_path / "a.yaml") == scenario
    assert ms.load(tmp_path / "b.yaml").services["a"].workers == 2
    swept = ms.sweep(scenario, {"services.a.workers": [1, 2]}, jobs=1, out=tmp_path / "sweep")
    again = ms.loads(swept.header.text, folder=tmp_path / "sweep")
    assert again.services == scenario.services
