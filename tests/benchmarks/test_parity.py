# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity with the original networks, and that a difference cannot pass unnoticed.

All stages run through torch; through ONNX Runtime only what traces in seconds. `anacrusis parity` runs the rest.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks.parity import HOST, STAGES, ParityReport, run_parity
from anacrusis.benchmarks.parity_compare import TOLERANCES, Check, Recorder, Tolerance, compare, widened
from anacrusis.benchmarks.parity_golden import Golden, ParityError, golden_noise
from anacrusis.benchmarks.parity_runners import OnnxRunner, Workbench
from anacrusis.benchmarks.parity_sampling import _kept_columns, _named, check_samplers
from anacrusis.engine.errors import MissingExtraError
from anacrusis.engine.sampler import SamplerConfig

Edit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Copy:
    """A part of the golden set in a directory of its own, with hashes that fit."""

    path: Path

    def edit(self, name: str, change: Edit) -> None:
        """Change the arrays of one file, and its hash with it."""
        file = self.path / name
        with np.load(file) as opened:
            arrays = dict(opened)
        change(arrays)
        np.savez(file, **arrays)
        self.hash()

    def hash(self) -> None:
        files = (file for file in self.path.iterdir() if file.name != "manifest.json")
        hashes = {file.name: {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for file in files}
        (self.path / "manifest.json").write_text(json.dumps(hashes))


@pytest.fixture
def part(golden: Path, tmp_path: Path) -> Callable[..., Copy]:
    def copy(*names: str) -> Copy:
        for name in names:
            shutil.copyfile(golden / name, tmp_path / name)
        made = Copy(tmp_path)
        made.hash()
        return made

    return copy


CODEC = ("m2l_encode.npz", "m2l_decode.npz", "m2l.safetensors", "unet_cd.safetensors", "unet_diff.safetensors")


@pytest.fixture(scope="module")
def torch_report(golden: Path) -> ParityReport:
    return run_parity(golden, backends=("torch",))


def test_torch_matches_every_array(torch_report: ParityReport) -> None:
    assert torch_report.passed, torch_report.table()
    assert not torch_report.unread
    assert {check.stage for check in torch_report.checks} == set(STAGES)
    assert {check.backend for check in torch_report.checks} == {"torch", HOST}


def test_every_result_of_the_set_is_compared(golden: Path, torch_report: ParityReport) -> None:
    compared = {check.array for check in torch_report.checks}
    results = ("out", "wave", "denoised", "samples", "sent_audio", "latent", "trace_x", "n_packets", "decoded_length")
    for file in golden.glob("*.npz"):
        with np.load(file) as arrays:
            names = [n for n in arrays.files if n.rsplit("/", 1)[-1].endswith(results) or "tap/" in n]
        missing = {f"{file.name}:{name}" for name in names} - compared
        # Latents are inputs of the decoder and of the samplers.
        assert not {name for name in missing if not name.endswith(("/latent", "_latent"))}


def test_only_ill_conditioned_cycles_are_held_to_less(torch_report: ParityReport) -> None:
    wider = {check for check in torch_report.checks if check.quantity == "ill-conditioned"}
    assert {check.stage for check in wider} <= {"cycles"}
    with_golden_context = [check for check in torch_report.checks if check.quantity.startswith("golden context")]
    assert {check.array for check in wider if "context_latent" not in check.array} <= {
        check.array for check in with_golden_context
    }
    assert max(check.max_abs for check in with_golden_context) < 1e-3


def test_onnxruntime_matches_blocks(golden: Path) -> None:
    report = run_parity(golden, backends=("onnxruntime",), stages=("blocks",))
    assert report.passed, report.table()


def test_onnxruntime_matches_samplers_of_both_models_on_one_graph(golden: Path, tmp_path: Path) -> None:
    """The stages traced once, with their weights as inputs; a full run takes the graphs of both bundles."""
    import torch
    from torch import Tensor, nn

    from anacrusis.engine.networks.stages import DenoiseStage, EmbedStage

    class Denoise(nn.Module):
        def __init__(self, stage: DenoiseStage) -> None:
            super().__init__()
            self.stage = stage

        def forward(self, *args: Tensor) -> tuple[Tensor, Tensor]:
            out: tuple[Tensor, Tensor] = self.stage(*args[:7], list(args[7:]))
            return out

    class OneGraph(OnnxRunner):
        def __init__(self, bench: Workbench) -> None:
            super().__init__(bench)
            self.stage = functools.cache(self.probe)

        def probe(self, tag: str, name: str) -> Any:
            unet = bench.networks(tag).unet
            example = {"sigma": np.ones(1, np.float32), "label": np.zeros((1, unet.config.label_dim), np.float32)}
            if name == "embed":
                return self.compile(name, EmbedStage(unet), *example.values())
            latent = np.zeros((1, unet.config.resolution, unet.config.resolution), np.float32)
            with torch.inference_mode():
                cond = EmbedStage(unet)(*map(torch.from_numpy, example.values()))
            module = Denoise(DenoiseStage(unet))
            keep, row = latent[:, :1], np.ones(8, np.float32)
            return self.compile(name, module, *[latent] * 5, keep, row, *(bias.numpy() for bias in cond))

    opened = Golden.open(golden)
    checks: list[Check] = []
    bench = Workbench(opened, tmp_path, threads=1, report=lambda _: None)
    check_samplers(opened, bench, OneGraph(bench), Recorder("samplers", "onnxruntime", checks.append))
    assert not [check for check in checks if not check.passed]
    assert {check.array.partition(":")[0] for check in checks} == {"sampler_cd.npz", "sampler_diff.npz"}


@pytest.mark.parametrize(("array", "by"), [("wide/out", 1e-3), ("m2l_res1d/out", 1e-3), ("down/out", math.nan)])
def test_a_changed_array_is_named(part: Callable[..., Copy], array: str, by: float) -> None:
    copy = part("blocks.npz")
    copy.edit("blocks.npz", lambda arrays: arrays[array].__iadd__(np.float32(by)))
    report = run_parity(copy.path, backends=("torch",), stages=("blocks",))
    assert not report.passed
    assert [check.array for check in report.misses] == [f"blocks.npz:{array}"]
    assert f"MISS blocks.npz:{array}" in report.table()
    summary = json.loads(report.to_json())
    assert summary["pass"] is False
    assert [miss["array"] for miss in summary["misses"]] == [f"blocks.npz:{array}"]


def test_no_conditioning_excuses_a_wrong_latent(part: Callable[..., Copy]) -> None:
    copy = part(*CODEC)
    names = ["latent", "latent_silence", "latent_len9728"]
    for name in names:
        copy.edit("m2l_encode.npz", lambda arrays, name=name: arrays[name].__iadd__(np.float32(3e-3)))
    report = run_parity(copy.path, backends=("torch",), stages=("codec",))
    assert {check.array for check in report.misses} == {f"m2l_encode.npz:{name}" for name in names}


def test_an_array_no_stage_knows_fails_the_run(part: Callable[..., Copy]) -> None:
    copy = part("blocks.npz")
    copy.edit("blocks.npz", lambda arrays: arrays.update({"stray": np.zeros(3)}))
    report = run_parity(copy.path, backends=("torch",), stages=("blocks",))
    assert report.unread == ("blocks.npz:stray",)
    assert not report.passed
    assert "UNREAD blocks.npz:stray" in report.table()


def test_other_names_are_found(part: Callable[..., Copy]) -> None:
    copy = part("blocks.npz")

    def rename(arrays: dict[str, Any]) -> None:
        for name in list(arrays):
            arrays[f"some/{name}"] = arrays.pop(name)

    copy.edit("blocks.npz", rename)
    report = run_parity(copy.path, backends=("torch",), stages=("blocks",))
    assert report.passed
    assert "blocks.npz:some/wide/out" in {check.array for check in report.checks}


def test_a_wrong_hash_is_one_line(part: Callable[..., Copy]) -> None:
    copy = part("blocks.npz", "schedules.npz")
    with (copy.path / "schedules.npz").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ParityError, match=r"schedules\.npz was changed or damaged") as error:
        run_parity(copy.path, stages=("blocks",))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(part: Callable[..., Copy]) -> None:
    copy = part("blocks.npz")
    with pytest.raises(ParityError, match=r"lacks schedules\.npz of stage schedules"):
        run_parity(copy.path, stages=("schedules",))
    (copy.path / "blocks.npz").unlink()
    with pytest.raises(ParityError, match=r"lacks blocks\.npz"):
        run_parity(copy.path, stages=("blocks",))


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"a.npz": 1}', '{"a.npz": {"bytes": 3}}', '{"../a": {"sha256": ""}}']
)
def test_a_directory_of_something_else_is_one_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ParityError, match=r"not a golden set|lacks") as error:
        run_parity(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_of_something_else_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "blocks.npz").write_bytes(b"no zip")
    Copy(tmp_path).hash()
    with pytest.raises(ParityError, match=r"not an \.npz"):
        run_parity(tmp_path, backends=("torch",), stages=("blocks",))


@pytest.mark.parametrize("wrong", [{"stages": ("block",)}, {"backends": ("tensorrt",)}, {"stages": ()}])
def test_an_unknown_stage_or_backend_is_one_line(tmp_path: Path, wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ParityError, match="choose from"):
        run_parity(tmp_path, **wrong)


def test_without_the_exporter_it_says_what_to_install(
    part: Callable[..., Copy], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, find = part("blocks.npz"), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'anacrusis\[export\]'"):
        run_parity(copy.path, stages=("blocks",))


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("quantity", "got", "want", "passes"),
    [
        ("network output", ONES + 0.9e-4, ONES, True),
        ("network output", ONES + 1.1e-4, ONES, False),
        ("network output", ONES[:1], ONES, False),
        ("network output", ONES * np.nan, ONES, False),
        ("latent", ONES + 0.9e-4, ONES, True),
        ("latent", ONES + 1.1e-4, ONES, False),  # by its root mean square
        ("spectrum", 20 * ONES + 1e-3, 20 * ONES, True),
        ("sampler trace", np.stack([ONES[0] * 100, ONES[1]]) + 1e-3, np.stack([ONES[0] * 100, ONES[1]]), False),
        ("abs sum", 1e-3 * ONES + 2e-8, 1e-3 * ONES, False),
        ("exact", np.array("/bass"), np.array("/bass"), True),
        ("exact", np.array([1, 2]), np.array([1, 3]), False),
        ("other network", ONES + 1.0, ONES, True),
        ("other network", ONES, ONES, False),
    ],
)
def test_verdicts(quantity: str, got: np.ndarray, want: np.ndarray, passes: bool) -> None:
    assert compare("s", "b", quantity, "a", got, want, TOLERANCES[quantity]).passed is passes


def test_a_report_with_an_infinite_ratio_is_still_json() -> None:
    check = compare("stage", "torch", "block", "file.npz:a", ONES[:1], ONES, TOLERANCES["block"])
    report = ParityReport("dir", ("torch",), (check,), (), 0.0)
    summary = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert summary["misses"] == [{"array": "file.npz:a", "stage": "stage", "backend": "torch", "ratio": None}]
    assert "MISS file.npz:a" in report.table()


def test_a_report_of_nothing_does_not_pass() -> None:
    assert not ParityReport("dir", ("torch",), (), (), 0.0).passed
    fine = Check("s", "torch", "block", "a", 0.0, 0.0, 1e-4, None, 0.0)
    assert ParityReport("dir", ("torch",), (fine,), (), 0.0).passed


def test_widened_is_the_worst_pair() -> None:
    tolerance = widened([(ONES, ONES + 0.5), (ONES, ONES + 1)])
    assert tolerance.max_abs == tolerance.rms == pytest.approx(widened([(ONES, ONES + 1)]).max_abs)
    assert widened([]) == Tolerance(0.0, rms=0.0)


def test_noise_recipe() -> None:
    octets = np.frombuffer(np.random.RandomState(7).bytes(48), np.uint8).reshape(6, 8)
    want = [(sum(map(int, row)) - 1020) / 209.0 for row in octets]
    got = golden_noise(7, (2, 3))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.ravel(), np.array(want, np.float32))


def test_run_names_say_what_varies() -> None:
    config = SamplerConfig("consistency", steps=2, sigma_min=1e-4, sigma_max=80.0, rho=7.0)
    assert _named("w1_r16of64", config) == config
    assert _named("w0_r4of64_steps3_rho9", config) == SamplerConfig("consistency", 3, 1e-4, 80.0, 9.0)
    source = np.zeros((1, 64, 64), np.float32)
    out = source[:, None].copy()
    out[..., 60:] = 1.0
    assert _kept_columns("w1_r16of64", source, {}) == 48
    assert _kept_columns("anything", source, {"anything/out": out}) == 60
