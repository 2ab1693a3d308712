# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Our own addresses: only to a client that said hello, and what each of them says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from anacrusis.engine.bundle import Bundle
from anacrusis.server.wire import extension, messages, osc

from .harness import LOAD_SEQUENCE, Desk, Live, address, batch, constant

Start = Callable[..., Live]
HELLO = extension.ClientHello(1, 0, "").encode()
S = 66150
Kind = TypeVar("Kind", bound=extension.Extension)


def told(datagrams: list[bytes], kind: type[Kind]) -> list[Kind]:
    return [kind.read(osc.decode(d)) for d in datagrams if address(d) == kind.ADDRESS]


def introduced(running: Live) -> Live:
    """Say hello as our client does: from the socket that listens."""
    running.peer.one_socket = True
    running.peer.send(HELLO)
    running.peer.until(lambda got: len(got) == 1)
    return running


def step(number: int, curr: int, step_samples: int, lead: int) -> bytes:
    return extension.StepPosition(number, curr, step_samples, lead).encode()


def test_hello_says_what_plays(live: Start) -> None:
    running = live()
    running.peer.inbox.sendto(HELLO, running.peer.server)
    (data,) = running.peer.until(lambda got: len(got) == 1)
    (hello,) = told([data], extension.ServerHello)
    manifest = running.recorder.bundle.manifest
    assert (hello.protocol, hello.rate_hz, hello.frame_samples, hello.window_samples) == (1, 44100, 4096, 262144)
    assert (hello.stems, hello.licence) == ("bass,drums,guitar,piano", manifest.licence.spdx)
    assert (hello.bundle, hello.bundle_sha256) == (manifest.name, running.recorder.bundle.hash)
    assert (hello.model, hello.version != "") == ("ready", True)


def test_nothing_of_ours_goes_to_a_client_that_said_no_hello(live: Start) -> None:
    running = live().load()
    running.peer.send(messages.update_w(0.5), *batch(1, constant(0.5))[:3])
    got = running.step(2, constant(0.5))
    assert not [d for d in got if d.startswith(b"/anacrusis")]


@pytest.mark.parametrize("port", [0, 1], ids=["to where it came from", "to the port it names"])
def test_hello_says_where_replies_go(tiny_bundle: Bundle, port: int) -> None:
    desk = Desk(tiny_bundle).send(0.0, extension.ClientHello(1, port, "").encode(), port=51234)
    assert (desk.target, desk.introduced) == (("127.0.0.1", port or 51234), True)


def test_a_load_announces_the_model_and_the_epoch(live: Start) -> None:
    running = introduced(live())
    running.peer.send(*LOAD_SEQUENCE)
    got = running.settle()
    assert [e.reason for e in told(got, extension.NewEpoch)] == ["load"]
    assert told(got, extension.ModelState) == [extension.ModelState("ready", "recorder")]


def test_status_of_a_step_has_three_clocks(live: Start) -> None:
    running = introduced(live()).load()
    running.peer.send(*batch(1, constant(0.5)))
    (status,) = told(running.settle(), extension.StepStatus)
    assert (status.batch, status.stems, status.nfe) == (1, 1, 2)
    assert (status.encode_ms, status.denoise_ms, status.decode_ms) == (1.0, 2.0, 3.0)
    assert status.assemble_ms >= 0
    assert status.margin_ms < 1e3 * (S - 882) / 44100
    assert (status.late, status.dropped, status.concealed_context_samples, status.concealed_replies) == (0, 0, 0, 0)


def test_a_step_sent_after_its_deadline_is_late(live: Start) -> None:
    """A lead of 883 samples leaves one sample of time."""
    running = introduced(live()).load()
    running.peer.send(step(1, 65536, 65536, 883), *batch(1, constant(0.5, 65536)))
    got = running.settle()
    (late,), (status,) = told(got, extension.Late), told(got, extension.StepStatus)
    assert (late.batch, late.late_ms > 0, status.late, running.server.counters.late) == (1, True, 1, 1)
    assert status.margin_ms == pytest.approx(-late.late_ms)


def test_what_is_missing_is_said(live: Start) -> None:
    running = introduced(live()).load()
    running.peer.send(*batch(1, constant(0.5))[:14])
    running.peer.until(lambda got: bool(told(got, extension.Concealed)))
    running.peer.reply()
    running.settle()
    running.peer.send(*batch(4, constant(0.5)))
    got = running.settle()
    assert [(d.batch, d.reason) for d in told(got, extension.Dropped)] == [(n, "nothing of it came") for n in (2, 3)]
    assert running.server.counters.concealed_context_samples == 4410


def test_a_reply_that_is_no_number_is_said(live: Start) -> None:
    running = introduced(live()).load()
    running.recorder.spoil = True
    running.peer.send(*batch(1, constant(0.5)))
    got = running.settle()
    assert [(c.what, c.length_samples) for c in told(got, extension.Concealed)] == [("bass", S)]
    replies = [messages.read_reply(d).audio for d in got if address(d) == "/bass"]
    assert not np.concatenate(replies).any()
    running.recorder.spoil = False
    running.peer.send(*batch(2, constant(0.5)))
    got = running.settle()
    assert np.concatenate([messages.read_reply(d).audio for d in got if address(d) == "/bass"]).any()
    assert running.server.counters.concealed_replies == 1


def test_an_engine_that_fails_drops_the_step_and_plays_the_next(live: Start) -> None:
    running = introduced(live()).load()
    running.recorder.fail_with = RuntimeError("out of\nmemory")
    running.peer.send(*batch(1, constant(0.5)))
    got = running.settle()
    assert messages.batch_dropped(1) in got
    assert [d.reason for d in told(got, extension.Dropped)] == ["the engine failed"]
    running.recorder.fail_with = None
    running.peer.send(*batch(2, constant(0.25)))
    running.settle()
    heard = running.recorder.seen[-1]["audio"][0]
    assert [(heard == v).sum() > 0 for v in (np.float32(0.5), np.float32(0.25))] == [True, True]
    assert (running.server.counters.failed, running.server.counters.answered) == (1, 1)


REFUSED: list[tuple[bytes, str]] = [
    (messages.update_w(0.5), "/w"),
    (messages.update_r(2.0), "/update_r"),
    (step(1, 65536, 262144, 262144), "/anacrusis/step"),
    (step(1, 65536, 65536, -70000), "/anacrusis/step"),
    (step(1, -4, 65536, 4096), "/anacrusis/step"),
    (messages.context(1, 0, 1, np.float32([np.inf])), "/context"),
]


@pytest.mark.parametrize(("data", "where"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_a_refusal_is_answered(desk: Desk, data: bytes, where: str) -> None:
    desk.send(0.0, HELLO)
    desk.told.clear()
    desk.send(0.0, data)
    (refused,) = desk.told
    assert (refused.address, bool(refused.reason)) == (where, True)


# -- positions --------------------------------------------------------------------------------------------------------

F = 4096
POSITIONS: list[tuple[str, list[tuple[int, int, int, int]], list[tuple[int, int]]]] = [
    # (batch, curr, step, lead) in frames -> (skip in frames, epoch)
    ("one after the other", [(1, 16, 16, 1), (2, 32, 16, 1), (3, 48, 16, 1)], [(0, 1), (0, 1), (0, 1)]),
    ("ids that never came", [(1, 16, 16, 1), (4, 64, 16, 1)], [(0, 1), (32, 1)]),
    ("a shorter step", [(1, 16, 16, 1), (2, 24, 8, 1)], [(0, 1), (0, 1)]),
    ("steps of two lengths lost", [(1, 16, 16, 1), (3, 40, 8, 1)], [(0, 1), (16, 1)]),
    ("begins in the middle of a song", [(7, 160, 16, 1), (8, 176, 16, 1)], [(0, 1), (0, 1)]),
    ("begins within a step", [(1, 9, 16, 1), (2, 25, 16, 1)], [(0, 1), (0, 1)]),
    ("jumps back", [(1, 160, 16, 1), (2, 16, 16, 1)], [(0, 1), (0, 2)]),
    ("jumps ahead", [(1, 16, 16, 1), (2, 160, 16, 1)], [(0, 1), (0, 2)]),
]


@pytest.mark.parametrize(("why", "positions", "expected"), POSITIONS, ids=lambda v: v if isinstance(v, str) else "")
def test_positions_are_the_clock(desk: Desk, why: str, positions: list[Any], expected: list[tuple[int, int]]) -> None:
    for t, (number, curr, length, lead) in enumerate(positions):
        heard = min(curr, length) * F
        desk.send(1.0 + t, step(number, curr * F, length * F, lead * F), *batch(number, constant(0.5, heard)))
    assert [(s.skip_samples // F, s.epoch) for s in desk.steps] == expected
    assert [(s.step_samples, s.lead_samples) for s in desk.steps] == [(n * F, lead * F) for _, _, n, lead in positions]


def test_a_position_after_its_audio_counts_and_a_lost_one_is_continued(desk: Desk) -> None:
    one, two, three = (batch(n, constant(0.5, 8 * F)) for n in (1, 2, 3))
    desk.send(0.0, *one[:-1], step(1, 8 * F, 8 * F, F), one[-1])  # in the middle
    desk.send(0.7, *two)  # its position was lost
    desk.send(1.4, step(3, 24 * F, 8 * F, F), *three, step(3, 24 * F, 8 * F, F))
    assert [(s.step_samples, s.lead_samples, s.skip_samples, s.epoch) for s in desk.steps] == [(8 * F, F, 0, 1)] * 3


def test_the_upstream_cycle_takes_no_positions(live: Start) -> None:
    running = live(compat="upstream").load()
    running.peer.send(step(1, 65536, 65536, F))
    running.settle()
    assert running.server.counters.refused == 1
