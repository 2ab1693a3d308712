# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The front of the room: open a bundle, step through a song.

from anacrusis.engine import Engine
engine = Engine.open(bundle, backend="auto", stems=["bass"], step_frames=16, lead_frames=16)
audio = engine.step(context)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.cycle import F32, Cycle, Step
from anacrusis.engine.errors import BackendError, GeometryError, StemError
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.noise import NoiseSource, PhiloxNoise
from anacrusis.engine.pipeline import Backend
from anacrusis.engine.prepared import Prepared, let_go
from anacrusis.engine.upstream import WINDOW_SAMPLES as UPSTREAM_WINDOW_SAMPLES
from anacrusis.engine.upstream import UpstreamCycle, UpstreamPace
from anacrusis.engine.window import Geometry, Pace, lead_from_w, step_from_ratio

Compat = Literal["native", "upstream"]


class Engine:
    """A bundle on a backend with a session's state. All methods from one thread at a time."""

    def __init__(self, bundle: Bundle, backend: Backend, cycle: Cycle | UpstreamCycle) -> None:
        self.bundle, self.backend, self.cycle = bundle, backend, cycle

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        *,
        backend: str | Backend = "auto",
        stems: Sequence[str] = ("bass",),
        step_frames: int | None = None,
        step_samples: int | None = None,
        lead_frames: int | None = None,
        lead_samples: int | None = None,
        r: float | None = None,
        w: float = 1.0,
        window_samples: int | None = None,
        fade_samples: int = 882,
        context_tail_samples: int = 0,
        sampler_steps: int | None = None,
        seed: int = 1234,
        threads: int | None = None,
        compat: Compat = "native",
        contiguous: bool = False,
        keep_latents: bool = False,
        noise: NoiseSource | None = None,
    ) -> Engine:
        """Open and bind; takes seconds for a full-size bundle.

        The pace is given once: in frames, in samples, or as the paper's r and w over `window_samples` (T; the
        bundle's window unless given; 264,600 with compat="upstream"). A step without a lead looks one step
        ahead. sampler_steps overrides the manifest's. contiguous: see `window.plan_cycle`. keep_latents: every
        Step carries a copy of the window's latents.

        Raises BundleError, BackendError, StemError or GeometryError, each with what to do next.
        """
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        manifest = opened.manifest
        check_stems(manifest, stems)
        table = manifest.sampler.table(sampler_steps)
        source = noise if noise is not None else PhiloxNoise(seed)
        # Every refusal that needs no backend comes before one is opened.
        if compat == "upstream":
            total = window_samples or UPSTREAM_WINDOW_SAMPLES
            pace_u = UpstreamPace(0.25 if r is None else r, w, fade_samples, total)
            if any(v is not None for v in (step_frames, step_samples, lead_frames, lead_samples)):
                raise GeometryError("the original is paced by r and w only; leave out steps and leads")
            pace_u.validate(manifest.geometry)
            running = _backend(opened, backend, threads)
            return cls(opened, running, UpstreamCycle(running, stems, pace_u, table, source))
        pace = make_pace(
            manifest.geometry,
            step_frames=step_frames,
            step_samples=step_samples,
            lead_frames=lead_frames,
            lead_samples=lead_samples,
            r=r,
            w=w,
            window_samples=window_samples,
            fade_samples=fade_samples,
            context_tail_samples=context_tail_samples,
        )
        passed: dict[str, str] = {}
        while True:
            running = _backend(opened, backend, threads, passed)
            try:
                cycle = Cycle(running, stems, pace, table, source, contiguous=contiguous, keep_latents=keep_latents)
            except BackendError as error:
                if backend != "auto" or running.name in passed:
                    raise
                let_go(running)
                passed[running.name] = str(error)  # it has no plan for these stems, say: the ladder goes on
            else:
                return cls(opened, running, cycle)

    def step(self, context: F32) -> Step:
        """Hear context [n] float32 mono at the bundle's rate; get the next step of every stem."""
        return self.cycle.step(context)

    def hear(self, context: F32) -> None:
        """Hear context [n] and write nothing: a step that is dropped. Time moves on."""
        self.cycle.hear(context)

    def again(self) -> Step:
        """The newest step once more, from fresh noise."""
        return self.cycle.again()

    def set_pace(self, pace: Pace | UpstreamPace) -> None:
        """Another step or lead from the next step on (`make_pace` builds one).

        Raises GeometryError, and changes nothing, for one that the window cannot hold.
        """
        wanted = Pace if isinstance(self.cycle, Cycle) else UpstreamPace
        if not isinstance(pace, wanted):
            raise GeometryError(f"this engine is paced by a {wanted.__name__}, not by a {type(pace).__name__}")
        self.cycle.set_pace(pace)  # type: ignore[arg-type]

    def set_stems(self, stems: Sequence[str]) -> None:
        """Other stems from the next step on; those that stay keep their history. Raises StemError."""
        check_stems(self.bundle.manifest, stems)
        self.cycle.set_stems(stems)

    def adopt(self, prepared: Prepared) -> Prepared:
        """Another rung from the next step on, nothing forgotten; returns the one before. Takes microseconds.

        `prepared` may be for other stems; those that stay keep their history. Raises BackendError, and changes
        nothing, where the cycle cannot play through it (see `Cycle.adopt`).
        """
        cycle = self.cycle
        if not isinstance(cycle, Cycle):
            raise BackendError("the original's cycle stays on the backend that it was opened with")
        before = cycle.prepared
        if prepared.stems == cycle.stems:
            cycle.adopt(prepared)
        else:
            check_stems(self.bundle.manifest, prepared.stems)
            cycle.set_stems(prepared.stems, prepared)
        self.backend = prepared.backend
        return before

    def skip(self, samples: int) -> None:
        """Time passed unheard."""
        self.cycle.skip(samples)

    def reset(self) -> None:
        """Start a new epoch."""
        self.cycle.reset()

    @property
    def step_samples(self) -> int:
        return self.cycle.pace.step_samples

    @property
    def lead_samples(self) -> int:
        return self.cycle.pace.lead_samples

    @property
    def nfe(self) -> int:
        """Network evaluations a generating step runs, per stem."""
        return self.cycle.nfe

    def close(self) -> None:
        self.cycle.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_stems(manifest: Manifest, stems: Sequence[str]) -> None:
    """Raise StemError unless `stems` are distinct stems of the model, at least one."""
    if not stems:
        raise StemError(f"no stem asked for; choose from {', '.join(manifest.stems)}")
    for stem in stems:
        manifest.stem_index(stem)
    if len(set(stems)) != len(stems):
        raise StemError(f"a stem is asked for twice: {', '.join(stems)}")


def make_pace(
    geometry: Geometry,
    *,
    step_frames: int | None = None,
    step_samples: int | None = None,
    lead_frames: int | None = None,
    lead_samples: int | None = None,
    r: float | None = None,
    w: float = 1.0,
    window_samples: int | None = None,
    fade_samples: int = 0,
    context_tail_samples: int = 0,
) -> Pace:
    """A validated Pace from one of the three ways to give one. Raises GeometryError."""
    given = [
        name for name, v in (("step_frames", step_frames), ("step_samples", step_samples), ("r", r)) if v is not None
    ]
    if len(given) > 1:
        raise GeometryError(f"give the step once, not as {' and '.join(given)}")
    if lead_frames is not None and lead_samples is not None:
        raise GeometryError("give the lead once, not as lead_frames and lead_samples")
    total = window_samples if window_samples is not None else geometry.window_samples
    if step_frames is not None:
        step = step_frames * geometry.frame_samples
    elif step_samples is not None:
        step = step_samples
    else:
        step = step_from_ratio(total, 0.25 if r is None else r)
    if lead_frames is not None:
        lead = lead_frames * geometry.frame_samples
    elif lead_samples is not None:
        lead = lead_samples
    elif step_frames is None and step_samples is None:
        lead = lead_from_w(total, 0.25 if r is None else r, w)
    else:
        lead = lead_from_w(step, 1.0, w) if step > 0 else 0
    pace = Pace(step, lead, fade_samples, context_tail_samples)
    pace.validate(geometry)
    return pace


def _backend(
    bundle: Bundle, backend: str | Backend, threads: int | None, passing: Mapping[str, str] | None = None
) -> Backend:
    return open_backend(bundle, backend, threads, passing=passing) if isinstance(backend, str) else backend
