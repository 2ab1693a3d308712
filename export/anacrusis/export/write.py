# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a bundle: one `weights.safetensors`, graphs whose external data points into it, the manifest.

Everything is written into a temporary directory beside the target and renamed at the end, so a bundle is
there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from safetensors.numpy import save_file

from anacrusis.engine.bundle import MANIFEST, WEIGHTS, Manifest, sha256
from anacrusis.engine.errors import BundleError

# Smaller constants stay inside the graph, where shape inference can see them.
EXTERNAL_BYTES = 256


@contextlib.contextmanager
def new_bundle_directory(out: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary directory that becomes `out` when the block ends without an error.

    Raises BundleError where `out` exists and is not a bundle to be replaced with `force`.
    """
    if out.exists() and not (force and (out / MANIFEST).is_file()):
        hint = "add --force to replace it" if (out / MANIFEST).is_file() else "choose a new directory"
        raise BundleError(f"{out} exists; {hint}")
    if not out.parent.is_dir():
        raise BundleError(f"{out.parent} is not a directory; make it first")
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class Weights:
    """Tensors on their way into `weights.safetensors`; graphs refer to them by name."""

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        self.tensors: dict[str, NDArray[np.generic]] = {n: np.ascontiguousarray(t) for n, t in tensors.items()}
        self._stored = sorted({t.dtype for t in self.tensors.values() if t.dtype.kind == "f"}, key=str)
        self._name_of = {self._content(t): n for n, t in reversed(self.tensors.items())}

    @staticmethod
    def _content(values: NDArray[np.generic]) -> tuple[str, bytes]:
        return str(values.dtype), hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()

    def place(self, stage: str, values: ir.Value, array: NDArray[np.generic]) -> str:
        """The name under which an initializer's bytes are stored, whatever its shape there.

        The tracer reshapes some weights (a norm's gain becomes [C, 1, 1]); those are the bytes already there.
        A constant that is no weight is stored under a name of its own.
        """
        for dtype in (array.dtype, *self._stored):
            narrow = array.astype(dtype)
            if np.array_equal(narrow.astype(array.dtype), array) and self._content(narrow) in self._name_of:
                return self._name_of[self._content(narrow)]
        own = f"graph.{stage}.{values.name}"
        self.tensors[own] = np.ascontiguousarray(array)
        self._name_of[self._content(array)] = own
        return own

    def save(self, path: Path) -> dict[str, tuple[int, int]]:
        """Write the file; returns (offset in the file, length in bytes) per name."""
        save_file(self.tensors, path)
        path.chmod(0o644)
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(header_bytes))
        base = 8 + header_bytes
        return {
            name: (base + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
            for name, entry in header.items()
            if name != "__metadata__"
        }


def write_graphs(directory: Path, models: Mapping[str, ir.Model], weights: Weights) -> None:
    """Write weights and graphs. Weights stored in another type than a graph computes in get a Cast in front."""
    places = {
        stage: {
            value.name: weights.place(stage, value, value.const_value.numpy())
            for value in model.graph.initializers.values()
            if value.const_value is not None and value.const_value.nbytes >= EXTERNAL_BYTES
        }
        for stage, model in models.items()
    }
    spans = weights.save(directory / WEIGHTS)
    for stage, model in models.items():
        casts = []
        for name, place in places[stage].items():
            value = model.graph.initializers[str(name)]
            stored = weights.tensors[place]
            assert value.const_value is not None
            shape = ir.Shape([int(d) for d in value.const_value.shape.numpy()])
            offset, length = spans[place]
            dtype = ir.DataType.from_numpy(stored.dtype)
            tensor = ir.ExternalTensor(WEIGHTS, offset, length, dtype, name=place, shape=shape, base_dir=str(directory))
            if dtype == value.dtype:
                value.const_value = tensor
            else:
                casts.append(_cast_initializer(model, value, tensor))
        for node in reversed(casts):
            model.graph.insert_before(model.graph[0], node)
        model.producer_name, model.producer_version = "anacrusis", ""
        model.doc_string = None
        model.graph.metadata_props.clear()
        for node in model.graph:  # stack traces of the exporting machine do not belong in a bundle
            node.metadata_props.clear()
            node.doc_string = None
        for anything in (*model.graph.initializers.values(), *model.graph.inputs, *model.graph.outputs):
            anything.metadata_props.clear()
        ir.save(model, directory / f"{stage}.onnx")


def _cast_initializer(model: ir.Model, value: ir.Value, tensor: ir.ExternalTensor) -> ir.Node:
    stored = ir.Value(
        name=f"{value.name}.stored", shape=value.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    name, dtype, shape = value.name, value.dtype, value.shape
    assert dtype is not None
    node = ir.node("Cast", [stored], attributes={"to": int(dtype)})
    node.outputs[0].shape, node.outputs[0].dtype = shape, dtype
    value.replace_all_uses_with(node.outputs[0])
    del model.graph.initializers[str(name)]
    node.outputs[0].name = name
    model.graph.initializers.add(stored)
    return node


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Hash every file of the directory and write the manifest last."""
    files = {path.name: sha256(path) for path in sorted(directory.iterdir()) if path.name != MANIFEST}
    (directory / MANIFEST).write_text(replace(manifest, files=files).to_json(), encoding="utf-8")
