# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Faults as text: what is read, and what is said about text that is none. The round trip is in test_faults.py."""

from __future__ import annotations

from dataclasses import fields

import pytest

from anacrusis.benchmarks.faults import Faults, FaultsError


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", Faults()),
        ("none", Faults()),
        (
            "loss=.05,delay=20,jitter=10,duplicate=.01,reorder=.02,rate=2e6,seed=7",
            Faults(7, loss=0.05, delay_ms=20, jitter_ms=10, duplicate=0.01, reorder=0.02, rate_bytes_per_s=2e6),
        ),
        (" queue = 1e5 , shape = normal", Faults(queue_bytes=100_000, jitter_shape="normal")),
        ("burst=4,duplicate_delay=2,reorder_delay=30", Faults(0, 0, 4, 0, 2, 0, 30)),
    ],
)
def test_text(text: str, faults: Faults) -> None:
    assert Faults.parse(text) == faults


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("los=.1", "'los' is no fault; choose from loss, burst"),
        ("loss=.1,", "'' is no fault"),
        ("loss", "'loss' has no value; write loss=VALUE"),
        ("loss=", "'loss=' has no value"),
        ("loss=a", "loss=a is not a number"),
        ("loss=.1,loss=.2", "loss is given twice"),
        ("loss=1.1", "loss is a fraction, 0 to 1, not 1.1"),
        ("reorder=-1", "reorder is a fraction"),
        ("duplicate=nan", "duplicate is a fraction"),
        ("delay=-1", "delay_ms is in milliseconds"),
        ("jitter=inf", "jitter_ms is in milliseconds"),
        ("burst=.5", "burst is a run of at least 1"),
        ("shape=pareto", "shape is uniform or normal, not 'pareto'"),
        ("rate=0", "rate is in bytes a second"),
        ("rate=none", "rate=none is not a number"),
        ("queue=1.5", "queue=1.5 is not a whole number"),
        ("queue=inf", "queue=inf is not a whole number"),
        ("queue=-5", "queue and seed are 0 or more"),
        ("seed=-1", "queue and seed are 0 or more"),
    ],
)
def test_bad_text_is_one_line_that_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(FaultsError) as error:
        Faults.parse(text)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_every_field_has_a_key() -> None:
    changed = {f.name: 1 for f in fields(Faults)} | {"jitter_shape": "normal", "burst_datagrams": 2, "loss": 0.5}
    text = str(Faults(**changed | {"duplicate_delay_ms": 2}))  # type: ignore[arg-type]
    assert text.count("=") == len(fields(Faults))
