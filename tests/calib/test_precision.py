# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The precision report over made-up networks: a loss is found in the stage that has it, and nowhere else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anacrusis.calib import precision, precision_report
from anacrusis.calib.precision import Bound, Oracle, PrecisionError, compare, snr_db, tasks_of
from anacrusis.calib.precision_report import PrecisionReport, RungReport, entries_of, keep, kept, run_precision
from anacrusis.calib.precision_set import RECIPE, write_set
from anacrusis.calib.precision_state import advance, first_state, one_row
from anacrusis.engine.bundle import Bundle, sha256
from anacrusis.engine.errors import BackendError
from anacrusis.engine.noise import PhiloxNoise
from anacrusis.engine.pipeline import Binding, CycleInputs, CycleOutputs, StageTimes
from anacrusis.engine.sampler import SamplerConfig

F32 = precision.F32
CONSISTENCY = SamplerConfig("consistency", steps=2, sigma_min=1e-4, sigma_max=80.0, rho=7.0)
DPM2 = SamplerConfig("dpm2", steps=3, sigma_min=1e-4, sigma_max=50.0, rho=9.0, resamples=2)
HEUN = SamplerConfig("heun", steps=3, sigma_min=0.002, sigma_max=80.0, rho=7.0)


class Toy:
    """A backend of arithmetic: every stage mixes its inputs. broken: a stage whose result is spoilt a little."""

    name = "toy"

    def __init__(self, bundle: Bundle, broken: str = "", by: float = 1e-3) -> None:
        self.bundle, self.broken, self.by = bundle, broken, by

    def bind(self, binding: Binding) -> ToyPipeline:
        return ToyPipeline(self, binding)


class ToyPipeline:
    """See `Pipeline`."""

    def __init__(self, backend: Toy, binding: Binding) -> None:
        self._backend, self._binding, self._manifest = backend, binding, backend.bundle.manifest
        self.inputs = CycleInputs.zeros(self._manifest, binding)

    def _spoilt(self, stage: str, array: F32) -> F32:
        wrong = self._backend.by if stage == self._backend.broken else 0.0
        return (array * np.float32(1 + wrong)).astype(np.float32)

    def encode(self) -> F32:
        frame = self._manifest.geometry.frame_samples
        frames = self._manifest.geometry.window_frames
        power = np.sqrt((self.inputs.audio[0, : frame * frames].reshape(frames, frame) ** 2).mean(1))
        wide = np.arange(1, self._manifest.encoded_channels + 1, dtype=np.float32)[:, None] * (power + 0.1)
        return self._spoilt("encode", wide[None] * self.inputs.heard)

    def decode_frames(self, wanted: int) -> int:
        return wanted

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        given = self.inputs
        latents, context = given.source, None
        if generate:
            context = self.encode()
            u = given.keep * given.source + given.noise[0]
            b, noises = u.copy(), iter(given.noise[1:])
            for row in self._binding.table.rows:
                estimate = np.tanh(u / np.float32(row.sigma + 1)) + 0.1 * context.mean() + np.float32(0.1 / row.sigma)
                estimate = self._spoilt("denoise", estimate.astype(np.float32))
                v = np.float32(row.cb) * b + np.float32(row.cu) * u + np.float32(row.cd) * estimate
                u = v if row.mix is None else given.keep * given.source + (1 - given.keep) * v + next(noises)
                b = u if row.newbase else b
            latents = u.astype(np.float32)
        part = latents[0, :, decode_first : decode_first + decode_frames]
        samples = self._manifest.geometry.decoded_samples(decode_frames)
        noise = given.decoder_noise_view(decode_frames)[0].mean()
        tone = np.resize(part.mean(0), samples)[None] + 0.01 * noise
        return CycleOutputs(latents, self._spoilt("decode", tone.astype(np.float32)), context, StageTimes())


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return Bundle.open(tiny, verify=False)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """rung -> which stage is broken ("" none); "torch" is the oracle. Any other rung refuses."""

    def install(broken: dict[str, str]) -> None:
        def open_backend(opened: Bundle, name: str, threads: int | None = None) -> Toy:
            if name not in broken:
                raise BackendError(f"{name} is not here")
            return Toy(opened, broken[name])

        for module in (precision, precision_report):
            monkeypatch.setattr(module, "open_backend", open_backend)

    return install


def heard(bundle: Bundle) -> dict[str, F32]:
    length = bundle.manifest.geometry.encode_samples
    noise = np.random.default_rng(0).uniform(-1, 1, length).astype(np.float32)
    return {"noise": noise, "silent": np.zeros(length, np.float32)}


@pytest.mark.parametrize("config", [CONSISTENCY, DPM2, HEUN], ids=["consistency", "dpm2", "heun"])
def test_row_by_row_the_oracle_arrives_where_a_whole_cycle_does(
    config: SamplerConfig, bundle: Bundle, toys: Callable[[dict[str, str]], None]
) -> None:
    toys({"torch": ""})
    other = replace(bundle, manifest=replace(bundle.manifest, sampler=config))
    oracle = Oracle(other, seed=3)
    truth = oracle.truth(tasks_of(heard(bundle), bundle.manifest)[0])
    final, audio = oracle.bound.cycle(truth.task, truth.state, truth.decoder_noise)
    np.testing.assert_allclose(final, truth.final, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(audio, truth.audio, rtol=1e-5, atol=1e-5)
    assert truth.inputs.shape == truth.estimates.shape == (oracle.table.nfe, *final.shape)
    assert not np.array_equal(truth.estimates[0], truth.estimates[-1])


@pytest.mark.parametrize(
    ("broken", "lost"),
    [
        ("", set[str]()),
        ("encode", {"encode", "denoise", "final", "audio"}),
        ("denoise", {"denoise", "final", "audio"}),
        ("decode", {"decode", "audio"}),
    ],
)
def test_a_loss_is_found_where_it_is(
    broken: str, lost: set[str], bundle: Bundle, toys: Callable[[dict[str, str]], None]
) -> None:
    toys({"torch": "", "onnxruntime": broken})
    oracle = Oracle(bundle, seed=1)
    bound = Bound(Toy(bundle, broken), oracle.table)
    (task, _) = tasks_of(heard(bundle), bundle.manifest)
    errors = compare(bound, oracle.truth(task))
    assert [error.stage for error in errors] == ["encode", "denoise", "denoise", "final", "decode", "audio"]
    assert {error.stage for error in errors if error.snr_db < 110} == lost
    if broken:
        assert min(error.snr_db for error in errors) == pytest.approx(60, abs=6)  # a part in a thousand


@pytest.mark.parametrize(("taper_samples", "decoded"), [(1536, 17), (0, 16), (4096, 17), (114_688, 44)])
def test_as_many_frames_are_decoded_as_the_decoder_takes(
    taper_samples: int, decoded: int, bundle: Bundle, toys: Callable[[dict[str, str]], None]
) -> None:
    toys({"torch": ""})
    geometry = replace(bundle.manifest.geometry, decode_taper_samples=taper_samples)
    other = replace(bundle, manifest=replace(bundle.manifest, geometry=geometry))
    oracle = Oracle(other, seed=1)
    truth = oracle.truth(tasks_of(heard(other), other.manifest)[0])
    assert oracle.bound.decoded == decoded
    assert truth.audio.shape == (geometry.decoded_samples(decoded),)


def test_a_report_has_every_rung_and_misses_what_is_not_finite(
    bundle: Bundle, toys: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    toys({"torch": "", "onnxruntime": "denoise"})
    report = run_precision(bundle, heard(bundle), ("torch", "onnxruntime", "tensorrt"))
    assert [(rung.rung, rung.refused is None) for rung in report.rungs] == [
        ("tensorrt", False),
        ("onnxruntime", True),
        ("torch", True),
    ]
    summary = json.loads(json.dumps(report.summary(), allow_nan=False))
    assert summary["windows"] == ["noise", "silent"]
    assert summary["rungs"][0] == {"rung": "tensorrt", "refused": "tensorrt is not here"}
    assert {row["stage"] for row in summary["rungs"][1]["rows"]} == {"encode", "denoise", "final", "decode", "audio"}
    assert "equal" in "\n".join(report.lines())
    spoilt = precision.error_of("final", "noise", np.ones(4, np.float32), np.array([1, 1, np.inf, 1], np.float32))
    bad = RungReport("torch", "float32", (spoilt,))
    assert not bad.passed
    assert (bad.rows()[0]["worst_db"], bad.rows()[0]["nonfinite"]) == (None, 1)
    whole = PrecisionReport("b", "0", "o", 2, ("noise",), (bad,))
    assert "NOT FINITE" in "\n".join(whole.lines())
    assert not whole.passed


@pytest.mark.parametrize(
    ("compute", "db", "passed"), [("float32", 59, False), ("float16", 59, True), ("float16", 39, False)]
)
def test_the_goal_follows_what_a_rung_computes_in(compute: str, db: float, passed: bool) -> None:
    error = precision.Error("final", None, None, "noise", db, 0.1, 0)
    assert RungReport("torch", compute, (error,)).passed is passed


@pytest.mark.parametrize(
    ("want", "got", "db"),
    [([1.0, 1.0], [1.0, 1.0], math.inf), ([1.0, 1.0], [1.1, 1.1], 20.0), ([1.0], [math.nan], -math.inf)],
)
def test_snr(want: list[float], got: list[float], db: float) -> None:
    assert snr_db(np.array(want), np.array(got)) == pytest.approx(db)


def test_one_row_hands_the_estimate_on(bundle: Bundle) -> None:
    table = DPM2.table()
    row = one_row(table, 3)
    assert (row.nfe, row.rows[0].sigma, len(row.mixes)) == (1, table.rows[3].sigma, 1)
    state = first_state(bundle.manifest, table, PhiloxNoise(0), 0, 32, 16)
    assert (int(state.keep.sum()), state.noise.shape[0]) == (48, len(table.mixes))
    estimate = np.full_like(state.source, 0.5)
    u, b = advance(row.rows[0], state.begin(), state.begin(), estimate, state, None)
    assert u is b
    np.testing.assert_array_equal(u, estimate)


@pytest.mark.parametrize(
    ("windows", "rungs", "why"),
    [
        ({}, ("all",), "at least one"),
        ({"x": np.zeros(3, np.float32)}, ("all",), "samples each"),
        (None, ("gpu",), "unknown rung"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    windows: dict[str, F32] | None, rungs: tuple[str, ...], why: str, bundle: Bundle
) -> None:
    with pytest.raises(PrecisionError, match=why):
        run_precision(bundle, heard(bundle) if windows is None else windows, rungs)


def test_a_bundle_keeps_its_reports_and_forgets_another_s(
    bundle: Bundle, tmp_path: Path, toys: Callable[[dict[str, str]], None]
) -> None:
    toys({"torch": "", "onnxruntime": "decode"})
    mine = replace(bundle, path=tmp_path)
    report = run_precision(mine, heard(bundle), ("torch",))
    keep(mine, entries_of(report, {"commit": "abc"}))
    keep(mine, {"emulated, float16": {"pass": True}})
    found = kept(mine)
    assert set(found) == {"torch, float32", "emulated, float16"}
    assert (found["torch, float32"]["commit"], found["torch, float32"]["pass"]) == ("abc", True)
    assert kept(replace(mine, hash="another")) == {}
    (tmp_path / precision_report.FILE).write_text("{")
    assert kept(mine) == {}
    with pytest.raises(PrecisionError, match="cannot be written"):
        keep(replace(mine, path=tmp_path / "absent"), {})


def test_a_calibration_set_is_what_every_stage_saw(
    bundle: Bundle, tmp_path: Path, toys: Callable[[dict[str, str]], None]
) -> None:
    toys({"torch": ""})
    out = tmp_path / "set"
    recipe = write_set(bundle, heard(bundle), out, sources={"noise": "made"}, about={"commit": "abc"}, seed=5)
    assert json.loads((out / RECIPE).read_text()) == recipe
    assert [(name, file["window"], file["source"]) for name, file in recipe["files"].items()] == [
        ("window_000.npz", "noise", "made"),
        ("window_001.npz", "silent", ""),
    ]
    assert all(sha256(out / name) == file["sha256"] for name, file in recipe["files"].items())
    manifest, frames = bundle.manifest, bundle.manifest.geometry.window_frames
    with np.load(out / "window_000.npz") as arrays:
        assert arrays["audio"].shape == (manifest.geometry.encode_samples,)
        assert not arrays["audio"][frames // 2 * manifest.geometry.frame_samples :].any()
        assert arrays["row_01_u"].shape == arrays["source"].shape == (manifest.latent_channels, frames)
        assert arrays["context"].shape == (manifest.encoded_channels, frames)
        assert len(arrays["sigmas"]) == recipe["nfe"] == 2
        again = Toy(bundle).bind(Binding(np.eye(4, dtype=np.float32)[:1], one_row(manifest.sampler.table(), 1), 17))
        again.inputs.audio[0], again.inputs.heard[0] = arrays["audio"], arrays["heard"]
        again.inputs.keep[0], again.inputs.source[0] = arrays["keep"], arrays["source"]
        again.inputs.noise[0, 0] = arrays["row_01_u"] - arrays["keep"] * arrays["source"]
        made = again.cycle(generate=True, decode_first=47, decode_frames=17).latents[0]
        np.testing.assert_allclose(made, arrays["row_01_estimate"], rtol=1e-5, atol=1e-6)
    with pytest.raises(PrecisionError, match="not empty"):
        write_set(bundle, heard(bundle), out, sources={}, about={})
