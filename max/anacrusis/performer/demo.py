# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The whole path on one machine: a server as a process of its own, and the shipped clip performed with it live."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.engine.errors import AudioError
from anacrusis.engine.paths import SHIPPED_CLIP
from anacrusis.performer.connection import Connection
from anacrusis.performer.files import Recording, read_recording
from anacrusis.performer.live import LiveError, perform
from anacrusis.performer.live_report import report, summary
from anacrusis.performer.live_write import prepare, write_take
from anacrusis.performer.plan import Plan
from anacrusis.performer.take import Take
from anacrusis.server.wire.messages import STEMS
from anacrusis.server.wire.sockets import free_port

STOP_S = 2.0  # a server stops within one


def read_clip(folder: Path = SHIPPED_CLIP) -> Recording:
    """The clip's four stems as channels. Raises AudioError where it is not there (a wheel does not carry it)."""
    if not folder.is_dir():
        raise AudioError(f"no clip at {folder}: run from a clone of the repository, or use `anacrusis client IN.wav`")
    stems = [read_recording(folder / f"{stem}.flac") for stem in STEMS]
    return Recording(np.concatenate([stem.samples for stem in stems], axis=1), stems[0].rate_hz)


def run_demo(
    out: Path,
    server_command: Sequence[str],
    plan: Plan,
    *,
    on_wait: Callable[[str], None],
    on_step: Callable[[int, int], None],
) -> tuple[Take, dict[str, Any], list[Path]]:
    """Start `server_command` (ports are added), perform the clip, stop it; returns (take, report, files written).

    Raises LiveError with the server's last line where it ends by itself.
    """
    recording = read_clip()
    prepare(out)
    with Connection("127.0.0.1", free_port(), 0) as connection:
        ports = ["--serverport", str(connection.server[1]), "--clientport", str(connection.port)]
        with _running([*server_command, *ports], out / "server.log") as fail_if_ended:

            def waiting(text: str) -> None:
                fail_if_ended()
                on_wait(text)

            def stepping(done: int, total: int) -> None:
                fail_if_ended()
                on_step(done, total)

            take = perform(recording, connection, plan, on_wait=waiting, on_step=stepping)
        result = {**report(take), "send_errors": connection.send_errors}
    return take, result, [*write_take(out, take, result, f"demo: {summary(take)}"), out / "server.log"]


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[Callable[[], None]]:
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

        def fail_if_ended() -> None:
            if process.poll() is not None:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise LiveError(f"the server ended: {lines[-1] if lines else f'exit code {process.returncode}'}")

        try:
            yield fail_if_ended
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def serve_command(bundle: Path, *more: str) -> list[str]:
    """`anacrusis serve` in this interpreter."""
    return [sys.executable, "-m", "anacrusis.cli.main", "serve", "--bundle", str(bundle), *more]
