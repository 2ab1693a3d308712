# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis doctor`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from anacrusis.cli.common import add_bundle_option


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="what this machine can run, and why not more",
        description="Versions, cores, the ladder of backends with each refusal's reason, the bundle's hashes. "
        "Exit code 1 where nothing can run or the bundle is damaged.",
    )
    add_bundle_option(parser)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from anacrusis.engine.doctor import diagnose
    from anacrusis.engine.errors import BundleError
    from anacrusis.engine.paths import default_bundle

    bundle: Path | None = options.bundle
    if bundle is None:
        try:
            bundle = default_bundle()
        except BundleError:
            bundle = None
    diagnosis = diagnose(bundle)
    print(json.dumps(diagnosis.to_dict(), separators=(",", ":")) if options.json else "\n".join(diagnosis.lines()))
    return 0 if diagnosis.healthy else 1
