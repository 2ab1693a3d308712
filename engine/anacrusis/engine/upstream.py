# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`compat="upstream"`: the original server's cycle, its arithmetic and its defects.

It assumes T / 64 samples a latent column (4,134.375 at T = 264,600; the codec's frame is 4,096), so its audio
lands 1,804 samples (40.9 ms) late at r = .25, its history slips 614 samples a cycle, 652 sent samples lie in
the STFT's taper, and the first `fade` samples carry a ramp that the client applies once more. It exists for
parity with golden vectors and for A/B listening; nothing here is a model to follow.

Several stems are one row with several labels set, and all of them get the same audio, as in the original.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.cycle import Step
from anacrusis.engine.errors import AudioError, BackendError, GeometryError
from anacrusis.engine.noise import NoiseSource
from anacrusis.engine.pipeline import Backend, Binding
from anacrusis.engine.sampler import SamplerTable
from anacrusis.engine.window import Geometry

F32 = NDArray[np.float32]

WINDOW_SAMPLES = 264_600  # T of the original: 6 s at 44.1 kHz


@dataclass(frozen=True, slots=True)
class UpstreamPace:
    """r and w as the original keeps them, with its window T and headroom. Integers as it truncates them."""

    r: float
    w: float
    fade_samples: int = 882
    window_samples: int = WINDOW_SAMPLES

    def validate(self, geometry: Geometry) -> None:
        """Raise GeometryError where the original would write out of its tensors."""
        if not 0.0 < self.r < 1.0:
            raise GeometryError(f"r = {self.r:g}: the original needs 0 < r < 1 (it decodes one column more)")
        if self.w not in (-1.0, 0.0, 1.0):
            raise GeometryError(f"w = {self.w:g}: the original knows -1, 0 and 1")
        if (self.w + 2) * self.r > 1.0:
            raise GeometryError(f"(w + 2) r = {(self.w + 2) * self.r:g} > 1: the original has no room for that")
        if self.window_samples < geometry.encode_samples:
            raise GeometryError(
                f"window of {self.window_samples} samples gives the original fewer than "
                f"{geometry.window_frames} columns; it needs at least {geometry.encode_samples}"
            )
        if not 0 <= self.fade_samples <= self.kept_samples(geometry) - self.step_samples:
            raise GeometryError(f"fade of {self.fade_samples} samples is longer than what the original decodes")

    @property
    def step_samples(self) -> int:
        return int(self.window_samples * self.r)

    @property
    def lead_samples(self) -> int:
        return int(self.w * self.r * self.window_samples)

    @property
    def write_index(self) -> int:
        return int(self.window_samples * (1 - (self.w + 2) * self.r))

    def columns(self, geometry: Geometry) -> int:
        return int(geometry.window_frames * self.r)

    def heard_columns(self, geometry: Geometry) -> int:
        return int(geometry.window_frames * (1 - (self.w + 1) * self.r))

    def kept_samples(self, geometry: Geometry) -> int:
        """Length it believes a decode of columns + 1 has."""
        return int((self.columns(geometry) + 1) * self.window_samples / geometry.window_frames)

    def late_samples(self, geometry: Geometry) -> int:
        """How much later than its model time a step plays."""
        columns = geometry.window_frames - self.columns(geometry) - 1
        model_end = columns * geometry.frame_samples + self.kept_samples(geometry)
        return self.window_samples - model_end


class UpstreamCycle:
    """The original's cycle over our pipeline. Same interface as `Cycle` where the original has one."""

    def __init__(
        self,
        backend: Backend,
        stems: Sequence[str],
        pace: UpstreamPace,
        table: SamplerTable,
        noise: NoiseSource,
    ) -> None:
        self._backend, self._table, self._noise = backend, table, noise
        self.manifest = backend.bundle.manifest
        self._geometry = self.manifest.geometry
        if self.manifest.context_channels is not None:
            raise BackendError(
                f"{self.manifest.name} encodes what it hears otherwise than what it writes, the original cannot; "
                "play it without --compat upstream"
            )
        self.set_pace(pace)
        self._bind(tuple(stems))
        self.reset()

    def set_pace(self, pace: UpstreamPace) -> None:
        """Buffers stay as they are, as in the original."""
        pace.validate(self._geometry)
        self.pace = pace

    def set_stems(self, stems: Sequence[str]) -> None:
        """Buffers stay as they are, as in the original."""
        self._bind(tuple(stems))

    def reset(self) -> None:
        """Context to zeros, target latents to those of silence, draw counter to zero."""
        self._now, self._cycle = 0, 0
        self.context_audio = np.zeros(self.pace.window_samples, np.float32)
        inputs = self._pipeline.inputs
        inputs.audio[...] = 0.0
        inputs.heard[...] = 1.0
        self.generated_latent = self._pipeline.encode()[0].copy()  # [C, columns]

    @property
    def now_samples(self) -> int:
        return self._now

    @property
    def nfe(self) -> int:
        return self._table.nfe

    def close(self) -> None:
        """Nothing to stop."""

    def _bind(self, stems: tuple[str, ...]) -> None:
        indices = [self.manifest.stem_index(stem) for stem in stems]
        labels = np.zeros((1, len(self.manifest.stems)), np.float32)
        labels[0, indices] = 1.0
        self._pipeline = self._backend.bind(Binding(labels, self._table, self._geometry.window_frames))
        self._stem, self.stems = indices[0], stems
        shape = (self._table.draws, 1, *self._pipeline.inputs.source.shape[1:])
        self._draws = np.zeros(shape, np.float32)

    def skip(self, samples: int) -> None:
        """The original does not notice a lost step: nothing moves."""

    def hear(self, context: F32) -> None:
        """Let a step pass heard but unanswered: written to its slot, and everything moves on.

        The original overwrites the slot and does not move; that loses a step and displaces the rest.
        """
        self._write(context)
        _shift_left(self.context_audio, self.pace.step_samples)
        _shift_left(self.generated_latent, self.pace.columns(self._geometry))
        self._now += self.pace.step_samples

    def again(self) -> Step:
        """Predict with whatever is in the buffers, shift included, as the original does on `/predict`."""
        return self.step(np.zeros(0, np.float32))

    def recent(self) -> dict[str, F32]:
        """Copies: context_audio [T], generated_latent [C, columns]."""
        return {"context_audio": self.context_audio.copy(), "generated_latent": self.generated_latent.copy()}

    def _write(self, context: F32) -> None:
        pace = self.pace
        context = np.asarray(context, np.float32)
        n = pace.step_samples
        if context.ndim != 1 or context.shape[0] > n or not np.isfinite(context).all():
            raise AudioError(f"context must be at most {n} finite mono samples, not {list(context.shape)}")
        self.context_audio[pace.write_index : pace.write_index + context.shape[0]] = context

    def step(self, context: F32) -> Step:
        """context [step_samples] float32 -> the audio the original would send, at the place it claims."""
        begin = time.perf_counter()
        pace, geometry, inputs = self.pace, self._geometry, self._pipeline.inputs
        n, columns = pace.step_samples, pace.columns(geometry)
        self._write(context)

        self._noise.latents(self._stem, self._cycle, self._draws[:, 0])
        inputs.audio[0] = self.context_audio[: geometry.encode_samples]
        self._split(inputs.heard, pace.heard_columns(geometry))
        self._split(inputs.keep, geometry.window_frames - columns)
        inputs.source[0] = self.generated_latent
        self._table.mix_noise(self._draws, inputs.keep, inputs.noise)
        decoded = columns + 1
        first = geometry.window_frames - decoded
        if inputs.decoder_noise_shape:
            at = self._cycle * geometry.window_frames + first
            self._noise.frames(self._stem, at, inputs.decoder_noise_view(decoded)[0])
        outputs = self._pipeline.cycle(generate=True, decode_first=first, decode_frames=decoded)

        samples = outputs.latents[0]
        self.context_latent = None if outputs.context is None else outputs.context[0].copy()
        self.samples = samples.copy()
        self.generated_latent[:, geometry.window_frames - columns :] = samples[:, -columns:] if columns else 0.0
        _shift_left(self.context_audio, n)
        _shift_left(self.generated_latent, columns)

        kept = outputs.audio[0][: pace.kept_samples(geometry)][-(n + pace.fade_samples) :].copy()
        ramp = np.linspace(0.0, 1.0, pace.fade_samples)
        kept[: pace.fade_samples] *= ramp  # the product is taken in double, as in the original
        self._cycle += 1
        self._now += n
        times = outputs.times
        times.host_ms = (time.perf_counter() - begin) * 1e3 - times.total_ms
        rows = np.repeat(kept[None], len(self.stems), axis=0)
        return Step(
            audio=rows[:, pace.fade_samples :],
            headroom=rows[:, : pace.fade_samples],
            start_samples=self._now + pace.lead_samples,
            now_samples=self._now,
            stems=self.stems,
            nfe=self._table.nfe,
            generated_frames=columns,
            decoded_frames=decoded,
            masked_frames=geometry.window_frames - pace.heard_columns(geometry),
            times=times,
            latents=samples[None].copy(),
        )

    @staticmethod
    def _split(mask: F32, ones: int) -> None:
        mask[..., :ones] = 1.0
        mask[..., ones:] = 0.0


def _shift_left(array: F32, n: int) -> None:
    """Move the last axis left by n, zeros in from the right."""
    if n:
        array[..., :-n] = array[..., n:]
        array[..., -n:] = 0.0
