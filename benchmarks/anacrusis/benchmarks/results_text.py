# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the sections of RESULTS.md share: the newest of each measurement, tables, and the conditions under them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from anacrusis.benchmarks import history

Record = dict[str, Any]


def newest(records: Sequence[Record], fields: Sequence[str] = history.SAME) -> list[Record]:
    """The last of each measurement, in the order the measurements first came."""
    found: dict[str, Record] = {}
    for record in records:
        found[json.dumps([record.get(name) for name in fields])] = record
    return list(found.values())


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first row is the head."""
    head, *rest = rows
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest)]


def measured_with(records: Sequence[Record]) -> list[str]:
    """A line for every set of conditions (machine, libraries, commit, day), with the loads and the stolen time seen."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        gpus = f", {', '.join(record['gpus'])} (CUDA driver {record['cuda_driver']})" if record.get("gpus") else ""
        names = ("onnxruntime", "torch", "numpy")
        libraries = ", ".join(f"{name} {record[name]}" for name in names if record.get(name))
        threads = f", {record['threads']} thread(s)" if record["threads"] else ""
        changed = "+" if record.get("changed_files") else ""
        text = (
            f"Measured on {record['machine']}, {record['cores']} cores{gpus}{threads}; Python "
            f"{record['python']}, {libraries}; commit {record['commit']}{changed}, {str(record['date'])[:10]}"
        )
        groups.setdefault(text, []).append(record)
    out = [""]
    for text, found in groups.items():
        loads = [record["load_1min"] for record in found if record.get("load_1min") is not None]
        stolen = [record["stolen_share"] for record in found if record.get("stolen_share") is not None]
        load = f"; load before {min(loads):g} to {max(loads):g}" if loads else ""
        host = f"; the host stole at most {max(stolen):.2%} of the processor time" if stolen else ""
        out.append(f"{text}{load}{host}.")
    return out


def interval(values: list[float | None] | None) -> str:
    if values is None or values[0] is None:
        return "-"
    value, low, high = values[:3]
    return f"{value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None else "")
