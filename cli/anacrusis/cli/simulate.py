# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis simulate IN --stem bass --out OUT.wav`"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from anacrusis.cli.common import (
    add_backend_options,
    add_bundle_option,
    add_pace_options,
    bundle_of,
    pace_arguments,
    step_bar,
)


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "simulate",
        help="write the missing stem of a recording, as the live cycle would",
        description="The live cycle without sockets: the context is unheard beyond `now`. Any rate, any channels, any "
        "length; the output has the input's rate and length. With several stems, one file each: OUT-bass.wav ...",
    )
    parser.add_argument("input", type=Path, metavar="IN", help="recording of the band (WAV, FLAC, AIFF)")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.wav", help="where to write the stem")
    parser.add_argument(
        "--stem", action="append", metavar="STEM", help="stem to write; repeat for several (default bass)"
    )
    add_bundle_option(parser)
    add_backend_options(parser)
    add_pace_options(parser, "as the paper's r and w, or in frames or samples of the codec", "the bundle's window")
    parser.add_argument("--fade-samples", type=int, default=882, help="crossfade of the player (default 882, 20 ms)")
    parser.add_argument("--context-tail-samples", type=int, default=0, help="must be heard beyond a frame to use it")
    parser.add_argument("--sampler-steps", type=int, help="override the bundle's (consistency: 1 or 2)")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument(
        "--compat", choices=("native", "upstream"), default="native", help="upstream: the original's cycle"
    )
    parser.add_argument("--mix", type=Path, metavar="MIX.wav", help="also write the input plus the stems")
    parser.add_argument("--png", type=Path, help="also draw the run (.png or .svg)")
    parser.add_argument("--json", action="store_true", help="last line of stdout: the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from anacrusis.engine.engine import Engine
    from anacrusis.performer.files import read_recording, require_writable
    from anacrusis.performer.plot import plot_simulation, require_drawable
    from anacrusis.performer.simulate import simulate
    from anacrusis.performer.write import stem_paths, write_outputs

    stems = options.stem or ["bass"]
    recording = read_recording(options.input)
    paths = stem_paths(options.out, stems)
    if options.mix is not None:
        require_writable(options.mix)
    if options.png is not None:
        require_drawable(options.png)
    engine = Engine.open(
        bundle_of(options),
        backend=options.backend,
        stems=stems,
        **pace_arguments(options),
        fade_samples=options.fade_samples,
        context_tail_samples=options.context_tail_samples,
        sampler_steps=options.sampler_steps,
        seed=options.seed,
        threads=options.threads,
        compat=options.compat,
        keep_latents=options.png is not None,
    )
    manifest = engine.bundle.manifest
    print(f"{manifest.name} on {engine.backend.name}: {manifest.licence.notice}", file=sys.stderr)
    context = recording.mono(manifest.sample_rate_hz)
    with engine, step_bar("simulate") as (_, on_step):
        result = simulate(engine, context, on_step=on_step)
    written = write_outputs(recording, result, paths, mix=options.mix)
    if options.png is not None:
        lead_ms = 1e3 * result.lead_samples / result.sample_rate_hz
        step_ms = 1e3 * result.step_samples / result.sample_rate_hz
        title = (
            f"{manifest.name} on {engine.backend.name}: {options.input.name}, "
            f"step {step_ms:.0f} ms, lead {lead_ms:.0f} ms ({options.compat})"
        )
        plot_simulation(options.png, result, context, title)
        written.append(options.png)
    report = {
        "bundle": manifest.name,
        "bundle_sha256": engine.bundle.hash,
        "backend": engine.backend.name,
        "compat": options.compat,
        **result.report(),
        "files": [str(path) for path in written],
    }
    compute = report["compute_ms"]
    print(
        f"{report['steps']} steps of {report['step_ms']:.1f} ms, lead {report['lead_ms']:.1f} ms, {report['nfe']} NFE: "
        "compute " + ", ".join(f"{name} {value:.1f}" for name, value in compute.items()) + " ms"
    )
    late = report["steps_late_if_live"]
    if late:
        print(f"live, {late} of {report['steps']} steps would be late: the lead leaves {report['deadline_ms']:.1f} ms")
    for path in written:
        print(f"wrote {path}")
    if options.json:
        print(json.dumps(report, separators=(",", ":")))
    return 0
