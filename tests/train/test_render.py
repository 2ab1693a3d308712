# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The renderer: where notes begin, the same bits each time, and what a user without a soundfont reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.train import render
from anacrusis.train.render import FADE_SAMPLES, Renderer, find_soundfont, to_pcm16
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError, Note, Part

from .tiny_soundfont import tiny_song, write_soundfont

pytest.importorskip("tinysoundfont", reason="needs tinysoundfont: pip install --no-deps -r train/renderer.txt")
LENGTH = SAMPLE_RATE_HZ


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_soundfont(tmp_path_factory.mktemp("font") / "tiny.sf2")


@pytest.fixture(scope="module")
def tiny(font: Path) -> Renderer:
    return Renderer(font)


@pytest.fixture(scope="module")
def fluid() -> Renderer:
    try:
        renderer = Renderer()
    except AnacrusisError as error:
        pytest.skip(str(error))
    if "FluidR3" not in renderer.soundfont.name:
        pytest.skip("needs FluidR3_GM.sf2: apt install fluid-soundfont-gm")
    return renderer


def one(start: int, pitch: int = 60, program: int = 0, *, hold: int = 8000, velocity: int = 100) -> Part:
    return Part(program, (Note(start, start + hold, pitch, velocity),))


@pytest.mark.parametrize("start", [0, 1, 63, 64, 65, 1000, 22050, LENGTH - 2000])
@pytest.mark.parametrize(("stem", "program"), [("piano", 0), ("bass", 33), ("drums", 0)])
def test_a_note_begins_on_its_sample(tiny: Renderer, stem: str, program: int, start: int) -> None:
    audio = tiny.stem(one(start, program=program), stem, LENGTH)
    assert np.flatnonzero(audio)[0] == start


def test_notes_that_follow_closely_begin_on_their_samples(tiny: Renderer) -> None:
    starts = (100, 103, 110, 130, 190, 400)
    together = tiny.stem(Part(0, tuple(Note(s, s + 5000, 60 + i, 100) for i, s in enumerate(starts))), "piano", LENGTH)
    for index, start in enumerate(starts):
        rest = Part(0, tuple(Note(s, s + 5000, 60 + i, 100) for i, s in enumerate(starts) if i != index))
        changed = np.flatnonzero(np.abs(together - tiny.stem(rest, "piano", LENGTH)) > 1e-4)
        assert changed[0] == start


# FluidR3: the tenth of its peak within 1 ms needs a struck sample; what is tested is that it does not begin late.
@pytest.mark.parametrize(
    ("stem", "program", "pitch"),
    [("drums", 0, 36), ("drums", 0, 38), ("drums", 0, 42), ("piano", 0, 60), ("bass", 33, 40), ("guitar", 26, 55)],
)
@pytest.mark.parametrize("start", [4410, 10037])
def test_fluidr3_sounds_within_a_millisecond(fluid: Renderer, stem: str, program: int, pitch: int, start: int) -> None:
    audio = fluid.stem(one(start, pitch, program), stem, LENGTH)
    assert 0 <= np.flatnonzero(audio)[0] - start < SAMPLE_RATE_HZ / 1000


@pytest.mark.parametrize("which", ["tiny", "fluid"])
def test_the_same_notes_give_the_same_bits_after_anything(which: str, request: pytest.FixtureRequest) -> None:
    renderer: Renderer = request.getfixturevalue(which)
    song, other = tiny_song(seed=1), tiny_song(seed=2)
    first = renderer.song(song)
    # Everything between: another song, a note left ringing, the stems in another order.
    renderer.song(other)
    renderer.stem(one(LENGTH - 100, hold=90, velocity=127), "piano", LENGTH)
    for stem in reversed(STEMS):
        again = renderer.stem(song.parts[stem], stem, song.length_samples)
        assert again.tobytes() == first[stem].tobytes(), stem
    assert all(np.abs(audio).max() > 0.01 for audio in first.values())


def test_a_fresh_renderer_gives_the_same_bits(font: Path, tiny: Renderer) -> None:
    song = tiny_song(seed=3)
    tiny.song(tiny_song(seed=4))
    used, fresh = tiny.song(song), Renderer(font).song(song)
    assert all(used[stem].tobytes() == fresh[stem].tobytes() for stem in STEMS)


def test_a_stem_is_float32_of_the_length_asked_for_and_ends_faded(tiny: Renderer) -> None:
    audio = tiny.stem(one(LENGTH - 3 * FADE_SAMPLES), "piano", LENGTH)
    assert (audio.dtype, audio.shape) == (np.float32, (LENGTH,))
    assert audio[-1] == 0.0
    assert np.abs(audio[-2 * FADE_SAMPLES : -FADE_SAMPLES]).max() > 0.01


@pytest.mark.parametrize("part", [Part(0, ()), one(LENGTH), one(LENGTH + 5)], ids=["none", "at the end", "beyond"])
def test_without_notes_a_stem_is_silence(tiny: Renderer, part: Part) -> None:
    assert not tiny.stem(part, "piano", LENGTH).any()


def test_a_note_ends(tiny: Renderer) -> None:
    short, long = (tiny.stem(one(0, hold=hold), "piano", LENGTH) for hold in (2000, 15000))
    assert np.abs(short[4000:15000]).max() < 0.01 * np.abs(long[4000:15000]).max()


def test_louder_is_louder(tiny: Renderer) -> None:
    quiet, loud = (np.abs(tiny.stem(one(0, velocity=v), "piano", LENGTH)).max() for v in (30, 120))
    assert loud > 2 * quiet > 0


@pytest.mark.parametrize(("stem", "program"), [("piano", 99), ("drums", 40)])
def test_a_program_the_soundfont_has_not_is_said(tiny: Renderer, stem: str, program: int) -> None:
    with pytest.raises(CorpusError, match=rf"tiny\.sf2 has no (kit|program) {program} for {stem}"):
        tiny.stem(one(0, program=program), stem, LENGTH)


@pytest.mark.parametrize("found_by", ["argument", "variable", "folder"])
def test_a_soundfont_is_found(found_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_soundfont(tmp_path / "FluidR3_GM.sf2")
    monkeypatch.delenv(render.SOUNDFONT_VARIABLE, raising=False)
    monkeypatch.setattr(render, "soundfont_folders", lambda: (tmp_path,) if found_by == "folder" else ())
    if found_by == "variable":
        monkeypatch.setenv(render.SOUNDFONT_VARIABLE, str(file))
    assert find_soundfont(file if found_by == "argument" else None) == file


@pytest.mark.parametrize("given", [None, Path("nowhere.sf2")], ids=["none", "named"])
def test_without_a_soundfont_the_error_says_how_to_get_one(given: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(render.SOUNDFONT_VARIABLE, raising=False)
    monkeypatch.setattr(render, "soundfont_folders", lambda: ())
    with pytest.raises(CorpusError, match="apt install fluid-soundfont-gm"):
        find_soundfont(given)


@pytest.mark.parametrize("body", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\x10\0\0\0sfbk" + b"\xff" * 16])
def test_a_file_that_is_no_soundfont_is_an_error_of_one_line(body: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.sf2"
    file.write_bytes(body)
    with pytest.raises(CorpusError, match=r"bad\.sf2 is not a soundfont") as error:
        Renderer(file)
    assert "\n" not in str(error.value)


def test_without_tinysoundfont_the_error_says_what_to_install(font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps -r train/renderer\.txt"):
        Renderer(font)


@pytest.mark.parametrize(
    ("value", "pcm"), [(0.0, 0), (1.0, 32767), (-1.0, -32768), (2.0, 32767), (0.5, 16384), (1.4 / 32768, 1), (-1e-9, 0)]
)
def test_16_bits(value: float, pcm: int) -> None:
    assert to_pcm16(np.array([value], np.float32)).tolist() == [pcm]
