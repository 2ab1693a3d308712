# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the weights of a TensorFlow checkpoint (a "tensor bundle") without TensorFlow. numpy only.

A bundle is two files. `.index` is a sorted string table as LevelDB's (github.com/google/leveldb, doc/table_format.md):
blocks of key and value with shared key prefixes, an index block of the blocks, a footer of 48 bytes. Its keys are the
names of tensors, its values BundleEntryProto messages (tensorflow/core/protobuf/tensor_bundle.proto): dtype, shape,
shard, offset, size. `.data-00000-of-00001` is the values, one after the other, little-endian.

Read here: float32, one shard, uncompressed blocks, which is what the checkpoints we need are. Anything else is a
JudgeError. Not covered: slices, strings, the checksums (sizes are checked).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.packages import INSTALL, JudgeError

FOOTER_BYTES: Final = 48
MAGIC: Final = 0xDB4775248B80FB57
TRAILER_BYTES: Final = 5  # of each block: compression, then a checksum
FLOAT32: Final = 1  # tensorflow.DataType.DT_FLOAT
VARINT, SIXTY_FOUR_BITS, BYTES, THIRTY_TWO_BITS = 0, 1, 2, 5  # protobuf's wire types
DTYPE, SHAPE, SHARD, OFFSET, SIZE = 1, 2, 3, 4, 5  # fields of BundleEntryProto

Fields = list[tuple[int, "int | bytes"]]


def read_tensors(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Every tensor, but the optimiser's, of the bundle whose files are `.index` and `.data-00000-of-00001` in a folder.

    Raises JudgeError for a bundle that is missing, torn, or of a kind that is not read here.
    """
    try:
        index = (folder / ".index").read_bytes()
        data = (folder / ".data-00000-of-00001").read_bytes()
        entries = dict(_table(index))
        return {name: _tensor(value, data) for name, value in entries.items() if name and "/Adam" not in name}
    except OSError as error:
        raise JudgeError(f"cannot read the weights in {folder} ({error.strerror}): {INSTALL}") from None
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise JudgeError(f"the weights in {folder} are torn ({error}): {INSTALL}") from None


def _table(table: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of a sorted string table, in order."""
    footer = table[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("no table")
    at = 0
    for _ in range(2):  # the handle of the meta index, which says nothing here
        _, at = _varint(footer, at)
    for _, handle in _block(table, footer, at):
        for key, value in _block(table, handle, 0):
            yield key.decode(), value


def _block(table: bytes, handle: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block whose offset and size are written at `at` in handle."""
    offset, at = _varint(handle, at)
    size, _ = _varint(handle, at)
    block = table[offset : offset + size]
    if len(block) < size or size < 4 or offset + size + TRAILER_BYTES > len(table) or table[offset + size] != 0:
        raise ValueError("a block is cut short or compressed")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 - 4 * restarts
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        if at + own + length > end or shared > len(key):
            raise ValueError("an entry runs over its block")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _tensor(message: bytes, data: bytes) -> NDArray[np.float32]:
    """The tensor that a BundleEntryProto describes."""
    numbers = {SHARD: 0, OFFSET: 0}
    shape: tuple[int, ...] = ()
    for field, value in _fields(message):
        if field == SHAPE and isinstance(value, bytes):
            shape = tuple(_size_of(dim) for number, dim in _fields(value) if number == 2 and isinstance(dim, bytes))
        elif isinstance(value, int):
            numbers[field] = value
    if numbers.get(DTYPE) != FLOAT32 or numbers[SHARD] != 0:
        raise ValueError("a tensor is not float32 in the first shard")
    offset, size = numbers[OFFSET], numbers.get(SIZE, 0)
    if size != 4 * int(np.prod(shape)) or offset + size > len(data):
        raise ValueError("a tensor is cut short")
    return np.frombuffer(data, "<f4", size // 4, offset).reshape(shape).astype(np.float32)


def _size_of(dim: bytes) -> int:
    """The size of a TensorShapeProto.Dim; absent is 0, as protobuf has it."""
    return next((value for field, value in _fields(dim) if field == 1 and isinstance(value, int)), 0)


def _fields(message: bytes) -> Fields:
    """Field numbers and values of a protobuf message: varints and fixed widths as int, the rest as bytes."""
    fields: Fields = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == VARINT:
            value, at = _varint(message, at)
        elif wire in (THIRTY_TWO_BITS, SIXTY_FOUR_BITS):
            width = 4 if wire == THIRTY_TWO_BITS else 8
            value, at = int.from_bytes(message[at : at + width], "little"), at + width
        elif wire == BYTES:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        else:
            raise ValueError(f"wire type {wire}")
        fields.append((number, value))
    if at > len(message):
        raise ValueError("a message is cut short")
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, seven bits a byte, low ones first, and where the next thing begins."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
