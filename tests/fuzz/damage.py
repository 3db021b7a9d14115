"""Bytes as a bad disk, a crash or an editor leaves them: seeded, so that every failure can be had again."""

from __future__ import annotations

import random
from collections.abc import Iterator


def flips(data: bytes, times: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """What was done, and the bytes with a single bit flipped."""
    draw = random.Random(seed)
    for _ in range(times):
        bit = draw.randrange(len(data) * 8)
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(changed)


def cuts(data: bytes, times: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """What was done, and the bytes cut short, with a hole, filled with zeros, or with a piece twice."""
    draw = random.Random(seed)
    for _ in range(times):
        low, high = sorted(draw.sample(range(len(data) + 1), 2))
        yield f"cut at {low}", data[:low]
        yield f"without {low}:{high}", data[:low] + data[high:]
        yield f"zeros at {low}:{high}", data[:low] + bytes(high - low) + data[high:]
        yield f"{low}:{high} twice", data[:high] + data[low:]
