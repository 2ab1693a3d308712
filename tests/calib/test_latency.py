# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured, how often, and at which lead: networks that copy, and a transfer that says what it took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anacrusis.calib import latency
from anacrusis.calib.calibration import Calibration
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.latency import Wanted, calibrate, sampler_nfes, sampler_steps, steps_that_matter
from anacrusis.calib.plot import draw
from anacrusis.calib.report import lines
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.sampler import SamplerConfig

from .made import calibration

QUICK = Wanted(steps=(2,), stems=(1,), nfes=(2,), threads=1, repeats=5, tail_s=0.0, rest_s=0.0, backend="onnxruntime")


class Said:
    """A link that takes no time and says that it took some. lost: every so many round trips."""

    def __init__(self, ms: float = 1.0, lost: int = 0) -> None:
        self.ms, self.lost, self.trips = ms, lost, list[tuple[int, int, int]]()

    def rest(self, seconds: float) -> float:
        return 0.25

    def trip(self, stems: int, reply_samples: int, step_samples: int) -> float | None:
        self.trips.append((stems, reply_samples, step_samples))
        return None if self.lost and len(self.trips) % self.lost == 0 else self.ms * stems


@pytest.fixture(scope="module")
def bundle(copying: Path) -> Bundle:
    return Bundle.open(copying)


def run(bundle: Bundle, wanted: Wanted, link: Said | None = None) -> tuple[list[Calibration], latency.Rows]:
    return calibrate(bundle, wanted, link or Said(), lambda text, done, total: None)


@pytest.fixture(scope="module")
def measured(bundle: Bundle) -> tuple[list[Calibration], latency.Rows]:
    return run(bundle, replace(QUICK, steps=(8, 2), stems=(1, 2), nfes=None))


def test_every_number_of_stems_and_evaluations_is_measured(measured: tuple[list[Calibration], latency.Rows]) -> None:
    made, rows = measured
    assert [(one.stems, one.nfe) for one in made] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for one in made:
        assert [step.step_frames for step in one.steps] == [2, 8]
        assert (one.rung, one.threads) == ("onnxruntime", 1)
        for step in one.steps:
            samples = rows[one.stems, one.nfe, step.step_frames]
            assert (len(samples), step.total.n, step.lost) == (5, 5, 0)
            assert samples.transfer == [1.0 * one.stems] * 5
            assert all(
                total == pytest.approx(0.25 + compute + one.stems)
                for total, compute in zip(samples.total, samples.compute, strict=True)
            )
            assert step.stages_ms["denoise_ms"] > 0


def test_the_transfers_are_a_step_s(bundle: Bundle) -> None:
    link = Said()
    run(bundle, replace(QUICK, steps=(4,), stems=(3,)), link)
    assert set(link.trips) == {(3, 4 * 4096 + 882, 4 * 4096)}


@pytest.mark.parametrize(("transfer_ms", "lead"), [(1.0, 1), (300.0, 3), (1e5, 54)])
def test_the_lead_while_it_is_measured_is_what_a_repeat_takes(bundle: Bundle, transfer_ms: float, lead: int) -> None:
    """Given that a cycle of these networks takes less than a frame; the window holds 54 beside a step of 8."""
    made, _ = run(bundle, replace(QUICK, steps=(8,)), Said(transfer_ms))
    got = made[0].steps[0].measured_lead_frames
    assert got >= lead if lead < 54 else got == 54


def test_lost_transfers_are_counted_and_do_not_count(bundle: Bundle) -> None:
    made, rows = run(bundle, replace(QUICK, repeats=9), Said(lost=3))
    (step,) = made[0].steps
    assert (step.lost, step.total.n, len(rows[1, 2, 2])) == (3, 6, 6)


def test_a_link_that_loses_most_is_refused(bundle: Bundle) -> None:
    with pytest.raises(CalibrationError, match="choose a smaller --package-size"):
        run(bundle, QUICK, Said(lost=1))


def test_no_time_still_means_five_repeats(bundle: Bundle) -> None:
    made, _ = run(bundle, replace(QUICK, repeats=50, row_s=0.0))
    assert made[0].steps[0].total.n == latency.LEAST_REPEATS


def test_the_steps_that_matter_are_looked_at_for_longer(bundle: Bundle) -> None:
    wanted = replace(QUICK, steps=(2, 16), tail_s=60.0, quantile=0.6, confidence=0.9)
    seen = list[tuple[int, int]]()
    calibrate(bundle, wanted, Said(), lambda text, done, total: seen.append((done, total)))
    assert seen[-1][0] >= 3
    assert {total for _, total in seen} == {2 + latency.DEEP}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("cycles", "steps"),
    [
        ({1: 200.0, 2: 100.0, 8: 150.0}, [2, 8]),  # 2 keeps up; a mask of 16 takes steps of 8
        ({1: 50.0}, [1]),
        ({1: 200.0}, []),
    ],
)
def test_which_steps_matter(cycles: dict[int, float], steps: list[int]) -> None:
    assert steps_that_matter(calibration(cycles)) == steps


SAMPLERS = [
    (SamplerConfig("consistency", 2, 1e-4, 80.0, 7.0), (1, 2), {1: 1, 2: None, 3: 3}),
    (SamplerConfig("dpm2", 5, 1e-4, 50.0, 9.0, resamples=2), (16,), {16: None, 4: 2, 8: 3}),
    (SamplerConfig("heun", 3, 2e-3, 80.0, 7.0), (5,), {5: None, 3: 2}),
]


@pytest.mark.parametrize(("sampler", "nfes", "steps"), SAMPLERS, ids=[s.name for s, _, _ in SAMPLERS])
def test_what_a_sampler_offers(
    bundle: Bundle, sampler: SamplerConfig, nfes: tuple[int, ...], steps: dict[int, int | None]
) -> None:
    other = replace(bundle, manifest=replace(bundle.manifest, sampler=sampler))
    assert sampler_nfes(other) == nfes
    for nfe, wanted in steps.items():
        assert sampler_steps(other, nfe) == wanted
    if sampler.name == "dpm2":
        with pytest.raises(CalibrationError, match="a dpm2 sampler cannot evaluate 7 times; this bundle's does 16"):
            sampler_steps(other, 7)


BAD = [
    ({"steps": (0,)}, "do not fit a window"),
    ({"steps": (63,)}, "do not fit a window"),
    ({"stems": (5,)}, "5 stems at once cannot be; this model writes 1 to 4"),
    ({"repeats": 4}, "repeats is 4; it must be at least 5"),
    ({"row_s": float("nan")}, "row_s is nan"),
    ({"interface_ms": -1.0}, "interface_ms is -1.0"),
    ({"quantile": 1.0}, "quantile and confidence"),
    ({"confidence": 0.1}, "quantile and confidence"),
]


@pytest.mark.parametrize(("wanted", "says"), BAD, ids=[f"{next(iter(w))}" + str(i) for i, (w, _) in enumerate(BAD)])
def test_what_cannot_be_measured(bundle: Bundle, wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        replace(QUICK, **wanted).validate(bundle)


def test_it_is_said_and_drawn(measured: tuple[list[Calibration], latency.Rows], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'anacrusis[plot]'")
    made, rows = measured
    written = draw(tmp_path / "plots", made[:2], rows)
    assert [path.name for path in written] == ["ratio.png", "cycles.png", "stages.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_the_report_of_a_machine_and_of_one_that_is_too_slow() -> None:
    text = "\n".join(lines(calibration({1: 80.0, 8: 100.0}, 5.0, interface_ms=10.0)))
    assert "r* = (100.0 + 5.0) / (1000 x 5.944 - 0.0) = 0.018; in whole frames 2/64" in text
    assert "smallest step 1 frames, l* = 5072 samples = 115.0 ms (2 frames) + 10 ms of the interface" in text
    assert "--step-frames 8 --lead-frames 8" in text
    slow = lines(calibration({1: 8000.0, 8: 8000.0}))
    assert "none: no step is real-time" in slow[-2]
    assert slow[-1].startswith("no measured step is real-time here")
