# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis serve` as a process of its own, for benchmarks whose client must not share its interpreter.

    with ServerProcess(["--bundle", str(bundle)]) as server:
        ...                     # play with server.address
    print(server.counted)       # what it counted

The server chooses its port and says it, so no port is guessed. It is stopped whichever way the block is left;
`interrupts` makes a polite kill of this process one of those ways.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

from anacrusis.benchmarks.record import conditions
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import RUNGS, default_threads
from anacrusis.engine.paths import REPOSITORY, SHIPPED_BUNDLE
from anacrusis.server.wire.messages import STEMS

HOST: Final = "127.0.0.1"
CLIP: Final = REPOSITORY / "assets" / "clip" / "band.flac"
START_S: Final = 60.0  # to import and bind; loading the model comes after
STOP_S: Final = 10.0
_LISTENING: Final = re.compile(r"listening on [\d.]+:(\d+)")


class PairError(AnacrusisError):
    """A server that does not start."""


class ServerProcess:
    """Started with the block, which begins when the server listens. Every method from one thread.

    arguments: of `anacrusis serve`; ports and --json are added. client_port: where it sends before a client says
    hello. counted: its own counters after the block, None where it was killed. host, client_host: where it binds and
    whom it answers. prefix: what runs the command elsewhere (`namespaces.py`).
    """

    def __init__(
        self,
        arguments: Sequence[str],
        client_port: int = 8000,
        *,
        host: str = HOST,
        client_host: str = HOST,
        prefix: Sequence[str] = (),
    ) -> None:
        ports = ["--server_ip", host, "--serverport", "0", "--clientport", str(client_port), "--json"]
        ports += [] if client_host == HOST else ["--client_ip", client_host]
        self._command = [*prefix, sys.executable, "-m", "anacrusis.cli.main", "serve", *ports, *arguments]
        self._host = host
        self._process: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=20)
        self._port = 0
        self._known = threading.Event()  # it listens, or it never will
        self.counted: dict[str, Any] | None = None

    @property
    def pid(self) -> int:
        """Raises PairError before it was started."""
        if self._process is None:
            raise PairError("this server was not started; use it in a with block")
        return self._process.pid

    @property
    def address(self) -> tuple[str, int]:
        return self._host, self._port

    def __enter__(self) -> Self:
        """Raises PairError, with the server's last line, where it ends or stays mute for a minute."""
        # A group of its own: Ctrl-C is ours to pass on, and Windows can break only a group.
        flags: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self._process = process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            creationflags=flags,
            start_new_session=True,
        )
        atexit.register(_kill, process)  # where `stop` itself was cut short
        threading.Thread(target=self._read, args=(process,), name="server's stderr", daemon=True).start()
        try:
            heard = self._known.wait(START_S)
        except BaseException:
            self.stop()
            raise
        if not self._port:
            self.stop()
            last = self._said[-1] if self._said else "no line from it"
            why = "ended" if heard else f"did not listen within {START_S:g} s"
            raise PairError(f"the server {why}: {last}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask, wait, kill. Harmless twice."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.poll() is None:
                with contextlib.suppress(OSError):
                    process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        except BaseException:  # an interrupt while waiting
            _kill(process)
            raise
        out = process.stdout.read() if process.stdout else ""
        self.counted = last_json(out)

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Its own thread: an unread pipe would stop the server."""
        assert process.stderr is not None
        for line in process.stderr:
            self._said.append(line.strip())
            if not self._port and (found := _LISTENING.search(line)):
                self._port = int(found.group(1))
                self._known.set()
        self._known.set()


def _kill(process: subprocess.Popen[str]) -> None:
    """Nothing where it has ended."""
    if process.poll() is None:
        process.kill()
        process.wait()


def last_json(text: str) -> dict[str, Any] | None:
    """The object on the last line; None where there is none."""
    lines = text.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Within, the first of SIGINT, SIGTERM and their like raises KeyboardInterrupt, so that blocks are left in order.

    Later ones are ignored: `timeout` sends two, and what is left to do ends by itself. Main thread only.
    """
    came = False

    def interrupt(*_: object) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def ready(options: argparse.Namespace, packages: Sequence[str]) -> dict[str, Any]:
    """A record's conditions, when the picture can be drawn: before minutes are played. Raises AnacrusisError."""
    if options.png:
        from anacrusis.performer.plot import require_drawable

        options.png.parent.mkdir(parents=True, exist_ok=True)
        require_drawable(options.png)
    return conditions(default_threads() if options.threads is None else options.threads, packages)


def stems_of(count: int) -> tuple[str, ...]:
    """The first so many stems. Raises AnacrusisError for a count that no model has."""
    if not 1 <= count <= len(STEMS):
        raise AnacrusisError(f"--stems is {count}; it must be 1 to {len(STEMS)}")
    return STEMS[:count]


def add_pair_options(parser: argparse.ArgumentParser, minutes: float, results: Path, picture: str) -> None:
    """Of a benchmark that plays for minutes with a server in another process."""
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--stems", type=int, default=1, help="how many of the model's are asked for")
    parser.add_argument("--clip", type=Path, default=CLIP, help="the context, repeated (default: the demo clip's band)")
    parser.add_argument("--backend", choices=("auto", *(rung.name for rung in RUNGS)), default="auto")
    parser.add_argument("--threads", type=int, help="the server's (default: half of the cores)")
    parser.add_argument("--png", type=Path, help=f"draw {picture}")
    parser.add_argument("--out", type=Path, default=results, help="JSONL to append to")
    parser.add_argument("--no-record", action="store_true", help="append to no file")
