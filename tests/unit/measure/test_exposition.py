"""Pages of metrics: each is read by Prometheus's own parser, whatever the values of labels hold."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from meshsim.measure import exposition
from meshsim.measure.exposition import FAILED, Metric, merged, page

Read = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: bytes) -> Read:
    """The samples of a page, each of them once."""
    lines = text.decode().split("\n")
    heads = [line.split(" ")[1:3] for line in lines if line.startswith("#")]
    assert len(heads) == len({tuple(head) for head in heads}), "HELP or TYPE twice"
    found = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    keys = [(each.name, tuple(sorted(each.labels.items()))) for each in found]
    assert len(keys) == len(set(keys)), "a series twice"
    return {key: each.value for key, each in zip(keys, found, strict=True)}


def requests(value: float, **labels: str) -> Metric:
    metric = Metric("istio_requests_total", "counter", "Requests.")
    metric.add(labels, value)
    return metric


@given(st.text(st.characters(exclude_categories=())), st.floats(allow_nan=False))
def test_whatever_a_label_holds_is_read_back(value: str, number: float) -> None:
    """Surrogates, which are no text, become question marks."""
    (key, found), *rest = read(page([requests(number, path=value)])).items()
    assert not rest
    assert found == number
    assert key[1] == (("path", value.encode(errors="replace").decode()),)


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1, max_size=4, unique=True))
def test_merged_pages_keep_each_others_series_apart(pods: list[str]) -> None:
    pages = [page([requests(n, path='a"\\\n{},=')]) for n in range(len(pods))]
    found = read(merged(({"pod": pod}, text) for pod, text in zip(pods, pages, strict=True)))
    for n, pod in enumerate(pods):
        labels = (("path", 'a"\\\n{},='), ("pod", pod))
        assert found["istio_requests_total", labels] == n
        assert found[FAILED, (("pod", pod),)] == 0


def test_a_histogram_is_cumulative_and_stays_together() -> None:
    metric = Metric("t", "histogram", "T.")
    metric.add_histogram({"a": "b"}, (0.5, 1.0), (1, 0, 2), 7.5)
    text = page([metric])
    assert text.decode().split("\n")[2:-1] == [
        't_bucket{a="b",le="0.5"} 1',
        't_bucket{a="b",le="1"} 1',
        't_bucket{a="b",le="+Inf"} 3',
        't_sum{a="b"} 7.5',
        't_count{a="b"} 3',
    ]
    (family, *_) = text_string_to_metric_families(merged([({"pod": "x"}, text)]).decode())
    assert (family.name, family.type, len(family.samples)) == ("t", "histogram", 5)


BAD = [
    b"no page at all",
    b'a{b="c} 1\n',
    b'a{b="c"x="d"} 1\n',
    b'a{b="c",b="d"} 1\n',
    b"a 1\na 2\n",
    b"a\xff 1\n",
    b'a{b="\xff"} 1\n',
    b"a 1_000\n",
    b'a{b="c\\d"} 1\n',
    b"# TYPE istio_requests_total gauge\nistio_requests_total 1\n",
    None,
]


@pytest.mark.parametrize("bad", BAD)
def test_a_page_that_is_none_is_left_out_and_counted(bad: bytes | None) -> None:
    good = page([requests(3)])
    found = read(merged([({"pod": "good"}, good), ({"pod": "bad"}, bad)]))
    assert found == {
        ("istio_requests_total", (("pod", "good"),)): 3,
        (FAILED, (("pod", "good"),)): 0,
        (FAILED, (("pod", "bad"),)): 1,
    }


def test_one_that_is_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "LARGEST", 10)
    assert read(merged([({"pod": "a"}, page([requests(3)]))])) == {(FAILED, (("pod", "a"),)): 1}


def test_a_label_that_is_there_already_is_renamed_as_prometheus_does() -> None:
    found = read(merged([({"pod": "here"}, b'a{pod="there",b="pod=\\"x"} 1\n')]))
    assert ("a", (("b", 'pod="x'), ("exported_pod", "there"), ("pod", "here"))) in found


def test_order_does_not_depend_on_who_came_first() -> None:
    """Of families; of series it is the pages'."""
    a, b = page([requests(1)]), b"# TYPE aaa gauge\naaa 2 1700000000000\n"
    one, two = (
        merged([({"pod": str(n)}, text) for n, text in pair]) for pair in ([(0, a), (1, b)], [(1, b), (0, a)])
    )
    assert one.split(FAILED.encode())[0] == two.split(FAILED.encode())[0]
    assert one.startswith(b'# TYPE aaa gauge\naaa{pod="1"} 2 1700000000000\n# HELP istio')


@pytest.mark.parametrize(("own", "text"), list(product([b"", b"x 1\n"], [b"y 2\n"])))
def test_a_page_without_labels_is_the_mergers_own(own: bytes, text: bytes) -> None:
    found = read(merged([({}, own), ({"pod": "p"}, text)]))
    assert (("x", ()) in found) is bool(own)
    assert (FAILED, ()) not in found
