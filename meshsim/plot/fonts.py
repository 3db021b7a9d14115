"""Fonts for whatever a scenario is called: names may hold any character, and no one font has them all.

Text keeps matplotlib's own font; characters that it lacks come from the installed fonts that have them, and
where none has one it is drawn as a box, without a warning for each.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

LAST_RESORT = "Last Resort"
"""What matplotlib calls the font of boxes."""


def choose(figure: Figure) -> None:
    """Has all text of a figure find its characters, and read as it is: a ``$`` begins no formula."""
    texts = figure.findobj(Text)
    characters = {ord(character) for text in texts for character in text.get_text()}
    families = others(frozenset(characters - _has(findfont(FontProperties()))))
    for text in texts:
        text.set_parse_math(False)
        if families:
            text.set_fontfamily([*dict.fromkeys([*text.get_fontfamily(), *families])])


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """No warnings of characters that no font has, and of fonts without a bold face."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
            yield
    finally:
        log.setLevel(level)


@cache
def others(characters: frozenset[int]) -> tuple[str, ...]:
    """Families of installed fonts that have as many of some characters as can be had, sans serif first."""
    fonts = [font for font in fontManager.ttflist if not font.name.startswith(LAST_RESORT)]
    fonts.sort(
        key=lambda font: ("Sans" not in font.name, font.style != "normal", font.weight != 400, font.name)
    )
    chosen: list[str] = []
    missing = {character for character in characters if chr(character).isprintable()}
    for font in fonts:
        if not missing:
            break
        if missing & _has(font.fname):
            chosen.append(font.name)
            missing -= _has(font.fname)
    return tuple(chosen)


@cache
def _has(file: str) -> frozenset[int]:
    """The characters of a font; none if it can't be used, as fonts of coloured pictures can't."""
    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
