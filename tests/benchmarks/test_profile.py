# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The profile's arithmetic on made-up traces, and one real trace of networks that copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anacrusis.benchmarks import profile
from anacrusis.benchmarks.profile import Kernel, work_gflop


def event(name: str, ts: float, dur: float, op: str = "Conv", cat: str = "Node", **args: Any) -> dict[str, Any]:
    return {"cat": cat, "name": name, "ts": ts, "dur": dur, "args": {"op_name": op, **args}}


SHAPES = {
    "input_type_shape": [{"float": [1, 8, 10, 10]}, {"float": [16, 8, 3, 3]}],
    "output_type_shape": [{"float": [1, 16, 10, 10]}],
}
TRACE = [
    {"cat": "Session", "name": "model_run", "ts": 0, "dur": 10, "args": {}},
    event("conv_kernel_time", 1, 100.0),
    {"cat": "Session", "name": "model_run", "ts": 50, "dur": 10, "args": {}},
    event("conv_fence_before", 51, 7.0),
    event("conv_kernel_time", 51, 30.0, **SHAPES),
    event("add_kernel_time", 52, 10.0, op="Add"),
]


def test_only_kernels_of_the_last_runs_count() -> None:
    last = profile.kernels_of("encode", TRACE, 1)
    assert [(kernel.node, kernel.op, kernel.us) for kernel in last] == [("conv", "Conv", 30.0), ("add", "Add", 10.0)]
    assert len(profile.kernels_of("encode", TRACE, 2)) == 3


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "gflop"),
    [
        ("Conv", [[1, 8, 10, 10], [16, 8, 3, 3]], [[1, 16, 10, 10]], 2e-9 * 16 * 100 * 8 * 9),
        ("Conv", [[1, 8, 10, 10], [8, 1, 3, 3]], [[1, 8, 10, 10]], 2e-9 * 8 * 100 * 9),
        ("ConvTranspose", [[1, 8, 10, 10], [8, 4, 2, 2]], [[1, 4, 20, 20]], 2e-9 * 800 * 4 * 4),
        ("ConvTranspose", [[1, 8, 10, 10]], [[1, 4, 20, 20]], 0.0),  # the library does not say the weight's shape
        ("MatMul", [[6, 5, 7], [6, 7, 3]], [[6, 5, 3]], 2e-9 * 6 * 5 * 7 * 3),
        ("FusedMatMul", [[2, 7, 5], [2, 3, 7]], [[2, 5, 3]], 2e-9 * 2 * 5 * 7 * 3),  # both transposed
        ("MatMul", [[6, 5, 7], [7, 3]], [[6, 5, 3]], 2e-9 * 6 * 5 * 7 * 3),
        ("Add", [[5], [5]], [[5]], 0.0),
    ],
)
def test_work_of_products(op: str, inputs: list[list[int]], outputs: list[list[int]], gflop: float) -> None:
    assert work_gflop(op, inputs, outputs) == pytest.approx(gflop)


def test_shares_are_of_everything_and_times_of_one_cycle() -> None:
    shapes: tuple[tuple[int, ...], ...] = ((1, 8, 10, 10), (16, 8, 3, 3))
    kernels = [Kernel("encode", "a", "Conv", 3e3, shapes, ((1, 16, 10, 10),)), Kernel("encode", "b", "Conv", 3e3)]
    rows = profile.by_operator([*kernels, Kernel("decode", "c", "Add", 2e3)], cycles=2)
    assert [(row["op"], row["ms"], row["share"], row["runs"]) for row in rows] == [
        ("Conv", 3.0, 0.75, 1.0),
        ("Add", 1.0, 0.25, 0.5),
    ]
    assert rows[1]["gflop_per_s"] is None
    (top,) = profile.by_node(kernels, 1, 1)
    assert (top["node"], top["inputs"][1], top["outputs"]) == ("a", [16, 8, 3, 3], [[1, 16, 10, 10]])


def test_a_real_profile_ends_in_json(
    copying: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "PEAK_SIZE", 64)
    small = ["--cycles", "1", "--threads", "1", "--top", "3", "--no-record"]
    assert profile.main(["--bundle", str(copying), *small]) == 0
    (record,) = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert {row["stage"] for row in record["operators"]} == {"encode", "denoise", "decode"}
    assert sum(row["share"] for row in record["operators"]) == pytest.approx(1.0, abs=0.01)
    assert len(record["nodes"]) == 3
    # Two evaluations a cycle, one encode, one decode: a node runs a whole number of times.
    assert {row["runs"] % 1 for row in record["operators"]} == {0.0}


@pytest.mark.parametrize("wrong", [["--cycles", "0"], ["--r", "1.5"], ["--bundle", "absent"]])
def test_profile_refuses_in_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert profile.main([*wrong, "--no-record"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("profile: ")
