# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Whose datagrams count: the client's, those of an allow-list, and whoever said hello with the token.

The protocol has no authentication; an address is all there is. A datagram from anybody else is counted and dropped
before it is parsed further than the hello.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence

from anacrusis.engine.errors import AnacrusisError
from anacrusis.server.wire.sockets import is_loopback, resolve


class AdmissionError(AnacrusisError):
    """An allow-list entry that is no address or network."""


class Admission:
    """Receiving thread. client: host name or address. allow: addresses, networks (10.0.0.0/8) or host names."""

    def __init__(self, client: str, allow: Sequence[str] = (), token: str = "") -> None:
        self._addresses = {client_address(client)}
        if is_loopback(client_address(client)):
            self._addresses.add("127.0.0.1")  # a host's own name may resolve to 127.0.1.1
        self._networks = [network for entry in allow if (network := _network(entry)) is not None]
        self._addresses |= {resolve(entry) for entry in allow if _network(entry) is None}
        self._token = token

    def admits(self, address: str) -> bool:
        if address in self._addresses:
            return True
        if self._networks and any(ipaddress.ip_address(address) in network for network in self._networks):
            self._addresses.add(address)
            return True
        return False

    def hello(self, address: str, token: str) -> bool:
        """Whether `address` is admitted from now on."""
        if self._token and hmac.compare_digest(token.encode(), self._token.encode()):
            self._addresses.add(address)
        return self.admits(address)


def client_address(client: str) -> str:
    """Where the client is; the external says 0.0.0.0 where it found no network, and means this machine."""
    address = resolve(client)
    return "127.0.0.1" if address == "0.0.0.0" else address


def _network(entry: str) -> ipaddress.IPv4Network | None:
    if "/" not in entry:
        return None
    try:
        return ipaddress.IPv4Network(entry, strict=False)
    except ValueError as error:
        raise AdmissionError(f"--allow {entry}: {error}; give an address or a network such as 192.168.1.0/24") from None
