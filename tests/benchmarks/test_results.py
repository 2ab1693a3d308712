# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The pages that people read say what the records say. Not covered: what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from anacrusis.benchmarks import history, results, results_live, results_summary
from anacrusis.engine.paths import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGE = results.OUT.read_text(encoding="utf-8")
CONDITIONS = {
    "machine": "a machine",
    "cores": 2,
    "gpus": None,
    "threads": 1,
    "python": "3.11",
    "commit": "abc",
    "changed_files": 0,
    "date": "2026-01-01",
    "stolen_share": 0.0,
}


def test_the_page_is_what_the_records_make() -> None:
    assert "\n".join(results.write(history.RESULTS, results.read(history.RESULTS))) == PAGE, (
        "run `anacrusis bench results`"
    )


def test_the_readme_shows_the_page_s_first_table() -> None:
    first = PAGE.split(results_summary.BEGIN)[1].split(results_summary.END)[0].strip()
    assert first.count("\n") > 3
    assert first in README, "run `python3 scripts/verified_table.py`"


@pytest.mark.parametrize("text", [PAGE, README], ids=["RESULTS.md", "README.md"])
def test_every_table_has_as_many_cells_in_each_row(text: str) -> None:
    for block in text.split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, lines[0]


@pytest.mark.parametrize("name", list(results.SECTIONS))
def test_every_section_was_recorded(name: str) -> None:
    assert (history.RESULTS / f"{name}.jsonl").is_file()


def hog(hogs: int, pacing: bool, late: int, changes: list[int]) -> dict[str, Any]:
    return {
        **CONDITIONS,
        "benchmark": "hog",
        "bundle": "starter-cd",
        "stems": ["bass"],
        "hogs": hogs,
        "cores_shared": 2,
        "pacing": pacing,
        "steps": 100,
        "late": late,
        "missed_during": late,
        "concealed_samples": 7,
        "gap_samples": 0,
        "repeated_samples": 0,
        "lead_samples": 4096,
        "pace_changes": [{"at_s": 1.0, "lead": lead} for lead in changes],
        "to_react_s": 0.5 if changes else None,
        "returned_s": 14.0,
        "round_trip_ms": {"p50": 40.0, "max": 90.0},
    }


@pytest.mark.parametrize(
    ("records", "line"),
    [
        ([hog(4, True, 2, [12288, 4096])], "with pacing 2 late, back after 14 s"),
        ([hog(4, False, 27, [])], "without pacing 27 late"),
        ([hog(4, False, 9, []), hog(4, False, 27, [])], "without pacing 27 late"),  # the newest
        (
            [hog(4, True, 2, [8192]), hog(4, False, 27, [])],
            "with pacing 2 late, back after 14 s; without pacing 27 late",
        ),
    ],
)
def test_a_hog_in_short(records: list[dict[str, Any]], line: str) -> None:
    (row,) = [text for text in results_summary.block({"hog": records}) if "other program" in text]
    assert line in row


def test_a_hog_s_row_names_the_longest_lead_and_says_nothing_of_a_pace_that_never_changed() -> None:
    lines = results_live.hog([hog(4, True, 2, [12288, 4096]), hog(4, False, 27, [])])
    paced, unpaced = (line for line in lines if line.startswith("| starter-cd"))
    assert "| 279 | 0.5 | 14.0 |" in paced
    assert "| 93 | - | - |" in unpaced


@pytest.mark.parametrize("value", [0.1, 0.6])
def test_a_target_is_called_missed_only_where_it_was(value: float) -> None:
    target = {"target": "harmony: x", "stem": "bass", "value": [value, value, value]}
    record = {"players": [{"bundle": "starter-cd"}], "corpus": "songs", "songs": 3, "targets": [target]}
    text = "\n".join(results_summary.block({"headline": [record]}))
    assert ("missed by bass" in text) == (value < 0.5)


def test_nothing_recorded_is_an_empty_table() -> None:
    assert len(results_summary.block({})) == 4


def test_what_limits_adds_an_operator_s_stages_up() -> None:
    rows = [("Conv", 0.4, 106.0), ("Conv", 0.3, 103.0), ("MatMul", 0.2, 8.0)]
    operators = [{"op": op, "share": share, "gflop_per_s": rate} for op, share, rate in rows]
    record = {"bundle": "full-cd", "operators": operators, "peak_gflop_per_s": 95.5}
    text = "\n".join(results_summary.block({"profile": [record]}))
    assert "Conv: 70% of the kernels' time, at 103 to 106 GFLOP/s; one large product reaches 96" in text


def test_the_least_lead_is_told_with_half_of_it() -> None:
    calibration = {"aligned_frames": 1, "window_frames": 64}
    common = {"bundle": "starter-cd", "steps": 100, "calibration": calibration}
    runs: tuple[tuple[Any, float, int], ...] = ((1.0, 57.0, 2), (1.0, 56.8, 0), (0.5, 28.4, 99), ("auto", 92.9, 0))
    found = [{**common, "lead_is": lead, "lead_ms": ms, "late": late, "stolen_share": 0.01} for lead, ms, late in runs]
    text = "\n".join(results_summary.block({"least_lead": found}))
    assert (
        "r* 1/64; at l* in whole frames (93 ms) 0 of 100 steps late, at l* (57 ms) 2 of 200 steps late in 2 runs"
        in text
    )
    assert "at 0.5 l* (28 ms) 99 of 100 steps late" in text
