# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""UDP sockets of either end: exclusive, with buffers that were asked for and read back.

On Windows a datagram to a closed port makes later receives fail (WSAECONNRESET) and two processes may share a
port by default; both are turned off. Not run on Windows yet.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
from typing import Any, Final

from anacrusis.engine.errors import AnacrusisError

BUFFER_BYTES: Final = 4 * 1024 * 1024
_SIO_UDP_CONNRESET: Final = 0x9800000C
_log = logging.getLogger(__name__)


class SocketError(AnacrusisError):
    """A port that cannot be had, or a name that does not resolve."""


def resolve(host: str) -> str:
    """IPv4 address, dotted. Raises SocketError."""
    try:
        return socket.gethostbyname(host)
    except (OSError, UnicodeError) as error:
        raise SocketError(f"{host!r} is not a host that can be resolved ({error}); give an IPv4 address") from None


def is_loopback(address: str) -> bool:
    return address.startswith("127.")


def open_receiver(address: str, port: int, *, buffer_bytes: int = BUFFER_BYTES) -> socket.socket:
    """Bound to address:port (0: any free one) for this process alone. Raises SocketError, saying what to do."""
    sock = _udp(buffer_bytes, socket.SO_RCVBUF, "receive")
    try:
        sock.bind((address, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise SocketError(_why_not_bound(address, port, error)) from None
    return sock


def open_sender(*, buffer_bytes: int = BUFFER_BYTES) -> socket.socket:
    """Unbound; its port is the system's choice."""
    return _udp(buffer_bytes, socket.SO_SNDBUF, "send")


def free_port() -> int:
    """A UDP port on loopback that was free just now; somebody else may take it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def _udp(buffer_bytes: int, option: int, name: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if sys.platform == "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        _no_connection_resets(sock)
    granted = size_buffer(sock, option, buffer_bytes)
    if granted < buffer_bytes:
        _log.info("%s buffer is %d bytes, not the %d asked for", name, granted, buffer_bytes)
    return sock


def size_buffer(sock: socket.socket, option: int, wanted_bytes: int) -> int:
    """Ask for a buffer; returns what the system says it granted (Linux counts its own overhead twice)."""
    size = wanted_bytes
    while size >= 65_536:
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, size)
            break
        except OSError:  # macOS refuses what is above its limit instead of granting less
            size //= 2
    return granted_bytes(sock, option)


def granted_bytes(sock: socket.socket, option: int = socket.SO_RCVBUF) -> int:
    """Payload bytes a buffer holds as the system reports it; Linux reports double what it was given."""
    reported = sock.getsockopt(socket.SOL_SOCKET, option)
    return reported // 2 if sys.platform == "linux" else reported


def _no_connection_resets(sock: socket.socket) -> None:
    """Python's own ioctl does not know this code."""
    import ctypes

    windll: Any = ctypes.windll  # type: ignore[attr-defined,unused-ignore]
    off, returned = ctypes.c_ulong(0), ctypes.c_ulong(0)
    failed = windll.ws2_32.WSAIoctl(
        sock.fileno(), _SIO_UDP_CONNRESET, ctypes.byref(off), ctypes.sizeof(off), None, 0, ctypes.byref(returned), 0, 0
    )
    if failed:
        _log.warning("connection resets could not be disabled on this socket; a vanished client may stop it")


def _why_not_bound(address: str, port: int, error: OSError | OverflowError) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", -1)):
        return f"port {port} is in use; stop the other server or client, or choose another port"
    if number in (errno.EADDRNOTAVAIL, getattr(errno, "WSAEADDRNOTAVAIL", -1)):
        return f"{address} is not an address of this machine; bind 127.0.0.1, 0.0.0.0 or one of its own"
    if number in (errno.EACCES, getattr(errno, "WSAEACCES", -1)):
        return f"port {port} may not be opened by this user (or is held exclusively); choose one above 1023"
    return f"cannot listen on {address}:{port} ({error}); ports are 0 to 65535"
