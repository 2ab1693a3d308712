# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A performance in simulated time: what was heard, what each step records, and servers that vanish and return."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from anacrusis.engine.errors import AnacrusisError
from anacrusis.performer.files import Recording
from anacrusis.performer.live import perform
from anacrusis.performer.live_report import report, summary
from anacrusis.performer.live_write import prepare, write_take
from anacrusis.performer.plan import Plan
from anacrusis.performer.take import Take
from anacrusis.server.wire import messages
from anacrusis.server.wire.extension import Dropped, ModelState, NewEpoch, Refused

from .fake_server import FakeServer, World, hello, sound

RATE, FADE = 44_100, 882


def band(seconds: float, channels: int = 1, rate_hz: int = RATE) -> Recording:
    rng = np.random.default_rng(9)
    return Recording(0.1 * rng.standard_normal((int(seconds * rate_hz), channels), np.float32), rate_hz)


def played(server: FakeServer, lasting_s: float = 12, channels: int = 1, **plan: Any) -> tuple[Take, World]:
    world = World(server)
    return perform(band(lasting_s, channels), world, Plan(**plan)), world


def released(**changed: Any) -> FakeServer:
    return FakeServer(ours=False, window=264_600, **changed)


def assert_heard(take: Take, channel: int = 0, stem: int = 0, *, silent: tuple[tuple[int, int], ...] = ()) -> None:
    """Silence, then the first crossfade, then exactly the server's sound, but for spans of steps that are silent."""
    pace, heard = take.pace, take.heard[channel]
    first, length = pace.step_samples + pace.lead_samples, heard.shape[0]
    wanted = sound(0, length, stem)
    wanted[:first] = 0
    told = np.ones(length, np.bool_)
    told[first - FADE : first] = False
    for a, b in silent:
        begins, ends = a * pace.step_samples + pace.lead_samples, b * pace.step_samples + pace.lead_samples
        wanted[begins:ends] = 0
        told[begins:ends] = told[ends - FADE : ends] = told[begins - FADE : begins] = True
        told[ends - FADE : ends] = False  # fades in from silence
    np.testing.assert_allclose(heard[told], wanted[told], atol=1e-6)


# -- what is heard ---------------------------------------------------------------------------------------------

PACES = {
    "the paper's": ({}, 65_536, 65_536),
    "a short lead": ({"step_frames": 8, "lead_frames": 4}, 32_768, 16_384),
    "a lead of many steps": ({"step_frames": 1, "lead_frames": 9}, 4096, 36_864),
    "in samples": ({"step_samples": 30_001, "lead_samples": 12_345}, 30_001, 12_345),
    "half a slot": ({"r": 0.25, "w": 0.5}, 65_536, 32_768),
    "T of the released": ({"window_samples": 264_600}, 66_150, 66_150),
    "another r": ({"r": 0.1}, 26_214, 26_214),
}


@pytest.mark.parametrize("pace", PACES)
def test_all_in_time_is_all_heard(pace: str) -> None:
    plan, step, lead = PACES[pace]
    take, world = played(FakeServer(window=plan.get("window_samples", 262_144)), **plan)
    assert (take.pace.step_samples, take.pace.lead_samples) == (step, lead)
    assert_heard(take)
    live = report(take)["liveness"]
    assert (live["steps"], live["answered"], live["loads"]) == (12 * RATE // step, 12 * RATE // step, 1)
    assert (live["late"], live["concealed_samples"], live["malformed"], live["duplicates"]) == (0, 0, 0, 0)
    assert [p.curr_samples for p in world.server.positions.values()] == [s.curr_samples for s in take.steps]


@pytest.mark.parametrize("extension", [True, False])
def test_a_released_server(extension: bool) -> None:
    take, world = played(released(), extension=extension)
    assert (take.server, take.pace.step_samples, take.pace.window_samples) == (None, 66_150, 264_600)
    assert_heard(take)
    assert ("/anacrusis/hello" in world.addresses()) == extension
    assert "/anacrusis/step" not in world.addresses()
    seven = [address for address in world.addresses() if address not in ("/anacrusis/hello", "/context")]
    assert seven[-1] == "/load_model"
    assert len(seven) == 7


def test_what_the_server_hears() -> None:
    recording = band(6)
    world = World(FakeServer())
    perform(recording, world, Plan())
    for batch, parts in world.server.heard.items():
        uploaded = np.concatenate([parts[offset] for offset in sorted(parts)])
        np.testing.assert_array_equal(uploaded, recording.samples[(batch - 1) * 65_536 : batch * 65_536, 0])


def test_a_recording_of_the_stems_is_its_own_context() -> None:
    world, recording = World(FakeServer()), band(6, 4)
    take = perform(recording, world, Plan(stems=("drums",)))
    np.testing.assert_allclose(take.context, recording.samples[:, [0, 2, 3]].sum(axis=1), atol=1e-6)
    assert_heard(take, 0, 1)


def test_all_stems_of_a_stereo_recording() -> None:
    world, recording = World(FakeServer()), band(6, 2)
    take = perform(recording, world, Plan(stems=messages.STEMS))
    np.testing.assert_allclose(take.context, recording.samples.mean(axis=1), atol=1e-6)
    for stem in range(4):
        assert_heard(take, stem, stem)


@pytest.mark.parametrize(
    ("plan", "seconds"), [({"seconds": 7.0}, 7), ({"seconds": 20.0, "loop": True}, 20), ({"seconds": 99.0}, 12)]
)
def test_how_long(plan: dict[str, Any], seconds: int) -> None:
    take, _ = played(FakeServer(), **plan)
    assert take.heard.shape[1] == take.context.shape[0] == seconds * RATE
    np.testing.assert_array_equal(take.context, np.resize(band(12).samples[:, 0], seconds * RATE))


# -- late, lost, twice ---------------------------------------------------------------------------------------------


def test_a_late_chunk_is_not_heard() -> None:
    """Chunk 5 of batch 2 comes half a second after the playhead passed its place."""
    route = lambda batch, chunks: [(2.3 if (batch, k) == (2, 5) else 0.0, c) for k, c in enumerate(chunks)]  # noqa: E731
    take, _ = played(FakeServer(route=route))
    step = take.steps[1]
    first = step.start_samples - FADE + 5 * 4410
    assert not take.heard[0, first : first + 4410].any()
    assert (step.late_samples, step.concealed_samples, step.answered) == (4410, 4410, True)
    assert (step.margin_ms or 0) < 0
    assert [s.concealed_samples for s in take.steps if s is not step] == [0] * (len(take.steps) - 1)
    assert report(take)["liveness"]["late"] == 1


@pytest.mark.parametrize("package", [4410, 13_095])
def test_a_chunk_that_comes_while_its_place_is_played(package: int) -> None:
    take, _ = played(FakeServer(delay_s=0.5), step_samples=44_100, lead_samples=11_025, package=package)
    for step in take.steps[:-1]:
        late = int((step.last_chunk_s or 0) * RATE) - step.start_samples
        assert step.concealed_samples == pytest.approx(late, abs=2)
        assert step.late_samples == pytest.approx(late + FADE, abs=2)
        heard = take.heard[0, step.start_samples : step.start_samples + 44_100]
        assert np.flatnonzero(heard)[0] == pytest.approx(late, abs=2)


def test_lost_and_doubled_chunks() -> None:
    route = lambda batch, chunks: ((0.0, c) for k, c in enumerate(chunks) for _ in range((1, 0, 2)[k % 3]))  # noqa: E731
    take, _ = played(FakeServer(route=route))
    for step in take.steps:
        assert (step.chunks["bass"], step.lost_chunks, step.duplicates) == ((11, 16), 5, 5)
        assert (step.answered, step.silent) == (False, False)
    assert {step.concealed_samples for step in take.steps[:-2]} == {5 * 4410}


def test_a_dropped_step() -> None:
    route = lambda batch, chunks: [(0.0, messages.batch_dropped(3))] if batch == 3 else [(0.0, c) for c in chunks]  # noqa: E731
    take, _ = played(FakeServer(route=route))
    assert [step.dropped for step in take.steps] == [step.batch == 3 for step in take.steps]
    assert take.steps[2].concealed_samples == 65_536
    assert_heard(take, silent=((3, 4),))


def test_a_lead_that_nothing_can_meet() -> None:
    take, _ = played(FakeServer(), w=-1)
    live = report(take)["liveness"]
    assert not take.heard.any()
    assert live["late"] == live["steps"] == live["answered"]


# -- a server that goes and comes ------------------------------------------------------------------------------


def gone(server: FakeServer, from_s: float, to_s: float, *, ready: bool) -> tuple[Take, World]:
    """The server is away for a while and has forgotten everything when it is back. Times since time began."""
    world = World(server)
    server.up = lambda now: not from_s <= now < to_s
    take_up = server.receive

    def receive(data: bytes, now: float) -> list[tuple[float, bytes]]:
        if now >= to_s and not forgotten:
            forgotten.append(now)
            server.restart()
        return take_up(data, now)

    forgotten: list[float] = []
    server.receive = receive  # type: ignore[method-assign]
    if ready:
        world.deliver(to_s, messages.READY)
    return perform(band(40), world, Plan()), world


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("kind", ["ours", "ours, with a model of its own", "released"])
def test_a_server_that_is_started_again_is_loaded_again(kind: str, ready: bool) -> None:
    ours = kind != "released"
    server = FakeServer(loads_itself="own" in kind) if ours else released()
    take, world = gone(server, 110.0, 120.0, ready=ready)
    uploads = [when for when, data in world.sent if data.startswith(b"/context")]
    assert np.diff(uploads).max() < 1.6  # it never stopped playing
    began_s = uploads[0] - take.steps[0].sent_s
    answered = {began_s + step.sent_s: step.answered for step in take.steps}
    assert all(told for when, told in answered.items() if when < 109.5)
    assert not any(told for when, told in answered.items() if 110 <= when < 120)
    # A released server without /ready cannot be asked whether it is there; it is loaded when a try is due.
    back_s = min(when for when, told in answered.items() if told and when > 110)
    assert back_s < (123.0 if ours or ready else 135.0)
    assert all(told for when, told in answered.items() if when > back_s)
    assert len(server.loads) == 2
    assert report(take)["liveness"]["losses"] == 1


def test_a_short_silence_of_the_network_loads_nothing() -> None:
    server = FakeServer(up=lambda now: not 106.0 <= now < 107.6)
    take, _ = played(server, 20)
    assert len(server.loads) == 1
    assert sum(not step.answered for step in take.steps) in (1, 2)
    assert take.steps[-3].answered


def test_a_short_restart_that_nobody_announced() -> None:
    """It answers hello and has a model, so it could be slow; but its hello says that it is another instance."""
    server = FakeServer(loads_itself=True)
    take, _ = gone(server, 110.0, 111.0, ready=False)
    assert len(server.loads) == 2
    assert [step.answered for step in take.steps].count(False) in (2, 3)


def test_a_server_slower_than_two_steps_is_left_alone() -> None:
    server = FakeServer(delay_s=3.4)
    take, _ = played(server, 30)
    assert len(server.loads) == 1
    assert not take.heard.any()


def test_ready_after_a_hello_that_said_loading_is_no_new_server() -> None:
    world = World(FakeServer(load_s=4.0))
    world.deliver(104.3, messages.READY)
    take = perform(band(12), world, Plan())
    assert len(world.server.loads) == 1
    assert_heard(take)


def test_a_server_that_only_drops_is_alive() -> None:
    route = lambda batch, chunks: [(0.0, Dropped(batch, "busy").encode())]  # noqa: E731
    server = FakeServer(route=route)
    take, _ = played(server, 30)
    assert len(server.loads) == 1
    assert all(step.dropped for step in take.steps)
    assert report(take)["liveness"]["losses"] == 0


def test_ready_again_and_again_loads_once() -> None:
    world = World(released())
    for k in range(5):
        world.deliver(106.0 + 0.04 * k, messages.READY)
    take = perform(band(12), world, Plan())
    assert len(world.server.loads) == 2
    assert report(take)["liveness"]["server_ready"] == 5


def test_a_released_server_that_never_answers_is_loaded_ever_more_rarely() -> None:
    world = World(released(up=lambda now: False))
    perform(band(150), world, Plan())
    at = [when for when, data in world.sent if data == messages.LOAD_MODEL]
    assert 3 <= len(at) <= 6
    assert min(np.diff(at)[1:]) >= 10


# -- before the music ----------------------------------------------------------------------------------------------


def test_the_model_is_waited_for() -> None:
    said: list[str] = []
    world = World(FakeServer(load_s=30.0))
    take = perform(band(6), world, Plan(), on_wait=said.append)
    assert take.steps[0].answered
    assert said[0] == "asking for the server"
    assert "the server loads its model (29 s)" in said


def test_a_server_that_answers_late_is_waited_for_where_no_other_will_do() -> None:
    for plan, answered in ((Plan(step_frames=8), True), (Plan(lead_samples=9999), True), (Plan(), False)):
        server = FakeServer(up=lambda now: now > 109)
        take = perform(band(6), World(server), plan)
        assert (take.server is not None) == answered


def failing(server: FakeServer) -> FakeServer:
    server.load_s = 1e9
    receive = server.receive
    server.receive = lambda data, now: [  # type: ignore[method-assign]
        *receive(data, now),
        *([(0.1, ModelState("failed", "no such bundle").encode())] if data == messages.LOAD_MODEL else []),
    ]
    return server


REFUSED = {
    "failed": (failing(FakeServer()), {}, r"could not load its model \(no such bundle\)"),
    "never ready": (FakeServer(load_s=1e9), {"wait_s": 5.0}, "not ready in 5 s; wait longer"),
    "a lead the released cannot": (released(), {"lead_samples": 12_345}, "needs a server that answers our hello"),
    "half a slot": (released(), {"w": 0.5}, "not w . step for w = -1, 0 or 1"),
    "frames the released has not": (released(), {"step_frames": 8}, "a step in frames needs a server that"),
    "without hello": (FakeServer(), {"extension": False, "lead_frames": 4}, "was --no-extension given"),
    "a stem it does not play": (FakeServer(), {"stems": ("kazoo",)}, "unknown stem 'kazoo'; this server plays bass"),
    "a stem twice": (FakeServer(), {"stems": ("bass", "bass")}, "give each once"),
    "r of 0": (FakeServer(), {"r": 0.0}, "r = 0.0 is not a step ratio"),
    "w of -2": (FakeServer(), {"w": -2.0}, "w = -2.0 is not a look-ahead"),
    "a lead before the step": (FakeServer(), {"lead_samples": -65_537}, "the lowest is minus a step"),
    "a step twice": (FakeServer(), {"step_frames": 1, "step_samples": 1}, "give the step once"),
    "a step of nothing": (FakeServer(), {"step_samples": 0}, "it must be 1 to T"),
    "a package": (FakeServer(), {"package": 13_096}, "it must be 128 to 13095"),
    "no time": (FakeServer(), {"seconds": 0.0}, "it must be greater than 0"),
    "a loop without an end": (FakeServer(), {"loop": True}, "say how long"),
    "less than a step": (FakeServer(), {"seconds": 1.0}, "lasts 1.00 s, less than a step of 1.49 s"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_played(what: str) -> None:
    server, plan, says = REFUSED[what]
    with pytest.raises(AnacrusisError, match=says) as caught:
        played(server, **plan)
    assert "\n" not in str(caught.value)


# -- what remains --------------------------------------------------------------------------------------------------


def test_three_clocks_in_the_report() -> None:
    world = World(FakeServer())
    for at_s, message in ((104.0, NewEpoch(2, "position")), (104.1, Refused("/w", "w must be -1, 0 or 1"))):
        world.deliver(at_s, message.encode())
    world.deliver(104.2, b"\xff")
    take = perform(band(12), world, Plan())
    told = json.loads(json.dumps(report(take)))
    assert told["compute"]["nfe"] == 2
    assert told["compute"]["denoise_ms"]["p99"] == 30.0
    assert told["compute"]["total_ms"]["p50"] == 37.0
    assert told["deadline"]["budget_ms"] == pytest.approx(1466.077)
    assert told["deadline"]["round_trip_ms"]["max"] == pytest.approx(200.0)
    assert told["deadline"]["least_margin_ms"] == pytest.approx(1266.077)
    live = told["liveness"]
    assert (live["epochs"], live["refused"], live["malformed"], live["loads"]) == (1, 1, 1, 1)
    assert told["server"]["bundle"] == hello().bundle
    assert len(told["steps"]) == live["steps"] == 8
    assert summary(take).startswith("8 steps of 1486 ms: 8 answered, 0 late, 0.00 s concealed, round trip p50 200 ms")


def test_a_released_server_says_nothing_of_its_compute() -> None:
    assert report(played(released())[0])["compute"] is None


def test_an_interrupt_keeps_what_was_heard() -> None:
    def on_step(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    take = perform(band(12), World(FakeServer()), Plan(), on_step=on_step)
    assert not take.complete
    assert take.heard.shape[1] == take.context.shape[0] == 5 * 65_536
    assert_heard(take)


@pytest.mark.parametrize(
    "server", [FakeServer(), released(), released(up=lambda now: False)], ids=["ours", "stock", "none"]
)
def test_files(tmp_path: Path, server: FakeServer) -> None:
    take, _ = played(server, 6, 2, stems=("bass", "piano"))
    out = tmp_path / "a" / "b"
    prepare(out)
    written = write_take(out, take, report(take), "a performance")
    names = ["context.wav", "mix.wav", "bass.wav", "piano.wav", "report.json", "run.png"]
    assert [path.name for path in written if path.name != "run.png"] == names[:-1]
    sounds = {path.stem: soundfile.read(path, dtype="float32")[0] for path in written if path.suffix == ".wav"}
    np.testing.assert_array_equal(sounds["piano"], take.heard[1])
    np.testing.assert_allclose(sounds["mix"], sounds["context"] + sounds["bass"] + sounds["piano"], atol=1e-6)
    assert json.loads((out / "report.json").read_text())["liveness"]["steps"] == len(take.steps)
    assert {path.name for path in out.iterdir()} == {path.name for path in written}


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AnacrusisError, match="cannot be made"):
        prepare(tmp_path / "file" / "out")
