# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever the network does to the chunks, each sample is what a sample-by-sample reading of the rules says."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from anacrusis.performer.events import Event, Note
from anacrusis.performer.external import MultiTrack
from anacrusis.server.wire.messages import reply_datagrams

F32 = NDArray[np.float32]
STEP, CURSORS = 200, (400, 600)


def oracle(buffer: F32, batches: list[tuple[int, F32, set[int], int]], fade: int, loop: bool) -> F32:
    """batches: (ws, reply, chunks that came, package), oldest first. One sample at a time."""
    out = buffer.copy()
    for first, reply, came, package in batches:
        for k, new in enumerate(reply):
            x = first + k
            if k // package not in came or not (loop or 0 <= x < len(out)):
                continue
            x %= len(out)
            t = np.float32(k) / np.float32(max(fade, 1))
            out[x] = out[x] * (np.float32(1) - t) + new * t if k < fade else new
    return out


@st.composite
def performances(draw: st.DrawFn) -> dict[str, Any]:
    package = draw(st.integers(20, 320))
    fade = draw(st.integers(0, STEP))
    total = -(-(STEP + fade) // package)
    chunk = st.tuples(st.integers(1, 2), st.integers(0, total - 1))
    return {
        "package": package,
        "fade": fade,
        "arrivals": draw(st.lists(chunk, max_size=40)),
        "frames": draw(st.sampled_from([850, 1200, 610])),
        "loop": draw(st.booleans()),
        "w": draw(st.sampled_from([-1, 0, 1])),
        "client_package": draw(st.sampled_from([128, 256, 300])),
        "seed": draw(st.integers(0, 3)),
    }


@given(performances())
def test_any_order_duplication_and_loss(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    fade, package = case["fade"], case["package"]
    events: list[Event] = []
    external = MultiTrack(lambda data: None, lambda: 0.0, lambda seconds: None, events.append)
    buffer = rng.standard_normal((case["frames"], 2), np.float32)
    external.set_buffer(buffer, ["bass", "drums"], rate_hz=1000)
    external.configure(
        window_samples=800,
        r=0.25,
        w=case["w"],
        fade=fade / 1000,
        package=case["client_package"],
        flags=(1, 0),
        live_mode=int(case["loop"]),
    )
    fade = external.settings.fade_samples(1000)  # trunc(fade / 1000 * 1000) may be one less
    for curr in CURSORS:
        external.predict(curr)
    before = buffer.copy()
    replies = {batch: rng.standard_normal(STEP + fade).astype(np.float32) for batch in (1, 2)}
    datagrams = {batch: list(reply_datagrams("bass", batch, reply, package)) for batch, reply in replies.items()}
    came: dict[int, set[int]] = {1: set(), 2: set()}
    for batch, chunk in case["arrivals"]:
        index = chunk % len(datagrams[batch])
        external.receive(datagrams[batch][index])
        came[batch].add(index)
    starts = {batch: curr + case["w"] * STEP - fade for batch, curr in enumerate(CURSORS, 1)}
    batches = [(starts[batch], replies[batch], came[batch], package) for batch in (1, 2)]
    wanted = oracle(before[:, 0], batches, fade, case["loop"])
    np.testing.assert_allclose(buffer[:, 0], wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(buffer[:, 1], before[:, 1])
    touched = np.zeros(case["frames"], np.bool_)
    for first, _, chunks, _ in batches:
        region = np.arange(first, first + STEP + fade) if chunks else np.arange(0)
        touched[region % case["frames"] if case["loop"] else region[(region >= 0) & (region < case["frames"])]] = True
    np.testing.assert_array_equal(buffer[~touched], before[~touched])


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"/bass\0\0\0", b"#bundle\0", b"/ready\0\0", b"/anacrusis/hello\0\0\0\0"]),
)
def test_no_datagram_raises_or_writes(tail: bytes, head: bytes) -> None:
    events: list[Event] = []
    external = MultiTrack(lambda data: None, lambda: 0.0, lambda seconds: None, events.append)
    buffer = np.zeros((100, 4), np.float32)
    external.set_buffer(buffer)
    external.receive(head + tail)
    assert not buffer.any()
    assert {event.kind for event in events if isinstance(event, Note)} <= {"malformed", "stale", "ready"}
