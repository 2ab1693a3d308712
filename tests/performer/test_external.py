# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the client does beyond the conformance rows: epochs, separate planes, inputs, leads of its own, our messages."""

from __future__ import annotations

import numpy as np
import pytest

from anacrusis.performer.settings import SettingError
from anacrusis.server.wire import messages
from anacrusis.server.wire.extension import FROM_SERVER, Late, ModelState, NewEpoch, StepPosition
from anacrusis.server.wire.osc import address_of, decode

from .rig import STEP, Rig


def test_replies_of_before_a_reset_are_not_written() -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.external.reset()
    rig.reply(1, [0, 1])
    assert rig.changed() == []
    assert rig.kinds() == ["stale", "stale"]
    assert rig.notes()[0] == "/bass chunk 0 for batch 1, of before the reset; ignored"
    rig.predict(132_300)  # ids go on, and nobody complains that 1 was not answered
    rig.reply(2)
    assert rig.changed() == [(197_569, 264_600)]
    assert "no reply" not in rig.kinds()


def test_separate_planes() -> None:
    """The declared total is what is sent; the released client declares more with two stems."""
    rig = Rig(send_mode=1, inputs=1, flags=(1, 0, 1, 0))
    rig.buffer[:] = [1, 2, 3, 4, 5]
    rig.predict(66_150)
    datagrams = [messages.read_context(data) for data in rig.took()]
    assert (len(datagrams), {d.total for d in datagrams}) == (90, {90})
    values = {d.address: set(d.audio.tolist()) for d in datagrams}
    assert values == {"/drums": {2.0}, "/piano": {4.0}, "/context": {5.0}}


@pytest.mark.parametrize(("flags", "value"), [((1, 1, 1, 1), 16.0), ((1, 0, 0, 0), 16 + 2 + 4 + 8)])
def test_an_input_is_always_context(flags: tuple[int, ...], value: float) -> None:
    rig = Rig(inputs=1, flags=flags)
    rig.buffer[:] = [1, 2, 4, 8, 16]
    rig.predict(66_150)
    assert {sample for upload in rig.uploads() for sample in upload.audio.tolist()} == {value}
    rig.reply(1)
    assert rig.changed(4, 16.0) == []


def test_no_stem_is_asked_for() -> None:
    rig = Rig(flags=(0, 0, 0, 0))
    rig.predict(66_150, 132_300)
    assert (rig.took(), rig.external.batch_id, rig.kinds()) == ([], 2, [])


def test_a_stem_that_was_not_asked_for_overwrites_nothing() -> None:
    rig = Rig()
    rig.buffer[:, 1] = 0.5
    rig.predict(66_150)
    rig.reply(1, [0], stem="drums")
    assert rig.changed(1, 0.5) == []
    assert rig.kinds() == ["not asked for"]


def test_a_reply_longer_than_the_step_is_cut() -> None:
    rig = Rig()
    rig.predict(66_150)
    rig.reply(1, length=STEP + 20_000)
    assert rig.changed() == [(131_419, 198_450)]
    assert set(rig.notes("malformed"))


@pytest.mark.parametrize(("lead", "start"), [(4096, 70_246), (-1000, 65_150), (100_000, 166_150), (None, 132_300)])
def test_a_lead_of_our_own_and_its_announcement(lead: int | None, start: int) -> None:
    rig = Rig()
    rig.external.set_lead(lead)
    rig.external.announce_steps = True
    rig.predict(66_150)
    sent = rig.took()
    assert [address_of(data) for data in sent] == ["/anacrusis/step", *["/context"] * 15, "/anacrusis/step"]
    for data in (sent[0], sent[-1]):
        assert StepPosition.read(decode(data)) == StepPosition(1, 66_150, STEP, start - 66_150)
    rig.reply(1)
    assert rig.changed() == [(start - 881, start + STEP)]


def test_a_lead_of_many_steps_waits_as_long() -> None:
    rig = Rig(r=0.02)
    rig.external.set_lead(5 * 5292)
    rig.predict(*[5292 * k for k in range(1, 8)])
    rig.events.clear()
    for batch in range(1, 8):
        rig.reply(batch, length=5292 + 882)
    assert {event.batch for event in rig.written()} == {2, 3, 4, 5, 6, 7}
    assert rig.kinds().count("stale") == 2


def test_the_lowest_lead() -> None:
    with pytest.raises(SettingError, match="the lowest is minus a step, -66150"):
        Rig().external.set_lead(-66_151)


@pytest.mark.parametrize("message", [ModelState("ready", "x"), NewEpoch(3, "load"), Late(2, 1.5)])
def test_our_servers_messages_are_events(message: ModelState | NewEpoch | Late) -> None:
    assert message.ADDRESS in FROM_SERVER
    rig = Rig()
    rig.external.receive(message.encode())
    assert rig.from_server() == [message]


def test_a_packet_test_there_and_back() -> None:
    rig = Rig(package=200)
    rig.external.test_packet()
    (sent,) = rig.took()
    assert sent.startswith(b"/packet_test\0\0\0\0,i" + b"f" * 200)
    rig.now_s += 0.025
    rig.external.receive(messages.packet_test_response(np.zeros(200, np.float32)))
    assert rig.notes() == ["packet test: 200/200 floats came back in 25.00 ms"]
    rig.external.receive(messages.packet_test_response(np.zeros(150, np.float32)))
    assert "150/200 floats" in rig.notes()[-1]


def test_without_a_buffer() -> None:
    rig = Rig()
    rig.external.buffer = None
    rig.predict(66_150)
    assert rig.notes() == ["no buffer is bound; set_buffer comes first"]


def test_flags_of_another_set_of_stems_do_not_stay() -> None:
    rig = Rig()
    rig.external.set_buffer(np.zeros((9, 2), np.float32), ["voice", "bass"])
    assert rig.external.settings.flags == (0, 0)
    rig.external.set_predict_instruments([0, 1, 1, 1])
    assert rig.external.settings.flags == (0, 1)
