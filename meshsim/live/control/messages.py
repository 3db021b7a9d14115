"""What travels on a stream between control plane and proxy, read with suspicion.

    proxy ──► {"hello": {"proxy": "cart/0", "token": …, "version": 3}}
    proxy ◄── {"version": 4, "part": 0, "nonce": …, "config": {…}, "nacked": […],
               "endpoints": {"db": [{…}, …]}}
    proxy ──► {"ack": nonce, "version": 4}  or  {"nack": nonce, "version": 3, "error": "…"}

The `version` that a proxy says is the one that it has, and -1 if it has none. `config` is what can be pushed,
as a file could have it. A proxy validates all of a message before it applies any.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshsim.live import Address, Message

NUMBER_MOST = 1 << 31
WORD_MOST = 400
"""Of names, nonces and reasons, characters."""


class MessageError(ValueError):
    """A message that is of no use, and why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A replica that callers may send to: its number and name in the mesh, its version and address."""

    number: int
    name: str
    version: str
    address: Address

    def message(self) -> Message:
        """As it is sent."""
        host, port = self.address
        return {"number": self.number, "name": self.name, "version": self.version, "host": host, "port": port}

    @classmethod
    def of(cls, message: Any) -> Endpoint:
        """What was sent; MessageError if that is none."""
        fields = as_dict(message, "an endpoint")
        host = word(fields, "host")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise MessageError("the host of an endpoint is no address") from None
        name, version = word(fields, "name"), word(fields, "version")
        return cls(number(fields, "number"), name, version, (host, number(fields, "port", 1, 65535)))


Endpoints = Mapping[str, Sequence[Endpoint]]
"""By service."""


@dataclass(frozen=True, slots=True)
class Update:
    """A configuration, or a part of it, on its way to one proxy.

    Attributes:
        version: its number.
        part: as `meshsim.mesh.control_plane` numbers them.
        nonce: by which it is acked.
        config: what can be pushed, as a file could have it.
        nacked: services whose proxies refuse it, as the scenario wants.
        endpoints: of the services that the proxy calls.
    """

    version: int
    part: int
    nonce: str
    config: Mapping[str, Any]
    nacked: frozenset[str]
    endpoints: Endpoints

    def message(self) -> Message:
        """As it is sent."""
        return {
            "version": self.version,
            "part": self.part,
            "nonce": self.nonce,
            "config": dict(self.config),
            "nacked": sorted(self.nacked),
            "endpoints": {
                service: [endpoint.message() for endpoint in some] for service, some in self.endpoints.items()
            },
        }

    @classmethod
    def of(cls, message: Message) -> Update:
        """What was sent; MessageError if that is none."""
        nacked, endpoints = message.get("nacked"), as_dict(message.get("endpoints"), "endpoints")
        if not isinstance(nacked, list) or not all(isinstance(each, str) for each in nacked):
            raise MessageError("nacked is no list of services")
        found = {service: _endpoints(service, some) for service, some in endpoints.items()}
        config = as_dict(message.get("config"), "config")
        return cls(
            number(message, "version"), number(message, "part", 0, 2), word(message, "nonce"), config,
            frozenset(nacked), found,
        )  # fmt: skip


def _endpoints(service: str, some: Any) -> list[Endpoint]:
    if not isinstance(some, list):
        raise MessageError(f"the endpoints of {service[:WORD_MOST]} are no list")
    found = [Endpoint.of(each) for each in some]
    if min(len({each.number for each in found}), len({each.name for each in found})) < len(found):
        raise MessageError(f"an endpoint of {service[:WORD_MOST]} is there twice")
    return found


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a proxy: who it is, the token that shows it, and the version that it has."""

    proxy: str
    token: str
    version: int

    def message(self) -> Message:
        """As it is sent."""
        return {"hello": {"proxy": self.proxy, "token": self.token, "version": self.version}}

    @classmethod
    def of(cls, message: Message) -> Hello:
        """What was sent; MessageError if that is none."""
        fields = as_dict(message.get("hello"), "hello")
        return cls(word(fields, "proxy"), word(fields, "token"), number(fields, "version", -1))


def as_dict(value: Any, what: str) -> dict[str, Any]:
    """A value that is a mapping; MessageError if not."""
    if not isinstance(value, dict):
        raise MessageError(f"{what} is no mapping")
    return value


def word(fields: Mapping[str, Any], name: str) -> str:
    """A field that is a short text; MessageError if not."""
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > WORD_MOST:
        raise MessageError(f"{name} is no short text")
    return value


def number(fields: Mapping[str, Any], name: str, least: int = 0, most: int = NUMBER_MOST) -> int:
    """A field that is an integer within bounds; MessageError if not."""
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:
        raise MessageError(f"{name} is no integer from {least} to {most}")
    return value
