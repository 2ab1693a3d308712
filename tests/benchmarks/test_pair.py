# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the live benchmarks stand on: a server as a process, and what the machine did meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from anacrusis.benchmarks import watch
from anacrusis.benchmarks.pair import PairError, ServerProcess, interrupts, last_json

# -- what the machine did -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("cpu  10 1 5 80 2 1 1 7 3 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n", (7, 107)),
        ("cpu  10 1 5 80 2 1 1 7 3\n", (7, 107)),
        ("cpu  10 1 5 80\n", None),
        ("cpu0 10 1 5 80 2 1 1 7 3 0\n", None),
        ("cpu  a b c d e f g h i j\n", None),
        ("", None),
    ],
)
def test_stolen_ticks_are_the_eighth_and_guests_are_not_counted_twice(text: str, ticks: tuple[int, int] | None) -> None:
    assert watch.parse_ticks(text) == ticks


def test_a_share_needs_two_moments() -> None:
    assert watch.share((10, 1000), (30, 1400)) == 0.05
    assert watch.share(None, (30, 1400)) is None
    assert watch.share((10, 1000), (10, 1000)) is None


def test_the_slope_of_memory_leaves_out_the_beginning() -> None:
    at_s = [float(t) for t in range(121)]
    grown = [100.0 + 10 * t if t < 30 else 400.0 + (t - 30) / 60 for t in range(121)]
    summary = watch.memory_summary(at_s, grown)
    assert summary is not None
    assert (summary["first_mb"], summary["max_mb"], summary["n"]) == (100.0, 401.5, 121)
    assert summary["slope_mb_per_min"] == pytest.approx(1.0)
    assert watch.slope_per_minute(at_s[:5], grown[:5]) is None
    assert watch.memory_summary([], []) is None


def test_a_process_that_is_gone_has_no_memory_and_no_error() -> None:
    memory = watch.Memory(2**30)
    memory.sample()
    assert memory.summary() is None


# -- the two processes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [('x\n{"a":1}\n', {"a": 1}), ("", None), ('{"a":1}\nTraceback', None), ("[1]", None)]
)
def test_the_counters_are_the_last_line(text: str, value: dict[str, int] | None) -> None:
    assert last_json(text) == value


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = ServerProcess(["--bundle", str(tmp_path / "absent")])
    with pytest.raises(PairError, match=r"the server ended: .*absent"), server:
        pass
    with pytest.raises(PairError, match="with block"):
        _ = server.pid


def test_the_first_interrupt_is_raised_and_a_second_is_not() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
