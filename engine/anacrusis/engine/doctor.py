# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What this machine can run, and why not more: versions, cores, and the ladder with a reason for each refusal."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from anacrusis.engine.bundle import WEIGHTS, Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import RUNGS, default_threads
from anacrusis.engine.paths import plans_directory

PACKAGES = (
    "anacrusis",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt-rtx-cu13-bindings",
    "tensorrt-cu13-bindings",
    "cuda-core",
    "cuda-bindings",
    "soundfile",
    "soxr",
    "matplotlib",
    "torch",
    "safetensors",
    "onnx",
)


@dataclass(frozen=True, slots=True)
class RungState:
    """reason: None where the rung can run here."""

    name: str
    what: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `anacrusis doctor` prints. bundle_error: None where the bundle opened and every hash matched.

    plans: of this bundle, in the cache, a line each; not looked into (`anacrusis plans show` does).
    """

    system: str
    python: str
    cores: int
    threads: int
    packages: dict[str, str | None]
    rungs: tuple[RungState, ...]
    bundle: str | None
    bundle_error: str | None
    bundle_notice: str | None
    plans: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """At least one rung can run, and the bundle (if one was found) is whole."""
        return any(rung.reason is None for rung in self.rungs) and self.bundle_error is None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "healthy": self.healthy}

    def lines(self) -> Sequence[str]:
        """For people. The first rung that can run is what backend="auto" opens."""
        chosen = next((rung for rung in self.rungs if rung.reason is None), None)
        rows = [
            f"{self.system}, Python {self.python}, {self.cores} cores, {self.threads} intra-op thread(s) by default"
        ]
        width = max(map(len, self.packages))
        rows += [f"  {name:<{width}} {found or 'not installed'}" for name, found in self.packages.items()]
        rows.append("ladder (the first that can run is used):")
        for rung in self.rungs:
            mark = "->" if rung is chosen else "  "
            rows.append(
                f"{mark} {rung.name:<17} {'yes: ' + rung.what if rung.reason is None else 'no: ' + rung.reason}"
            )
        if self.bundle is None:
            rows.append("bundle: none found (give one with --bundle)")
        else:
            rows.append(f"bundle: {self.bundle}: {self.bundle_error or 'every hash matches'}")
            if self.bundle_notice:
                rows.append(f"  {self.bundle_notice}")
            rows += [f"  plan: {plan}" for plan in self.plans]
        return rows


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Installed version of each distribution, None for one that is not installed. Imports none of them."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def plans_of(bundle: Bundle) -> tuple[str, ...]:
    """The cache's plans of these weights, oldest first. Reads sidecars only; () where there is no cache."""
    from anacrusis.engine.plans.store import Store

    try:
        entries = Store(plans_directory()).entries()
    except AnacrusisError:
        return ()
    return tuple(
        f"{key.library} {key.library_version} {key.target} {key.stage} {key.dims_text} {key.precision}"
        for key in (entry.key for entry in entries)
        if key.weights == bundle.manifest.files[WEIGHTS]
    )


def diagnose(bundle: Path | None) -> Diagnosis:
    """Probe everything; never raises on a broken machine or bundle. Takes seconds where torch is installed."""
    error = notice = None
    plans: tuple[str, ...] = ()
    if bundle is not None:
        try:
            opened = Bundle.open(bundle)
            notice, plans = opened.manifest.licence.notice, plans_of(opened)
        except AnacrusisError as problem:
            error = str(problem)
    return Diagnosis(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        threads=default_threads(),
        packages=package_versions(PACKAGES),
        rungs=tuple(RungState(rung.name, rung.what, rung.probe()) for rung in RUNGS),
        bundle=None if bundle is None else str(bundle),
        bundle_error=error,
        bundle_notice=notice,
        plans=plans,
    )
