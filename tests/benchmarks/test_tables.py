# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's tables, the sweep and the yardstick: arithmetic and refusals on made-up cycles. No time is judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import cycles, paper, sweep, table1, table2, tables
from anacrusis.benchmarks.transfer import SERVER_STAGES, Transfer, transfers_of
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import open_backend
from anacrusis.performer.take import LiveStep
from anacrusis.server.wire.extension import StepStatus

Capture = pytest.CaptureFixture[str]

CYCLE = {"encode": 0.1, "sample": 0.2, "decode": 0.3, "host": 0.01, "compute": 0.61}
WAYS = [Transfer(0.01, 0.02), Transfer(0.03, 0.04)]


def scaled(cycle: dict[str, float], by: float) -> dict[str, float]:
    return {name: by * value for name, value in cycle.items()}


def row(*, yardstick: float | None = 2.0, r: float = 0.25, kind: str = "cd") -> dict[str, Any]:
    measured = {"ours": [CYCLE, CYCLE]}
    if yardstick:
        measured["yardstick"] = [scaled(CYCLE, yardstick)] * 2
    out = {
        "benchmark": "table1",
        "bundle": "made up",
        "model": kind,
        "r": r,
        "window_s": 6.0,
        "nfe": 2,
        "backend": "onnxruntime",
        "yardstick_is": "a stand-in" if yardstick else None,
        "no_yardstick": None if yardstick else "torch does not know it",
        "machine": "a machine",
        "threads": 1,
        **tables.joined(measured, WAYS),
    }
    return {**out, "real_time": tables.real_time(out)}


# -- arithmetic -----------------------------------------------------------------------------------------------------


def test_a_full_cycle_is_its_compute_and_its_own_two_ways() -> None:
    made = row()
    full = made["ours_ms"]["full cycle"]
    assert (full["p50"], full["max"], full["n"]) == (pytest.approx(660.0), pytest.approx(680.0), 2)
    assert made["transfer_ms"]["client -> server"]["max"] == pytest.approx(30.0)
    assert made["yardstick_over_ours"]["sample"] == 2.0
    assert made["yardstick_over_ours"]["full cycle"] == pytest.approx(1.27 / 0.66, abs=1e-3)  # the ways are not faster


def test_fewer_transfers_than_cycles_begin_again() -> None:
    made = tables.joined({"ours": [CYCLE] * 3}, WAYS[:1])
    assert made["ours_ms"]["full cycle"]["max"] == pytest.approx(640.0)
    assert made["yardstick_over_ours"] is None


@pytest.mark.parametrize(
    ("r", "ours", "yardstick", "said"),
    [
        (0.25, {"p50": True, "max": True}, {"p50": True, "max": True}, "yes"),
        (0.112, {"p50": True, "max": False}, {"p50": False, "max": False}, "p50 only"),  # 672 ms: 660 fit, 680 do not
        (0.0625, {"p50": False, "max": False}, {"p50": False, "max": False}, "no"),
    ],
)
def test_real_time_is_a_full_cycle_within_its_step(r: float, ours: Any, yardstick: Any, said: str) -> None:
    told = row(r=r)["real_time"]
    assert told == {"ours": ours, "yardstick": yardstick}
    assert tables.verdict(told["ours"]) == said
    assert tables.verdict(None) == "-"


@pytest.mark.parametrize(
    ("r", "slow", "fast"),
    [(0.25, True, True), (0.125, True, True), (0.0625, False, True), (3 / 64, False, True), (1 / 64, False, False)],
)
def test_the_paper_s_two_smallest_ratios_and_their_frames(r: float, slow: bool, fast: bool) -> None:
    ratios = list(paper.SMALLEST_R)
    assert [paper.paper_real_time(r, smallest) for smallest in ratios] == [slow, fast]
    for smallest, frames in paper.SMALLEST_R.items():
        above, below = (int(frames.split("/")[0]) / 64, (int(frames.split("/")[0]) - 1) / 64)
        assert below < smallest <= above


def test_every_cell_says_where_it_is_from_or_says_nothing() -> None:
    lines = tables.stage_lines(row())
    assert [line[0] for line in lines[1:]] == list(tables.ROWS)
    assert lines[1][3] == lines[5][3] == "-"  # a transfer has no yardstick
    assert [line[4] for line in lines[1:]] == ["17 to 188", "40 to 56", "130", "72 to 150", "17 to 188", "331 to 589"]
    alone = tables.stage_lines(row(yardstick=None, kind="diffusion"))
    assert {line[2] for line in alone[1:]} == {"-"}
    assert "torch does not know it" in "\n".join(table1.lines({**row(yardstick=None)}))
    wide = tables.ratio_lines([row(), row(yardstick=None, r=1 / 64)])
    assert len({len(line) for line in wide}) == 1


# -- transfers ------------------------------------------------------------------------------------------------------


def test_a_transfer_is_what_the_server_s_own_stages_leave_of_the_round_trip() -> None:
    step = LiveStep(1, 0, 0, 1.0, 2.0, {"bass": (2, 2)}, first_chunk_s=1.2, last_chunk_s=1.3)
    step.status = StepStatus(1, 1, 2, 5.0, 50.0, 100.0, 49.0, 1.0, 400.0, 0, 0, 0, 0, 0)
    silent = LiveStep(2, 0, 0, 1.0, 2.0, {"bass": (1, 2)}, status=step.status)
    (found,) = transfers_of([step, silent, LiveStep(3, 0, 0, 1.0, 2.0, {"bass": (2, 2)}, last_chunk_s=1.1)])
    assert (found.up_s, found.down_s) == (pytest.approx(0.005), pytest.approx(0.095))
    assert 1e3 * (found.up_s + found.down_s) + 200 == pytest.approx(300)
    assert set(SERVER_STAGES) <= set(StepStatus.__dataclass_fields__)


# -- cycles ---------------------------------------------------------------------------------------------------------


def test_engines_take_turns_over_a_window_full_of_music(copying: Path) -> None:
    bundle = Bundle.open(copying, verify=False)
    backend = open_backend(bundle, "onnxruntime", 1)
    engines = {name: Engine.open(bundle, backend=backend, r=0.25) for name in ("a", "b")}
    turns: list[int] = []
    out = cycles.take_turns(engines, 2, 1, on_cycle=lambda: turns.append(1))
    assert (len(turns), len(out["a"]), len(out["b"])) == (6, 2, 2)
    assert all(one["compute"] == pytest.approx(sum(one[s] for s in cycles.STAGES)) for one in out["a"])
    assert np.abs(engines["a"].cycle.recent()["context_audio"]).max() > 0.01  # type: ignore[union-attr]
    assert cycles.quantiles_of(out["a"])["compute"]["n"] == 2
    with pytest.raises(AnacrusisError, match="at least 1"):
        cycles.take_turns(engines, 0, 0)


def test_what_a_sampler_offers(tiny: Path) -> None:
    manifest = Bundle.open(tiny, verify=False).manifest
    assert cycles.sampler_choices(manifest) == (1, 2)
    other = replace(manifest, sampler=replace(manifest.sampler, name="dpm2", steps=5, resamples=2))
    assert cycles.sampler_choices(other) == (5,)
    assert paper.column_of(other) == "diffusion"


# -- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "name"), [(table1, "table1"), (table2, "table2")], ids=["table1", "table2"])
def test_a_table_ends_in_json_and_is_recorded(
    command: Any, name: str, copying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    pytest.importorskip("matplotlib")
    asked: list[float] = []

    def transfer(r: float, steps: int) -> list[Transfer]:
        asked.append(r)
        return WAYS

    monkeypatch.setattr(tables.measure, "__defaults__", (transfer,))
    out, png = tmp_path / "out.jsonl", tmp_path / "out.png"
    small = ["--bundle", str(copying), "--no-diffusion", "--cycles", "1", "--warm-up", "0", "--threads", "1"]
    assert command.main([*small, "--out", str(out), "--png", str(png)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert told["results"] == rows
    assert asked == [row["r"] for row in rows] == ([0.25] if name == "table1" else list(paper.TABLE_2_R))
    assert png.read_bytes().startswith(b"\x89PNG")
    for made in rows:
        assert made["benchmark"] == name
        assert "torch cannot run them" in made["yardstick_is"]  # networks that copy are no torch modules
        assert made["yardstick_over_ours"]["compute"] > 0
        assert {"commit", "machine", "gpus", "cuda_driver", "nfe", "precision", "warm_up_cycles"} <= set(made)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--cycles", "0"], "cycles is 0"),
        (["--threads", "0"], "threads is 0"),
        (["--bundle", "absent"], "absent"),
        (["--png", "absent/x.png"], "not a directory"),
        (["--png", "x.pdf"], ".png or .svg"),
    ],
)
@pytest.mark.parametrize("command", [table1, table2], ids=["table1", "table2"])
def test_a_table_refuses_in_one_line(command: Any, wrong: list[str], why: str, capsys: Capture) -> None:
    assert command.main([*wrong, "--no-record"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line


def test_a_sweep_keeps_what_is_refused_beside_what_ran(copying: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    out, png = tmp_path / "sweep.jsonl", tmp_path / "sweep.svg"
    some = ["--r", ".25", "--r", ".9", "--lead-frames", "1", "--stems", "1", "--sampler-steps", "1"]
    small = ["--cycles", "1", "--warm-up", "0", "--threads", "1", "--no-yardstick", "--backend", "onnxruntime"]
    arguments = ["--bundle", str(copying), *some, *small, "--out", str(out), "--png", str(png)]
    assert sweep.main(arguments) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["r"], "refused" in r) for r in rows] == [(0.25, False), (0.25, False), (0.9, True), (0.9, False)]
    assert [r["lead_samples"] for r in rows[:2]] == [65_536, 4_096]
    assert rows[0]["no_yardstick"] == "not asked for"
    assert png.is_file()
    assert "\nrefused: a step of 235929 samples" in capsys.readouterr().out
    assert sweep.main([*arguments[:2], "--stems", "9", *small, "--no-record"]) == 2
    assert "stems" in capsys.readouterr().err.splitlines()[-1]


def test_n_stems_are_held_against_n_of_the_yardstick_s_cycles() -> None:
    measured = {"ours": [CYCLE], "yardstick": [scaled(CYCLE, 3.0)]}
    one, four = (sweep.judged(measured, 65_536, 4_096, 44_100, stems) for stems in (1, 4))
    assert (one["yardstick_over_ours"], four["yardstick_over_ours"]) == (3.0, 12.0)
    assert (one["keeps_up"], one["in_time"]) == (True, False)  # 610 ms: within the step of 1486, beyond the lead's 73


# -- yardstick ------------------------------------------------------------------------------------------------------


def test_the_host_s_inverse_transform_is_the_device_s() -> None:
    torch = pytest.importorskip("torch")
    from anacrusis.benchmarks.yardstick import host_audio
    from anacrusis.engine.networks.stft import InverseStft

    inverse = InverseStft()
    spectrum = 0.3 * torch.randn(2, 2, 1024, 9, generator=torch.Generator().manual_seed(1))
    spectrum[..., 4] = 0.0
    want, got = inverse(spectrum), host_audio(spectrum, inverse)
    assert got.shape == want.shape
    assert torch.allclose(got, want, atol=2e-5)
    assert want.abs().max() > 0.01


def test_the_yardstick_is_the_original_s_cycle_and_writes_the_same(tiny: Path) -> None:
    pytest.importorskip("torch")
    from anacrusis.benchmarks import yardstick

    bundle = Bundle.open(tiny, verify=False)
    backend = yardstick.yardstick_backend(bundle)
    opened = yardstick.open_yardstick(backend, stems=("bass",), r=1 / 64, sampler_steps=1)
    assert opened.what == f"{yardstick.TORCH}; {yardstick.UPSTREAM}"
    assert opened.engine.step_samples == int(264_600 / 64)
    plain = Engine.open(
        bundle, backend="torch", threads=1, stems=("bass",), compat="upstream", r=1 / 64, sampler_steps=1
    )
    heard = cycles.Music(44_100).take(opened.engine.step_samples)
    got, want = opened.engine.step(heard), plain.step(heard)
    assert got.nfe == want.nfe == 1
    np.testing.assert_allclose(got.audio, want.audio, atol=2e-5)


def test_networks_that_torch_does_not_know_run_as_plain_graphs(copying: Path) -> None:
    pytest.importorskip("torch")
    from anacrusis.benchmarks import yardstick

    bundle = Bundle.open(copying, verify=False)
    backend, why = yardstick.try_backend(bundle)
    assert isinstance(backend, yardstick.PlainGraphs)
    assert (why, backend.silent_frames()) == ("", None)
    opened = yardstick.open_yardstick(backend, stems=("bass",), r=0.125)
    plain = Engine.open(bundle, backend="onnxruntime", threads=1, compat="upstream", r=0.125)
    heard = cycles.Music(44_100).take(plain.step_samples)
    np.testing.assert_allclose(opened.engine.step(heard).audio, plain.step(heard).audio, atol=1e-6)
    half = replace(
        bundle, manifest=replace(bundle.manifest, precision=replace(bundle.manifest.precision, compute="float16"))
    )
    assert yardstick.try_backend(half)[0] is None


def test_a_distilled_bundle_is_timed_as_the_diffusion_model_too(tiny: Path) -> None:
    pytest.importorskip("torch")
    bundle = Bundle.open(tiny, verify=False)
    other = tables.as_diffusion(bundle)
    assert (other.manifest.sampler.table().nfe, paper.column_of(other.manifest)) == (16, "diffusion")
    assert other.path == bundle.path
