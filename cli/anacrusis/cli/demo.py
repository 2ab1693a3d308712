# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis demo`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from anacrusis.cli.auto import Playing, add_auto_options, auto_pace
from anacrusis.cli.common import add_backend_options, add_bundle_option, add_upgrade_options, bundle_of, step_bar

NIMBLE = (4, 2)  # step and lead in frames: what is played follows what is heard by half a second


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="hear it: a server and a performer as two processes, on the shipped clip, in real time",
        description="Writes context.wav, a WAV per stem, mix.wav, report.json, run.png and server.log.",
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="default: out/demo")
    parser.add_argument(
        "--stem", action="append", metavar="STEM", help="stem to write; repeat for several (default bass)"
    )
    parser.add_argument("--seconds", type=float, default=12.0, help="how long to play (default 12)")
    parser.add_argument(
        "--step-frames", type=int, help="step in the codec's frames (default 4 for a model trained for it, else 16)"
    )
    parser.add_argument(
        "--lead-frames", type=int, help="lead in frames (default 2 with a default step of 4, else w = 1)"
    )
    add_auto_options(parser)
    add_bundle_option(parser)
    add_backend_options(parser)
    add_upgrade_options(parser)
    parser.add_argument("--json", action="store_true", help="last line of stdout: the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from anacrusis.engine.bundle import Bundle
    from anacrusis.performer.demo import run_demo, serve_command
    from anacrusis.performer.live_report import summary
    from anacrusis.performer.plan import Plan

    path = bundle_of(options)
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    print(f"{manifest.name}: {manifest.licence.notice}", file=sys.stderr)
    stems = tuple(options.stem or ["bass"])
    rung = None if options.backend == "auto" else options.backend
    step, lead = auto_pace(options, Playing(manifest.name, bundle.hash, len(stems), rung, options.threads))
    if (step, lead) == (None, None) and sum(NIMBLE) in manifest.trained_masked_frames:
        step, lead = NIMBLE
    step = 16 if step is None else step
    plan = Plan(
        stems=stems,
        step_frames=step,
        lead_frames=step if lead is None else lead,
        seconds=options.seconds,
        loop=True,
    )
    plan.validate()
    threads = [] if options.threads is None else ["--threads", str(options.threads)]
    upgrade = ["--upgrade-to", options.upgrade_to, "--upgrade-after", str(options.upgrade_after)]
    command = serve_command(path, "--backend", options.backend, *threads, *upgrade)
    with step_bar("demo") as (on_wait, on_step):
        take, report, written = run_demo(options.out, command, plan, on_wait=on_wait, on_step=on_step)
    print(summary(take))
    for file in written:
        print(f"wrote {file}")
    if options.json:
        print(json.dumps(report, separators=(",", ":")))
    return 0 if take.complete else 130
