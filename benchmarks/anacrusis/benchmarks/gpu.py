# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that must be measured on a GPU, in one run of under eight minutes; what is worth most comes first.

    benchmarks/gpu.sh WHEELS_DIR                      a bare machine: no network, wheels from a folder
    python -m anacrusis.benchmarks.gpu [--onnx DIR]   a machine where everything is installed
    python -m anacrusis.benchmarks.gpu --dry-run      every step on a CPU, with the tiny bundle and doubles

Each item runs in a process of its own with a time of its own, so that a crash or a hang loses that item only; every
record is written when it is made. What a machine lacks is a record with the reason. The last line of stdout is one
JSON object. `gpu_items.py` says what is measured and how, `gpu_report.py` makes tables and plots of the records.

Not covered: comparing two cards in one run; choosing a card (CUDA_VISIBLE_DEVICES does).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anacrusis.benchmarks.gpu_report import read_records, table_lines
from anacrusis.benchmarks.record import append_jsonl, conditions
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.engine.plans.device import find_cards

TOTAL_S = 460.0
NO_TIME = "the time is up"
# Item and the seconds it may take, most valuable first. What is left over goes to those below.
PLAN: tuple[tuple[str, float], ...] = (
    ("weights", 60),
    ("rtx-default", 40),
    ("rtx-current", 40),
    ("rtx-sm80", 40),
    ("tensorrt-tiny", 45),
    ("parity-tiny", 45),
    ("ratios", 75),
    ("grid", 60),
    ("parity-full", 45),
    ("soak", 120),
    ("compile-graph", 110),
    ("export", 120),
    ("onnxruntime-full", 40),
    ("tensorrt-full", 90),
    ("compile", 110),
)
LIBRARIES = (
    "numpy",
    "torch",
    "triton",
    "nvidia-cudnn-cu13",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt-rtx-cu13-bindings",
    "tensorrt-cu13-bindings",
    "cuda-bindings",
)
CARD = ("name", "driver_version", "compute_cap", "memory.total", "clocks.max.sm", "power.limit")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child process ended. reason: None where it ended well."""

    reason: str | None
    seconds: float


def attempt(command: Sequence[str], limit_s: float, environment: dict[str, str] | None = None) -> Ended:
    """Run one command, its output to stderr, and end it with all it started when its time is up."""
    begin = time.monotonic()
    process = subprocess.Popen(
        list(command),
        stdout=sys.stderr.fileno() if hasattr(sys.stderr, "fileno") else subprocess.DEVNULL,
        env=environment,
        start_new_session=os.name != "nt",
    )
    reason = None
    try:
        code = process.wait(timeout=limit_s)
        if code:
            reason = f"its process ended with code {code}"
    except subprocess.TimeoutExpired:
        reason = f"stopped after {limit_s:.0f} s"
    finally:
        _end(process)
    return Ended(reason, time.monotonic() - begin)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and, where there are process groups, whatever it left running."""
    if os.name != "nt":
        import signal

        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def card() -> dict[str, str]:
    """What nvidia-smi says of the first card, else what the driver does; empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        first = find_cards().first
        return {} if first is None else {"name": first.name, "compute_cap": f"{first.sm // 10}.{first.sm % 10}"}
    command = [tool, f"--query-gpu={','.join(CARD)}", "--format=csv,noheader", "-i", "0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout.strip() else []
    return dict(zip((name.replace(".", "_") for name in CARD), values, strict=False))


def facts() -> dict[str, Any]:
    """What every record of this run says of the machine."""
    known = conditions(int(os.environ.get("ANACRUSIS_THREADS", "0")), LIBRARIES)
    known["commit"] = known["commit"] or os.environ.get("ANACRUSIS_COMMIT", "")
    return {**known, "gpu": card() or None}


def run_items(names: Sequence[str], options: argparse.Namespace) -> int:
    """In this process: what a child does. Returns how many records were written."""
    from anacrusis.benchmarks.gpu_items import ITEMS
    from anacrusis.benchmarks.gpu_run import Run
    from anacrusis.benchmarks.gpu_subjects import NotRunError, Setting

    setting = Setting(options.dry_run, options.scratch, options.onnx)
    known, written = facts(), 0
    for name in names:
        run = Run(name, setting, options.out, known, options.seconds)
        try:
            ITEMS[name](run)
        except NotRunError as reason:
            run.record("not run", reason=str(reason))
        except AnacrusisError as reason:
            run.record("failed", reason=str(reason))
        except Exception as error:
            run.record("failed", reason=" ".join(f"{type(error).__name__}: {error}".split())[:300])
        written += run.records
    return written


def child(names: Sequence[str], options: argparse.Namespace, seconds: float, scratch: Path) -> list[str]:
    command = [sys.executable, "-m", "anacrusis.benchmarks.gpu", "--child", ",".join(names)]
    command += ["--out", str(options.out), "--scratch", str(scratch), "--seconds", f"{seconds:.1f}"]
    exported = scratch / "full-cd-fp16"
    onnx = options.onnx if options.onnx is not None else exported if exported.is_dir() else None
    return [*command, *(["--onnx", str(onnx)] if onnx else []), *(["--dry-run"] if options.dry_run else [])]


def drive(options: argparse.Namespace) -> dict[str, Any]:
    """The whole plan, or the items chosen. Returns the summary."""
    began = time.monotonic()
    known = facts()
    earlier = len(read_records(options.out))
    ended: dict[str, str] = {}
    chosen = [(name, limit) for name, limit in PLAN if not options.items or name in options.items.split(",")]
    with tempfile.TemporaryDirectory(prefix="anacrusis-gpu-") as folder:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "inductor")}
        # One process for all of a dry run: what is dry-run is the items, and torch takes seconds to import.
        steps = [([name for name, _ in chosen], options.seconds)] if options.dry_run else [([n], s) for n, s in chosen]
        for names, limit in steps:
            left = options.seconds - (time.monotonic() - began)
            seconds = min(limit, left)
            label = ", ".join(names)
            if seconds < 4:
                outcome = Ended(NO_TIME, 0.0)
            else:
                print(f"{time.monotonic() - began:6.1f} s  {label}", file=sys.stderr, flush=True)
                # The child stops by itself a little earlier, so that it can still say so.
                command = child(names, options, seconds - min(3.0, 0.1 * seconds), Path(folder))
                outcome = attempt(command, seconds, environment)
            ended[label] = outcome.reason or f"{outcome.seconds:.1f} s"
            if outcome.reason is not None:
                status = "not run" if outcome.reason == NO_TIME else "failed"
                record = {"benchmark": "gpu", "item": label, "status": status, "reason": outcome.reason}
                append_jsonl(options.out, {**record, **({"dry_run": True} if options.dry_run else {}), **known})
    records = read_records(options.out)[earlier:]
    by_status = {status: sum(r["status"] == status for r in records) for status in ("ok", "failed", "not run")}
    print("\n".join(table_lines(records)))
    return {
        "file": str(options.out),
        "records": len(records),
        **by_status,
        "items": ended,
        "seconds": round(time.monotonic() - began, 1),
        "gpu": known["gpu"],
        "commit": known["commit"],
        **({"dry_run": True} if options.dry_run else {}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, with the tiny bundle; proves that it runs")
    parser.add_argument("--onnx", type=Path, help="a full-size bundle that was exported before (saves 100 s)")
    parser.add_argument("--items", help=f"some of {', '.join(name for name, _ in PLAN)} (comma between)")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="for everything")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "gpu" / "gpu.jsonl", help="JSONL to append to")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set((options.items or "").split(",")) - {name for name, _ in PLAN} - {""}
    if unknown:
        parser.error(f"unknown item {sorted(unknown)[0]}; choose from {', '.join(name for name, _ in PLAN)}")
    if options.onnx is not None and not (options.onnx / "manifest.json").is_file():
        parser.error(f"{options.onnx} is not a bundle")
    if options.child:
        run_items(options.child.split(","), options)
        return 0
    summary = drive(options)
    print(json.dumps(summary, separators=(",", ":")))
    # On a card a failed item is a result; a dry run is there to show that nothing fails.
    return 1 if options.dry_run and summary["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
