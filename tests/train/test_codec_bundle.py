# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The filterbank and the note-roll codec under the bundle's contract: the engine plays through them like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript", reason="needs the export extra")

from anacrusis.engine import Engine  # noqa: E402
from anacrusis.engine.bundle import Bundle  # noqa: E402
from anacrusis.engine.errors import BackendError, BundleError  # noqa: E402
from anacrusis.engine.networks.filterbank import CHANNELS, Filterbank  # noqa: E402
from anacrusis.train.codec.bundle import write_mute_bundle  # noqa: E402

from .codec_toys import toy_codec, traced_once  # noqa: E402


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "mute"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anacrusis.train.codec.bundle.stage_to_onnx", traced_once)
        write_mute_bundle(toy_codec(("guitar",)), out)
    return out


def engine(bundle: Path, **more: object) -> Engine:
    return Engine.open(bundle, backend="onnxruntime", stems=["bass", "piano"], **more)  # type: ignore[arg-type]


def test_the_manifest_says_what_the_codec_is(mute: Path) -> None:
    manifest = Bundle.open(mute).manifest
    codec = toy_codec(("guitar",))
    assert (manifest.latent_channels, manifest.context_channels) == (codec.channels, CHANNELS)
    assert manifest.geometry == codec.geometry()
    assert manifest.geometry.encode_tail_samples == 0
    assert manifest.geometry.decode_taper_samples == codec.decoder.taper_samples > 0
    with pytest.raises(BundleError, match="exists"):
        write_mute_bundle(codec, mute)


@pytest.mark.parametrize(("step_frames", "lead_frames"), [(16, 16), (4, 1), (1, 1), (8, -8)])
def test_it_hears_and_plays_silence(mute: Path, step_frames: int, lead_frames: int) -> None:
    rng = np.random.default_rng(0)
    with engine(mute, step_frames=step_frames, lead_frames=lead_frames) as player:
        for _ in range(3):
            step = player.step(rng.normal(0, 0.1, player.step_samples).astype(np.float32))
            assert step.audio.shape == (2, player.step_samples)
            assert not step.audio.any()
            assert step.nfe == 2


def test_kept_latents_are_heard_where_their_frames_are(mute: Path) -> None:
    """What the cycle holds is decoded as the codec itself decodes it, wherever a step begins."""
    codec = toy_codec(("guitar",))
    generator = np.random.default_rng(1)
    latent = np.zeros((2, codec.channels, 64), np.float32)  # sparse: the toy plays no more than 48 onsets a stretch
    latent[:, :, ::5] = generator.normal(0, 1, (2, codec.channels, 13))
    want = codec.decode(latent)
    with engine(mute, step_frames=4, lead_frames=4) as player:
        pipeline = player.cycle.prepared.pipeline
        pipeline.inputs.source[...] = latent
        frames = pipeline.decode_frames(4 + codec.decoder.playback.taper_frames)
        outputs = pipeline.cycle(generate=False, decode_first=20, decode_frames=frames)
    taper, frame = codec.decoder.taper_samples, 4096
    got = outputs.audio[:, taper : frames * frame]
    assert np.abs(want).max() > 0.01
    assert np.abs(got - want[:, 20 * frame + taper : (20 + frames) * frame]).max() < 1e-4


@pytest.mark.parametrize("frames", [1, 5, 64])
def test_the_filterbank_s_graph_is_the_filterbank(mute: Path, frames: int) -> None:
    ort = pytest.importorskip("onnxruntime")
    audio = np.random.default_rng(frames).normal(0, 0.1, (1, 4096 * frames)).astype(np.float32)
    heard = np.ones((1, 1, frames), np.float32)
    heard[..., frames // 2 + 1 :] = 0.0
    session = ort.InferenceSession(str(mute / "encode.onnx"), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"audio": audio, "heard": heard})
    with torch.inference_mode():
        want = Filterbank()(torch.from_numpy(audio), torch.from_numpy(heard)).numpy()
    assert np.abs(got - want).max() < 1e-5


def test_the_decoder_s_graph_plays_silence_as_silence(mute: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    least = toy_codec(("guitar",)).decoder.least_frames
    session = ort.InferenceSession(str(mute / "decode.onnx"), providers=["CPUExecutionProvider"])
    for stems, frames in ((1, least), (3, least + 5)):
        (silent,) = session.run(None, {"latent": np.zeros((stems, 16, frames), np.float32)})
        assert not silent.any()


def test_the_original_s_arithmetic_is_refused(mute: Path) -> None:
    with pytest.raises(BackendError, match="without --compat upstream"):
        engine(mute, r=0.25, w=1.0, compat="upstream")
