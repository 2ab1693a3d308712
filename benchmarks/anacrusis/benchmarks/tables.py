# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's two tables, measured here: what `table1.py` and `table2.py` share.

A row is a bundle at a step ratio r, w = 1: the rung under test and the yardstick (`yardstick.py`) take turns, cycle by
cycle, at the same number of evaluations; both transfers are measured over loopback UDP (`transfer.py`) and joined to
the cycles in the order they came. A ratio is the yardstick's median over ours: 2 means half the time.

A distilled bundle can be timed as the diffusion model too: the same networks under the diffusion sampler's table. The
two models of the paper share one architecture, so the time is that of a diffusion model; what it writes is noise, and
no ear hears it.

Not covered: quality, and whatever `transfer.py` and `yardstick.py` leave out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from anacrusis.benchmarks.cycles import STAGES, quantiles_of, spent, take_turns, yardstick_module
from anacrusis.benchmarks.paper import SMALLEST_R, TABLE_1, column_of, is_real_time, paper_real_time
from anacrusis.benchmarks.record import conditions, publish, quantiles_ms
from anacrusis.benchmarks.transfer import Measure, Transfer, measure_transfer, quantiles_of_ways
from anacrusis.benchmarks.watch import CpuTime
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.engine.ladder import RUNGS, default_threads, open_backend
from anacrusis.engine.paths import SHIPPED_BUNDLE
from anacrusis.engine.pipeline import Backend
from anacrusis.performer.plot import require_drawable

WAYS: Final = ("client -> server", "server -> client")
# In the order of a cycle, as the paper's first table has them.
ROWS: Final = (WAYS[0], "encode", "sample", "decode", WAYS[1], "full cycle")
TRANSFER_STEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run measures with. cycles: of each side, after warm_up."""

    backend: str = "auto"
    threads: int = 1
    cycles: int = 10
    warm_up: int = 2
    device: str = "cpu"  # the yardstick's
    transfer_steps: int = TRANSFER_STEPS

    def validate(self) -> None:
        """Raise AnacrusisError for a count that measures nothing."""
        for name, least in (("cycles", 1), ("warm_up", 0), ("threads", 1), ("transfer_steps", 1)):
            if getattr(self, name) < least:
                raise AnacrusisError(f"{name.replace('_', ' ')} is {getattr(self, name)}; it must be at least {least}")


def as_diffusion(bundle: Bundle) -> Bundle:
    """The same networks under the diffusion sampler's table: for times only. Raises MissingExtraError."""
    try:
        from anacrusis.export.export import KINDS
    except ImportError as error:
        raise MissingExtraError(f"{error}: pip install 'anacrusis[export]', or give --no-diffusion") from None
    parametrisation, sampler = KINDS["diffusion"]
    name = f"{bundle.manifest.name}, diffusion sampler"
    return replace(
        bundle, manifest=replace(bundle.manifest, name=name, parametrisation=parametrisation, sampler=sampler)
    )


class Subject:
    """One bundle opened on both sides. yardstick None: why is in `no_yardstick`. One thread."""

    def __init__(self, bundle: Bundle, setup: Setup) -> None:
        self.bundle, self.setup, self._yardsticks = bundle, setup, yardstick_module()
        self.backend: Backend = open_backend(bundle, setup.backend, setup.threads)
        found = self._yardsticks.try_backend(bundle, device=setup.device, threads=setup.threads)
        self.yardstick, self.no_yardstick = found

    def row(self, r: float, transfers: Sequence[Transfer], **more: Any) -> dict[str, Any]:
        """A record without its conditions. Raises GeometryError for an r that a window cannot hold."""
        manifest = self.bundle.manifest
        stems = manifest.stems[:1]
        engines = {"ours": Engine.open(self.bundle, backend=self.backend, stems=stems, r=r)}
        what = None
        if self.yardstick is not None:
            opened = self._yardsticks.open_yardstick(self.yardstick, stems=stems, r=r)
            engines["yardstick"], what = opened.engine, opened.what
        name = f"{manifest.name}, r {r:.4g}"
        cpu, setup = CpuTime(), self.setup
        total = (setup.cycles + setup.warm_up) * len(engines)
        with tqdm(total=total, desc=name, unit="cycle", file=sys.stderr) as bar:
            measured = take_turns(engines, setup.cycles, setup.warm_up, on_cycle=bar.update)
        facts = spent(engines["ours"])
        for engine in engines.values():
            engine.close()
        out = {
            "bundle": manifest.name,
            "model": column_of(manifest),
            "r": r,
            "stems": 1,
            "window_s": manifest.geometry.window_samples / manifest.sample_rate_hz,
            **facts,
            **joined(measured, transfers),
            "yardstick_is": what,
            "no_yardstick": self.no_yardstick or None,
            "warm_up_cycles": setup.warm_up,
            "stolen_share": cpu.stolen_share(),
            **more,
        }
        return {**out, "real_time": real_time(out)}


def joined(measured: dict[str, list[dict[str, float]]], transfers: Sequence[Transfer]) -> dict[str, Any]:
    """Quantiles in ms of every row of the table, of both sides, and the ratios of their medians.

    The k-th full cycle is the k-th cycle's compute and the k-th transfer, from the first again where they are fewer.
    """
    out: dict[str, Any] = {"transfer_ms": quantiles_of_ways(transfers)}
    for side, cycles in measured.items():
        ways = [transfers[k % len(transfers)] for k in range(len(cycles))]
        full = [one["compute"] + way.up_s + way.down_s for one, way in zip(cycles, ways, strict=True)]
        out[f"{side}_ms"] = {**quantiles_of(cycles), "full cycle": quantiles_ms(full)}
    names = (*STAGES, "compute", "full cycle")
    ours, yardstick = out["ours_ms"], out.get("yardstick_ms")
    ratio = (
        {name: round(yardstick[name]["p50"] / max(ours[name]["p50"], 1e-6), 3) for name in names} if yardstick else None
    )
    return {**out, "yardstick_over_ours": ratio}


def real_time(row: dict[str, Any]) -> dict[str, Any]:
    """Per side: by the median cycle (the paper's), and by the slowest one measured."""
    out = {}
    for side in ("ours", "yardstick"):
        times = row.get(f"{side}_ms")
        out[side] = times and {
            quantile: is_real_time(times["full cycle"][quantile], row["r"], row["window_s"])
            for quantile in ("p50", "max")
        }
    return out


def stage_lines(row: dict[str, Any]) -> list[list[str]]:
    """Table 1 of one row: stage, ours, yardstick, ratio, paper. A cell is "-" where nothing is known."""
    paper = TABLE_1[row["model"]]
    lines = [["stage", "ours ms, p50 / p95 / max", "yardstick ms, p50", "ratio", "paper ms"]]
    for name in ROWS:
        source = row["transfer_ms"] if name in WAYS else row["ours_ms"]
        yardstick = "-"
        if row.get("yardstick_ms"):
            yardstick = f"{(row['transfer_ms'] if name in WAYS else row['yardstick_ms'])[name]['p50']:.1f}"
        ratio = "-" if name in WAYS or not row["yardstick_over_ours"] else f"{row['yardstick_over_ours'][name]:.2f}"
        figures = " / ".join(f"{source[name][q]:.1f}" for q in ("p50", "p95", "max"))
        lines.append([name, figures, yardstick, ratio, paper[name].text() if name in paper else "-"])
    return lines


def ratio_lines(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Table 2: one line a bundle and r."""
    heads = [f"paper, r* {r:.3f}" for r in SMALLEST_R]
    lines = [["bundle", "NFE", "r", "step ms", "full cycle ms, p50 / max", "RT", "yardstick ms", "RT", "ratio", *heads]]
    for row in rows:
        full, told = row["ours_ms"]["full cycle"], row["real_time"]
        yardstick = row.get("yardstick_ms")
        cells = [row["bundle"], str(row["nfe"]), f"{row['r']:.4g}", f"{1e3 * row['window_s'] * row['r']:.0f}"]
        cells += [f"{full['p50']:.1f} / {full['max']:.1f}", verdict(told["ours"])]
        cells += [f"{yardstick['full cycle']['p50']:.1f}" if yardstick else "-", verdict(told["yardstick"])]
        cells += [f"{row['yardstick_over_ours']['full cycle']:.2f}" if yardstick else "-"]
        lines.append(cells + ["yes" if paper_real_time(row["r"], smallest) else "no" for smallest in SMALLEST_R])
    return lines


def verdict(told: dict[str, bool] | None) -> str:
    """yes; no; "p50 only" where the slowest cycle was too slow."""
    if told is None:
        return "-"
    return "yes" if told["max"] else "p50 only" if told["p50"] else "no"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What both commands take."""
    parser.add_argument("--bundle", type=Path, action="append", help="repeatable (default: the shipped tiny bundle)")
    parser.add_argument(
        "--no-diffusion", action="store_true", help="do not time a distilled bundle under the diffusion sampler as well"
    )
    parser.add_argument("--cycles", type=int, default=10, help="of each side, at each r (default 10)")
    parser.add_argument("--warm-up", type=int, default=2, help="cycles of each side before (default 2)")
    parser.add_argument("--transfer-steps", type=int, default=TRANSFER_STEPS, help="played in real time at each r")
    parser.add_argument("--backend", choices=("auto", *(rung.name for rung in RUNGS)), default="auto")
    parser.add_argument("--threads", type=int, help="of both sides (default: half of the cores)")
    parser.add_argument("--device", default="cpu", help="the yardstick's: cpu or cuda (default cpu)")
    parser.add_argument("--png", type=Path, help="draw it as well, .png or .svg")
    parser.add_argument("--out", type=Path, help="JSONL to append to")
    parser.add_argument("--no-record", action="store_true", help="append to no file")


def setup_of(options: argparse.Namespace) -> Setup:
    """Raises AnacrusisError."""
    threads = default_threads() if options.threads is None else options.threads
    setup = Setup(
        options.backend, threads, options.cycles, options.warm_up, options.device, transfer_steps=options.transfer_steps
    )
    setup.validate()
    return setup


def measure(
    name: str, options: argparse.Namespace, ratios: Sequence[float], transfer: Measure = measure_transfer
) -> list[dict[str, Any]]:
    """Every bundle at every r, with its conditions. Raises AnacrusisError."""
    setup = setup_of(options)
    bundles = [Bundle.open(path) for path in options.bundle or [SHIPPED_BUNDLE]]
    if not options.no_diffusion and all(column_of(bundle.manifest) == "cd" for bundle in bundles):
        bundles += [as_diffusion(bundle) for bundle in bundles if bundle.manifest.context_channels is None]
    ways = {r: transfer(r, setup.transfer_steps) for r in ratios}
    rows = []
    for bundle in bundles:
        subject = Subject(bundle, setup)
        before = conditions(setup.threads)
        rows += [{"benchmark": name, **subject.row(r, ways[r]), **before} for r in ratios]
    return rows


def run(
    name: str,
    options: argparse.Namespace,
    ratios: Sequence[float],
    out: Path,
    show: Callable[[list[dict[str, Any]]], str],
    draw: Callable[[Path, list[dict[str, Any]]], None],
) -> int:
    """Measure, show, draw, record, say the last line. 0 it ran, 2 bad input, 130 interrupted (nothing is recorded)."""
    try:
        if options.png:
            require_drawable(options.png)
        rows = measure(name, options, ratios)
        print(show(rows))
        if options.png:
            draw(options.png, rows)
    except AnacrusisError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing was recorded", file=sys.stderr)
        return 130
    publish(None if options.no_record else options.out or out, rows)
    return 0
