# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A second network namespace joined to this one by a pair of virtual interfaces: a real network stack, no network.

Between the two, datagrams pass the kernel's routing, a queue and an MTU of 1,500 bytes (a datagram of 4,410 floats is
15 fragments), where on loopback they are one piece and a copy. Needs Linux, root and `ip` (iproute2); `why_not` says
what is missing, and a benchmark then stays on loopback and says so.

Not covered: faults. The relay (`relay.py`) makes those, in front of it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

from anacrusis.engine.errors import AnacrusisError

MTU_BYTES: Final = 1500
_LIMIT_S: Final = 10.0


class NamespaceError(AnacrusisError):
    """No second namespace could be made; the text has the system's reason."""


def why_not() -> str | None:
    """None where one can be asked for; else what is missing. Makes nothing."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if shutil.which("ip") is None:
        return "`ip` (iproute2) is not installed"
    if os.geteuid() != 0:
        return "only root may make them"
    return None


class Namespace:
    """The other namespace while the block lasts. One thread.

    here, there: addresses of the two ends. prefix: put before a command, it runs over there.
    """

    def __init__(self) -> None:
        tag = secrets.token_hex(3)
        self.name = f"anacrusis-{tag}"
        self._ours, self._theirs = f"ana{tag}a", f"ana{tag}b"
        # Of 198.18.0.0/15, which is for benchmarks of networks (RFC 2544); /30 is two hosts.
        subnet = f"198.18.{secrets.randbelow(256)}"
        block = 4 * secrets.randbelow(64)
        self.here, self.there = f"{subnet}.{block + 1}", f"{subnet}.{block + 2}"
        self.prefix: tuple[str, ...] = ("ip", "netns", "exec", self.name)

    def __enter__(self) -> Self:
        """Raises NamespaceError, and leaves nothing, where the kernel does not allow it."""
        reason = why_not()
        if reason is not None:
            raise NamespaceError(f"no second network namespace: {reason}")
        inside = f"-n {self.name}"
        try:
            for line in (
                f"netns add {self.name}",
                f"link add {self._ours} mtu {MTU_BYTES} type veth peer name {self._theirs} mtu {MTU_BYTES}",
                f"link set {self._theirs} netns {self.name}",
                f"addr add {self.here}/30 dev {self._ours}",
                f"link set {self._ours} up",
                f"{inside} addr add {self.there}/30 dev {self._theirs}",
                f"{inside} link set {self._theirs} up",
                f"{inside} link set lo up",
            ):
                _ip(line)
        except NamespaceError:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for line in (f"link del {self._ours}", f"netns del {self.name}"):
            with contextlib.suppress(NamespaceError):  # it was not made, or went with the other
                _ip(line)


def _ip(line: str) -> None:
    try:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NamespaceError(f"`ip {line}` did not run: {error}") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise NamespaceError(f"`ip {line}` was refused: {said}")
