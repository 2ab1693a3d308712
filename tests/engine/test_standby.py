# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A rung is prepared on a thread of its own, built in a child, given up where something else is wanted."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine.background import NICENESS, Child, lower_this_thread, progress_text
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError, PlanMissingError
from anacrusis.engine.ladder import RUNGS, Rung, open_backend
from anacrusis.engine.standby import News, Preparing, Ready, Refused, Standby, Wanted, upgrades
from anacrusis.engine.window import Pace

STEP = 8 * 4096
WAIT_S = 20.0  # far more than anything here takes; not a claim


class Rack:
    """A standby over rungs that do as they are told, and its news."""

    def __init__(self, bundle: Bundle, **more: Any) -> None:
        self.bundle, self.heard, self.more = bundle, queue.Queue[News](), more
        self.opens: list[str] = []
        self.closed: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.standby: Standby | None = None

    def rung(self, name: str, *, opens: Exception | None = None, binds: list[Exception] | None = None) -> Rung:
        rack, failures = self, iter(binds or [])

        class Fake:
            def __init__(self) -> None:
                self.name, self.bundle = name, rack.bundle
                self.inner = open_backend(rack.bundle, "onnxruntime", 1)

            def bind(self, binding: Any) -> Any:
                rack.entered.set()
                assert rack.gate.wait(WAIT_S)
                if (error := next(failures, None)) is not None:
                    raise error
                return self.inner.bind(binding)

            def close(self) -> None:
                rack.closed.append(name)

        def open_(bundle: Bundle, threads: int) -> Any:
            rack.opens.append(name)
            if opens is not None:
                raise opens
            return Fake()

        return Rung(name, f"the {name} rung", lambda: None, open_)

    def start(self, *rungs: Rung) -> Standby:
        self.standby = Standby(self.bundle, rungs, 1, self.heard.put, **self.more)
        self.standby.start()
        return self.standby

    def until(self, kind: type[Any]) -> Any:
        while not isinstance(news := self.heard.get(timeout=WAIT_S), kind):
            assert isinstance(news, Preparing), news
        return news


@pytest.fixture
def rack(copying: Path) -> Iterator[Callable[..., Rack]]:
    racks: list[Rack] = []

    def make(**more: Any) -> Rack:
        racks.append(Rack(Bundle.open(copying), **more))
        return racks[-1]

    yield make
    for one in racks:
        one.gate.set()
        if one.standby is not None:
            assert one.standby.stop(WAIT_S)


def wanted(rack: Rack, *stems: str, step: int = STEP) -> Wanted:
    return Wanted(stems or ("bass",), Pace(step, step, 882), rack.bundle.manifest.sampler.table())


def test_the_first_that_can_be_prepared_is(rack: Callable[..., Rack]) -> None:
    here = rack()
    fails = (
        here.rung("first", opens=BackendError("no such card")),
        here.rung("second", binds=[RuntimeError("out\nof it")]),
    )
    standby = here.start(*fails, here.rung("third"), here.rung("fourth"))
    standby.want(want := wanted(here))
    assert here.until(Refused) == Refused("first", "no such card")
    assert here.until(Refused) == Refused("second", "RuntimeError: out of it")
    ready = here.until(Ready)
    assert (ready.rung, ready.wanted, ready.prepared.stems) == ("third", want, ("bass",))
    assert ready.prepared.cycle_ms > 0
    assert standby.rungs == ("third", "fourth")
    assert here.opens == ["first", "second", "third"]
    standby.want(wanted(here, "piano"))
    assert here.until(Ready).prepared.stems == ("piano",)
    assert here.opens[3:] == []  # it is open
    assert here.closed == ["second"]


@pytest.mark.parametrize("where", ["refused", "ready"])
def test_what_was_wanted_before_is_given_up(rack: Callable[..., Rack], where: str) -> None:
    here = rack()
    here.gate.clear()
    standby = here.start(here.rung("new", binds=[RuntimeError("no")] if where == "refused" else None))
    standby.want(wanted(here))
    assert here.entered.wait(WAIT_S)
    standby.want(newer := wanted(here, "piano", "drums"))
    here.gate.set()
    ready = here.until(Ready)
    assert (ready.wanted, ready.prepared.stems) == (newer, ("piano", "drums"))


def test_what_plays_is_not_closed_because_other_stems_cannot_be_had(rack: Callable[..., Rack]) -> None:
    here = rack()
    standby = here.start()
    plays = here.rung("plays", binds=[PlanMissingError("no plan for 2 stems")]).open(here.bundle, 1)
    standby.keep(plays)
    standby.want(wanted(here, "bass", "piano"))
    assert here.until(Refused) == Refused("plays", "no plan for 2 stems")
    standby.want(wanted(here, "piano"))
    assert here.until(Ready).prepared.backend is plays
    assert here.closed == []
    standby.retire(plays)
    assert standby.rungs == ()
    deadline = time.monotonic() + WAIT_S
    while here.closed != ["plays"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_left_is_no_news(rack: Callable[..., Rack]) -> None:
    here = rack()
    standby = here.start(here.rung("new", opens=BackendError("no")))
    standby.want(wanted(here))
    here.until(Refused)
    standby.want(wanted(here))
    assert standby.stop(WAIT_S)
    assert here.heard.empty()
    assert standby.rungs == ()


def test_stop_while_it_prepares(rack: Callable[..., Rack]) -> None:
    here = rack()
    here.gate.clear()
    standby = here.start(here.rung("new"))
    standby.want(wanted(here))
    assert here.entered.wait(WAIT_S)
    assert not standby.stop(0.05)  # it is inside a library
    here.gate.set()
    assert standby.stop(WAIT_S)
    assert not [news for news in here.heard.queue if isinstance(news, Ready)]


BUILDS = (
    "import json, sys; [print(json.dumps({'event': 'progress', 'stage': s, 'fraction': .5}), flush=True) for s in %r]"
)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (BUILDS % (["encode"],), None),
        ("import sys; print('disk full'); sys.exit(2)", "the build ended with exit code 2: disk full"),
        ("import sys; sys.exit(1)", "the build ended with exit code 1: it said nothing"),
    ],
)
def test_a_missing_plan_is_built_in_a_child(rack: Callable[..., Rack], code: str, says: str | None) -> None:
    asked = []

    def build(rung: str, want: Wanted) -> list[str]:
        asked.append((rung, want.stems))
        return [sys.executable, "-c", code]

    here = rack(build=build)
    here.start(here.rung("new", binds=[PlanMissingError("no plan")])).want(wanted(here))
    if says is None:
        assert here.until(Ready).rung == "new"
    else:
        assert here.until(Refused) == Refused("new", says)
    assert asked == [("new", ("bass",))]


def test_a_plan_that_is_still_missing_is_not_built_for_ever(rack: Callable[..., Rack]) -> None:
    here = rack(build=lambda rung, want: [sys.executable, "-c", ""])
    here.start(here.rung("new", binds=[PlanMissingError("no plan")] * 2)).want(wanted(here))
    assert here.until(Refused) == Refused("new", "no plan")


def test_a_build_ends_with_the_standby(rack: Callable[..., Rack]) -> None:
    code = "import time; print('begun', flush=True); time.sleep(60)"
    here = rack(build=lambda rung, want: [sys.executable, "-c", code])
    standby = here.start(here.rung("new", binds=[PlanMissingError("no plan")]))
    standby.want(wanted(here))
    while "begun" not in getattr(here.heard.get(timeout=WAIT_S), "text", ""):
        continue
    begin = time.monotonic()
    assert standby.stop(WAIT_S)
    assert time.monotonic() - begin < 10


def test_a_child_that_does_not_listen_is_ended() -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child, deaf = Child([sys.executable, "-c", code]), threading.Event()
    errors = []

    def run() -> None:
        try:
            child.run(lambda text: deaf.set())
        except BackendError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    assert deaf.wait(WAIT_S)
    child.stop()
    thread.join(WAIT_S)
    assert errors == ["the build was stopped"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, where a thread has a priority of its own")
def test_the_thread_and_the_child_give_way_and_nothing_else_does() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    found: list[int] = []

    def run() -> None:
        assert lower_this_thread()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    code = "import os, time; time.sleep(.3); print(os.getpriority(os.PRIO_PROCESS, 0))"
    Child([sys.executable, "-c", code]).run(lambda text: found.append(int(text)))
    assert found == [min(own + NICENESS, 19)] * 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"event":"progress","plan":2,"plans":3,"stage":"denoise","fraction":0.4321,"remaining_s":12.3}',
         "denoise, plan 2 of 3, 43 %, about 12 s left"),
        ('{"event":"progress","stage":"decode","fraction":0.1,"remaining_s":null}', "decode, 10 %"),
        ('{"event":"summary","built":3}', ""),
        ("anacrusis build: no  card\n", "anacrusis build: no card"),
        ("[1, 2]", "[1, 2]"),
        ("\n", ""),
    ],
)  # fmt: skip
def test_what_a_build_says(line: str, text: str) -> None:
    assert progress_text(line) == text


NAMES = [rung.name for rung in RUNGS]


@pytest.mark.parametrize(
    ("to", "playing", "gives"),
    [
        ("none", "torch", []),
        ("auto", NAMES[0], []),
        ("auto", NAMES[2], NAMES[1:2]),  # the first cannot run here
        ("auto", "my own", []),
        (NAMES[3], NAMES[1], [NAMES[3]]),
        (NAMES[1], NAMES[3], [NAMES[1]]),
        (NAMES[1], NAMES[1], []),
    ],
)
def test_which_rungs_are_worth_it(monkeypatch: pytest.MonkeyPatch, to: str, playing: str, gives: list[str]) -> None:
    fakes = [Rung(name, "", lambda i=i: "no" if i == 0 else None, lambda b, t: None) for i, name in enumerate(NAMES)]  # type: ignore[misc]
    monkeypatch.setattr("anacrusis.engine.standby.RUNGS", tuple(fakes))
    assert [rung.name for rung in upgrades(to, playing)] == gives
