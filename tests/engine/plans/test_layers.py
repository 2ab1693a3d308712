# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The fused layers that a log lists, and what is asked of them."""

from __future__ import annotations

import pytest

from anacrusis.engine.plans.layers import Layer, Tensor, float32_compute, histogram, parse_layers

from .conftest import layer

# As TensorRT-RTX 1.7.1 writes it.
CONV = (
    "Name: node_conv2d_myl0_2, LayerType: correlation, Inputs: [ { Name: x_myl0, Dimensions: [1,2,64,64], Strides: "
    "[8192,1,128,2], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], Constants: [ { "
    "Name: w_myl0, Dimensions: [256,2,3,3], Strides: [18,1,6,2], StrideOrder: [3,0,2,1], Datatype: Half, Format: "
    "(NHWC) Channel major format }, { Name: alpha_myl0, Dimensions: [1], Strides: [1], StrideOrder: [0], Datatype: "
    "Float, Format: (Linear) Row major linear format }], Outputs: [ { Name: y_myl0, Dimensions: [1,256,64,64], "
    "Strides: [1048576,1,16384,256], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], "
    "TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: [ONNX Layer: node_conv2d][ONNX Layer: node_Split_2871]"
)
EMPTY = (
    "Name: __myl_Move_myl0_7, LayerType: kgen, Inputs: [], Constants: [], Outputs: [ { Name: c, Dimensions: [64], "
    "Strides: [1], StrideOrder: [0], Datatype: Int32, Format: (Linear) Row major linear format }], TacticName: , "
    "StreamId: 2, Metadata: "
)


def test_a_log_becomes_records() -> None:
    first, second = parse_layers([f"Layers:\n{CONV}\nno layer at all\n{EMPTY}"])
    assert first == Layer(
        name="node_conv2d_myl0_2",
        type="correlation",
        inputs=(Tensor("x_myl0", (1, 2, 64, 64), "Half"),),
        constants=(Tensor("w_myl0", (256, 2, 3, 3), "Half"), Tensor("alpha_myl0", (1,), "Float")),
        outputs=(Tensor("y_myl0", (1, 256, 64, 64), "Half"),),
        tactic="__myelin_CASK_STUB",
        stream=0,
        onnx=("node_conv2d", "node_Split_2871"),
    )
    assert (second.inputs, second.outputs[0].dtype, second.stream, second.onnx) == ((), "Int32", 2, ())
    assert Layer.from_dict(first.to_dict()) == first


def test_kernels_by_type() -> None:
    layers = [layer(type_="kgen"), layer(), layer(type_="kgen")]
    assert list(histogram(layers).items()) == [("kgen", 2), ("correlation", 1)]


@pytest.mark.parametrize(
    ("name", "type_", "compute"),
    [
        ("node_conv2d_myl0_2", "correlation", True),
        ("node_matmul_myl0_5", "gemm", True),
        ("node_istft_myl0_5", "deconv", True),
        ("__myl_CorrMul_myl0_61", "runtime_fusion", True),
        ("__myl_FcAdd_myl0_9", "runtime_fusion", True),
        ("_gemm_mha_v2_myl0_39", "kgen", True),
        ("__myl_MoveSlicReshMul_myl0_0", "kgen", False),
        ("__myl_ConvertMul_myl0_0", "kgen", False),
        ("__myl_SiluGnor_myl0_4", "runtime_function", False),
        ("node_avg_myl0_4", "avgpool", False),
    ],
)
def test_what_computes(name: str, type_: str, compute: bool) -> None:
    assert layer(name, type_).is_compute is compute
    assert len(float32_compute([layer(name, type_, "Float")])) == compute
    assert float32_compute([layer(name, type_, "Half")]) == ()


STFT = layer("node_matmul_myl0_1", "gemm", "Float", ("node_stft_a", "node_stft_b"))
MIXED = layer("node_matmul_myl0_2", "gemm", "Float", ("node_stft_a", "node_linear"))


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        ((), [STFT, MIXED]),
        (("node_stft*",), [MIXED]),
        (("node_stft*", "node_lin*"), []),
        (("node_matmul_myl0_2",), [STFT]),
    ],
    ids=str,
)
def test_only_named_kernels_may_compute_in_float32(allowed: tuple[str, ...], left: list[Layer]) -> None:
    assert list(float32_compute([STFT, layer(), MIXED, *parse_layers([CONV])], allowed)) == left
