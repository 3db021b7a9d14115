"""Roles that go wrong."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from meshsim.live.child import Addresses
from tests.live.fakes import Service


class Unborn(Service):
    """Can't bind its port."""

    async def listen(self) -> dict[str, Any]:
        raise OSError("the port is taken by somebody else")


class Deaf(Service):
    """Never becomes ready."""

    async def connect(self, addresses: Addresses) -> None:
        await asyncio.sleep(60.0)


class Mortal(Service):
    """Dies while it serves."""

    def start(self, base: float) -> None:
        asyncio.get_running_loop().call_later(0.3, os._exit, 3)
