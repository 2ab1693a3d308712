# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis parity --golden DIR`"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

BACKENDS = ("torch", "onnxruntime")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "parity",
        help="every golden array of the original networks, through torch and ONNX Runtime",
        description="Compare every array of a golden directory, stage by stage, against the tolerance stated with it. "
        "Exit code 1 on any miss. Needs the `export` extra.",
    )
    parser.add_argument("--golden", type=Path, required=True, metavar="DIR", help="directory of golden arrays")
    parser.add_argument("--backend", choices=(*BACKENDS, "both"), default="both")
    parser.add_argument("--stage", action="append", help="only this stage; repeat for several")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="only the last line: the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from anacrusis.benchmarks.parity import run_parity

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    backends = BACKENDS if options.backend == "both" else (options.backend,)
    result = run_parity(options.golden, backends=backends, stages=options.stage, threads=options.threads, report=report)
    if not options.json:
        print(result.table())
    print(result.to_json())
    return 0 if result.passed else 1
