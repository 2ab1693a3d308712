# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Writes checkpoint files for the tests, opcode by opcode as torch does (protocol 2), so none needs torch."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.engine.errors import CheckpointError
from anacrusis.export.checkpoint import read_tensors

GOLDEN = Path(os.environ.get("ANACRUSIS_GOLDEN", Path(__file__).parents[2].parent / "shared" / "golden" / "public"))
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def golden(name: str) -> Path:
    if not (GOLDEN / name).exists():
        pytest.skip(f"golden file {name} is not here; set ANACRUSIS_GOLDEN")
    return GOLDEN / name


def name_of(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def op(value: Any) -> bytes:
    """The opcodes that push `value`; bytes are opcodes already."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return f"I{value}\n".encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(op, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(op, value)) + b"e"
    assert isinstance(value, dict)
    return b"}(" + b"".join(op(k) + op(v) for k, v in value.items()) + b"u"


def call(target: str, *args: Any) -> bytes:
    module, _, name = target.rpartition(".")
    return name_of(module, name) + op(args) + b"R"


def tensor(
    size: tuple[Any, ...] = (2, 3),
    stride: tuple[Any, ...] = (3, 1),
    offset: Any = 0,
    numel: Any = 6,
    key: Any = "0",
    kind: str = "FloatStorage",
) -> bytes:
    module = "torch.storage" if kind.startswith(("Untyped", "Typed")) else "torch"
    storage = op(("storage", name_of(module, kind), key, "cpu", numel)) + b"Q"
    hooks = call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, False, hooks)


def save(path: Path, root: Any, records: dict[str, bytes] | None = None, compress: int = 0) -> Path:
    """A file as torch.save writes it. records: by name below the archive's folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + op(root) + b".")
        for name, data in ({"data/0": ROWS.tobytes()} | (records or {})).items():
            archive.writestr(f"archive/{name}", data)
    return path


def safetensors(path: Path, header: Any, data: bytes = ROWS.tobytes(), length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str = "F32", shape: Any = (2, 3), offsets: Any = (0, 24)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def on_map(array: np.ndarray[Any, Any]) -> bool:
    base: Any = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return base is not None


def refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    text = str(caught.value)
    assert words in text
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 500
