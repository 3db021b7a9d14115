"""Secrets that nobody can guess, and the hashes by which others know them."""

from __future__ import annotations

import secrets
from hashlib import sha256


def new_token() -> str:
    """A token that nobody can guess: 256 bits."""
    return secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """A token as those know it who have to recognise it, hexadecimal."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()
