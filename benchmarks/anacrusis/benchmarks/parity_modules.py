# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Torch modules that show what lies inside our networks. Imports torch: only a parity run imports this file.

The same module runs eagerly and is traced, so both backends are asked the same question.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from anacrusis.engine.networks.music2latent import Music2Latent
from anacrusis.engine.networks.songunet import Block


class Functional(nn.Module):
    """A module with its weights as an input: one trace then serves every network of the same shape."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # In a list it is not registered: its own parameters must not become constants of the graph.
        self._module = [module]

    def forward(self, state: dict[str, Tensor], *args: Tensor) -> Any:
        return torch.func.functional_call(self._module[0], state, args)


class Tapped(nn.Module):
    """(output, *taps) of a module. A tap is the output of a named submodule, or its input if the name ends in "<"."""

    def __init__(self, module: nn.Module, taps: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.taps = module, taps

    def forward(self, *args: Tensor) -> tuple[Tensor, ...]:
        caught: dict[str, tuple[Tensor, ...]] = {}
        handles = []
        for name in self.taps:

            def catch_input(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                caught[name] = inputs[:1]

            def catch(_: nn.Module, __: Any, out: Any, name: str = name) -> None:
                caught[name] = tuple(out) if isinstance(out, (list, tuple)) else (out,)

            submodule = self.module.get_submodule(name.removesuffix("<"))
            if name.endswith("<"):
                handles.append(submodule.register_forward_pre_hook(catch_input))
            else:
                handles.append(submodule.register_forward_hook(catch))
        try:
            out = self.module(*args)
        finally:
            for handle in handles:
                handle.remove()
        # A copy, so that a tap which is also the output (or another tap) stays an output of its own.
        return (out, *(tensor.clone() for name in self.taps for tensor in caught[name]))


class BlockProbe(nn.Module):
    """x, emb -> the block's output, with its conditioning computed as the engine does."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        out: Tensor = self.block(x, self.block.bias_of(emb))
        return out


class HandOn(nn.Module):
    """In place of an encode stage: the audio's first values are the latent [1, C, frames] to give, then masked."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, audio: Tensor, heard: Tensor) -> Tensor:
        frames = heard.shape[-1]
        return audio[:, : self.channels * frames].reshape(1, self.channels, frames) * heard


class CodecDenoise(nn.Module):
    """Rescaled latent, x, sigma -> the codec's consistency output."""

    def __init__(self, codec: Music2Latent) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latent: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        return self.codec.denoise(latent, x, sigma)


class CodecScalars(Music2Latent):
    """sigma [1] -> [c_skip, c_out, c_in], solved from the codec's own `denoise` around a network that is a line.

    With U(v) = a v + o elementwise: x = 1, U = 0 gives c_skip; x = 0, U = 1 gives c_out; x = 1, U(v) = v gives
    c_skip + c_out c_in.
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.decoder = nn.Identity()  # type: ignore[assignment]
        self.register_buffer("frequencies", torch.ones(1), persistent=False)
        for name, values in (("x", [1.0, 0.0, 1.0]), ("slope", [0.0, 0.0, 1.0]), ("offset", [0.0, 1.0, 0.0])):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        self.x: Tensor
        self.slope: Tensor
        self.offset: Tensor

    def _net(self, pyramid: list[Tensor], x: Tensor, embedding: Tensor) -> Tensor:
        return self.slope * x + self.offset

    def forward(self, sigma: Tensor) -> Tensor:
        c_skip, c_out, both = torch.split(self.denoise(self.x, self.x, sigma), 1)
        return torch.cat([c_skip, c_out, (both - c_skip) / c_out])
