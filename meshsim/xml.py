"""Text for XML files, which may not hold every character even when it is escaped."""

from __future__ import annotations

import re

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What is no character of XML 1.0: controls, lone surrogates, U+FFFE and U+FFFF."""


def allowed(text: str) -> str:
    r"""The text with each character that XML can't hold written out, such as ``\x1b``.

    Source: Extensible Markup Language 1.0, fifth edition, production 2 (Char).
    """
    return _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], text)
