# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The whole cycle as one prepared run over fixed buffers: on CUDA one copy in, one graph, one copy out, one wait.

All inputs of a cycle lie in one block of host memory and one of device memory, in the order of `CycleInputs`, so
that what a decode size needs is a prefix; the outputs likewise. A run is prepared per (generate, decode size),
its decode at the window's right edge, when the pipeline is bound. Another size or place runs unprepared through
the same code, which is slower, and the log says so once.

Stage times are taken by events inside the graph; the two copies and the wait are the cycle's host time.

Not covered: sizes prepared after binding (a capture stops the device for too long to be done between two steps).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from anacrusis.engine.backends.torch_lane import Lane, Numerics, Run
from anacrusis.engine.bundle import Manifest
from anacrusis.engine.pipeline import F32, Binding, CycleInputs, CycleOutputs, StageTimes

log = logging.getLogger("anacrusis.torch")

Encode = Callable[[Tensor, Tensor], Tensor]
Denoise = Callable[..., tuple[Tensor, Tensor]]
Decode = Callable[[Tensor, Tensor], Tensor]


ALIGNED_VALUES = 64  # 256 bytes, what an allocation of its own would be aligned to


def padded(count: int) -> int:
    return -(-count // ALIGNED_VALUES) * ALIGNED_VALUES


class Block:
    """Named float32 arrays one after the other in one piece of memory on the host and one on the device."""

    def __init__(self, lane: Lane, shapes: dict[str, tuple[int, ...]]) -> None:
        sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
        total = sum(padded(size) for size in sizes.values())
        self.host_memory, self.device_memory = lane.host(total), torch.zeros(total, device=lane.device)
        self.host: dict[str, F32] = {}
        self.device: dict[str, Tensor] = {}
        self.start: dict[str, int] = {}
        offset = 0
        for name, shape in shapes.items():
            span = slice(offset, offset + sizes[name])
            self.host[name] = self.host_memory[span].numpy().reshape(shape)
            self.device[name] = self.device_memory[span].view(shape)
            self.start[name] = offset
            offset += padded(sizes[name])

    def to_device(self, count: int) -> None:
        """The first `count` values, in the lane entered."""
        self.device_memory[:count].copy_(self.host_memory[:count], non_blocking=True)

    def to_host(self, count: int) -> None:
        self.host_memory[:count].copy_(self.device_memory[:count], non_blocking=True)


class Stages(NamedTuple):
    """The stage modules on the lane's device, and what `embed` gave: per table row, in the network's type."""

    encode: Encode
    denoise: Denoise
    decode: Decode
    cond: Sequence[list[Tensor]]


class GraphPipeline:
    """See `Pipeline`. One thread at a time."""

    def __init__(self, stages: Stages, lane: Lane, manifest: Manifest, binding: Binding, numerics: Numerics) -> None:
        self._stages, self._lane, self._table, self._numerics = stages, lane, binding.table, numerics
        self._geometry = geometry = manifest.geometry
        rows, channels, frames = binding.rows, manifest.latent_channels, geometry.window_frames
        window = (rows, channels, frames)
        self._noise_per_frame = int(np.prod(manifest.decoder_noise_shape)) if manifest.decoder_noise_shape else 0
        self._rows, self._frames = rows, frames
        self._in = Block(
            lane,
            {
                "audio": (1, geometry.encode_samples),
                "heard": (1, 1, frames),
                "keep": (1, 1, frames),
                "source": window,
                "noise": (len(binding.table.mixes), *window),
                "decoder_noise": (rows * binding.max_decode_frames * self._noise_per_frame,),
            },
        )
        self._out = Block(
            lane,
            {
                "context": (1, manifest.encoded_channels, frames),
                "latents": window,
                "audio": (rows * geometry.decoded_samples(binding.max_decode_frames),),
            },
        )
        self.inputs = CycleInputs(**self._in.host, decoder_noise_shape=manifest.decoder_noise_shape)
        self._coefficients = torch.from_numpy(binding.table.coefficients(manifest.parametrisation)).to(lane.device)
        self._silent = torch.zeros(window, device=lane.device)
        self._prepared: dict[tuple[bool, int], Run] = {}
        self._said = False
        lane.settle()
        with numerics.hold(), torch.inference_mode():
            for size in sorted(set(binding.decode_frames)):
                for generate in (True, False):
                    self._prepared[generate, size] = lane.prepare(self._run(generate, frames - size, size))

    def decode_frames(self, wanted: int) -> int:
        """The smallest prepared size that holds `wanted`; `wanted` itself, unprepared, where none does."""
        return min((size for _, size in self._prepared if size >= wanted), default=wanted)

    def encode(self) -> F32:
        with self._numerics.hold(), torch.inference_mode():
            with self._lane:
                self._in.to_device(self._in.start["keep"])
                self._encode()
                self._out.to_host(self._out.start["latents"])
            self._lane.wait()
        return self._out.host["context"]

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        run = self._prepared.get((generate, decode_frames))
        prepared = run is not None and decode_first == self._frames - decode_frames
        if not prepared:
            run = self._run(generate, decode_first, decode_frames)
            self._say_unprepared(decode_frames)
        assert run is not None
        samples = self._rows * self._geometry.decoded_samples(decode_frames)
        # What was captured keeps the switches of its capture.
        with contextlib.nullcontext() if prepared else self._numerics.hold(), torch.inference_mode():
            with self._lane:
                noise_values = self._rows * decode_frames * self._noise_per_frame
                self._in.to_device(self._in.start["decoder_noise"] + noise_values)
                run()
                self._out.to_host(self._out.start["audio"] + samples)
            self._lane.wait()
        encode_ms, denoise_ms, decode_ms = self._lane.laps()
        return CycleOutputs(
            latents=self._out.host["latents"],
            audio=self._out.host["audio"][:samples].reshape(self._rows, -1),
            context=self._out.host["context"] if generate else None,
            times=StageTimes(encode_ms, denoise_ms, decode_ms),
        )

    def _say_unprepared(self, frames: int) -> None:
        if not self._said:
            log.warning("a decode of %d frames was not prepared for: it runs without a graph, and slower", frames)
            self._said = True

    def _encode(self) -> Tensor:
        context = self._stages.encode(self._in.device["audio"], self._in.device["heard"])
        self._out.device["context"].copy_(context)
        return self._out.device["context"]

    def _run(self, generate: bool, first: int, frames: int) -> Run:
        """Everything between the two copies. Reads and writes the blocks only; no host value is looked at."""
        given, out, lane = self._in.device, self._out.device, self._lane
        count = self._rows * frames
        noise_shape = (self._rows, frames, *self.inputs.decoder_noise_shape)
        noise = given["decoder_noise"][: count * self._noise_per_frame].view(noise_shape)
        audio = out["audio"][: self._rows * self._geometry.decoded_samples(frames)].view(self._rows, -1)

        def run() -> None:
            lane.mark(0)
            latents = given["source"]
            if generate:
                context = self._encode()
                lane.mark(1)
                latents = self._sample(context)
            else:
                lane.mark(1)
            out["latents"].copy_(latents)
            lane.mark(2)
            audio.copy_(self._stages.decode(latents[:, :, first : first + frames], noise))
            lane.mark(3)

        return run

    def _sample(self, context: Tensor) -> Tensor:
        given = self._in.device
        u = given["keep"] * given["source"] + given["noise"][0]
        b = u.clone()  # one tensor given twice is another case to torch.compile
        injected = iter(given["noise"][1:])
        for index, row in enumerate(self._table.rows):
            noise = next(injected) if row.mix is not None else self._silent
            cond = self._stages.cond[index]
            u, b = self._stages.denoise(
                u, b, given["source"], noise, context, given["keep"], self._coefficients[index], cond
            )
        return u
