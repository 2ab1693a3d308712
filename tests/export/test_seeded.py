# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Seeded networks: the same on every machine, of the released size, and with no output that is trivially zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need torch: pip install 'anacrusis[torch]'")

from anacrusis.engine.networks.music2latent import Music2Latent  # noqa: E402
from anacrusis.engine.networks.songunet import SongUNet  # noqa: E402
from anacrusis.export import seeded  # noqa: E402
from anacrusis.export.seeded import SIZES, seeded_networks  # noqa: E402


@pytest.fixture(scope="module")
def first() -> dict[str, Any]:
    return seeded_networks("tiny", 1).state()


def same(a: dict[str, Any], b: dict[str, Any]) -> set[str]:
    assert a.keys() == b.keys()
    return {name for name in a if torch.equal(a[name], b[name])}


def test_the_same_seed_is_the_same_bit_for_bit(first: dict[str, Any]) -> None:
    torch.manual_seed(99)  # torch's own generator has no part in it
    assert same(first, seeded_networks("tiny", 1).state()) == set(first)


def test_another_seed_is_another_network(first: dict[str, Any]) -> None:
    assert same(first, seeded_networks("tiny", 2).state()) == set()


def test_the_order_of_drawing_does_not_matter(first: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    original = seeded.Networks.state
    monkeypatch.setattr(seeded.Networks, "state", lambda self: dict(reversed(original(self).items())))
    backwards = seeded_networks("tiny", 1).state()
    assert list(backwards) == list(first)[::-1]
    assert same(first, backwards) == set(first)


def test_the_shipped_bundle_holds_these_weights(first: dict[str, Any], tiny: Path) -> None:
    from safetensors.numpy import load_file

    shipped = load_file(tiny / "weights.safetensors")
    weights = {name: torch.from_numpy(array) for name, array in shipped.items() if not name.startswith("graph.")}
    assert same(weights, {name: tensor.half() for name, tensor in first.items()}) == set(first)


def test_no_tensor_is_zero_or_constant(first: dict[str, Any]) -> None:
    for name, tensor in first.items():
        assert torch.isfinite(tensor).all(), name
        assert tensor.abs().max() > 0.01, name
        assert tensor.numel() < 2 or tensor.std() > 0, name


@pytest.mark.parametrize(("part", "parameters"), [("unet", 257_523_969), ("codec", 57_658_690)])
def test_full_size_is_the_released_size(part: str, parameters: int) -> None:
    unet, codec = SIZES["full"]
    with torch.device("meta"):
        module = SongUNet(unet) if part == "unet" else Music2Latent(codec)
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert sum(t.numel() for t in module.state_dict().values()) == parameters
    assert {p.device.type for p in module.parameters()} == {"meta"}


def test_tiny_has_the_topology_of_full() -> None:
    names = []
    for unet, codec in SIZES.values():
        with torch.device("meta"):
            names.append((list(SongUNet(unet).state_dict()), list(Music2Latent(codec).state_dict())))
    assert names[0] == names[1]


def test_rounding_puts_every_weight_on_the_grid(first: dict[str, Any]) -> None:
    rounded = seeded_networks("tiny", 1, round_to=torch.float16).state()
    for name, tensor in rounded.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor.half().float(), tensor), name
        assert torch.equal(tensor, first[name].half().float()), name
    assert len(same(first, rounded)) < len(first) // 10  # unrounded weights are not on it
