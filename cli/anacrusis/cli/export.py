# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis export --model last.ckpt --codec music2latent.pt --out BUNDLE`"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import BundleError, MissingExtraError


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="checkpoint -> bundle (needs the `export` extra)",
        description="Read a released checkpoint and the codec's weights, without running any code from them, and write "
        "a bundle; or, with --seeded, a bundle of untrained networks of the same topology.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, metavar="last.ckpt", help="Lightning checkpoint or .safetensors")
    source.add_argument("--seeded", choices=("tiny", "full"), help="untrained networks of this size")
    source.add_argument("--copying", action="store_true", help="the bundle that copies: a ruler for placement")
    parser.add_argument("--codec", metavar="music2latent.pt", help="codec weights; `music2latent`: the package's own")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="directory to make")
    parser.add_argument("--kind", choices=("auto", "diffusion", "cd"), default="auto", help="default: from the keys")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="what the networks compute in")
    parser.add_argument(
        "--weights", choices=("fp32", "fp16"), help="how weights are stored (default: as they compute; tiny: fp16)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of --seeded")
    parser.add_argument("--threads", type=int, default=1, help="of the verification")
    parser.add_argument("--force", action="store_true", help="replace the bundle at --out")
    parser.add_argument(
        "--verify", action=argparse.BooleanOptionalAction, default=True, help="run the graphs against torch"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    begin = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - begin:7.1f} s  {line}", flush=True)  # stderr is for the one line of an error

    if options.model is not None and options.codec is None:
        raise BundleError("--model needs --codec: the path of music2latent.pt, or `music2latent` for the package's own")
    try:
        if options.copying:
            from anacrusis.export.copying import write_copying_bundle

            write_copying_bundle(options.out, force=options.force)
            print(f"wrote {options.out}")
            return 0
        from anacrusis.export.checkpoint import Kind
        from anacrusis.export.export import Options, PrecisionName, export_checkpoint, export_seeded
    except ImportError as error:
        raise MissingExtraError(f"export needs its extra ({error.name}): pip install 'anacrusis[export]'") from None
    stored: PrecisionName | None = options.weights or ("fp16" if options.seeded == "tiny" else None)
    settings = Options(options.precision, stored, options.verify, options.force, options.threads)
    if options.seeded is not None:
        kind: Kind = "cd" if options.kind == "auto" else options.kind
        manifest = export_seeded(options.seeded, kind, options.seed, options.out, options=settings, report=report)
    else:
        manifest = export_checkpoint(
            options.model, options.codec, options.out, kind=options.kind, options=settings, report=report
        )
    for stage, result in manifest.verification.get("stages", {}).items():
        print(f"{stage:<8} max |error| {result['max_abs_error']:.2e}  SNR {result['snr_db'] or float('inf'):.1f} dB")
    print(f"wrote {options.out} ({manifest.name}); {manifest.licence.notice}")
    return 0
