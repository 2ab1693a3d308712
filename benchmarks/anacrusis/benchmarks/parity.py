# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity: our networks, samplers, codec and cycles against every array of a golden set of the original's outputs.

`run_parity` is what `anacrusis parity` calls. Each stage runs in isolation on golden inputs, through torch and
through ONNX Runtime on the graphs of freshly exported bundles; `cycles` runs whole server cycles end to end.
Tolerances, with their sources, are one table in `parity_golden.py`.

Needs torch and the exporter to run, not to be imported. Not covered: float16, GPUs, and how it sounds.
"""

from __future__ import annotations

import importlib.util
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anacrusis.benchmarks.parity_codec import DECODE, ENCODE, check_decode, check_encode
from anacrusis.benchmarks.parity_compare import ILL_CONDITIONED, TOLERANCES, WIDENED, Check, Recorder
from anacrusis.benchmarks.parity_cycles import SERVERS, check_cycles
from anacrusis.benchmarks.parity_golden import Golden, chosen
from anacrusis.benchmarks.parity_networks import (
    BLOCKS,
    CHECKPOINTS,
    LIGHTNING,
    RAW,
    check_blocks,
    check_checkpoints,
    check_networks,
)
from anacrusis.benchmarks.parity_runners import KIND_OF, OnnxRunner, Runner, TorchRunner, Workbench
from anacrusis.benchmarks.parity_sampling import (
    DENOISERS,
    SAMPLERS,
    SCHEDULES,
    check_denoisers,
    check_samplers,
    check_schedules,
)
from anacrusis.benchmarks.record import columns
from anacrusis.engine.errors import MissingExtraError

BACKENDS = ("torch", "onnxruntime")
HOST = "host"  # what no backend computes

_NEEDED = ("torch", "safetensors", "onnx", "onnx_ir", "onnxscript")
_WEIGHTS = ("m2l.safetensors", *(f"unet_{tag}.safetensors" for tag in KIND_OF))

StageCheck = Callable[[Golden, Workbench, Runner, Recorder], None]


def _check_codec(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    check_encode(golden, bench, runner, recorder)
    check_decode(golden, bench, runner, recorder)


def _host_schedules(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    check_schedules(golden, recorder)


# Stage -> the files it needs and what checks it, in the order they run.
_STAGES: dict[str, tuple[tuple[str, ...], StageCheck]] = {
    "schedules": ((SCHEDULES,), _host_schedules),
    "blocks": ((BLOCKS,), check_blocks),
    "networks": ((*RAW.values(), *_WEIGHTS), check_networks),
    "checkpoints": ((CHECKPOINTS, *LIGHTNING.values()), check_checkpoints),
    "denoisers": ((DENOISERS, *_WEIGHTS), check_denoisers),
    "samplers": ((*SAMPLERS.values(), *_WEIGHTS), check_samplers),
    "codec": ((ENCODE, DECODE, *_WEIGHTS), _check_codec),
    "cycles": ((*SERVERS.values(), *_WEIGHTS), check_cycles),
}
STAGES = tuple(_STAGES)


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What was compared and how close it came. unread: arrays that no stage knows, a failure as much as a miss."""

    golden: str
    backends: tuple[str, ...]
    checks: tuple[Check, ...]
    unread: tuple[str, ...]
    wall_s: float

    @property
    def misses(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.misses and not self.unread

    def to_json(self) -> str:
        """One compact line. Ratios are error / limit; null where there is none (wrong shape, not finite)."""
        stages: dict[str, dict[str, Any]] = {}
        for (stage, backend), checks in _grouped(self.checks, "stage", "backend"):
            worst = max(checks, key=lambda check: check.ratio)
            stages.setdefault(stage, {})[backend] = {
                "arrays": _arrays(checks),
                "worst_ratio": _finite(worst.ratio),
                "worst_array": worst.array,
                "max_abs": _finite(worst.max_abs),
                "limit": worst.limit,
                "ill_conditioned": _arrays(check for check in checks if check.quantity == ILL_CONDITIONED),
                "ok": all(check.passed for check in checks),
            }
        summary = {
            "golden": self.golden,
            "pass": self.passed,
            "arrays": _arrays(self.checks),
            "stages": stages,
            "misses": [
                {"array": c.array, "stage": c.stage, "backend": c.backend, "ratio": _finite(c.ratio)}
                for c in self.misses
            ],
            "unread": list(self.unread),
            "wall_s": round(self.wall_s, 1),
        }
        return json.dumps(summary, separators=(",", ":"))

    def table(self) -> str:
        """For people: one line a stage, backend and quantity, then every miss by name."""
        heads = ("stage", "backend", "quantity", "arrays", "max abs", "rms", "limit", "of limit", "")
        rows: list[tuple[str, ...]] = [heads]
        for (stage, backend, quantity), checks in _grouped(self.checks, "stage", "backend", "quantity"):
            worst = max(checks, key=lambda check: check.ratio)
            rows.append((stage, backend, quantity, str(_arrays(checks)), *_numbers(quantity, checks, worst)))
        lines = columns(rows, right=(3, 4, 5, 6, 7))
        lines += [
            f"MISS {c.array} ({c.stage}, {c.backend}, {c.quantity}): max abs {c.max_abs:.3g}, rms {c.rms:.3g}, "
            f"limit {c.limit:.3g}, {c.ratio:.3g} of it"
            for c in self.misses
        ]
        if any(check.quantity == ILL_CONDITIONED for check in self.checks):
            lines.append(
                f"{ILL_CONDITIONED}: beyond the limit stated with the set, within {WIDENED:g} times what one float32 "
                "rounding of the encoder's transform moves them by"
            )
        lines += [f"UNREAD {name}: no stage knows this array" for name in self.unread]
        return "\n".join(line.rstrip() for line in lines)


def run_parity(
    golden: str | Path,
    *,
    backends: Sequence[str] = BACKENDS,
    stages: Sequence[str] | None = None,
    threads: int = 1,
    report: Callable[[str], None] = lambda _: None,
) -> ParityReport:
    """Compare everything in the stages asked for (None: all). Minutes with ONNX Runtime, for its graphs are traced.

    report gets a line when something starts or ends. Writes only to a temporary directory, and restores torch's
    number of threads. Raises ParityError for what is not a golden set, a changed file, or an unknown stage or
    backend; MissingExtraError without the exporter's libraries.
    """
    begin = time.perf_counter()
    wanted = chosen("stage", STAGES if stages is None else stages, STAGES)
    runners = chosen("backend", backends, BACKENDS)
    opened = Golden.open(golden)
    for stage in wanted:
        opened.require(_STAGES[stage][0], stage)
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise MissingExtraError(f"parity needs {lacking[0]}: pip install 'anacrusis[export]'")
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="anacrusis-parity-") as directory, _torch_threads(threads):
        bench = Workbench(opened, Path(directory), threads=threads, report=report)
        available: dict[str, Runner] = {"torch": TorchRunner(bench), "onnxruntime": OnnxRunner(bench)}
        for stage in wanted:
            for backend in runners[:1] if stage == "schedules" else runners:
                name = HOST if stage == "schedules" else backend
                report(f"{stage} ({name})")
                before, since = len(checks), time.perf_counter()
                _STAGES[stage][1](opened, bench, available[backend], Recorder(stage, name, checks.append))
                report(_line(stage, name, checks[before:], time.perf_counter() - since))
    unread = tuple(opened.unused())
    return ParityReport(str(golden), runners, tuple(checks), unread, time.perf_counter() - begin)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _line(stage: str, backend: str, checks: Sequence[Check], wall_s: float) -> str:
    misses = sum(not check.passed for check in checks)
    verdict = f"{misses} MISSED" if misses else "ok"
    return f"{stage} ({backend}): {_arrays(checks)} arrays in {wall_s:.1f} s, {verdict}"


def _grouped(checks: Iterable[Check], *fields: str) -> list[tuple[tuple[str, ...], list[Check]]]:
    groups: dict[tuple[str, ...], list[Check]] = {}
    for check in checks:
        groups.setdefault(tuple(getattr(check, field) for field in fields), []).append(check)
    return list(groups.items())


def _arrays(checks: Iterable[Check]) -> int:
    return len({check.array for check in checks})


def _numbers(quantity: str, checks: Sequence[Check], worst: Check) -> tuple[str, ...]:
    tolerance, verdict = TOLERANCES[quantity], "ok" if all(c.passed for c in checks) else "MISS"
    if quantity == "exact":
        return f"{max(c.max_abs for c in checks):.0f} differ", "", "equal", "", verdict
    limit = f"{worst.limit:.2g}" + (f", {worst.rms_limit:.2g} rms" if worst.rms_limit is not None else "")
    if tolerance.scale == "differs":
        return f"{min(c.max_abs for c in checks):.2g}", "", f">= {limit}", f"{worst.ratio:.3f}", verdict
    rms = max(c.rms for c in checks)
    return f"{max(c.max_abs for c in checks):.2g}", f"{rms:.2g}", limit, f"{worst.ratio:.3f}", verdict


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
