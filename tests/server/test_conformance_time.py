# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Replacement server, rows S-24 to S-30, S-33 and S-42 on an injected clock: what is late, twice, stale or lost."""

from __future__ import annotations

import numpy as np
import pytest

from anacrusis.server.wire import messages

from .harness import LOAD_SEQUENCE, Desk, batch, constant

S = 66150
ONE, TWO, THREE = (batch(n, constant(n / 10)) for n in (1, 2, 3))


def missing(desk: Desk) -> list[int]:
    return [sum(length for _, length in step.missing) for step in desk.steps]


def test_s_24_fourteen_of_fifteen(desk: Desk) -> None:
    for k, data in enumerate(ONE[:14]):
        desk.send(k * 0.01, data)
    assert desk.wait(0.13 + 0.05).steps == []
    (step,) = desk.wait(0.13 + 0.2).steps
    assert (step.batch, step.missing, step.step_samples) == (1, ((14 * 4410, 4410),), S)


def test_s_25_only_the_first(desk: Desk) -> None:
    desk.send(0.0, ONE[0])
    assert desk.wait(0.249).steps == []
    (step,) = desk.wait(0.5).steps
    assert step.missing == ((4410, S - 4410),)
    np.testing.assert_array_equal(step.audio[:4410], np.float32(0.1))
    np.testing.assert_array_equal(step.audio[4410:], 0)


@pytest.mark.parametrize("late_s", [0.02, 0.1, 0.24], ids=["s_26", "s_27", "s_27_at_the_end_of_patience"])
def test_s_26_s_27_a_straggler_is_waited_for(desk: Desk, late_s: float) -> None:
    desk.send(0.0, *ONE[:14]).wait(late_s).send(late_s, ONE[14]).wait(2.0)
    assert missing(desk) == [0]


def test_s_28_a_duplicate_is_not_a_datagram_more(desk: Desk) -> None:
    desk.send(0.0, ONE[0], *ONE[:14])
    assert desk.wait(0.1).steps == []
    assert missing(desk.send(0.1, ONE[14]).wait(2.0)) == [0]
    assert desk.counters.duplicate == 1


def test_s_29_an_old_id_changes_nothing(desk: Desk) -> None:
    desk.send(0.0, *ONE).send(1.5, *TWO)
    desk.send(1.6, ONE[3]).send(1.7, ONE[3], port=50001).wait(9.0)
    assert [step.batch for step in desk.steps] == [1, 2]
    assert (desk.counters.stale, desk.session.assembler.epoch) == (2, 1)


def test_s_30_an_old_id_in_the_middle(desk: Desk) -> None:
    desk.send(0.0, *ONE).send(1.5, *TWO[:7]).send(1.51, ONE[5]).send(1.52, *TWO[7:]).wait(9.0)
    assert [(step.batch, step.predict) for step in desk.steps] == [(1, True), (2, True)]
    assert missing(desk) == [0, 0]


def test_s_30_an_older_id_never_seen_in_the_middle(desk: Desk) -> None:
    desk.send(1.5, *TWO[:7]).send(1.51, ONE[5]).send(1.52, *TWO[7:]).wait(9.0)
    assert [(step.batch, step.predict) for step in desk.steps] == [(1, False), (2, True)]


def test_s_33_a_partial_batch_is_overtaken(desk: Desk) -> None:
    desk.send(0.0, *ONE[:2]).send(0.1, *TWO).wait(9.0)
    assert [(step.batch, step.predict, step.skip_samples) for step in desk.steps] == [(1, False, 0), (2, True, 0)]
    assert missing(desk) == [S - 2 * 4410, 0]


def test_s_33_a_batch_that_never_came_is_time_passed(desk: Desk) -> None:
    desk.send(0.0, *ONE).send(3.0, *THREE)
    assert [(step.batch, step.skip_samples, step.skipped_batches) for step in desk.steps] == [(1, 0, 0), (3, S, 1)]
    assert desk.counters.steps_never_came == 1


def test_s_42_a_client_restarts_with_its_load_sequence(desk: Desk) -> None:
    desk.send(0.0, *ONE).send(1.0, *LOAD_SEQUENCE).send(1.5, *ONE)
    assert [(step.batch, step.epoch) for step in desk.steps] == [(1, 1), (1, 2)]


def test_s_42_a_client_restarts_with_other_audio_and_says_nothing(desk: Desk) -> None:
    other = batch(1, np.random.default_rng(1).uniform(-1, 1, S).astype(np.float32))
    desk.send(0.0, *ONE).send(1.5, *other, port=50001)
    assert [(step.batch, step.epoch) for step in desk.steps] == [(1, 1), (1, 2)]
    np.testing.assert_array_equal(desk.steps[1].audio[:4410], messages.read_context(other[0]).audio)


EPOCHS = [
    ("more than 8 below", 20, 11, 0.1, True),
    ("8 below is stale", 20, 12, 0.1, False),
    ("5 s of silence", 20, 21, 5.1, True),
    ("no silence yet", 20, 21, 4.9, False),
    ("further than a client can be", 20, 20000, 0.1, True),
    ("as far as its time allows", 20, 24, 4.9, False),
]


@pytest.mark.parametrize(("why", "first", "then", "after_s", "new"), EPOCHS, ids=lambda v: str(v))
def test_when_a_new_epoch_begins(desk: Desk, why: str, first: int, then: int, after_s: float, new: bool) -> None:
    desk.send(0.0, *batch(first, constant(0.1))).send(after_s, *batch(then, constant(0.2)), port=50001)
    assert (desk.session.assembler.epoch == 2) is new


@pytest.mark.parametrize("wild", [-5, 11, 1 << 30, -(1 << 31), 20])
def test_one_wild_datagram_does_not_end_a_song(desk: Desk, wild: int) -> None:
    """Of another id, or of the same with other audio, from another socket."""
    desk.send(0.0, *batch(20, constant(0.1))).send(0.5, batch(wild, constant(0.9))[3], port=50009)
    desk.send(1.5, *batch(21, constant(0.2))).wait(9.0)
    assert [(step.batch, step.epoch, step.skip_samples) for step in desk.steps] == [(20, 1, 0), (21, 1, 0)]
    assert desk.counters.aside == 1


def test_a_step_of_one_datagram_needs_its_successor_to_begin_an_epoch(desk: Desk) -> None:
    desk.send(0.0, messages.update_r(1 / 64))
    short = [batch(n, constant(n / 100, 4096)) for n in range(60)]
    for n in range(30, 40):
        desk.send(0.093 * n, *short[n])
    desk.send(3.7, *short[5])  # delayed by two seconds
    desk.send(0.093 * 40, *short[40])
    assert desk.session.assembler.epoch == 1
    desk.send(3.8, *short[1], port=50001).send(3.9, *short[2], port=50002)  # a client that started anew
    assert (desk.session.assembler.epoch, [step.batch for step in desk.steps[-2:]]) == (2, [1, 2])


def test_the_first_batch_may_be_shorter_and_ends_at_now(desk: Desk) -> None:
    desk.send(0.0, *batch(1, constant(0.3, 30000))).send(1.0, *TWO)
    assert [(s.audio.shape[0], s.step_samples, s.skip_samples) for s in desk.steps] == [(30000, S, 0), (S, S, 0)]


@pytest.mark.parametrize("window", [262144, 264600])
@pytest.mark.parametrize("r", [0.25, 0.125, 0.1, 0.0625, 1 / 64])
@pytest.mark.parametrize("package", [288, 4096, 4410, 10240])
def test_the_window_is_told_by_the_steps(desk: Desk, window: int, r: float, package: int) -> None:
    desk.send(0.0, messages.update_r(r))
    s = int(window * r)
    desk.send(0.0, *batch(1, constant(0.5, s), package)).send(0.3, *batch(2, constant(0.5, s), package)).wait(2.0)
    assert [(step.audio.shape[0], step.step_samples, missing(desk)) for step in desk.steps] == [(s, s, [0, 0])] * 2


def test_w_is_latched_at_the_first_datagram(desk: Desk) -> None:
    desk.send(0.0, ONE[0], messages.update_w(-1), *ONE[1:])
    assert desk.steps[0].lead_samples == S


BUDGETS = [
    ("plenty of time: patience", 1.0, 0.1, 0.25),
    ("the last moment that meets the lead", 1.0, 1.28, 0.2),
    ("a lead that cannot be met: patience", 1.0, 2.0, 0.25),
    ("a lead within the fade: patience", 0.0, 0.1, 0.25),
]


@pytest.mark.parametrize(("why", "w", "budget_s", "closes_s"), BUDGETS, ids=lambda v: str(v))
def test_an_incomplete_step_closes(desk: Desk, why: str, w: float, budget_s: float, closes_s: float) -> None:
    desk.budget_s = budget_s
    desk.send(0.0, messages.update_w(w), *ONE[:14])
    assert desk.wait(closes_s - 0.001).steps == []
    assert len(desk.wait(closes_s + 0.001).steps) == 1
