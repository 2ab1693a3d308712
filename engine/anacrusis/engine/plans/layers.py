# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The fused layers of a plan, as the builder's log lists them: one record a kernel.

With detailed profiling verbosity the last message of a build starts with "Layers:" and has one line a layer. It is the
only place that shows, without a card, what was fused with what, in which types. Pure functions on text and records.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

# Kernels that multiply matrices or convolve: by type, or by what a fused kernel's name is put together from.
_COMPUTE_TYPES = frozenset({"correlation", "deconv", "deconvolution", "convolution", "gemm", "mha"})
_COMPUTE_NAMES = re.compile(r"Corr|Conv(?!ert)|[Gg]emm|MatMul|Fc|[Mm]ha")
_LINE = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<type>[^,]*), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], "
    r"TacticName: (?P<tactic>.*?), StreamId: (?P<stream>\d+), Metadata: ?(?P<from>.*)$"
)
_TENSOR = re.compile(r"\{ Name: (?P<name>.*?), Dimensions: \[(?P<dims>[-\d,]*)\].*?Datatype: (?P<dtype>\w+)")
_ONNX = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One operand. dtype: the library's name for it: "Half", "Float", "Int32"."""

    name: str
    dims: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One kernel. constants: weights and biases. onnx: names of the graph's nodes that were fused into it."""

    name: str
    type: str
    inputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tactic: str
    stream: int
    onnx: tuple[str, ...]

    @property
    def is_compute(self) -> bool:
        """A convolution or matrix product, alone or fused with what follows it."""
        if self.type in _COMPUTE_TYPES:
            return True
        return self.name.startswith("_") and _COMPUTE_NAMES.search(self.name.split("_myl0")[0]) is not None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Layer:
        def tensors(name: str) -> tuple[Tensor, ...]:
            return tuple(Tensor(t["name"], tuple(t["dims"]), t["dtype"]) for t in raw[name])

        return cls(
            raw["name"],
            raw["type"],
            tensors("inputs"),
            tensors("constants"),
            tensors("outputs"),
            raw["tactic"],
            int(raw["stream"]),
            tuple(raw["onnx"]),
        )


def parse_layers(messages: Iterable[str]) -> tuple[Layer, ...]:
    """The layers that a build's log lists, in order of execution. Lines of another form are passed over."""
    found = []
    for message in messages:
        for line in message.splitlines():
            match = _LINE.match(line.removeprefix("Layers:").strip())
            if match:
                found.append(
                    Layer(
                        match["name"],
                        match["type"],
                        _tensors(match["inputs"]),
                        _tensors(match["constants"]),
                        _tensors(match["outputs"]),
                        match["tactic"],
                        int(match["stream"]),
                        tuple(_ONNX.findall(match["from"])),
                    )
                )
    return tuple(found)


def histogram(layers: Iterable[Layer]) -> dict[str, int]:
    """Kernels by type, most frequent first."""
    return dict(Counter(layer.type for layer in layers).most_common())


def float32_compute(layers: Iterable[Layer], allowed: Sequence[str] = ()) -> tuple[Layer, ...]:
    """Convolutions and matrix products that read a float32 operand, but for those named.

    allowed: shell patterns ("node_stft*"); a kernel is let pass where all of the graph's nodes in it, or its own name,
    match one. Operands of one element (a product's alpha and beta) do not count.
    """

    def named(layer: Layer) -> bool:
        def passes(name: str) -> bool:
            return any(fnmatchcase(name, pattern) for pattern in allowed)

        return passes(layer.name) or (bool(layer.onnx) and all(passes(name) for name in layer.onnx))

    return tuple(layer for layer in layers if layer.is_compute and _reads_float32(layer) and not named(layer))


def _reads_float32(layer: Layer) -> bool:
    operands = (*layer.inputs, *layer.constants)
    return any(tensor.dtype == "Float" and any(size != 1 for size in tensor.dims) for tensor in operands)


def _tensors(text: str) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(match["name"], tuple(int(size) for size in match["dims"].split(",") if size), match["dtype"])
        for match in _TENSOR.finditer(text)
    )
