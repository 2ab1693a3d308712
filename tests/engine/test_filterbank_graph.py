# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What is made in a graph from small tables is what training had: sinusoids, the ear's features, the pulse's waves.

That the exporter leaves it to the graph: tests/train/test_starter_bundle.py.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.angles import Angles  # noqa: E402
from anacrusis.engine.networks.filterbank import FRAME_SAMPLES, Filterbank  # noqa: E402
from anacrusis.engine.networks.filterbank_graph import ComputedFilterbank  # noqa: E402
from anacrusis.engine.networks.pulse_graph import ComputedPulse  # noqa: E402
from anacrusis.engine.networks.starter import Starter, StarterConfig, StarterDenoise  # noqa: E402


@pytest.mark.parametrize("samples", [16, 24, 512, 16384])
def test_sinusoids_are_right_to_float32(samples: int) -> None:
    turns = np.array([0.0, 1 / samples, 0.0123456, 0.34, 0.5])
    angles = Angles(turns, samples)
    table = angles.table()
    assert table.shape == (angles.size,)
    cos, sin = angles.waves(torch.from_numpy(table)).double().numpy()
    angle = 2 * np.pi * turns[:, None] * np.arange(samples)
    np.testing.assert_allclose(cos, np.cos(angle), atol=3e-7)
    np.testing.assert_allclose(sin, np.sin(angle), atol=3e-7)


def test_a_table_is_small() -> None:
    assert Angles(np.full(13, 0.1), 16384).size < 13 * 16384 / 20


def test_an_uneven_length_is_refused() -> None:
    with pytest.raises(ValueError, match="20 samples are no whole number of steps of 8"):
        Angles(np.array([0.1]), 20).table()


@pytest.fixture(scope="module")
def ears() -> tuple[Filterbank, ComputedFilterbank]:
    return Filterbank().eval(), ComputedFilterbank().eval()


def test_the_ear_s_kernels_are_those_of_training(ears: tuple[Filterbank, ComputedFilterbank]) -> None:
    """In float16's steps, of which one in 500 falls the other way."""
    plain, computed = ears
    kernels = computed.kernels()
    assert sorted(kernels) == sorted(name for name, _ in plain.named_buffers())
    for name, kernel in kernels.items():
        apart = (kernel - plain.get_buffer(name)).abs()
        assert apart.max() <= 2**-11
        assert (apart > 0).float().mean() < 0.005


@pytest.mark.parametrize("level", [1e-3, 0.1, 1.0])
def test_the_ear_s_features_are_those_of_training(ears: tuple[Filterbank, ComputedFilterbank], level: float) -> None:
    rng = np.random.default_rng(round(1000 * level))
    audio = torch.from_numpy(rng.normal(0, level, (1, 6 * FRAME_SAMPLES)).astype(np.float32))
    heard = (torch.arange(6) < 5).float()[None, None]
    plain, computed = (ear(audio, heard) for ear in ears)
    assert plain.abs().max() > 0.05
    assert (plain - computed).abs().max() < 2e-4


def test_the_denoise_stage_s_waves_are_the_pulse_s() -> None:
    network = Starter(StarterConfig(8, window_frames=16, width=24, blocks=1, heads=3, rows=4)).eval()
    stage = StarterDenoise(network)
    computed = ComputedPulse(stage)
    assert network.pulse is not None
    assert (computed.waves() - network.pulse.waves).abs().max() < 1e-6
    generator = torch.Generator().manual_seed(1)
    latents = [torch.randn(2, 8, 16, generator=generator) for _ in range(4)]
    context, keep = torch.rand(1, 149, 16, generator=generator), torch.ones(1, 1, 16)
    row = torch.tensor([0.5, 0.3, 0.7, 0.2, -0.4, 1.1, 1.0, 0.0])
    cond = network.conditioning(torch.zeros(2), torch.eye(4)[:2])
    with torch.inference_mode():
        made, wanted = (module(*latents, context, keep, row, cond) for module in (computed, stage))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(made, wanted, strict=True))
