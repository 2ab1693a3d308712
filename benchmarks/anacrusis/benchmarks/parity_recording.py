# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's two seams during a parity run: noise that was recorded, and a backend that remembers.

Both are the engine's own protocols (`noise.NoiseSource`, `pipeline.Backend`), so the cycle under test is unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from anacrusis.benchmarks.parity_golden import F32, golden_noise
from anacrusis.engine.pipeline import Backend, Binding, CycleInputs, CycleOutputs, Pipeline
from anacrusis.engine.upstream import UpstreamCycle


def sha16(noise: F32) -> str:
    """First 16 hex digits of the SHA-256 of little-endian float32 bytes."""
    return hashlib.sha256(np.ascontiguousarray(noise, "<f4").tobytes()).hexdigest()[:16]


class GoldenNoise:
    """The noise of one recorded cycle, whatever stem and cycle it is asked for. See `noise.NoiseSource`."""

    def __init__(self) -> None:
        self._seeds: list[int] = []
        self._decoder: F32 = np.zeros((1, 0, 0, 0), np.float32)
        self.context_audio: F32 = np.zeros(0, np.float32)
        self.cycle: UpstreamCycle | None = None

    def set(self, latent_seeds: list[int], decoder_seed: int, decoder_shape: tuple[int, ...]) -> None:
        """latent_seeds: one per draw of the sampler, in the original's order."""
        self._seeds, self._decoder = latent_seeds, golden_noise(decoder_seed, decoder_shape)

    def latents(self, stem: int, cycle: int, out: F32) -> None:
        for draw, seed in zip(out, self._seeds, strict=True):
            draw[...] = golden_noise(seed, draw.shape)
        # The one moment of a cycle at which the context buffer is what will be encoded and code of ours runs.
        if self.cycle is not None:
            self.context_audio = self.cycle.context_audio.copy()

    def frames(self, stem: int, first_frame: int, out: F32) -> None:
        columns = out.shape[-1]
        for i, frame in enumerate(out):
            frame[...] = self._decoder[0][..., i * columns : (i + 1) * columns]


class RecordingBackend:
    """A backend that remembers what its newest pipeline was bound to and given. See `pipeline.Backend`.

    `hand_in` serves a backend whose encode stage was replaced by `parity_modules.HandOn`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend, self.name, self.bundle = backend, backend.name, backend.bundle
        self._encode: Callable[[str, F32], F32] | None = None
        self._latent = ""
        self.labels: F32 = np.zeros((0, 0), np.float32)
        self.decoder_noise: F32 = np.zeros((0, 0, 0), np.float32)  # [planes, bins, columns]
        self.decoded_samples = 0

    def bind(self, binding: Binding) -> Pipeline:
        self.labels = binding.labels
        return _RecordingPipeline(self, self._backend.bind(binding))

    def hand_in(self, encode: Callable[[str, F32], F32] | None, latent: str) -> None:
        """What the next encode is to give: encode(latent, audio), where latent is the golden array's name."""
        self._encode, self._latent = encode, latent

    def fill(self, inputs: CycleInputs) -> None:
        """Put the latent where `HandOn` finds it: at the front of the audio."""
        if self._encode is not None:
            latent = self._encode(self._latent, inputs.audio[0])
            inputs.audio[0, : latent.size] = latent.ravel()


class _RecordingPipeline:
    def __init__(self, owner: RecordingBackend, pipeline: Pipeline) -> None:
        self._owner, self._pipeline = owner, pipeline
        self.inputs: CycleInputs = pipeline.inputs

    def encode(self) -> F32:
        self._owner.fill(self.inputs)
        return self._pipeline.encode()

    def decode_frames(self, wanted: int) -> int:
        return self._pipeline.decode_frames(wanted)

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        self._owner.fill(self.inputs)
        noise = self.inputs.decoder_noise_view(decode_frames)[0]
        self._owner.decoder_noise = np.concatenate(list(noise), axis=-1)
        outputs = self._pipeline.cycle(generate=generate, decode_first=decode_first, decode_frames=decode_frames)
        self._owner.decoded_samples = outputs.audio.shape[-1]
        return outputs
