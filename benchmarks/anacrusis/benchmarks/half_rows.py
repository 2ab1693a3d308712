# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Float32 stages beside emulated float16 ones, over whole sampler runs: what every stage and row loses.

One window at r = .25, w = 1: half of it heard, silence beyond, sixteen frames to generate, seventeen decoded. Two
kinds of row: fed "float32", what that stage alone loses, given the float32 run's state; fed "float16", what has
come together so far, given what float16 stages made from the audio on. Noise is the engine's, the same for both.

A row's latent is the denoised estimate D, over the generated frames only: the state carries the injected noise and
the kept source, which are exact in both and would flatter. The affine row itself is float32 in both.

Not covered: kept latents that earlier float16 cycles wrote (here both start from the same ones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from anacrusis.benchmarks.half_subjects import Model, Source
from anacrusis.benchmarks.parity_golden import F32
from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage
from anacrusis.engine.noise import PhiloxNoise
from anacrusis.engine.sampler import Row, SamplerTable
from anacrusis.export.emulate import Extremes, HalfEmulation, Shape
from anacrusis.export.graphs import stage_specs
from anacrusis.export.verify import snr_db

Report = Callable[[str], None]
FED = ("float32", "float16")

HEARD_SHARE, GENERATED_SHARE = 0.5, 0.25  # of a window, at r = .25, w = 1
EXTRA_DECODED_FRAMES = 1


@dataclass(frozen=True, slots=True)
class Measure:
    """One stage, or one row of a sampler, on one signal. row, sigma: None but for denoise.

    largest: magnitude met inside, before rounding; nonfinite: values, inside and out; at: where.
    """

    stage: str
    run: str
    row: int | None
    sigma: float | None
    fed: str
    signal: str
    snr_db: float
    largest: float
    largest_at: str
    nonfinite: int
    nonfinite_at: str


class _Pair:
    """The four stages of a model, both ways: float32 as loaded, float16 as export traces them."""

    def __init__(self, model: Model, emulation: HalfEmulation) -> None:
        unet, codec = model.networks.unet, model.networks.codec
        wide = {"encode": EncodeStage(codec), "embed": EmbedStage(unet), "denoise": DenoiseStage(unet)}
        half = stage_specs(model.networks, model.manifest.geometry, torch.float16)
        self._emulation = emulation
        self._wide: dict[str, nn.Module] = {**wide, "decode": DecodeStage(codec)}
        self._half = {spec.name: spec.module.eval() for spec in half}

    def wide(self, stage: str, *args: Tensor | list[Tensor]) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return _tuple(self._wide[stage](*args))

    def half(self, stage: str, *args: Tensor | list[Tensor]) -> tuple[tuple[Tensor, ...], Extremes]:
        module = self._half[stage]
        with self._emulation.of(stage, module) as extremes:
            out = _tuple(module(*args))
        return out, extremes


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What a signal gives: contexts by how they were made, and the kept source (float32 for both)."""

    context: dict[str, Tensor]
    source: Tensor


class HalfRun:
    """Every measure of a source. One thread at a time; a float16 copy of its networks while it lives."""

    def __init__(self, source: Source, signals: Mapping[str, F32], seed: int, report: Report) -> None:
        self._source, self._signals, self._report = source, signals, report
        self._noise = PhiloxNoise(seed)
        self._emulation = HalfEmulation()
        self._encoded: dict[str, _Encoded] = {}
        self._pairs: dict[int, _Pair] = {}

    @property
    def shapes(self) -> list[Shape]:
        """Every distinct operator shape that the float16 side met so far."""
        return list(self._emulation.shapes)

    def measures(self) -> Iterator[Measure]:
        """All of them, as they are made; the codec's encoder once, for the models share it."""
        for model in self._source.models:
            pair = self._pair(model)
            for signal in self._signals:
                if signal not in self._encoded:
                    self._report(f"encode: {signal}")
                    yield self._encode(pair, model, signal)
            for name, table in model.tables.items():
                yield from self._embed(pair, model, name, table)
                for signal in self._signals:
                    last = table is list(model.tables.values())[-1]
                    yield from self._sample(pair, model, name, table, signal, decode=last)

    def _pair(self, model: Model) -> _Pair:
        key = id(model.networks)
        if key not in self._pairs:
            self._pairs[key] = _Pair(model, self._emulation)
        return self._pairs[key]

    def _encode(self, pair: _Pair, model: Model, signal: str) -> Measure:
        geometry = model.manifest.geometry
        frames = round(geometry.window_frames * HEARD_SHARE)
        whole = torch.from_numpy(self._signals[signal])[None]
        audio = whole.clone()
        audio[:, geometry.frame_samples * frames :] = 0.0
        heard = torch.ones(1, 1, geometry.window_frames)
        (source,) = pair.wide("encode", whole, heard)
        heard[..., frames:] = 0.0
        (wide,), ((half,), extremes) = pair.wide("encode", audio, heard), pair.half("encode", audio, heard)
        self._encoded[signal] = _Encoded({"float32": wide, "float16": half}, source)
        return _measure("encode", "codec", None, None, FED[0], signal, wide, half, extremes)

    def _embed(self, pair: _Pair, model: Model, name: str, table: SamplerTable) -> Iterator[Measure]:
        for sigma in dict.fromkeys(row.sigma for row in table.rows):
            args = torch.full((1,), sigma), _label(model)
            wide, (half, extremes) = pair.wide("embed", *args), pair.half("embed", *args)
            want, got = (torch.cat([bias.float() for bias in side], dim=1) for side in (wide, half))
            yield _measure("embed", name, None, None, FED[0], f"sigma {sigma:.4g}", want, got, extremes)

    def _sample(
        self, pair: _Pair, model: Model, name: str, table: SamplerTable, signal: str, *, decode: bool
    ) -> Iterator[Measure]:
        manifest, encoded = model.manifest, self._encoded[signal]
        window = manifest.geometry.window_frames
        first = window - round(window * GENERATED_SHARE)
        keep = torch.ones(1, 1, window)
        keep[..., first:] = 0.0
        draws = np.zeros((table.draws, manifest.latent_channels, window), np.float32)
        self._noise.latents(0, 0, draws)
        mixed = np.zeros((len(table.mixes), 1, *draws.shape[1:]), np.float32)
        noise = iter(torch.from_numpy(table.mix_noise(draws[:, None], keep.numpy(), mixed)))
        u = keep * encoded.source + next(noise)
        state = dict.fromkeys(FED, (u, u))
        worst = Extremes()
        for index, row in enumerate(table.rows):
            self._report(f"{name}, {signal}: evaluation {index + 1} of {table.nfe}")
            scalings = manifest.parametrisation.scalings(row.sigma)
            cond = torch.full((1,), row.sigma), _label(model)
            wide_cond, (half_cond, _) = list(pair.wide("embed", *cond)), pair.half("embed", *cond)

            def args(u: Tensor, context: Tensor, conditioning: Sequence[Tensor]) -> tuple[Tensor | list[Tensor], ...]:
                """A row that hands the estimate on."""
                hand_on = torch.tensor([*scalings, 0, 0, 1, 0, 1], dtype=torch.float32)  # noqa: B023
                return u, u, u, torch.zeros_like(u), context, torch.zeros_like(keep), hand_on, list(conditioning)

            wide_u, half_u = state["float32"][0], state["float16"][0]
            estimate = pair.wide("denoise", *args(wide_u, encoded.context["float32"], wide_cond))[0]
            (alone, _), extremes = pair.half("denoise", *args(wide_u, encoded.context["float32"], half_cond))
            want = estimate[..., first:]
            yield _measure("denoise", name, index, row.sigma, FED[0], signal, want, alone[..., first:], extremes)
            (free, _), extremes = pair.half("denoise", *args(half_u, encoded.context["float16"], half_cond))
            yield _measure("denoise", name, index, row.sigma, FED[1], signal, want, free[..., first:], extremes)
            _add(worst, extremes)
            injected = next(noise) if row.mix is not None else None
            for fed, denoised in (("float32", estimate), ("float16", free)):
                state[fed] = advance(row, *state[fed], denoised, encoded.source, keep, injected)
        wide_u, half_u = state["float32"][0], state["float16"][0]
        yield _measure("final", name, None, None, FED[1], signal, wide_u[..., first:], half_u[..., first:], worst)
        if decode:
            yield from self._decode(pair, model, name, signal, wide_u, half_u)

    def _decode(
        self, pair: _Pair, model: Model, name: str, signal: str, wide: Tensor, half: Tensor
    ) -> Iterator[Measure]:
        self._report(f"{name}, {signal}: decode")
        window = model.manifest.geometry.window_frames
        frames = round(window * GENERATED_SHARE) + EXTRA_DECODED_FRAMES
        noise = np.zeros((1, frames, *model.manifest.decoder_noise_shape), np.float32)
        self._noise.frames(0, window - frames, noise[0])
        drawn = torch.from_numpy(noise)
        (want,) = pair.wide("decode", wide[..., -frames:], drawn)
        for fed, latents in zip(FED, (wide, half), strict=True):
            (got,), extremes = pair.half("decode", latents[..., -frames:], drawn)
            yield _measure("decode", name, None, None, fed, signal, want, got, extremes)


def advance(
    row: Row, u: Tensor, b: Tensor, denoised: Tensor, source: Tensor, keep: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The float32 affine row on an estimate made before: (u, b) of the next row. noise: None where it injects none."""
    v = row.cb * b + row.cu * u + row.cd * denoised
    u = v if noise is None else keep * source + (1 - keep) * v + noise
    return u, u if row.newbase else b


def _label(model: Model) -> Tensor:
    return torch.eye(len(model.manifest.stems))[:1]


def _tuple(out: Tensor | tuple[Tensor, ...] | list[Tensor]) -> tuple[Tensor, ...]:
    return (out,) if isinstance(out, Tensor) else tuple(out)


def _add(worst: Extremes, other: Extremes) -> None:
    if other.largest > worst.largest:
        worst.largest, worst.largest_at = other.largest, other.largest_at
    if other.nonfinite and not worst.nonfinite:
        worst.first_at = other.first_at
    worst.nonfinite += other.nonfinite


def _measure(
    stage: str,
    run: str,
    row: int | None,
    sigma: float | None,
    fed: str,
    signal: str,
    want: Tensor,
    got: Tensor,
    extremes: Extremes,
) -> Measure:
    wrong = int((~torch.isfinite(got)).sum())
    return Measure(
        stage,
        run,
        row,
        sigma,
        fed,
        signal,
        snr_db(want.numpy(), got.numpy()),
        extremes.largest,
        extremes.largest_at,
        max(extremes.nonfinite, wrong),
        extremes.first_at or ("the result" if wrong else ""),
    )
