# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Our own messages, all under /anacrusis/. The released ends ignore them, so neither needs to know.

A server sends them only to a client that said hello. Type tags are in each class's `TAGS`, in the order of its
fields; positions are samples of the client's own count (`curr`), int64.

    client -> server   hello, step
    server -> client   hello, epoch, model, rung, pace, status, late, dropped, concealed, refused
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, ClassVar, Final, Self

from anacrusis.server.wire.osc import Message, WireError, encode

PROTOCOL: Final = 1
PREFIX: Final = "/anacrusis/"


class Extension:
    """A message whose fields are its arguments."""

    ADDRESS: ClassVar[str]
    TAGS: ClassVar[str]

    def encode(self) -> bytes:
        values: tuple[Any, ...] = astuple(self)  # type: ignore[call-overload]
        return encode(self.ADDRESS, self.TAGS, *values)

    @classmethod
    def read(cls, message: Message) -> Self:
        """Raises WireError unless address and tags are exactly this message's."""
        if message.address != cls.ADDRESS or message.tags != cls.TAGS:
            raise WireError(f"{message.address} takes ,{cls.TAGS} and not ,{message.tags[:40]}")
        return cls(*message.arguments)


@dataclass(frozen=True, slots=True)
class ClientHello(Extension):
    """Who asks. port: where replies are wanted (0: where this came from). token: "" for none."""

    ADDRESS: ClassVar[str] = "/anacrusis/hello"
    TAGS: ClassVar[str] = "iis"
    protocol: int
    port: int
    token: str


@dataclass(frozen=True, slots=True)
class StepPosition(Extension):
    """Batch `batch` ends at curr_samples: its context is [curr - step, curr), its reply [start, curr + lead + step).

    start_samples None, which is not sent: curr + lead. A client whose step or lead changes says it where it is another
    place, the end of the reply before (see `region.py`). Sent before the batch's audio, and once more after it.
    """

    ADDRESS: ClassVar[str] = "/anacrusis/step"
    TAGS: ClassVar[str] = "ihii"
    START_TAG: ClassVar[str] = "h"
    batch: int
    curr_samples: int
    step_samples: int
    lead_samples: int
    start_samples: int | None = None

    def encode(self) -> bytes:
        *values, start = astuple(self)
        if start is None:
            return encode(self.ADDRESS, self.TAGS, *values)
        return encode(self.ADDRESS, self.TAGS + self.START_TAG, *values, start)

    @classmethod
    def read(cls, message: Message) -> Self:
        """Raises WireError unless address and tags are this message's, with or without a start."""
        if message.address != cls.ADDRESS or message.tags not in (cls.TAGS, cls.TAGS + cls.START_TAG):
            raise WireError(f"{message.address} takes ,{cls.TAGS}[{cls.START_TAG}] and not ,{message.tags[:40]}")
        return cls(*message.arguments)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ServerHello(Extension):
    """Who answers, and what plays. stems: comma-separated, in the model's order. model: loading, ready or failed.

    instance: drawn when the server starts, so that a client tells a new server from a slow one.
    """

    ADDRESS: ClassVar[str] = "/anacrusis/hello"
    TAGS: ClassVar[str] = "isiiisssssi"
    protocol: int
    version: str
    rate_hz: int
    frame_samples: int
    window_samples: int
    stems: str
    bundle: str
    bundle_sha256: str
    licence: str
    model: str
    instance: int


@dataclass(frozen=True, slots=True)
class ModelState(Extension):
    """state: loading, ready or failed. text: the backend, or why not."""

    ADDRESS: ClassVar[str] = "/anacrusis/model"
    TAGS: ClassVar[str] = "ss"
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class RungState(Extension):
    """What computes the steps. state: preparing (rung is on its way; another plays), playing (rung computes every step
    after `batch`, the newest one answered or -1), refused (rung will not be used). text: what is done, or why.
    """

    ADDRESS: ClassVar[str] = "/anacrusis/rung"
    TAGS: ClassVar[str] = "ssis"
    state: str
    rung: str
    batch: int
    text: str


@dataclass(frozen=True, slots=True)
class PaceChoice(Extension):
    """The step and lead that the server wants from the next trigger on. batch: the newest answered when it was chosen.

    follow: 1 where this client is to play by it; 0 where it cannot (it says no positions), and what it asked for stays.
    text: why.
    """

    ADDRESS: ClassVar[str] = "/anacrusis/pace"
    TAGS: ClassVar[str] = "iiiis"
    batch: int
    step_samples: int
    lead_samples: int
    follow: int
    text: str


@dataclass(frozen=True, slots=True)
class NewEpoch(Extension):
    """History starts anew. epoch: count of them. reason: load, reset, batch id, silence, another client, position."""

    ADDRESS: ClassVar[str] = "/anacrusis/epoch"
    TAGS: ClassVar[str] = "is"
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class StepStatus(Extension):
    """One answered step under three clocks.

    Compute: *_ms per stage with nfe, send_ms to hand the reply to the network. Deadline: margin_ms from the last
    datagram sent to the moment the crossfade begins to play, as the server counts it (from the step's first
    datagram); negative is late. Liveness: counts since the server started.
    """

    ADDRESS: ClassVar[str] = "/anacrusis/status"
    TAGS: ClassVar[str] = "iiiffffffiiiii"
    batch: int
    stems: int
    nfe: int
    assemble_ms: float
    encode_ms: float
    denoise_ms: float
    decode_ms: float
    host_ms: float
    margin_ms: float
    late: int
    dropped: int
    concealed_context_samples: int
    concealed_replies: int
    refused: int


@dataclass(frozen=True, slots=True)
class Late(Extension):
    """The reply to `batch` was sent late_ms after its deadline."""

    ADDRESS: ClassVar[str] = "/anacrusis/late"
    TAGS: ClassVar[str] = "if"
    batch: int
    late_ms: float


@dataclass(frozen=True, slots=True)
class Dropped(Extension):
    """`batch` gets no reply; time advanced all the same."""

    ADDRESS: ClassVar[str] = "/anacrusis/dropped"
    TAGS: ClassVar[str] = "is"
    batch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Concealed(Extension):
    """Silence in place of what was missing. what: "context" (a span never came) or a stem (its reply was unusable)."""

    ADDRESS: ClassVar[str] = "/anacrusis/concealed"
    TAGS: ClassVar[str] = "isii"
    batch: int
    what: str
    offset_samples: int
    length_samples: int


@dataclass(frozen=True, slots=True)
class Refused(Extension):
    """A message that changed nothing, and why."""

    ADDRESS: ClassVar[str] = "/anacrusis/refused"
    TAGS: ClassVar[str] = "ss"
    address: str
    reason: str


FROM_SERVER: Final[dict[str, type[Extension]]] = {
    kind.ADDRESS: kind
    for kind in (
        *(ServerHello, ModelState, RungState, PaceChoice, NewEpoch),
        *(StepStatus, Late, Dropped, Concealed, Refused),
    )
}
FROM_CLIENT: Final[dict[str, type[Extension]]] = {kind.ADDRESS: kind for kind in (ClientHello, StepPosition)}
