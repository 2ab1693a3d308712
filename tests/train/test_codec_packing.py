# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Notes in ten bits: silence stays silence, what the bits can say comes back as it was, the rest is near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from anacrusis.train.codec.packing import BLOCK_SAMPLES, LEAST_PEAK, PackedNotes  # noqa: E402

BOTH = pytest.mark.parametrize("low_bits", [2, 4])


def unpacked(notes: NDArray[np.float64], low_bits: int) -> NDArray[np.float32]:
    made: NDArray[np.float32] = PackedNotes(notes.astype(np.float32), low_bits).unpacked().numpy()
    return made


@pytest.mark.parametrize(("low_bits", "low_bytes"), [(2, 8), (4, 16)])
def test_it_takes_a_byte_and_the_low_bits_a_sample_and_a_peak_a_block(low_bits: int, low_bytes: int) -> None:
    packed = PackedNotes(np.ones((4, 128), np.float32), low_bits)
    assert {name: (t.dtype, tuple(t.shape)) for name, t in packed.state_dict().items()} == {
        "high": (torch.uint8, (16, BLOCK_SAMPLES)),
        "low": (torch.uint8, (16, low_bytes)),
        "peak": (torch.float32, (16, 1)),
    }
    assert torch.equal(packed.peak, packed.peak.half().float())


@BOTH
def test_silence_is_silence(low_bits: int) -> None:
    notes = np.zeros((2, 64))
    notes[1, 40] = 0.3
    assert not unpacked(notes, low_bits)[0].any()
    assert not unpacked(notes, low_bits)[1, :32].any()


@BOTH
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whole_steps_of_the_peak_come_back_exactly(low_bits: int, data: st.DataObject) -> None:
    """All but one of the steps are the loudest sample."""
    all_steps = 128 * 2**low_bits
    others = data.draw(
        st.lists(st.integers(1 - all_steps, all_steps - 1), min_size=BLOCK_SAMPLES - 1, max_size=BLOCK_SAMPLES - 1)
    )
    notes = np.array([[*others, all_steps - 1]]) * (0.25 / all_steps)
    assert np.array_equal(unpacked(notes, low_bits), notes.astype(np.float32))


@BOTH
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), level_db=st.integers(-60, 0))
def test_no_sample_is_further_off_than_half_a_step(low_bits: int, seed: int, level_db: int) -> None:
    notes = np.random.default_rng(seed).uniform(-1, 1, (3, 64)) * 10 ** (level_db / 20)
    peaks = np.abs(notes.reshape(-1, BLOCK_SAMPLES)).max(axis=1).repeat(BLOCK_SAMPLES).reshape(notes.shape)
    apart = np.abs(unpacked(notes, low_bits) - notes)
    assert (apart <= np.maximum(peaks * 1.004, LEAST_PEAK) / (128 * 2**low_bits) * 0.505).all()


@pytest.mark.parametrize("hop_samples", [128, 256, 512])
@pytest.mark.parametrize(("low_bits", "least_db"), [(2, 55), (4, 67)])
def test_noise_follows_a_note_as_it_dies_away(low_bits: int, least_db: float, hop_samples: int) -> None:
    at = np.arange(40 * hop_samples)
    note = 0.4 * np.exp(-at / (7 * hop_samples)) * np.cos(0.11 * at)
    error = (unpacked(note.reshape(-1, hop_samples), low_bits).ravel() - note).reshape(-1, hop_samples)
    snr_db = 10 * np.log10(np.square(note).reshape(error.shape).mean(1) / np.square(error).mean(1))
    assert snr_db.min() > least_db


def test_it_is_unpacked_once_in_torch_and_in_the_graph_when_exported() -> None:
    packed = PackedNotes(np.random.default_rng(0).normal(0, 0.1, (600, 128)).astype(np.float32))
    assert packed() is packed.table
    assert "table" not in packed.state_dict()
    program = torch.export.export(packed, ())
    assert "table" not in program.state_dict
    assert torch.equal(program.module()(), packed.table)


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="low_bits is 3"):
        PackedNotes(np.ones((1, 128), np.float32), 3)
