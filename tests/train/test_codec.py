# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The codec as a whole: silence, lengths, files; and that training learns what it is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from anacrusis.train.codec import fit
from anacrusis.train.codec.autoencoder import AutoencoderConfig, FrameAutoencoder
from anacrusis.train.codec.codec import RollCodec, load_autoencoder
from anacrusis.train.codec.pool import FramePool, pack, random_frames, unpack
from anacrusis.train.codec.roll import HOLD, ONSET
from anacrusis.train.codec.rows import FRAME_SAMPLES, GROUPS, Rows
from anacrusis.train.codec.scores import evaluate
from anacrusis.train.song import CorpusError, Note, Part

from .codec_toys import toy_banks, toy_codec, toy_latent


@pytest.mark.parametrize("count", [1, 3, 64])
def test_silence_is_zero_both_ways(count: int) -> None:
    torch.manual_seed(1)
    model = FrameAutoencoder(AutoencoderConfig(10, channels=16, width=32, hop_width=8))
    with torch.inference_mode():
        assert not model.encode(torch.zeros(count, 8, 10, 2)).any()
        gain, hold = model.gates(torch.zeros(count, 16))
    assert not gain.any()
    assert not hold.any()


def test_silence_sounds_like_nothing() -> None:
    codec = toy_codec()
    latent = codec.encode(Part(0, ()), "guitar", 9 * FRAME_SAMPLES)
    assert not latent.any()
    assert not codec.decode(latent[None]).any()


def test_the_linear_code_of_a_sum_is_the_sum_of_codes() -> None:
    codec = toy_codec()
    one, two = Note(0, 9000, 60, 90), Note(3000, 12_000, 62, 60)
    codes = [codec.encode(Part(0, notes), "guitar", 4 * FRAME_SAMPLES) for notes in ((one,), (two,), (one, two))]
    np.testing.assert_allclose(codes[0] + codes[1], codes[2], atol=1e-5)


def test_a_stretch_is_a_cut_of_the_whole() -> None:
    codec = toy_codec()
    part = Part(0, (Note(100, 9000, 28, 90), Note(9000, 40_000, 29, 60)))
    whole = codec.encode(part, "bass", 10 * FRAME_SAMPLES)
    later = codec.encode(part, "bass", 5 * FRAME_SAMPLES + 1, start_samples=3 * FRAME_SAMPLES)
    assert later.shape == (16, 6)
    np.testing.assert_array_equal(whole[:, 3:9], later)


def test_a_long_decode_in_pieces_is_one_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, latent = toy_codec(), toy_latent(1, 9, 2).numpy()
    at_once = codec.decode(latent)
    monkeypatch.setattr("anacrusis.train.codec.codec.DECODE_CHUNK_FRAMES", 4)
    in_pieces = codec.decode(latent)
    assert at_once.shape == (1, 9 * FRAME_SAMPLES)
    assert np.abs(at_once).max() > 0.1
    np.testing.assert_allclose(at_once, in_pieces, atol=1e-5)


def test_weights_survive_a_file(tmp_path: Path) -> None:
    codec = toy_codec()
    codec.save(tmp_path / "c.safetensors")
    autoencoder, about = load_autoencoder(tmp_path / "c.safetensors")
    assert about == {}
    again = RollCodec(autoencoder, toy_banks(), codec.rows)
    latent = toy_latent(1, 6, 2).numpy()
    assert again.decode(latent).shape == codec.decode(latent).shape
    half = codec.autoencoder.code.weight.half().float()
    assert torch.equal(again.autoencoder.code.weight, half)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "cannot read", id="missing"),
        pytest.param(b"", "cannot read", id="empty"),
        pytest.param(b"\x08\0\0\0\0\0\0\0{}      ", "no roll codec", id="another_safetensors"),
        pytest.param(b"not a file of tensors at all", "cannot read", id="text"),
    ],
)
def test_a_file_that_is_no_codec_is_one_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "c.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError, match=says) as caught:
        load_autoencoder(path)
    assert len(str(caught.value).splitlines()) == 1


def test_other_rows_than_the_notes_are_refused() -> None:
    with pytest.raises(CorpusError, match="rows"):
        RollCodec(
            FrameAutoencoder(AutoencoderConfig(11, channels=4, width=8, hop_width=4)), toy_banks(), toy_codec().rows
        )


def test_a_byte_a_cell_keeps_a_roll() -> None:
    roll = np.zeros((2, 8, 3, 2), np.float32)
    roll[0, 1, 2] = (100 / 127, 1.0)
    roll[1, 7, 0] = (1 / 127, 0.0)
    roll[1, 6, 0, HOLD] = 1.0
    np.testing.assert_array_equal(unpack(pack(roll)), roll)


def test_a_pool_gives_each_stem_its_own_rows_and_the_same_twice() -> None:
    first, second = (FramePool(3, frames_each=2000) for _ in range(2))
    for pool in (first, second):
        pool.add_songs(2, seconds=12.0)
    batch = first.batch(64)
    np.testing.assert_array_equal(batch, second.batch(64))
    rows = Rows()
    used = np.stack([(batch[:, :, rows.span(g.stem)] > 0).any(axis=(1, 2, 3)) for g in GROUPS])
    assert (used.sum(axis=0) <= 1).all()
    assert used.any(axis=1).all()


def test_training_learns_a_few_notes_and_says_how_well(tmp_path: Path) -> None:
    class Random(FramePool):
        def add_songs(self, count: int, seconds: float = 60.0) -> None:
            self.songs += count

        def batch(self, count: int) -> np.ndarray:
            roll = np.zeros((count, 8, 134, 2), np.float32)
            roll[:, :, :28] = random_frames(GROUPS[0], count, self._rng)
            roll[:, :, 3:28] = 0.0  # three pitches
            return roll

    config = AutoencoderConfig(134, channels=32, width=64, hop_width=24)
    model, about = fit.train(
        config, minutes=1, seed=1, steps=60, batch=64, rate=0.01, pool=Random(1, frames_each=1), quiet=True
    )
    assert about["loss_last"] < 0.8 * about["loss_first"]
    found = evaluate(model, {"bass": [Random(2, frames_each=1).batch(64)[:, :, :28]]}, (0.0, 3.0), 1)
    clean, noisy = (found["stems"]["bass"][key]["f1"] for key in ("0", "3"))
    assert clean > noisy
    assert len(found["latent"]["std"]) == 32


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--minutes", "0", "--out", "x.safetensors"], id="no_time"),
        pytest.param(["--out", "nowhere/x.safetensors"], id="no_folder"),
    ],
)
def test_bad_orders_exit_2_with_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_shipped_weights_load_and_keep_a_tune() -> None:
    """assets/codec/roll.safetensors: what a bass line becomes, note for note. No soundfont needed."""
    path = Path(__file__).resolve().parents[2] / "assets" / "codec" / "roll.safetensors"
    autoencoder, about = load_autoencoder(path)
    rows = Rows()
    roll = np.zeros((3, 8, len(rows), 2), np.float32)
    for frame, hop, row in ((0, 0, 5), (1, 3, 12), (2, 6, 17)):
        roll[frame, hop, row, ONSET] = 0.7
        roll[frame, hop:, row, HOLD] = 1.0
    with torch.inference_mode():
        found = autoencoder.roll(autoencoder.encode(torch.from_numpy(roll))).numpy()
    np.testing.assert_array_equal(found[..., ONSET] > 0, roll[..., ONSET] > 0)
    assert json.dumps(about["scores"])
    assert path.stat().st_size <= 5_000_000
