# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The fixed ear hears tones and beats where they are, and reads no sample after a frame."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.filterbank import (  # noqa: E402
    BANDS,
    CHANNELS,
    FRAME_SAMPLES,
    HOP_SAMPLES,
    LOWEST_MIDI,
    TONES,
    Filterbank,
)

FRAMES = 8


@pytest.fixture(scope="module")
def ear() -> Filterbank:
    return Filterbank().eval()


def listen(ear: Filterbank, audio: np.ndarray, heard: np.ndarray | None = None) -> np.ndarray:
    mask = np.ones((1, 1, audio.size // FRAME_SAMPLES), np.float32) if heard is None else heard
    with torch.inference_mode():
        return ear(torch.from_numpy(audio.astype(np.float32))[None], torch.from_numpy(mask))[0].numpy()


def tone(midi: float, amplitude: float = 0.1) -> np.ndarray:
    t = np.arange(FRAMES * FRAME_SAMPLES) / 44100
    return amplitude * np.sin(2 * np.pi * 440.0 * 2 ** ((midi - 69) / 12) * t)


@pytest.mark.parametrize("midi", [28, 33, 40, 47, 55, 60, 69, 81, 93, 104])
def test_a_tone_lights_its_own_channel(ear: Filterbank, midi: int) -> None:
    features = listen(ear, tone(midi))[:TONES, -1]
    assert int(features.argmax()) == midi - LOWEST_MIDI
    assert 0.8 < features.max() < 1.3
    assert features[midi - LOWEST_MIDI - 4] < 0.75 * features.max()


@pytest.mark.parametrize("hop", [3 * 8, 3 * 8 + 5, 6 * 8 + 7])
def test_a_click_lights_its_hop_and_the_next(ear: Filterbank, hop: int) -> None:
    audio = np.zeros(FRAMES * FRAME_SAMPLES)
    audio[hop * HOP_SAMPLES + 200] = 1.0
    levels = listen(ear, audio)[TONES:-1].reshape(BANDS, 8, FRAMES).transpose(0, 2, 1).reshape(BANDS, -1)
    assert sorted(np.flatnonzero(levels[-1] > 0.05)) == [hop, hop + 1]


def test_silence_is_zero_and_the_mask_says_so(ear: Filterbank) -> None:
    heard = np.ones((1, 1, FRAMES), np.float32)
    heard[..., 5:] = 0.0
    quiet, loud = (listen(ear, audio, heard) for audio in (np.zeros(FRAMES * FRAME_SAMPLES), tone(60)))
    assert quiet.shape == (CHANNELS, FRAMES)
    assert not quiet[:-1].any()
    assert not loud[:, 5:].any()
    assert (quiet[-1] == heard[0, 0]).all()


@pytest.mark.parametrize("frame", [0, 3, 6])
def test_no_sample_after_a_frame_is_read(ear: Filterbank, frame: int) -> None:
    rng = np.random.default_rng(frame)
    audio = rng.normal(0, 0.1, FRAMES * FRAME_SAMPLES)
    other = audio.copy()
    other[(frame + 1) * FRAME_SAMPLES :] = rng.normal(0, 0.3, (FRAMES - frame - 1) * FRAME_SAMPLES)
    a, b = listen(ear, audio), listen(ear, other)
    assert np.abs(a[:, : frame + 1] - b[:, : frame + 1]).max() < 1e-5
    assert np.abs(a[:, frame + 1] - b[:, frame + 1]).max() > 0.01
