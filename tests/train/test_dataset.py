# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Tracks: the stretch asked for, the other stems' sum, and folders that are no data set."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.engine.errors import AnacrusisError, AudioError, StemError
from anacrusis.train.dataset import Track, audio_length, open_dataset, read_audio
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError

from .tiny_soundfont import tiny_song

SECONDS = 0.5
LENGTH = round(SECONDS * SAMPLE_RATE_HZ)
NAMES = (("train", "b"), ("test", "a"), ("train", "a"))


def write_corpus(folder: Path) -> Path:
    """Three songs of noise in our layout."""
    listed = []
    for seed, (split, name) in enumerate(NAMES):
        home = folder / split / name
        home.mkdir(parents=True)
        song = tiny_song(name, seed=seed, seconds=SECONDS)
        (home / "song.json").write_text(song.to_json())
        for stem in STEMS:
            samples = np.random.default_rng([seed, STEMS.index(stem)]).integers(-9999, 9999, LENGTH).astype(np.int16)
            sf.write(home / f"{stem}.flac", samples, SAMPLE_RATE_HZ)
        listed.append({"name": name, "split": split, "length_samples": LENGTH})
    (folder / "corpus.json").write_text(json.dumps({"schema": 1, "songs": listed}))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data") / "corpus")


@pytest.fixture(scope="module")
def track(corpus: Path) -> Track:
    return open_dataset(corpus)[0]


def test_tracks_come_by_split_and_name(corpus: Path) -> None:
    assert [(t.split, t.name) for t in open_dataset(corpus)] == [("train", "a"), ("train", "b"), ("test", "a")]
    assert [t.name for t in open_dataset(corpus, "test")] == ["a"]


def test_a_track_knows_its_song(track: Track) -> None:
    assert track.song == tiny_song("a", seed=2, seconds=SECONDS)
    assert track.song is track.song
    assert track.length_samples == track.song.length_samples == LENGTH


@settings(max_examples=40, deadline=None)
@given(start=st.integers(-2000, LENGTH + 2000), length=st.integers(0, 6000), stem=st.sampled_from(STEMS))
def test_a_stretch_is_the_whole_cut_and_silence_beyond(track: Track, start: int, length: int, stem: str) -> None:
    padded = np.pad(track.stem(stem), 9000)
    heard = track.stem(stem, start, length)
    assert heard.dtype == np.float32
    assert np.array_equal(heard, padded[9000 + start : 9000 + start + length])


@pytest.mark.parametrize("without", STEMS)
def test_the_context_is_the_sum_of_the_others(track: Track, without: str) -> None:
    others = [track.stem(stem, 100, 5000) for stem in STEMS if stem != without]
    assert np.allclose(track.context(without, 100, 5000), sum(others), atol=1e-6)


def test_a_track_may_be_sent_to_another_process(track: Track) -> None:
    sent = pickle.loads(pickle.dumps(track))
    assert np.array_equal(sent.stem("bass", 10, 100), track.stem("bass", 10, 100))
    assert sent.song == track.song


@pytest.mark.parametrize("method", ["stem", "context"])
def test_an_unknown_stem_is_said(track: Track, method: str) -> None:
    with pytest.raises(StemError, match="stems are bass, drums, guitar, piano"):
        getattr(track, method)("voice")


@pytest.mark.parametrize(("rate_hz", "channels"), [(44100, 2), (22050, 1), (48000, 2)])
def test_other_rates_and_channels_are_converted(rate_hz: int, channels: int, tmp_path: Path) -> None:
    time = np.arange(rate_hz) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    file = tmp_path / "a.flac"
    sf.write(file, np.stack([tone] * channels, axis=1), rate_hz, subtype="PCM_24")
    assert audio_length(file) == SAMPLE_RATE_HZ
    heard = read_audio(file, 10000, 20000)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(10000, 30000) / SAMPLE_RATE_HZ)
    assert np.abs(heard - wanted).max() < 2e-3


def edit(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        record = json.loads((folder / "corpus.json").read_text())
        change(record)
        (folder / "corpus.json").write_text(json.dumps(record))

    return apply


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "corpus.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "corpus.json").write_text("[]"), "cannot be read"),
        (lambda f: (f / "corpus.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (edit(lambda r: r.update(schema=99)), "has schema 99"),
        (edit(lambda r: r["songs"][0].pop("split")), "cannot be read"),
        (edit(lambda r: r["songs"][0].update(name="../../x")), "impossible song"),
        (edit(lambda r: r["songs"].clear()), "no tracks"),
        (lambda f: (f / "test" / "a" / "bass.flac").unlink(), r"bass\.flac is missing"),
        (lambda f: ((f / "corpus.json").unlink(), (f / "plan.json").write_text("{}")), "unfinished corpus"),
        (lambda f: (f / "corpus.json").unlink(), "neither"),
    ],
    ids=["cut", "list", "bytes", "schema", "no split", "outside", "no songs", "stem gone", "unfinished", "neither"],
)
def test_a_harmed_corpus_is_an_error_of_one_line(harm: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    harm(write_corpus(tmp_path / "c"))
    with pytest.raises(CorpusError, match=said) as error:
        open_dataset(tmp_path / "c")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "split", "said"), [("nowhere", None, "no folder"), (".", None, "neither"), (".", "dev", "unknown split")]
)
def test_what_is_no_data_set_is_said(path: str, split: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=said):
        open_dataset(tmp_path / path, split)


@pytest.mark.parametrize(
    ("file", "use", "error"),
    [("bass.flac", lambda t: t.stem("bass"), AudioError), ("song.json", lambda t: t.song, CorpusError)],
)
def test_a_file_harmed_later_is_said_when_it_is_read(
    file: str, use: Callable[[Track], object], error: type[AnacrusisError], tmp_path: Path
) -> None:
    first = open_dataset(write_corpus(tmp_path / "c"))[0]
    (tmp_path / "c" / "train" / "a" / file).write_bytes(b"no")
    with pytest.raises(error, match=file):
        use(first)
