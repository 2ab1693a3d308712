# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Four-stem tracks from a folder: a corpus of ours, or one in Slakh2100's layout.

    for track in open_dataset(path):
        track.stem("bass", start_samples, length_samples)      # float32 [n], 44.1 kHz, mono
        track.context("bass", start_samples, length_samples)   # the other three, summed
        track.song                                             # notes, beats, chords where known; read when asked for

Audio is read from disk when asked for, only the stretch asked for. A track may be sent to another process. Not
covered: caching, augmentation, batches (training's own), mixes other than the plain sum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from anacrusis.engine.errors import AudioError, StemError
from anacrusis.train.song import SAMPLE_RATE_HZ, SPLITS, STEMS, CorpusError, Song

Audio = NDArray[np.float32]
WRITE_IT_AGAIN: Final = "write it again with python -m anacrusis.train.corpus"


@dataclass(frozen=True)
class Track:
    """One song's stems on disk. files: stem -> the files whose sum it is; a stem without files is silent."""

    name: str
    split: str
    length_samples: int
    files: Mapping[str, tuple[Path, ...]]
    read_song: Callable[[], Song] = field(repr=False, compare=False)

    @cached_property
    def song(self) -> Song:
        """What is known of it. Read at the first use, then kept. Raises CorpusError for a broken file."""
        return self.read_song()

    def stem(self, name: str, start_samples: int = 0, length_samples: int | None = None) -> Audio:
        """float32 [length_samples], silence before 0 and beyond the track. length_samples None: to its end.

        Raises:
            StemError: no stem of that name.
            AudioError: a file that cannot be read.
        """
        if name not in STEMS:
            raise StemError(f"unknown stem {name!r}; stems are {', '.join(STEMS)}")
        length = max(self.length_samples - start_samples, 0) if length_samples is None else length_samples
        total = np.zeros(length, np.float32)
        begin, end = max(start_samples, 0), min(start_samples + length, self.length_samples)
        if end <= begin:
            return total
        for file in self.files.get(name, ()):
            audio = read_audio(file, begin, end - begin)
            total[begin - start_samples : begin - start_samples + audio.size] += audio
        return total

    def context(self, without: str, start_samples: int = 0, length_samples: int | None = None) -> Audio:
        """The sum of the stems but one, as `stem`."""
        if without not in STEMS:
            raise StemError(f"unknown stem {without!r}; stems are {', '.join(STEMS)}")
        others = [self.stem(name, start_samples, length_samples) for name in STEMS if name != without]
        total: Audio = np.sum(others, axis=0, dtype=np.float32)
        return total


def read_audio(file: Path, start_samples: int, length_samples: int) -> Audio:
    """A stretch of a file at 44.1 kHz, channels averaged: float32, shorter where the file ends.

    A file of another rate is read whole and converted each time. Raises AudioError.
    """
    try:
        with sf.SoundFile(file) as source:
            if source.samplerate == SAMPLE_RATE_HZ:
                source.seek(min(start_samples, source.frames))
                audio = source.read(length_samples, dtype="float32", always_2d=True).mean(axis=1, dtype=np.float32)
                return np.asarray(audio, np.float32)
            whole = source.read(dtype="float32", always_2d=True).mean(axis=1, dtype=np.float32)
            rate_hz = source.samplerate
    except (OSError, RuntimeError) as error:
        raise AudioError(f"cannot read {file}: {error}") from None
    converted = soxr.resample(whole, rate_hz, SAMPLE_RATE_HZ)
    return np.asarray(converted[start_samples : start_samples + length_samples], np.float32)


def audio_length(file: Path) -> int:
    """Samples a file has at 44.1 kHz, from its header. Raises AudioError."""
    try:
        info = sf.info(file)
    except (OSError, RuntimeError) as error:
        raise AudioError(f"cannot read {file}: {error}") from None
    return int(np.ceil(info.frames * SAMPLE_RATE_HZ / info.samplerate))


def open_dataset(path: Path, split: str | None = None) -> list[Track]:
    """Every track, by split (train, validation, test) and name. split: only that one.

    path: a folder that `anacrusis.train.corpus` wrote, or Slakh2100's (train/, validation/ and test/ with
    TrackXXXXX/metadata.yaml; omitted/ is left out), or one such split folder or track's parent folder.

    Raises:
        CorpusError: no such folder, neither layout, unfinished, or nothing in it.
    """
    if split is not None and split not in SPLITS:
        raise CorpusError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    if not path.is_dir():
        raise CorpusError(f"there is no folder {path}; name a corpus (corpus.json) or a Slakh2100 folder")
    if (path / "corpus.json").is_file():
        tracks = _corpus_tracks(path)
    elif (path / "plan.json").is_file():
        raise CorpusError(f"{path} is an unfinished corpus; run the command that began it again")
    else:
        from anacrusis.train.slakh import slakh_tracks  # here: it makes Tracks

        tracks = slakh_tracks(path)
        if not tracks:
            raise CorpusError(f"{path} holds neither corpus.json nor Slakh2100's TrackXXXXX/metadata.yaml")
    chosen = [track for track in tracks if split in (None, track.split)]
    if not chosen:
        raise CorpusError(f"{path} has no tracks of the split {split!r}")
    return sorted(chosen, key=lambda t: (SPLITS.index(t.split), t.name))


def _corpus_tracks(path: Path) -> list[Track]:
    try:
        record: dict[str, Any] = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
        if record["schema"] != 1:
            raise CorpusError(f"{path / 'corpus.json'} has schema {record['schema']!r}; {WRITE_IT_AGAIN}")
        tracks = []
        for song in record["songs"]:
            name, split = str(song["name"]), str(song["split"])
            if split not in SPLITS or Path(name).name != name:
                raise CorpusError(f"{path / 'corpus.json'} names an impossible song {split}/{name}; {WRITE_IT_AGAIN}")
            home = path / split / name
            files = {stem: (home / f"{stem}.flac",) for stem in STEMS}
            tracks.append(
                Track(name, split, int(song["length_samples"]), files, partial(Song.read, home / "song.json"))
            )
    except CorpusError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{path / 'corpus.json'} cannot be read ({error}); {WRITE_IT_AGAIN}") from None
    missing = next((file for t in tracks for files in t.files.values() for file in files if not file.is_file()), None)
    if missing is not None:
        raise CorpusError(f"{missing} is missing; {WRITE_IT_AGAIN}")
    return tracks
