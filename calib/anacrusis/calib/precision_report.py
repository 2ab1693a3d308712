# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The precision report of a bundle on this machine: rung by rung, for people, as JSON, and kept beside the bundle.

`precision.json` lies in the bundle's folder and is not listed in its manifest: a report is of a machine and its
libraries, and must not change what a bundle is (its hash names it on the wire and in caches). It names the hash of the
manifest that it was made for; a report of another one is never read.

Not covered: comparing reports (`anacrusis bench history` does that with records).
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from anacrusis.calib.precision import (
    F32,
    GOAL_DB,
    Bound,
    Error,
    Oracle,
    PrecisionError,
    Report,
    compare,
    precision_of,
    rungs_here,
    tasks_of,
)
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import open_backend

FILE: Final = "precision.json"
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class RungReport:
    """One rung, or why there is none: `refused`."""

    rung: str
    precision: str
    errors: tuple[Error, ...] = ()
    refused: str | None = None

    @property
    def goal_db(self) -> float:
        return GOAL_DB.get(self.precision, max(GOAL_DB.values()))

    @property
    def missed(self) -> tuple[Error, ...]:
        """Final latents below the goal, and whatever was not finite."""
        return tuple(e for e in self.errors if e.nonfinite or (e.stage == "final" and not e.snr_db >= self.goal_db))

    @property
    def passed(self) -> bool:
        return bool(self.errors) and not self.missed

    def rows(self) -> list[dict[str, Any]]:
        """One a stage and row: the worst over the windows. SNR null where equal or not finite."""
        groups: dict[tuple[str, int | None, float | None], list[Error]] = {}
        for error in self.errors:
            groups.setdefault((error.stage, error.row, error.sigma), []).append(error)
        out = []
        for (stage, row, sigma), found in groups.items():
            worst = min(found, key=lambda error: error.snr_db)
            out.append(
                {
                    "stage": stage,
                    "row": row,
                    "sigma": sigma,
                    "worst_db": _finite(worst.snr_db),
                    "worst_window": worst.window,
                    "median_db": _finite(float(np.median([e.snr_db for e in found]))),
                    "max_abs": _finite(max(e.max_abs for e in found)),
                    "nonfinite": sum(e.nonfinite for e in found),
                    "by_window_db": {e.window: _finite(e.snr_db) for e in found},
                }
            )
        return out


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """Every rung of one bundle. windows: what was heard, in order."""

    bundle: str
    bundle_sha256: str
    oracle: str
    nfe: int
    windows: tuple[str, ...]
    rungs: tuple[RungReport, ...]

    @property
    def passed(self) -> bool:
        """At least one rung was measured, and none that was missed its goal."""
        measured = [rung for rung in self.rungs if rung.refused is None]
        return bool(measured) and all(rung.passed for rung in measured)

    def summary(self) -> dict[str, Any]:
        """What is recorded and said on the last line."""
        return {
            "benchmark": "precision",
            "bundle": self.bundle,
            "bundle_sha256": self.bundle_sha256,
            "oracle": self.oracle,
            "nfe": self.nfe,
            "windows": list(self.windows),
            "pass": self.passed,
            "rungs": [rung_summary(rung) for rung in self.rungs],
        }

    def lines(self) -> list[str]:
        """For people: a line a rung, stage and row, then what was missed."""
        out = [f"{self.bundle}, {self.nfe} NFE, against {self.oracle}, on {len(self.windows)} windows:"]
        head = (
            f"{'rung':<18} {'precision':<9} {'stage':<12} {'sigma':>9} {'worst dB':>9} {'median':>8} {'max abs':>9}  at"
        )
        out += [head, "-" * len(head)]
        for rung in self.rungs:
            if rung.refused is not None:
                out.append(f"{rung.rung:<18} refused: {rung.refused}")
                continue
            for row in rung.rows():
                stage = row["stage"] + ("" if row["row"] is None else f" {row['row'] + 1}")
                sigma = "" if row["sigma"] is None else f"{row['sigma']:.4g}"
                same = "none" if row["nonfinite"] else "equal"
                worst, middle = (_decibels(row[name], same) for name in ("worst_db", "median_db"))
                most = "none" if row["max_abs"] is None else f"{row['max_abs']:.2g}"
                bad = f"  {row['nonfinite']} NOT FINITE" if row["nonfinite"] else ""
                cells = f"{stage:<12} {sigma:>9} {worst:>9} {middle:>8} {most:>9}  {row['worst_window']}{bad}"
                out.append(f"{rung.rung:<18} {rung.precision:<9} {cells}")
            verdict = "ok" if rung.passed else f"MISS: {', '.join(f'{e.stage} on {e.window}' for e in rung.missed)}"
            out.append(f"{rung.rung}: goal {rung.goal_db:g} dB on the final latent, nothing not finite: {verdict}")
        return out


def run_precision(
    bundle: Bundle,
    windows: Mapping[str, F32],
    rungs: Sequence[str] = ("all",),
    *,
    threads: int = 1,
    seed: int = 0,
    sampler_steps: int | None = None,
    report: Report = lambda _: None,
) -> PrecisionReport:
    """Measure every rung named. A rung that cannot run this bundle here is a line with its reason.

    windows: name -> [encode_samples] float32. report gets a line as each part starts. Raises PrecisionError,
    BackendError (no oracle), BundleError.
    """
    tasks = tasks_of(windows, bundle.manifest)
    names = rungs_here(rungs)
    oracle = Oracle(bundle, threads=threads, seed=seed, sampler_steps=sampler_steps)
    truths = []
    for task in tasks:
        report(f"oracle: {task.name}")
        truths.append(oracle.truth(task))
    found = []
    for name in names:
        try:
            backend = open_backend(bundle, name, threads)
            bound = Bound(backend, oracle.table)
            errors = []
            for truth in truths:
                report(f"{name}: {truth.task.name}")
                errors += compare(bound, truth)
            found.append(RungReport(name, precision_of(backend), tuple(errors)))
        except AnacrusisError as error:
            found.append(RungReport(name, "", refused=" ".join(str(error).split())))
    manifest = bundle.manifest
    heard = tuple(task.name for task in tasks)
    return PrecisionReport(manifest.name, bundle.hash, oracle.what, oracle.table.nfe, heard, tuple(found))


def rung_summary(rung: RungReport) -> dict[str, Any]:
    """JSON-able, without infinities."""
    if rung.refused is not None:
        return {"rung": rung.rung, "refused": rung.refused}
    told = {"rung": rung.rung, "precision": rung.precision, "pass": rung.passed, "goal_db": rung.goal_db}
    return {**told, "rows": rung.rows()}


def keep(bundle: Bundle, entries: Mapping[str, Mapping[str, Any]]) -> Path:
    """Add entries ("onnxruntime, float32" -> JSON-able) to the bundle's precision.json; a name's newest stays.

    Raises PrecisionError where it cannot be written.
    """
    path = bundle.path / FILE
    text = json.dumps(
        {"schema": SCHEMA, "bundle_sha256": bundle.hash, "reports": {**kept(bundle), **entries}},
        indent=1,
        sort_keys=True,
    )
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=bundle.path, prefix=FILE, suffix=".tmp", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise PrecisionError(
            f"{path} cannot be written ({error.strerror}); copy the bundle to a folder of yours"
        ) from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return path


def kept(bundle: Bundle) -> dict[str, Any]:
    """The reports kept for exactly this bundle; {} where there are none, or they are another one's or damaged."""
    try:
        raw = json.loads((bundle.path / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or raw.get("bundle_sha256") != bundle.hash:
        return {}
    reports = raw.get("reports")
    return reports if isinstance(reports, dict) else {}


def entries_of(report: PrecisionReport, conditions: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `keep` takes, of the rungs that were measured."""
    about = {"oracle": report.oracle, "nfe": report.nfe, "windows": list(report.windows), **conditions}
    measured = [rung for rung in report.rungs if rung.refused is None]
    return {f"{rung.rung}, {rung.precision}": {**rung_summary(rung), **about} for rung in measured}


def _finite(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _decibels(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.1f}"
