# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis build BUNDLE`"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anacrusis.cli.common import add_pace_options, pace_arguments

if TYPE_CHECKING:
    from anacrusis.engine.plans.planner import Done, Job
    from anacrusis.engine.plans.progress import Progress


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "build",
        help="build a bundle's TensorRT plans, with or without a card",
        description="Has every plan that a pace and its stems need: from the cache, or built now. TensorRT-RTX builds "
        "for any of its cards on any Linux or Windows machine. Ctrl-C leaves nothing half-written.",
    )
    parser.add_argument(
        "bundle", type=Path, nargs="?", metavar="BUNDLE", help="(default: ANACRUSIS_BUNDLE, else shipped)"
    )
    parser.add_argument(
        "--target",
        default="auto",
        metavar="TARGET",
        help="auto, sm75, sm80, sm86, sm89, sm120 or all (default auto: this machine's card; without one, the plan "
        "that sm80, sm86, sm89 and sm120 share; all: that one and Turing's)",
    )
    parser.add_argument(
        "--library", choices=("rtx", "tensorrt"), default="rtx", help="tensorrt needs a card (default rtx)"
    )
    parser.add_argument(
        "--stems", type=int, action="append", metavar="N", help="also for N stems at once; repeat for more (default: 1)"
    )
    parser.add_argument(
        "--stage", action="append", metavar="STAGE", help="only encode, denoise or decode; repeat for several"
    )
    add_pace_options(parser, "decides how many frames a decode has", "the bundle's window")
    parser.add_argument("--fade-samples", type=int, default=882, help="crossfade of the player (default 882, 20 ms)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="(default: ANACRUSIS_CACHE, else the user's cache)")
    parser.add_argument("--json", action="store_true", help="last line of stdout: the summary as JSON")
    parser.add_argument(
        "--json-progress", action="store_true", help="stdout is JSON, one object a line; the last is the summary"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    started_s = time.monotonic()
    from anacrusis.engine.bundle import Bundle
    from anacrusis.engine.engine import make_pace
    from anacrusis.engine.paths import default_bundle, plans_directory
    from anacrusis.engine.plans.device import find_cards
    from anacrusis.engine.plans.interruptible import AbandonedError
    from anacrusis.engine.plans.library import open_library
    from anacrusis.engine.plans.memory import peak_memory_bytes
    from anacrusis.engine.plans.planner import have_plans, make_jobs
    from anacrusis.engine.plans.store import Store
    from anacrusis.engine.plans.wanted import PLAN_STAGES, wanted_plans

    bundle = Bundle.open(options.bundle or default_bundle(), verify=False)
    pace = make_pace(
        bundle.manifest.geometry,
        **pace_arguments(options),
        fade_samples=options.fade_samples,
    )
    plans = wanted_plans(bundle.manifest, pace, (1, *(options.stems or ())), options.stage or PLAN_STAGES)
    store = Store(plans_directory(options.cache))
    cards = find_cards()
    library = open_library(options.library, cards)
    jobs = make_jobs(plans, options.target, library, cards)
    listener = _Lines() if options.json_progress else _People()
    with _signals():
        try:
            done = have_plans(store, bundle, library, jobs, listener)
        except (AbandonedError, BrokenPipeError):
            # The library is still inside its call, which nothing ends, or who asked is gone. The cache is clean, so the
            # process may go.
            with suppress(OSError):
                listener.close()
                print("anacrusis build: interrupted; nothing was left half-written", file=sys.stderr, flush=True)
            os._exit(130)
        finally:
            listener.close()
    peak = peak_memory_bytes()
    seconds = round(time.monotonic() - started_s, 3)
    summary = {
        "event": "summary",
        "bundle": bundle.manifest.name,
        "library": library.name,
        "library_version": library.version,
        "plans": [_plan(one) for one in done],
        "built": sum(not one.hit for one in done),
        "hits": sum(one.hit for one in done),
        "seconds": seconds,
        "peak_memory_bytes": peak,
        "cache": str(store.root),
    }
    if not options.json_progress:
        memory = "" if peak is None else f", peak memory {peak / 1e9:.2f} GB"
        print(
            f"{summary['built']} built and {summary['hits']} found with {library.title} {library.version} in "
            f"{seconds:.1f} s{memory}; kept in {store.root}"
        )
    if options.json or options.json_progress:
        print(json.dumps(summary, separators=(",", ":")), flush=True)
    return 0


def _plan(done: Done) -> dict[str, Any]:
    entry = done.entry
    return {
        "stage": entry.key.stage,
        "dims": dict(entry.key.dims),
        "target": entry.key.target,
        "hit": done.hit,
        "seconds": round(done.seconds, 3),
        "build_s": entry.build_s,
        "size_bytes": entry.size_bytes,
        "kernels": entry.kernels,
        "path": str(entry.path),
    }


class _People:
    """A bar on stderr while a plan is built, a line on stdout for every plan."""

    def __init__(self) -> None:
        self._bar: Any = None

    def missed(self, job: Job, why: str) -> None:
        print(f"{job}: building ({why})", file=sys.stderr, flush=True)

    def waiting(self, job: Job) -> None:
        print(f"{job}: another process is building it; waiting", file=sys.stderr, flush=True)

    def progressed(self, job: Job, progress: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=100,
                file=sys.stderr,
                leave=False,
                mininterval=0.1 if sys.stderr.isatty() else 1.0,
                bar_format="{desc} {percentage:3.0f}%|{bar}|{postfix}",
            )
        left = progress.remaining_s
        ends = "" if left is None else f", about {left:.0f} s left"
        self._bar.set_description_str(f"[{job.index}/{job.total}] {job.plan}", refresh=False)
        self._bar.set_postfix_str(f"{progress.elapsed_s:.0f} s{ends}, {progress.phase}", refresh=False)
        self._bar.n = round(100 * progress.fraction, 1)
        self._bar.update(0)
        self._bar.refresh() if sys.stderr.isatty() else None

    def done(self, done: Done) -> None:
        self.close()
        entry = done.entry
        how = "found" if done.hit else f"built in {done.seconds:.1f} s"
        print(f"{done.job}: {how}, {entry.size_bytes / 1e6:.1f} MB, {entry.kernels} kernels", flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Lines:
    """One JSON object a line on stdout, for a parent process; progress at most twice a second."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def missed(self, job: Job, why: str) -> None:
        self._say("miss", job, why=why)

    def waiting(self, job: Job) -> None:
        self._say("waiting", job)

    def progressed(self, job: Job, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + 0.5
            self._say("progress", job, **{**progress.to_dict(), "fraction": round(progress.fraction, 4)})

    def done(self, done: Done) -> None:
        self._say("plan", done.job, **_plan(done))

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, event: str, job: Job, **more: Any) -> None:
        where = {"stage": job.plan.stage, "dims": dict(job.plan.dims), "target": job.target_name}
        line = {"event": event, "plan": job.index, "plans": job.total, **where, **more}
        print(json.dumps(line, separators=(",", ":")), flush=True)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGINT and SIGTERM both interrupt, whatever a parent had set: a server stops its build by the second."""
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
