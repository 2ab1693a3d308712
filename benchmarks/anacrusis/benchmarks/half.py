# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Is float16 safe? What `anacrusis parity --precision fp16` prints: per stage and sampler row, on a CPU.

`run_half` runs a source's float32 networks beside float16 ones that are emulated (`export/emulate.py` says how and
what that leaves out) on signals a stage may meet: loud, clipped, DC, silent, music. It passes where the final
latent of every sampler run on every signal is at least 40 dB from float32's, nothing inside was inf or nan, and
the emulation agrees with torch's own float16 kernels on every shape it met.

Needs torch to run, not to be imported. Not covered: trained weights (give a bundle of them), GPUs, and how it
sounds.
"""

from __future__ import annotations

import importlib.util
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anacrusis.benchmarks.half_subjects import KINDS, SIGNALS, from_bundle, from_golden, from_seed, signals
from anacrusis.benchmarks.parity_golden import chosen
from anacrusis.benchmarks.record import columns
from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.engine.paths import REPOSITORY, default_bundle

if TYPE_CHECKING:
    from anacrusis.benchmarks.half_native import NativeCheck
    from anacrusis.benchmarks.half_rows import Measure
    from anacrusis.export.seeded import Size

RESULTS = REPOSITORY / "benchmarks" / "results" / "half.jsonl"
GOAL_DB = 40.0
LARGEST_HALF = 65504.0
_NEEDED = ("torch", "safetensors", "onnx_ir")


class HalfError(AnacrusisError):
    """A float16 report that cannot be made as asked."""


@dataclass(frozen=True, slots=True)
class HalfReport:
    """Every measure of one source, and the emulation's own check."""

    source: str
    measures: tuple[Measure, ...]
    native: NativeCheck
    wall_s: float

    @property
    def nonfinite(self) -> int:
        return sum(measure.nonfinite for measure in self.measures)

    @property
    def finals(self) -> tuple[Measure, ...]:
        return tuple(measure for measure in self.measures if measure.stage == "final")

    @property
    def missed(self) -> tuple[Measure, ...]:
        """Final latents below the goal, and whatever met inf or nan."""
        below = [m for m in self.finals if not m.snr_db >= GOAL_DB]
        return tuple(below + [m for m in self.measures if m.nonfinite and m not in below])

    @property
    def passed(self) -> bool:
        return bool(self.finals) and not self.missed and self.native.passed

    def rows(self) -> list[dict[str, Any]]:
        """One a stage, sampler row and kind of row, in the order they ran: the worst over the signals."""
        groups: dict[tuple[Any, ...], list[Measure]] = {}
        for m in self.measures:
            groups.setdefault((m.stage, m.run, m.row, m.sigma, m.fed), []).append(m)
        rows = []
        for (stage, run, row, sigma, fed), found in groups.items():
            worst, largest = min(found, key=lambda m: m.snr_db), max(found, key=lambda m: m.largest)
            rows.append(
                {
                    "stage": stage,
                    "run": run,
                    "row": row,
                    "sigma": sigma,
                    "fed": fed,
                    "worst_db": _finite(worst.snr_db),
                    "worst_signal": worst.signal,
                    "by_signal_db": {m.signal: _finite(m.snr_db) for m in found},
                    "largest": _finite(largest.largest),
                    "largest_at": largest.largest_at,
                    "nonfinite": sum(m.nonfinite for m in found),
                    "nonfinite_at": next((m.nonfinite_at for m in found if m.nonfinite), None),
                }
            )
        return rows

    def summary(self) -> dict[str, Any]:
        """What is recorded, and what the last line says. SNRs are null where equal or not finite."""
        worst = min(self.finals, key=lambda m: m.snr_db)
        return {
            "benchmark": "half",
            "source": self.source,
            "pass": self.passed,
            "goal_db": GOAL_DB,
            "final_worst_db": _finite(worst.snr_db),
            "final_worst_at": f"{worst.run}, {worst.signal}",
            "nonfinite": self.nonfinite,
            "missed": [f"{m.stage}, {m.run}, {m.signal}, fed {m.fed}" for m in self.missed],
            "native": {**asdict(self.native), "pass": self.native.passed},
            "rows": self.rows(),
            "wall_s": round(self.wall_s, 1),
        }

    def to_json(self) -> str:
        """One compact line."""
        return json.dumps(self.summary(), separators=(",", ":"), allow_nan=False)

    def table(self) -> str:
        """For people: one line a stage and sampler row, fed float32 and float16 side by side."""
        heads = ("stage", "run", "row", "sigma", "alone dB", "worst at", "so far dB", "worst at", "largest", "at", "")
        lines: list[tuple[str, ...]] = [heads]
        cells: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
        for row in self.rows():
            cells.setdefault((row["stage"], row["run"], row["row"], row["sigma"]), {})[row["fed"]] = row
        for (stage, run, index, sigma), fed in cells.items():
            largest = max(fed.values(), key=lambda row: row["largest"])
            wrong = sum(row["nonfinite"] for row in fed.values())
            goal = "" if stage != "final" else "ok" if not self._below(run) else f"below {GOAL_DB:g} dB"
            lines.append(
                (
                    stage,
                    run,
                    "" if index is None else str(index + 1),
                    "" if sigma is None else f"{sigma:.4g}",
                    *_cell(fed.get("float32")),
                    *_cell(fed.get("float16")),
                    f"{largest['largest']:.4g}",
                    largest["largest_at"],
                    f"{wrong} NOT FINITE" if wrong else goal,
                )
            )
        out = columns(lines, right=(2, 3, 4, 6, 8))
        out += self._closing()
        return "\n".join(line.rstrip() for line in out)

    def _below(self, run: str) -> bool:
        return any(m.run == run and not m.snr_db >= GOAL_DB for m in self.finals)

    def _closing(self) -> list[str]:
        worst = min(self.finals, key=lambda m: m.snr_db)
        largest = max(self.measures, key=lambda m: m.largest)
        return [
            f"{self.source}: final latent at least {worst.snr_db:.1f} dB from float32 ({worst.run}, {worst.signal}; "
            f"goal {GOAL_DB:g}), {self.nonfinite} values not finite; largest {largest.largest:.4g} in "
            f"{largest.largest_at} (float16 ends at {LARGEST_HALF:g}: {LARGEST_HALF / max(largest.largest, 1e-30):.3g} "
            "times that)",
            self.native.line(),
            *(
                f"MISS {m.stage}, {m.run}, {m.signal}: {m.snr_db:.1f} dB, {m.nonfinite} not finite {m.nonfinite_at}"
                for m in self.missed
            ),
        ]


def run_half(
    *,
    bundle: Path | None = None,
    golden: Path | None = None,
    size: Size | None = None,
    kinds: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    seed: int = 0,
    threads: int = 1,
    report: Callable[[str], None] = lambda _: None,
) -> HalfReport:
    """Measure one source: a golden set's networks, seeded ones of a size, or a bundle's (the default one).

    kinds: of a golden set or a size (None: both). only: signals (None: all). Half a minute for small networks; full
    size takes 18 CPU minutes for cd on all signals, some five times that for diffusion, and 4 GB. report gets a
    line as each evaluation starts. Restores torch's number of threads. Raises HalfError, ParityError, BundleError,
    BackendError, AudioError, MissingExtraError.
    """
    begin = time.perf_counter()
    if sum(source is not None for source in (bundle, golden, size)) > 1:
        raise HalfError("give one of --bundle, --golden and --size")
    if kinds is not None and golden is None and size is None:
        raise HalfError("a bundle is of one kind; give --kind with --golden or --size")
    heard = chosen("signal", SIGNALS if only is None else only, SIGNALS, HalfError)
    of_kinds = chosen("kind", KINDS if kinds is None else kinds, KINDS, HalfError)
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise MissingExtraError(f"the float16 report needs {lacking[0]}: pip install 'anacrusis[export]'")
    from anacrusis.benchmarks.half_native import check_native
    from anacrusis.benchmarks.half_rows import HalfRun
    from anacrusis.benchmarks.parity import _torch_threads

    with ExitStack() as stack:
        stack.enter_context(_torch_threads(threads))
        if golden is not None:
            source = stack.enter_context(from_golden(golden, of_kinds, threads, report))
        elif size is not None:
            source = from_seed(size, seed, of_kinds, report)
        else:
            source = from_bundle(bundle or default_bundle())
        manifest = source.models[0].manifest
        every = signals(manifest.geometry, manifest.sample_rate_hz, seed)
        run = HalfRun(source, {name: every[name] for name in heard}, seed, report)
        measures = tuple(run.measures())
        report("emulation against native float16")
        native = check_native(run.shapes, report)
    return HalfReport(source.name, measures, native, time.perf_counter() - begin)


def _cell(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    return ("none" if row["worst_db"] is None else f"{row['worst_db']:.1f}"), row["worst_signal"]


def _finite(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
