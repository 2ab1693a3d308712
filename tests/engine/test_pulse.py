# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The fixed beat: clicks go on where nothing was heard, silence has no beat, and channels are in order."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.filterbank import CHANNELS, FRAME_SAMPLES, HOP_SAMPLES, Filterbank  # noqa: E402
from anacrusis.engine.networks.pulse import HOPS, LOWEST_PULSE_HZ, OCTAVES, Pulse  # noqa: E402

FRAMES, HEARD = 64, 46
HOP_S = HOP_SAMPLES / 44100
BANK, PULSE = Filterbank().eval(), Pulse(FRAMES)


def clicks(tempo_bpm: float, first_s: float, heard: int = HEARD) -> torch.Tensor:
    """Context [1, E, FRAMES] of bursts of noise, the last frames unheard."""
    rng = np.random.default_rng(0)
    audio = np.zeros(FRAMES * FRAME_SAMPLES, np.float32)
    burst = (0.3 * rng.standard_normal(900) * np.exp(-np.arange(900) / 150)).astype(np.float32)
    for at in np.arange(first_s, len(audio) / 44100 - 0.05, 60 / tempo_bpm):
        start = int(at * 44100)
        audio[start : start + len(burst)] += burst
    with torch.inference_mode():
        return BANK(torch.from_numpy(audio)[None], (torch.arange(FRAMES) < heard).float()[None, None])


def waves(out: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Channels in the declared order -> cosine, sine [octaves, hops of the window], how sure [octaves, frames]."""
    along = out[0, : 2 * HOPS * OCTAVES].reshape(OCTAVES, 2, HOPS, FRAMES).permute(0, 1, 3, 2).reshape(OCTAVES, 2, -1)
    return along[:, 0].numpy(), along[:, 1].numpy(), out[0, 2 * HOPS * OCTAVES :].numpy()


@pytest.mark.parametrize("first_s", [0.1, 0.37])
@pytest.mark.parametrize("tempo_bpm", [72.0, 97.3, 120.0, 168.0])
def test_the_beat_goes_on_where_nothing_was_heard(tempo_bpm: float, first_s: float) -> None:
    cosine, sine, sure = waves(PULSE(clicks(tempo_bpm, first_s)))
    octave = int(np.log2(tempo_bpm / 60 / LOWEST_PULSE_HZ))
    t = np.arange(FRAMES * HOPS) * HOP_S
    phase = 2 * np.pi * ((t - first_s) * tempo_bpm / 60)
    unheard = t >= HEARD * HOPS * HOP_S
    assert np.corrcoef(cosine[octave, unheard], np.cos(phase[unheard]))[0, 1] > 0.9
    assert np.corrcoef(sine[octave, unheard], np.sin(phase[unheard]))[0, 1] > 0.9
    size = np.hypot(cosine[octave], sine[octave])
    assert 0.4 < size.min() <= size.max() < 1.001  # it fades away from what was heard, as rates part
    assert np.ptp(sure[octave]) < 1e-6
    assert sure[octave, 0] > 0.15


def test_every_channel_is_between_minus_one_and_one_and_there_are_as_many_as_it_says() -> None:
    out = PULSE(torch.cat([clicks(133.0, 0.2), torch.rand(1, CHANNELS, FRAMES)]))
    assert out.shape == (2, Pulse.channels, FRAMES)
    assert float(out.abs().max()) <= 1.05


@pytest.mark.parametrize("heard", [0, 1, 30, FRAMES])
def test_silence_has_no_beat(heard: int) -> None:
    context = torch.zeros(1, CHANNELS, FRAMES)
    context[:, -1, :heard] = 1.0
    assert not PULSE(context).any()


@pytest.mark.parametrize("heard", [1, 2, 5])
def test_a_little_that_was_heard_gives_numbers(heard: int) -> None:
    out = PULSE(clicks(120.0, 0.05, heard))
    assert torch.isfinite(out).all()
    assert float(out[:, : 2 * HOPS * OCTAVES].abs().max()) <= 1.001


def test_where_hearing_begins_and_ends_is_no_onset() -> None:
    """A constant level, heard in the middle only."""
    context = torch.zeros(1, CHANNELS, FRAMES)
    context[:, :, 10:40] = 0.8
    context[:, -1, 10:40] = 1.0
    assert float(PULSE.onsets(context).abs().max()) < 1e-6


def test_onsets_are_strongest_where_clicks_are_and_have_no_mean() -> None:
    found = PULSE.onsets(clicks(90.0, 0.3, FRAMES))[0].numpy()
    want = np.arange(0.3, FRAMES * HOPS * HOP_S - 0.05, 60 / 90)
    strongest = np.sort(np.argsort(found)[-len(want) :]) * HOP_S
    assert np.abs(strongest - want).max() < 2 * HOP_S
    assert abs(found.sum()) < 1e-3


def test_each_of_a_batch_has_its_own_beat() -> None:
    both = torch.cat([clicks(72.0, 0.1), clicks(168.0, 0.37)])
    torch.testing.assert_close(PULSE(both), torch.cat([PULSE(c[None]) for c in both]), atol=1e-4, rtol=1e-3)


def test_it_learns_nothing_and_a_bundle_need_not_hold_it() -> None:
    assert not list(PULSE.parameters())
    assert not PULSE.state_dict()
