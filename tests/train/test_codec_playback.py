# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Playback with made-up notes: where a note starts, how it ends, what a decode may depend on, and the ONNX graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.window import Geometry, Pace
from anacrusis.train.codec.notes import VOICES, thinned
from anacrusis.train.codec.playback import Bank, Playback, advance_samples, interpolator, taper_frames
from anacrusis.train.codec.roll import HOLD, ONSET, to_roll
from anacrusis.train.codec.rows import FRAME_SAMPLES, HOP_SAMPLES, HOPS_PER_FRAME
from anacrusis.train.song import Note

from .codec_toys import TOYS, toy_banks, toy_codec, toy_latent

HOPS = 48


def play(stem: str, notes: list[tuple[int, int, int, int]], voices: int = 24) -> NDArray[np.float32]:
    """(first hop, last hop + 1, pitch, velocity) -> the audio of one stem, the taper cut off before hop 0."""
    banks, hops = [bank for bank in toy_banks(voices) if bank.group.stem == stem], HOPS
    player = Playback(banks)
    taper = player.taper_frames * HOPS_PER_FRAME
    roll = to_roll([Note(a * HOP_SAMPLES, b * HOP_SAMPLES, p, v) for a, b, p, v in notes], banks[0].group, hops)
    gain, hold = (torch.from_numpy(np.pad(roll[:, :, i].T, ((0, 0), (taper, 0))))[None] for i in (ONSET, HOLD))
    with torch.inference_mode():
        return np.asarray(player(gain, hold)[0].numpy())


@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_thinned_notes_come_back_in_place(divisor: int) -> None:
    """A band-limited note, thinned and filled in again, is itself to -50 dB and not a sample off."""
    at = np.arange(24 * HOP_SAMPLES)
    hann = np.sin(np.pi * at / len(at)) ** 2
    note = (hann * np.sin(at * 0.9 / divisor)).astype(np.float32)
    low = thinned(note, 24, divisor)
    assert low.shape == (24, HOP_SAMPLES // divisor)
    bank = Bank(TOYS["bass"], [low] * len(TOYS["bass"]), divisor, 0.5, 8, 4)
    player = Playback([bank])
    taper = player.taper_frames * HOPS_PER_FRAME
    gain, hold = torch.zeros(1, len(TOYS["bass"]), taper + 32), torch.ones(1, len(TOYS["bass"]), taper + 32)
    gain[0, 1, taper + 3] = 1.0
    audio = player(gain, hold)[0].numpy()[3 * HOP_SAMPLES :]
    part = slice(0, 16 * HOP_SAMPLES)  # before the fade
    error = 1e-12 + np.square(audio[part] - note[part]).sum() / np.square(note[part]).sum()
    assert 10 * np.log10(error) < -50
    assert not audio[26 * HOP_SAMPLES :].any()


@pytest.mark.parametrize("stem", sorted(TOYS))
@pytest.mark.parametrize("hop", [0, 1, 7, 8, 23])
def test_a_note_starts_at_its_hop(stem: str, hop: int) -> None:
    """The toys begin at once, so the first loud sample is the hop's first; less than the interpolator's delay late
    where there is one, because its rise is not heard before the hop begins."""
    audio = np.abs(play(stem, [(hop, hop + 6, TOYS[stem].pitches[1], 127)]))
    late = advance_samples({"drums": 1, "guitar": 2, "bass": 4}[stem])
    loud = np.flatnonzero(audio > 0.25 * audio.max())[0]
    assert 0 <= loud - hop * HOP_SAMPLES <= late
    assert not audio[: hop * HOP_SAMPLES].any()


@pytest.mark.parametrize("stem", sorted(TOYS))
def test_velocity_is_gain(stem: str) -> None:
    pitch = TOYS[stem].pitches[0]
    loud, soft = (play(stem, [(2, 9, pitch, v)]) for v in (120, 40))
    np.testing.assert_allclose(loud, soft * 3, atol=1e-5)


def test_two_stems_of_notes_add_up() -> None:
    one, two, both = (
        play("guitar", notes) for notes in ([(1, 9, 60, 90)], [(4, 20, 62, 50)], [(1, 9, 60, 90), (4, 20, 62, 50)])
    )
    np.testing.assert_allclose(one + two, both, atol=1e-5)


@pytest.mark.parametrize("stem", ["bass", "guitar"])
def test_a_release_does_not_click(stem: str) -> None:
    """Let go in mid-swing: no step between samples beyond what the note itself makes."""
    pitch = TOYS[stem].pitches[1]
    held, let_go = play(stem, [(0, 30, pitch, 127)]), play(stem, [(0, 5, pitch, 127)])
    after = slice(4 * HOP_SAMPLES, None)
    assert np.abs(np.diff(let_go[after])).max() <= np.abs(np.diff(held[HOP_SAMPLES:])).max() * 1.1
    np.testing.assert_allclose(let_go[: 4 * HOP_SAMPLES], held[: 4 * HOP_SAMPLES], atol=1e-6)
    assert np.abs(let_go[9 * HOP_SAMPLES : 10 * HOP_SAMPLES]).max() < 0.1 * np.abs(held).max()


def test_drums_ring_and_a_closed_hat_stops_the_open_one() -> None:
    open_hat, closed_hat = (46, 42)
    alone = play("drums", [(0, 1, open_hat, 100)])
    closed = play("drums", [(6, 7, closed_hat, 100)])
    both = play("drums", [(0, 1, open_hat, 100), (6, 7, closed_hat, 100)])
    assert np.abs(alone[8 * HOP_SAMPLES : 12 * HOP_SAMPLES]).max() > 0.1
    left = both - closed
    assert np.abs(left[8 * HOP_SAMPLES : 12 * HOP_SAMPLES]).max() < 0.3 * np.abs(alone).max()
    np.testing.assert_allclose(left[: 6 * HOP_SAMPLES], alone[: 6 * HOP_SAMPLES], atol=1e-6)


def test_too_many_voices_lose_the_quietest() -> None:
    """Of four notes on three voices the softest is not heard."""
    chord = [(2, 9, pitch, velocity) for pitch, velocity in ((60, 90), (61, 80), (62, 70))]
    np.testing.assert_array_equal(play("guitar", [*chord, (2, 9, 63, 20)], 3), play("guitar", chord, 3))


def test_a_note_that_outlasts_the_taper_is_refused() -> None:
    bank = toy_banks()[0]
    with pytest.raises(AnacrusisError, match="are needed"):
        Playback([Bank(bank.group, bank.notes[:1], bank.divisor, 0.5, 8, 4)])
    with pytest.raises(AnacrusisError, match="release"):
        Playback([Bank(bank.group, bank.notes, bank.divisor, 1.0, 8, 4)])


@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_the_interpolator_is_symmetric(divisor: int) -> None:
    taps = interpolator(divisor)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-7)
    assert taps.argmax() == advance_samples(divisor)


def test_a_longer_stretch_gives_the_same_samples() -> None:
    """Frame-local: decoded again with other neighbours, the samples outside the taper stay."""
    decoder = toy_codec().decoder
    frames, taper = decoder.least_frames + 6, decoder.taper_samples
    latent = toy_latent(2, frames, 3)
    with torch.inference_mode():
        whole, later = decoder(latent)[:, taper:-taper], decoder(latent[:, :, 4:])[:, taper:-taper]
        short = decoder(latent[:, :, :-3])[:, taper:-taper]
    assert whole.abs().max() > 0.1
    np.testing.assert_allclose(whole[:, 4 * FRAME_SAMPLES :], later, atol=1e-5)
    np.testing.assert_allclose(whole[:, : -3 * FRAME_SAMPLES], short, atol=1e-5)


def test_the_tapers_are_zeros_of_the_stated_length() -> None:
    codec = toy_codec()
    latent = toy_latent(1, codec.decoder.least_frames, 0)
    with torch.inference_mode():
        audio = codec.decoder(latent)
    taper = codec.geometry().decode_taper_samples
    assert audio.shape == (1, codec.geometry().decoded_samples(codec.decoder.least_frames))
    assert not audio[:, :taper].any()
    assert not audio[:, -taper:].any()
    assert audio[:, taper:-taper].any()


@pytest.mark.parametrize("step_frames", [1, 8, 16, 32])
def test_the_real_taper_leaves_room_for_a_step(step_frames: int) -> None:
    """28 frames, the longest of `notes.VOICES`, in a window of 64."""
    taper = taper_frames(max(voice.limit_hops for voice in VOICES))
    assert taper == 28
    geometry = Geometry(FRAME_SAMPLES, 64, 0, taper * FRAME_SAMPLES)
    step = step_frames * FRAME_SAMPLES
    for lead in (0, FRAME_SAMPLES, min(step, 30 * FRAME_SAMPLES)):
        Pace(step, lead, fade_samples=1024, context_tail_samples=FRAME_SAMPLES // 4).validate(geometry)
