# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What was measured of one number of stems at one NFE, and what follows from it. JSON-able both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from anacrusis.calib import fit
from anacrusis.calib.choice import Candidate, Choice, choose, fits, smallest
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.fit import Lead, Line
from anacrusis.calib.machine import Machine
from anacrusis.calib.tail import Tail
from anacrusis.engine.window import Geometry

STAGES = ("encode_ms", "denoise_ms", "decode_ms", "host_ms")
PAPER_FRAMES = 16  # r = .25: where the paper's cycles were timed


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step. total: of one repeat, the client's late wake, the cycle and the transfer together.

    measured_lead_frames: the lead while it was measured (see `latency.py`). stages_ms: medians. lost: round trips
    without an answer.
    """

    step_frames: int
    measured_lead_frames: int
    stages_ms: Mapping[str, float]
    compute: Tail
    transfer: Tail
    wake: Tail
    total: Tail
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Times in ms, positions in frames and samples.

    key: machine, bundle_sha256, rung, threads, stems, nfe, client. bundle_nfe: what the bundle plays with unless told.
    client: "this machine", or the host that answered. interface_ms: added to every total. quantile, confidence: of the
    bounds. load_1min: before it was measured.
    """

    machine: Machine
    bundle: str
    bundle_sha256: str
    rung: str
    threads: int
    stems: int
    nfe: int
    bundle_nfe: int
    client: str
    rate_hz: int
    geometry: Geometry
    trained_masked_frames: tuple[int, ...]
    fade_samples: int
    package: int
    interface_ms: float
    quantile: float
    confidence: float
    steps: tuple[StepResult, ...]
    measured_at: str
    version: str
    load_1min: float | None = None

    # -- what follows -----------------------------------------------------------------------------------------

    @property
    def key(self) -> tuple[object, ...]:
        return (
            *(self.machine, self.bundle_sha256, self.rung, self.threads, self.stems, self.nfe, self.client),
            *(self.fade_samples, self.interface_ms),
        )

    @property
    def window_s(self) -> float:
        return self.geometry.window_samples / self.rate_hz

    def ratio(self, step: StepResult) -> float:
        return step.step_frames / self.geometry.window_frames

    def step_ms(self, step: StepResult) -> float:
        return 1000.0 * step.step_frames * self.geometry.frame_samples / self.rate_hz

    def transfer_line(self) -> Line:
        """Floor and c of the medians against r."""
        return fit.fit_line([self.ratio(s) for s in self.steps], [s.transfer.p50_ms for s in self.steps])

    def compute_ms(self) -> float:
        """The paper's d_compute: the median cycle at r = .25, or at the measured step nearest to it."""
        return min(self.steps, key=lambda s: abs(s.step_frames - PAPER_FRAMES)).compute.p50_ms

    def smallest_ratio(self) -> float | None:
        """r*, continuous."""
        line = self.transfer_line()
        return fit.smallest_ratio(self.compute_ms(), self.window_s, line.slope, line.floor)

    def aligned_frames(self) -> int | None:
        """r* in whole frames of the window."""
        ratio = self.smallest_ratio()
        return None if ratio is None else fit.aligned_frames(ratio, self.geometry.window_frames)

    def crossing_ratio(self) -> float | None:
        """Where the measured d(r) itself meets T·r: a shorter step also decodes less, which r* does not count."""
        cycles = [s.compute.p50_ms + s.transfer.p50_ms for s in self.steps]
        return fit.crossing_ratio([self.ratio(s) for s in self.steps], cycles, self.window_s)

    def lead(self, step: StepResult) -> Lead:
        """l* of this step."""
        bound_ms = step.total.bound_ms + self.interface_ms
        return fit.smallest_lead(bound_ms, self.rate_hz, self.fade_samples, self.geometry.frame_samples)

    def keeps_up(self, step: StepResult) -> bool:
        return fit.keeps_up(step.compute.bound_ms, step.step_frames * self.geometry.frame_samples, self.rate_hz)

    def is_real_time(self, step: StepResult) -> bool:
        """It keeps up, and the window holds its lead."""
        lead_frames = self.lead(step).frames
        return self.keeps_up(step) and fits(self.geometry, step.step_frames, lead_frames, self.fade_samples)

    def candidates(self) -> tuple[Candidate, ...]:
        """The steps that are real-time."""
        return tuple(
            Candidate(s.step_frames, self.lead(s).frames, s.compute.bound_ms / self.step_ms(s))
            for s in self.steps
            if self.is_real_time(s)
        )

    def smallest(self) -> Candidate | None:
        return smallest(self.candidates())

    def recommended(self) -> Choice | None:
        return choose(self.candidates(), self.trained_masked_frames)

    def with_step(self, step: StepResult) -> Calibration:
        """The same with one step measured again."""
        return replace(self, steps=tuple(step if s.step_frames == step.step_frames else s for s in self.steps))

    # -- to and from JSON -------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What was measured, and under "results" what follows (written for readers; not read back)."""
        ratio, crossing, line = self.smallest_ratio(), self.crossing_ratio(), self.transfer_line()
        least, recommended = self.smallest(), self.recommended()
        results = {
            "compute_ms": self.compute_ms(),
            "c_ms": round(line.slope, 4),
            "floor_ms": round(line.floor, 4),
            "window_s": round(self.window_s, 6),
            "r_star": None if ratio is None else round(ratio, 5),
            "r_star_frames": self.aligned_frames(),
            "crossing": None if crossing is None else round(crossing, 5),
            "leads": [
                {"step_frames": s.step_frames, **asdict(self.lead(s)), "real_time": self.is_real_time(s)}
                for s in self.steps
            ],
            "smallest": None if least is None else asdict(least),
            "recommended": None if recommended is None else asdict(recommended),
        }
        return {**asdict(self), "results": results}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Raises CalibrationError for anything that `to_dict` does not write."""
        try:
            values = {field.name: raw[field.name] for field in fields(cls)}
            values["machine"] = Machine(**values["machine"])
            values["geometry"] = Geometry(**values["geometry"])
            values["trained_masked_frames"] = tuple(int(n) for n in values["trained_masked_frames"])
            values["steps"] = tuple(_step(one) for one in values["steps"])
            made = cls(**values)
            made.geometry.validate()
            made.to_dict()  # whatever is no number fails in this arithmetic
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError) as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
            raise CalibrationError(f"an entry is not a calibration ({what})") from None
        if not made.steps:
            raise CalibrationError("an entry has no step")
        return made


def _step(raw: Mapping[str, Any]) -> StepResult:
    tails = {name: Tail(**raw[name]) for name in ("compute", "transfer", "wake", "total")}
    stages = {str(name): float(value) for name, value in raw["stages_ms"].items()}
    return StepResult(int(raw["step_frames"]), int(raw["measured_lead_frames"]), stages, **tails, lost=int(raw["lost"]))


def median_of(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return round(ordered[(len(ordered) - 1) // 2], 4)
