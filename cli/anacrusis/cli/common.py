# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from anacrusis.engine.ladder import RUNGS
from anacrusis.engine.paths import default_bundle


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="bundle to run (default: ANACRUSIS_BUNDLE, else the shipped one)"
    )


def bundle_of(options: argparse.Namespace) -> Path:
    """--bundle or the default. Raises BundleError where there is none."""
    path: Path = options.bundle or default_bundle()
    return path


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    names = ("auto", *(rung.name for rung in RUNGS))
    parser.add_argument("--backend", choices=names, default="auto", help="default: the first of the ladder that runs")
    parser.add_argument("--threads", type=int, help="intra-op threads (default: half of the cores)")
