# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What is remembered of one `predict`, so that each chunk finds its place whatever came before it.

The released external latches a place on chunk 0 and spaces chunks by its own datagram size: a lost or late
chunk 0, or a server with another size, puts audio where it does not belong. Here the place is the batch's, looked
up by its id, and the spacing is the reply's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anacrusis.performer.placing import F32
from anacrusis.server.wire.messages import AudioMessage
from anacrusis.server.wire.osc import WireError


class DuplicateChunkError(WireError):
    """A chunk that has come before."""


@dataclass(slots=True)
class StemReply:
    """One stem of one batch. package: floats a chunk but the last (0: not known yet). total: chunks (0: none came).

    head [F] float32: the headroom as it came, and where it came; an earlier batch that comes later goes under it.
    """

    head: F32
    head_here: NDArray[np.bool_]
    total: int = 0
    package: int = 0
    received: set[int] = field(default_factory=set)
    held: AudioMessage | None = None

    @property
    def complete(self) -> bool:
        return self.total > 0 and len(self.received) == self.total

    def take(self, message: AudioMessage, length: int) -> list[tuple[int, AudioMessage]]:
        """The chunks that can be placed now, each with its offset in the reply of `length` samples.

        A last chunk tells its spacing only together with the reply's length; where that does not come out even it is
        held until another chunk has come. Raises DuplicateChunkError, and WireError for what contradicts earlier ones.
        """
        index, count, total = message.index, message.audio.shape[0], message.total
        if not 0 <= index < total or not count:
            raise WireError(f"{message.address}: chunk {index} of {total} with {count} floats is not part of a reply")
        if self.total not in (0, total):
            raise WireError(f"{message.address}: {total} chunks where earlier ones said {self.total}")
        if index in self.received:
            raise DuplicateChunkError(f"{message.address}: chunk {index} came again")
        last = index == total - 1
        if self.package and (count > self.package if last else count != self.package):
            raise WireError(f"{message.address}: chunk {index} has {count} floats where others have {self.package}")
        if not self.package:
            self.package = _package(index, count, total, length)
        self.total = total
        self.received.add(index)
        if not self.package:
            self.held = message
            return []
        ready = [(index * self.package, message)]
        if self.held is not None:
            held, self.held = self.held, None
            ready.append((held.index * self.package, held))
        return ready

    def keep_head(self, offset: int, audio: F32) -> None:
        stop = min(offset + audio.shape[0], self.head.shape[0])
        if offset < stop:
            self.head[offset:stop] = audio[: stop - offset]
            self.head_here[offset:stop] = True


def _package(index: int, count: int, total: int, length: int) -> int:
    """Spacing of the chunks as one of them tells it; 0 where it does not."""
    if total == 1 or index < total - 1:
        return count
    package, rest = divmod(length - count, total - 1)
    return package if rest == 0 and package >= count else 0


@dataclass(slots=True)
class Batch:
    """One cycle. Its reply covers frames [start - fade, start + step), before wrapping. targets: stem indices.

    step_samples: of the reply, which is the step's own length while neither step nor lead changes.
    """

    id: int
    curr_samples: int
    start_samples: int
    step_samples: int
    fade_samples: int
    targets: tuple[int, ...]
    sent_s: float
    dropped: bool = False
    replies: dict[int, StemReply] = field(init=False)

    def __post_init__(self) -> None:
        n = self.fade_samples
        self.replies = {stem: StemReply(np.zeros(n, np.float32), np.zeros(n, np.bool_)) for stem in self.targets}

    @property
    def first_samples(self) -> int:
        """Where the reply's sample 0 goes (the protocol's ws)."""
        return self.start_samples - self.fade_samples

    @property
    def end_samples(self) -> int:
        """One past the reply's last sample."""
        return self.start_samples + self.step_samples

    @property
    def length_samples(self) -> int:
        """N: the step and its headroom."""
        return self.step_samples + self.fade_samples

    @property
    def silent(self) -> bool:
        """Not one chunk of what was asked for has come."""
        return not any(reply.received for reply in self.replies.values())

    @property
    def complete(self) -> bool:
        return all(reply.complete for reply in self.replies.values())
