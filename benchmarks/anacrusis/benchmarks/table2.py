# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's second table on this machine: r from .25 down to 1/64, and whether each runs in real time.

    anacrusis bench table2 [--bundle DIR ...] [--cycles N] [--png FILE]

RT is the paper's condition, a full cycle within its step: "yes" where the slowest cycle measured kept it, "p50 only"
where just the median did, which is what an average would call yes. The last columns say what the paper's two smallest
ratios make of the same r.

Not covered: leads. RT here says that steps do not pile up, not that a shorter lead than a step would be met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from anacrusis.benchmarks import tables
from anacrusis.benchmarks.paper import TABLE_2_R
from anacrusis.benchmarks.record import columns
from anacrusis.benchmarks.tables_plot import plot_ratios
from anacrusis.engine.paths import REPOSITORY

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "table2.jsonl"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench table2", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables.add_options(parser)
    parser.add_argument("--r", type=float, action="append", help="repeatable (default: the paper's five)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """As `tables.run`."""

    def show(rows: list[dict[str, Any]]) -> str:
        return "\n".join(columns(tables.ratio_lines(rows), right=(1, 2, 3, 4, 6, 8)))

    options = build_parser().parse_args(arguments)
    return tables.run("table2", options, options.r or TABLE_2_R, RESULTS, show, plot_ratios)


if __name__ == "__main__":
    sys.exit(main())
