# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Tensors out of torch `.ckpt`/`.pt` (zip) and `.safetensors` files: no torch, and nothing in a file is run.

Read here: Lightning checkpoints of the accompaniment models, Music2Latent's `.pt`, bare state dicts.
Not read: the torch format before 1.6, TorchScript, sparse and quantised tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import CheckpointError
from anacrusis.export.checkpoint_pickle import Placeholder, TensorRef, shown, unpickle
from anacrusis.export.checkpoint_zip import BFLOAT16, MAX_DIMS, TorchZip, contiguous_view, is_count

Kind = Literal["cd", "diffusion"]
Network = Literal["student", "ema", "teacher"]

_PREFIXES: dict[tuple[Kind, Network], str] = {
    ("cd", "student"): "net.model.unet.",
    ("cd", "ema"): "target_model.model.unet.",
    ("cd", "teacher"): "teacher_model.model.unet.",
    ("diffusion", "student"): "model.unet.",
}
_OTHER: dict[Kind, Kind] = {"cd": "diffusion", "diffusion": "cd"}
# Modules that only the two-time (CTM) variant has. Its U-Net takes a second noise level; ours does not.
_TWO_TIME = frozenset({"map_layer0_s", "affine_s"})
_TENSOR_DICTS = ("state_dict", "gen_state_dict")
_METADATA = ("pytorch-lightning_version", "epoch", "global_step")

_SAFETENSORS = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": BFLOAT16,
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
}
_MAX_JSON_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The tensors of one file.

    tensors: flat, by the file's own names and in its order; read-only, any shape; float16/32/64, signed and
    unsigned integers or bool as stored, bfloat16 as a float32 copy. Views on the mapped file: nothing is read
    until used, and the file must not shrink while they live. Two names of one tensor share one array.
    metadata: whatever of pytorch-lightning_version, epoch, global_step and the safetensors metadata is there;
    `foreign_classes` names, sorted and comma-separated, the classes of the pickle that were not loaded.
    """

    tensors: dict[str, NDArray[Any]]
    path: Path
    metadata: dict[str, str]


def read_tensors(path: str | Path) -> Checkpoint:
    """Read the tensors of a `.ckpt`, `.pt` or `.safetensors` file; its content decides, not its name.

    Of a dict with `state_dict` (Lightning) or `gen_state_dict` (Music2Latent) only those entries; optimizer
    states stay on disk. Raises CheckpointError, and nothing else, for anything that is not such a file.
    """
    path = Path(path)
    try:
        return _read(path)
    except CheckpointError:
        raise
    except Exception as error:  # hostile bytes raise nearly everything in zipfile, json and numpy
        if isinstance(error, OSError) and error.filename is not None:  # of opening; a seek by a bad offset has none
            raise CheckpointError(f"{shown(str(path))}: cannot be read ({error.strerror})") from error
        reason = shown(str(error) or type(error).__name__)
        raise CheckpointError(f"{shown(path.name)}: is damaged or cut short ({reason}); get the file again") from error


def _read(path: Path) -> Checkpoint:
    label = shown(path.name)
    if not path.exists():
        raise CheckpointError(f"{shown(str(path))}: no such file")
    if not path.is_file():
        raise CheckpointError(f"{shown(str(path))}: is a directory or a device, not a checkpoint file")
    with path.open("rb") as file:
        head = file.read(16)
        if not head:
            raise CheckpointError(f"{label}: is empty; get the file again")
        mapped = np.memmap(file, np.uint8, "r")
        if head.startswith(b"PK"):
            return _read_torch(path, TorchZip(file, mapped, label), label)
        if head[8:9] == b"{" or path.suffix == ".safetensors":
            return _read_safetensors(path, mapped, label)
        if head.startswith(b"\x80"):
            raise CheckpointError(
                f"{label}: is in torch's old format, before 1.6, which is a bare pickle; re-save it with "
                "torch.save, or use .safetensors"
            )
    raise CheckpointError(f"{label}: is neither a torch checkpoint nor a .safetensors file")


def _read_torch(path: Path, archive: TorchZip, label: str) -> Checkpoint:
    root, foreign = unpickle(archive.pickle_bytes(), label)
    if not isinstance(root, dict):
        raise CheckpointError(f"{label}: holds a single object, not a dict of tensors; save a state_dict()")
    found = next((root[key] for key in _TENSOR_DICTS if isinstance(root.get(key), dict)), None)
    if found is None:
        if not root or not all(isinstance(value, TensorRef) for value in root.values()):
            raise CheckpointError(
                f"{label}: has no state_dict, no gen_state_dict, and is no dict of tensors; it has "
                f"{_few(root)}. Give the checkpoint itself"
            )
        found = root
    tensors: dict[str, NDArray[Any]] = {}
    for name, value in found.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{label}: a tensor's name is not text; get the file again")
        if isinstance(value, TensorRef):
            tensors[name] = archive.array(name, value)
        elif not name.endswith("_extra_state"):  # torch's name for a module's own data, which is no tensor
            kind = value.dotted if isinstance(value, Placeholder) else type(value).__name__
            raise CheckpointError(f"{label}: {shown(name)} is not a plain dense tensor ({shown(kind)})")
    metadata = {key: str(root[key]) for key in _METADATA if type(root.get(key)) in (str, int)}
    if foreign:
        metadata["foreign_classes"] = ",".join(shown(name) for name in foreign)
    return Checkpoint(tensors, path, metadata)


def _read_safetensors(path: Path, mapped: NDArray[np.uint8], label: str) -> Checkpoint:
    json_bytes = int.from_bytes(mapped[:8].tobytes(), "little")
    start = 8 + json_bytes
    if start > len(mapped) or json_bytes > _MAX_JSON_BYTES:
        raise CheckpointError(f"{label}: its header reaches beyond the file: cut short, get the file again")
    header = json.loads(mapped[8:start].tobytes(), object_pairs_hook=_unique)
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{label}: its metadata is not text")
    placed: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        what, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if what not in _SAFETENSORS:
            raise CheckpointError(f"{label}: tensor {shown(name)} is of an unknown dtype ({shown(str(what))})")
        if len(offsets) != 2 or len(shape) > MAX_DIMS or not all(is_count(v) for v in (*shape, *offsets)):
            raise CheckpointError(f"{label}: tensor {shown(name)} has an impossible shape or offset")
        item_bytes = np.dtype("u2" if what == "BF16" else _SAFETENSORS[what]).itemsize
        begin, end = offsets
        if end > len(mapped) - start:
            raise CheckpointError(
                f"{label}: tensor {shown(name)} reaches beyond the file: cut short, get the file again"
            )
        if end - begin != math.prod(shape) * item_bytes:
            raise CheckpointError(
                f"{label}: tensor {shown(name)} has {end - begin} bytes where its shape needs "
                f"{math.prod(shape) * item_bytes}"
            )
        placed.append((begin, end, name))
    due = 0
    for begin, end, name in sorted(placed):
        if begin != due:
            raise CheckpointError(
                f"{label}: tensor {shown(name)} begins at byte {begin} where {due} is due: overlap or "
                "gap, get the file again"
            )
        due = end
    tensors = {
        name: contiguous_view(mapped, start + entry["data_offsets"][0], entry["shape"], _SAFETENSORS[entry["dtype"]])
        for name, entry in header.items()
    }
    return Checkpoint(tensors, path, metadata)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in the header")
    return found


def detect_kind(names: Iterable[str]) -> Kind:
    """Which model a state dict of these names holds. CheckpointError if it holds no U-Net of either."""
    return _detect(list(names), "this file")


def _detect(names: Collection[str], label: str) -> Kind:
    kinds: tuple[Kind, ...] = ("cd", "diffusion")
    for kind in kinds:
        if any(name.startswith(_PREFIXES[kind, "student"]) for name in names):
            return kind
    raise CheckpointError(
        f"{label}: no U-Net: looked for names that start with net.model.unet. (CD) or model.unet. "
        f"(diffusion); it has {_few(names)}. Give the last.ckpt of the accompaniment model"
    )


def unet_tensors(
    ckpt: Checkpoint, kind: Kind | Literal["auto"] = "auto", network: Network = "student"
) -> tuple[Kind, dict[str, NDArray[Any]]]:
    """The U-Net's tensors under their bare names (`enc.64x64_conv.weight`), and the kind of the file.

    network: `student` is what runs; a CD file also holds the `ema` of it and its diffusion `teacher`, a
    diffusion file nothing else. Raises CheckpointError for a file of the other kind, without that network, or
    of the two-time CTM variant. Names and shapes are not checked here: see require_names.
    """
    label = shown(ckpt.path.name)
    names = ckpt.tensors.keys()
    found = _detect(names, label)
    if kind != "auto" and kind != found:
        raise CheckpointError(
            f"{label}: looked for {_PREFIXES[kind, 'student']} of a {kind} model, but it is a {found} model: "
            f"it has {_few(names)}. Ask for {found}, or give the {_OTHER[found]} model's file"
        )
    prefix = _PREFIXES.get((found, network))
    if prefix is None:
        raise CheckpointError(f"{label}: a {found} model has no {network} network; ask for student")
    two_time = [name for name in names if not _TWO_TIME.isdisjoint(name.split("."))]
    if two_time:
        raise CheckpointError(
            f"{label}: looked for a plain U-Net under {prefix}, but it has {_few(two_time)}: the two-time "
            "CTM variant. Give the CD or the diffusion model's file"
        )
    tensors = {name.removeprefix(prefix): array for name, array in ckpt.tensors.items() if name.startswith(prefix)}
    if not tensors:
        raise CheckpointError(
            f"{label}: no {network} network: looked for names that start with {prefix}; it has "
            f"{_few(names)}. Ask for student, or give the whole training checkpoint"
        )
    return found, tensors


def require_names(
    tensors: Mapping[str, NDArray[Any]],
    expected: Mapping[str, tuple[int, ...]],
    what: str,
    optional: Collection[str] = (),
) -> None:
    """Raise CheckpointError unless `tensors` has exactly the names and shapes of `expected`.

    The text starts with `what` and names the first mismatch in the order of `expected`; only where there is
    none, names that are not in `expected`. Names in `optional` may be absent (and may be extra).
    """
    for name, shape in expected.items():
        if name in tensors:
            if tensors[name].shape != tuple(shape):
                has = tensors[name].shape
                raise CheckpointError(f"{what}: {name} has shape {has} and needs {tuple(shape)}: another architecture")
        elif name not in optional:
            present = sum(known in tensors for known in expected)
            raise CheckpointError(
                f"{what}: {name} is missing ({present} of {len(expected)} names are there): another "
                "architecture, or not the whole file"
            )
    extra = [name for name in tensors if name not in expected and name not in optional]
    if extra:
        raise CheckpointError(f"{what}: {len(extra)} unexpected names: {_few(extra)}: another architecture")


def _few(names: Iterable[object]) -> str:
    """The first names of a file, for a message."""
    listed = [shown(str(name)) for name in names]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "") or "nothing"
