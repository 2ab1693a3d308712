# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the client tells its host: the lines the released external posts to Max's console, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anacrusis.server.wire.extension import Extension

Kind = Literal[
    "ready",  # a server has started
    "nothing sent",  # a predict that had nothing to send
    "no reply",  # at the next predict, not one chunk of a batch had come
    "missing",  # at the next predict, some of its chunks had not
    "late",  # a chunk of an earlier batch, written where it belongs
    "stale",  # a chunk too old to be written
    "duplicate",  # a chunk that had come before
    "not asked for",  # a stem this batch did not predict
    "dropped",  # the server says it will not answer
    "malformed",  # a datagram that is not what the protocol allows
    "packet test",
]


@dataclass(frozen=True, slots=True)
class Note:
    """One line. batch: the id it is about, if any."""

    kind: Kind
    text: str
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class ChunkWritten:
    """Reply samples [offset, offset + length) of a batch's stem are in the buffer; the first `fade` were blended.

    first_samples: the buffer's frame of reply sample 0 (before wrapping). chunk of `total`.
    """

    batch: int
    stem: int
    chunk: int
    total: int
    first_samples: int
    offset_samples: int
    length_samples: int
    fade_samples: int


@dataclass(frozen=True, slots=True)
class FromServer:
    """A message of our own extension."""

    message: Extension


Event = Note | ChunkWritten | FromServer
