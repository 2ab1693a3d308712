# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The float16 report: golden and tiny networks over every sampler row, and that a loss cannot pass unnoticed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from anacrusis.benchmarks import half as half_module
from anacrusis.benchmarks.half import GOAL_DB, HalfError, HalfReport, run_half
from anacrusis.benchmarks.half_native import NativeCheck
from anacrusis.benchmarks.half_rows import Measure, advance
from anacrusis.benchmarks.half_subjects import SIGNALS, Source, from_seed, signals
from anacrusis.cli.main import main
from anacrusis.engine.networks.stages import DenoiseStage, EmbedStage
from anacrusis.export.export import GEOMETRY

Capture = pytest.CaptureFixture[str]

RUNS = {"cd, 1 NFE": 1, "cd, 2 NFE": 2, "diffusion, 16 NFE": 16}


def check(report: HalfReport, runs: list[str], heard: tuple[str, ...]) -> None:
    """It passed, and every row of every run was measured on every signal, both ways."""
    assert report.passed, report.table()
    assert report.nonfinite == 0
    both = [(fed, signal) for signal in heard for fed in ("float32", "float16")]
    rows = {(m.run, m.fed, m.signal, m.row) for m in report.measures if m.stage == "denoise"}
    assert rows == {(run, *pair, row) for run in runs for pair in both for row in range(RUNS[run])}
    assert {(m.run, m.signal) for m in report.finals} == {(run, signal) for run in runs for signal in heard}
    assert {m.signal for m in report.measures if m.stage == "encode"} == set(heard)
    assert {(m.run, m.fed, m.signal) for m in report.measures if m.stage == "decode"} == {
        (runs[-1], *pair) for pair in both
    }
    # Transforms and the affine row being float32, no stage is worse than 16 bits in its networks explain.
    assert min(m.snr_db for m in report.measures) > 25
    # And float16 was emulated at all.
    assert max(m.snr_db for m in report.measures if m.stage in ("encode", "decode")) < 70
    assert report.native.shapes["convolution"] > 30
    assert {"matmul", "group_norm", "softmax"} <= set(report.native.shapes)


CD, DIFFUSION = list(RUNS)[:2], list(RUNS)[2:]


@pytest.mark.parametrize(
    ("kind", "runs", "heard"), [("cd", CD, ("clipped", "dc")), ("diffusion", DIFFUSION, ("clip",))]
)
def test_tiny_networks_over_every_row(kind: str, runs: list[str], heard: tuple[str, ...]) -> None:
    check(run_half(size="tiny", seed=1, kinds=[kind], only=heard), runs, heard)


@pytest.mark.parametrize(
    ("kind", "runs", "heard"), [("cd", CD, ("loud noise", "silent")), ("diffusion", DIFFUSION, ("clipped",))]
)
def test_golden_networks_over_every_row(golden: Path, kind: str, runs: list[str], heard: tuple[str, ...]) -> None:
    check(run_half(golden=golden, kinds=[kind], only=heard), runs, heard)


def test_a_network_that_overflows_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(*args: object) -> Source:
        source = from_seed("tiny", 1, ["cd"], lambda _: None)
        networks = source.models[0].networks
        with torch.no_grad():
            next(m for m in networks.unet.modules() if isinstance(m, torch.nn.GroupNorm)).weight.mul_(1e5)
        return source

    monkeypatch.setattr(half_module, "from_seed", spoilt)
    report = run_half(size="tiny", only=["silent"])
    assert not report.passed
    assert report.nonfinite > 0
    assert any(m.snr_db == -math.inf for m in report.finals)
    summary = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert summary["pass"] is False
    assert summary["missed"]
    assert "NOT FINITE" in report.table()


def a_measure(snr_db: float, nonfinite: int = 0, stage: str = "final") -> Measure:
    at = "somewhere" if nonfinite else ""
    return Measure(stage, "cd, 1 NFE", None, None, "float16", "clip", snr_db, 10.0, "layer (mul)", nonfinite, at)


FINE = NativeCheck({"convolution": 1}, 0.5, "a", 0.001, "a")


@pytest.mark.parametrize(
    ("measures", "native", "passes"),
    [
        ([a_measure(GOAL_DB)], FINE, True),
        ([a_measure(GOAL_DB - 0.1)], FINE, False),
        ([a_measure(60.0), a_measure(GOAL_DB - 0.1)], FINE, False),
        ([a_measure(math.nan)], FINE, False),
        ([a_measure(math.inf)], FINE, True),
        ([a_measure(60.0), a_measure(30.0, stage="encode")], FINE, True),  # the goal is the final latent's
        ([a_measure(60.0), a_measure(60.0, nonfinite=1, stage="decode")], FINE, False),
        ([a_measure(60.0)], NativeCheck({"convolution": 1}, 1.5, "a", 0.001, "a"), False),
        ([a_measure(60.0)], NativeCheck({"convolution": 1}, 0.5, "a", 0.03, "a"), False),
        ([a_measure(60.0)], NativeCheck(), False),
    ],
)
def test_verdicts(measures: list[Measure], native: NativeCheck, passes: bool) -> None:
    report = HalfReport("s", tuple(measures), native, 1.0)
    assert report.passed is passes
    assert json.loads(report.to_json())["pass"] is passes
    assert report.table()


def test_the_affine_row_is_the_stage_s_own() -> None:
    model = from_seed("tiny", 1, ["diffusion"], lambda _: None).models[0]
    (table,) = model.tables.values()
    generator = torch.Generator().manual_seed(3)
    u, b, source, noise, context = (torch.randn(1, 64, 64, generator=generator) for _ in range(5))
    keep = torch.ones(1, 1, 64)
    keep[..., 48:] = 0.0
    rows = torch.from_numpy(table.coefficients(model.manifest.parametrisation))
    stage = DenoiseStage(model.networks.unet)
    for index in (0, 1, 15):  # without noise, with it, and with the last noise
        row, injects = table.rows[index], table.rows[index].mix is not None
        with torch.no_grad():
            cond = list(EmbedStage(model.networks.unet)(torch.full((1,), row.sigma), torch.eye(4)[:1]))
            n = noise if injects else torch.zeros_like(noise)
            want = stage(u, b, source, n, context, keep, rows[index], cond)
            hand_on = torch.tensor([*rows[index, :3], 0, 0, 1, 0, 1])
            denoised = stage(u, u, u, torch.zeros_like(u), context, torch.zeros_like(keep), hand_on, cond)[0]
        got = advance(row, u, b, denoised, source, keep, noise if injects else None)
        for ours, its in zip(got, want, strict=True):
            torch.testing.assert_close(ours, its, rtol=1e-5, atol=1e-5)


def test_signals_are_what_they_are_called() -> None:
    heard = signals(GEOMETRY, 44100, seed=0)
    assert tuple(heard) == SIGNALS
    peaks = {name: float(abs(signal).max()) for name, signal in heard.items()}
    assert peaks["silent"] == 0.0
    assert all(peaks[name] == pytest.approx(1.0, abs=1e-4) for name in ("loud clip", "loud noise", "clipped", "dc"))
    assert 0.05 < peaks["clip"] < 1.0
    assert (abs(heard["clipped"]) == 1.0).mean() > 0.05
    assert {signal.shape for signal in heard.values()} == {(GEOMETRY.encode_samples,)}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"size": "tiny", "golden": Path()}, "give one of"),
        ({"kinds": ["cd"]}, "a bundle is of one kind"),
        ({"size": "tiny", "only": ["quiet"]}, "unknown signal 'quiet'; choose from clip"),
        ({"size": "tiny", "only": []}, "no signal asked for"),
    ],
)
def test_what_cannot_be_asked_is_one_line(asked: dict[str, object], says: str) -> None:
    with pytest.raises(HalfError, match=says) as error:
        run_half(**asked)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --golden DIR, or --precision fp16"),
        (["--size", "tiny"], "--size belongs to --precision fp16"),
        (["--record", "--golden", "x"], "--record belongs to --precision fp16"),
        (["--precision", "fp16", "--stage", "codec"], "--stage belongs to --precision fp32"),
        (["--precision", "fp16", "--bundle", "nowhere"], "nowhere"),
        (["--precision", "fp16", "--golden", "nowhere"], "not a golden set"),
        (["--precision", "fp16", "--plot", "a.txt"], "use .png or .svg"),
    ],
)
def test_the_command_refuses_in_one_line(capsys: Capture, arguments: list[str], says: str) -> None:
    assert main(["parity", *arguments]) == 2
    line = capsys.readouterr().err.strip()
    assert says in line
    assert "\n" not in line


def test_the_command_prints_draws_and_says_it_passed(capsys: Capture, tmp_path: Path, tiny: Path) -> None:
    picture = tmp_path / "half.svg"
    command = ["parity", "--precision", "fp16", "--bundle", str(tiny), "--signal", "silent", "--plot", str(picture)]
    assert main(command) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert table[0].split()[:3] == ["stage", "run", "row"]
    assert json.loads(last)["pass"] is True
    assert picture.read_text().count("<path") > 10
