# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the torch networks must be whatever their weights; against the originals see `anacrusis parity`."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.music2latent import Music2Latent, Music2LatentConfig  # noqa: E402
from anacrusis.engine.networks.songunet import SongUNet, SongUNetConfig, convert_state, infer_config  # noqa: E402
from anacrusis.engine.networks.stages import DenoiseStage  # noqa: E402
from anacrusis.engine.networks.stft import InverseStft, Stft  # noqa: E402

HOP, N_FFT = 512, 2048


def reference_stft(audio: torch.Tensor) -> torch.Tensor:
    """By FFT, in double."""
    window = torch.hann_window(N_FFT, dtype=torch.float64)
    spectrum = torch.fft.rfft(audio.double().unfold(1, N_FFT, HOP) * window)[..., : N_FFT // 2]
    size = spectrum.abs()
    y = 0.34 * size**0.65 * torch.where(size > 0, spectrum / size, 0)
    return torch.stack([y.real, y.imag], 1).transpose(2, 3)


def reference_istft(y: torch.Tensor) -> torch.Tensor:
    """By inverse FFT and a loop of overlap-adds, in double."""
    z = torch.complex(y[:, 0].double(), y[:, 1].double()).transpose(1, 2) / 0.34
    size = z.abs()
    spectrum = torch.nn.functional.pad(size ** (1 / 0.65) * torch.where(size > 0, z / size, 0), (0, 1))
    window = torch.hann_window(N_FFT, dtype=torch.float64)
    frames = torch.fft.irfft(spectrum, N_FFT) * window / 1.5
    out = torch.zeros(y.shape[0], N_FFT + HOP * (frames.shape[1] - 1), dtype=torch.float64)
    for index in range(frames.shape[1]):
        out[:, index * HOP : index * HOP + N_FFT] += frames[:, index]
    return out.clamp(-1, 1)


@pytest.mark.parametrize("level", [1.0, 0.1, 1e-3])
def test_stft_equals_an_fft_in_double(level: float) -> None:
    audio = level * torch.from_numpy(np.random.default_rng(0).standard_normal((2, HOP * 20)).astype(np.float32))
    got, want = Stft()(audio), reference_stft(audio)
    assert got.shape == (2, 2, 1024, 17)
    assert (got - want).abs().max() < 1e-4 * want.abs().max()


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0], ids=["quiet", "unit", "clamped"])
def test_inverse_stft_equals_an_inverse_fft_in_double(scale: float) -> None:
    y = scale * torch.from_numpy(np.random.default_rng(1).standard_normal((2, 2, 1024, 9)).astype(np.float32))
    got, want = InverseStft()(y), reference_istft(y)
    assert got.shape == want.shape == (2, N_FFT + HOP * 8)
    assert (got - want).abs().max() < 1e-5


def test_silence_is_exactly_silence() -> None:
    assert torch.count_nonzero(Stft()(torch.zeros(1, HOP * 8))) == 0
    assert torch.count_nonzero(InverseStft()(torch.zeros(1, 2, 1024, 8))) == 0


def test_there_and_back_is_the_audio_away_from_the_tapers() -> None:
    audio = 0.1 * torch.from_numpy(np.random.default_rng(2).standard_normal((1, HOP * 40)).astype(np.float32))
    back = InverseStft()(Stft()(audio))
    inner = slice(N_FFT - HOP, -(N_FFT - HOP))
    # The Nyquist bin is dropped by the codec: white noise loses that much and no more.
    assert (back - audio)[:, inner].abs().max() < 0.02


def test_the_released_sizes() -> None:
    with torch.device("meta"):
        unet, codec = SongUNet(SongUNetConfig(256)), Music2Latent(Music2LatentConfig())
    assert sum(p.numel() for p in unet.parameters()) == 257_523_969
    dead = 4 * (512 * 256 + 512)  # the pyramid's unused proj_emb of the published file
    assert sum(p.numel() for p in codec.parameters()) == 58_185_026 - dead
    assert len(unet.blocks()) == 44
    assert sum(block.attention for block in unet.blocks().values()) == 16
    assert infer_config({n: tuple(t.shape) for n, t in unet.state_dict().items()}) == unet.config


def test_convert_state_orders_q_k_v_and_drops_constants() -> None:
    interleaved = torch.arange(6.0).reshape(6, 1, 1, 1)  # q0 k0 v0 q1 k1 v1
    state = {"a.qkv.weight": interleaved, "a.qkv.bias": interleaved.flatten(), "a.conv0.resample_filter": torch.ones(1)}
    out = convert_state(state)
    assert out["a.qkv.weight"].flatten().tolist() == out["a.qkv.bias"].tolist() == [0, 3, 1, 4, 2, 5]
    assert set(out) == {"a.qkv.weight", "a.qkv.bias"}


@torch.inference_mode()
def test_one_context_serves_every_row() -> None:
    torch.manual_seed(0)
    unet = SongUNet(SongUNetConfig(8)).eval()
    x, context, label = torch.randn(3, 1, 64, 64), torch.randn(1, 1, 64, 64), torch.eye(4)[:3]
    together = unet(x, torch.zeros(3), label, context)
    for row in range(3):
        alone = unet(x[row : row + 1], torch.zeros(1), label[row : row + 1], context)
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize(("inject", "newbase"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_affine_row_selects_exactly(inject: float, newbase: float) -> None:
    torch.manual_seed(1)
    stage = DenoiseStage(SongUNet(SongUNetConfig(8)).eval())
    cond = stage.unet.conditioning(torch.zeros(2), torch.eye(4)[:2])
    u, b, source, noise = (torch.randn(2, 64, 64) for _ in range(4))
    context, keep = torch.randn(1, 64, 64), (torch.arange(64) < 40).float()[None, None]
    row = torch.tensor([0.5, 0.2, 0.7, 0.3, 0.4, 0.6, inject, newbase])
    v = 0.3 * b + 0.4 * u + 0.6 * stage.estimate(u, context, row, cond)
    u_next, b_next = stage(u, b, source, noise, context, keep, row, cond)
    want = keep * source + (1 - keep) * v + noise if inject else v
    torch.testing.assert_close(u_next, want, rtol=1e-5, atol=1e-6)
    assert torch.equal(b_next, u_next if newbase else b)
