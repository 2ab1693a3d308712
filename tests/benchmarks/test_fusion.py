# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The full-size float16 networks build for TensorRT-RTX on this machine, into the kernels that were reviewed.

Builds for real, without a card: a minute and 4 GB. A list that differs is to be looked at and, if it is right, kept
with `python -m anacrusis.benchmarks.fusion --target sm89 --write`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the export extra: pip install 'anacrusis[export]'")

from anacrusis.benchmarks import fusion
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.plans.device import find_cards
from anacrusis.engine.plans.layers import Layer, Tensor
from anacrusis.engine.plans.library import open_library
from anacrusis.engine.plans.wanted import Wanted

# Kernels reached, and what the plain export of the same networks had.
REACHED = {"denoise": (401, 553), "decode": (313, 387), "encode": (95, 122)}


def kept(name: str) -> list[str]:
    return (fusion.KEPT / f"{name}-sm89.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("name", "stage"), [("denoise", "denoise"), ("decode-16", "decode"), ("encode", "encode")])
def test_the_kept_lists_are_what_was_reached(name: str, stage: str) -> None:
    assert (len(kept(name)), fusion.BEFORE[stage]) == REACHED[stage]


@pytest.fixture(scope="module")
def built() -> dict[str, fusion.Fused]:
    try:
        open_library("rtx", find_cards())
    except AnacrusisError as error:
        pytest.skip(str(error))
    return {fused.wanted.stage: fused for fused in fusion.fuse(("denoise", "decode"), ("sm89",), (16,), print)}


@pytest.mark.parametrize("stage", ["denoise", "decode"])
def test_a_full_size_plan_is_as_reviewed(built: dict[str, fusion.Fused], stage: str) -> None:
    fused = built[stage]
    assert len(fused.layers) <= REACHED[stage][0], fused.difference()[:20]
    assert fused.difference() == []
    assert fused.float32 == (), "a convolution or product in float32 outside the transforms"
    assert {layer.stream for layer in fused.layers} == {0}, "a second stream must be joined in the captured graph"
    assert fused.plan_bytes < 520e6


def a_layer(name: str, dtype: str, onnx: str, kind: str = "correlation") -> Layer:
    tensor = Tensor("t", (1, 8, 4), dtype)
    return Layer(name, kind, (tensor,), (), (tensor,), "", 0, (onnx,))


@pytest.mark.parametrize(
    ("layer", "wrong"),
    [
        (a_layer("stft/Conv_myl0_1", "Float", "stft/Conv_9"), 0),
        (a_layer("istft/Conv_myl0_1", "Float", "istft/conv2d"), 0),
        (a_layer("unet.enc.64x64_conv/conv2d_myl0_1", "Float", "unet.enc.64x64_conv/conv2d"), 1),
        (a_layer("unet.enc.64x64_conv/conv2d_myl0_1", "Half", "unet.enc.64x64_conv/conv2d"), 0),
        (a_layer("__myl_MulAdd_myl0_3", "Float", "node_mul", "kgen"), 0),
    ],
)
def test_float32_only_in_the_transforms(layer: Layer, wrong: int) -> None:
    assert len(fusion.Fused(Wanted("denoise", (("stems", 1),)), "sm89", (layer,), 1.0, 1).float32) == wrong


def test_a_list_that_changed_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "KEPT", tmp_path)
    fused = fusion.Fused(Wanted("denoise", (("stems", 1),)), "sm89", (a_layer("a_myl0_1", "Half", "a/b_1"),), 1.0, 1)
    assert fused.difference() == [f"{tmp_path / 'denoise-sm89.txt'} is missing"]
    (tmp_path / "denoise-sm89.txt").write_text("\n".join(fused.lines()) + "\n")
    assert fused.difference() == []
    (tmp_path / "denoise-sm89.txt").write_text("gemm\tFloat\t1\n")
    assert any(line.startswith("+correlation\tHalf\t1x8x4") for line in fused.difference())
