# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Every message of the released protocol, as either end writes and reads it.

Golden bytes of each are in the tests. Client to server: `/context` carries a *sample offset*; server to client:
a stem's reply carries a *chunk number*. `/update_r`, `/w` and `/update_fade` are doubles: as float32, .02 is a
fade of 881 samples. Our own addresses are in `extension.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from anacrusis.server.wire.osc import F32, encode, encode_bundle, encode_floats, padded, read_floats

STEMS: Final = ("bass", "drums", "guitar", "piano")
SERVER_PORT: Final = 7000
CLIENT_PORT: Final = 8000
PACKAGE_MIN, PACKAGE_MAX = 128, 16_384  # floats a datagram, as both original ends accept
PACKAGE_USABLE: Final = 13_095  # more does not fit a UDP datagram
PACKAGE_ONE_FRAGMENT: Final = 288  # fits an MTU of 1,500 bytes: for links that lose packets

CONTEXT: Final = "/context"
READY: Final = encode("/ready", "T")
SERVER_PREDICTED: Final = encode("/server_predicted", "T")
LOAD_MODEL: Final = encode("/load_model")
RESET: Final = encode("/reset", "i", 1)
PRINT: Final = encode("/print", "T")
PREDICT: Final = encode("/predict")


def update_package_size(floats: int) -> bytes:
    return encode("/update_package_size", "i", floats)


def update_r(r: float) -> bytes:
    return encode("/update_r", "d", r)


def update_w(w: float) -> bytes:
    return encode("/w", "d", w)


def update_fade(ratio: float) -> bytes:
    return encode("/update_fade", "d", ratio)


def predict_instruments(flags: Sequence[int]) -> bytes:
    return encode("/predict_instruments", "i" * len(flags), *flags)


def verbose(level: int) -> bytes:
    return encode("/verbose", "i", level)


def batch_dropped(batch: int) -> bytes:
    return encode("/batch_dropped", "i", batch)


def packet_test(audio: F32) -> bytes:
    return encode_floats("/packet_test", (audio.shape[0],), audio)


def packet_test_response(audio: F32) -> bytes:
    return encode_bundle(encode_floats("/packet_test_response", (audio.shape[0],), audio))


@dataclass(frozen=True, slots=True)
class AudioMessage:
    """One datagram of audio [n] float32. index: sample offset in the step (`/context`) or chunk number (a reply)."""

    address: str
    batch: int
    index: int
    total: int
    audio: F32


def context(batch: int, offset_samples: int, total: int, audio: F32, address: str = CONTEXT) -> bytes:
    """One upload datagram. Raises WireError beyond 13,095 floats."""
    return encode_floats(address, (batch, offset_samples, total), audio)


def read_context(data: bytes) -> AudioMessage:
    """As the original server reads it: type tags skipped unread. Raises WireError."""
    address, (batch, offset, total), audio = read_floats(data, 3, strict=False)
    return AudioMessage(address, batch, offset, total, audio)


def read_reply(data: bytes) -> AudioMessage:
    """As the original external reads it: tags exactly `,iii` and floats. Raises WireError."""
    address, (batch, chunk, total), audio = read_floats(data, 3, strict=True)
    return AudioMessage(address, batch, chunk, total, audio)


def reply_datagrams(stem: str, batch: int, audio: F32, package: int) -> Iterator[bytes]:
    """A stem's reply, audio [N] float32, in chunks of `package` floats (at most 13,095), in order."""
    raw = memoryview(audio.astype(">f4").tobytes())
    package = min(package, PACKAGE_USABLE)
    total = -(-audio.shape[0] // package)
    for chunk in range(total):
        part = raw[4 * chunk * package : 4 * (chunk + 1) * package]
        yield encode_floats(f"/{stem}", (batch, chunk, total), part)


def context_bytes(floats: int) -> int:
    """Size of a `/context` datagram."""
    return 24 + 4 * floats + padded(floats + 5)
