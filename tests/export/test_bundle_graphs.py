# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped graphs keep the contract that every runtime of the ladder reads."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from anacrusis.engine.bundle import STAGES, WEIGHTS
from anacrusis.export.contract import OPSET
from anacrusis.export.write import EXTERNAL_BYTES

onnx = pytest.importorskip("onnx", reason="reading graphs needs onnx: pip install 'anacrusis[export]'")

# Operators that some runtime lacks, reads differently, or runs on the host.
FORBIDDEN = {"STFT", "DFT", "Attention", "NonZero", "Einsum", "If", "Loop", "Scan", "ScatterND", "ScatterElements"}
LATENT, STATE = ["stems", 64, "frames"], ["stems", 64, 64]
INPUTS: dict[str, dict[str, list[Any]]] = {
    "encode": {"audio": [1, "4096*frames + 1536"], "heard": [1, 1, "window"]},
    "embed": {"sigma": ["stems"], "label": ["stems", 4]},
    "denoise": {
        **dict.fromkeys(("u", "b", "source", "noise"), STATE),
        "context": [1, 64, 64],
        "keep": [1, 1, 64],
        "row": [8],
    },
    "decode": {"latent": LATENT, "noise": ["stems", "frames", 2, 1024, 8]},
}
OUTPUTS: dict[str, dict[str, list[Any]]] = {
    "encode": {"latent": [1, 64, "window"]},
    "embed": {},
    "denoise": {"u_next": STATE, "b_next": STATE},
    "decode": {"audio": ["stems", "4096*frames + 1536"]},
}
A_DIMENSION = re.compile(r"stems|window|(\d+\*)?frames( \+ \d+)?")

stages = pytest.mark.parametrize("stage", STAGES)


@pytest.fixture(scope="module")
def graphs(tiny: Path) -> dict[str, Any]:
    return {stage: onnx.load(tiny / f"{stage}.onnx", load_external_data=False) for stage in STAGES}


@pytest.fixture(scope="module")
def stored(tiny: Path) -> dict[tuple[int, int], tuple[str, dict[str, Any]]]:
    """(offset in the file, length) -> (name, header entry) of every tensor of the weights file."""
    with (tiny / WEIGHTS).open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
    header.pop("__metadata__", None)
    spans = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        spans[8 + header_bytes + begin, end - begin] = (name, entry)
    return spans


def dimensions(value: Any) -> list[Any]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def described(values: Any) -> dict[str, list[Any]]:
    return {value.name: dimensions(value) for value in values}


def externals(graph: Any) -> Iterator[tuple[Any, dict[str, str]]]:
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor, {entry.key: entry.value for entry in tensor.external_data}


def own_bytes(tensor: Any) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


@stages
def test_opset_and_operators(graphs: dict[str, Any], stage: str) -> None:
    model = graphs[stage]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)] == [("", 18)]
    assert not model.functions
    assert {node.op_type for node in model.graph.node} & FORBIDDEN == set()
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute)


@stages
def test_inputs_and_outputs(graphs: dict[str, Any], stage: str) -> None:
    graph = graphs[stage].graph
    inputs, outputs = described(graph.input), described(graph.output)
    assert {n: d for n, d in inputs.items() if not n.startswith("cond_")} == INPUTS[stage]
    assert {n: d for n, d in outputs.items() if not n.startswith("cond_")} == OUTPUTS[stage]
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert types == {onnx.TensorProto.FLOAT}


def test_embed_gives_what_denoise_takes(graphs: dict[str, Any]) -> None:
    given = described(graphs["embed"].graph.output)
    taken = {n: d for n, d in described(graphs["denoise"].graph.input).items() if n.startswith("cond_")}
    assert list(given.items()) == list(taken.items())
    assert list(given) == [f"cond_{i:02d}" for i in range(len(given))]
    assert len(given) == 44


@stages
def test_only_named_dimensions_are_dynamic(graphs: dict[str, Any], stage: str) -> None:
    graph = graphs[stage].graph
    names = {dim for v in (*graph.input, *graph.output, *graph.value_info) for dim in dimensions(v)}
    strange = {name for name in names if isinstance(name, str) and not A_DIMENSION.fullmatch(name)}
    assert strange == set()


def folded_from(name: str) -> str:
    """The weight whose bytes a folded kernel shares (it differs in shape only); a summed kernel has its own."""
    module, _, leaf = name.rpartition(".")
    same = {"plane": "weight", "qkv_plane": "mha.in_proj_weight", "out_plane": "mha.out_proj.weight"}
    return f"{module}.{same[leaf]}" if leaf in same else f"graph.{leaf}"


@stages
def test_big_initializers_point_into_the_weights(graphs: dict[str, Any], stored: Any, stage: str) -> None:
    graph = graphs[stage].graph
    kinds = {"F16": onnx.TensorProto.FLOAT16, "F32": onnx.TensorProto.FLOAT}
    found = list(externals(graph))
    stored_names = {name for name, _ in stored.values()}
    assert len(found) > 40
    for tensor, where in found:
        assert set(where) == {"location", "offset", "length"}
        assert where["location"] == WEIGHTS
        name, entry = stored[int(where["offset"]), int(where["length"])]
        assert tensor.data_type == kinds[entry["dtype"]], name
        assert np.prod(tensor.dims) == np.prod(entry["shape"]), name  # a norm's gain may be read as [C, 1, 1]
        own = tensor.name.removesuffix(".stored")
        if own.startswith(("unet.", "codec.")) and own not in stored_names:
            own = folded_from(own)
        assert name == own or not own.startswith(("unet.", "codec.")), "a weight reads another weight's bytes"
    inside = [t for t in graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
    assert {t.name: own_bytes(t) for t in inside if own_bytes(t) >= EXTERNAL_BYTES} == {}


def test_no_content_is_stored_twice(tiny: Path) -> None:
    tensors = load_file(tiny / WEIGHTS)
    contents = {(str(t.dtype), t.astype(np.float32).tobytes()) for t in tensors.values()}
    assert len(contents) == len(tensors)
    assert all(name.startswith(("unet.", "codec.", "graph.")) for name in tensors)


@stages
def test_weights_are_float16_and_cast_at_once(graphs: dict[str, Any], stored: Any, stage: str) -> None:
    """Weights (`unet.*`, `codec.*`) are halves that one Cast makes float32; `graph.*` are the graph's constants."""
    graph = graphs[stage].graph
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    halves = 0
    for tensor, where in externals(graph):
        name, entry = stored[int(where["offset"]), int(where["length"])]
        if name.startswith("graph."):
            continue
        assert entry["dtype"] == "F16", name
        (cast,) = readers[tensor.name]
        assert cast.op_type == "Cast"
        assert [a.i for a in cast.attribute] == [onnx.TensorProto.FLOAT]
        halves += 1
    assert halves > 40


def test_weights_are_float16_in_the_file(stored: Any) -> None:
    weights = {name: entry["dtype"] for name, entry in stored.values() if not name.startswith("graph.")}
    assert {name.split(".")[0] for name in weights} == {"unet", "codec"}
    assert set(weights.values()) == {"F16"}


def test_every_tensor_is_stored_once(stored: Any, tiny: Path) -> None:
    names = [name for name, _ in stored.values()]
    assert len(names) == len(set(names))
    ordered = sorted(stored)
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(ordered))
    assert sum(ordered[-1]) == (tiny / WEIGHTS).stat().st_size


@stages
def test_nothing_of_the_exporting_machine(tiny: Path, graphs: dict[str, Any], stage: str) -> None:
    data = (tiny / f"{stage}.onnx").read_bytes()
    assert [word for word in (b"/site-packages", b"/home", b"/tmp", b".py", b"Traceback") if word in data] == []
    model = graphs[stage]
    assert model.producer_name == "anacrusis"
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


@stages
def test_the_checker_accepts_it(tiny: Path, stage: str) -> None:
    onnx.checker.check_model(str(tiny / f"{stage}.onnx"))
