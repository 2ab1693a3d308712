# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity of whole server cycles: bundles opened by the engine with compat="upstream", the recorded noise fed in.

Cases are read from the arrays' names (`{case}/cycleN/...`), what varies (r, w, stems, fade, packet size) from the
arrays. What the networks were given is recorded around the backend, not computed again here. Each file is played
as shipped, and once more with the golden context latents handed in, which isolates everything behind the encoder.

Contexts that are nearly silent are ill-conditioned: the rounding of one particular float32 FFT, 120 dB below the
signal, moves the golden latents further than the limits allow, and an exact transform misses them too. Where an
array as shipped misses its limit, it is held to WIDENED times the distance at which the same case lands with an
exact (float64) transform, and listed apart. That hides no fault: the transform and the encoder are held to their
own limits in stage `codec`, the rest by the second playing.

Not covered: the wire. What the engine does not know (packets, address, batch id) is derived from what it returned
as the protocol says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from anacrusis.benchmarks.parity_golden import F32, Array, Golden, GoldenArrays, ParityError, Recorder, Tolerance
from anacrusis.benchmarks.parity_recording import GoldenNoise, RecordingBackend, sha16
from anacrusis.benchmarks.parity_runners import KIND_OF, Runner, TorchRunner, Workbench
from anacrusis.benchmarks.parity_sampling import IDLE_DRAWS
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.upstream import UpstreamCycle, UpstreamPace

SERVERS = {tag: f"server_{tag}.npz" for tag in KIND_OF}
# Our transform and the reference's FFT round independently, each about as far from exact as the other.
WIDENED = 3.0

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
    arrays = player.arrays
    for name, (quantity, got) in player.play(runner).items():
        want, wider = arrays[name], None
        if quantity.startswith("cycle") and not recorder.passes(quantity, got, want):
            quantity, wider = "ill-conditioned", _widened(name, _exact(player, bench), arrays)
        recorder.record(quantity, f"{arrays.name}:{name}", got, want, wider)


def _check_handed(player: _Player, runner: Runner, recorder: Recorder) -> None:
    arrays = player.arrays

    def encode(name: str, _: F32) -> F32:
        latent: F32 = arrays[name][0, 0]
        return latent

    for name, (quantity, got) in player.play(runner, encode).items():
        if quantity.startswith("cycle") and not name.endswith("context_latent_masked"):
            recorder.check(quantity.replace("cycle ", "golden context, "), arrays, name, got)


def _widened(name: str, exact: Played, arrays: GoldenArrays) -> Tolerance:
    """The worst distance of an exact transform over the case, for rounding errors of one cycle are a lottery."""
    case, _, leaf = name.split("/", 1)[0], *name.rsplit("/", 1)
    like = [n for n in exact if n.startswith(f"{case}/") and n.endswith(f"/{leaf}")]
    errors = [np.abs(exact[n][1].astype(np.float64) - arrays[n]) for n in like]
    rms = max(float(np.sqrt(np.mean(error**2))) for error in errors)
    return Tolerance(WIDENED * max(float(error.max()) for error in errors), rms=WIDENED * rms)


def _exact(player: _Player, bench: Workbench) -> Played:
    """The same cycles on torch with the encoder's transform in float64: what no rounding of ours can explain."""
    import torch

    from anacrusis.engine.networks.stft import Stft

    stft, encoder = Stft(), bench.networks(player.tag).codec.encoder
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(stft.n_fft) / stft.n_fft)

    def encode(_: str, audio: F32) -> F32:
        frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), stft.n_fft)[:: stft.hop_samples]
        bins = np.fft.rfft(frames * window)[:, :-1].T
        size = np.abs(bins)
        y = stft.scale * bins * np.divide(size**stft.power, size, out=np.zeros_like(size), where=size > 0)
        with torch.inference_mode():
            latent = encoder(torch.from_numpy(np.stack([y.real, y.imag])[None].astype(np.float32)))
        array: F32 = latent[0].numpy()
        return array

    if player.tag not in bench.exact_cycles:
        bench.report(f"play {player.tag} with an exact transform")
        bench.exact_cycles[player.tag] = player.play(TorchRunner(bench), encode)
    played: Played = bench.exact_cycles[player.tag]
    return played


class _Player:
    """Plays one file's cases through the engine, in the order in which the server ran them."""

    def __init__(self, arrays: GoldenArrays, tag: str, threads: int) -> None:
        self.arrays, self.tag, self._threads = arrays, tag, threads
        self._cases = _cases(arrays)

    def play(self, runner: Runner, encode: Encode | None = None) -> Played:
        """What came out, by the name of the golden array that says what should have.

        encode: stands in for the encoder; (name of the golden latent, audio) -> latent [C, frames], unmasked.
        """
        bundle = runner.bundle(self.tag)
        backend = open_backend(bundle, runner.name, self._threads)
        if encode is not None:
            runner.hand_on(backend)
        recording, noise = RecordingBackend(backend), GoldenNoise()
        first = self._cases[0][1][0]
        pace = self._pace(first)
        recording.hand_in(encode, f"{self._cases[0][0]}/generated_latent_initial")
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
        for case, cycles in self._cases:
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
