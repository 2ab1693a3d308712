# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def add_upgrade_options(parser: argparse.ArgumentParser) -> None:
    names = ("auto", "none", *(rung.name for rung in RUNGS))
    parser.add_argument(
        "--upgrade-to",
        choices=names,
        default="auto",
        help="prepare it while the first one plays, then switch (default: a better one, unless --backend names one)",
    )
    parser.add_argument(
        "--upgrade-after", type=float, default=0.0, metavar="SECONDS", help="begin to prepare that far into the song"
    )


def add_pace_options(parser: argparse.ArgumentParser, text: str, window: str) -> Any:
    """The paper's r and w, or steps and leads in frames or samples. window: what T is unless given; the group."""
    pace = parser.add_argument_group("pace", text)
    pace.add_argument("--r", type=float, help="step ratio: step = trunc(r * T) (default 0.25)")
    pace.add_argument("--w", type=float, default=1.0, help="look-ahead: lead = trunc(w * r * T) (default 1)")
    pace.add_argument("--window-samples", type=int, metavar="T", help=f"T (default: {window})")
    pace.add_argument("--step-frames", type=int)
    pace.add_argument("--step-samples", type=int)
    pace.add_argument("--lead-frames", type=int)
    pace.add_argument("--lead-samples", type=int)
    return pace


def pace_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_pace_options` added, as `Engine.open` and `make_pace` take it."""
    names = ("step_frames", "step_samples", "lead_frames", "lead_samples", "r", "w", "window_samples")
    return {name: getattr(options, name) for name in names}


@contextmanager
def step_bar(name: str) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """A progress bar of steps on stderr, as (on_wait(text), on_step(done, total))."""
    from tqdm import tqdm

    with tqdm(unit="step", desc=name, file=sys.stderr) as bar:

        def on_step(done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str("", refresh=False)
            bar.update(done - bar.n)

        yield bar.set_postfix_str, on_step
