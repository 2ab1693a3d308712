# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis parity --golden DIR`, `anacrusis parity --precision fp16`"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import AnacrusisError

BACKENDS = ("torch", "onnxruntime")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "parity",
        help="every golden array of the original networks; what float16 loses",
        description="fp32 (the default): compare every array of a golden directory, stage by stage, through torch and "
        "ONNX Runtime, against the tolerance stated with it. fp16: what every stage and sampler row loses in float16, "
        "emulated on the CPU, for a bundle's networks, a golden directory's, or seeded ones of a size. Exit code 1 on "
        "any miss. Needs the `export` extra.",
    )
    parser.add_argument("--golden", type=Path, metavar="DIR", help="directory of golden arrays")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="only the last line: the report as JSON")
    wide = parser.add_argument_group("fp32")
    wide.add_argument("--backend", choices=(*BACKENDS, "both"))
    wide.add_argument("--stage", action="append", help="only this stage; repeat for several")
    half = parser.add_argument_group("fp16")
    half.add_argument(
        "--bundle", type=Path, help="its networks (the default where neither --golden nor --size is given)"
    )
    half.add_argument("--size", choices=("tiny", "full"), help="seeded networks; full takes many minutes")
    half.add_argument("--kind", action="append", choices=("cd", "diffusion"), help="of --golden or --size; repeatable")
    half.add_argument("--seed", type=int, help="of the weights of --size, and of the noise (default 0)")
    half.add_argument("--signal", action="append", help="only this signal; repeat for several")
    half.add_argument("--plot", type=Path, metavar="FILE", help="draw SNR per row, .png or .svg")
    half.add_argument("--record", action="store_true", help="append to benchmarks/results/half.jsonl")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.precision == "fp16":
        _refuse(options, "fp32", "backend", "stage")
        return _run_half(options)
    _refuse(options, "fp16", "bundle", "size", "kind", "seed", "signal", "plot", "record")
    if options.golden is None:
        raise AnacrusisError("give --golden DIR, or --precision fp16 for what float16 loses")
    from anacrusis.benchmarks.parity import run_parity

    backends = (options.backend,) if options.backend in BACKENDS else BACKENDS
    result = run_parity(
        options.golden, backends=backends, stages=options.stage, threads=options.threads, report=_report
    )
    if not options.json:
        print(result.table())
    print(result.to_json())
    return 0 if result.passed else 1


def _run_half(options: argparse.Namespace) -> int:
    from anacrusis.benchmarks.half import RESULTS, run_half

    if options.plot is not None:
        from anacrusis.performer.plot import require_drawable

        require_drawable(options.plot)
    result = run_half(
        bundle=options.bundle,
        golden=options.golden,
        size=options.size,
        kinds=options.kind,
        only=options.signal,
        seed=options.seed or 0,
        threads=options.threads,
        report=_report,
    )
    if options.plot is not None:
        from anacrusis.benchmarks.half_plot import plot_half

        plot_half(options.plot, result)
    if options.record:
        from anacrusis.benchmarks.record import append_jsonl, conditions

        append_jsonl(RESULTS, {**result.summary(), **conditions(options.threads, ("numpy", "torch"))})
    if not options.json:
        print(result.table())
    print(result.to_json())
    return 0 if result.passed else 1


def _refuse(options: argparse.Namespace, other: str, *names: str) -> None:
    for name in names:
        if getattr(options, name):
            raise AnacrusisError(f"--{name} belongs to --precision {other}; this is {options.precision}")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
