# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""OSC 1.0 as the released external and server use it: one message a datagram, big-endian, floats one tag each.

Covered: tags i f d h s b T F N, bundles on the way in (nested, time tags ignored), the one bundle the protocol
sends. Not covered: address patterns, arrays, time-tagged execution; neither end of this protocol has them.
A float array of n samples costs 5 n bytes: n tags and n words.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError

F32 = NDArray[np.float32]
Argument = int | float | str | bytes | bool | None

MAX_DATAGRAM_BYTES: Final = 65_507
MAX_BUNDLE_DEPTH: Final = 8
MAX_BUNDLE_ELEMENTS: Final = 64
_BUNDLE: Final = b"#bundle\0"
_FIXED: Final = {"i": struct.Struct(">i"), "f": struct.Struct(">f"), "d": struct.Struct(">d"), "h": struct.Struct(">q")}
_CONSTANT: Final = {"T": True, "F": False, "N": None}


class WireError(AnacrusisError):
    """A datagram that is not what this protocol allows. The text is one line for the log."""


@dataclass(frozen=True, slots=True)
class Message:
    """One OSC message. tags without the comma; arguments in their order."""

    address: str
    tags: str
    arguments: tuple[Argument, ...]


def padded(length: int) -> int:
    """R4: `length` rounded up to a multiple of 4."""
    return (length + 3) & ~3


def string_bytes(text: str) -> bytes:
    """NUL-terminated, zero-padded to a multiple of 4."""
    raw = text.encode("utf-8")
    return raw.ljust(padded(len(raw) + 1), b"\0")


def encode(address: str, tags: str = "", *arguments: Argument) -> bytes:
    """One message. `tags` names the type of each argument; T, F and N take none. Raises WireError on a mismatch."""
    parts = [string_bytes(address), string_bytes("," + tags)]
    rest = iter(arguments)
    try:
        for tag in tags:
            if tag in _CONSTANT:
                continue
            value = next(rest)
            if tag in _FIXED:
                parts.append(_FIXED[tag].pack(value))
            elif tag == "s":
                parts.append(string_bytes(str(value)))
            elif tag == "b" and isinstance(value, bytes):
                parts.append(struct.pack(">i", len(value)) + value.ljust(padded(len(value)), b"\0"))
            else:
                raise WireError(f"{address}: no argument of type {tag!r} here")
    except (StopIteration, struct.error, TypeError) as error:
        raise WireError(f"{address}: arguments {arguments!r} do not fit tags {tags!r} ({error})") from None
    if next(rest, rest) is not rest:
        raise WireError(f"{address}: more arguments than tags {tags!r}")
    return b"".join(parts)


@lru_cache(maxsize=256)
def _float_tags(head: str, count: int) -> bytes:
    return string_bytes("," + head + "f" * count)


def encode_floats(address: str, head: tuple[int, ...], audio: memoryview | F32) -> bytes:
    """`,i...f...`: int32 `head`, then float32 audio [n] (or its big-endian bytes). Raises WireError if too long."""
    raw = audio if isinstance(audio, memoryview) else audio.astype(">f4").tobytes()
    count = len(raw) // 4
    data = b"".join(
        (string_bytes(address), _float_tags("i" * len(head), count), struct.pack(f">{len(head)}i", *head), raw)
    )
    if len(data) > MAX_DATAGRAM_BYTES:
        raise WireError(f"{address} with {count} floats is {len(data)} bytes; a datagram holds {MAX_DATAGRAM_BYTES}")
    return data


def encode_bundle(message: bytes) -> bytes:
    """One message in a bundle with the time tag "immediately"."""
    return _BUNDLE + struct.pack(">qi", 1, len(message)) + message


def messages_in(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bare messages of a datagram: itself, or what a bundle holds, recursively. Raises WireError."""
    if not data.startswith(_BUNDLE):
        yield data
        return
    if depth >= MAX_BUNDLE_DEPTH:
        raise WireError(f"bundle nested more than {MAX_BUNDLE_DEPTH} deep")
    at, elements = 16, 0
    if len(data) < at:
        raise WireError("bundle without a time tag")
    while at < len(data):
        elements += 1
        if elements > MAX_BUNDLE_ELEMENTS:
            raise WireError(f"bundle of more than {MAX_BUNDLE_ELEMENTS} elements")
        if at + 4 > len(data):
            raise WireError("bundle ends within an element's size")
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size < 4 or size % 4 or at + size > len(data):
            raise WireError(f"bundle element of {size} bytes does not fit")
        yield from messages_in(data[at : at + size], depth + 1)
        at += size


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """(text, next index) of the NUL-terminated string at `at`. Raises WireError."""
    end = data.find(b"\0", at)
    if end < 0:
        raise WireError("string without its end")
    after = at + padded(end - at + 1)
    if after > len(data):
        raise WireError("string without its padding")
    try:
        return data[at:end].decode("utf-8"), after
    except UnicodeDecodeError:
        raise WireError("string is not text") from None


def address_of(data: bytes) -> str:
    """Address of a bare message. Raises WireError."""
    if len(data) < 4 or data[:1] != b"/":
        raise WireError(f"{len(data)} bytes that do not start with an address")
    return read_string(data, 0)[0]


def decode(data: bytes) -> Message:
    """Any bare message, strictly: known tags, every byte accounted for. Raises WireError."""
    address = address_of(data)
    _, at = read_string(data, 0)
    if at == len(data):
        return Message(address, "", ())
    tags, at = read_string(data, at)
    if not tags.startswith(","):
        raise WireError(f"{address}: no type tags")
    values: list[Argument] = []
    for tag in tags[1:]:
        value, at = _argument(data, at, tag, address)
        values.append(value)
    if at != len(data):
        raise WireError(f"{address}: {len(data) - at} bytes more than its tags say")
    return Message(address, tags[1:], tuple(values))


def _argument(data: bytes, at: int, tag: str, address: str) -> tuple[Argument, int]:
    if tag in _CONSTANT:
        return _CONSTANT[tag], at
    if tag in _FIXED:
        form = _FIXED[tag]
        if at + form.size > len(data):
            raise WireError(f"{address}: ends within an argument of type {tag}")
        return form.unpack_from(data, at)[0], at + form.size
    if tag == "s":
        return read_string(data, at)
    if tag == "b":
        if at + 4 > len(data):
            raise WireError(f"{address}: ends within a blob's size")
        (size,) = struct.unpack_from(">i", data, at)
        if size < 0 or at + 4 + padded(size) > len(data):
            raise WireError(f"{address}: blob of {size} bytes does not fit")
        return data[at + 4 : at + 4 + size], at + 4 + padded(size)
    raise WireError(f"{address}: unknown type tag {tag!r}")


def read_floats(data: bytes, ints: int, *, strict: bool) -> tuple[str, tuple[int, ...], F32]:
    """(address, leading int32s, audio [n] float32) of an audio message. Raises WireError.

    strict False skips the type tags unread, as the original server does; strict
    True wants exactly `,i...f...` and not a byte more, as the original external does.
    """
    if data[:1] != b"/":
        raise WireError(f"{len(data)} bytes that do not start with an address")
    address, at = read_string(data, 0)
    end = data.find(b"\0", at)
    body = at + padded(end - at + 1)
    if len(data) % 4:
        raise WireError(f"{address}: {len(data)} bytes are no whole words; it was cut short")
    if end < 0 or body + 4 * ints > len(data):
        raise WireError(f"{address}: too short for its {ints} integers")
    count = (len(data) - body) // 4 - ints
    if strict and (data[at:body] != _float_tags("i" * ints, count) or len(data) != body + 4 * (ints + count)):
        raise WireError(f"{address}: type tags are not {ints} integers and then floats alone")
    head = struct.unpack_from(f">{ints}i", data, body)
    audio = np.frombuffer(data, ">f4", count, body + 4 * ints).astype(np.float32)
    return address, head, audio
