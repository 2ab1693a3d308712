# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The seam between the cycle and a backend: three stages, bound once, no allocation after.

`cycle.py` owns what the music needs to remember; a backend owns memory and how the stages run. A pipeline is
bound for a number of rows (one a stem), a sampler table and a largest decode; its `inputs` are the arrays to
fill (a GPU backend pins them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.sampler import SamplerTable

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Binding:
    """What a pipeline is bound for. labels [rows, stems] float32, one hot per row (the original's cycle: several).

    decode_frames: the decode sizes that will be asked for, each at most max_decode_frames. A backend that must
    prepare a size before it can run prepares these; with (), any size may come, and it prepares the largest.
    """

    labels: F32
    table: SamplerTable
    max_decode_frames: int
    decode_frames: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, slots=True)
class CycleInputs:
    """Float32 arrays, C-contiguous, owned by the pipeline and filled in place between two cycles.

    audio [1, encode_samples]; heard, keep [1, 1, frames] of 0 and 1; source [rows, C, frames];
    noise [len(table.mixes), rows, C, frames]; decoder_noise flat, see `decoder_noise_view`.
    """

    audio: F32
    heard: F32
    keep: F32
    source: F32
    noise: F32
    decoder_noise: F32
    decoder_noise_shape: tuple[int, ...]

    def decoder_noise_view(self, frames: int) -> F32:
        """The first part of `decoder_noise` as [rows, frames, *decoder_noise_shape]."""
        shape = (self.source.shape[0], frames, *self.decoder_noise_shape)
        return self.decoder_noise[: int(np.prod(shape))].reshape(shape)

    @classmethod
    def zeros(cls, manifest: Manifest, binding: Binding) -> CycleInputs:
        """Plain host memory."""
        geometry, rows, channels = manifest.geometry, binding.rows, manifest.latent_channels
        frames = geometry.window_frames
        shape = manifest.decoder_noise_shape
        per_frame = int(np.prod(shape)) if shape else 0
        return cls(
            audio=np.zeros((1, geometry.encode_samples), np.float32),
            heard=np.zeros((1, 1, frames), np.float32),
            keep=np.zeros((1, 1, frames), np.float32),
            source=np.zeros((rows, channels, frames), np.float32),
            noise=np.zeros((len(binding.table.mixes), rows, channels, frames), np.float32),
            decoder_noise=np.zeros(rows * binding.max_decode_frames * per_frame, np.float32),
            decoder_noise_shape=shape,
        )


@dataclass(slots=True)
class StageTimes:
    """Milliseconds of one cycle. `host` is all that is not a network: window, noise mixing, copies."""

    encode_ms: float = 0.0
    denoise_ms: float = 0.0
    decode_ms: float = 0.0
    host_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        return self.encode_ms + self.denoise_ms + self.decode_ms + self.host_ms

    def as_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in StageTimes.__slots__}


@dataclass(frozen=True, slots=True)
class CycleOutputs:
    """Views on the pipeline's memory, valid until its next call.

    latents [rows, C, frames]: the window after sampling. audio [rows, decoded samples]. context [1, E, frames]:
    the encoded, masked context (None where a backend does not bring it to the host).
    """

    latents: F32
    audio: F32
    context: F32 | None
    times: StageTimes


class Pipeline(Protocol):
    """One bound chain of stages. All methods on one thread at a time."""

    inputs: CycleInputs

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        """Encode, sample and decode what `inputs` holds.

        generate False skips encoding and sampling and decodes `inputs.source` as it is. decode_first: window
        column of the first decoded frame. Blocks until the outputs are on the host. Allocates nothing that
        grows with the audio.
        """

    def encode(self) -> F32:
        """Encode `inputs.audio` under `inputs.heard`: a view on [1, E, frames], E channels of context."""

    def decode_frames(self, wanted: int) -> int:
        """The smallest decode this pipeline can run that holds `wanted` frames: `wanted` itself where any can.

        Raises BackendError where none of the prepared sizes is large enough.
        """


class Backend(Protocol):
    """A library with a bundle loaded in it. Made by `ladder.open_backend`."""

    name: str
    bundle: Bundle

    def bind(self, binding: Binding) -> Pipeline:
        """Allocate for this binding and run the `embed` graph once per table row."""
