"""JUnit XML as its readers expect it, whatever names and messages hold."""

import re
import xml.etree.ElementTree as ET

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.show.junit import Case, Suite, document, prepare, write

COUNTS = {"tests", "failures", "errors"}
NUMBER = re.compile(r"\d+(\.\d+)?")


def checked(content: bytes) -> ET.Element:
    """Holds a document against the structure of the common schema, and its counts against what it holds."""
    root = ET.fromstring(content)
    assert root.tag == "testsuites"
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {"name", "time"} | COUNTS
        for case in suite:
            assert case.tag == "testcase"
            assert set(case.attrib) == {"classname", "name", "time"}
            assert case.attrib["name"]
            for verdict in case:
                assert verdict.tag in ("error", "failure")
                assert "\n" not in verdict.attrib["message"]
            assert len(case) <= 1
    for each in (root, *root):
        cases = each.findall(".//testcase")
        assert int(each.attrib["tests"]) == len(cases)
        assert int(each.attrib["failures"]) == len(each.findall(".//failure"))
        assert int(each.attrib["errors"]) == len(each.findall(".//error"))
        assert NUMBER.fullmatch(each.attrib["time"])
        total = sum(float(case.attrib["time"]) for case in cases)
        assert float(each.attrib["time"]) == pytest.approx(total, abs=0.001 * len(cases) + 1e-9)
    return root


def test_verdicts_are_counted() -> None:
    cases = [Case("scenario", 1.25), Case("a: p99 ≤ 1 ms", failure="p99 is 2 ms"), Case("b", error="x\ny")]
    root = checked(document([Suite("one.yaml", cases), Suite("two.yaml", cases[:1]), Suite("none.yaml", [])]))
    assert root.attrib == {"name": "meshsim", "tests": "4", "failures": "1", "errors": "1", "time": "2.500"}
    error = root.find(".//error")
    assert error is not None
    assert (error.attrib["message"], error.text) == ("x", "x\ny")
    checked(document([]))


def test_no_name_breaks_the_document() -> None:
    odd = 'a "b" <c> & \x00\x1b[31m\x7f\ud800\ufffe\uffff 電🙂\n\t]]>'
    root = checked(document([Suite(odd, [Case(odd, error=odd), Case(odd, failure=odd)])]))
    name = root[0].attrib["name"]
    assert name.startswith('a "b" <c> & \\x00\\x1b[31m')
    assert "電🙂" in name
    assert "\\ud800\\ufffe\\uffff" in name


def test_a_file_that_can_not_be_written_is_told_before(tmp_path) -> None:
    prepare(None)
    prepare(tmp_path / "new" / "junit.xml")
    assert write(tmp_path / "new" / "junit.xml", []).read_bytes().startswith(b"<?xml ")
    with pytest.raises(MeshsimError, match="is a folder; name a file with --junit"):
        prepare(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(MeshsimError, match="choose another folder with --junit"):
        prepare(tmp_path / "file" / "junit.xml")


def test_a_report_replaces_a_report_and_nothing_else(tmp_path) -> None:
    report, scenario, empty = tmp_path / "junit.xml", tmp_path / "shop.yaml", tmp_path / "empty.xml"
    write(report, [])
    empty.touch()
    scenario.write_text("duration: 1s\n")
    prepare(report)
    prepare(empty)
    with pytest.raises(MeshsimError, match="is there already and no report; name another file with --junit"):
        prepare(scenario)
