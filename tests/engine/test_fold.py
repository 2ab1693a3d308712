# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What export folds and rewrites must be the same network: transposed convolutions, constants, norms written out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.music2latent import Music2Latent  # noqa: E402
from anacrusis.engine.networks.norm import SMALL_GROUP_VALUES, GroupNorm  # noqa: E402
from anacrusis.engine.networks.songunet import SongUNet, SongUNetConfig  # noqa: E402
from anacrusis.engine.networks.upsample import transposed_conv, transposed_kernel, upsample_conv  # noqa: E402
from anacrusis.export.graphs import prepared, rounded  # noqa: E402
from anacrusis.export.seeded import seeded_networks  # noqa: E402


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


UPSAMPLES = [
    # kernel, scale, map
    ((3, 3), (2, 2), (8, 8)),
    ((3, 3), (2, 2), (5, 7)),
    ((3, 3), (2, 2), (1, 1)),
    ((5, 1), (4, 1), (6, 3)),
    ((5, 1), (4, 1), (1, 2)),
    ((3, 3), (3, 2), (4, 4)),
    ((1, 1), (2, 2), (3, 3)),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "scale", "size"), UPSAMPLES)
def test_upsampling_and_convolution_in_one(
    kernel: tuple[int, int], scale: tuple[int, int], size: tuple[int, int], bias: bool
) -> None:
    x, weight = torch.randn(2, 5, *size, dtype=torch.float64), torch.randn(3, 5, *kernel, dtype=torch.float64)
    offset = torch.randn(3, dtype=torch.float64) if bias else None
    want = upsample_conv(x, weight, offset, scale)
    got = transposed_conv(x, transposed_kernel(weight, scale), offset, scale)
    assert got.shape == want.shape == (2, 3, size[0] * scale[0], size[1] * scale[1])
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_a_kernel_of_another_type_is_summed_before_it_is_rounded() -> None:
    weight = torch.tensor([1.0, 2.0**-11, 2.0**-11]).half()[None, None, None]
    got = transposed_kernel(weight, (1, 3)).float().flatten()
    # In the middle 1 + 2^-11 + 2^-11: added one by one in float16 it would stay 1.
    assert got.tolist() == [2.0**-11, 2.0**-10, 1 + 2.0**-10, 1.0, 1.0]


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("form", ["_over_time_first", "_in_one"])
@pytest.mark.parametrize("shape", [(2, 64, 8, 8), (1, 16, 4, 1), (1, 128, 17), (3, 4, 2, 2, 5)])
def test_a_norm_written_out(shape: tuple[int, ...], form: str, offset: float) -> None:
    norm = GroupNorm(shape[1], 1e-5)
    norm.weight.normal_()
    norm.bias.normal_()
    x = torch.randn(*shape) + offset
    torch.testing.assert_close(getattr(norm, form)(x), norm(x), rtol=1e-4, atol=1e-4)


def test_a_norm_written_out_in_half_precision_keeps_float32_statistics() -> None:
    """Squares of 300 leave float16's range; the mean of 4,096 values of it is no float16 either."""
    norm = GroupNorm(128, 1e-6, small=True)
    x = (300 * torch.randn(1, 128, 32, 32)).half()
    got = norm._in_one(x.float()).half()
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got.float(), norm(x.float()), rtol=2e-3, atol=2e-3)


def test_which_norms_are_small() -> None:
    """At the released width: both lower levels of the U-Net, and no map above them."""
    with torch.device("meta"):
        unet = SongUNet(SongUNetConfig(256))
    small = {name.split(".")[1].split("_")[0] for name, m in unet.named_modules() if getattr(m, "small", False)}
    large = {
        name.split(".")[1].split("_")[0]
        for name, m in unet.named_modules()
        if isinstance(m, GroupNorm) and not m.small and "_down" not in name and "_up" not in name
    }
    assert small == {"8x8", "16x16", "32x32"}  # 32x32_up reads a map of 16x16
    assert large == {"32x32", "64x64"}
    assert SMALL_GROUP_VALUES == 32 * 16**2  # 1,024 channels in 32 groups


def test_folding_changes_no_result_and_no_name() -> None:
    networks = seeded_networks("tiny", 1)
    folded = prepared(networks, torch.float32)
    x, context = torch.randn(2, 1, 64, 64), torch.randn(1, 1, 64, 64)
    biases = networks.unet.conditioning(torch.tensor([0.3, -1.0]), torch.eye(4)[:2])
    torch.testing.assert_close(
        folded.unet.denoise(x, context, biases), networks.unet.denoise(x, context, biases), rtol=1e-4, atol=1e-4
    )
    spectrum, latent, noise = torch.randn(1, 2, 1024, 32), torch.randn(2, 64, 4), torch.randn(2, 2, 1024, 32)
    encode = [codec.encoder(spectrum) for codec in (folded.codec, networks.codec)]
    decode = [codec.decode(latent, noise) for codec in (folded.codec, networks.codec)]
    torch.testing.assert_close(*encode, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*decode, rtol=1e-4, atol=1e-5)
    assert folded.state().keys() == networks.state().keys()
    assert all(a is b or a.data_ptr() == b.data_ptr() for a, b in zip(*map(_tensors, (folded, networks)), strict=True))
    assert networks.codec.gains is None  # the original is as it was


def _tensors(networks: object) -> list[torch.Tensor]:
    return list(networks.state().values())  # type: ignore[attr-defined]


def test_half_precision_is_a_copy() -> None:
    networks = seeded_networks("tiny", 1)
    half = prepared(networks, torch.float16)
    assert {t.dtype for t in half.state().values()} == {torch.float16}
    assert {t.dtype for t in networks.state().values()} == {torch.float32}
    assert {t.dtype for name, t in half.codec.named_buffers() if name != "frequencies"} == {torch.float16}


@pytest.mark.parametrize(("stored", "same"), [(torch.float32, True), (torch.float16, False)])
def test_a_graph_computes_with_the_weights_that_are_stored(stored: torch.dtype, same: bool) -> None:
    networks = seeded_networks("tiny", 1)
    as_stored = rounded(networks, stored)
    assert (as_stored is networks) is same
    for name, tensor in networks.state().items():
        assert torch.equal(as_stored.state()[name], tensor.to(stored).float())


def test_the_decoder_is_conditioned_on_its_own_noise_level() -> None:
    """Folded constants are those of sigma 80: at another level the network gives something else."""
    networks = seeded_networks("tiny", 1)
    codec: Music2Latent = prepared(networks, torch.float32).codec
    embedding = networks.codec.embedding(torch.tensor([80.0]))
    torch.testing.assert_close(codec.gains[0], 1 + networks.codec.scale_inp(embedding))
    other = 1 + networks.codec.scale_inp(networks.codec.embedding(torch.tensor([1.0])))
    assert (codec.gains[0] - other).abs().max() > 1e-3
