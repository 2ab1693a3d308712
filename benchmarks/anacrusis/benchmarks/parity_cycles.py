# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity of whole server cycles: bundles opened by the engine with compat="upstream", the recorded noise fed in.

Cases are read from the arrays' names (`{case}/cycleN/...`), what varies (r, w, stems, fade, packet size) from the
arrays. What the networks were given is recorded around the backend, not computed again here. Each file is played
as shipped, and once more with the golden context latents handed in, which isolates everything behind the encoder.

What misses its limit as shipped because its context is ill-conditioned (see `parity_codec.py`) is held to a multiple
of how far the same case moves when its transform is rounded to float32.

Not covered: the wire. What the engine does not know (packets, address, batch id) is derived from what it returned
as the protocol says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from anacrusis.benchmarks.parity_codec import encode_behind_fft
from anacrusis.benchmarks.parity_compare import DRAWS, Recorder, Tolerance, widened
from anacrusis.benchmarks.parity_golden import F32, Array, Golden, GoldenArrays, ParityError
from anacrusis.benchmarks.parity_recording import GoldenNoise, RecordingBackend, sha16
from anacrusis.benchmarks.parity_runners import KIND_OF, Runner, TorchRunner, Workbench
from anacrusis.benchmarks.parity_sampling import IDLE_DRAWS
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.upstream import UpstreamCycle, UpstreamPace

SERVERS = {tag: f"server_{tag}.npz" for tag in KIND_OF}
# Array name -> (quantity, ours).
Played = dict[str, tuple[str, Array]]
Encode = Callable[[str, F32], F32]


def check_cycles(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """Every cycle of every case of both servers, as shipped and with the golden context latents."""
    for tag, file in SERVERS.items():
        player = _Player(golden.arrays(file), tag, bench.threads)
        _check_shipped(player, bench, runner, recorder)
        _check_handed(player, runner, recorder)


def _check_shipped(player: _Player, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    for name, (quantity, got) in player.play(runner).items():
        if quantity.startswith("cycle"):
            recorder.conditioned(quantity, player.arrays, name, got, partial(_rounding, player, name, bench))
        else:
            recorder.check(quantity, player.arrays, name, got)


def _check_handed(player: _Player, runner: Runner, recorder: Recorder) -> None:
    arrays = player.arrays

    def encode(name: str, _: F32) -> F32:
        latent: F32 = arrays[name][0, 0]
        return latent

    for name, (quantity, got) in player.play(runner, encode).items():
        if quantity.startswith("cycle") and not name.endswith("context_latent_masked"):
            recorder.check(quantity.replace("cycle ", "golden context, "), arrays, name, got)


def _rounding(player: _Player, name: str, bench: Workbench) -> Tolerance:
    """How far an array's quantity moves with the transform's rounding, at worst in its case: one cycle is a lottery."""
    case, leaf = player.case_of(name), name.rsplit("/", 1)[1]
    if (player.tag, case) not in bench.memo:
        bench.report(f"play {player.arrays.name} {case} with an exact and {len(DRAWS)} rounded transforms")
        bench.memo[player.tag, case] = [
            player.play(TorchRunner(bench), _behind(encode_behind_fft(bench, draw)), only=case)
            for draw in (None, *DRAWS)
        ]
    exact, *rounded = bench.memo[player.tag, case]
    like = [other for other in exact if other.rsplit("/", 1)[1] == leaf]
    return widened((exact[n][1], played[n][1]) for n in like for played in rounded)


def _behind(encode: Callable[[F32], F32]) -> Encode:
    return lambda _, audio: encode(audio)


class _Player:
    """Plays one file's cases through the engine, in the order in which the server ran them."""

    def __init__(self, arrays: GoldenArrays, tag: str, threads: int) -> None:
        self.arrays, self.tag, self._threads = arrays, tag, threads
        self._cases = _cases(arrays)

    def case_of(self, name: str) -> str:
        return next(case for case, _ in self._cases if name.startswith(f"{case}/"))

    def play(self, runner: Runner, encode: Encode | None = None, only: str | None = None) -> Played:
        """What came out, by the name of the golden array that says what should have. only: this case.

        encode: stands in for the encoder; (name of the golden latent, audio) -> latent [C, frames], unmasked.
        """
        bundle = runner.bundle(self.tag)
        backend = open_backend(bundle, runner.name, self._threads)
        if encode is not None:
            runner.hand_on(backend)
        recording, noise = RecordingBackend(backend), GoldenNoise()
        cases = [(case, cycles) for case, cycles in self._cases if only in (None, case)]
        first = cases[0][1][0]
        pace = self._pace(first)
        recording.hand_in(encode, f"{cases[0][0]}/generated_latent_initial")
        engine = Engine.open(
            bundle,
            backend=recording,
            stems=self._stems(first, bundle),
            r=pace.r,
            w=pace.w,
            fade_samples=pace.fade_samples,
            compat="upstream",
            noise=noise,
        )
        cycle = engine.cycle
        assert isinstance(cycle, UpstreamCycle)
        noise.cycle = cycle
        out: Played = {}
        batch = self.arrays.number(f"{first}/batch_id")
        for case, cycles in cases:
            if out:  # a new engine has just been reset
                recording.hand_in(encode, f"{case}/generated_latent_initial")
                cycle.reset()
            quantity = "latent" if encode is None else "exact"
            out[f"{case}/generated_latent_initial"] = quantity, cycle.generated_latent[None, None].copy()
            for where in cycles:
                recording.hand_in(encode, f"{where}/context_latent_masked")
                results = self._step(where, case, cycle, noise, recording)
                out |= {f"{where}/{name}": result for name, result in results.items()}
                out[f"{where}/batch_id"] = "exact", np.asarray(batch)  # the client counts, through all cases
                batch += 1
            final = np.abs(cycle.context_audio.astype(np.float64)).sum()
            out[f"{case}/context_audio_final_abs_sum"] = "abs sum", np.asarray(final)
        engine.close()
        return out

    def _pace(self, where: str) -> UpstreamPace:
        # The headroom is what is sent beyond the step.
        fade = self.arrays[f"{where}/sent_audio"].shape[0] - self.arrays[f"{where}/context_chunk_i16"].shape[0]
        return UpstreamPace(float(self.arrays[f"{where}/r"]), float(self.arrays[f"{where}/w"]), max(fade, 0))

    def _stems(self, where: str, bundle: Bundle) -> tuple[str, ...]:
        return tuple(bundle.manifest.stems[int(i)] for i in self.arrays[f"{where}/stems"])

    def _step(
        self, where: str, case: str, cycle: UpstreamCycle, noise: GoldenNoise, recording: RecordingBackend
    ) -> Mapping[str, tuple[str, Array]]:
        arrays, stems = self.arrays, self._stems(where, recording.bundle)
        cycle.set_pace(self._pace(where))
        if stems != cycle.stems:
            cycle.set_stems(stems)
        seeds = [int(seed) for seed in arrays[f"{where}/latent_noise_seeds"]]
        idle, draws = IDLE_DRAWS[self.tag], recording.bundle.manifest.sampler.table().draws
        shape = tuple(int(n) for n in arrays[f"{where}/decoder_noise_shape"])
        noise.set(seeds[idle:][:draws], arrays.number(f"{where}/decoder_noise_seed"), shape)
        step = cycle.step((arrays[f"{where}/context_chunk_i16"] / 32768.0).astype(np.float32))

        heard, sent = noise.context_audio, np.concatenate([step.headroom[0], step.audio[0]])
        sounding = np.flatnonzero(heard)
        assert cycle.context_latent is not None
        results: dict[str, tuple[str, Any]] = {
            "context_audio_abs_sum": ("abs sum", np.abs(heard.astype(np.float64)).sum()),
            "context_audio_nonzero_range": ("exact", [sounding[0], sounding[-1] + 1] if sounding.size else [0, 0]),
            "context_latent_masked": ("cycle latent", cycle.context_latent[None, None].copy()),
            "samples": ("cycle latent", cycle.samples[None, None].copy()),
            "generated_latent_after_shift": ("cycle latent", cycle.generated_latent[None, None].copy()),
            "class_labels": ("exact", recording.labels),
            # How many draws there are is what the sampler asks for; which they are is an input.
            "latent_noise_seeds": ("exact", seeds if len(seeds) == idle + draws else np.zeros(idle + draws)),
            "decode_columns": ("exact", step.decoded_frames),
            "decoded_length": ("exact", recording.decoded_samples),
            "decoder_noise_shape": ("exact", (1, *recording.decoder_noise.shape)),
            "decoder_noise_sha16": ("exact", sha16(recording.decoder_noise)),
            "sent_audio": ("cycle audio", sent),
            "n_packets": ("exact", -(-len(sent) // arrays.number(f"{case}/package_size"))),
            "address": ("exact", _addresses(step.stems, arrays[f"{where}/address"])),
        }
        return {name: (quantity, np.asarray(got)) for name, (quantity, got) in results.items()}


def _cases(arrays: GoldenArrays) -> list[tuple[str, list[str]]]:
    """(case, its cycles in order), in the order of their batch ids."""
    found: dict[str, dict[int, str]] = {}
    for name in arrays:
        if place := re.fullmatch(r"(.+)/cycle(\d+)/batch_id", name):
            found.setdefault(place[1], {})[int(place[2])] = name.removesuffix("/batch_id")
    if not found:
        raise ParityError(f"{arrays.name} has no {{case}}/cycleN arrays: not a golden set of this layout")
    cases = [(case, [cycles[index] for index in sorted(cycles)]) for case, cycles in found.items()]
    return sorted(cases, key=lambda case: arrays.number(f"{case[1][0]}/batch_id"))


def _addresses(stems: tuple[str, ...], like: Array) -> Array:
    names = np.array([f"/{stem}" for stem in stems])
    return names.reshape(like.shape) if names.size == like.size else names
