# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity of the codec: transforms, encoder, latent pyramid, decoder, and everything between that the set stores.

Latents and waves come from the bundle's `encode` and `decode` stages, the inside from probes of the same modules.

Little sound in much silence is ill-conditioned: the rounding of one particular float32 FFT, 120 dB below the signal,
moves the latents further than the limits allow, and an exact transform misses the golden ones too. A latent that
misses its limit is therefore held to a multiple of what a rounding of that size moves it by, and listed apart. Golden
values have no part in that measure, so a fault of ours is excused only where it is as small as float32 rounding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from anacrusis.benchmarks.parity_compare import DRAWS, FLOAT32_FFT, Recorder, Tolerance, widened
from anacrusis.benchmarks.parity_golden import F32, Array, Golden, GoldenArrays, golden_noise
from anacrusis.benchmarks.parity_runners import KIND_OF, Call, Runner, Workbench

ENCODE, DECODE = "m2l_encode.npz", "m2l_decode.npz"
# Where the signal of `latent_lenN` begins, and those of the rows of `latent_batch2`, with their length (README).
CUT_SAMPLES, BATCH_SAMPLES = 30_000, ((0, 40_000), (100_000, 140_000))


def check_encode(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """Latents of every length, silence, and the inside of the encoder on the whole signal."""
    arrays = golden.arrays(ENCODE)
    geometry = bench.manifest(next(iter(KIND_OF))).geometry
    stage = runner.stage(next(iter(KIND_OF)), "encode")

    def crop(signal: F32) -> F32:
        frames = (len(signal) - geometry.encode_tail_samples) // geometry.frame_samples
        return signal[None, : frames * geometry.frame_samples + geometry.encode_tail_samples]

    def encode(signal: F32) -> F32:
        audio = crop(signal)
        return stage(audio, np.ones((1, 1, audio.shape[1] // geometry.frame_samples), np.float32))[0]

    def rounding(signals: list[F32]) -> Tolerance:
        exact, *rounded = (encode_behind_fft(bench, draw) for draw in (None, *DRAWS))
        audio = [crop(signal)[0] for signal in signals]
        return widened((exact(row), encode(row)) for row in audio for encode in rounded)

    signal = (arrays["audio_i16"] / 32768.0).astype(np.float32)
    cases = {"latent": [signal], "latent_silence": [np.zeros_like(signal)]}
    for name in arrays:
        if length := re.fullmatch(r"latent_len(\d+)", name):
            cases[name] = [signal[CUT_SAMPLES : CUT_SAMPLES + int(length[1])]]
    cases["latent_batch2"] = [signal[begin:end] for begin, end in BATCH_SAMPLES]
    for name, signals in cases.items():
        got = np.concatenate([encode(row) for row in signals])
        recorder.conditioned("latent", arrays, name, got, partial(rounding, signals))
    _check_inside_encoder(arrays, bench, runner, recorder, crop(signal))


def _check_inside_encoder(
    arrays: GoldenArrays, bench: Workbench, runner: Runner, recorder: Recorder, audio: F32
) -> None:
    from torch import nn

    from anacrusis.benchmarks.parity_modules import Tapped
    from anacrusis.engine.networks.stft import Stft

    encoder = bench.networks(next(iter(KIND_OF))).codec.encoder
    have = dict(encoder.named_modules())
    names = [name for name in arrays if name.startswith("tap/") and name.removeprefix("tap/") in have]
    taps = tuple(f"1.{name.removeprefix('tap/')}" for name in names)
    probe = Tapped(nn.Sequential(Stft(), encoder), ("0", *taps))
    _, spectrum, *features = runner.compile("encoder", probe, audio)(audio)
    recorder.check("stft", arrays, "stft_frames", spectrum[0][..., arrays["stft_frames_index"]])
    sums = np.abs(spectrum[0].astype(np.float64)).sum(axis=(0, 1))
    recorder.check("stft sum", arrays, "stft_frame_abs_sum", sums)
    for name, feature in zip(names, features, strict=True):
        recorder.check("encoder tap", arrays, name, _excerpt(feature))


def encode_behind_fft(bench: Workbench, draw: int | None) -> Callable[[F32], F32]:
    """audio [n] -> latent [C, frames]: our encoder on torch behind a float64 FFT, exact where draw is None.

    Else rounded as a float32 transform is: a float32 window, and seeded noise of FLOAT32_FFT on every bin.
    """
    import torch

    from anacrusis.engine.networks.stft import Stft

    stft, encoder = Stft(), bench.networks(next(iter(KIND_OF))).codec.encoder
    phase: Array = 2 * np.pi * np.arange(stft.n_fft) / stft.n_fft
    window: Array = 0.5 - 0.5 * np.cos(phase if draw is None else phase.astype(np.float32))

    def encode(audio: F32) -> F32:
        frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), stft.n_fft)[:: stft.hop_samples]
        bins = np.fft.rfft(frames * window)[:, :-1]
        if draw is not None:
            re, im = np.random.Generator(np.random.Philox(key=draw)).standard_normal((2, *bins.shape)) / np.sqrt(2)
            bins = bins + FLOAT32_FFT * np.sqrt(np.mean(np.abs(bins) ** 2, axis=1, keepdims=True)) * (re + 1j * im)
        size = np.abs(bins)
        y = stft.scale * bins * np.divide(size**stft.power, size, out=np.zeros_like(size), where=size > 0)
        spectrum = np.stack([y.real.T, y.imag.T])[None].astype(np.float32)
        with torch.inference_mode():
            latent: F32 = encoder(torch.from_numpy(spectrum))[0].numpy()
        return latent

    return encode


def _excerpt(tap: Array) -> Array:
    """README: "batch item 0, frequency subsampled by max(1,F//32), time columns [0,1,T//2,T-2,T-1]"; 3-D whole."""
    first: Array = tap[0]
    if tap.ndim < 4:
        return first
    bins, columns = tap.shape[2:]
    return first[:, :: max(1, bins // 32)][..., [0, 1, columns // 2, columns - 2, columns - 1]]


def check_decode(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """Waves and spectra of every length, the pyramid, the conditioning, and the transforms alone."""
    arrays, probe = golden.arrays(DECODE), _probe(bench, runner)
    decode = runner.stage(next(iter(KIND_OF)), "decode")
    for group in arrays.groups("wave"):
        latent = arrays[f"{group}/latent"]
        noise = golden_noise(arrays.number(f"{group}/noise_seed"), tuple(arrays[f"{group}/noise_shape"]))
        if f"{group}/noise" in arrays:
            recorder.check("exact", arrays, f"{group}/noise", noise)
        recorder.check("audio", arrays, f"{group}/wave", decode(latent, by_frame(noise))[0])
        spectrum = probe(latent, noise, 80.0)["out"]
        if f"{group}/spec" in arrays:
            recorder.check("spectrum", arrays, f"{group}/spec", spectrum)
        if f"{group}/spec_frames" in arrays:
            frames = spectrum[0][..., arrays[f"{group}/spec_frames_index"]]
            recorder.check("spectrum", arrays, f"{group}/spec_frames", frames)
    _check_conditioning(arrays, runner, recorder, probe)
    _check_inverse_stft(arrays, runner, recorder)


def by_frame(noise: F32) -> F32:
    """[B, planes, bins, 8 n] -> [B, n, planes, bins, 8], as the decode stage takes it."""
    batch, planes, bins, columns = noise.shape
    return noise.reshape(batch, planes, bins, columns // 8, 8).transpose(0, 3, 1, 2, 4)


class _Probe:
    """The codec's denoiser at any noise level, with its conditioning and pyramid."""

    TAPS = ("codec.emb_proj<", "codec.emb_proj", "codec.scale_inp", "codec.scale_out", "codec.decoder")
    NAMES = ("out", "emb", "time_emb", "scale_w_inp", "scale_w_out")

    def __init__(self, call: Call, rescale: float, sigma_max: float) -> None:
        self._call, self._rescale, self._sigma_max = call, np.float32(rescale), np.float32(sigma_max)

    def __call__(self, latent: F32, noise: F32, sigma: float) -> dict[str, F32]:
        """latent [1, C, n] of unit scale, noise [1, 2, bins, 8 n] standard normal -> outputs by name, pyr/0 finest."""
        x = noise * self._sigma_max
        named, pyramid = self.NAMES, self._call(latent * self._rescale, x, np.array([sigma], np.float32))
        outputs = dict(zip(named, pyramid, strict=False))
        return outputs | {f"pyr/{i}": level for i, level in enumerate(pyramid[len(named) :])}


def _probe(bench: Workbench, runner: Runner) -> _Probe:
    from torch.export import Dim

    from anacrusis.benchmarks.parity_modules import CodecDenoise, Tapped
    from anacrusis.engine.networks import music2latent

    codec = bench.networks(next(iter(KIND_OF))).codec
    channels, bins, frames, short = codec.config.latent_channels, codec.config.bins, Dim("frames", min=1, max=512), 3
    example = (
        np.zeros((1, channels, short), np.float32),
        np.zeros((1, codec.config.data_channels, bins, music2latent.FRAMES_PER_LATENT * short), np.float32),
        np.ones(1, np.float32),
    )
    dynamic: tuple[Any, ...] = ({2: frames}, {3: music2latent.FRAMES_PER_LATENT * frames}, {})
    call = runner.compile("codec", Tapped(CodecDenoise(codec), _Probe.TAPS), *example, dynamic=dynamic)
    return _Probe(call, music2latent.LATENT_RESCALE, music2latent.SIGMA_MAX)


def _check_conditioning(arrays: GoldenArrays, runner: Runner, recorder: Recorder, probe: _Probe) -> None:
    """Embeddings, gains and scalars at the noise level their names give; the pyramid; `unet_call`."""
    from anacrusis.benchmarks.parity_modules import CodecScalars

    latents = {arrays[f"{group}/latent"].shape[2]: f"{group}/latent" for group in arrays.groups("latent")}
    frames = arrays["unet_call/out"].shape[3] // 8
    latent = arrays[latents[frames]]
    noise = golden_noise(arrays.number("unet_call/x_seed"), arrays["unet_call/out"].shape)
    pyramid = probe(arrays[latents[arrays["pyr/0"].shape[3] // 8]], np.zeros_like(noise), 80.0)
    for name in arrays:
        what, sigma = _at_sigma(name)
        if name.startswith("unet_call/out"):
            got = probe(latent, noise, sigma)["out"]
            stride = max(1, got.shape[2] // arrays[name].shape[2])  # "frequency subsampled [::4]"
            recorder.check("spectrum", arrays, name, got[:, :, ::stride])
        elif name in pyramid:
            stride = max(1, pyramid[name].shape[2] // arrays[name].shape[2])  # "subsampled in frequency [::8]"
            recorder.check("decoder tap", arrays, name, pyramid[name][:, :, ::stride])
        elif what in _Probe.NAMES[1:]:
            recorder.check("decoder tap", arrays, name, probe(latent, noise, sigma)[what])
        elif what == "c_skip_out_in":
            level = np.array([sigma], np.float32)
            (got,) = runner.compile("codec_scalars", CodecScalars(), level)(level)
            recorder.check("scalar", arrays, name, got)


def _at_sigma(name: str) -> tuple[str, float]:
    """`emb_sigma1p5` -> ("emb", 1.5); 80, the decoder's own level, where a name says none."""
    what, _, level = name.partition("_sigma")
    return what, float(level.replace("p", ".")) if level else 80.0


def _check_inverse_stft(arrays: GoldenArrays, runner: Runner, recorder: Recorder) -> None:
    """The inverse transform of noise, scaled by what each name says."""
    from anacrusis.engine.networks.stft import InverseStft

    module = InverseStft()
    for name in arrays:
        if scale := re.fullmatch(r"istft/out_scale(\d+(?:p\d+)?)", name):
            frames = (arrays[name].shape[1] - module.n_fft) // module.hop_samples + 1
            shape = (1, 2, module.n_fft // 2, frames)
            spectrum = golden_noise(arrays.number("istft/in_seed"), shape) * np.float32(scale[1].replace("p", "."))
            (got,) = runner.compile(f"istft.{frames}", module, spectrum)(spectrum)
            recorder.check("audio", arrays, name, got)
