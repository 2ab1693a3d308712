# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One cycle: context heard up to `now` in, the next step of every stem out. Owns all state of a session.

The same for every backend. Several stems are one batch: each has its own latents and noise, the context is
encoded once. After the first cycle nothing is allocated that grows with the length of the song.

Threading: every method from one thread at a time (the engine thread). Noise for the next cycle is drawn on a
thread of its own between two cycles.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import AudioError, BackendError, GeometryError
from anacrusis.engine.history import NoiseAhead, Ring
from anacrusis.engine.noise import NoiseSource
from anacrusis.engine.pipeline import Backend, StageTimes
from anacrusis.engine.prepared import Prepared, let_go, prepare
from anacrusis.engine.sampler import SamplerTable
from anacrusis.engine.window import CyclePlan, Held, Pace, plan_cycle

F32 = NDArray[np.float32]

# Latent frames kept, in windows: a lead may shrink by nearly two windows and still find its history.
LATENT_WINDOWS = 3
# A loudspeaker's friend: music is within 1; what is four times as loud is a network gone astray.
PEAK_LIMIT = 4.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one call of `step` returns.

    audio [stems, n] float32: samples [start_samples, start_samples + n) of the epoch. headroom [stems, F]: the
    fade_samples before them, for the player's crossfade. nfe: network evaluations run (0: emitted from the
    decode held). latents [stems, C, frames]: a copy only when asked for. concealed: stems whose networks gave
    something not finite or above PEAK_LIMIT, and which are silent in this step instead.
    """

    audio: F32
    headroom: F32
    start_samples: int
    now_samples: int
    stems: tuple[str, ...]
    nfe: int
    generated_frames: int
    decoded_frames: int
    masked_frames: int
    times: StageTimes
    latents: F32 | None = None
    concealed: tuple[str, ...] = ()

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.float32]:
        """The audio, so that a step can be used where an array is wanted."""
        return np.array(self.audio, dtype=dtype, copy=copy)  # type: ignore[call-overload,no-any-return]


class Cycle:
    """The native cycle. Positions are samples of the epoch; `reset` starts a new one."""

    def __init__(
        self,
        backend: Backend,
        stems: Sequence[str],
        pace: Pace,
        table: SamplerTable,
        noise: NoiseSource,
        *,
        contiguous: bool = False,
        keep_latents: bool = False,
    ) -> None:
        self._table, self._noise = table, noise
        self.manifest = backend.bundle.manifest
        self._geometry = self.manifest.geometry
        self._contiguous, self._keep_latents = contiguous, keep_latents
        pace.validate(self._geometry)
        self.pace = pace
        window = self._geometry.window_samples
        self._context = Ring((), 2 * window)
        self._ahead: NoiseAhead | None = None
        self._held: Held | None = None
        self._decoded: F32 | None = None  # the pipeline's newest decode; [0] is sample _decoded_start
        self.stems: tuple[str, ...] = ()
        self._take(prepare(backend, stems, table, pace))
        self.reset()

    # -- settings -------------------------------------------------------------------------------------------

    def set_pace(self, pace: Pace) -> None:
        """Take effect with the next step. Raises GeometryError and changes nothing if the window cannot hold it."""
        pace.validate(self._geometry)
        self.pace = pace

    def set_stems(self, stems: Sequence[str], prepared: Prepared | None = None) -> None:
        """Write other stems from the next step on. Stems that stay keep their history; new ones start silent.

        prepared: for exactly these stems, on any backend; without it they are bound here, which takes a cycle.
        Raises what binding raises, BackendError for what was prepared for something else; nothing has changed then.
        """
        before = {stem: row for row, stem in enumerate(self.stems)}
        old = self.prepared.pipeline if prepared is None else None
        if prepared is None:
            prepared = prepare(self.prepared.backend, stems, self._table, self.pace)
        self._check(prepared, tuple(stems))
        self._take(prepared)
        self._decoded = None  # a view on the old pipeline's memory
        if old is not None:
            let_go(old)
        latents, emitted = self._latents, self._emitted
        self._start_history()
        if self._held is None:
            return
        self._fill_silence(self._held.generated // self._geometry.frame_samples)
        for row, stem in enumerate(self.stems):
            if stem in before:
                self._latents.copy_row(row, latents, before[stem])
                self._emitted.copy_row(row, emitted, before[stem])
        # What the decode holds is of the old stems: make the next step decode.
        self._held = replace(self._held, decode_start=self._held.decode_end)

    def adopt(self, prepared: Prepared) -> Prepared:
        """Play through another rung from the next step on; returns what was played through before, still whole.

        Everything remembered is kept: history, noise counter, position, and the decode held. Takes microseconds.
        Raises BackendError, and changes nothing, for what was prepared for other stems, another sampler or another
        model, or cannot decode the pace of now.
        """
        self._check(prepared, self.stems)
        before = self.prepared
        if self._decoded is not None:  # a view on memory that goes with the old pipeline
            self._decoded = self._decoded.copy()
        self._take(prepared)
        return before

    def reset(self) -> None:
        """Start a new epoch: silence behind, position 0, noise counter 0."""
        self._now = 0
        self._cycle = 0
        self._held = None
        self._decoded = None
        self._decoded_start = 0
        self._context.clear()
        self._start_history()
        first = plan_cycle(self._geometry, self.pace, self.pace.step_samples, None)
        if self._ahead is not None:
            frame = self._geometry.frame_samples
            self._ahead.prepare(0, first.decode_start // frame, first.decoded_frames(self._geometry))

    @property
    def now_samples(self) -> int:
        """Samples heard or skipped since the epoch began."""
        return self._now

    @property
    def nfe(self) -> int:
        return self._table.nfe

    def close(self) -> None:
        """Stop the noise thread."""
        if self._ahead is not None:
            self._ahead.close()

    # -- time -----------------------------------------------------------------------------------------------

    def skip(self, samples: int) -> None:
        """Let time pass unheard (a lost step): the context has silence there; nothing is written."""
        if samples < 0:
            raise GeometryError(f"cannot skip {samples} samples; time does not run backwards")
        self._context.fill_zeros(max(self._now, self._now + samples - self._context.capacity), samples)
        self._now += samples

    def hear(self, context: F32) -> None:
        """Let time pass heard but unanswered (a dropped step): context [n] is remembered, nothing is written.

        What is owed for that time is generated with the next step. Raises as `step` does.
        """
        context = self._checked(context)
        self._context.write(self._now, context)
        self._now += context.shape[0]

    def again(self) -> Step:
        """Write the step that is owed for `now` once more, from fresh noise. Time does not move."""
        return self._answer(np.zeros(0, np.float32))

    def recent(self) -> dict[str, F32]:
        """Copies of the last window: context_audio [n], generated_audio [stems, n], generated_latent [stems, C, f]."""
        geometry = self._geometry
        window, frames = geometry.window_samples, geometry.window_frames
        ends = (self._now, self._held.emit_end, self._held.generated) if self._held is not None else (self._now, 0, 0)
        context = np.zeros(window, np.float32)
        generated = np.zeros((len(self.stems), window), np.float32)
        latents = np.zeros((len(self.stems), self.manifest.latent_channels, frames), np.float32)
        self._context.read(ends[0] - window, context)
        self._emitted.read(ends[1] - window, generated)
        self._latents.read(ends[2] // geometry.frame_samples - frames, latents)
        return {"context_audio": context, "generated_audio": generated, "generated_latent": latents}

    def step(self, context: F32) -> Step:
        """Hear the newest samples, context [n] float32, and write what `pace` owes for the new `now`.

        n is usually pace.step_samples; another length moves time by that much. Raises AudioError for a
        context that is empty, not one-dimensional, longer than the window or not finite; the state is then
        unchanged.
        """
        return self._answer(self._checked(context))

    def _answer(self, context: F32) -> Step:
        begin = time.perf_counter()
        now = self._now + context.shape[0]
        plan = plan_cycle(self._geometry, self.pace, now, self._held, contiguous=self._contiguous)
        self._context.write(self._now, context)
        times = StageTimes()
        nfe, good = 0, self._all_good
        if plan.decode:
            times, nfe, good = self._run(plan)
        audio, headroom = self._emit(plan, good)
        self._now = now
        if good.any():
            self._held = plan.held_after()
        elif self._held is not None:
            # Nothing new was kept: the next step decodes, and generates what this one owed.
            self._held = replace(self._held, decode_start=self._held.decode_end, emit_end=plan.emit_end)
        else:
            self._needs_silence = True
        latents = self._window_latents(plan) if self._keep_latents else None
        networks_ms = times.total_ms
        times.host_ms = (time.perf_counter() - begin) * 1e3 - networks_ms
        return Step(
            audio=audio,
            headroom=headroom,
            start_samples=plan.emit_start,
            now_samples=now,
            stems=self.stems,
            nfe=nfe,
            generated_frames=plan.generated_frames(self._geometry),
            decoded_frames=plan.decoded_frames(self._geometry),
            masked_frames=plan.masked_frames,
            times=times,
            latents=latents,
            concealed=tuple(stem for stem, ok in zip(self.stems, good, strict=True) if not ok),
        )

    # -- inside ---------------------------------------------------------------------------------------------

    def _check(self, prepared: Prepared, stems: tuple[str, ...]) -> None:
        """Raises BackendError where this cycle cannot play through it."""
        name = prepared.backend.name
        if prepared.stems != stems:
            raise BackendError(f"{name} was prepared for {', '.join(prepared.stems)}; prepare {', '.join(stems)}")
        if prepared.table is not self._table or prepared.backend.bundle.manifest != self.manifest:
            raise BackendError(f"{name} was prepared for another sampler or model; prepare it with this cycle's")
        if not prepared.decodes(self.pace):
            raise BackendError(
                f"{name} was not prepared for steps of {self.pace.step_samples} samples; prepare it again"
            )

    def _take(self, prepared: Prepared) -> None:
        """Play through this from now on. Whatever raises in here, the cycle is as it was."""
        if prepared.stems != self.stems:
            manifest = self.manifest
            ahead = NoiseAhead(
                self._noise,
                [manifest.stem_index(stem) for stem in prepared.stems],
                self._table,
                (manifest.latent_channels, self._geometry.window_frames),
                manifest.decoder_noise_shape,
                frames=self._geometry.window_frames,
            )
            self.close()
            self._ahead = ahead
            self.stems, self._all_good = prepared.stems, np.ones(len(prepared.stems), np.bool_)
        self.prepared, self._pipeline, self._silence = prepared, prepared.pipeline, prepared.silence

    def _start_history(self) -> None:
        geometry, rows = self._geometry, len(self.stems)
        frames = geometry.window_frames
        self._latents = Ring((rows, self.manifest.latent_channels), LATENT_WINDOWS * frames)
        self._emitted = Ring((rows,), geometry.window_samples)
        self._needs_silence = True

    def _fill_silence(self, origin_frame: int) -> None:
        """History begins as the latents of silence: a window of them ends at the first generated frame."""
        for part in range(LATENT_WINDOWS):
            start = origin_frame - (part + 1) * self._silence.shape[-1]
            rows = np.broadcast_to(self._silence, (len(self.stems), *self._silence.shape))
            self._latents.write(start, rows)
        self._needs_silence = False

    def _checked(self, context: F32) -> F32:
        context = np.asarray(context, np.float32)
        if context.ndim != 1 or not 0 < context.shape[0] <= self._geometry.window_samples:
            raise AudioError(
                f"context must be [n] mono samples with 0 < n <= {self._geometry.window_samples}, "
                f"not of shape {list(context.shape)}"
            )
        if not np.isfinite(context).all():
            raise AudioError("context has samples that are not finite; check the input device or file")
        return context

    def _run(self, plan: CyclePlan) -> tuple[StageTimes, int, NDArray[np.bool_]]:
        """(times, NFE, [stems] which of them gave something that may be played)."""
        geometry, inputs = self._geometry, self._pipeline.inputs
        frame, frames = geometry.frame_samples, geometry.window_frames
        assert self._ahead is not None
        if self._needs_silence:
            self._fill_silence(plan.generate_start // frame)
        new = plan.generated_frames(geometry)
        self._latents.read(plan.window_start // frame, inputs.source)
        if new:
            self._fill_context(plan)
            inputs.heard[..., : frames - plan.masked_frames] = 1.0
            inputs.heard[..., frames - plan.masked_frames :] = 0.0
            inputs.keep[..., : frames - new] = 1.0
            inputs.keep[..., frames - new :] = 0.0
            self._table.mix_noise(self._ahead.latents(self._cycle), inputs.keep, inputs.noise)
        # A rung may only know larger decodes; what it decodes more lies before.
        decoded = self._pipeline.decode_frames(plan.decoded_frames(geometry))
        first = plan.generate_end // frame - decoded
        if inputs.decoder_noise_shape:
            self._ahead.frames(first, inputs.decoder_noise_view(decoded))
        # The next cycle's noise is drawn on its own thread while the networks run.
        ahead = self.pace.max_generated_frames(geometry)
        self._ahead.prepare(self._cycle + bool(new), plan.generate_end // frame, ahead)
        outputs = self._pipeline.cycle(
            generate=bool(new), decode_first=first - plan.window_start // frame, decode_frames=decoded
        )
        # max and min carry NaN and infinity along, and need no temporary array.
        low, high = outputs.audio.min(axis=1), outputs.audio.max(axis=1)
        good = (np.maximum(-low, high) <= PEAK_LIMIT) & np.isfinite(outputs.latents).all(axis=(1, 2))
        if new:
            if good.any():
                fresh = outputs.latents[:, :, frames - new :]
                if not good.all():  # the others go on; what was unusable becomes the silence that is heard
                    fresh = np.where(good[:, None, None], fresh, self._silence[None, :, frames - new :])
                self._latents.write(plan.generate_start // frame, fresh)
            self._cycle += 1
        self._decoded, self._decoded_start = outputs.audio, first * frame
        return outputs.times, self._table.nfe if new else 0, good

    def _fill_context(self, plan: CyclePlan) -> None:
        """The window's audio: heard up to `now`, zeros in the unknown future and the STFT tail."""
        audio = self._pipeline.inputs.audio[0]
        heard = plan.now - plan.window_start
        self._context.read(plan.window_start, audio[:heard])
        audio[heard:] = 0.0

    def _emit(self, plan: CyclePlan, good: NDArray[np.bool_]) -> tuple[F32, F32]:
        """(audio, headroom) of the plan. Headroom older than the decode's margin was emitted already.

        A stem that is not good is silent, headroom included: the player's crossfade into it is the fade-out.
        """
        assert self._decoded is not None
        rows, fade = len(self.stems), plan.emit_start - plan.fade_start
        length = plan.emit_end - plan.emit_start
        out = np.zeros((rows, fade + length), np.float32)
        start = max(plan.fade_start, plan.valid_start)
        if start > plan.fade_start:
            self._emitted.read(plan.fade_start, out[:, : start - plan.fade_start])
        offset = start - self._decoded_start
        out[:, start - plan.fade_start :] = self._decoded[:, offset : offset + plan.emit_end - start]
        silent = min(max(plan.origin - plan.fade_start, 0), fade)
        out[:, :silent] = 0.0
        if not good.all():
            out[~good] = 0.0
        audio, headroom = out[:, fade:], out[:, :fade]
        self._emitted.write(plan.emit_start, audio)
        return audio, headroom

    def _window_latents(self, plan: CyclePlan) -> F32:
        shape = self._pipeline.inputs.source.shape
        out = np.zeros(shape, np.float32)
        self._latents.read(plan.window_start // self._geometry.frame_samples, out)
        return out
