# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of what `gpu.py` recorded; only of what was measured, and a dry run says that it is one.

    python -m anacrusis.benchmarks.gpu_report FILE.jsonl [--png DIR] [--markdown]

Not covered: several machines in one table (give one file each).
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
STAGES = ("encode", "denoise", "decode")


def read_records(path: Path) -> list[Record]:
    """Every line that is a record of `gpu.py`; a line cut off by a killed process is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("benchmark") == "gpu":
            found.append(record)
    return found


def title(records: Sequence[Record]) -> str:
    """The card and its libraries, in one line."""
    some = records[-1]
    gpu = some.get("gpu") or {}
    where = f"{gpu['name']}, driver {gpu.get('driver_version')}" if gpu else some.get("machine", "unknown machine")
    libraries = [
        f"{name} {some[name]}" for name in ("torch", "onnxruntime-gpu", "tensorrt-rtx-cu13-bindings") if some.get(name)
    ]
    dry = "DRY RUN on a CPU, its times mean nothing: " if some.get("dry_run") else ""
    return f"{dry}{where}; {', '.join(libraries)}; commit {some.get('commit') or 'unknown'}"


def table_lines(records: Sequence[Record]) -> list[str]:
    """A line a record, grouped by item; milliseconds are p50 / p95 / p99 / max of the whole cycle."""
    if not records:
        return ["nothing was recorded"]
    lines = [title(records)]
    item = None
    for record in records:
        if record["item"] != item:
            item = record["item"]
            lines.append(f"{item}:")
        lines.append("  " + describe(record))
    return lines


def describe(record: Record) -> str:
    """One record in one line."""
    parts = [str(record.get("way", "")).ljust(20)]
    parts += [f"{name} {record[name]}" for name in ("target", "step", "nfe", "step_frames", "stems") if name in record]
    if record["status"] != "ok":
        return " ".join([*parts, f"{record['status']}: {record.get('reason', '')}"])
    if "cycle_ms" in record:
        cycle = record["cycle_ms"]
        parts.append(" / ".join(f"{cycle[q]:.2f}" for q in ("p50", "p95", "p99", "max")) + f" ms of {cycle['n']}")
    if "stages_ms" in record:
        stages = " + ".join(f"{record['stages_ms'][stage]['p50']:.2f}" for stage in STAGES)
        parts.append(f"({stages})")
    for base, ratio in (record.get("speedup_over") or {}).items():
        parts.append(f"{ratio:.2f}x {base}")
    if record.get("tflops"):
        share = f", {100 * record['share_of_peak']:.0f} % of peak" if record.get("share_of_peak") else ""
        parts.append(f"{record['tflops']:.1f} TFLOP/s{share}")
    if "latent_snr_db" in record:
        parts.append(f"latent {record['latent_snr_db']:.1f} dB, audio {record['audio_snr_db']:.1f} dB")
    parts += [f"{record[name]} s" for name in ("seconds", "bind_and_warm_s") if name in record]
    return " ".join(parts)


def markdown(records: Sequence[Record]) -> list[str]:
    """The cycles as a table for docs/gpu-log.md."""
    rows = [
        f"{title(records)}",
        "",
        "| item | way | NFE | decode frames | stems | p50 | p95 | p99 | max | n | speed-up |",
    ]
    rows.append("|---" * 11 + "|")
    for record in records:
        if record["status"] != "ok" or "cycle_ms" not in record:
            continue
        cycle = record["cycle_ms"]
        figures = " | ".join(f"{cycle[q]:.2f}" for q in ("p50", "p95", "p99", "max"))
        speed = ", ".join(f"{v:.2f}x {k}" for k, v in (record.get("speedup_over") or {}).items())
        shape = " | ".join(str(record.get(name, "")) for name in ("nfe", "decode_frames", "stems"))
        rows.append(f"| {record['item']} | {record['way']} | {shape} | {figures} | {cycle['n']} | {speed} |")
    return rows


def plot(records: Sequence[Record], folder: Path) -> list[Path]:
    """One picture of the ways side by side, one of the grid; of what there is. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "ways": {f"{r['way']} ({r['item']})": r for r in records if r.get("speedup_over")},
        "grid": {
            f"NFE {r['nfe']}, step {r['step_frames']}, {r['stems']} stem(s)": r
            for r in records
            if r["item"] == "grid" and r["status"] == "ok"
        },
    }
    made = []
    for name, chosen in pictures.items():
        if not chosen:
            continue
        figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.35 * len(chosen)), layout="constrained")
        rows, left = list(range(len(chosen))), [0.0] * len(chosen)
        for stage in STAGES:
            widths = [r["stages_ms"][stage]["p50"] for r in chosen.values()]
            axes.barh(rows, widths, left=left, label=stage)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.plot([r["cycle_ms"]["p50"] for r in chosen.values()], rows, "k|", ms=12, label="whole cycle")
        axes.set_yticks(rows, list(chosen))
        axes.invert_yaxis()
        axes.set_xlabel("ms, p50")
        axes.set_title(textwrap.fill(title(records), 120), fontsize=7, loc="right")
        axes.legend()
        made.append(folder / f"gpu-{name}.png")
        figure.savefig(made[-1], dpi=120)
        pyplot.close(figure)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--png", type=Path, help="directory for the plots")
    parser.add_argument("--markdown", action="store_true", help="a table for docs/gpu-log.md")
    options = parser.parse_args(arguments)
    records = read_records(options.file)
    if not records:
        print(f"{options.file} holds no record of benchmarks/gpu.sh", file=sys.stderr)
        return 2
    print("\n".join(markdown(records) if options.markdown else table_lines(records)))
    if options.png is not None:
        for path in plot(records, options.png):
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
