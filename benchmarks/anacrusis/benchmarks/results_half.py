# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md, plans and float16: what TensorRT-RTX makes of the graphs, and what half precision costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from anacrusis.benchmarks.results_text import Record, markdown, measured_with
from anacrusis.engine.paths import REPOSITORY

BEFORE: Final = REPOSITORY / "benchmarks" / "layers" / "before.json"


def fusion(records: Sequence[Record]) -> list[str]:
    """Kernels of every full-size stage, for every card; the newest count."""
    record = records[-1]
    before = json.loads(BEFORE.read_text(encoding="utf-8"))
    targets = list(dict.fromkeys(row["target"] for row in record["results"]))
    by_name: dict[str, dict[str, Record]] = {}
    for row in record["results"]:
        frames = row["dims"].get("frames")
        name = row["stage"] + (f", {frames} frame{'s' if frames > 1 else ''}" if row["stage"] == "decode" else "")
        by_name.setdefault(name, {})[row["target"]] = row
    note = (
        "Kernels of the full-size float16 stages, one stem, built with TensorRT-RTX "
        f"{record['tensorrt-rtx-cu13-bindings']} on two cores without a card ({record['total_s']:.0f} s for all of it, "
        f"tracing included; {record['peak_memory_bytes'] / 1e9:.1f} GB). Before: a plain float16 export of the same "
        "networks, SM 89 (decode: 17 frames). Nothing convolves or multiplies matrices in float32 but the transforms. "
        "Fewer kernels are fewer launches; what that is worth in time only a card tells."
    )
    lines = [["stage", "before", *(f"{target[:2].upper()} {target[2:]}" for target in targets), "plan", "build"]]
    for name, by_target in by_name.items():
        some = by_target["sm89"]
        counts = [str(by_target[target]["kernels"]) for target in targets]
        size, seconds = f"{some['plan_bytes'] / 1e6:.0f} MB", f"{some['build_s']:.0f} s"
        lines.append([name, str(before[some["stage"]]), *counts, size, seconds])
    return ["", note, "", *markdown(lines), *measured_with([record])]


def _networks(record: Record) -> str:
    """What was measured: "full, seed 1: cd, 1 NFE; cd, 2 NFE"."""
    runs = dict.fromkeys(r["run"] for r in record["rows"] if r["stage"] == "final")
    return f"{record['source']}: {'; '.join(runs)}"


def half(records: Sequence[Record]) -> list[str]:
    """dB of emulated float16, stage by stage; the newest of each networks."""
    rows = {_networks(record): record for record in records}
    heads = ["networks", "signals", "encode", "denoise, worst row", "final latent", "decode", "not finite"]
    lines = [[*heads, "largest value"]]
    for source, record in rows.items():
        worst: dict[str, float] = {}
        for row in record["rows"]:
            if row["worst_db"] is not None:
                worst[row["stage"]] = min(row["worst_db"], worst.get(row["stage"], row["worst_db"]))
        largest = max((row["largest"] or 0.0) for row in record["rows"])
        signals = max(len(row["by_signal_db"]) for row in record["rows"] if row["stage"] != "embed")
        cells = [f"{worst[s]:.1f}" if s in worst else "-" for s in ("encode", "denoise", "final", "decode")]
        lines.append([source, str(signals), *cells, str(record["nonfinite"]), f"{largest:.0f} of 65,504"])
    note = (
        "Emulated operator by operator (every result rounded, overflow kept, sums in float32): dB from the float32 "
        "networks on the same audio and noise, the worst over the signals. Goal: 40 dB on the final latent, nothing "
        "that is not finite."
    )
    return ["", note, "", *markdown(lines), *measured_with(list(rows.values()))]
