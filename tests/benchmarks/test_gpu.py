# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The GPU script, where no GPU is: every step walked on a CPU, nothing lost to a crash or a hang, nothing made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import gpu, gpu_report
from anacrusis.benchmarks.gpu_items import ITEMS
from anacrusis.benchmarks.gpu_run import Run, quantiles, snr_db
from anacrusis.benchmarks.gpu_subjects import WAYS, NotRunError, Setting, cycle_gflop
from anacrusis.engine.errors import BackendError

REPOSITORY = Path(__file__).resolve().parents[2]


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One dry run of the script itself, for all the tests below."""
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("gpu")
    environment = {"PYTHON": sys.executable, "OUT": str(out), "ANACRUSIS_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = ["bash", str(REPOSITORY / "benchmarks" / "gpu.sh"), "--dry-run", "--seconds", "550"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=580, check=False
    )
    return out, done


def test_a_dry_run_walks_every_item(dry: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = dry
    assert done.returncode == 0, done.stderr[-2000:]
    records = records_of(out / "gpu.jsonl")
    assert {record["item"] for record in records} == {name for name, _ in gpu.PLAN}
    assert all(record["dry_run"] and record["benchmark"] == "gpu" for record in records)
    assert [record for record in records if record["status"] == "failed"] == []
    # Only the export has nothing to do where a bundle is there.
    assert [record["item"] for record in records if record["status"] == "not run"] == ["export"]


def test_its_last_line_is_one_object(dry: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = dry
    said = json.loads(done.stdout.splitlines()[-1])
    records = records_of(out / "gpu.jsonl")
    assert (said["records"], said["failed"], said["dry_run"]) == (len(records), 0, True)
    assert done.stdout.startswith("DRY RUN on a CPU, its times mean nothing")


def test_every_record_carries_its_conditions(dry: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    for record in records_of(dry[0] / "gpu.jsonl"):
        assert {"date", "commit", "gpu", "machine", "python", "torch", "numpy", "onnxruntime"} <= set(record)
        if "cycle_ms" in record:
            assert {"p50", "p95", "p99", "p99_9", "max", "n"} == set(record["cycle_ms"])
            assert record["warm_ups"] >= 0
            assert set(record["stages_ms"]) == {"encode", "denoise", "decode"} if "stages_ms" in record else True


def test_every_way_agrees_with_the_oracle(dry: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    found = {
        record["way"]: record
        for record in records_of(dry[0] / "gpu.jsonl")
        if record["item"] == "parity-tiny" and record["way"] != "oracle"
    }
    assert set(found) == {"graph-fp16", "onnxruntime-cuda", "tensorrt-rtx", "tensorrt"}
    for record in found.values():
        assert record["latent_snr_db"] > 70
        assert record["audio_snr_db"] > 70
        assert record["not_finite"] == 0


def test_pictures_and_a_table_come_from_the_records(dry: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = dry
    assert {path.name for path in out.glob("*.png")} == {"gpu-ways.png", "gpu-grid.png"}
    lines = gpu_report.markdown(gpu_report.read_records(out / "gpu.jsonl"))
    assert lines[0].startswith("DRY RUN")
    cycles = [record for record in records_of(out / "gpu.jsonl") if "cycle_ms" in record]
    assert len(lines) == 4 + len(cycles)


# -- nothing is lost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "limit_s", "reason"),
    [
        ("print('well')", 30, None),
        ("import os; os._exit(3)", 30, "its process ended with code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 30, "its process ended with code -11"),
        ("import time; time.sleep(60)", 1, "stopped after 1 s"),
    ],
)
def test_how_a_process_ends_is_told(code: str, limit_s: float, reason: str | None) -> None:
    ended = gpu.attempt([sys.executable, "-c", code], limit_s)
    assert ended.reason == reason
    assert ended.seconds < 20


def test_a_crash_loses_its_own_item_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"grid": "import os; os._exit(9)", "ratios": "pass", "soak": "pass"}
    monkeypatch.setattr(gpu, "child", lambda names, *_: [sys.executable, "-c", codes[names[0]]])
    options = options_of(tmp_path, "--items", "ratios,grid,soak")
    summary = gpu.drive(options)
    (record,) = records_of(options.out)
    assert (record["item"], record["status"], record["reason"]) == ("grid", "failed", "its process ended with code 9")
    assert list(summary["items"]) == ["ratios", "grid", "soak"]
    assert summary["failed"] == 1


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    options = options_of(tmp_path, "--items", "ratios,soak", "--seconds", "1")
    gpu.drive(options)
    assert [(r["item"], r["status"], r["reason"]) for r in records_of(options.out)] == [
        ("ratios", "not run", "the time is up"),
        ("soak", "not run", "the time is up"),
    ]


def options_of(folder: Path, *arguments: str) -> Any:
    """What `main` would parse, given to `drive`."""
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "drive", lambda options: kept.append(options) or {})
        gpu.main(["--out", str(folder / "gpu.jsonl"), *arguments])
    return kept[0]


@pytest.mark.parametrize(
    ("raised", "status", "reason"),
    [
        (NotRunError("wheel missing"), "not run", "wheel missing"),
        (BackendError("no memory"), "failed", "no memory"),
        (ValueError("two\nlines"), "failed", "ValueError: two lines"),
    ],
)
def test_one_way_s_trouble_is_a_record(tmp_path: Path, raised: Exception, status: str, reason: str) -> None:
    run = Run("ratios", Setting(True, tmp_path), tmp_path / "gpu.jsonl", {"commit": "c"}, 10.0)

    def work() -> dict[str, Any]:
        raise raised

    assert not run.attempt("graph-fp16", work, nfe=2)
    (record,) = records_of(tmp_path / "gpu.jsonl")
    assert record == {
        "benchmark": "gpu",
        "item": "ratios",
        "status": status,
        "dry_run": True,
        "way": "graph-fp16",
        "nfe": 2,
        "reason": reason,
        "commit": "c",
    }


def test_without_a_gpu_the_real_run_says_so(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    run = Run("parity-tiny", Setting(False, tmp_path), tmp_path / "gpu.jsonl", {}, 10.0)
    for way in ("graph-fp16", "onnxruntime-cuda", "tensorrt-rtx", "tensorrt"):
        from anacrusis.benchmarks.gpu_subjects import open_way, tiny_subject

        assert not run.attempt(way, lambda way=way: open_way(way, tiny_subject(), run.setting) and {})
    records = records_of(tmp_path / "gpu.jsonl")
    assert [record["status"] for record in records] == ["not run"] * 4
    assert "torch sees no CUDA device" in records[0]["reason"]


# -- arithmetic ---------------------------------------------------------------------------------------------


def test_the_work_of_a_cycle_is_the_one_that_was_counted() -> None:
    assert cycle_gflop(stems=1, nfe=2, decode_frames=17) == pytest.approx(1486, abs=1)
    assert cycle_gflop(stems=1, nfe=16, decode_frames=17) == pytest.approx(6473, abs=1)


def test_quantiles_and_signal_to_noise() -> None:
    assert quantiles(list(range(1, 1002))) == {
        "p50": 501,
        "p95": 951,
        "p99": 991,
        "p99_9": 1000,
        "max": 1001,
        "n": 1001,
    }
    ones = np.ones(100, np.float32)
    assert snr_db(ones, ones) == 300.0
    assert snr_db(ones, ones * 1.01) == pytest.approx(40, abs=0.1)


def test_every_item_and_way_has_one_name() -> None:
    assert [name for name, _ in gpu.PLAN if name not in ITEMS] == []
    assert set(ITEMS) == {name for name, _ in gpu.PLAN}
    assert {"graph-fp16", "eager-fp32", "onnxruntime-cuda", "tensorrt-rtx"} <= set(WAYS)
