# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity of whole server cycles: bundles opened by the engine with compat="upstream", the recorded noise fed in.

Cases are read from the arrays' names (`{case}/cycleN/...`), what varies (r, w, stems, fade, packet size) from the
arrays. Everything the engine gave the networks is recorded around the backend, not recomputed here.

Not covered: the wire. What the engine does not know (packets, address, batch id) is derived from what it returned
as the protocol says.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

from anacrusis.benchmarks.parity_golden import F32, Golden, GoldenArrays, ParityError, Recorder, golden_noise
from anacrusis.benchmarks.parity_runners import KIND_OF, Runner, Workbench
from anacrusis.benchmarks.parity_sampling import IDLE_DRAWS
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.cycle import Step
from anacrusis.engine.engine import Engine
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.pipeline import Backend, Binding, CycleInputs, CycleOutputs, Pipeline
from anacrusis.engine.upstream import UpstreamCycle, UpstreamPace

SERVERS = {tag: f"server_{tag}.npz" for tag in KIND_OF}
# A context is near-silent (see TOLERANCES) where less than this part of the window sounds.
NEAR_SILENT = 1 / 8


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
        # The one moment of a cycle at which the context buffer is what will be encoded, and code of ours runs.
        if self.cycle is not None:
            self.context_audio = self.cycle.context_audio.copy()

    def frames(self, stem: int, first_frame: int, out: F32) -> None:
        columns = out.shape[-1]
        for i, frame in enumerate(out):
            frame[...] = self._decoder[0][..., i * columns : (i + 1) * columns]


class RecordingBackend:
    """A backend that remembers what its newest pipeline was bound to and given. See `pipeline.Backend`."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.name, self.bundle = backend, backend.name, backend.bundle
        self.labels: F32 = np.zeros((0, 0), np.float32)
        self.decoder_noise: F32 = np.zeros((0, 0, 0, 0), np.float32)  # [planes, bins, columns]
        self.decoded_samples = 0

    def bind(self, binding: Binding) -> Pipeline:
        self.labels = binding.labels
        return _RecordingPipeline(self, self._backend.bind(binding))


class _RecordingPipeline:
    def __init__(self, owner: RecordingBackend, pipeline: Pipeline) -> None:
        self._owner, self._pipeline = owner, pipeline
        self.inputs: CycleInputs = pipeline.inputs

    def encode(self) -> F32:
        return self._pipeline.encode()

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        noise = self.inputs.decoder_noise_view(decode_frames)[0]
        self._owner.decoder_noise = np.concatenate(list(noise), axis=-1)
        outputs = self._pipeline.cycle(generate=generate, decode_first=decode_first, decode_frames=decode_frames)
        self._owner.decoded_samples = outputs.audio.shape[-1]
        return outputs


def check_cycles(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """Every cycle of every case of both servers."""
    for tag, file in SERVERS.items():
        _Server(golden.arrays(file), tag, runner, recorder, bench.threads).run(runner.bundle(tag))


class _Server:
    """One file's cases through one engine."""

    def __init__(self, arrays: GoldenArrays, tag: str, runner: Runner, recorder: Recorder, threads: int) -> None:
        self._arrays, self._tag, self._recorder = arrays, tag, recorder
        self._backend_name, self._threads = runner.name, threads

    def run(self, bundle: Bundle) -> None:
        cases = self._cases()
        noise, recording = GoldenNoise(), RecordingBackend(open_backend(bundle, self._backend_name, self._threads))
        first = self._pace(cases[0][1][0])
        stems = self._stems(cases[0][1][0], bundle)
        with Engine.open(
            bundle,
            backend=recording,
            stems=stems,
            r=first.r,
            w=first.w,
            fade_samples=first.fade_samples,
            compat="upstream",
            noise=noise,
        ) as engine:
            cycle = engine.cycle
            assert isinstance(cycle, UpstreamCycle)
            noise.cycle = cycle
            batches = iter(range(self._arrays.number(f"{cases[0][1][0]}/batch_id"), 1 << 31))
            for case, cycles in cases:
                cycle.reset()
                self._check("latent", f"{case}/generated_latent_initial", cycle.generated_latent[None, None])
                for where in cycles:
                    self._step(where, case, cycle, noise, recording, next(batches))
                final = np.abs(cycle.context_audio.astype(np.float64)).sum()
                self._check("abs sum", f"{case}/context_audio_final_abs_sum", final)

    def _cases(self) -> list[tuple[str, list[str]]]:
        """(case, its cycles in order), in the order in which the server ran them: the client counts batches."""
        found: dict[str, dict[int, str]] = {}
        for name in self._arrays:
            if place := re.match(r"(.+)/cycle(\d+)/batch_id$", name):
                found.setdefault(place[1], {})[int(place[2])] = name.removesuffix("/batch_id")
        if not found:
            raise ParityError(f"{self._arrays.name} has no {{case}}/cycleN arrays: not a golden set of this layout")
        cases = [(case, [cycles[index] for index in sorted(cycles)]) for case, cycles in found.items()]
        return sorted(cases, key=lambda case: self._arrays.number(f"{case[1][0]}/batch_id"))

    def _pace(self, where: str) -> UpstreamPace:
        # The headroom is what is sent beyond the step.
        fade = self._arrays[f"{where}/sent_audio"].shape[0] - self._arrays[f"{where}/context_chunk_i16"].shape[0]
        return UpstreamPace(float(self._arrays[f"{where}/r"]), float(self._arrays[f"{where}/w"]), max(fade, 0))

    def _stems(self, where: str, bundle: Bundle) -> tuple[str, ...]:
        return tuple(bundle.manifest.stems[int(i)] for i in self._arrays[f"{where}/stems"])

    def _step(
        self, where: str, case: str, cycle: UpstreamCycle, noise: GoldenNoise, recording: RecordingBackend, batch: int
    ) -> None:
        arrays = self._arrays
        stems = self._stems(where, recording.bundle)
        cycle.set_pace(self._pace(where))
        if stems != cycle.stems:
            cycle.set_stems(stems)
        seeds = [int(seed) for seed in arrays[f"{where}/latent_noise_seeds"]]
        draws = recording.bundle.manifest.sampler.table().draws
        self._recorder.record(
            "exact", f"{arrays.name}:{where}/latent_noise_seeds", IDLE_DRAWS[self._tag] + draws, len(seeds)
        )
        shape = tuple(int(n) for n in arrays[f"{where}/decoder_noise_shape"])
        noise.set(seeds[IDLE_DRAWS[self._tag] :][:draws], arrays.number(f"{where}/decoder_noise_seed"), shape)
        chunk = (arrays[f"{where}/context_chunk_i16"] / 32768.0).astype(np.float32)
        step = cycle.step(chunk)

        heard = noise.context_audio
        sounding = np.flatnonzero(heard)
        span = [int(sounding[0]), int(sounding[-1]) + 1] if sounding.size else [0, 0]
        self._check("abs sum", f"{where}/context_audio_abs_sum", np.abs(heard.astype(np.float64)).sum())
        self._check("exact", f"{where}/context_audio_nonzero_range", span)
        assert cycle.context_latent is not None
        quantity = "near-silent context" if span[1] - span[0] < NEAR_SILENT * heard.size else "latent"
        self._check(quantity, f"{where}/context_latent_masked", cycle.context_latent[None, None])
        self._check("cycle latent", f"{where}/samples", cycle.samples[None, None])
        self._check("cycle latent", f"{where}/generated_latent_after_shift", cycle.generated_latent[None, None])
        self._check("exact", f"{where}/class_labels", recording.labels)
        self._check_decode(where, step, recording)
        self._check_wire(where, case, step, batch)

    def _check_decode(self, where: str, step: Step, recording: RecordingBackend) -> None:
        noise = np.ascontiguousarray(recording.decoder_noise, "<f4")
        self._check("exact", f"{where}/decode_columns", step.decoded_frames)
        self._check("exact", f"{where}/decoded_length", recording.decoded_samples)
        self._check("exact", f"{where}/decoder_noise_shape", (1, *noise.shape))
        self._check("exact", f"{where}/decoder_noise_sha16", hashlib.sha256(noise.tobytes()).hexdigest()[:16])

    def _check_wire(self, where: str, case: str, step: Step, batch: int) -> None:
        sent = np.concatenate([step.headroom[0], step.audio[0]])
        self._check("cycle audio", f"{where}/sent_audio", sent)
        packets = -(-len(sent) // self._arrays.number(f"{case}/package_size"))
        self._check("exact", f"{where}/n_packets", packets)
        address = self._arrays[f"{where}/address"]
        self._check("exact", f"{where}/address", np.reshape([f"/{stem}" for stem in step.stems], address.shape))
        self._check("exact", f"{where}/batch_id", batch)

    def _check(self, quantity: str, name: str, got: object) -> None:
        self._recorder.check(quantity, self._arrays, name, np.asarray(got))
