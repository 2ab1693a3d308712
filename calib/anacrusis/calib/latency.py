# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Measure: cycles of every step, for every number of stems and NFE, each followed by its transfer.

One repeat is what a step is live: a rest (a client waits for its next step, and so do caches and clocks), a cycle on
noise that is music's loudness, and a round trip of its datagrams. Wake, cycle and transfer of a repeat are added, so
the tail of their sum is measured and not put together from tails.

The lead of a row is set by a few repeats before it: the whole frames that the shortest of them takes, at least one. A
longer lead than the one that comes of it would leave more silence unencoded on a CPU, and flatter the row.

Each row is measured `repeats` times, or for `row_s`, and never less than 5 times; then the steps that matter (the
smallest that keeps up, and the recommended one) are measured again, until there are enough repeats for order statistics
or for `tail_s`, at the NFE that the bundle plays with.

Not covered: what the server does around a cycle (1 to 2 ms, `benchmarks/overhead.py`), and a machine that gets warm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import numpy as np

from anacrusis.calib.calibration import STAGES, Calibration, StepResult, median_of
from anacrusis.calib.choice import fits
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.machine import load_1min, this_machine
from anacrusis.calib.tail import CONFIDENCE, QUANTILE, least_values, summarise
from anacrusis.calib.transfer import Link
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.ladder import default_threads
from anacrusis.engine.pipeline import Backend
from anacrusis.engine.prepared import let_go
from anacrusis.engine.window import Pace

STEPS: Final = (1, 2, 3, 4, 8, 16)
LEAST_REPEATS: Final = 5
WARM_UP, PILOT = 2, 3
LOUDNESS: Final = 0.1  # of full scale, RMS: a mix at -20 dBFS
MOST_LOST: Final = 0.5
DEEP: Final = 3  # rows that are looked at for longer


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure. stems: how many at once, each. nfes: None is the sampler's own choice of them.

    threads None: the ladder's default. rest_s: between two repeats. interface_ms: of the client's audio interface,
    added to every total. client: what answers the transfers, for the record.
    """

    steps: tuple[int, ...] = STEPS
    stems: tuple[int, ...] = ()
    nfes: tuple[int, ...] | None = None
    backend: str = "auto"
    threads: int | None = None
    repeats: int = 40
    row_s: float = 20.0
    tail_s: float = 60.0
    rest_s: float = 0.02
    fade_samples: int = 882
    package: int = 4410
    interface_ms: float = 0.0
    quantile: float = QUANTILE
    confidence: float = CONFIDENCE
    client: str = "this machine"
    seed: int = 1234

    def validate(self, bundle: Bundle) -> None:
        """Raise CalibrationError for what cannot be measured."""
        geometry, most = bundle.manifest.geometry, len(bundle.manifest.stems)
        if not self.steps or any(not fits(geometry, step, 1, self.fade_samples) for step in self.steps):
            raise CalibrationError(
                f"steps of {list(self.steps)} frames do not fit a window of {geometry.window_frames}"
            )
        for stems in self.stems:
            if not 1 <= stems <= most:
                raise CalibrationError(f"{stems} stems at once cannot be; this model writes 1 to {most}")
        for name, least in (
            ("repeats", LEAST_REPEATS),
            ("row_s", 0),
            ("tail_s", 0),
            ("rest_s", 0),
            ("interface_ms", 0),
        ):
            if not least <= getattr(self, name) < float("inf"):
                raise CalibrationError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for nfe in self.nfes or ():
            sampler_steps(bundle, nfe)
        if not 0.5 <= self.quantile < 1 or not 0.5 <= self.confidence < 1:
            raise CalibrationError("quantile and confidence must be at least .5 and less than 1")


@dataclass(slots=True)
class Samples:
    """Milliseconds, one value a repeat; only repeats whose transfer came back count."""

    compute: list[float] = field(default_factory=list)
    transfer: list[float] = field(default_factory=list)
    wake: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})
    lost: int = 0

    @property
    def total(self) -> list[float]:
        return [sum(three) for three in zip(self.wake, self.compute, self.transfer, strict=True)]

    def __len__(self) -> int:
        return len(self.compute)


Progress = Callable[[str, int, int], None]  # what is measured, rows done, rows in all
Rows = dict[tuple[int, int, int], Samples]  # (stems, nfe, step) -> samples


class Row:
    """A step bound and warmed up, its lead set. `measure` may be called again."""

    def __init__(self, bundle: Bundle, backend: str | Backend, stems: int, nfe: int, step: int, wanted: Wanted) -> None:
        manifest = bundle.manifest
        self.stems, self.step_frames, self._wanted, self._bundle = stems, step, wanted, bundle
        self._step_samples = step * manifest.geometry.frame_samples
        self.samples, self.lead_frames = Samples(), 1
        self._engine = Engine.open(
            bundle,
            backend=backend,
            stems=manifest.stems[:stems],
            step_frames=step,
            lead_frames=1,
            fade_samples=wanted.fade_samples,
            sampler_steps=sampler_steps(bundle, nfe),
            threads=wanted.threads,
            seed=wanted.seed,
        )
        self._rng = np.random.default_rng(wanted.seed)

    @property
    def backend(self) -> Backend:
        return self._engine.backend

    def settle(self, link: Link) -> None:
        """Warm up, and set the lead."""
        geometry, rate_hz = self._bundle.manifest.geometry, self._bundle.manifest.sample_rate_hz
        pilot = self._repeats(link, WARM_UP + PILOT, None)
        if len(pilot) <= MOST_LOST * (WARM_UP + PILOT):
            raise CalibrationError("most steps were lost between here and the client; choose a smaller --package-size")
        whole = int(min(pilot.total[-PILOT:]) * rate_hz / 1000 / geometry.frame_samples)
        leads = range(max(whole, 1), 0, -1)
        fitting = (lead for lead in leads if fits(geometry, self.step_frames, lead, self._wanted.fade_samples))
        self.lead_frames = next(fitting)
        self._engine.set_pace(
            Pace(self._step_samples, self.lead_frames * geometry.frame_samples, self._wanted.fade_samples)
        )
        self._repeats(link, WARM_UP, None)

    def measure(self, link: Link, repeats: int, seconds: float) -> None:
        """That many more, or as many as take so long, but at least 5 in all."""
        more = self._repeats(link, repeats, seconds, least=LEAST_REPEATS - len(self.samples))
        for name in ("compute", "transfer", "wake"):
            getattr(self.samples, name).extend(getattr(more, name))
        for name in STAGES:
            self.samples.stages[name].extend(more.stages[name])
        self.samples.lost += more.lost

    def _repeats(self, link: Link, repeats: int, seconds: float | None, least: int = 0) -> Samples:
        out, wanted, engine = Samples(), self._wanted, self._engine
        begin = time.perf_counter()
        for done in range(repeats):
            if seconds is not None and done >= least and time.perf_counter() - begin >= seconds:
                break
            context = (LOUDNESS * self._rng.standard_normal(self._step_samples)).astype(np.float32)
            wake_ms = link.rest(wanted.rest_s)
            began = time.perf_counter()
            step = engine.step(context)
            compute_ms = 1e3 * (time.perf_counter() - began)
            transfer_ms = link.trip(self.stems, self._step_samples + wanted.fade_samples, self._step_samples)
            if transfer_ms is None:
                out.lost += 1
                continue
            out.compute.append(compute_ms)
            out.transfer.append(transfer_ms)
            out.wake.append(wake_ms)
            for name in STAGES:
                out.stages[name].append(getattr(step.times, name))
        return out

    def result(self) -> StepResult:
        """Raises CalibrationError where too many transfers were lost to say anything."""
        samples, wanted = self.samples, self._wanted
        tails = {
            name: summarise(getattr(samples, name), wanted.quantile, wanted.confidence)
            for name in ("compute", "transfer", "wake", "total")
        }
        stages = {name: median_of(values) for name, values in samples.stages.items()}
        return StepResult(self.step_frames, self.lead_frames, stages, **tails, lost=samples.lost)

    def close(self) -> None:
        """Let go of the pipeline; the backend stays for the next row."""
        self._engine.close()
        let_go(self._engine.cycle.prepared.pipeline)  # type: ignore[union-attr]


def sampler_nfes(bundle: Bundle) -> tuple[int, ...]:
    """The NFEs a sampler offers: a consistency model 1 and 2, any other what its bundle says."""
    sampler = bundle.manifest.sampler
    return (1, 2) if sampler.name == "consistency" else (sampler.table().nfe,)


def sampler_steps(bundle: Bundle, nfe: int) -> int | None:
    """The sampler's `steps` that evaluate so often. Raises CalibrationError where there are none."""
    sampler = bundle.manifest.sampler
    if sampler.table().nfe == nfe:
        return None
    for steps in range(1 if sampler.name == "consistency" else 2, nfe + 2):
        if sampler.table(steps).nfe == nfe:
            return steps
    raise CalibrationError(
        f"a {sampler.name} sampler cannot evaluate {nfe} times; this bundle's does {sampler.table().nfe}"
    )


def calibrate(bundle: Bundle, wanted: Wanted, link: Link, progress: Progress) -> tuple[list[Calibration], Rows]:
    """One calibration for each number of stems and NFE, and every sample for plots.

    Takes minutes. Raises CalibrationError, BackendError and what binding raises.
    """
    wanted.validate(bundle)
    nfes = wanted.nfes or sampler_nfes(bundle)
    counts = wanted.stems or tuple(range(1, len(bundle.manifest.stems) + 1))
    own = bundle.manifest.sampler.table().nfe
    deep = own if own in nfes else nfes[0]
    # The tails of the NFE that is played with are worth more time.
    total = len(counts) * (len(nfes) * len(set(wanted.steps)) + DEEP)
    run = _Run(bundle, wanted, link, progress, total)
    made = []
    for stems in counts:
        for nfe in nfes:
            measured = run.grid(stems, nfe)
            made.append(run.deepen(measured) if nfe == deep else measured)
    return made, run.rows


def steps_that_matter(measured: Calibration) -> list[int]:
    """The smallest step of which no repeat was too long (few bound it loosely), the smallest, the recommended."""
    unbroken = [s.step_frames for s in measured.steps if s.compute.max_ms < measured.step_ms(s)]
    chosen = [c.step_frames for c in (measured.smallest(), measured.recommended()) if c is not None]
    return list(dict.fromkeys([*unbroken[:1], *chosen]))


class _Run:
    def __init__(self, bundle: Bundle, wanted: Wanted, link: Link, progress: Progress, total: int) -> None:
        self._bundle, self._wanted, self._link, self._progress = bundle, wanted, link, progress
        self._backend: str | Backend = wanted.backend
        self._machine, self._load = this_machine(), load_1min()
        self._done, self._total = 0, total
        self.rows: Rows = {}

    def grid(self, stems: int, nfe: int) -> Calibration:
        """Every step."""
        results = [self._row(stems, nfe, step, self._wanted.repeats, self._wanted.row_s) for step in self._steps]
        manifest, wanted = self._bundle.manifest, self._wanted
        assert not isinstance(self._backend, str)
        return Calibration(
            machine=self._machine,
            bundle=manifest.name,
            bundle_sha256=self._bundle.hash,
            rung=self._backend.name,
            threads=default_threads() if wanted.threads is None else wanted.threads,
            stems=stems,
            nfe=nfe,
            bundle_nfe=manifest.sampler.table().nfe,
            client=wanted.client,
            rate_hz=manifest.sample_rate_hz,
            geometry=manifest.geometry,
            trained_masked_frames=manifest.trained_masked_frames,
            fade_samples=wanted.fade_samples,
            package=wanted.package,
            interface_ms=wanted.interface_ms,
            quantile=wanted.quantile,
            confidence=wanted.confidence,
            steps=tuple(results),
            measured_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            version=version("anacrusis"),
            load_1min=self._load,
        )

    def deepen(self, measured: Calibration) -> Calibration:
        """More of the steps that matter, looked for again after each: a longer look may rule one in or out."""
        deepened: set[int] = set()
        for _ in range(DEEP):
            step = next((s for s in steps_that_matter(measured) if s not in deepened), None)
            if step is None or self._wanted.tail_s == 0:
                self._done += 1
                continue
            deepened.add(step)
            repeats = least_values(self._wanted.quantile, self._wanted.confidence)
            again = self._row(measured.stems, measured.nfe, step, repeats, self._wanted.tail_s)
            measured = measured.with_step(again)
        return measured

    @property
    def _steps(self) -> Sequence[int]:
        return sorted(set(self._wanted.steps))

    def _row(self, stems: int, nfe: int, step: int, repeats: int, seconds: float) -> StepResult:
        self._progress(f"{stems} stem(s), NFE {nfe}, step {step}", self._done, self._total)
        row = Row(self._bundle, self._backend, stems, nfe, step, self._wanted)
        try:
            self._backend = row.backend  # whatever the ladder chose stays
            row.settle(self._link)
            row.measure(self._link, repeats, seconds)
        finally:
            row.close()
        self.rows[stems, nfe, step] = row.samples
        self._done += 1
        self._progress(f"{stems} stem(s), NFE {nfe}, step {step}", self._done, self._total)
        return row.result()
