# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Everything `anacrusis build` does but the printing: plans of a bundle for targets, from the cache or built.

The one place where the parts meet. Runs on the main thread; each build runs in a thread of its own so that Ctrl-C is
answered (`interruptible.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from anacrusis.engine.bundle import WEIGHTS, Bundle
from anacrusis.engine.errors import BackendError, PlanError
from anacrusis.engine.plans.build import Built, build_plan
from anacrusis.engine.plans.device import Cards
from anacrusis.engine.plans.interruptible import run_interruptibly
from anacrusis.engine.plans.key import check_files, plan_key
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.lookup import own_target
from anacrusis.engine.plans.progress import BuildWatch, Progress
from anacrusis.engine.plans.sidecar import Entry
from anacrusis.engine.plans.store import Store
from anacrusis.engine.plans.targets import Target, parse_target
from anacrusis.engine.plans.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Job:
    """One plan to have. target: None for full TensorRT, whose target is the card. index: from 1, of `total`."""

    plan: Wanted
    target: Target | None
    target_name: str
    index: int
    total: int

    def __str__(self) -> str:
        return f"{self.plan} {self.target_name}"


@dataclass(frozen=True, slots=True)
class Done:
    """seconds: what it took this time, a hit included."""

    job: Job
    entry: Entry
    hit: bool
    seconds: float


class Listener(Protocol):
    """Told what happens, on the main thread."""

    def missed(self, job: Job, why: str) -> None:
        """A build is about to begin."""

    def waiting(self, job: Job) -> None:
        """Another process builds this very plan."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """About ten times a second while building."""

    def done(self, done: Done) -> None:
        """A plan is there."""


def make_jobs(plans: Sequence[Wanted], choice: str, library: Library, cards: Cards) -> tuple[Job, ...]:
    """Plans times targets, in the order they are built. Raises PlanError or BackendError for an impossible target."""
    if library.name == "rtx":
        pairs: list[tuple[Wanted, Target | None, str]] = [
            (plan, target, target.name) for target in parse_target(choice, cards.first) for plan in plans
        ]
    else:
        if choice != "auto":
            raise PlanError("full TensorRT builds for the card in this machine only; leave --target out")
        if cards.first is None:
            raise BackendError(f"full TensorRT needs a card: {cards.reason}")
        pairs = [(plan, None, own_target(cards.first)) for plan in plans]
    return tuple(Job(plan, target, name, i + 1, len(pairs)) for i, (plan, target, name) in enumerate(pairs))


def have_plans(
    store: Store, bundle: Bundle, library: Library, jobs: Sequence[Job], listener: Listener
) -> tuple[Done, ...]:
    """Every job's plan, from the cache or built now, one after the other. Main thread.

    The bundle may have been opened unverified: the graph and the weights are hashed before the first build, and never
    on a hit. Raises PlanError, BundleError; KeyboardInterrupt (see `interruptible.AbandonedError`), after which the
    cache is as it was before the plan that was being built.
    """
    checked: set[str] = set()
    results = []
    for job in jobs:
        started_s = time.monotonic()

        def missed(why: str, job: Job = job) -> None:
            listener.missed(job, why)

        def make(expected_s: float, job: Job = job) -> Built:
            watch = BuildWatch(expected_s)
            onnx = bundle.stage(job.plan.stage)

            def work() -> Built:
                watch.start("Checking the bundle", "")
                files = {onnx.name, WEIGHTS} - checked
                check_files(bundle, sorted(files))
                checked.update(files)
                watch.finish("Checking the bundle")
                return build_plan(library, bundle.manifest, onnx, job.plan, job.target, watch)

            return run_interruptibly(work, watch.cancel, lambda: listener.progressed(job, watch.progress()))

        def waiting(job: Job = job) -> None:
            listener.waiting(job)

        key = plan_key(bundle, job.plan.stage, dict(job.plan.dims), library, job.target_name)
        had = store.obtain(key, bundle.manifest.name, make, on_miss=missed, on_wait=waiting)
        done = Done(job, had.entry, had.hit, time.monotonic() - started_s)
        listener.done(done)
        results.append(done)
    return tuple(results)
