# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis bench` hands its line on; `anacrusis parity` keeps its ways apart."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from anacrusis.benchmarks import results, results_cycle, table1
from anacrusis.cli.bench import BENCHMARKS
from anacrusis.engine.bundle import Bundle

from .conftest import refused, run

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_every_benchmark_has_a_command_of_its_own(name: str, capsys: Capture) -> None:
    assert run("bench", name, "--help") == 0
    assert f"usage: anacrusis bench {name}" in capsys.readouterr().out
    assert callable(importlib.import_module(f"anacrusis.benchmarks.{BENCHMARKS[name][0]}").main)


def test_help_lists_them_all(capsys: Capture) -> None:
    assert run("bench", "--help") == 0
    said = capsys.readouterr().out
    assert all(f"{name} " in said for name in BENCHMARKS)


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_arguments_and_exit_codes_pass_through(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(table1, "main", lambda arguments: given.append(arguments) or code)
    assert run("bench", "table1", "--cycles", "3", "--no-record") == code
    assert given == [["--cycles", "3", "--no-record"]]


@pytest.mark.parametrize("wrong", [(), ("nothing",), ("table1", "--unknown")])
def test_a_wrong_line_is_2(wrong: tuple[str, ...], capsys: Capture) -> None:
    assert run("bench", *wrong) == 2
    assert "usage" in capsys.readouterr().err


def test_history_through_the_front_door(tmp_path: Path, capsys: Capture) -> None:
    record = {"benchmark": "soak", "commit": "aaa", "date": "2026-01-01", "p99_ms": 1.0, "machine": "here"}
    (tmp_path / "soak.jsonl").write_text(json.dumps(record) + "\n")
    assert run("bench", "history", "--results", tmp_path) == 0
    (series,) = json.loads(capsys.readouterr().out.splitlines()[-1])["series"]
    assert series["points"] == [["2026-01-01", "aaa", 1.0]]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "--rung all"),
        (("--rung", "all", "--golden", "x"), "leave out --golden"),
        (("--rung", "all", "--size", "tiny"), "leave out --golden"),
        (("--rung", "all", "--stage", "encode"), "--stage belongs"),
        (("--rung", "nowhere", "--songs", "0", "--window", "silent"), "unknown rung"),
        (("--rung", "torch", "--songs", "0", "--window", "thunder"), "unknown window"),
        (("--precision", "fp16", "--window", "silent"), "--window belongs"),
        (("--rung", "torch", "--bundle", "absent"), "absent"),
    ],
)
def test_parity_refuses_in_one_line(arguments: tuple[str, ...], why: str, out: Path, capsys: Capture) -> None:
    assert why in refused(capsys, out, "parity", *arguments)


def test_a_set_is_not_written_over_another(tmp_path: Path, out: Path, capsys: Capture) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    line = ("parity", "--write-calibration-set", tmp_path, "--songs", "0", "--window", "silent")
    assert "is not empty" in refused(capsys, out, *line)


def test_rungs_are_reported_recorded_and_kept_beside_the_bundle(
    copying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(copying, bundle)
    monkeypatch.setattr(results, "PRECISION", tmp_path / "precision.jsonl")
    line = ("parity", "--bundle", bundle, "--rung", "onnxruntime", "--songs", "0", "--window", "silent", "--record")
    assert run(*line) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    recorded = json.loads((tmp_path / "precision.jsonl").read_text())
    kept = json.loads((bundle / "precision.json").read_text())["reports"]["onnxruntime, float32"]
    assert {key: recorded[key] for key in told} == told
    # Torch does not know networks that copy, so their graphs unoptimised are the oracle: equal bit for bit.
    assert told["oracle"].startswith("ONNX Runtime, float32, nothing optimised (")
    assert {row["worst_db"] for row in told["rungs"][0]["rows"]} == {None}
    assert kept["rows"] == told["rungs"][0]["rows"]
    assert kept["commit"] == recorded["commit"]
    Bundle.open(bundle)  # still whole: a report is no part of it
    page = "\n".join(results_cycle.precision([recorded]))
    against = "ONNX Runtime, float32, nothing optimised"
    assert f"| copying | onnxruntime | float32 | {against} | 1 | inf | inf | inf | inf | inf | 0 |" in page
