# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What an unlucky or unfriendly peer could do to a song, and what it must not come to."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.server.server import Server, ServerConfig
from anacrusis.server.wire import extension, messages, osc

from .harness import LOAD_SEQUENCE, WAIT_S, Desk, Live, address, batch, constant

Start = Callable[..., Live]
F, S = 4096, 66150
HELLO = extension.ClientHello(1, 0, "").encode()


def step(number: int, curr: int, step_samples: int, lead: int) -> bytes:
    return extension.StepPosition(number, curr, step_samples, lead).encode()


def told(desk: Desk) -> list[tuple[int, int, int]]:
    return [(s.batch, s.epoch, s.skip_samples) for s in desk.steps]


# -- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [3, 8, 9, 1000, 1 << 30])
@pytest.mark.parametrize("total", [1, 15])
def test_one_datagram_of_a_later_step_is_not_time_passed(desk: Desk, ahead: int, total: int) -> None:
    desk.send(0.0, *batch(3, constant(0.1)))
    desk.send(0.1, messages.context(3 + ahead, 0, total, constant(0.9, 8)), port=50009)
    desk.send(1.5, *batch(4, constant(0.2))).send(3.0, *batch(5, constant(0.2)))
    assert told(desk) == [(3, 1, 0), (4, 1, 0), (5, 1, 0)]
    assert (desk.counters.aside, desk.newest) == (1, 5)


@pytest.mark.parametrize("ahead", [3, 8, 1000])
@pytest.mark.parametrize("total", [1, 15])
def test_nor_is_one_that_comes_when_the_next_step_is_due(desk: Desk, ahead: int, total: int) -> None:
    desk.send(0.0, *batch(3, constant(0.1)))
    desk.send(1.4, messages.context(3 + ahead, 0, total, constant(0.9, 8)), port=50009)
    desk.send(1.5, *batch(4, constant(0.2))).wait(2.9).send(3.0, *batch(5, constant(0.3))).wait(9.0)
    assert told(desk) == [(3, 1, 0), (4, 1, 0), (5, 1, 0)]


@pytest.mark.parametrize("wild", [1 << 30, -(1 << 31), 300])
def test_a_wild_id_within_the_first_step(desk: Desk, wild: int) -> None:
    one = batch(1, constant(0.1))
    desk.send(0.0, *one[:14], messages.context(wild, 0, 15, constant(0.9, 100)), one[14]).wait(4.0)
    assert told(desk) == [(1, 1, 0)]
    assert desk.newest == 1


def test_a_whole_step_up_to_eight_ahead_is_time_passed_however_soon_it_comes(desk: Desk) -> None:
    desk.send(0.0, *batch(1, constant(0.1)), *batch(6, constant(0.2)))
    assert told(desk) == [(1, 1, 0), (6, 1, 4 * S)]


def test_a_whole_step_of_another_length_is_given_time_to_be_contradicted(desk: Desk) -> None:
    desk.send(0.0, *batch(1, constant(0.1)))
    desk.send(1.5, messages.context(2, 4410, 1, constant(0.2, 8)), *batch(2, constant(0.2)))
    assert [(s.batch, s.step_samples, s.missing) for s in desk.wait(3.0).steps] == [(1, S, ()), (2, S, ())]


def test_late_copies_of_steps_long_past_do_not_begin_anew(desk: Desk) -> None:
    desk.send(0.0, messages.update_r(1 / 64))
    short = [batch(n, constant(n / 100, F)) for n in range(40)]
    for n in range(1, 30):
        desk.send(0.093 * n, *short[n])
    desk.send(2.75, *short[10], *short[11]).send(2.8, *short[30])
    assert desk.session.assembler.epoch == 1


def test_open_steps_and_positions_are_bounded(desk: Desk) -> None:
    desk.send(0.0, *batch(1, constant(0.1)))
    for n in range(2000):
        desk.send(4.9, messages.context(2 + n % 300, 0, 15, constant(0.5, 1)), step(n, F * n, F, F))
    assembler = desk.session.assembler
    assert len(assembler._open) <= 16
    assert len(assembler._told) <= 16


# -- positions --------------------------------------------------------------------------------------------------------


def test_a_position_survives_the_silence_that_ends_an_epoch(desk: Desk) -> None:
    desk.send(0.0, step(1, 8 * F, 8 * F, F), *batch(1, constant(0.1, 8 * F)))
    desk.send(6.0, step(9, 72 * F, 8 * F, F), *batch(9, constant(0.1, 8 * F)))
    assert [(s.epoch, s.lead_samples) for s in desk.steps] == [(1, F), (2, F)]


def test_a_position_survives_a_challenge(desk: Desk) -> None:
    desk.send(0.0, step(100, 800 * F, 8 * F, F), *batch(100, constant(0.1, 8 * F)))
    desk.send(1.0, step(1, 8 * F, 8 * F, F), *batch(1, constant(0.2, 8 * F)))
    assert [(s.batch, s.epoch, s.lead_samples) for s in desk.steps] == [(100, 1, F), (1, 2, F)]


def test_a_step_whose_position_was_refused_is_heard_and_not_answered(live: Start) -> None:
    running = live().load()
    running.peer.one_socket = True
    running.peer.send(step(1, 65536, 65536, 400000), *batch(1, constant(0.5, 65536)))
    assert messages.batch_dropped(1) in running.settle()
    running.peer.send(step(2, 131072, 65536, F), *batch(2, constant(0.25, 65536)))
    running.peer.reply()
    assert (running.recorder.seen[-1]["audio"] == 0.5).sum() == 65536


def test_a_longer_step_whose_first_position_was_lost(desk: Desk) -> None:
    desk.send(0.0, step(1, 8 * F, 8 * F, F), *batch(1, constant(0.1, 8 * F)))
    desk.send(0.7, *batch(2, constant(0.2, 16 * F)), step(2, 24 * F, 16 * F, 2 * F))
    desk.wait(0.7)
    assert [(s.step_samples, s.lead_samples, s.missing) for s in desk.steps[1:]] == [(16 * F, 2 * F, ())]


def test_planes_and_an_input_are_all_waited_for(desk: Desk) -> None:
    desk.send(0.0, step(1, F, F, F))
    for n, name in enumerate(("/context", "/drums", "/guitar", "/piano")):
        assert desk.steps == []
        desk.send(0.0, messages.context(1, 0, 4, constant(0.1 * (n + 1), F), name))
    np.testing.assert_allclose(desk.steps[0].audio, 1.0)


# -- who is answered --------------------------------------------------------------------------------------------------


def test_a_hello_does_not_take_the_replies_of_who_plays(live: Start) -> None:
    """One says hello and goes; the released client goes on, at the configured port."""
    running = live().load()
    assert len(running.step(1, constant(0.5))) == 17
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
        guest.bind(("127.0.0.1", 0))
        guest.sendto(HELLO, running.server.address)
        guest.settimeout(WAIT_S)
        assert guest.recv(4096).startswith(b"/anacrusis/hello")
    assert len(running.step(2, constant(0.5))) == 17
    running.peer.send(*LOAD_SEQUENCE)
    assert len(running.step(1, constant(0.5))) == 17


def test_two_clients_are_each_answered_where_they_are(live: Start) -> None:
    running = live().load()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(WAIT_S)
        for data in (HELLO, *LOAD_SEQUENCE, *batch(1, constant(0.5))):
            ours.sendto(data, running.server.address)
        got: list[bytes] = []
        while messages.SERVER_PREDICTED not in got:
            got.append(ours.recv(65536))
    assert sum(address(d) == "/bass" for d in got) == 16
    running.peer.send(*LOAD_SEQUENCE)
    assert len(running.step(1, constant(0.5))) == 17  # and nothing of ours among it


def test_a_stranger_is_not_read(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tiny_bundle)
    long_hello = osc.encode("/anacrusis/hello", "T" * 60000)
    nested = b"#bundle\0" + bytes(8) + (b"\0\0\0\x04/a\0\0") * 8000
    with caplog.at_level(logging.INFO):
        desk.send(0.0, long_hello, nested, host="192.0.2.9")
        desk.send(0.0, long_hello, nested)  # and of the client itself
    assert (desk.counters.strangers, desk.counters.malformed, desk.said) == (2, 2, [])
    assert all(len(record.getMessage()) < 400 for record in caplog.records)


@pytest.mark.parametrize("client", ["0.0.0.0", "127.0.1.1"])
def test_a_client_without_a_network_is_this_machine(tiny_bundle: Bundle, client: str) -> None:
    config = ServerConfig(port=0, client_ip=client)
    assert config.bind_address() == "127.0.0.1"
    server = Server(tiny_bundle, lambda: pytest.fail("not opened here"), config)
    assert server.session._admission.admits("127.0.0.1")
    assert server.sender.target[0] == ("127.0.0.1" if client == "0.0.0.0" else client)
    assert server.stop()


def test_a_reply_is_good_for_as_long_as_its_lead(live: Start) -> None:
    """With a lead of three steps the client keeps four batches: a reply two steps old is still sent."""
    running = live(send_pause_s=0.02).load()
    running.peer.one_socket = True
    running.peer.send(step(1, 16 * F, 16 * F, 3 * 16 * F // 3), messages.update_package_size(4410))
    for n in (1, 2, 3):
        running.peer.send(step(n, n * 8 * F, 8 * F, 24 * F), *batch(n, constant(0.5, 8 * F)))
    got = running.settle()
    sent = {messages.read_reply(d).batch for d in got if address(d) == "/bass"}
    dropped = [d for d in got if address(d) == "/batch_dropped"]
    assert len(sent) + len(dropped) == 3
    assert running.server.counters.abandoned == 0


# -- engines that fail ------------------------------------------------------------------------------------------------


def test_an_engine_that_fails_to_open_in_its_own_way_is_one_line(tiny_bundle: Bundle) -> None:
    def broken() -> Any:
        raise RuntimeError("CUDA error:\nout of memory")

    server = Server(tiny_bundle, broken, ServerConfig(port=0))
    with pytest.raises(BackendError, match="RuntimeError: CUDA error: out of memory"):
        server.start()
    assert server.worker.state == "failed"
    assert server.worker.settle(WAIT_S)  # the thread lives
    assert server.stop()
    assert server.stop()  # twice is once


def test_stems_that_cannot_be_bound_leave_the_others_playing(live: Start) -> None:
    running = live().load()
    running.step(1, constant(0.5))
    running.recorder.refuse_to_bind = True
    running.peer.send(messages.predict_instruments([1, 1, 0, 0]))
    running.settle()
    running.recorder.refuse_to_bind = False
    running.peer.send(messages.predict_instruments([1, 0, 0, 0]))
    assert len(running.step(2, constant(0.5))) == 17
    running.peer.send(messages.predict_instruments([1, 1, 0, 0]))
    assert len(running.step(3, constant(0.5))) == 33
