# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a step's way to the server and its reply's way back take: a real client, a real server, loopback UDP.

`anacrusis serve` is a process of its own, the client is this one, both in real time. The networks copy (or are those of
a bundle that keeps up): what is measured is the wire, and it does not depend on them.

up: on the server, from a step's first datagram to its last (`StepStatus.assemble_ms`). down: the rest of the round trip
when the server's own stages are taken off: handing over, building, pauses between datagrams, sending, receiving. So the
two and the compute are the client's round trip, from `predict` to the last chunk, with nothing left out.

Not covered: a network card, two machines (`anacrusis calibrate --client-host` measures those).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anacrusis.benchmarks.cycles import CLIP
from anacrusis.benchmarks.net import copying_bundle
from anacrusis.benchmarks.pair import HOST, ServerProcess, interrupts
from anacrusis.benchmarks.record import quantiles_ms
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.performer.connection import Connection
from anacrusis.performer.files import read_recording
from anacrusis.performer.live import perform
from anacrusis.performer.plan import Plan
from anacrusis.performer.take import LiveStep
from anacrusis.server.wire.messages import STEMS

PACKAGE: Final = 4410  # floats a datagram, the released patch's
SERVER_STAGES: Final = ("assemble_ms", "encode_ms", "denoise_ms", "decode_ms", "host_ms")
WARM_UP: Final = 2


@dataclass(frozen=True, slots=True)
class Transfer:
    """One step's two ways, in seconds."""

    up_s: float
    down_s: float


def transfers_of(steps: Sequence[LiveStep]) -> list[Transfer]:
    """Of the steps whose reply and status came whole."""
    out = []
    for step in steps:
        trip_ms, status = step.round_trip_ms, step.status
        if trip_ms is not None and status is not None:
            spent_ms = sum(getattr(status, name) for name in SERVER_STAGES)
            out.append(Transfer(status.assemble_ms / 1e3, max(trip_ms - spent_ms, 0.0) / 1e3))
    return out


def measure_transfer(
    r: float, steps: int, *, stems: int = 1, bundle: Path | None = None, package: int = PACKAGE
) -> list[Transfer]:
    """Play `steps` steps of r of the window in real time, after two to warm up. bundle None: networks that copy.

    Raises AnacrusisError where no step came back whole, MissingExtraError where the copying bundle cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="anacrusis-transfer-", ignore_cleanup_errors=True) as directory:
        path = bundle or copying_bundle(Path(directory))
        manifest = Bundle.open(path, verify=False).manifest
        step_s = int(manifest.geometry.window_samples * r) / manifest.sample_rate_hz
        seconds = (steps + WARM_UP + 0.5) * step_s
        plan = Plan(stems=STEMS[:stems], r=r, package=package, seconds=seconds, loop=True)
        plan.validate()
        with Connection(HOST, client_port=0) as connection:
            server = ServerProcess(["--bundle", str(path), "--threads", "1"], connection.port)
            with interrupts(), server:
                connection.set_server(*server.address)
                take = perform(read_recording(CLIP), connection, plan)
    found = transfers_of(take.steps[WARM_UP:])
    if not found:
        raise AnacrusisError(f"no step at r = {r:g} came back whole over loopback; run it on a machine less busy")
    return found


Measure = Callable[[float, int], list[Transfer]]  # (r, steps) -> what `measure_transfer` gives


def quantiles_of_ways(measured: Sequence[Transfer]) -> dict[str, dict[str, float]]:
    """Quantiles in ms of both ways, by the names of table 1."""
    return {
        "client -> server": quantiles_ms([one.up_s for one in measured]),
        "server -> client": quantiles_ms([one.down_s for one in measured]),
    }
