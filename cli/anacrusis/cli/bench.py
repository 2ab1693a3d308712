# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis bench NAME`: hands the rest of the line to a benchmark's own command."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

# Name -> (module of `anacrusis.benchmarks`, what it answers).
BENCHMARKS = {
    "table1": ("table1", "the five stages and the full cycle at r = .25, beside the paper's"),
    "table2": ("table2", "r from .25 to 1/64: real time, or not"),
    "sweep": ("sweep", "r by lead by stems by evaluations by rung"),
    "lead": ("least_lead", "the calibrated lead in real time, and half of it"),
    "soak": ("soak", "minutes or hours live: late, dropped, concealed, memory"),
    "net": ("net", "bad networks: what comes whole, what is heard as silence"),
    "profile": ("profile", "which operators ONNX Runtime's time goes to"),
    "history": ("history", "what was recorded, commit by commit"),
    "results": ("results", "rewrite benchmarks/RESULTS.md and its plots from what was recorded"),
}


def add_parser(commands: Any) -> None:
    width = max(map(len, BENCHMARKS))
    listed = "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in BENCHMARKS.items())
    parser = commands.add_parser(
        "bench",
        help="the paper's tables and ours, measured here",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure, print a table, append to benchmarks/results; the last line of stdout is JSON.",
        epilog=f"{listed}\n\n`anacrusis bench NAME --help` lists the options of one.",
    )
    parser.add_argument("name", choices=tuple(BENCHMARKS), metavar="NAME", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own options")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    module = importlib.import_module(f"anacrusis.benchmarks.{BENCHMARKS[options.name][0]}")
    code: int = module.main(options.arguments)
    return code
