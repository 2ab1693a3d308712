# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Step ratio by lead by stems by evaluations by rung: what a cycle takes, and what that allows.

    anacrusis bench sweep [--r .25 --r .125 ...] [--lead-frames N ...] [--stems N ...] [--sampler-steps N ...]
                          [--backend NAME ...] [--cycles N] [--png FILE]

A row is one combination. It says whether a cycle's slowest fits in its step (or steps pile up) and in its lead less the
fade (or its reply comes too late, before any transfer). A lead that is no number of frames is the step itself, w = 1.
The yardstick (`yardstick.py`) takes turns at the same r and evaluations; it has one lead and writes one stem a
generation, so for N stems a ratio is N of its cycles over one of ours.

Combinations that a window cannot hold, and rungs that cannot run here, are rows too, with the reason.

Not covered: transfers, deadlines met or missed in real time (`soak.py`), quality (`curve.py`).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from anacrusis.benchmarks.cycles import quantiles_of, sampler_choices, spent, take_turns, yardstick_module
from anacrusis.benchmarks.paper import TABLE_2_R
from anacrusis.benchmarks.record import columns, conditions, publish
from anacrusis.benchmarks.watch import CpuTime
from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import RUNGS, default_threads, open_backend
from anacrusis.engine.paths import REPOSITORY, SHIPPED_BUNDLE
from anacrusis.engine.pipeline import Backend

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "sweep.jsonl"
FADE_SAMPLES: Final = 882


@dataclass(frozen=True, slots=True)
class Point:
    """One combination. lead_frames None: one step ahead (w = 1). sampler_steps: as a manifest counts them."""

    backend: str
    r: float
    lead_frames: int | None
    stems: int
    sampler_steps: int

    def text(self) -> str:
        """For a progress bar."""
        lead = "w = 1" if self.lead_frames is None else f"lead {self.lead_frames}"
        return f"{self.backend}, r {self.r:.4g}, {lead}, {self.stems} stem(s), sampler {self.sampler_steps}"


def points(options: argparse.Namespace, manifest: Manifest) -> list[Point]:
    """Every combination asked for, rung by rung."""
    leads: list[int | None] = [None, *(options.lead_frames or [])]
    samplers = options.sampler_steps or sampler_choices(manifest)
    stems = options.stems or (1, len(manifest.stems))
    ratios = options.r or TABLE_2_R
    product = itertools.product(options.backend or ["auto"], ratios, leads, dict.fromkeys(stems), samplers)
    return [Point(*one) for one in product]


class Sweep:
    """Opens each rung once and measures points on it. One thread."""

    def __init__(self, bundle: Bundle, threads: int, cycles: int, warm_up: int, *, yardstick: bool = True) -> None:
        self.bundle, self.threads, self.cycles, self.warm_up = bundle, threads, cycles, warm_up
        self._backends: dict[str, Backend] = {}
        self._yardstick, self.no_yardstick = None, "not asked for"
        if yardstick:
            self._yardstick, self.no_yardstick = yardstick_module().try_backend(bundle, threads=threads)

    def measure(self, point: Point, on_cycle: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """A record without conditions. One that cannot run has `refused` and no times."""
        asked = {"bundle": self.bundle.manifest.name, "r": point.r, "w": 1.0 if point.lead_frames is None else None}
        facts = {**asked, "stems": point.stems, "sampler_steps": point.sampler_steps, "threads": self.threads}
        try:
            engines, no_yardstick = self._engines(point)
        except AnacrusisError as error:
            return {**facts, "backend": point.backend, "lead_frames": point.lead_frames, "refused": str(error)}
        cpu = CpuTime()
        measured = take_turns(engines, self.cycles, self.warm_up, on_cycle=on_cycle)
        told = spent(engines["ours"])
        rate_hz = self.bundle.manifest.sample_rate_hz
        for engine in engines.values():
            engine.close()
        return {
            **facts,
            **told,
            **judged(measured, told["step_samples"], told["lead_samples"], rate_hz, point.stems),
            "no_yardstick": no_yardstick or None,
            "warm_up_cycles": self.warm_up,
            "stolen_share": cpu.stolen_share(),
        }

    def _engines(self, point: Point) -> tuple[dict[str, Engine], str]:
        """Ours and, where it can run that, the yardstick, else why not."""
        manifest = self.bundle.manifest
        if not 1 <= point.stems <= len(manifest.stems):
            raise AnacrusisError(f"{manifest.name} has {len(manifest.stems)} stems, not {point.stems}")
        if point.backend not in self._backends:
            self._backends[point.backend] = open_backend(self.bundle, point.backend, self.threads)
        step_samples = int(manifest.geometry.window_samples * point.r)
        lead_samples = step_samples
        if point.lead_frames is not None:
            lead_samples = point.lead_frames * manifest.geometry.frame_samples
        ours = Engine.open(
            self.bundle,
            backend=self._backends[point.backend],
            stems=manifest.stems[: point.stems],
            step_samples=step_samples,
            lead_samples=lead_samples,
            sampler_steps=point.sampler_steps,
            fade_samples=FADE_SAMPLES,
        )
        if self._yardstick is None:
            return {"ours": ours}, self.no_yardstick
        steps, open_yardstick = point.sampler_steps, yardstick_module().open_yardstick
        try:
            opened = open_yardstick(self._yardstick, stems=manifest.stems[:1], r=point.r, sampler_steps=steps)
        except AnacrusisError as error:  # the original has no room for every r that ours has
            return {"ours": ours}, str(error)
        return {"ours": ours, "yardstick": opened.engine}, ""


def judged(
    measured: dict[str, list[dict[str, float]]], step_samples: int, lead_samples: int, rate_hz: int, stems: int
) -> dict[str, Any]:
    """Quantiles of both sides, the ratio of medians (for N stems, N of the yardstick's), what the slowest allows."""
    ours = quantiles_of(measured["ours"])
    out: dict[str, Any] = {"ours_ms": ours, "yardstick_ms": None, "yardstick_over_ours": None}
    if "yardstick" in measured:
        out["yardstick_ms"] = quantiles_of(measured["yardstick"])
        ratio = stems * out["yardstick_ms"]["compute"]["p50"] / max(ours["compute"]["p50"], 1e-6)
        out["yardstick_over_ours"] = round(ratio, 3)
    worst_ms, step_ms = ours["compute"]["max"], 1e3 * step_samples / rate_hz
    budget_ms = 1e3 * (lead_samples - FADE_SAMPLES) / rate_hz
    fits = {"step_ms": round(step_ms, 3), "budget_ms": round(budget_ms, 3)}
    return {**out, **fits, "keeps_up": worst_ms < step_ms, "in_time": worst_ms < budget_ms}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """For people: one line a combination."""
    heads = [
        "rung",
        "r",
        "lead",
        "stems",
        "NFE",
        "cycle ms, p50 / p99 / max",
        "step ms",
        "keeps up",
        "in time",
        "ratio",
    ]
    lines, refusals = [heads], dict[str, None]()
    for row in rows:
        if "refused" in row:
            lead = "w = 1" if row["lead_frames"] is None else f"{row['lead_frames']} fr."
            lines.append([row["backend"], f"{row['r']:.4g}", lead, str(row["stems"]), "-", "refused", *[""] * 4])
            refusals[row["refused"]] = None
            continue
        compute = row["ours_ms"]["compute"]
        ratio = row["yardstick_over_ours"]
        cells = [row["backend"], f"{row['r']:.4g}", str(row["lead_samples"]), str(row["stems"]), str(row["nfe"])]
        cells += [f"{compute['p50']:.1f} / {compute['p99']:.1f} / {compute['max']:.1f}", f"{row['step_ms']:.0f}"]
        cells += ["yes" if row[name] else "no" for name in ("keeps_up", "in_time")]
        lines.append([*cells, "-" if ratio is None else f"{ratio:.2f}"])
    return [*columns(lines, right=(1, 2, 3, 4, 6, 9)), *(f"refused: {text}" for text in refusals)]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("auto", *(rung.name for rung in RUNGS))
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE)
    parser.add_argument("--r", type=float, action="append", help="repeatable (default: the paper's five)")
    parser.add_argument(
        "--lead-frames", type=int, action="append", metavar="N", help="repeatable, besides w = 1 (default: w = 1 only)"
    )
    parser.add_argument("--stems", type=int, action="append", metavar="N", help="repeatable (default: 1 and all)")
    parser.add_argument(
        "--sampler-steps", type=int, action="append", metavar="N", help="repeatable (default: what the sampler offers)"
    )
    parser.add_argument("--backend", choices=names, action="append", help="repeatable (default: auto)")
    parser.add_argument("--threads", type=int, help="(default: half of the cores)")
    parser.add_argument("--cycles", type=int, default=10, help="of each side, a row (default 10)")
    parser.add_argument("--warm-up", type=int, default=2, help="cycles of each side before (default 2)")
    parser.add_argument("--no-yardstick", action="store_true", help="measure our side only, in half of the time")
    parser.add_argument("--png", type=Path, help="draw it as well, .png or .svg")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSONL to append to")
    parser.add_argument("--no-record", action="store_true", help="append to no file")
    return parser


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every row as it is measured. Raises AnacrusisError for what no row can say."""
    threads = default_threads() if options.threads is None else options.threads
    if options.cycles < 1 or options.warm_up < 0 or threads < 1:
        raise AnacrusisError("--cycles and --threads must be at least 1, and --warm-up at least 0")
    bundle = Bundle.open(options.bundle)
    sweep = Sweep(bundle, threads, options.cycles, options.warm_up, yardstick=not options.no_yardstick)
    for point in points(options, bundle.manifest):
        before = conditions(threads)
        with tqdm(unit="cycle", desc=point.text(), file=sys.stderr) as bar:
            row = sweep.measure(point, bar.update)
        yield {"benchmark": "sweep", **row, **before}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 it ran, 2 bad input, 130 interrupted (what was measured until then is recorded)."""
    options = build_parser().parse_args(arguments)
    rows: list[dict[str, Any]] = []
    code = 0
    try:
        if options.png:
            from anacrusis.performer.plot import require_drawable

            require_drawable(options.png)
        rows.extend(run(options))  # an interrupt keeps the rows until then
        if all("refused" in row for row in rows):
            raise AnacrusisError(f"nothing could run here: {rows[0]['refused']}")
        if options.png:
            from anacrusis.benchmarks.sweep_plot import plot_sweep

            plot_sweep(options.png, rows)
    except AnacrusisError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sweep: interrupted", file=sys.stderr)
        code = 130
    if rows:
        print("\n".join(table(rows)))
    publish(None if options.no_record else options.out, rows)
    return code


if __name__ == "__main__":
    sys.exit(main())
