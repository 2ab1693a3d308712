# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Replacement server, rows S-23 and S-31 to S-48 (S-33, S-42 with the clock's rows): drops, refusals, resets, links."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anacrusis.server.wire import messages, osc

from .harness import LOAD_SEQUENCE, WAIT_S, Live, address, audio_of, batch, constant, head

Start = Callable[..., Live]
S = 66150
DROPPED_2 = bytes.fromhex("2f62617463685f64726f7070656400002c69000000000002")


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(
    "data", [osc.encode("/nobody", "i", 1), b"", b"/ab", b"#bundle\0", b"#bundle\0" + bytes(8) + b"\0\0\0\x05/"]
)
def test_s_23_what_is_no_message_is_ignored(live: Start, data: bytes) -> None:
    running = live().load()
    running.peer.send(data)
    assert running.settle() == []
    assert len(running.step(2, constant(0.5))) == 17


def test_s_23_bundled_messages_are_accepted(live: Start) -> None:
    running = live().load()
    running.peer.send(osc.encode_bundle(messages.update_r(0.125)))
    running.settle()
    assert running.server.session.controls.r == 0.125


def while_sampling(running: Live, first: bytes | list[bytes], then: list[bytes]) -> list[bytes]:
    """Send `then` once the networks are busy with `first`; let them finish; everything that came."""
    running.recorder.entered.clear()
    running.recorder.gate.clear()
    running.peer.send(*([first] if isinstance(first, bytes) else first))
    assert running.recorder.entered.wait(WAIT_S)
    running.peer.send(*then)
    got = running.peer.echo()
    running.recorder.gate.set()
    return got + running.settle()


def test_s_31_a_batch_completes_while_another_is_sampled(live: Start) -> None:
    running = live().load()
    got = while_sampling(running, batch(1, constant(0.1)), batch(2, constant(0.2)))
    whole = sum(address(d) == "/bass" and head(d)[0] == 2 for d in got) == 16
    assert whole is not (DROPPED_2 in got)


@pytest.mark.parametrize("compat", ["native", "upstream"])
def test_s_32_three_steps_in_order_after_a_drop(live: Start, compat: str) -> None:
    running = live(compat=compat).load()
    running.peer.send(messages.update_r(0.125))
    steps = {n: constant(n / 10, 33075) for n in (1, 2, 3, 4)}
    got = while_sampling(running, batch(1, steps[1]), batch(2, steps[2]) + batch(3, steps[3]))
    assert messages.batch_dropped(2) in got  # 2 waited, 3 came: only the newest is answered
    running.peer.send(*batch(4, steps[4]))
    running.peer.reply()
    heard = running.recorder.seen[-1]["audio"][0]
    changes = heard[np.flatnonzero(np.diff(heard, prepend=0.0))]
    np.testing.assert_array_equal(changes, np.float32([0.1, 0.2, 0.3, 0.4, 0.0]))
    assert all((heard == np.float32(n / 10)).sum() == 33075 for n in (1, 2, 3, 4))


@pytest.mark.parametrize("compat", ["native", "upstream"])
def test_s_34_an_impossible_r_is_survived(live: Start, compat: str) -> None:
    running = live(compat=compat).load()
    running.peer.send(messages.update_r(0.5), *batch(1, constant(0.5, 132300)))
    assert messages.batch_dropped(1) in running.settle()
    running.peer.send(messages.update_r(0.25))
    assert len(running.step(2, constant(0.5))) == 17


def test_s_35_r_of_a_fifth(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_r(0.2))
    got = running.step(1, constant(0.5, 52920))
    assert [head(d)[2] for d in got[:-1]] == [13] * 13
    assert audio_of(got).shape[0] == 53802


def test_s_36_a_fade_of_a_tenth(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_fade(0.1))
    got = running.step(1, constant(0.5))[:-1]
    assert [messages.read_reply(d).audio.shape[0] for d in got] == [4410] * 16


def test_s_37_a_client_with_another_r_is_followed(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_w(-1))
    got = running.step(1, constant(0.5, 132300))
    assert audio_of(got).shape[0] == 132300 + 882
    running.peer.send(messages.update_r(0.5))
    assert audio_of(running.step(2, constant(0.5, 132300))).shape[0] == 132300 + 882


@pytest.mark.parametrize(
    ("offset", "samples", "total"),
    [(300000, 4410, 15), (-4410, 4410, 15), (0, 0, 15), (0, 4410, 0), (0, 4410, -1), (2**31 - 1, 1, 1)],
)
def test_s_38_datagrams_that_fit_nowhere(live: Start, offset: int, samples: int, total: int) -> None:
    running = live().load()
    running.peer.send(messages.context(1, offset, total, constant(0.5, samples)))
    assert running.settle() == []
    assert running.server.counters.refused == 1
    assert len(running.step(1, constant(0.5))) == 17


def test_s_39_a_failed_load_is_tried_again(live: Start) -> None:
    running = live(failures=2).load()  # once at the start, once here
    assert running.server.worker.state == "failed"
    running.peer.send(*batch(1, constant(0.5)))
    assert running.settle() == []
    running.load()
    assert len(running.step(2, constant(0.5))) == 17


def test_s_40_after_a_reset_all_is_as_at_the_start(live: Start) -> None:
    running = live().load()
    fresh = running.step(1, constant(0.25))
    running.step(2, constant(0.5))
    running.peer.send(messages.RESET)
    assert running.step(1, constant(0.25)) == fresh
    first, last = running.recorder.seen[0], running.recorder.seen[-1]
    for name in ("audio", "heard", "keep", "source"):
        np.testing.assert_array_equal(first[name], last[name])


def test_s_41_a_reset_while_sampling_discards_the_reply(live: Start) -> None:
    running = live().load()
    assert while_sampling(running, batch(1, constant(0.5)), [messages.RESET]) == []
    assert len(running.step(1, constant(0.5))) == 17


def test_s_42_a_client_that_restarts_is_answered(live: Start) -> None:
    running = live().load()
    running.step(1, constant(0.5))
    running.peer.send(*LOAD_SEQUENCE)
    assert len(running.step(1, constant(0.5))) == 17


def test_s_43_native_predict_repeats_the_step_without_a_shift(live: Start) -> None:
    running = live().load()
    first = running.step(7, constant(0.5))
    running.peer.send(messages.PREDICT)
    assert [head(d) for d in running.peer.reply()[:-1]] == [head(d) for d in first[:-1]]
    one, again = running.recorder.seen
    np.testing.assert_array_equal(one["audio"], again["audio"])
    running.step(8, constant(0.25))
    heard = running.recorder.seen[2]["audio"][0]
    assert (heard == 0.25).sum() == S
    np.testing.assert_array_equal(heard[np.flatnonzero(np.diff(heard))], np.float32([0.5, 0.25]))


def test_s_43_upstream_predict_shifts_once_more(live: Start) -> None:
    running = live(compat="upstream").load()
    running.step(7, constant(0.5))
    running.peer.send(messages.PREDICT)
    got = running.peer.reply()
    assert head(got[0])[0] == 7
    heard = running.recorder.seen[1]["audio"][0]
    assert (heard[:S] == 0.5).all()
    assert not heard[S:].any()


def test_s_43_predict_before_any_batch_has_id_minus_one(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.PREDICT)
    assert head(running.peer.reply()[0]) == (-1, 0, 16)


@pytest.mark.parametrize("chosen", [True, False])
def test_s_44_print_writes_only_where_it_may(live: Start, tmp_path: Path, chosen: bool) -> None:
    running = live(dump=tmp_path / "dump" if chosen else None).load()
    running.step(1, constant(0.5))
    running.peer.send(messages.PRINT)
    running.settle()
    names = ("context_audio.wav", "generated_audio.wav", "generated_latent.npy")
    if chosen:
        eventually(lambda: all((tmp_path / "dump" / name).is_file() for name in names))
    assert chosen or not list(tmp_path.iterdir())
    assert len(running.step(2, constant(0.5))) == 17


def test_s_45_the_largest_package(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_package_size(13095))
    uploads = batch(1, constant(0.5), 13095)
    assert len(uploads[0]) == 65504
    running.peer.send(*uploads)
    got = running.peer.reply()[:-1]
    assert (len(got), max(len(d) for d in got)) == (6, 65500)


def test_s_45_a_package_that_cannot_be_sent_is_cut(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_package_size(16384))
    assert audio_of(running.step(1, constant(0.5))).shape[0] == 67032


@pytest.mark.parametrize(("newer", "resent"), [(2, True), (3, False)])
def test_s_46_a_newer_step_restarts_or_ends_a_stem_on_its_way(live: Start, newer: int, resent: bool) -> None:
    running = live(send_pause_s=0.02).load()
    running.peer.send(*batch(1, constant(0.5)))
    before = running.peer.until(lambda got: len(got) >= 5)
    running.peer.send(batch(newer, constant(0.5))[0])
    after = running.settle()
    chunks = [head(d)[1] for d in before + after if address(d) == "/bass" and head(d)[0] == 1]
    restart = chunks.index(0, 1) if resent else len(chunks)
    assert chunks[:restart] == list(range(restart))
    assert chunks[restart:] == (list(range(16)) if resent else [])
    assert 5 <= restart < 16
    assert (messages.batch_dropped(1) in after) is not resent


def test_s_47_type_tags_are_not_inspected(live: Start) -> None:
    running = live().load()
    garbled = []
    for data in batch(1, constant(0.5)):
        end = data.find(b"\0", 12)
        garbled.append(data[:12] + b"x" * (end - 12) + data[end:])
    running.peer.send(*garbled)
    assert len(running.peer.reply()) == 17
    assert (running.recorder.seen[0]["audio"] == 0.5).sum() == S


def test_s_48_planes_of_separate_stems_are_summed(live: Start) -> None:
    running = live().load()
    for stem, value in (("drums", 0.125), ("guitar", 0.25), ("piano", 0.5)):
        audio = constant(value)
        offsets = range(0, S, 4410)
        running.peer.send(*(messages.context(1, at, 45, audio[at : at + 4410], f"/{stem}") for at in offsets))
    assert len(running.peer.reply()) == 17
    assert (running.recorder.seen[0]["audio"] == 0.875).sum() == S
