# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Replacement server, rows S-01 to S-22: start, load, one step, its parameters. Later rows: the next file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anacrusis.server.wire import messages, osc

from .harness import LOAD_SEQUENCE, Live, address, audio_of, batch, constant, head

Start = Callable[..., Live]
S = 66150
PREDICTED = messages.SERVER_PREDICTED


def stems_of(datagrams: list[bytes]) -> list[str]:
    return [address(data) for data in datagrams]


def ramp(start: int, samples: int, compat: str) -> np.ndarray:
    """What the decoder's ramp 0, 1, 2, ... looks like in a reply."""
    values = np.arange(start, start + samples, dtype=np.float32)
    if compat == "upstream":
        values[:882] *= np.linspace(0.0, 1.0, 882)
    return values


def test_s_01_ready_once_and_then_listening(live: Start) -> None:
    running = live()  # the fixture has read exactly one /ready
    assert running.peer.echo() == []  # nothing more came, and a packet test was answered
    assert running.server.sender._sock.getsockname()[1] != running.server.address[1]


def test_s_02_a_batch_before_load_model_gets_no_reply(live: Start) -> None:
    running = live()
    running.peer.send(*batch(1, constant(0.5)))
    assert running.settle() == []
    assert running.server.counters.unloaded == 15


def test_s_03_the_load_sequence_sets_state_and_gets_no_reply(live: Start) -> None:
    running = live()
    running.peer.send(*LOAD_SEQUENCE)
    assert running.settle() == []
    controls = running.server.session.controls
    assert (controls.package, controls.r, controls.w, controls.stems) == (4410, 0.25, 1.0, ("bass",))
    assert controls.fade_samples(44100) == 882


@pytest.mark.parametrize("compat", ["native", "upstream"])
def test_s_04_sixteen_chunks_then_server_predicted(live: Start, compat: str) -> None:
    got = live(compat=compat).load().step(2, constant(0.5))
    assert stems_of(got) == ["/bass"] * 16 + ["/server_predicted"]
    assert (len(got[0]), len(got[15]), len(got[16])) == (22076, 4436, 24)
    assert got[0].startswith(bytes.fromhex("2f626173730000002c696969"))


def test_s_05_chunk_headers_and_lengths(live: Start) -> None:
    got = live().load().step(2, constant(0.5))[:16]
    assert [head(data) for data in got] == [(2, k, 16) for k in range(16)]
    assert [messages.read_reply(d).audio.shape[0] for d in got] == [4410] * 15 + [882]


def test_s_06_upstream_reply_is_the_decode_cropped_and_ramped(live: Start) -> None:
    reply = audio_of(live(compat="upstream", ramp=1.0).load().step(2, constant(0.5)))
    np.testing.assert_allclose(reply, ramp(3252, 67032, "upstream"), rtol=1e-6)
    assert reply[-1] == 70283


def test_s_06_native_reply_is_the_decode_unramped_at_its_own_place(live: Start) -> None:
    """now = 66150, the emission is [132300, 198450): frame 49 starts at 200704, so the decode ends there."""
    running = live(ramp=1e-6).load()
    reply = audio_of(running.step(2, constant(0.5)))
    decode_starts = (132300 - 882 - 1536) // 4096 * 4096
    silent = max(132300 // 4096 * 4096 - (132300 - 882), 0)  # before the epoch's first frame there is silence
    expected = ramp(132300 - 882 - decode_starts, 67032, "native") * np.float32(1e-6)
    expected[:silent] = 0.0
    np.testing.assert_allclose(reply, expected, rtol=1e-6)


def test_s_07_replies_go_to_the_client_and_not_to_the_sender(live: Start) -> None:
    running = live().load()
    got = running.step(2, constant(0.5))  # every message of the peer leaves from a new socket
    assert len(got) == 17


@pytest.mark.parametrize(("w", "start"), [(1, 66150), (0, 132300), (-1, 198450)])
def test_s_08_s_09_upstream_context_lands_in_its_slot(live: Start, w: int, start: int) -> None:
    running = live(compat="upstream").load()
    running.peer.send(messages.update_w(w))
    running.step(2, constant(0.5))
    heard = running.recorder.seen[0]["audio"][0]
    expected = np.zeros(264600, np.float32)
    expected[start : start + S] = 0.5
    np.testing.assert_array_equal(heard, expected[: heard.shape[0]])


@pytest.mark.parametrize("w", [1, 0, -1])
def test_s_08_s_09_native_context_lands_where_it_was_played(live: Start, w: int) -> None:
    running = live().load()
    running.peer.send(messages.update_w(w))
    running.step(2, constant(0.5))
    heard = running.recorder.seen[0]["audio"][0]
    right = -(-(S + w * S + S) // 4096) * 4096
    expected = np.zeros_like(heard)
    expected[262144 - right : 262144 - right + S] = 0.5  # sample 0 of the epoch lies `right` before the edge
    np.testing.assert_array_equal(heard, expected)


@pytest.mark.parametrize("compat", ["native", "upstream"])
def test_s_10_two_steps_follow_each_other(live: Start, compat: str) -> None:
    running = live(compat=compat).load()
    running.step(2, constant(0.5))
    running.step(3, constant(0.25))
    heard = running.recorder.seen[1]["audio"][0]
    first = 0 if compat == "upstream" else 262144 - -(-(4 * S) // 4096) * 4096
    expected = np.zeros_like(heard)
    expected[max(first, 0) : first + S] = 0.5
    expected[first + S : first + 2 * S] = 0.25
    np.testing.assert_array_equal(heard, expected)


@pytest.mark.parametrize(("w", "zero_from"), [(1, 32), (0, 48), (-1, 64)])
def test_s_11_upstream_context_is_masked_from_its_column(live: Start, w: int, zero_from: int) -> None:
    running = live(compat="upstream").load()
    running.peer.send(messages.update_w(w))
    running.step(2, constant(0.5))
    np.testing.assert_array_equal(running.recorder.seen[0]["heard"][0, 0], np.arange(64) < zero_from)


@pytest.mark.parametrize("w", [1, 0, -1])
def test_s_11_native_context_is_masked_where_it_was_not_wholly_heard(live: Start, w: int) -> None:
    running = live().load()
    running.peer.send(messages.update_w(w))
    running.step(2, constant(0.5))
    right = -(-(S + w * S + S) // 4096)
    heard_frames = 64 - (right - S // 4096)
    np.testing.assert_array_equal(running.recorder.seen[0]["heard"][0, 0], np.arange(64) < heard_frames)


@pytest.mark.parametrize(("compat", "kept"), [("upstream", 48), ("native", 47)])
def test_s_12_keep_mask_and_class_vector(live: Start, compat: str, kept: int) -> None:
    """At T = 264600 a native step generates 16 or 17 frames; this one, from frame 32 to 49, is 17."""
    running = live(compat=compat).load()
    running.step(2, constant(0.5))
    seen = running.recorder.seen[0]
    np.testing.assert_array_equal(seen["keep"][0, 0], np.arange(64) < kept)
    np.testing.assert_array_equal(seen["labels"], [[1, 0, 0, 0]])


@pytest.mark.parametrize("compat", ["native", "upstream"])
def test_s_13_two_targets_one_prediction_bass_first(live: Start, compat: str) -> None:
    running = live(compat=compat).load()
    running.peer.send(messages.predict_instruments([1, 1, 0, 0]))
    got = running.step(2, constant(0.5), planes=2)
    assert stems_of(got) == ["/bass"] * 16 + ["/drums"] * 16 + ["/server_predicted"]
    assert len(running.recorder.seen) == 1
    assert running.settle() == []
    rows = [[1, 1, 0, 0]] if compat == "upstream" else [[1, 0, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_array_equal(running.recorder.seen[0]["labels"], rows)


@pytest.mark.parametrize(
    ("tags", "flags", "stems"),
    [
        ("ffff", (1.0, 0.0, 0.0, 0.0), ("bass",)),
        ("ii", (1, 0), ("bass",)),
        ("iiiii", (0, 1, 0, 0, 1), ("drums",)),
        ("TFFT", (), ("bass", "piano")),
        ("iiii", (2, 0, 1, 0), ("guitar",)),
    ],
)
def test_s_14_flags_of_any_kind_and_number(live: Start, tags: str, flags: tuple[Any, ...], stems: Any) -> None:
    running = live().load()
    running.peer.send(osc.encode("/predict_instruments", tags, *flags))
    running.settle()
    assert running.server.session.controls.stems == stems


def test_s_15_no_stem_selected_is_still_answered(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.predict_instruments([0, 0, 0, 0]))
    assert running.step(2, constant(0.5)) == [PREDICTED]
    assert running.recorder.seen == []


@pytest.mark.parametrize(("declared", "floats"), [(3, 3), (128, 2)])
def test_s_16_s_17_packet_test_counts_what_came(live: Start, declared: int, floats: int) -> None:
    running = live()
    running.peer.send(osc.encode("/packet_test", "i" + "f" * floats, declared, *[0.5] * floats))
    (response,) = running.peer.until(lambda got: len(got) == 1)
    (inner,) = osc.messages_in(response)
    message = osc.decode(inner)
    assert (message.address, message.tags, message.arguments[0]) == (
        "/packet_test_response",
        "i" + "f" * floats,
        floats,
    )
    assert response.startswith(bytes.fromhex("2362756e646c65000000000000000001"))
    assert floats != 3 or (len(response) == 68 and response[16:20] == bytes.fromhex("00000030"))


def test_s_18_package_size_of_5120(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_package_size(5120))
    got = running.step(2, constant(0.5))[:-1]
    assert [head(data)[1:] for data in got] == [(k, 14) for k in range(14)]
    assert [messages.read_reply(d).audio.shape[0] for d in got] == [5120] * 13 + [472]


@pytest.mark.parametrize("package", [100, 127, 16385, -1])
def test_s_19_package_sizes_out_of_range_change_nothing(live: Start, package: int) -> None:
    running = live().load()
    running.peer.send(messages.update_package_size(package))
    assert len(running.step(2, constant(0.5))) == 17


@pytest.mark.parametrize(("tag", "samples"), [("d", 67032), ("f", 67031)])
def test_s_20_fade_as_double_and_as_float(live: Start, tag: str, samples: int) -> None:
    running = live().load()
    running.peer.send(osc.encode("/update_fade", tag, 0.02))
    assert audio_of(running.step(2, constant(0.5))).shape[0] == samples


REFUSED = [
    osc.encode("/update_r", "d", 1.5),
    osc.encode("/update_r", "d", -0.1),
    osc.encode("/update_r", "d", float("nan")),
    osc.encode("/update_r", "s", "a quarter"),
    osc.encode("/update_r"),
    osc.encode("/update_r", "dd", 0.5, 0.5),
    osc.encode("/w", "d", 0.5),
    osc.encode("/w", "d", 2.0),
    osc.encode("/update_fade", "d", float("inf")),
    osc.encode("/predict_instruments", "s", "bass"),
    osc.encode("/verbose", "s", "yes"),
    osc.encode("/load_model", "i", 1),
    osc.encode("/packet_test"),
]


@pytest.mark.parametrize("data", REFUSED, ids=lambda d: d.replace(b"\0", b"").decode("latin-1")[:24])
def test_s_21_impossible_values_change_nothing(live: Start, data: bytes) -> None:
    running = live().load()
    before = running.server.session.controls
    running.peer.send(data)
    running.settle()
    assert (running.server.session.controls, running.server.counters.refused) == (before, 1)
    assert len(running.step(2, constant(0.5))) == 17


@pytest.mark.parametrize("data", [osc.encode("/w", "i", 1), osc.encode("/w", "T"), osc.encode("/w", "f", 1.0)])
def test_s_22_w_as_integer_and_as_true(live: Start, data: bytes) -> None:
    running = live().load()
    running.peer.send(messages.update_w(0), data)
    running.settle()
    assert running.server.session.controls.w == 1.0
