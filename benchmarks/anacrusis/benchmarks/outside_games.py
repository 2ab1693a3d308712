# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs that people wrote for games: General MIDI files of Debian packages with free licences, read where they lie.

    freedoom     freedoom          BSD-3-Clause  lumps of /usr/share/games/doom/freedoom{1,2}.wad
    simutrans    simutrans-data    Artistic-1.0  /usr/share/games/simutrans/music/*.mid
    openmsx      openttd-openmsx   GPL-2         /usr/share/games/openttd/baseset/openmsx/*.mid

Nothing of them is in this repository. Beats are the file's own tempo map; chords are not known. A file is used where
all four stems play through a stretch of 55 s, its tempo is 70 to 160, a bar has three or four beats, and nine in ten
onsets of drums and of bass lie on its grid (sixteenths or triplets): elsewhere the tempo map is not the music's.
Whether its beat is the one that is heard (many a file counts half or double time) is for the caller to ask: `trusted`.

Not covered: swing (said as straight).
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.midi import Score, by_family, read_score, song_of
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Beat, CorpusError, Note, Part, Song

STRETCH_SAMPLES: Final = 55 * SAMPLE_RATE_HZ
THIRDS: Final = 3
LEAST_NOTES: Final = 4  # of each stem in each third of the stretch
TEMPI_BPM: Final = (70.0, 160.0)  # as the corpus; the beat tracker assumes 60 to 180
ON_GRID: Final = 0.9
NEAR_S: Final = 0.02
GRID: Final = (0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1.0)  # of a beat
WAD_HEADER, WAD_ENTRY = struct.Struct("<4sii"), struct.Struct("<ii8s")


@dataclass(frozen=True, slots=True)
class Source:
    """files: patterns below the root."""

    name: str
    package: str
    files: tuple[str, ...]


SOURCES: Final = (
    Source("freedoom", "freedoom", ("usr/share/games/doom/freedoom1.wad", "usr/share/games/doom/freedoom2.wad")),
    Source("simutrans", "simutrans-data", ("usr/share/games/simutrans/music/*.mid",)),
    Source("openmsx", "openttd-openmsx", ("usr/share/games/openttd/baseset/openmsx/*.mid",)),
)


@dataclass(frozen=True, slots=True)
class Tune:
    """A MIDI file's bytes. name: unlike every other tune's."""

    name: str
    source: str
    data: bytes


def lumps(wad: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every MIDI lump of a WAD, whose directory is at its header's third field.

    Raises CorpusError for what is no WAD.
    """
    if len(wad) < WAD_HEADER.size:
        raise CorpusError(f"{where} is not a WAD; install its package again")
    magic, count, offset = WAD_HEADER.unpack_from(wad)
    if magic not in (b"IWAD", b"PWAD") or count < 0 or not 0 <= offset <= len(wad) - count * WAD_ENTRY.size:
        raise CorpusError(f"{where} is not a WAD; install its package again")
    for index in range(count):
        begin, length, name = WAD_ENTRY.unpack_from(wad, offset + index * WAD_ENTRY.size)
        if length > 0 and wad[begin : begin + 4] == b"MThd":
            yield name.rstrip(b"\0").decode("ascii", "replace"), wad[begin : begin + length]


def tunes(source: Source, root: Path = Path("/")) -> list[Tune]:
    """By file and place in it; the same bytes twice are one tune. Raises CorpusError where the package is not there."""
    files = [file for pattern in source.files for file in sorted(root.glob(pattern))]
    if not files:
        raise CorpusError(f"the music of {source.name} is not installed: apt install {source.package}")
    found: dict[bytes, Tune] = {}
    for file in files:
        data = file.read_bytes()
        named = lumps(data, str(file)) if file.suffix == ".wad" else [(file.stem, data)]
        for name, one in named:
            tag = f"{file.stem}-{name}" if file.suffix == ".wad" else name
            found.setdefault(one, Tune(f"{source.name}-{tag.lower()}", source.name, one))
    return list(found.values())


def score_of(tune: Tune) -> Score:
    """Raises CorpusError for a broken file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{tune.name}.mid"
        file.write_bytes(tune.data)
        return read_score(file)


def on_grid(notes: Sequence[Note], beats: Sequence[Beat]) -> float:
    """Share of the notes that start within 20 ms of a sixteenth or a triplet of their beat, 0 to 1."""
    at = np.array([beat.position_samples for beat in beats], np.float64) / SAMPLE_RATE_HZ
    starts = np.array([note.start_samples for note in notes], np.float64) / SAMPLE_RATE_HZ
    if len(at) < 2:
        return 0.0
    starts = starts[(starts >= at[0]) & (starts < at[-1])]
    if not len(starts):
        return 0.0
    index = np.searchsorted(at, starts, side="right") - 1
    beat_s = at[index + 1] - at[index]
    apart_s = np.abs((starts - at[index])[:, None] - np.array(GRID) * beat_s[:, None]).min(axis=1)
    return float((apart_s <= NEAR_S).mean())


def best_stretch(parts: dict[str, Part], score: Score) -> tuple[int, int]:
    """(first sample, fewest notes): the downbeat from which the stem that plays least, in a third of it, plays most."""
    starts = [b.position_samples for b in score.beats if b.number == 1]
    starts = [first for first in starts if first + STRETCH_SAMPLES <= score.length_samples]
    onsets = [np.array([note.start_samples for note in parts[stem].notes], np.int64) for stem in STEMS]
    found = [(_fewest(onsets, first), -first) for first in starts]
    fewest, first = max(found, default=(0, 0))
    return -first, fewest


def _fewest(onsets: Sequence[NDArray[np.int64]], first: int) -> int:
    edges = first + np.arange(THIRDS + 1) * (STRETCH_SAMPLES // THIRDS)
    return min(int(np.histogram(one, edges)[0].min()) for one in onsets)


def stretch_of(tune: Tune) -> Song | None:
    """The tune's best 55 s as a song; None where it does not fit (see the module) or cannot be read."""
    try:
        score = score_of(tune)
    except CorpusError:
        return None
    parts = by_family(score)
    if set(parts) != set(STEMS) or not TEMPI_BPM[0] <= score.tempo_bpm <= TEMPI_BPM[1]:
        return None
    if score.beats_per_bar not in (3, 4):
        return None
    first, fewest = best_stretch(parts, score)
    if fewest < LEAST_NOTES or min(on_grid(parts[stem].notes, score.beats) for stem in ("drums", "bass")) < ON_GRID:
        return None
    return cut(song_of(score, tune.name, family=tune.source), first, STRETCH_SAMPLES)


def cut(song: Song, first_samples: int, length_samples: int) -> Song:
    """A stretch of a song as a song; notes that began before it are left out, those that outlast it end with it."""
    last = first_samples + length_samples
    parts = {
        stem: Part(
            part.program,
            tuple(
                sorted(  # again: of two that start together the shorter is first, until both end with the stretch
                    Note(n.start_samples - first_samples, min(n.end_samples, last) - first_samples, n.pitch, n.velocity)
                    for n in part.notes
                    if first_samples <= n.start_samples < last
                )
            ),
        )
        for stem, part in song.parts.items()
    }
    inside = [beat for beat in song.beats if first_samples <= beat.position_samples < last]
    beats = tuple(Beat(beat.position_samples - first_samples, beat.number) for beat in inside)
    about = {**song.about, "first_samples": first_samples}
    return replace(song, length_samples=length_samples, beats=beats, parts=parts, about=about)


def require_games(root: Path = Path("/")) -> None:
    """Raise CorpusError, naming every package that is missing."""
    missing = [source.package for source in SOURCES if not any(any(root.glob(f)) for f in source.files)]
    if missing:
        raise CorpusError(f"music of games is not installed: apt install {' '.join(missing)}")


def game_songs(
    count: int, seed: int, root: Path = Path("/"), trusted: Callable[[Song], bool] = lambda song: True
) -> list[Song]:
    """The sources take turns; within one by a hash of seed and name; what is not `trusted` is passed over.

    Raises CorpusError where there are too few.
    """
    require_games(root)
    each = [_fitting(tunes(source, root), seed, trusted) for source in SOURCES]
    found: list[Song] = []
    while each and len(found) < count:
        turn = each.pop(0)
        song = next(turn, None)
        if song is not None:
            found.append(song)
            each.append(turn)
    if len(found) < count:
        raise CorpusError(f"the games have {len(found)} songs that can be used, not {count}; ask for fewer")
    return found


def _fitting(found: Sequence[Tune], seed: int, trusted: Callable[[Song], bool]) -> Iterator[Song]:
    for tune in sorted(found, key=lambda tune: (zlib.crc32(f"{seed}/{tune.name}".encode()), tune.name)):
        song = stretch_of(tune)
        if song is not None and trusted(song):
            yield replace(song, about={**song.about, "crc32": zlib.crc32(tune.data)})
