# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The spectral codec: its transforms, what silence is, what training does, its file and its graphs. Small networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from anacrusis.engine.networks.stft import Stft  # noqa: E402
from anacrusis.train.song import CorpusError  # noqa: E402
from anacrusis.train.spectral import excerpts, fit  # noqa: E402
from anacrusis.train.spectral.codec import (  # noqa: E402
    FRAME_SAMPLES,
    TAIL_SAMPLES,
    TAPER_SAMPLES,
    DecodeModule,
    EncodeModule,
    SpectralCodec,
)
from anacrusis.train.spectral.network import (  # noqa: E402
    BINS,
    SpectralConfig,
    SpectralNetwork,
    band_edges,
    band_matrices,
    from_patches,
    to_patches,
)
from anacrusis.train.spectral.phase import HOP_SAMPLES, Reconstruction  # noqa: E402

torch.set_num_threads(1)
RATE = 44100
TINY = SpectralConfig(channels=8, bands=48, width=16, hop_blocks=1)


@pytest.fixture(scope="module")
def network() -> SpectralNetwork:
    """Random everywhere: no layer is left at the zeros that training starts from."""
    torch.manual_seed(0)
    network = SpectralNetwork(TINY)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.1)
    return network.eval()


def tone(hz: float, samples: int, begin: int = 0) -> np.ndarray:
    audio = 0.3 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)
    audio[:begin] = 0
    return audio.astype(np.float32)


def click(samples: int, at: int) -> np.ndarray:
    audio = np.zeros(samples, np.float32)
    audio[at : at + 8] = 0.8
    return audio


def magnitude(audio: np.ndarray) -> torch.Tensor:
    return Stft(scale=1.0, power=1.0)(torch.from_numpy(audio)[None]).square().sum(1).sqrt()


SAMPLES = HOP_SAMPLES * 67


@pytest.mark.parametrize("bands", [24, 48, 192, 512])
def test_bands_cover_every_bin_once(bands: int) -> None:
    centres = np.array(band_edges(bands))
    average, interpolate = band_matrices(bands)
    assert len(centres) == bands
    assert centres[0] == 0
    assert centres[-1] == pytest.approx(BINS - 1)
    assert (np.diff(centres) > 0.5).all()
    np.testing.assert_allclose(average.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(interpolate.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(interpolate @ torch.tensor(centres, dtype=torch.float32), np.arange(BINS), atol=0.02)


def test_patches_hold_eight_hops_of_every_band_and_back() -> None:
    bands = torch.arange(2 * 5 * 24, dtype=torch.float32).reshape(2, 5, 24)
    patches = to_patches(bands)
    assert patches.shape == (2, 40, 3)
    assert set(patches[1, :, 2].tolist()) == set(bands[1, :, 16:].flatten().tolist())
    assert torch.equal(from_patches(patches), bands)


@pytest.mark.parametrize("value", [0.0, 0.01, 1.0, 300.0])
def test_loudness_has_an_inverse(network: SpectralNetwork, value: float) -> None:
    assert network.magnitude(network.loudness(torch.tensor(value))).item() == pytest.approx(value, rel=1e-4, abs=1e-7)


def test_silence_is_latent_zero_and_latent_zero_is_silence(network: SpectralNetwork) -> None:
    codec = SpectralCodec(network, rounds=2)
    assert not codec.encode(np.zeros(3 * FRAME_SAMPLES, np.float32)).any()
    assert not codec.decode(np.zeros((8, 3), np.float32)).any()


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (4096, 1), (4097, 2), (20000, 5)])
def test_a_latent_has_a_frame_for_every_begun_4096_samples(network: SpectralNetwork, samples: int, frames: int) -> None:
    codec = SpectralCodec(network, rounds=0)
    latent = codec.encode(tone(220, samples))
    assert latent.shape == (8, frames)
    assert codec.decode(latent).shape == (frames * FRAME_SAMPLES,)
    assert codec.decoder(torch.zeros(2, 8, frames)).shape == (2, frames * FRAME_SAMPLES + TAPER_SAMPLES)


@pytest.mark.parametrize(
    ("name", "audio", "least_db"),
    [
        ("low", tone(82.4, SAMPLES), 15),
        ("middle", tone(440, SAMPLES), 25),
        ("high", tone(5000, SAMPLES), 25),
        ("begins", tone(330, SAMPLES, SAMPLES // 2), 15),
        ("click", click(SAMPLES, 16000), 10),
    ],
    ids=["low", "middle", "high", "begins", "click"],
)
def test_magnitudes_alone_give_the_magnitudes_back(name: str, audio: np.ndarray, least_db: float) -> None:
    """Spectral convergence of the reconstruction, from exact magnitudes."""
    wanted = magnitude(audio)
    made = Reconstruction(4)(wanted, torch.zeros_like(wanted), torch.zeros(1, SAMPLES))
    inside = slice(4, -4)
    apart = (magnitude(made[0].numpy()) - wanted)[:, :, inside]
    assert -20 * np.log10(float(apart.norm() / wanted[:, :, inside].norm())) > least_db


def test_a_click_stays_where_it_was() -> None:
    wanted = magnitude(click(SAMPLES, 16000))
    made = Reconstruction(4)(wanted, torch.zeros_like(wanted), torch.zeros(1, SAMPLES))[0].numpy()
    assert abs(int(np.abs(made).argmax()) - 16004) < 150


def test_noise_is_as_loud_as_the_magnitudes_ask() -> None:
    rng = np.random.default_rng(0)
    noises = [rng.standard_normal(SAMPLES).astype(np.float32) for _ in range(2)]
    level = torch.full((1, BINS, 64), float(np.sqrt(0.375 * 2048 * np.log(2))) * 0.05)
    made = Reconstruction(2)(level, torch.ones_like(level), torch.from_numpy(noises[0])[None])[0, 4096:-4096].numpy()
    assert 20 * np.log10(made.std() / 0.05) == pytest.approx(0, abs=1.0)


def test_two_decodes_that_saw_the_attack_agree() -> None:
    """Where a decode begins does not change a note that begins after it."""
    wanted = magnitude(tone(330, SAMPLES, 20 * HOP_SAMPLES))
    make = Reconstruction(2)
    whole, late = (make(m, torch.zeros_like(m), torch.zeros(1, SAMPLES)[:, : (m.shape[2] + 3) * HOP_SAMPLES])[0]
                   for m in (wanted, wanted[:, :, 8:]))  # fmt: skip
    after = slice(30 * HOP_SAMPLES, 60 * HOP_SAMPLES)
    rest = late[after.start - 8 * HOP_SAMPLES : after.stop - 8 * HOP_SAMPLES] - whole[after]
    assert float(rest.norm() / whole[after].norm()) < 0.03


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FRAMES": 3,
        "BATCH": 2,
        "PATCHES_FOR_COMPONENTS": 60,
        "WARMUP_STEPS": 1,
        "PEAK_RATE": 3e-3,
    }.items():
        monkeypatch.setattr(fit, name, value)


@pytest.fixture(scope="module")
def songs() -> list[list[np.ndarray]]:
    rng = np.random.default_rng(1)
    stems = [tone(float(hz), 5 * RATE) * rng.random() for hz in (110, 220, 330)]
    return [[(stem * 32767).astype(np.int16) for stem in stems], [np.zeros(RATE, np.int16)]]


@pytest.mark.usefixtures("small")
def test_training_lowers_the_loss_and_repeats(songs: list[list[np.ndarray]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "set_components", lambda *_: None)  # which leave nothing to learn of three tones
    runs = [fit.fit(songs, seed=3, steps=steps, config=TINY, progress=False) for steps in (1, 15, 15)]
    totals = []
    for codec in runs:
        rng, weight = np.random.default_rng(9), fit.bin_weights()
        with torch.no_grad():
            heard = fit.magnitudes(torch.from_numpy(excerpts.draw(songs, rng, 4, 3 * FRAME_SAMPLES + TAIL_SAMPLES)))
            terms = fit.loss_terms(codec.network, heard, codec.network.encode(heard), weight)
        totals.append(sum(term.item() for term in terms.values()))
    assert totals[1] < totals[0]
    assert totals[1] == totals[2]


@pytest.mark.usefixtures("small")
def test_components_before_training_are_the_best_linear_codec(songs: list[list[np.ndarray]]) -> None:
    """With as many channels as rows of the signal's space, nothing is lost."""
    network = SpectralNetwork(TINY)
    fit.set_components(network, songs, np.random.default_rng(0))
    with torch.no_grad():
        heard = fit.magnitudes(
            torch.from_numpy(excerpts.draw(songs, np.random.default_rng(5), 4, 9 * FRAME_SAMPLES + TAIL_SAMPLES))
        )
        patches = network.patches(network.loudness(heard))
        back = network.linear_out(network.linear_in(patches))
    assert float((back - patches).norm() / patches.norm()) < 0.1


def test_excerpts_repeat_and_prefer_what_sounds(songs: list[list[np.ndarray]]) -> None:
    one, other = (excerpts.draw(songs, np.random.default_rng(4), 40, 5000) for _ in range(2))
    assert np.array_equal(one, other)
    assert 0.8 <= np.mean(np.abs(one).max(1) > excerpts.QUIET) <= 1.0


def test_a_file_gives_back_the_codec(network: SpectralNetwork, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "codec.safetensors"
    SpectralCodec(network, {"seed": 5}).save(file)
    loaded = SpectralCodec.load(file)
    assert loaded.about == {"seed": 5}
    assert loaded.network.config == TINY
    audio = tone(196, 3 * FRAME_SAMPLES)
    np.testing.assert_allclose(loaded.encode(audio), SpectralCodec(network).encode(audio), atol=0.02)


@pytest.mark.parametrize("content", [None, b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "], ids=range(4))
def test_what_is_no_codec_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "codec.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        SpectralCodec.load(file)
    assert "\n" not in str(caught.value)
    assert "train" in str(caught.value)


def test_the_graphs_compute_what_torch_does(network: SpectralNetwork) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript", reason="needs the export extra")
    import onnx_ir as ir

    from anacrusis.export.graphs import to_onnx

    audio = torch.from_numpy(tone(147, 4 * FRAME_SAMPLES + TAIL_SAMPLES, 3000))[None]
    module = torch.nn.Sequential(EncodeModule(network), DecodeModule(network, rounds=1))
    session = ort.InferenceSession(ir.to_proto(to_onnx(module, (audio,))).SerializeToString())
    (made,) = session.run(None, {session.get_inputs()[0].name: audio.numpy()})
    with torch.no_grad():
        wanted = module(audio).numpy()
    assert made.shape == wanted.shape
    # A phase on the edge of an attack may fall on the other side: most of the energy, not each sample.
    assert np.linalg.norm(made - wanted) / np.linalg.norm(wanted) < 0.01


def test_the_command_line_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main(["--corpus", str(tmp_path / "none"), "--steps", "1", "--out", str(tmp_path / "x")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_how_a_corpus_was_made_is_kept_without_its_songs_or_place(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text(json.dumps({"seed": 7, "hours": 1.5, "songs": [1], "out": "somewhere"}))
    assert fit.corpus_of(tmp_path) == {"seed": 7, "hours": 1.5}
    assert fit.corpus_of(tmp_path / "none") == {}
