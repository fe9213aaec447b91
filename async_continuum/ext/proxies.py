"""Tell from which address a request came, believing only the proxies that are named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]

_HEADERS: tuple[ForwardedHeader, ...] = ("x-forwarded-for", "forwarded")
# Lists of elements, and elements of pairs (RFC 7239): quoted strings may hold commas and semicolons.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_ELEMENTS = re.compile(rf'(?:[^"]|{_QUOTED})*')
_PAIR = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_PORT = re.compile(r":\d+$")


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose word about the sender of a request is taken. Lives as long as the application."""

    networks: tuple[Network, ...] = ()
    unix: bool = False
    """Whether to trust what comes by a Unix socket, where the server tells of no client."""
    header: ForwardedHeader = "x-forwarded-for"

    @classmethod
    def of(cls, given: Sequence[str | Network | IPv4Address | IPv6Address], header: str) -> TrustedProxies:
        """Read addresses, networks and ``"unix"``. Raises `ValueError` for anything else."""
        if isinstance(given, str):
            raise ValueError(f"trusted_proxies is {given!r}; give a list, such as [{given!r}]")
        known = next((name for name in _HEADERS if name == header.lower()), None)
        if known is None:
            raise ValueError(f"forwarded_header is {header!r}; it is one of {', '.join(_HEADERS)}")
        networks = []
        for each in given:
            if each != "unix":
                networks.append(ip_network(each))
        return cls(tuple(networks), "unix" in given, known)

    def sender(self, client: str | None, headers: Headers) -> str | None:
        """Give the address of the first machine, from here outwards, that is no trusted proxy.

        Where a proxy names its sender by something else than an address, the proxy's own is the last that is known.
        """
        if not self._trusts(client):
            return _plain(client)
        known = client
        for told in reversed(list(self._told(headers))):
            address = _address(told)
            if address is None:
                break
            known = str(address)
            if not self._trusts(known):
                break
        return _plain(known)

    def _trusts(self, host: str | None) -> bool:
        if not host:
            return self.unix
        address = _address(host)
        return address is not None and any(address in network for network in self.networks)

    def _told(self, headers: Headers) -> Iterator[str]:
        wanted = self.header.encode()
        for name, value in headers:
            if name.lower() != wanted:
                continue
            text = value.decode("latin-1")
            if self.header == "x-forwarded-for":
                yield from text.split(",")
                continue
            # With a quote that stays open, whoever sent the first part decides what the proxy's part means.
            elements = _ELEMENT.findall(text) if _ELEMENTS.fullmatch(text) else ["for=unknown"]
            yield from map(_named_by, elements)


def _named_by(element: str) -> str:
    """Give what an element of ``Forwarded`` says about the sender."""
    for pair in _PAIR.findall(element):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return str(value.strip().strip('"'))
    # An element that names no sender is a proxy's too: it must not be stepped over.
    return "unknown"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = _PORT.sub("", host)
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # A socket that listens for both kinds tells of an IPv4 client as ::ffff:10.0.0.7.
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _plain(host: str | None) -> str | None:
    if not host:
        return None
    address = _address(host)
    return host if address is None else str(address)
