"""Scenarios may be called anything; their pictures show it, without warnings."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

import meshsim as ms
from meshsim.plot import fonts
from meshsim.plot.style import TITLE_LONGEST

NAMES = {
    "languages": "店铺 日本語 שלום عربى \u0301 \U0001f680 \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "formula": "cost $\\frac{$ a $x^$",
    "control": "a\x00b\x07c\x7f two\nlines\u2028three",
    "long": "x" * 3000,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_run_of_any_name_is_saved_and_run_again(tmp_path: Path, name: str) -> None:
    document = {"name": name, "description": name, "duration": "1s", "services": {"a": {"time": "1ms"}}}
    scenario = ms.loads(ms.dump({**document, "load": [{"to": "a", "rate": "20/s"}]}))
    run = ms.run(scenario, out=tmp_path)  # warnings are errors here
    assert ms.load(tmp_path / "scenario.yaml") == run.scenario
    assert run.scenario.name == name
    (heading, *_) = (text.get_text() for text in run.plot().texts)
    assert len(heading) <= TITLE_LONGEST + 2
    assert "\n" not in heading


def test_characters_come_from_an_installed_font_that_has_them() -> None:
    usual = set(get_font(findfont(FontProperties())).get_charmap())
    file = findfont("STIXGeneral")
    (rare, *_) = sorted(
        character for character in set(get_font(file).get_charmap()) - usual if chr(character).isprintable()
    )
    (family,) = fonts.others(frozenset({rare}))
    assert rare in get_font(findfont(family)).get_charmap()
    figure = ms.run(ms.loads(SMALL, overrides={"name": f"'{chr(rare)}'"})).plot()
    figure.png()
    assert all(text.get_fontfamily()[-1] == family for text in figure.findobj(Text))


SMALL = "duration: 1s\nservices: {a: {time: 1ms}}\nload: [{to: a, rate: 20/s}]"


def test_fonts_that_can_not_be_used_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fontManager, "ttflist", [FontEntry(fname="/none", name="None")])
    assert fonts.others(frozenset({0x5E97, 1})) == ()
