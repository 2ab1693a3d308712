# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ring against a long array; noise drawn ahead against noise drawn in place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anacrusis.engine.history import NoiseAhead, Ring
from anacrusis.engine.noise import PhiloxNoise
from anacrusis.engine.sampler import SamplerConfig

TABLE = SamplerConfig("consistency", 2, 1e-4, 80.0, 7.0).table()
OFFSET = 1000  # so that the long array has room for negative positions


@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 16), st.booleans()), max_size=30), st.integers(-40, 40))
def test_ring_is_a_long_array_of_which_the_newest_is_kept(writes: list[tuple[int, int, bool]], at: int) -> None:
    ring, long = Ring((2,), 16), np.zeros((2, 2 * OFFSET), np.float32)
    owner = np.full(16, -(10**6))  # which position each slot holds
    for index, (start, length, zeros) in enumerate(writes):
        values = np.zeros((2, length), np.float32) if zeros else np.full((2, length), index + 1, np.float32)
        ring.fill_zeros(start, length) if zeros else ring.write(start, values)
        for i in range(length):
            long[:, OFFSET + start + i] = values[:, i]
            owner[(start + i) % 16] = start + i
    out = np.full((2, 16), -1.0, np.float32)
    ring.read(at, out)
    for i in range(16):
        if owner[(at + i) % 16] == at + i:
            np.testing.assert_array_equal(out[:, i], long[:, OFFSET + at + i])


def test_ring_refuses_more_than_it_holds() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Ring((), 8).write(0, np.zeros(9, np.float32))


def test_noise_depends_on_where_not_on_when() -> None:
    source = PhiloxNoise(7)
    out = np.zeros((5, 2, 3), np.float32)
    source.frames(1, 100, out)
    one = np.zeros((1, 2, 3), np.float32)
    source.frames(1, 103, one)
    np.testing.assert_array_equal(one[0], out[3])
    for other in (PhiloxNoise(8), source):
        again = np.zeros_like(one)
        other.frames(1 if other is not source else 2, 103, again)
        assert not np.array_equal(again, one)


def test_every_position_and_seed_has_its_own_noise() -> None:
    places = [(seed, frame) for seed in (0, -1, 2**63, 2**64 - 2) for frame in (-5, -2, -1, 0, 1, 2**40)]
    drawn = set()
    for seed, frame in places:
        out = np.zeros((1, 4), np.float32)
        PhiloxNoise(seed).frames(0, frame, out)
        drawn.add(out.tobytes())
    assert len(drawn) == len(places)


def test_noise_is_standard_normal() -> None:
    out = np.zeros((4, 64, 64), np.float32)
    PhiloxNoise(0).latents(0, 3, out)
    assert abs(float(out.mean())) < 0.03
    assert abs(float(out.std()) - 1) < 0.03


@pytest.mark.parametrize("prepared", [False, True])
def test_drawn_ahead_equals_drawn_in_place(prepared: bool) -> None:
    source = PhiloxNoise(3)
    ahead = NoiseAhead(source, [0, 2], TABLE, (4, 6), (2, 3), frames=8)
    for cycle in range(4):
        if prepared:
            ahead.prepare(cycle, 10 * cycle, 5)
        got = ahead.latents(cycle)
        frames = np.zeros((2, 5, 2, 3), np.float32)
        ahead.frames(10 * cycle, frames)
        for row, stem in enumerate((0, 2)):
            want = np.zeros((TABLE.draws, 4, 6), np.float32)
            source.latents(stem, cycle, want)
            np.testing.assert_array_equal(got[:, row], want)
            want_frames = np.zeros((5, 2, 3), np.float32)
            source.frames(stem, 10 * cycle, want_frames)
            np.testing.assert_array_equal(frames[row], want_frames)
    ahead.close()
