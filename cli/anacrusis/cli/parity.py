# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis parity --golden DIR`, `--precision fp16`, `--rung NAME`, `--write-calibration-set DIR`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import AnacrusisError

BACKENDS = ("torch", "onnxruntime")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "parity",
        help="how far every stage is from what it should be: golden arrays, rungs, float16",
        description="--golden: compare every array of a golden directory, stage by stage, through torch and ONNX "
        "Runtime, against the tolerance stated with it. --rung: every stage and sampler row of a bundle on the rungs "
        "of this machine, against float32, on music and on hostile windows. --precision fp16: what every stage and row "
        "loses in float16, emulated on the CPU, for a bundle's networks, a golden directory's, or seeded ones of a "
        "size. --write-calibration-set: what every stage sees, as .npz with a recipe. Exit code 1 on any miss. Golden "
        "arrays and fp16 need the `export` extra.",
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
    half.add_argument(
        "--record",
        action="store_true",
        help="append to benchmarks/results; with --bundle keep it in the bundle's precision.json as well",
    )
    rungs = parser.add_argument_group("rungs of this machine (--bundle, --seed and --record as above)")
    rungs.add_argument(
        "--rung", action="append", metavar="NAME", help="all, or a rung of `anacrusis doctor`; repeatable"
    )
    rungs.add_argument("--window", action="append", help="only this window; repeat for several")
    rungs.add_argument("--songs", type=int, default=4, help="windows from the corpus generator, if it can play (4)")
    rungs.add_argument("--sampler-steps", type=int, metavar="N", help="(default: the bundle's own)")
    rungs.add_argument(
        "--write-calibration-set", type=Path, metavar="DIR", help="write the windows and every stage's arrays there"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.rung or options.write_calibration_set:
        if options.golden or options.precision == "fp16" or options.size:
            raise AnacrusisError(
                "--rung and --write-calibration-set take --bundle; leave out --golden and fp16's options"
            )
        _refuse(options, "fp32 or fp16", "backend", "stage", "kind", "signal", "plot")
        return _run_set(options) if options.write_calibration_set else _run_rungs(options)
    if options.precision == "fp16":
        _refuse(options, "fp32", "backend", "stage")
        _refuse(options, "fp32 with --rung", "window", "sampler_steps")
        return _run_half(options)
    _refuse(options, "fp16 or --rung", "window", "sampler_steps")
    _refuse(options, "fp16", "bundle", "size", "kind", "seed", "signal", "plot", "record")
    if options.golden is None:
        raise AnacrusisError("give --golden DIR, or --precision fp16, or --rung all for the rungs of this machine")
    from anacrusis.benchmarks.parity import run_parity

    backends = (options.backend,) if options.backend in BACKENDS else BACKENDS
    result = run_parity(
        options.golden, backends=backends, stages=options.stage, threads=options.threads, report=_report
    )
    if not options.json:
        print(result.table())
    print(result.to_json())
    return 0 if result.passed else 1


def _windows(options: argparse.Namespace, manifest: Any) -> Any:
    from anacrusis.benchmarks.windows import windows

    seed = options.seed or 0
    return windows(manifest, songs=options.songs, seed=seed, only=options.window, report=_report)


def _run_rungs(options: argparse.Namespace) -> int:
    from anacrusis.calib.precision_report import entries_of, keep, run_precision
    from anacrusis.cli.common import bundle_of
    from anacrusis.engine.bundle import Bundle

    bundle = Bundle.open(bundle_of(options))
    heard = {window.name: window.audio for window in _windows(options, bundle.manifest)}
    result = run_precision(
        bundle,
        heard,
        options.rung,
        threads=options.threads,
        seed=options.seed or 0,
        sampler_steps=options.sampler_steps,
        report=_report,
    )
    if options.record:
        from anacrusis.benchmarks.record import append_jsonl, conditions
        from anacrusis.benchmarks.results import PRECISION

        about = conditions(options.threads)
        append_jsonl(PRECISION, {**result.summary(), **about})
        _report(f"kept in {keep(bundle, entries_of(result, about))}")
    if not options.json:
        print("\n".join(result.lines()))
    print(json.dumps(result.summary(), separators=(",", ":"), allow_nan=False))
    return 0 if result.passed else 1


def _run_set(options: argparse.Namespace) -> int:
    from anacrusis.benchmarks.record import conditions
    from anacrusis.calib.precision_set import write_set
    from anacrusis.cli.common import bundle_of
    from anacrusis.engine.bundle import Bundle

    bundle = Bundle.open(bundle_of(options))
    found = _windows(options, bundle.manifest)
    recipe = write_set(
        bundle,
        {window.name: window.audio for window in found},
        options.write_calibration_set,
        sources={window.name: window.source for window in found},
        threads=options.threads,
        seed=options.seed or 0,
        sampler_steps=options.sampler_steps,
        about=conditions(options.threads),
        report=_report,
    )
    megabytes = sum(file["bytes"] for file in recipe["files"].values()) / 1e6
    if not options.json:
        print(f"{len(recipe['files'])} windows, {megabytes:.1f} MB, in {options.write_calibration_set}")
    print(json.dumps(recipe, separators=(",", ":")))
    return 0


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

        recorded = {**result.summary(), **conditions(options.threads, ("numpy", "torch"))}
        append_jsonl(RESULTS, recorded)
        if options.bundle is not None:
            from anacrusis.calib.precision_report import keep
            from anacrusis.engine.bundle import Bundle

            _report(f"kept in {keep(Bundle.open(options.bundle), {'emulated, float16': recorded})}")
    if not options.json:
        print(result.table())
    print(result.to_json())
    return 0 if result.passed else 1


def _refuse(options: argparse.Namespace, other: str, *names: str) -> None:
    for name in names:
        if getattr(options, name):
            option = name.replace("_", "-")
            raise AnacrusisError(f"--{option} belongs to --precision {other}; this is {options.precision}")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
