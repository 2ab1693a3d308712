# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's first table on this machine: five stages and the full cycle at r = .25, both models, NFE beside them.

    anacrusis bench table1 [--bundle DIR ...] [--cycles N] [--png FILE]

Columns: ours (the rung under test), the yardstick of the same run, their ratio at equal NFE, and what the paper reports
(`paper.py`: ranges over its four set-ups, for its four columns are not known here). The transfers are ours on both
sides: the yardstick is the original's compute, not its sockets.

Not covered: see `tables.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from anacrusis.benchmarks import tables
from anacrusis.benchmarks.paper import SOURCE, TABLE_1_R, notes
from anacrusis.benchmarks.record import columns
from anacrusis.benchmarks.tables_plot import plot_stages
from anacrusis.engine.paths import REPOSITORY

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "table1.jsonl"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench table1", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables.add_options(parser)
    return parser


def lines(row: dict[str, Any]) -> list[str]:
    """One model's table, for people."""
    told = f"{row['bundle']} ({row['model']}), {row['nfe']} NFE, r = {row['r']:g}, one stem, {row['backend']}"
    out = [told, *columns(tables.stage_lines(row), right=(1, 2, 3))]
    what = row["yardstick_is"] or f"none ({row['no_yardstick']})"
    return [*out, f"yardstick: {what}", f"paper: {SOURCE}; {notes(row['model'])}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """As `tables.run`."""

    def show(rows: list[dict[str, Any]]) -> str:
        return "\n\n".join("\n".join(lines(row)) for row in rows)

    return tables.run("table1", build_parser().parse_args(arguments), [TABLE_1_R], RESULTS, show, plot_stages)


if __name__ == "__main__":
    sys.exit(main())
