# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How far every rung is from float32: each stage, each row of the sampler, the final latent and the audio.

The oracle is the torch rung in eager float32 where torch knows the networks, else the float32 bundle's own graphs in
ONNX Runtime on the CPU, operation by operation (`Oracle.what` says which). Both sides get the same windows, the same
masks and the same noise, through the pipelines that a live cycle runs: nothing of a backend is opened up, so any rung
of the ladder is measured alike.

A window is one at r = .25, w = 1: half of it heard, silence beyond, sixteen frames to generate, decoded with the
frames that the decoder's taper takes (one for the released kind).

    encode     the context, over the frames that were heard
    denoise i  the estimate D of row i, over the generated frames, from the oracle's state before that row; the
               context is the rung's own, so what `encode` lost is in it
    final      the latent after all rows, over the generated frames, everything the rung's own
    decode     audio from the oracle's final latent: the decoder alone
    audio      audio from the rung's own final latent: what a listener gets

Not covered: emulation of precisions that no rung here computes in (`anacrusis parity --precision fp16` has float16),
several stems, latents kept over many cycles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.calib.precision_state import State, advance, first_state, one_row
from anacrusis.engine.backends.onnxruntime_plain import PlainGraphs
from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.errors import AnacrusisError, BackendError
from anacrusis.engine.ladder import RUNGS, open_backend
from anacrusis.engine.noise import PhiloxNoise
from anacrusis.engine.pipeline import Backend, Binding, CycleInputs, Pipeline
from anacrusis.engine.sampler import SamplerTable
from anacrusis.engine.window import ceil_div

F32 = NDArray[np.float32]
Report = Callable[[str], None]

HEARD_SHARE, GENERATED_SHARE = 0.5, 0.25
# The final latent, by what a rung computes in. float32 rungs differ by rounding alone; float16 as in the other report.
GOAL_DB: Final[Mapping[str, float]] = {"float32": 60.0, "float16": 40.0, "bfloat16": 25.0}


class PrecisionError(AnacrusisError):
    """A report that cannot be made as asked."""


@dataclass(frozen=True, slots=True)
class Error:
    """One stage or row on one window. row, sigma: of "denoise" only. snr_db: inf where equal, -inf where not finite."""

    stage: str
    row: int | None
    sigma: float | None
    window: str
    snr_db: float
    max_abs: float
    nonfinite: int


def snr_db(want: F32, got: F32) -> float:
    """10 log10 of signal over error power. Silence against silence is inf, anything against silence -inf or below 0."""
    if not np.isfinite(got).all():
        return -math.inf
    error = float(np.mean((want.astype(np.float64) - got) ** 2))
    return (
        math.inf if error == 0 else 10 * math.log10(max(float(np.mean(want.astype(np.float64) ** 2)), 1e-300) / error)
    )


def error_of(stage: str, window: str, want: F32, got: F32, row: int | None = None, sigma: float | None = None) -> Error:
    """What `got` lost of `want`."""
    bad = int(np.count_nonzero(~np.isfinite(got)))
    most = math.inf if bad else float(np.abs(want.astype(np.float64) - got).max(initial=0.0))
    return Error(stage, row, sigma, window, snr_db(want, got), most, bad)


@dataclass(frozen=True, slots=True)
class Task:
    """One window as a cycle gets it. audio [encode_samples]: all of it; what lies beyond `heard_frames` is not heard.

    draw: which draws of the seed's noise it gets.
    """

    name: str
    audio: F32
    draw: int


class Bound:
    """A backend bound for whole cycles and, row by row, for single evaluations. One thread."""

    def __init__(self, backend: Backend, table: SamplerTable, label: int = 0) -> None:
        manifest = backend.bundle.manifest
        self.backend, self.table, self.manifest = backend, table, manifest
        geometry = manifest.geometry
        self.generated = round(geometry.window_frames * GENERATED_SHARE)
        self._taper = ceil_div(geometry.decode_taper_samples, geometry.frame_samples)
        self.decoded = self.generated + self._taper
        self._labels = np.eye(len(manifest.stems), dtype=np.float32)[label : label + 1]
        self._whole = backend.bind(Binding(self._labels, table, self.decoded, (self.decoded,)))
        self._rows: dict[int, Pipeline] = {}

    def encode(self, audio: F32, heard_frames: int) -> F32:
        """[E, frames]: the context of a window of which `heard_frames` frames were heard."""
        self._hear(self._whole.inputs, audio, heard_frames)
        out: F32 = self._whole.encode()[0].copy()
        return out

    def cycle(self, task: Task, state: State, decoder_noise: F32) -> tuple[F32, F32]:
        """(final latent [C, frames], audio [samples]) of a whole cycle."""
        self._fill(self._whole.inputs, task, state, state.noise)
        return self._run(self._whole, generate=True, decoder_noise=decoder_noise)

    def decode(self, latent: F32, decoder_noise: F32) -> F32:
        """Audio of a window's last decoded frames. latent [C, frames]."""
        self._whole.inputs.source[0] = latent
        return self._run(self._whole, generate=False, decoder_noise=decoder_noise)[1]

    def estimate(self, index: int, task: Task, state: State, u: F32) -> F32:
        """D [C, frames] of row `index` from the network input `u`, whatever came before it."""
        if index not in self._rows:
            binding = Binding(self._labels, one_row(self.table, index), self.decoded, ())
            self._rows[index] = self.backend.bind(binding)
        pipeline = self._rows[index]
        # The state enters as noise on what is kept, which is the one way in: u = keep * source + noise.
        self._fill(pipeline.inputs, task, state, (u - state.keep * state.source)[None])
        frames = pipeline.decode_frames(1 + self._taper)  # the least; nobody listens
        first = self.manifest.geometry.window_frames - frames
        out: F32 = pipeline.cycle(generate=True, decode_first=first, decode_frames=frames).latents[0].copy()
        return out

    def _run(self, pipeline: Pipeline, *, generate: bool, decoder_noise: F32) -> tuple[F32, F32]:
        frames = pipeline.decode_frames(self.decoded)
        if pipeline.inputs.decoder_noise_shape:
            pipeline.inputs.decoder_noise_view(frames)[0, -self.decoded :] = decoder_noise
        first = self.manifest.geometry.window_frames - frames
        out = pipeline.cycle(generate=generate, decode_first=first, decode_frames=frames)
        samples = self.manifest.geometry.decoded_samples(self.decoded)
        return out.latents[0].copy(), out.audio[0, -samples:].copy()

    def _hear(self, inputs: CycleInputs, audio: F32, heard_frames: int) -> None:
        inputs.heard[...] = 0.0
        inputs.heard[..., :heard_frames] = 1.0
        inputs.audio[...] = 0.0
        samples = inputs.audio.shape[1]
        if heard_frames < self.manifest.geometry.window_frames:
            samples = heard_frames * self.manifest.geometry.frame_samples
        inputs.audio[0, :samples] = audio[:samples]

    def _fill(self, inputs: CycleInputs, task: Task, state: State, noise: F32) -> None:
        self._hear(inputs, task.audio, state.heard_frames)
        inputs.keep[0, 0], inputs.source[0] = state.keep, state.source
        inputs.noise[:, 0] = noise


@dataclass(frozen=True, slots=True)
class Truth:
    """What the oracle makes of a task. inputs, estimates: u before and D after every row, [nfe, C, frames]."""

    task: Task
    state: State
    context: F32
    inputs: F32
    estimates: F32
    final: F32
    audio: F32
    decoder_noise: F32


class Oracle:
    """What every rung is held against. what: which library. Raises BackendError where there is none here."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, seed: int = 0, sampler_steps: int | None = None) -> None:
        self.bundle, self._noise = bundle, PhiloxNoise(seed)
        backend, self.what = open_oracle(bundle, threads)
        self.table = bundle.manifest.sampler.table(sampler_steps)
        self.bound = Bound(backend, self.table)

    def truth(self, task: Task) -> Truth:
        """Some seconds for small networks."""
        manifest, bound = self.bundle.manifest, self.bound
        window = manifest.geometry.window_frames
        heard = round(window * HEARD_SHARE)
        state = first_state(manifest, self.table, self._noise, task.draw, heard, bound.generated)
        state = replace(state, source=self._source(task, state))
        context = bound.encode(task.audio, heard)
        u = b = state.begin()
        inputs, estimates, injected = [], [], iter(state.noise[1:])
        for index, row in enumerate(self.table.rows):
            inputs.append(u)
            estimates.append(bound.estimate(index, task, state, u))
            noise = next(injected) if row.mix is not None else None
            u, b = advance(row, u, b, estimates[-1], state, noise)
        shape = manifest.decoder_noise_shape
        noises = np.zeros((bound.decoded, *shape), np.float32)
        if shape:
            self._noise.frames(0, window * (task.draw + 1) - bound.decoded, noises)
        audio = bound.decode(u, noises)
        return Truth(task, state, context, np.stack(inputs), np.stack(estimates), u, audio, noises)

    def _source(self, task: Task, state: State) -> F32:
        """What is kept: the window's own latent where one codec does both, else what the model writes unasked."""
        if self.bundle.manifest.context_channels is None:
            return self.bound.encode(task.audio, self.bundle.manifest.geometry.window_frames)
        free = replace(state, keep=np.zeros_like(state.keep))
        noise = np.zeros((self.bound.decoded, *self.bundle.manifest.decoder_noise_shape), np.float32)
        return self.bound.cycle(task, free, noise)[0]


def open_oracle(bundle: Bundle, threads: int) -> tuple[Backend, str]:
    """(backend, what it is). Raises BackendError."""
    try:
        return open_backend(bundle, "torch", threads), "torch, eager float32"
    except AnacrusisError as error:
        if bundle.manifest.precision.compute != "float32":
            raise BackendError(f"no float32 oracle for {bundle.manifest.name}: {error}") from None
        return PlainGraphs(bundle, threads=threads), f"ONNX Runtime, float32, nothing optimised ({error})"


def precision_of(backend: Backend) -> str:
    """What a rung's networks compute in: its own option, else the ladder's word, else the bundle's."""
    compute = getattr(getattr(backend, "options", None), "compute", None)
    if compute is not None:
        return str(compute).removeprefix("torch.")
    what = next((rung.what for rung in RUNGS if rung.name == backend.name), "")
    return "float16" if "float16" in what else backend.bundle.manifest.precision.compute


def compare(bound: Bound, truth: Truth) -> list[Error]:
    """Every error of one rung on one window."""
    task, state, name = truth.task, truth.state, truth.task.name
    heard, first = state.heard_frames, bound.manifest.geometry.window_frames - bound.generated
    context = bound.encode(task.audio, heard)
    out = [error_of("encode", name, truth.context[:, :heard], context[:, :heard])]
    for index, row in enumerate(bound.table.rows):
        got = bound.estimate(index, task, state, truth.inputs[index])
        out.append(error_of("denoise", name, truth.estimates[index][:, first:], got[:, first:], index, row.sigma))
    final, audio = bound.cycle(task, state, truth.decoder_noise)
    out.append(error_of("final", name, truth.final[:, first:], final[:, first:]))
    out.append(error_of("decode", name, truth.audio, bound.decode(truth.final, truth.decoder_noise)))
    return [*out, error_of("audio", name, truth.audio, audio)]


def tasks_of(windows: Mapping[str, F32], manifest: Manifest) -> list[Task]:
    """Raises PrecisionError for a window of another length, or none."""
    length = manifest.geometry.encode_samples
    wrong = [name for name, audio in windows.items() if audio.shape != (length,)]
    if wrong or not windows:
        raise PrecisionError(f"windows must be {length} samples each, and at least one; {wrong or 'none'} given")
    return [Task(name, np.asarray(audio, np.float32), draw) for draw, (name, audio) in enumerate(windows.items())]


def rungs_here(names: Sequence[str]) -> list[str]:
    """ "all": every rung whose probe finds its library. Raises PrecisionError for a name that is no rung."""
    known = [rung.name for rung in RUNGS]
    unknown = [name for name in names if name not in (*known, "all")]
    if unknown:
        raise PrecisionError(f"unknown rung {unknown[0]!r}; choose all, {', '.join(known)}")
    return [rung.name for rung in RUNGS if rung.name in names or ("all" in names and rung.probe() is None)]
