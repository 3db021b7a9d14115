"""In which forms results are written: pictures by format and dots, tables as CSV with every digit."""

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import meshsim as ms
from meshsim.cli import app
from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.lab.capacity import Capacity
from meshsim.lab.output import DPI, DPI_LEAST, DPI_MOST, output
from meshsim.measure.capacity import CapacityNumbers

TEXT = """
name: a <b> & c
duration: 2s
services: {api: {workers: 2, time: {exponential: 10ms}, errors: 10%}}
load: [{to: api, rate: 50/s}]
"""
VERBS = ("run", "sweep", "compare", "capacity", "validate", "live")


@pytest.fixture(scope="module")
def run() -> ms.Run:
    return ms.run(ms.loads(TEXT))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- pictures ---------------------------------------------------------------------------------------


def test_pictures_come_in_the_formats_asked_for(run, tmp_path) -> None:
    run.save(tmp_path, formats="svg, PDF")
    assert names(tmp_path) & {"run.png", "run.svg", "run.pdf"} == {"run.svg", "run.pdf"}
    assert (tmp_path / "run.pdf").read_bytes().startswith(b"%PDF-")
    run.save(tmp_path, formats=["png"])
    assert names(tmp_path) & {"run.png", "run.svg", "run.pdf"} == {"run.png"}


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_a_picture_made_again_has_the_same_bytes(run, form) -> None:
    assert run.plot().file(form) == run.plot().file(form)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_text_in_an_svg_is_text_that_xml_can_hold(run) -> None:
    run = ms.run(run.scenario.model_copy(update={"name": "a <b> & \x1b[31m \0 \uffff"}))
    root = ET.fromstring(run.plot().file("svg"))
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("a <b> &" in text for text in texts)
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text is not None
    assert "the client sends" in title.text


def test_dots_per_inch_are_those_of_the_picture(run) -> None:
    size = Image.open(io.BytesIO(run.plot().file("png", 30))).size
    assert size == tuple(30 * inches for inches in run.plot().get_size_inches())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": "gif"}, "no picture format 'gif'; write png, svg or pdf"),
        ({"formats": "sgv"}, "did you mean svg?"),
        ({"formats": "png,,svg"}, "no picture format ''"),
        ({"formats": []}, "no picture format ''"),
        ({"formats": 3}, "no picture format 3; choose png, svg, pdf"),
        ({"csv": "no"}, "csv: 'no' is neither true nor false"),
        ({"dpi": DPI_LEAST - 1}, f"19 dots per inch can't be drawn; choose {DPI_LEAST} to {DPI_MOST}"),
        ({"dpi": DPI_MOST + 1}, "601 dots per inch"),
        ({"dpi": 99.5}, "99.5 dots per inch"),
        ({"dpi": "100"}, "'100' dots per inch"),
    ],
)
def test_what_can_not_be_drawn_is_refused_before_the_run(tmp_path, options, message) -> None:
    for start in (ms.run, lambda *a, **o: ms.sweep(*a, {"seed": [1]}, **o), ms.validate, ms.run_live):
        with pytest.raises(MeshsimError, match=message.replace("?", "[?]")):
            start(tmp_path / "nowhere.yaml", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_options_without_a_folder_are_refused(tmp_path) -> None:
    with pytest.raises(MeshsimError, match="none are written; give a folder with out"):
        ms.run(ms.loads(TEXT), csv=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'format'"):
        output({"format": "png"})  # type: ignore[typeddict-unknown-key]
    assert output({"dpi": np.int64(200)}).dpi == 200  # type: ignore[typeddict-item]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_draws_has_the_options(verb) -> None:
    text = " ".join(CliRunner().invoke(app, [verb, "--help"]).output.split())
    assert "--format NAMES Of pictures: png, svg or pdf" in text
    assert f"--dpi N Dots per inch of pictures, {DPI_LEAST} to {DPI_MOST}; {DPI} if not given" in text
    assert "--csv Write each table as CSV too" in text
    result = CliRunner().invoke(app, [verb, "nowhere.yaml", "--out", "never", "--dpi", "5"])
    assert result.exit_code == 2
    assert "5 dots per inch" in result.output
    assert not Path("never").exists()


# ---- CSV --------------------------------------------------------------------------------------------


def same(folder: Path, *tables: str) -> None:
    """Holds each table's CSV against its Parquet: the same columns, the same numbers to the last bit."""
    assert {path.stem for path in folder.glob("*.csv")} == set(tables)
    for table in tables:
        whole = pq.read_table(folder / f"{table}.parquet")
        types = pyarrow.csv.ConvertOptions(column_types=whole.schema.remove_metadata())
        assert pyarrow.csv.read_csv(folder / f"{table}.csv", convert_options=types).equals(whole), table
        read = pd.read_csv(folder / f"{table}.csv", keep_default_na=False,
                           na_values={name: [""] for name in whole.column_names
                                      if whole.schema.field(name).type == "double"})  # fmt: skip
        pd.testing.assert_frame_equal(read, whole.to_pandas(), check_dtype=False, check_exact=True)


def test_tables_as_csv_have_every_digit(run, tmp_path) -> None:
    run.save(tmp_path / "run", csv=True)
    same(tmp_path / "run", "requests", "series", "spans")
    ms.sweep(ms.loads(TEXT), {"load[0].rate": ["20/s", "40/s"]}, jobs=1, out=tmp_path / "sweep", csv=True)
    same(tmp_path / "sweep", "sweep")
    pair = ms.compare(ms.loads(TEXT), changes=["services.api.workers=1"], replications=2, jobs=1)
    pair.save(tmp_path / "compare", csv=True)
    same(tmp_path / "compare", "compare", "replications")


def test_odd_cells_survive_csv(tmp_path) -> None:
    table = {
        "x": np.array([0.1 + 0.2, np.nan, 5e-324, -0.0, 1e300]),
        'a "quoted", name': np.array(["", 'say "no", twice', "line\nbreak", "é🙂", "-"]),
        "whole": np.array([-(2**63), 2**63 - 1, 0, 1, 2]),
        "truth": np.array([True, False, True, True, False]),
    }
    files.write(tmp_path, {"t.csv": files.csv_writer(table), "t.parquet": files.parquet_writer(table)})
    same(tmp_path, "t")
    assert (tmp_path / "t.csv").read_bytes().startswith(files.csv_header(table) + b"\n")


def test_what_an_earlier_run_left_goes_but_nothing_of_the_users(run, tmp_path) -> None:
    run.save(tmp_path, formats="svg", csv=True)
    ms.run(ms.loads(TEXT), keep="histograms", out=tmp_path)
    assert names(tmp_path) == {"summary.json", "series.parquet", "run.png", "metrics.prom", "scenario.yaml"}
    mine = {"requests.csv": b"time,latency\n1,2\n", "run.svg": b"<svg/>", "map.png": b"\x89PNG of mine"}
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    run.save(tmp_path)
    nothing = CapacityNumbers("a", "", 1, 0.95, 0.02, 32, 0, [], True, [], None, None, None, None, {})
    Capacity(run.scenario, nothing, {"run": np.array([1])}).save(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in mine} == mine


def test_a_sweep_made_again_in_another_form_leaves_none_of_the_first(tmp_path) -> None:
    def sweep(**options) -> ms.Run:
        return ms.sweep(ms.loads(TEXT), {"services.api.workers": [1, 2]}, jobs=1, out=tmp_path, **options)

    assert sweep(formats="svg", csv=True).computed == 2
    assert names(tmp_path) == {"sweep.parquet", "sweep.csv", "sweep.svg"}
    assert sweep().computed == 0
    assert names(tmp_path) == {"sweep.parquet", "sweep.png"}


# ---- metrics over time ------------------------------------------------------------------------------


def test_metrics_over_time_are_saved_if_asked_for_and_else_removed(run, tmp_path) -> None:
    run.save(tmp_path, metrics_every="500ms")
    text = (tmp_path / "metrics.om").read_text()
    assert text.endswith("# EOF\n")
    samples = [line for line in text.splitlines() if line.startswith("pilot_xds_pushes ")]
    assert len(samples) == 1 + np.ceil(run.records[0].end / 0.5)
    run.save(tmp_path)
    assert not (tmp_path / "metrics.om").exists()


@pytest.mark.parametrize(
    ("every", "why"),
    [("1", "valid duration"), ("1ms", "choose 10ms or more"), (-1.0, "10ms or more"), (True, "10ms")],
)
def test_times_that_can_not_be_used_are_refused(run, tmp_path, every, why) -> None:
    with pytest.raises(MeshsimError, match=f"metrics_every: .*{why}"):
        run.save(tmp_path, metrics_every=every)


def test_so_many_samples_that_they_fill_the_disk_are_refused_before_the_run(tmp_path) -> None:
    file, out = tmp_path / "long.yaml", tmp_path / "out"
    file.write_text(TEXT)
    long = ["--set", "duration=100h", "--set", "drain=12s", "--out", str(out), "--metrics-every"]
    for verb in ("run", "live"):  # neither gets to its first second
        refused = CliRunner().invoke(app, [verb, str(file), *long, "10ms"])
        assert refused.exit_code == 2
        assert "more than 20,000 samples of each series" in refused.stderr
        assert "choose 18.01s or more" in refused.stderr
    assert not out.exists()
    most = ms.loads(TEXT, overrides=["duration=188s", "drain=12s"])
    output({"metrics_every": "10ms"}, of_run=True).check_samples(most)


def test_metrics_over_time_are_of_one_run_that_keeps_rows(tmp_path) -> None:
    scenario, out = ms.loads(TEXT), tmp_path / "out"
    with pytest.raises(MeshsimError, match="keeps histograms has no metrics over time; add --keep records"):
        ms.run(scenario, keep="histograms", out=out, metrics_every="1s")
    assert not out.exists()
    file = tmp_path / "a.yaml"
    file.write_text(TEXT)
    shell = CliRunner()
    refused = shell.invoke(
        app, ["run", str(file), "--keep", "histograms", "--out", str(out), "--metrics-every", "1s"]
    )
    assert (refused.exit_code, out.exists()) == (2, False)
    assert (
        "--metrics-every: of files" in shell.invoke(app, ["run", str(file), "--metrics-every", "1s"]).stderr
    )
    with pytest.raises(TypeError, match="metrics_every"):
        ms.sweep(scenario, {"load[0].rate": ["1/s", "2/s"]}, out=out, metrics_every="1s")
