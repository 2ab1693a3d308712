# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The wire as bytes: the released protocol's vectors, and what is not a message."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anacrusis.server.wire import extension, messages, osc

TINY = np.float32([0.0, 0.5, -1.0])


def quarter(samples: int) -> np.ndarray:
    return np.full(samples, 0.25, np.float32)


def reply(stem: str, chunk: int, total: int, audio: np.ndarray, batch: int) -> bytes:
    return osc.encode_floats(f"/{stem}", (batch, chunk, total), audio)


# Every vector of the released protocol, as our own functions write it.
VECTORS: dict[str, Callable[[], bytes]] = {
    "load_model": lambda: messages.LOAD_MODEL,
    "reset": lambda: messages.RESET,
    "print": lambda: messages.PRINT,
    "verbose_1": lambda: messages.verbose(1),
    "verbose_0": lambda: messages.verbose(0),
    "update_r_0.25": lambda: messages.update_r(0.25),
    "update_r_0.125": lambda: messages.update_r(0.125),
    "update_r_0.1": lambda: messages.update_r(0.1),
    "w_-1": lambda: messages.update_w(-1),
    "w_0": lambda: messages.update_w(0),
    "w_1": lambda: messages.update_w(1),
    "update_fade_0.02": lambda: messages.update_fade(0.02),
    "update_package_size_4410": lambda: messages.update_package_size(4410),
    "update_package_size_10240": lambda: messages.update_package_size(10240),
    "predict_instruments_1000": lambda: messages.predict_instruments([1, 0, 0, 0]),
    "predict_instruments_0010": lambda: messages.predict_instruments([0, 0, 1, 0]),
    "predict_no_args": lambda: messages.PREDICT,
    "packet_test_3": lambda: messages.packet_test(np.float32([0, 0.5, 1])),
    "context_tiny": lambda: messages.context(7, 4410, 15, TINY),
    "context_full_4410": lambda: messages.context(1, 0, 15, quarter(4410)),
    "context_full_10240": lambda: messages.context(1, 0, 7, quarter(10240)),
    "ready": lambda: messages.READY,
    "server_predicted": lambda: messages.SERVER_PREDICTED,
    "batch_dropped_3": lambda: messages.batch_dropped(3),
    "bass_tiny": lambda: reply("bass", 0, 16, TINY, 7),
    "drums_tiny": lambda: reply("drums", 0, 16, TINY, 7),
    "guitar_tiny": lambda: reply("guitar", 0, 16, TINY, 7),
    "piano_tiny": lambda: reply("piano", 0, 16, TINY, 7),
    "bass_last_chunk_882": lambda: reply("bass", 15, 16, quarter(882), 7),
    "bass_full_4410": lambda: reply("bass", 0, 16, quarter(4410), 7),
    "packet_test_response_3": lambda: messages.packet_test_response(np.float32([0, 0.5, 1])),
}


@pytest.mark.parametrize("name", VECTORS)
def test_golden_bytes(golden_bytes: dict[str, dict[str, Any]], name: str) -> None:
    vector, data = golden_bytes[name], VECTORS[name]()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (vector["len"], vector["sha256"])
    assert "hex" not in vector or data.hex() == vector["hex"]


def test_every_golden_vector_is_written(golden_bytes: dict[str, dict[str, Any]]) -> None:
    assert set(golden_bytes) == set(VECTORS)


@pytest.mark.parametrize("floats", [0, 1, 2, 3, 4, 288, 4410, 13095])
def test_sizes_follow_the_specification(floats: int) -> None:
    assert len(messages.context(1, 0, 1, quarter(floats))) == messages.context_bytes(floats)
    assert len(reply("bass", 0, 1, quarter(floats), 1)) == osc.padded(6) + 12 + 4 * floats + osc.padded(floats + 5)


def test_the_largest_datagram_is_the_largest_package() -> None:
    with pytest.raises(osc.WireError, match="65507"):
        messages.context(1, 0, 1, quarter(messages.PACKAGE_USABLE + 1))


# Bytes that are no message, for the strict reader.
MALFORMED = {
    "nothing": b"",
    "three bytes": b"/ab",
    "no slash": b"abc\0,\0\0\0",
    "address without end": b"/abc",
    "no comma": b"/a\0\0i\0\0\0\0\0\0\1",
    "tags without end": b"/a\0\0,iii",
    "unknown tag": b"/a\0\0,q\0\0\0\0\0\0",
    "int cut short": b"/a\0\0,i\0\0\0\0",
    "double cut short": b"/a\0\0,d\0\0\0\0\0\0",
    "string without end": b"/a\0\0,s\0\0abcd",
    "string that is no text": b"/a\0\0,s\0\0\xff\xfe\0\0",
    "blob beyond the end": b"/a\0\0,b\0\0\0\0\0\x09abcd",
    "blob of negative size": b"/a\0\0,b\0\0\xff\xff\xff\xff",
    "more than the tags say": b"/a\0\0,\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(osc.WireError):
        osc.decode(data)


BAD_BUNDLES = {
    "no time tag": b"#bundle\0",
    "size cut short": b"#bundle\0" + bytes(8) + b"\0\0",
    "element beyond the end": b"#bundle\0" + bytes(8) + b"\0\0\0\x08/a\0\0",
    "element of odd size": b"#bundle\0" + bytes(8) + b"\0\0\0\x05/abcd",
    "negative element": b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xf8",
}


@pytest.mark.parametrize("data", BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_bad_bundles_are_refused(data: bytes) -> None:
    with pytest.raises(osc.WireError):
        list(osc.messages_in(data))


def test_bundles_nest_but_not_without_end() -> None:
    data = messages.READY
    for _ in range(osc.MAX_BUNDLE_DEPTH):
        data = osc.encode_bundle(data)
    assert list(osc.messages_in(data)) == [messages.READY]
    with pytest.raises(osc.WireError, match="nested"):
        list(osc.messages_in(osc.encode_bundle(data)))


@pytest.mark.parametrize("tags", [",iif", ",iiii", ",iiiff", "xiiif", ",iiid"])
def test_a_reply_is_read_strictly_and_context_is_not(tags: str) -> None:
    data = osc.string_bytes("/bass") + osc.string_bytes(tags) + bytes(12) + bytes(4)
    with pytest.raises(osc.WireError):
        messages.read_reply(data)
    assert messages.read_context(data).audio.shape == (1,)


# No subnormals: a library in the same process may have told the processor to flush them.
int32 = st.integers(-(2**31), 2**31 - 1)
arguments = st.lists(
    st.one_of(
        st.tuples(st.just("i"), int32),
        st.tuples(st.just("h"), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just("d"), st.floats(allow_nan=False, allow_subnormal=False)),
        st.tuples(st.just("f"), st.floats(width=32, allow_nan=False, allow_subnormal=False)),
        st.tuples(st.just("s"), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)),
        st.tuples(st.just("b"), st.binary(max_size=9)),
        st.tuples(st.just("T"), st.just(True)),
        st.tuples(st.just("F"), st.just(False)),
        st.tuples(st.just("N"), st.none()),
    ),
    max_size=6,
)


@given(arguments)
def test_what_is_written_is_read(pairs: list[tuple[str, Any]]) -> None:
    tags = "".join(tag for tag, _ in pairs)
    data = osc.encode("/any", tags, *(value for tag, value in pairs if tag not in "TFN"))
    assert len(data) % 4 == 0
    assert osc.decode(data) == osc.Message("/any", tags, tuple(value for _, value in pairs))


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_an_error_of_ours(data: bytes) -> None:
    for read in (osc.decode, messages.read_context, messages.read_reply, lambda d: list(osc.messages_in(d))):
        with contextlib.suppress(osc.WireError):
            read(data)


@pytest.mark.parametrize(
    ("tags", "values"), [("i", ()), ("i", (1, 2)), ("i", ("x",)), ("i", (2**31,)), ("q", (1,)), ("b", ("text",))]
)
def test_arguments_that_do_not_fit_their_tags(tags: str, values: tuple[Any, ...]) -> None:
    with pytest.raises(osc.WireError):
        osc.encode("/a", tags, *values)


EXTENSIONS: list[extension.Extension] = [
    extension.ClientHello(1, 8000, "secret"),
    extension.StepPosition(3, 1 << 40, 65536, 4096),
    extension.StepPosition(3, 1 << 40, 65536, 4096, (1 << 40) - 5),
    extension.ServerHello(1, "0.1", 44100, 4096, 262144, "bass,drums", "tiny", "ab" * 32, "Apache-2.0", "ready", 9),
    extension.ModelState("failed", "no such file"),
    extension.RungState("playing", "torch", 12, "after onnxruntime"),
    extension.PaceChoice(12, 65536, 16384, 1, "310 ms a reply"),
    extension.NewEpoch(2, "reset"),
    extension.StepStatus(7, 1, 2, 1.5, 2.5, 3.5, 4.5, 0.5, -3.0, 1, 2, 3, 4, 5),
    extension.Late(7, 12.5),
    extension.Dropped(7, "a newer step was complete"),
    extension.Concealed(7, "context", 4410, 8820),
    extension.Refused("/w", "w must be -1, 0 or 1"),
]


@pytest.mark.parametrize("message", EXTENSIONS, ids=lambda m: type(m).__name__)
def test_our_own_messages_round_trip(message: extension.Extension) -> None:
    data = osc.decode(message.encode())
    assert data.address.startswith(extension.PREFIX)
    assert type(message).read(data) == message
    with pytest.raises(osc.WireError, match="takes"):
        type(message).read(osc.Message(data.address, data.tags + "i", (*data.arguments, 1)))


def test_every_message_of_ours_is_in_a_table() -> None:
    tables = {*extension.FROM_SERVER.values(), *extension.FROM_CLIENT.values()}
    assert tables == {type(message) for message in EXTENSIONS}
