# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Real builds of the tiny bundle's networks with TensorRT-RTX, which needs no card. One encoder, built once."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import PlanError
from anacrusis.engine.plans.build import BuildCancelledError, Built, build_plan
from anacrusis.engine.plans.device import Cards
from anacrusis.engine.plans.layers import float32_compute, histogram
from anacrusis.engine.plans.library import Library, open_library
from anacrusis.engine.plans.progress import BuildWatch
from anacrusis.engine.plans.store import HEADER_BYTES
from anacrusis.engine.plans.targets import Target
from anacrusis.engine.plans.wanted import encode_plan

pytest.importorskip("tensorrt_rtx_bindings", reason="needs anacrusis[tensorrt]")


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library("rtx", Cards((), reason="not asked"))


@pytest.fixture(scope="module")
def bundle(tiny: Path) -> Bundle:
    return Bundle.open(tiny)


@pytest.fixture(scope="module")
def watch() -> BuildWatch:
    return BuildWatch(5.0)


@pytest.fixture(scope="module")
def built(library: Library, bundle: Bundle, watch: BuildWatch) -> Built:
    manifest = bundle.manifest
    return build_plan(library, manifest, bundle.stage("encode"), encode_plan(manifest), Target((86, 89)), watch)


def test_a_plan_comes_with_its_layers(built: Built, bundle: Bundle) -> None:
    types = histogram(built.layers)
    assert sum(types.values()) == len(built.layers) > 100
    assert types["correlation"] > 20
    names = {tensor.name for layer in built.layers for tensor in layer.inputs}
    assert {"audio", "heard"} <= names
    assert {layer.stream for layer in built.layers} == {0}
    assert 0 < built.seconds < 600


def test_the_tiny_bundle_computes_in_float32(built: Built) -> None:
    compute = [layer for layer in built.layers if layer.is_compute]
    assert float32_compute(built.layers) == tuple(compute)
    assert float32_compute(built.layers, ("*",)) == ()


def test_a_plan_begins_as_the_library_says(built: Built, library: Library) -> None:
    trt = library.module
    assert trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR)).engine_header_size == HEADER_BYTES
    header = bytes(memoryview(built.plan)[:HEADER_BYTES])
    assert "malformed_engine" not in library.header_refusals(header)
    assert library.header_refusals(bytes(HEADER_BYTES)) == ("malformed_engine",)


def test_the_phases_were_told(built: Built, watch: BuildWatch) -> None:
    progress = watch.progress()
    assert (progress.phase, progress.fraction, progress.remaining_s) == ("Building engine", 1.0, 0.0)


def test_a_cancelled_build_ends(library: Library, bundle: Bundle) -> None:
    watch = BuildWatch(5.0)
    watch.cancel()
    with pytest.raises(BuildCancelledError, match="building encode frames=64 was cancelled"):
        build_plan(library, bundle.manifest, bundle.stage("encode"), encode_plan(bundle.manifest), Target((89,)), watch)


def test_a_target_the_library_does_not_know(library: Library, bundle: Bundle) -> None:
    with pytest.raises(PlanError, match=r"TensorRT-RTX 1\.7.* does not build for sm90; choose another --target"):
        build_plan(
            library,
            bundle.manifest,
            bundle.stage("encode"),
            encode_plan(bundle.manifest),
            Target((90,)),
            BuildWatch(5.0),
        )


def graph(path: Path, op: str, outputs: int = TensorProto.FLOAT) -> Path:
    """A graph of one operator on `heard`."""
    node = helper.make_node(op, ["heard"], ["y"], name="the_node")
    heard = helper.make_tensor_value_info("heard", TensorProto.FLOAT, [1, 1, "frames"])
    y = helper.make_tensor_value_info("y", outputs, None)
    model = helper.make_model(
        helper.make_graph([node], "g", [heard], [y]), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda path: graph(path, "NonZero", TensorProto.INT64), "node the_node (NonZero)"),
        (lambda path: path.write_bytes(b"no graph"), "cannot read"),
        (lambda path: None, "cannot read"),
    ],
    ids=["an operator it has not", "no graph", "no file"],
)
def test_a_graph_that_cannot_be_read(
    library: Library, bundle: Bundle, tmp_path: Path, content: object, says: str
) -> None:
    path = tmp_path / "encode.onnx"
    content(path)  # type: ignore[operator]
    with pytest.raises(PlanError) as caught:
        build_plan(library, bundle.manifest, path, encode_plan(bundle.manifest), Target((89,)), BuildWatch(5.0))
    text = str(caught.value)
    assert text.startswith(f"TensorRT-RTX cannot read {path}: ")
    assert says in text
    assert "\n" not in text
