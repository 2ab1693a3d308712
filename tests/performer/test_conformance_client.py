# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The replacement client's conformance, a test a row: C-01 to C-32 of the protocol's specification.

Where the released external has a defect the better outcome is what is tested. None of the rows needs Max itself: what
Max adds is a user interface and a buffer~, which is an array here. C-29 to C-31 open real sockets.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from anacrusis.performer.settings import SettingError
from anacrusis.server.wire import messages
from anacrusis.server.wire.osc import encode, encode_bundle, encode_floats

from .rig import FADE, PACKAGE, Rig

VECTORS = {v["name"]: v for v in json.loads((Path(__file__).parents[1] / "data" / "osc-vectors.json").read_text())}
GOLDEN = {name: bytes.fromhex(vector["hex"]) for name, vector in VECTORS.items() if "hex" in vector}
SETTERS = {
    "update_r_0.25": ("set_r", 0.25),
    "update_r_0.125": ("set_r", 0.125),
    "update_r_0.1": ("set_r", 0.1),
    "w_-1": ("set_w", -1),
    "w_0": ("set_w", 0),
    "w_1": ("set_w", 1),
    "update_fade_0.02": ("set_fade", 0.02),
    "update_package_size_4410": ("set_packet_size", 4410),
    "update_package_size_10240": ("set_packet_size", 10240),
    "predict_instruments_1000": ("set_predict_instruments", [1, 0, 0, 0]),
    "predict_instruments_0010": ("set_predict_instruments", [0, 0, 1]),
    "verbose_1": ("set_verbose", 1),
    "verbose_0": ("set_verbose", 0),
    "reset": ("reset", None),
    "print": ("print", None),
}
SILENT = {
    "set_window": 44_100,
    "set_live_mode": 1,
    "set_send_mode": 1,
    "set_lead": 5,
    "set_buffer": np.zeros((9, 4), "f4"),
}
OUT_OF_RANGE = [
    ("set_r", [-0.1, 1.5, float("nan"), "1", True]),
    ("set_w", [0.5, 2, -2, None]),
    ("set_fade", [-0.1, 1.1, float("inf")]),
    ("set_packet_size", [127, 13_096, 16_385, 4410.0]),
    ("set_predict_instruments", [[2, 0, 0, 0], [1, -1], [0.5], [], [0] * 9]),
    ("set_verbose", [2, -1]),
    ("set_send_mode", [2]),
    ("set_live_mode", [2]),
    ("set_window", [-1, 1.5]),
    ("set_buffer", [np.zeros((9, 3), "f4"), np.zeros((9, 4)), np.zeros(9, "f4")]),
]


@pytest.mark.parametrize("name", SETTERS)
def test_c_01_setters_send_the_golden_bytes(name: str) -> None:
    rig = Rig()
    method, value = SETTERS[name]
    getattr(rig.external, method)(*[] if value is None else [value])
    assert rig.took() == [GOLDEN[name]]


@pytest.mark.parametrize("method", SILENT)
def test_c_01_what_a_server_need_not_know_is_not_sent(method: str) -> None:
    rig = Rig()
    getattr(rig.external, method)(SILENT[method])
    assert rig.took() == []


@pytest.mark.parametrize("package", [4410, 10_240])
def test_c_01_an_upload_is_the_golden_bytes(package: int) -> None:
    rig = Rig(package=package)
    rig.buffer[:, 2] = 0.25
    rig.predict(66_150)
    assert hashlib.sha256(rig.took()[0]).hexdigest() == VECTORS[f"context_full_{package}"]["sha256"]


@pytest.mark.parametrize(("method", "values"), OUT_OF_RANGE)
def test_c_02_out_of_range_changes_and_sends_nothing(method: str, values: list[object]) -> None:
    rig = Rig()
    before, buffer = rig.external.settings, rig.external.buffer
    for value in values:
        with pytest.raises(SettingError, match=r"must be|give") as caught:
            getattr(rig.external, method)(value)
        assert "\n" not in str(caught.value)
    assert rig.external.settings is before
    assert rig.external.buffer is buffer
    assert rig.took() == []


LOAD = ["update_package_size_4410", "update_r_0.25", "w_1", "update_fade_0.02", "predict_instruments_1000", "verbose_0"]
LOAD_SEQUENCE = [GOLDEN[name] for name in [*LOAD, "load_model"]]


def test_c_03_the_load_sequence() -> None:
    rig = Rig()
    rig.external.load_model()
    at = [when for when, _ in rig.sent]
    assert min(np.diff(at)) >= 0.025
    assert rig.took() == LOAD_SEQUENCE


def test_c_04_ready_loads_once_if_armed() -> None:
    rig = Rig()
    rig.external.receive(GOLDEN["ready"])
    assert rig.took() == []
    rig.external.armed = True
    rig.external.receive(GOLDEN["ready"])
    rig.external.receive(GOLDEN["ready"])
    assert rig.took() == LOAD_SEQUENCE
    assert rig.kinds() == ["ready"] * 3


@pytest.mark.parametrize("tags", ["F", "i", "Ti", "", "TT"])
def test_c_05_another_ready_does_not_load(tags: str) -> None:
    rig = Rig()
    rig.external.armed = True
    rig.external.receive(encode("/ready", tags, *[1] * tags.count("i")))
    assert rig.took() == []
    assert rig.external.armed


def four_channels(**settings: object) -> Rig:
    rig = Rig(**settings)  # type: ignore[arg-type]
    rig.buffer[:] = [0.5, 0.1, 0.2, 0.4]
    return rig


def test_c_06_one_step_up() -> None:
    rig = four_channels()
    rig.predict(66_150)
    uploads = rig.uploads()
    assert [(u.batch, u.index, u.total) for u in uploads] == [(1, 4410 * i, 15) for i in range(15)]
    np.testing.assert_allclose(np.concatenate([u.audio for u in uploads]), 0.7, rtol=1e-6)
    assert not rig.buffer[132_300:198_450, 0].any()
    assert rig.changed(0, 0.5) == [(132_300, 198_450)]
    assert rig.changed(1, 0.1) == rig.changed(2, 0.2) == rig.changed(3, 0.4) == []


def test_c_07_two_stems() -> None:
    rig = four_channels(flags=(1, 1, 0, 0))
    rig.predict(66_150)
    uploads = rig.uploads()
    assert (len(uploads), {u.total for u in uploads}) == (30, {30})
    assert sorted(u.index for u in uploads) == sorted([4410 * i for i in range(15)] * 2)
    np.testing.assert_allclose(np.concatenate([u.audio for u in uploads]), 0.6, rtol=1e-6)


def test_c_08_predict_0_is_nothing() -> None:
    rig = four_channels()
    rig.predict(0)
    assert (rig.took(), rig.external.batch_id, rig.changed(0, 0.5), rig.events) == ([], 0, [], [])


def test_c_09_predict_0_in_a_loop_reads_the_tail() -> None:
    rig = Rig(264_600, live_mode=1)
    rig.buffer[:, 1] = np.arange(264_600)
    rig.predict(0)
    np.testing.assert_array_equal(np.concatenate([u.audio for u in rig.uploads()]), np.arange(198_450, 264_600))


def test_c_10_a_short_first_step() -> None:
    rig = Rig()
    rig.predict(30_000)
    uploads = rig.uploads()
    assert [u.index for u in uploads] == list(range(0, 26_461, 4410))
    assert (len(uploads[-1].audio), {u.total for u in uploads}) == (3540, {7})


def test_c_11_a_reply_and_its_crossfade() -> None:
    rig = Rig(value=0.5)
    rig.predict(66_150)
    rig.reply(1)
    bass = rig.buffer[:, 0]
    assert (bass[131_418], bass[132_300], bass[198_449], bass[198_450]) == (0.5, 1.0, 1.0, 0.5)
    assert bass[132_299] == pytest.approx(0.999433, abs=1e-6)
    assert rig.changed(0, 0.5) == [(131_419, 198_450)]
    t = np.arange(FADE, dtype=np.float32) / np.float32(FADE)
    np.testing.assert_array_equal(bass[131_418:132_300], np.float32(0.5) * (1 - t) + t)


def test_c_12_a_reply_one_batch_late() -> None:
    rig = Rig()
    rig.predict(66_150, 132_300)
    rig.reply(1)
    assert rig.changed() == [(131_419, 198_450)]
    assert set(rig.kinds()) == {"no reply", "late"}


@pytest.mark.parametrize("batch", [1, 0, -1, 4, 2**31 - 1])
def test_c_13_a_reply_two_batches_late_or_never_asked_for(batch: int) -> None:
    rig = Rig()
    rig.predict(66_150, 132_300, 198_450)
    rig.events.clear()
    rig.reply(batch, [0, 5])
    assert rig.changed() == []
    assert rig.kinds() == ["stale", "stale"]


@pytest.mark.parametrize("order", [[1, 0, *range(2, 16)], [15, *range(15)], range(15, -1, -1)])
def test_c_14_chunks_in_any_order(order: list[int]) -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.reply(1, order)
    assert rig.changed() == [(131_419, 198_450)]
    assert {event.offset_samples: event.chunk for event in rig.written()} == {PACKAGE * k: k for k in range(16)}


def test_c_15_chunk_0_lost() -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.reply(1, range(1, 16))
    assert rig.changed() == [(131_418 + PACKAGE, 198_450)]
    assert not rig.buffer[131_418 : 131_418 + PACKAGE, 0].any()
    rig.predict(132_300)
    assert rig.notes("missing") == ["batch 1: 15 of 16 chunks of bass came"]


def test_c_16_a_reply_across_the_next_trigger() -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.reply(1, range(8))
    rig.predict(132_300)
    rig.reply(1, range(8, 16))
    assert rig.changed() == [(131_419, 198_450)]


def test_c_17_a_server_that_starts_its_reply_again() -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.reply(1, range(8))
    rig.predict(132_300)
    rig.reply(1, range(16))
    assert rig.changed() == [(131_419, 198_450)]
    assert (rig.buffer[132_300:198_450, 0] == 1).all()


def test_c_18_a_duplicate_is_ignored_entirely() -> None:
    rig = Rig(value=0.5)
    rig.predict(66_150)
    rig.reply(1, [0, 3])
    once = rig.buffer.copy()
    rig.reply(1, [0, 3], value=-1.0)
    np.testing.assert_array_equal(rig.buffer, once)
    assert rig.kinds() == ["duplicate", "duplicate"]


@pytest.mark.parametrize(
    ("row", "w", "curr", "changed"),
    [
        ("C-19", 1, 198_450, [(0, 66_150), (264_600 - FADE + 1, 264_600)]),
        ("C-20", -1, 0, [(198_450 - FADE + 1, 264_600)]),
        ("the fade comes round, too", 0, 0, [(0, 66_150), (264_600 - FADE + 1, 264_600)]),
        ("at the end", 1, 264_600, [(66_150 - FADE + 1, 132_300)]),
    ],
)
def test_c_19_c_20_a_loop_comes_round_at_both_ends(row: str, w: int, curr: int, changed: list[tuple[int, int]]) -> None:
    rig = Rig(264_600, live_mode=1, w=w)
    rig.predict(curr)
    rig.reply(1)
    assert rig.changed() == changed


@pytest.mark.parametrize(("frames", "changed"), [(150_000, [(131_419, 150_000)]), (132_000, [(131_419, 132_000)])])
def test_c_21_what_is_beyond_the_end_is_discarded(frames: int, changed: list[tuple[int, int]]) -> None:
    rig = Rig(frames)
    rig.predict(66_150)
    rig.reply(1)
    assert rig.changed() == changed


@pytest.mark.parametrize(
    ("curr", "sent"), [(-5, 0), (700_000, 0), (595_350, 0), (-(2**40), 0), (2**40, 0), (562_275, 8), (529_200, 15)]
)
@pytest.mark.parametrize("live_mode", [0, 1])
def test_c_22_a_cursor_outside_the_buffer(curr: int, sent: int, live_mode: int) -> None:
    rig = Rig(live_mode=live_mode)
    rig.predict(curr)
    assert len(rig.uploads()) == sent
    assert rig.external.batch_id == bool(sent)
    assert rig.kinds() == ([] if sent else ["nothing sent"])


@pytest.mark.parametrize("floats", [13_096, 13_102, 16_384])
def test_c_23_a_package_that_no_datagram_holds(floats: int) -> None:
    rig = Rig()
    with pytest.raises(SettingError, match=r"packet_size is .*; it must be 128 to 13095 floats"):
        rig.external.set_packet_size(floats)
    rig.external.set_packet_size(13_095)
    rig.predict(66_150)
    assert max(len(data) for data in rig.took()) == 65_504


BASS_1 = encode_floats("/bass", (1, 0, 16), np.ones(PACKAGE, np.float32))
MALFORMED = {
    "doubles": encode("/bass", "iiidd", 1, 0, 16, 1.0, 1.0),
    "two integers": encode("/bass", "iif", 1, 0, 1.0),
    "truncated": BASS_1[:-3],
    "truncated by a float": BASS_1[:-4],
    "tags of another length": BASS_1 + bytes(4),
    "packet test of -1": encode("/packet_test_response", "i", -1),
    "not OSC": b"hello\0\0\0",
    "nothing": b"",
    "half a bundle": b"#bundle\0\0\0",
    "chunk 16 of 16": encode_floats("/bass", (1, 16, 16), np.ones(9, np.float32)),
    "chunk -1": encode_floats("/bass", (1, -1, 16), np.ones(9, np.float32)),
    "no chunk of none": encode_floats("/bass", (1, 0, 0), np.ones(9, np.float32)),
    "no floats": encode_floats("/bass", (1, 0, 16), np.ones(0, np.float32)),
    "not a number": encode_floats("/bass", (1, 0, 16), np.full(PACKAGE, np.nan, np.float32)),
    "dropped what?": encode("/batch_dropped", "f", 1.0),
    "status without numbers": encode("/anacrusis/status", "s", "x"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_c_24_what_is_malformed_is_reported_and_the_next_reply_counts(what: str) -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.external.receive(MALFORMED[what])
    assert rig.kinds() == ["malformed"]
    assert rig.changed() == []
    rig.reply(1)
    assert rig.changed() == [(131_419, 198_450)]


def test_c_25_a_dropped_batch() -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.external.receive(messages.batch_dropped(1))
    assert rig.notes() == ["the server dropped batch 1"]
    assert rig.changed() == []
    rig.predict(132_300)  # and it is not complained about twice
    assert rig.kinds() == ["dropped"]


@pytest.mark.parametrize("data", [encode("/kazoo", "iiif", 1, 0, 1, 1.0), encode("/x"), messages.SERVER_PREDICTED])
def test_c_26_unknown_addresses(data: bytes) -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.external.receive(data)
    assert rig.events == []


@pytest.mark.parametrize("depth", [1, 2])
def test_c_27_a_bundled_chunk(depth: int) -> None:
    rig = Rig()
    rig.predict(66_150)
    data = BASS_1
    for _ in range(depth):
        data = encode_bundle(data)
    rig.external.receive(data)
    assert rig.changed() == [(131_419, 131_418 + PACKAGE)]


@pytest.mark.parametrize("order", [range(14), range(13, -1, -1), [13], [5, 13]])
def test_c_28_a_server_with_another_package(order: list[int]) -> None:
    rig = Rig(package=10_240)
    rig.predict(66_150)
    rig.reply(1, order, package=5120)
    assert sorted(e.offset_samples for e in rig.written()) == sorted(5120 * k for k in order)
    assert rig.kinds() == []


def test_c_32_no_reply_at_all() -> None:
    rig = Rig()
    rig.predict(66_150, 132_300)
    assert rig.notes("no reply") == ["no reply for batch 1"]
    rig.reply(2)
    rig.predict(198_450)
    assert rig.notes("no reply") == ["no reply for batch 1"]
