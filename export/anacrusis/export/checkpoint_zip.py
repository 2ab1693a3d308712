# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The zip that torch.save writes: where its records lie, and its tensors as views on the mapped file.

A tensor costs no reading until somebody uses it, because torch stores records uncompressed. Copies in memory
are made only of what cannot be viewed: bfloat16 (numpy has none), the other byte order, compressed records.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import CheckpointError
from anacrusis.export.checkpoint_pickle import MAX_PICKLE_BYTES, StorageRef, TensorRef, shown

BFLOAT16 = "bfloat16"
MAX_DIMS = 32
_MAX_COPIED_BYTES = 8 << 30  # of one file
_MAX_EXPANDED_ITEMS = 1 << 20  # a view may repeat elements (torch's expand), but not to fill the memory
_LOCAL_HEADER = struct.Struct("<4s22xHH")

_NUMPY = {
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.DoubleStorage": "f8",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
    "torch.storage.UntypedStorage": "u1",
}


def dtype_of(code: str, order: str = "<") -> np.dtype[Any]:
    """The dtype as stored; bfloat16 is stored as its 16 bits."""
    return np.dtype(order + ("u2" if code == BFLOAT16 else code))


def native(array: NDArray[Any], code: str) -> NDArray[Any]:
    """`array` in this machine's byte order, bfloat16 as float32. A view stays a view where it can."""
    if code == BFLOAT16:
        bits = np.left_shift(array.astype(np.uint32), np.uint32(16))
        return np.asarray(bits, dtype=np.uint32).view(np.float32)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


class TorchZip:
    """One open torch zip. `array` may be called while `file` is open; the arrays outlive it.

    Raises CheckpointError with a text that starts with `label` where the zip is not what torch.save writes.
    """

    def __init__(self, file: IO[bytes], mapped: NDArray[np.uint8], label: str) -> None:
        self._label = label
        self._mapped = mapped
        self._zip = zipfile.ZipFile(file)
        self._members = {info.filename: info for info in self._zip.infolist()}
        pickles = [name for name in self._members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"{label}: is a zip, but not one that torch.save wrote (no single data.pkl)")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._root + "constants.pkl" in self._members:
            raise CheckpointError(
                f"{label}: is a TorchScript program, not a checkpoint; save its state_dict() with torch.save"
            )
        self._order = self._byte_order()
        self._copied_bytes = 0
        self._whole: dict[str, NDArray[np.uint8]] = {}
        self._arrays: dict[tuple[object, ...], NDArray[Any]] = {}

    def pickle_bytes(self) -> bytes:
        info = self._members[self._root + "data.pkl"]
        if info.file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"{self._label}: refused: its pickle is larger than {MAX_PICKLE_BYTES >> 20} MiB")
        return self._zip.read(info)

    def array(self, name: str, tensor: TensorRef) -> NDArray[Any]:
        """The tensor `name` as a read-only view, or a copy where no view can be. Equal refs share it."""
        storage = tensor.storage
        if not isinstance(storage, StorageRef):
            raise self._bad(name, "has no storage")
        if (code := _NUMPY.get(storage.kind)) is None:
            raise self._bad(name, f"is of an unknown dtype ({shown(storage.kind) or 'an unknown storage class'})")
        offset, size, stride = self._checked_layout(name, tensor)
        identity = (storage.key, code, storage.numel, offset, size, stride)
        if identity in self._arrays:
            return self._arrays[identity]
        dtype = dtype_of(code, self._order)
        count = math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else offset - 1
        if last >= storage.numel or count > max(storage.numel, _MAX_EXPANDED_ITEMS):
            raise self._bad(
                name,
                f"reaches element {max(last, count - 1)} of a storage of {storage.numel}; get the file again",
            )
        array: NDArray[Any]
        if count == 0:
            array = np.empty(size, native(np.empty(0, dtype), code).dtype)
        else:
            record = self._record(name, storage.key, storage.numel * dtype.itemsize)
            if code == BFLOAT16 or not dtype.isnative:
                self._charge(count * (4 if code == BFLOAT16 else dtype.itemsize))
            # A dimension of 1 is never stepped over, and its stride may be any number.
            steps = [dtype.itemsize * (s if n > 1 else 1) for n, s in zip(size, stride, strict=True)]
            array = native(np.ndarray(size, dtype, record, offset * dtype.itemsize, steps), code)
        array.flags.writeable = False
        self._arrays[identity] = array
        return array

    def _checked_layout(self, name: str, tensor: TensorRef) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        size, stride = tensor.size, tensor.stride
        if not (
            isinstance(size, tuple)
            and isinstance(stride, tuple)
            and len(size) == len(stride) <= MAX_DIMS
            and is_count(tensor.storage.numel)
            and all(is_count(value) for value in (tensor.offset, *size, *stride))
        ):
            raise self._bad(name, "has an impossible shape, stride or offset; get the file again")
        return tensor.offset, size, stride

    def _record(self, name: str, key: str, needed_bytes: int) -> NDArray[np.uint8]:
        info = self._members.get(f"{self._root}data/{key}")
        if info is None:
            raise self._bad(name, f"has no record data/{shown(key)}: the file is incomplete, get it again")
        if info.file_size < needed_bytes:
            raise self._bad(
                name,
                f"needs {needed_bytes} bytes and its record has {info.file_size}: cut short, get it again",
            )
        if info.flag_bits & 1:
            raise self._bad(name, "is encrypted")
        if info.compress_type == zipfile.ZIP_STORED:
            start = self._data_start(name, info)
            return self._mapped[start : start + needed_bytes]
        if key not in self._whole:
            self._charge(info.file_size)
            self._whole[key] = np.frombuffer(self._zip.read(info), np.uint8)
        if len(self._whole[key]) < needed_bytes:
            raise self._bad(name, "is cut short in its compressed record; get the file again")
        return self._whole[key]

    def _data_start(self, name: str, info: zipfile.ZipInfo) -> int:
        # The local header's name and padding differ in length from the directory's, so it has to be read.
        header = self._mapped[info.header_offset : info.header_offset + _LOCAL_HEADER.size].tobytes()
        if len(header) == _LOCAL_HEADER.size:
            magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
            start: int = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
            if magic == b"PK\3\4" and start + info.file_size <= len(self._mapped):
                return start
        raise self._bad(name, "lies outside the file: cut short or damaged, get it again")

    def _byte_order(self) -> str:
        info = self._members.get(self._root + "byteorder")
        if info is None:
            return "<"  # files before torch 2.1 have no such record
        text = self._zip.read(info) if info.file_size < 16 else b"?"
        if text not in (b"little", b"big"):
            raise CheckpointError(f"{self._label}: its byte order is neither little nor big; get the file again")
        return "<" if text == b"little" else ">"

    def _charge(self, copied_bytes: int) -> None:
        self._copied_bytes += copied_bytes
        if self._copied_bytes > _MAX_COPIED_BYTES:
            raise CheckpointError(
                f"{self._label}: refused: reading it would take more than {_MAX_COPIED_BYTES >> 30} GiB of "
                "memory; re-save it as float32 with torch.save, or as .safetensors"
            )

    def _bad(self, name: str, what: str) -> CheckpointError:
        return CheckpointError(f"{self._label}: tensor {shown(name)} {what}")


def contiguous_view(mapped: NDArray[np.uint8], start: int, shape: Sequence[int], code: str) -> NDArray[Any]:
    """A little-endian C-order array at byte `start` of the mapped file; the caller has checked the bounds."""
    dtype = dtype_of(code)
    size = tuple(shape)
    stored: NDArray[Any] = np.ndarray(size, dtype, mapped, start) if math.prod(size) else np.empty(size, dtype)
    array = native(stored, code)
    array.flags.writeable = False
    return array
