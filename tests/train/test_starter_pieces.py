# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs as pieces, and the compass that compares what is written with what was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.filterbank import CHANNELS, Filterbank  # noqa: E402
from anacrusis.train.dataset import Track  # noqa: E402
from anacrusis.train.song import STEMS, CorpusError, Song  # noqa: E402
from anacrusis.train.starter import evaluate, pieces  # noqa: E402
from anacrusis.train.starter.evaluate import Pace, compare, in_chord, jobs_of, matches, near_any, table  # noqa: E402
from anacrusis.train.starter.pieces import NoteLatents, bands_of, encoded_sums, load_piece, make_piece, save_piece  # noqa: E402
from anacrusis.train.starter.trainer import EventCode  # noqa: E402
from anacrusis.train.starter.windows import Piece  # noqa: E402
from anacrusis.train.writer import write_song  # noqa: E402

from .starter_toys import cells_of  # noqa: E402

WEIGHTS = Path(__file__).resolve().parents[2] / "assets" / "codec" / "roll.safetensors"


@pytest.fixture(scope="module")
def codec() -> NoteLatents:
    return NoteLatents.load(WEIGHTS)


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return [write_song(seed, "pop", seconds=14.0) for seed in (1, 2, 3)]


def track(song: Song, folder: Path) -> Track:
    """Its stems as quiet noise of unlike loudness."""
    rng = np.random.default_rng(0)
    files = {}
    for i, stem in enumerate(STEMS):
        path = folder / f"{song.name}-{stem}.wav"
        sf.write(path, 0.02 * (i + 1) * rng.standard_normal(song.length_samples), 44100, subtype="PCM_16")
        files[stem] = (path,)
    return Track(song.name, song.split, song.length_samples, files, lambda: song)


def test_sums_are_encoded_as_the_filterbank_encodes_them() -> None:
    rng = np.random.default_rng(0)
    stems = (0.05 * rng.standard_normal((4, 9 * 4096))).astype(np.float32)
    bank = Filterbank().eval()
    for mask, features in encoded_sums(stems, (14, 5, 8), bank).items():
        audio = stems[[bool(mask >> i & 1) for i in range(4)]].sum(axis=0)
        with torch.inference_mode():
            want = bank(torch.from_numpy(audio)[None], torch.ones(1, 1, 9))[0].numpy()
        np.testing.assert_allclose(features, want, atol=2e-3)


def test_a_piece_is_the_song_s_notes_anywhere_in_a_frame(codec: NoteLatents, songs: list[Song], tmp_path: Path) -> None:
    song = songs[0]
    piece = make_piece(track(song, tmp_path), codec, Filterbank().eval())
    assert 0 < piece.offset_samples < 4096
    assert piece.latents.shape == (4, 64, -(-(song.length_samples + piece.offset_samples) // 4096))
    assert len(piece.contexts) == 7
    assert {14, 13, 11, 7} < set(piece.contexts)
    for i, stem in enumerate(STEMS):
        found = codec.notes(piece.latents[i].astype(np.float32), stem, -piece.offset_samples)
        starts = np.array([n.start_samples for n in song.parts[stem].notes])
        assert len(found) > 0.95 * len(starts)
        assert all(np.abs(starts - n.start_samples).min() <= 600 for n in found)
    save_piece(piece, tmp_path / "a.npz")
    again = load_piece(tmp_path / "a.npz")
    assert again.offset_samples == piece.offset_samples
    np.testing.assert_array_equal(again.latents, piece.latents)
    assert piece.events is not None
    assert again.events is not None
    np.testing.assert_array_equal(again.events, piece.events)
    assert all(np.array_equal(again.contexts[m], piece.contexts[m]) for m in piece.contexts)
    assert again.contexts[14].shape == (CHANNELS, piece.frames)
    (tmp_path / "b.npz").write_bytes(b"PK nothing")
    with pytest.raises(CorpusError, match="no piece"):
        load_piece(tmp_path / "b.npz")


def test_a_piece_s_latents_are_the_code_of_its_events(codec: NoteLatents, songs: list[Song]) -> None:
    """To float16's steps, and where a row begins twice in a frame: one of two velocities."""
    code, frames = EventCode.of(codec), 140
    notes = {stem: songs[1].parts[stem].notes for stem in STEMS}
    events = codec.events(notes, frames, -1234)
    assert (events.shape, events.dtype) == ((frames, 4, len(codec.rows)), np.uint8)
    x = torch.from_numpy(cells_of(events))
    for i, stem in enumerate(STEMS):
        latents = codec.encode(notes[stem], stem, frames, -1234)
        own = code.rows_of[i].repeat(25)
        error = ((x * own) @ code.code).numpy().T - latents
        twice = ((events[:, 0] & (events[:, 0] - 1)) > 0) @ code.rows_of[i].numpy() > 0
        assert np.abs(error[:, ~twice]).max() < 0.02
        assert np.sqrt(np.square(error).mean()) < 0.02 * np.sqrt(np.square(latents).mean())


def test_each_row_is_of_one_stem_and_the_code_of_the_codec(codec: NoteLatents) -> None:
    code = EventCode.of(codec)
    assert code.code.shape == (25 * len(codec.rows), 64)
    assert code.rows_of.sum(dim=1).tolist() == [28, 16, 37, 53]
    assert code.rows_of.sum(dim=0).unique().tolist() == [1]
    assert torch.equal(code.code, code.code.half().float())
    classes = code.classes_of.argmax(dim=0)
    assert code.classes_of.sum(dim=0).tolist() == [1.0] * 28 + [0.0] * 16 + [1.0] * 90  # a drum has no pitch
    for first, pitch in ((0, 28), (44, 40), (81, 36)):  # where a stem's rows begin, and its lowest pitch
        assert classes[first : first + 13].tolist() == [(pitch + i) % 12 for i in range(13)]


def test_a_piece_of_another_kind_has_no_events(tmp_path: Path) -> None:
    zeros = np.zeros((4, 6, 10), np.float16)
    save_piece(Piece("audio", 0, zeros, {14: np.zeros((5, 10), np.float16)}), tmp_path / "audio.npz")
    assert load_piece(tmp_path / "audio.npz").events is None


def test_smaller_bands_are_pairs_and_single_stems_and_never_all() -> None:
    for seed in range(20):
        masks = bands_of(np.random.default_rng(seed))
        assert len(set(masks)) == 7
        assert all(0 < mask < 15 for mask in masks)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--corpus", "nowhere"], "no folder nowhere"), (["--corpus", ".", "--codec", "none"], "neither")],
)
def test_bad_input_is_exit_2(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pieces.main([*arguments, "--out", "out"]) == 2
    assert says in capsys.readouterr().err
    assert evaluate.main(["--checkpoint", "none.pt", "--corpus", ".", "--pieces", "p"]) == 2
    assert "cannot read the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "near", "pairs", "share"),
    [
        ([1, 5, 9], [1, 5, 9], 0, 3, 3),
        ([1, 5, 9], [4, 12], 3, 2, 3),
        ([1, 2, 3], [2], 3, 1, 3),
        ([], [1], 3, 0, 0),
        ([4], [], 3, 0, 0),
        ([0, 20], [10], 3, 0, 0),
    ],
    ids=["equal", "near", "used once", "none made", "none true", "far"],
)
def test_onsets_are_matched_once(a: list[int], b: list[int], near: int, pairs: int, share: int) -> None:
    x, y = np.array(a, np.int64), np.array(b, np.int64)
    assert matches(x, y, near) == pairs
    assert near_any(x, y, near) == share


@pytest.fixture(scope="module")
def jobs(codec: NoteLatents, songs: list[Song], tmp_path_factory: pytest.TempPathFactory) -> list[evaluate.Job]:
    folder = tmp_path_factory.mktemp("tracks")
    made = [make_piece(track(song, folder), codec, Filterbank().eval()) for song in songs]
    return jobs_of(made, Pace(8, 8, stretches=1, cycles=4))


def test_the_compass_knows_the_song_the_stranger_and_silence(
    jobs: list[evaluate.Job], codec: NoteLatents, songs: list[Song]
) -> None:
    known = {song.name: song for song in songs}
    own = np.stack([j.piece.latents[j.stem, :, j.start_frame : j.start_frame + 32] for j in jobs]).astype(np.float32)
    right, silent = compare(jobs, own, known, codec), compare(jobs, 0 * own, known, codec)
    assert right["headline"] == pytest.approx(1.0, abs=1e-3)
    for stem in STEMS:
        row = right["stems"][stem]
        assert row["onsets"]["made"] == 1.0 > row["onsets"]["other"]
        assert (row["density"], row["missing"], row["beyond"]) == (1.0, 0.0, 0.0)
        assert silent["stems"][stem]["density"] == 0.0
        assert silent["stems"][stem]["onsets"]["made"] == 0.0
    assert right["stems"]["bass"]["chord"]["true"] > right["stems"]["bass"]["chord"]["other"]
    assert "headline 1.000" in table(right)
    strangers = compare(jobs, np.roll(own, 4, axis=0), known, codec)
    assert strangers["headline"] < 0.6


def test_notes_in_their_chord_are_counted(songs: list[Song]) -> None:
    song = songs[0]
    bass = song.parts["bass"].notes
    assert in_chord(bass, song) / len(bass) > 0.6
    assert in_chord([], song) == 0
