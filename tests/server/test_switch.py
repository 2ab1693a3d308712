# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which rung answers each step, while better ones are prepared, take over, fail, and are prepared again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError
from anacrusis.engine.prepared import prepare
from anacrusis.engine.standby import Ready, Wanted
from anacrusis.server.rungs import Upgrade
from anacrusis.server.wire import messages
from anacrusis.server.wire.extension import ModelState

from .harness import WAIT_S
from .switching import NEW, OLD, Rig


@pytest.fixture
def rig(tiny: Path, silent: Any) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        rigs.append(Rig(Bundle.open(tiny), silent, **options))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


# -- a switch ---------------------------------------------------------------------------------------------------


def test_the_first_plays_until_the_better_one_is_ready(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.new.gate.clear()
    here.start()
    assert [here.step(k) for k in (1, 2)] == [OLD, OLD]
    here.new.gate.set()
    here.until("playing", "new")
    assert [here.step(k) for k in (3, 4, 5)] == [NEW] * 3
    states = [(one.state, one.rung, one.batch) for one in here.said()]
    assert states[-1] == ("playing", "new", 2)
    assert {one[:2] for one in states[:-1]} <= {("preparing", "new")}
    assert "after old" in here.said()[-1].text
    assert here.new.binds == [(1, "standby")]
    assert here.server is not None
    counters = here.server.counters
    assert (counters.answered, counters.late, counters.dropped, counters.failed) == (5, 0, 0, 0)
    assert here.old.closed.wait(WAIT_S)  # three steps were answered
    here.load()
    assert ModelState("ready", "new").encode() in here.got


def test_the_released_client_hears_nothing_of_it(rig: Callable[..., Rig]) -> None:
    here = rig().start()
    here.until("playing", "new")
    here.got.clear()
    here.peer.one_socket = False  # every datagram from a socket of its own, and none said hello
    here.load()
    here.step(1)
    assert here.got
    assert not [d for d in here.got if d.startswith(b"/anacrusis")]


def test_not_before_its_time(rig: Callable[..., Rig]) -> None:
    here = rig(after_s=0.5).start()
    assert here.step(1) == OLD
    assert here.new.binds == []
    time.sleep(0.5)
    assert here.step(2) == OLD
    here.until("playing", "new")
    assert here.step(3) == NEW


@pytest.mark.parametrize("what", ["open", "bind", "slow"])
def test_a_rung_that_cannot_be_had_is_said_once(rig: Callable[..., Rig], what: str) -> None:
    here = rig()
    here.opens = BackendError("no card") if what == "open" else None
    here.new.bind_errors = [RuntimeError("out of\nmemory")] if what == "bind" else []
    here.new.warm_s = 1.5 if what == "slow" else 0.0
    here.start()
    here.until("refused", "new")
    assert [here.step(k) for k in (1, 2)] == [OLD, OLD]
    assert here.playing() == []
    (refused,) = [one for one in here.said() if one.state == "refused"]
    says = {"open": "no card", "bind": "RuntimeError: out of memory", "slow": "of 1466 there are"}
    assert says[what] in refused.text


def test_looking_may_fail(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.looks = OSError("libcuda.so.1: invalid ELF header")
    here.start()
    assert [here.step(k) for k in (1, 2)] == [OLD, OLD]
    assert here.said() == []


@pytest.mark.parametrize("deed", ["raises", "gives nan"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_new_rung_that_fails_costs_no_step(rig: Callable[..., Rig], deed: str, at: int) -> None:
    """The rung before answers the very step."""
    here = rig()
    here.new.does = {at: deed}
    here.switched()
    assert [here.step(k) for k in (2, 3, 4, 5)] == [NEW] * (at - 1) + [OLD] * (5 - at)
    assert here.playing() == [("new", 1), ("old", at)]
    text = here.said()[-1].text
    assert text.startswith("new failed: ")
    assert ("the card is gone" if deed == "raises" else "cannot be played") in text
    assert here.server is not None
    counters = here.server.counters
    assert (counters.answered, counters.dropped, counters.concealed_replies, counters.failed) == (5, 0, 0, 0)
    assert here.new.closed.wait(WAIT_S)
    assert len(here.new.binds) == 1  # it is not tried again


def test_a_new_rung_that_is_late_and_slower_is_not_kept(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.new.does = {1: "is late"}
    here.switched()
    assert [here.step(k) for k in (2, 3)] == [NEW, OLD]
    assert here.playing() == [("new", 1), ("old", 2)]
    assert here.said()[-1].text.startswith("new failed: late: a cycle took 16")


def test_after_its_trial_a_rung_fails_as_any(rig: Callable[..., Rig]) -> None:
    here = rig(trial_steps=1)
    here.new.does = {3: "raises"}
    here.start()
    here.until("playing", "new")
    assert [here.step(k) for k in (1, 2, 3, 4)] == [NEW, NEW, None, NEW]
    assert here.dropped() == [(3, "the engine failed")]


# -- what happens meanwhile ---------------------------------------------------------------------------------------


def reset(here: Rig) -> None:
    here.peer.send(messages.RESET)


def load_other(here: Rig) -> None:
    here.load(flags=(1, 0, 0, 1))


def other_stems(here: Rig) -> None:
    here.want(flags=(1, 0, 0, 1))


def other_pace(here: Rig) -> None:
    here.peer.send(messages.update_fade(0.1))


@pytest.mark.parametrize(
    ("event", "rows"),
    [(reset, 1), (load_other, 2), (other_stems, 2), (other_pace, 1)],
)
@pytest.mark.parametrize("one_size", [False, True])
def test_while_it_is_prepared(rig: Callable[..., Rig], event: Callable[[Rig], None], rows: int, one_size: bool) -> None:
    here = rig()
    here.new.gate.clear()
    here.new.one_size = one_size
    here.start()
    assert here.step(1) == OLD
    assert here.new.entered.wait(WAIT_S)
    event(here)
    assert here.step(2) == OLD
    here.new.gate.set()
    here.until("playing", "new")
    assert [here.step(k) for k in (3, 4)] == [NEW, NEW]
    assert here.new.binds[-1] == (rows, "standby")
    assert here.server is not None
    assert (here.server.counters.dropped, here.server.counters.failed) == (0, 0)
    if rows == 2:
        assert here.step(5, "piano") == NEW


def test_what_was_ready_too_late_is_not_taken(rig: Callable[..., Rig]) -> None:
    """Ready for what was wanted before, and already in the mailbox when something else was wanted."""
    here = rig()
    here.new.gate.clear()
    here.start()
    assert here.server is not None
    cycle = here.server.worker._engine.cycle  # type: ignore[union-attr]
    stale = Wanted(cycle.stems, cycle.pace, cycle.prepared.table)  # type: ignore[union-attr,arg-type]
    ready = Ready("new", stale, prepare(here.new, stale.stems, stale.table, stale.pace))
    here.server.worker.put(ready)
    assert here.step(1) == OLD
    here.new.gate.set()
    here.until("playing", "new")
    assert [here.step(2), len(here.playing())] == [NEW, 1]


def test_stop_while_it_is_prepared(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.new.gate.clear()
    here.start()
    assert here.new.entered.wait(WAIT_S)
    assert here.server is not None
    begin = time.monotonic()
    assert not here.server.stop(0.1)  # the library is inside its call: the process ends without it
    assert time.monotonic() - begin < 2.0


# -- rungs that cannot bind at once -------------------------------------------------------------------------------


def test_other_stems_go_by_the_rung_before_until_they_are_prepared(rig: Callable[..., Rig]) -> None:
    here = rig(trial_steps=1)
    here.new.binds_at_once = False
    here.start()
    here.until("playing", "new")
    assert [here.step(k) for k in (1, 2, 3)] == [NEW] * 3
    assert not here.old.closed.is_set()
    here.new.gate.clear()
    here.want(flags=(1, 0, 1, 0))
    assert [here.step(4), here.step(5, "guitar")] == [OLD, OLD]
    here.new.gate.set()
    here.until("playing", "new", 2)
    assert [here.step(6), here.step(7, "guitar")] == [NEW, NEW]
    assert here.playing() == [("new", -1), ("old", 3), ("new", 5)]
    assert here.new.binds == [(1, "standby"), (2, "standby")]
    assert here.dropped() == []


def test_a_pace_it_cannot_decode_goes_by_the_rung_before(rig: Callable[..., Rig]) -> None:
    here = rig(trial_steps=1)
    here.new.binds_at_once, here.new.one_size = False, True
    here.start()
    here.until("playing", "new")
    assert here.step(1) == NEW
    here.new.gate.clear()
    here.peer.send(messages.update_fade(0.2))
    assert here.step(2) == OLD
    here.new.gate.set()
    here.until("playing", "new", 2)
    assert here.step(3) == NEW
    assert here.dropped() == []


@pytest.mark.parametrize(
    ("flags", "meanwhile"),
    [((1, 0, 1, 0), [OLD, None]), ((0, 0, 1, 0), [None, None])],
    ids=["one joins", "another one"],
)
def test_with_no_rung_before_the_stems_that_are_bound_go_on(
    rig: Callable[..., Rig], flags: tuple[int, ...], meanwhile: list[float | None]
) -> None:
    here = rig()
    here.old.binds_at_once, here.candidates = False, False
    here.start()
    assert here.step(1) == OLD
    here.old.gate.clear()
    here.want(flags=flags)
    assert [here.step(2), here.step(3, "guitar")] == meanwhile
    reason = "guitar is being prepared"
    assert here.dropped() == ([(2, reason), (3, reason)] if meanwhile[0] is None else [])
    here.old.gate.set()
    here.until("playing", "old")
    assert here.step(4, "guitar") == OLD
    assert here.old.binds == [(1, "engine"), (sum(flags), "standby")]
    assert here.playing() == [("old", 3 if meanwhile[0] else 1)]


def test_stems_that_cannot_be_had_leave_the_others_playing(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.old.binds_at_once, here.candidates = False, False
    here.start()
    assert here.step(1) == OLD
    here.old.bind_errors = [BackendError("no plan for 2 stems")]
    here.want(flags=(1, 0, 1, 0))
    here.until("refused", "old")
    assert [here.step(2), here.step(3, "guitar")] == [OLD, None]
    assert not here.old.closed.is_set()
    assert len(here.old.binds) == 1
    here.want(flags=(0, 0, 1, 0))
    here.until("playing", "old")
    assert here.step(4, "guitar") == OLD


def test_a_rung_that_took_over_plays_on_where_other_stems_cannot_be_had(rig: Callable[..., Rig]) -> None:
    """Neither binds at once, so there is nothing to go by meanwhile."""
    here = rig(trial_steps=1)
    here.old.binds_at_once = here.new.binds_at_once = False
    here.start()
    here.until("playing", "new")
    assert here.step(1) == NEW
    here.new.bind_errors = [BackendError("no plan for 2 stems")]
    here.want(flags=(1, 0, 1, 0))
    here.until("refused", "new")
    assert [here.step(k) for k in (2, 3)] == [NEW, NEW]
    assert not here.new.closed.is_set()


def test_a_new_song_counts_its_batches_anew(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.new.gate.clear()
    here.start()
    assert here.step(7) == OLD
    here.load()
    here.new.gate.set()
    here.until("playing", "new")
    assert here.playing() == [("new", -1)]


def test_before_the_song_a_binding_may_take_its_time(rig: Callable[..., Rig]) -> None:
    here = rig()
    here.old.binds_at_once, here.candidates = False, False
    here.start()
    here.load(flags=(1, 0, 1, 0))
    assert here.step(1, "guitar") == OLD


@pytest.mark.parametrize("options", [{"after_s": -1.0}, {"after_s": float("nan")}, {"trial_steps": 0}])
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AnacrusisError, match="choose"):
        Upgrade(lambda playing: (), **options).validate()
