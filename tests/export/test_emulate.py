# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Emulated float16 against torch's own, operator by operator, and what it must and must not round."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.benchmarks.half_native import both, distance_ulps, transposed_by_convolution
from anacrusis.export.emulate import HalfEmulation, shape_of
from anacrusis.export.export import GEOMETRY
from anacrusis.export.graphs import stage_specs
from anacrusis.export.seeded import seeded_networks


def halves(*sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(size, generator=generator).half() for size in sizes)


MAP = (1, 8, 8, 8)


@pytest.mark.parametrize(
    ("call", "sizes"),
    [
        (lambda x, w: F.conv2d(x, w, padding=1), (MAP, (16, 8, 3, 3))),
        (lambda x, w, b: F.conv2d(x, w, b), (MAP, (16, 8, 1, 1), (16,))),
        (lambda x, w: F.conv2d(x, w, stride=(4, 1), padding=(2, 0)), (MAP, (16, 8, 5, 1))),
        (lambda x, w: F.conv2d(x, w, padding=2, dilation=2), (MAP, (16, 8, 3, 3))),
        (lambda x, w: F.conv2d(x, w, groups=4), (MAP, (16, 2, 3, 3))),
        (lambda x, w: F.conv1d(x, w, padding=1), ((1, 8, 32), (16, 8, 3))),
        (F.linear, ((4, 32), (16, 32), (16,))),
        (torch.matmul, ((2, 3, 16, 32), (2, 3, 32, 16))),
        (lambda x, g, b: F.group_norm(x, 4, g, b), (MAP, (8,), (8,))),
        (lambda x: torch.softmax(x, -1), (MAP,)),
        (F.silu, (MAP,)),
        (torch.tanh, (MAP,)),
        (torch.add, (MAP, MAP)),
        (torch.mul, (MAP, (1, 8, 1, 1))),
        (lambda x: F.avg_pool2d(x, 2), (MAP,)),
        (lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), (MAP,)),
        (lambda x, y: torch.cat([x, y], 1).permute(0, 2, 3, 1).reshape(8, -1), (MAP, MAP)),
        (lambda x: torch.softmax(x.float(), -1).to(x.dtype), (MAP,)),  # a float32 island
        (lambda x: x.mean(dim=3, keepdim=True), (MAP,)),
        (lambda x: x.clone().add_(x), (MAP,)),
    ],
)
def test_an_operator_is_torch_s_own(call: Callable[..., Tensor], sizes: tuple[tuple[int, ...], ...]) -> None:
    native, emulated = both(call, halves(*sizes))
    assert native.dtype == emulated.dtype == torch.float16
    assert distance_ulps(native, emulated) <= 1.0
    assert (native != emulated).float().mean() < 0.02


@pytest.mark.parametrize(
    ("x", "weight", "more"),
    [
        (MAP, (8, 16, 4, 4), {"stride": 2, "padding": 1}),
        (MAP, (8, 16, 8, 1), {"stride": (4, 1), "padding": (2, 0)}),
        (MAP, (8, 4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
        (MAP, (8, 16, 3, 3), {"dilation": 2}),
        ((1, 8, 16), (8, 16, 4), {"stride": 2, "padding": 1}),
    ],
)
def test_a_transposed_convolution_is_torch_s_own(x: tuple[int, ...], weight: tuple[int, ...], more: Any) -> None:
    values, kernel = halves(x, weight)
    call = F.conv_transpose1d if len(x) == 3 else F.conv_transpose2d

    def other(values: Tensor, kernel: Tensor) -> Tensor:
        axes = len(x) - 2
        every = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0} | more
        lists = [[v] * axes if isinstance(v, int) else list(v) for n, v in every.items() if n != "groups"]
        stride, padding, dilation, output_padding = lists
        groups = every.get("groups", 1)
        return transposed_by_convolution(values, kernel, None, stride, padding, dilation, output_padding, groups)

    torch.testing.assert_close(other(values.float(), kernel.float()), call(values.float(), kernel.float(), **more))
    native, emulated = both(lambda x, w: call(x, w, **more), (values, kernel), other)
    assert distance_ulps(native, emulated) <= 1.0
    assert (native != emulated).float().mean() < 0.02


@pytest.mark.parametrize(
    ("a", "b", "ulps"),
    [
        ([1.0, -2.0], [1.0, -2.0], 0.0),
        ([1.0, 1.0 + 2**-10], [1.0, 1.0], 1.0),
        ([1.0, 2**-10], [1.0, 0.0], 2.0),  # small results are held to the size of all (.71 here)
        ([1.0, math.inf], [1.0, 1.0], math.inf),
        ([math.inf, math.inf], [math.inf, -math.inf], math.inf),
        ([1.0, math.inf], [1.0, math.inf], 0.0),
    ],
)
def test_distance(a: list[float], b: list[float], ulps: float) -> None:
    assert distance_ulps(torch.tensor(a).half(), torch.tensor(b).half()) == ulps


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Identity()
        self.second = nn.Linear(1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return out


@pytest.mark.parametrize(
    ("x", "weight", "nonfinite", "largest"),
    [(200.0, 300.0, 0, 60000.0), (300.0, 300.0, 1, 90000.0), (1.0, math.nan, 1, 0.0), (2.0, 3.0, 0, 6.0)],
)
def test_overflow_is_kept_counted_and_placed(x: float, weight: float, nonfinite: int, largest: float) -> None:
    module = Twice().half()
    nn.init.constant_(module.second.weight, weight)
    emulation, given = HalfEmulation(), torch.full((1, 1), x).half()
    with emulation.of("stage", module) as extremes:
        out = module(given)
    assert int((~torch.isfinite(out)).sum()) == extremes.nonfinite == nonfinite
    assert extremes.largest == largest
    assert ("second" in extremes.first_at) == bool(nonfinite)
    assert extremes.largest_at.startswith("second") or not largest


def test_a_cast_that_overflows_is_seen() -> None:
    emulation = HalfEmulation()
    with emulation.of("stage", nn.Module()) as extremes:
        torch.tensor([7e4]).to(torch.float16)
    assert (extremes.nonfinite, extremes.first_at) == (1, "stage (cast to float16)")


def test_numbers_are_float16_constants_as_in_the_graph() -> None:
    (x,) = halves(MAP)
    emulation = HalfEmulation()
    with emulation.of("", nn.Module()):
        got = x * math.sqrt(0.5)
    constant = torch.tensor(math.sqrt(0.5)).half().float()
    assert torch.equal(got, (x.float() * constant).half())
    assert not torch.equal(got, (x.float() * math.sqrt(0.5)).half())


@pytest.mark.parametrize("call", [lambda x: x * 3.3, lambda x: torch.softmax(x, -1), lambda x: x + x[:1].half()])
def test_float32_stays_as_it_is(call: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    emulation = HalfEmulation()
    with emulation.of("", nn.Module()):
        got = call(x)
    assert got.dtype == torch.float32
    assert torch.equal(got, call(x))


class Placed(HalfEmulation):
    """Remembers where it rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()

    def _at(self, op: str) -> str:
        self.places.add(self._layers[-1])
        return super()._at(op)


@pytest.mark.parametrize("stage", ["encode", "embed", "denoise", "decode"])  # embed is float32 but for its results
def test_stages_round_their_networks_and_nothing_else(stage: str) -> None:
    networks = seeded_networks("tiny", 1)
    specs = {spec.name: spec for spec in stage_specs(networks, GEOMETRY, torch.float16)}
    module, example = specs[stage].module.eval(), specs[stage].example
    emulation = Placed()
    with emulation.of(stage, module):
        module(*example)
    assert any(place.startswith(("codec.", "unet.")) for place in emulation.places) is (stage != "embed")
    assert not {place for place in emulation.places if place.startswith(("stft", "istft"))}


def test_shapes_are_what_rounding_depends_on() -> None:
    x, w = halves((2, 8, 9, 9), (16, 8, 3, 3))
    one = shape_of("convolution", (x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1))
    wider = shape_of("convolution", (x[..., :4], w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1))
    strided = shape_of("convolution", (x, w, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1))
    assert one is not None
    assert one == wider != strided
    assert shape_of("silu", (x,)) is None
