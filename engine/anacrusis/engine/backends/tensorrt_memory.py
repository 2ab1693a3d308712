# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where every tensor of a binding lies: one block on the device, one pinned on the host.

The inputs of a cycle lie in both blocks at the same offsets, so that one copy moves them; the decoder's noise,
whose length is the decode's, comes last. Rows' coefficients and conditioning are uploaded once. u and b have two
sets that the rows write in turn; the first row reads what the host made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.cuda_memory import DeviceBlock, Layout, PinnedBlock
from anacrusis.engine.backends.cuda_stream import CudaStream
from anacrusis.engine.backends.tensorrt_library import Tensor
from anacrusis.engine.bundle import Manifest
from anacrusis.engine.pipeline import Binding, CycleInputs

Conditioning = Sequence[Mapping[str, NDArray[Any]]]
FLOAT32 = np.dtype(np.float32)


class BindingMemory:
    """Allocated once; released by the stack it is registered with. One thread at a time."""

    def __init__(
        self,
        device: CudaDevice,
        manifest: Manifest,
        binding: Binding,
        conditioning: Conditioning,
        *,
        longest_decode_frames: int,
        scratch_bytes: int,
        stack: ExitStack,
    ) -> None:
        """conditioning: one mapping a row of the table. Raises BackendError where memory is short."""
        self._geometry, self._rows, self._channels = manifest.geometry, binding.rows, manifest.latent_channels
        self._noise_shape = manifest.decoder_noise_shape
        self._noise_per_frame = math.prod(self._noise_shape) if self._noise_shape else 0
        self._table, self._conditioning = binding.table, conditioning
        self._coefficients = binding.table.coefficients(manifest.parametrisation)
        window = self._geometry.window_frames
        self.state_shape = state = (binding.rows, manifest.latent_channels, window)

        inputs = Layout()
        inputs.reserve("audio", (1, self._geometry.encode_samples))
        inputs.reserve("heard", (1, 1, window))
        self._encode_bytes = inputs.total_bytes
        inputs.reserve("keep", (1, 1, window))
        inputs.reserve("source", state)
        inputs.reserve("start", state)
        inputs.reserve("noise", (len(binding.table.mixes), *state))
        inputs.reserve("decoder_noise", (binding.rows * binding.max_decode_frames * self._noise_per_frame,))
        self._constants = Layout()
        for i in range(binding.table.nfe):
            self._constants.reserve(f"row.{i}", (8,))
            for name, array in conditioning[i].items():
                self._constants.reserve(f"{name}.{i}", array.shape, array.dtype)
        on_device, on_host = inputs.copy(), inputs.copy()
        longest = (binding.rows, self._geometry.decoded_samples(longest_decode_frames))
        for layout in (on_device, on_host):
            layout.reserve("constants", (self._constants.total_bytes,), np.uint8)
            layout.reserve("context", (1, manifest.encoded_channels, window))
            layout.reserve("decoded", longest)
        on_host.reserve("latents", state)
        for name in ("u.0", "b.0", "u.1", "b.1", "silent"):
            on_device.reserve(name, state)
        on_device.reserve("latent", (binding.rows, manifest.latent_channels, longest_decode_frames))
        on_device.reserve("scratch", (scratch_bytes,), np.uint8)
        self.pinned = PinnedBlock(device, on_host)
        stack.callback(self.pinned.close)
        self._device = DeviceBlock(device, on_device)
        stack.callback(self._device.close)

    # -- on the host ----------------------------------------------------------------------------------------

    def inputs(self) -> CycleInputs:
        """`CycleInputs` over pinned memory."""
        names = ("audio", "heard", "keep", "source", "noise", "decoder_noise")
        return CycleInputs(**{n: self.pinned.array(n) for n in names}, decoder_noise_shape=self._noise_shape)

    def decoded(self, frames: int) -> NDArray[np.float32]:
        """[rows, samples] of a decode of `frames`: a view on the one output slot."""
        shape = self._decoded_shape(frames)
        return self.pinned.array("decoded").reshape(-1)[: math.prod(shape)].reshape(shape)

    # -- tensors by stage -----------------------------------------------------------------------------------

    @property
    def scratch(self) -> Tensor:
        return self._tensor("scratch")

    def encode_tensors(self) -> dict[str, Tensor]:
        return {"audio": self._tensor("audio"), "heard": self._tensor("heard"), "latent": self._tensor("context")}

    def denoise_tensors(self, i: int) -> dict[str, Tensor]:
        """Row i reads the pair that row i - 1 wrote (row 0: what the host made, as both) and writes set i % 2."""
        before = ("start", "start") if i == 0 else (f"u.{(i - 1) % 2}", f"b.{(i - 1) % 2}")
        row = self._table.rows[i]
        injected = sum(r.mix is not None for r in self._table.rows[: i + 1])  # noise 0 is the initial one
        noise = self._tensor("silent")
        if row.mix is not None:
            offset = injected * math.prod(self.state_shape) * FLOAT32.itemsize
            noise = Tensor(self._device.address("noise") + offset, self.state_shape, FLOAT32)
        return {
            "u": self._tensor(before[0]),
            "b": self._tensor(before[1]),
            "source": self._tensor("source"),
            "noise": noise,
            "context": self._tensor("context"),
            "keep": self._tensor("keep"),
            "row": self._constant(f"row.{i}"),
            **{name: self._constant(f"{name}.{i}") for name in self._conditioning[i]},
            "u_next": self._tensor(f"u.{i % 2}"),
            "b_next": self._tensor(f"b.{i % 2}"),
        }

    def decode_tensors(self, frames: int) -> dict[str, Tensor]:
        noise_shape = (self._rows, frames, *self._noise_shape)
        return {
            "latent": Tensor(self._device.address("latent"), (self._rows, self._channels, frames), FLOAT32),
            "noise": Tensor(self._device.address("decoder_noise"), noise_shape, FLOAT32),
            "audio": Tensor(self._device.address("decoded"), self._decoded_shape(frames), FLOAT32),
        }

    # -- copies, each enqueued on `stream` ------------------------------------------------------------------

    def upload_constants(self, stream: CudaStream) -> None:
        """Coefficients and conditioning to the device, zeros where a row injects no noise. Once."""
        block = self.pinned.array("constants")
        for name, region in self._constants.regions.items():
            kind, _, row = name.rpartition(".")
            value = self._coefficients[int(row)] if kind == "row" else self._conditioning[int(row)][kind]
            block[region.offset_bytes : region.offset_bytes + region.size_bytes] = np.frombuffer(
                np.ascontiguousarray(value).tobytes(), np.uint8
            )
        address = self._device.address("constants")
        stream.upload(address, self.pinned.address("constants"), self._constants.total_bytes)
        stream.zero(self._device.address("silent"), self._device.layout.regions["silent"].size_bytes)

    def upload_encode(self, stream: CudaStream) -> None:
        stream.upload(self._device.address("audio"), self.pinned.address("audio"), self._encode_bytes)

    def upload_cycle(self, stream: CudaStream, frames: int) -> None:
        """Everything that a generating cycle reads, in one copy."""
        count = self.pinned.layout.regions["decoder_noise"].offset_bytes + self._decoder_noise_bytes(frames)
        stream.upload(self._device.address("audio"), self.pinned.address("audio"), count)

    def upload_decode(self, stream: CudaStream, frames: int) -> None:
        """The last columns of `inputs.source`, and the decoder's noise."""
        if count := self._decoder_noise_bytes(frames):
            stream.upload(self._device.address("decoder_noise"), self.pinned.address("decoder_noise"), count)
        self._columns(stream, self.pinned.address("source"), frames, from_host=True)

    def cut_latents(self, stream: CudaStream, frames: int) -> None:
        """The last columns of what the last row wrote, for the decoder."""
        self._columns(stream, self._device.address(self._last_u), frames, from_host=False)

    def download_context(self, stream: CudaStream) -> None:
        self._download(stream, "context", "context", self.pinned.layout.regions["context"].size_bytes)

    def download_latents(self, stream: CudaStream) -> None:
        self._download(stream, "latents", self._last_u, self.pinned.layout.regions["latents"].size_bytes)

    def download_decoded(self, stream: CudaStream, frames: int) -> None:
        self._download(stream, "decoded", "decoded", math.prod(self._decoded_shape(frames)) * FLOAT32.itemsize)

    # -- inside ---------------------------------------------------------------------------------------------

    @property
    def _last_u(self) -> str:
        return f"u.{(self._table.nfe - 1) % 2}"

    def _tensor(self, name: str) -> Tensor:
        region = self._device.layout.regions[name]
        return Tensor(self._device.address(name), region.shape, region.dtype)

    def _constant(self, name: str) -> Tensor:
        region = self._constants.regions[name]
        return Tensor(self._device.address("constants") + region.offset_bytes, region.shape, region.dtype)

    def _decoded_shape(self, frames: int) -> tuple[int, int]:
        return self._rows, self._geometry.decoded_samples(frames)

    def _decoder_noise_bytes(self, frames: int) -> int:
        return self._rows * frames * self._noise_per_frame * FLOAT32.itemsize

    def _columns(self, stream: CudaStream, source_address: int, frames: int, *, from_host: bool) -> None:
        rows, channels, window = self.state_shape
        stream.columns(
            self._device.address("latent"),
            source_address,
            rows=rows * channels,
            row_bytes=window * FLOAT32.itemsize,
            last_bytes=frames * FLOAT32.itemsize,
            from_host=from_host,
        )

    def _download(self, stream: CudaStream, to: str, of: str, count_bytes: int) -> None:
        stream.download(self.pinned.address(to), self._device.address(of), count_bytes)
