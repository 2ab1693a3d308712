# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What float16 networks would compute, on a CPU and at float32's speed.

The modules are the ones export traces (`graphs.stage_specs` with `torch.float16`). While a `HalfEmulation` runs
them, every operator on float16 tensors is computed in float32 from its float16 inputs and its result is rounded to
float16 once, overflow to inf kept. What a stage keeps float32 (transforms, embedding, sampler state, the affine
row) is float32 here too, because the types of the tensors say where float16 begins and ends.

The model is *one aten operator, one rounding*: convolutions and products accumulate in float32, GroupNorm and
softmax compute inside in float32 and give a 16-bit result (as TensorRT's fused kernels do, with float32
statistics). An engine that fuses bias, activation or residual into a convolution rounds less often than this. A
Python number that multiplies or is added to a tensor is rounded to float16 first, as it is a float16 constant in
the exported graph (torch itself would keep it float32).

Not covered: attention kernels that accumulate in float16, Winograd convolutions in float16, and flushing of
subnormals. GroupNorm is the operator, whatever form export writes out for a runtime: `networks/norm.py` writes small
ones out in float32, which rounds as often; a decomposition in float16 would round more.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

LARGEST_HALF = 65504.0

# Besides views: operators that copy or place values and round nothing.
MOVES = frozenset(
    ("clone", "_unsafe_view", "copy_", "cat", "stack", "constant_pad_nd", "upsample_nearest1d", "upsample_nearest2d")
)
# Operators whose Python numbers are constants of their own in the exported graph.
WITH_CONSTANTS = frozenset(("add", "sub", "rsub", "mul", "div"))


@dataclass(frozen=True, slots=True)
class Shape:
    """One operator as far as its rounding goes, whatever the map's size. sizes, options: see `half_native.py`."""

    op: str
    sizes: tuple[int, ...]
    options: tuple[Any, ...] = ()


@dataclass(slots=True)
class Extremes:
    """What was met inside a stretch. largest: magnitude before rounding, of finite values; at: layer and operator.

    nonfinite: values that were inf or nan after rounding, counted in every operator's result; first_at: where
    the first was.
    """

    largest: float = 0.0
    largest_at: str = ""
    nonfinite: int = 0
    first_at: str = ""

    def see(self, value: Tensor, at: str) -> None:
        """value: float32, before rounding."""
        if not value.numel():
            return
        low, high = torch.aminmax(value)
        magnitude = max(-float(low), float(high))
        if not magnitude < LARGEST_HALF:  # also where it is nan
            wrong = int((~torch.isfinite(value.half())).sum())
            if wrong and not self.nonfinite:
                self.first_at = at
            self.nonfinite += wrong
            finite = value[torch.isfinite(value)]
            magnitude = float(finite.abs().max()) if finite.numel() else 0.0
        if magnitude > self.largest:
            self.largest, self.largest_at = magnitude, at


class HalfEmulation(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Run stages inside `with emulation.of(name, stage): stage(...)`. One thread; gradients are off inside.

    Keeps a float32 copy of every float16 weight it met (twice their memory) until it is dropped. shapes: every
    distinct `Shape` met.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: dict[Shape, None] = {}
        self._extremes = Extremes()
        self._layers: list[str] = []
        self._weights: dict[int, tuple[Tensor, Tensor]] = {}  # by id: the weight, so that its id stays its own
        self._constant: set[int] = set()

    @contextlib.contextmanager
    def of(self, name: str, module: nn.Module) -> Iterator[Extremes]:
        """Emulate what runs inside, and say where in `module` the extremes were. Yields them, live."""
        self._extremes = Extremes()
        self._layers = [name]
        self._constant = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
        handles = []
        for path, child in module.named_modules():
            if path:
                handles += [
                    child.register_forward_pre_hook(self._enter(path)),
                    child.register_forward_hook(self._leave),
                ]
        try:
            with torch.no_grad(), self:
                yield self._extremes
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, path: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            self._layers.append(path)

        return hook

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._layers.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = func.overloadpacket.__name__
        if not self._computes(func, op, args, kwargs):
            out = func(*args, **kwargs)
            if op == "_to_copy" and kwargs.get("dtype") == torch.float16:
                self._extremes.see(args[0].float(), f"{self._layers[-1]} (cast to float16)")
            return out
        shape = shape_of(op, args)
        if shape is not None:
            self.shapes[shape] = None
        wide = [self._float(a) for a in args]
        if op in WITH_CONSTANTS:
            wide = [_half_constant(a) for a in wide]
        out = func(*wide, **{name: self._float(a) for name, a in kwargs.items()})
        if func._schema.is_mutable:  # in place: the result goes where the operator would have put it
            self._extremes.see(wide[0], self._at(op))
            return args[0].copy_(wide[0])
        if op == "native_group_norm":  # mean and deviation stay float32 in a kernel's workspace
            return self._round(out[0], op), *out[1:]
        return type(out)(self._round(t, op) for t in out) if isinstance(out, tuple | list) else self._round(out, op)

    @staticmethod
    def _computes(func: Any, op: str, args: Any, kwargs: Any) -> bool:
        """Whether this operator does arithmetic on float16. With a float32 map among its inputs it promotes."""
        if func.is_view or op in MOVES or op == "_to_copy" or kwargs.get("dtype") is not None:
            return False
        half = False
        for value in (*args, *kwargs.values()):
            for tensor in value if isinstance(value, list | tuple) else (value,):
                if isinstance(tensor, Tensor) and tensor.is_floating_point():
                    if tensor.dtype != torch.float16 and tensor.dim():
                        return False
                    half = half or tensor.dtype == torch.float16
        return half

    def _float(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._float(part) for part in value]
        if not isinstance(value, Tensor) or value.dtype != torch.float16:
            return value
        if id(value) not in self._constant:
            return value.float()
        known = self._weights.get(id(value))
        if known is None:
            known = self._weights[id(value)] = (value, value.float())
        return known[1]

    def _round(self, value: Any, op: str) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        self._extremes.see(value, self._at(op))
        return value.half()

    def _at(self, op: str) -> str:
        return f"{self._layers[-1]} ({op.removeprefix('native_').removeprefix('_')})"


def _half_constant(value: Any) -> Any:
    """A Python number, or torch's own wrapping of one, on float16's grid."""
    if isinstance(value, float) and math.isfinite(value):
        return float(torch.tensor(value, dtype=torch.float32).half())
    if isinstance(value, Tensor) and value.dim() == 0 and value.dtype in (torch.float32, torch.float64):
        return value.half().to(value.dtype)
    return value


def shape_of(op: str, args: Any) -> Shape | None:
    """The `Shape` of a convolution, product, GroupNorm or softmax; None for every other operator."""
    if op == "convolution":
        _, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args
        options = (*map(tuple, (stride, padding, dilation)), transposed, tuple(output_padding), groups)
        return Shape(op, tuple(weight.shape), (bias is not None, *options))
    if op in ("mm", "bmm", "addmm"):
        left, right = args[-2:]
        return Shape("matmul", (left.shape[-1], right.shape[-1]))
    if op == "native_group_norm":
        return Shape("group_norm", (args[4], args[6]), (args[7],))
    if op == "_softmax":
        return Shape("softmax", (args[0].shape[args[1]],))
    return None
