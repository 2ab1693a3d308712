# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The emulation against torch's own float16 kernels, once per shape that a run of the networks met.

Native float16 on a CPU is slow, so the map is a patch of 8 x 8 while channels, kernel, stride, padding, dilation,
groups and transposition are the network's own. torch accumulates in float32 too, in another order: a sum that
lies between two float16 values may be rounded to either, and one that cancels carries float32's own error of the
sum's size. So a result may differ by one unit in the last place of the larger of itself and the root mean square of
all results, and not often.

torch's transposed convolution on a CPU is no such thing: it rounds the contribution of every tap and adds them up in
float16. There the other side is torch's float16 convolution over the map with zeros put between its values, which is
the same sum.

Not covered: a GPU's kernels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from anacrusis.export.emulate import HalfEmulation, Shape

PATCH = 8
ROWS = 64
MOST_ULPS = 1.0
MOST_DIFFER = 0.02

Call = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class NativeCheck:
    """shapes: how many of each operator were compared. ulps: the largest difference; differ: the largest share of
    results of one shape that are not equal bit for bit."""

    shapes: dict[str, int] = field(default_factory=dict)
    ulps: float = 0.0
    ulps_at: str = ""
    differ: float = 0.0
    differ_at: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.shapes) and self.ulps <= MOST_ULPS and self.differ <= MOST_DIFFER

    def line(self) -> str:
        counts = ", ".join(f"{count} {op}" for op, count in sorted(self.shapes.items()))
        return (
            f"emulation against native float16: {counts}; at most {self.ulps:.2g} ulp apart ({self.ulps_at}), "
            f"at most {100 * self.differ:.2g} % not equal ({self.differ_at}): {'ok' if self.passed else 'MISS'}"
        )


def check_native(shapes: Iterable[Shape], report: Callable[[str], None] = lambda _: None) -> NativeCheck:
    """Run every shape both ways on seeded normal values. Seconds for small networks, a minute or two for large."""
    counts: Counter[str] = Counter()
    ulps, differ = (0.0, ""), (0.0, "")
    for index, shape in enumerate(sorted(shapes, key=repr)):
        call, native_call, inputs = example(shape, seed=index)
        native, emulated = both(call, inputs, native_call)
        counts[shape.op] += 1
        ulps = max(ulps, (distance_ulps(native, emulated), str(shape)))
        differ = max(differ, (float((native != emulated).float().mean()), str(shape)))
        if index % 10 == 9:
            report(f"emulation against native float16: {index + 1} shapes")
    return NativeCheck(dict(counts), *ulps, *differ)


def both(call: Call, inputs: tuple[Tensor, ...], native_call: Call | None = None) -> tuple[Tensor, Tensor]:
    """(native, emulated) results of one operator on float16 inputs. native_call: another way to the same sum."""
    emulation = HalfEmulation()
    with torch.no_grad():
        native = (native_call or call)(*inputs)
    with emulation.of("", nn.Module()):
        emulated = call(*inputs)
    return native, emulated


def distance_ulps(native: Tensor, emulated: Tensor) -> float:
    """The largest difference, in float16 units in the last place of max(|result|, rms of all results).

    inf where one is finite and the other is not.
    """
    a, b = native.float(), emulated.float()
    finite = torch.isfinite(b)
    if not torch.equal(finite, torch.isfinite(a)) or not torch.equal(a[~finite], b[~finite]):
        return float("inf")
    a, b = a[finite], b[finite]
    if not a.numel():
        return 0.0
    size = torch.maximum(b.abs(), b.square().mean().sqrt()).clamp_min(2.0**-14)
    return float(((a - b).abs() / torch.exp2(torch.floor(torch.log2(size)) - 10)).max())


def example(shape: Shape, seed: int) -> tuple[Call, Call, tuple[Tensor, ...]]:
    """A call of this shape's operator, its native counterpart, seeded float16 inputs; results of about unit size."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int, gain: float = 1.0) -> Tensor:
        return (gain * torch.randn(size, generator=generator)).half()

    if shape.op == "convolution":
        return _convolution(shape, normal)
    call, inputs = _product(shape, normal)
    return call, call, inputs


def _product(shape: Shape, normal: Call) -> tuple[Call, tuple[Tensor, ...]]:
    if shape.op == "matmul":
        inner, columns = shape.sizes
        return torch.matmul, (normal(ROWS, inner), normal(inner, min(columns, ROWS), gain=inner**-0.5))
    if shape.op == "group_norm":
        (channels, groups), (eps,) = shape.sizes, shape.options
        inputs = normal(1, channels, PATCH, PATCH), normal(channels), normal(channels)
        return (lambda x, gain, bias: torch.group_norm(x, groups, gain, bias, eps)), inputs
    if shape.op == "softmax":
        return (lambda x: torch.softmax(x, -1)), (normal(ROWS, *shape.sizes, gain=2.0),)
    raise ValueError(f"no example of {shape}")


def _convolution(shape: Shape, normal: Call) -> tuple[Call, Call, tuple[Tensor, ...]]:
    has_bias, stride, padding, dilation, transposed, output_padding, groups = shape.options
    outer, inner, *kernel = shape.sizes  # of the weight: [out, in / groups] or, transposed, [in, out / groups]
    channels, results = (outer, inner * groups) if transposed else (inner * groups, outer)
    edges = [max(PATCH, d * (k - 1) + 1) for k, d in zip(kernel, dilation, strict=True)]
    gain = (math.prod(kernel) * channels / groups) ** -0.5
    inputs = [normal(1, channels, *edges), normal(*shape.sizes, gain=gain)]
    if has_bias:
        inputs.append(normal(results))

    def call(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return torch.convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)

    def between_zeros(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return transposed_by_convolution(x, weight, bias, stride, padding, dilation, output_padding, groups)

    return call, between_zeros if transposed else call, tuple(inputs)


def transposed_by_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """A transposed convolution as a convolution over x with zeros between its values. Arguments as torch's."""
    kernel = weight.shape[2:]
    axes = range(len(kernel))
    margins = [dilation[i] * (kernel[i] - 1) - padding[i] for i in axes]
    sizes = [(x.shape[2 + i] - 1) * stride[i] + 1 + 2 * margins[i] + output_padding[i] for i in axes]
    spread = x.new_zeros(*x.shape[:2], *sizes)
    at = [slice(m, m + (x.shape[2 + i] - 1) * stride[i] + 1, stride[i]) for i, m in enumerate(margins)]
    spread[(slice(None), slice(None), *at)] = x
    inputs, outputs = weight.shape[:2]
    flipped = weight.flip([2 + i for i in axes]).reshape(groups, inputs // groups, outputs, *kernel)
    ones, zeros = [1] * len(kernel), [0] * len(kernel)
    turned = flipped.transpose(1, 2).reshape(groups * outputs, inputs // groups, *kernel)
    return torch.convolution(spread, turned, bias, ones, zeros, list(dilation), False, zeros, groups)
