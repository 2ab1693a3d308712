# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Write a corpus: four-stem songs with known beats, chords and notes, rendered to FLAC.

    python -m anacrusis.train.corpus --hours 1 --seed 1 --out DIR
    python -m anacrusis.train.corpus --songs 10 --split test --seed 1 --out DIR

    DIR/corpus.json                           last of all: what was asked, versions, SHA-256 of every song and stem
    DIR/plan.json                             first: what makes a song of this corpus what it is
    DIR/{train,validation,test}/NAME/         song.json, {bass,drums,guitar,piano}.flac, hashes.json [, song.mid]

Song i of a seed is the same whatever else is asked for: number of songs, workers, order of their ending. So a run that
was stopped goes on where it was, and a larger one keeps what is there. The families take turns, in a new order each
round; a family belongs to one split, so the splits' shares are their shares of the families. Hashes are of samples
(16 bit, little-endian), not of FLAC files, whose bytes depend on the encoder.

Not covered: mixes (sum the stems), effects, rates other than 44.1 kHz. Exit 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from tqdm import tqdm

from anacrusis.engine.doctor import package_versions
from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.render import Renderer, file_sha256, find_soundfont, require_player, to_pcm16
from anacrusis.train.song import SAMPLE_RATE_HZ, SPLITS, STEMS, CorpusError, Song
from anacrusis.train.writer import FAMILIES, write_song

SCHEMA: Final = 1
DEFAULT_SECONDS: Final = 60.0
# FLAC level 5 of 8; level 0 is 15 % faster and 30 % larger.
COMPRESSION: Final = 0.6
VERSIONS_OF: Final = ("numpy", "soundfile", "tinysoundfont")
# REUSE-IgnoreStart
NOTICE: Final = """\
The songs (song.json) and their arrangement:
    Written by Anacrusis's pattern writer. Apache-2.0.

The audio is played with samples from the soundfont that corpus.json names by its SHA-256. If that is FluidR3 GM:
    Copyright (c) 2000-2002, 2008 Frank Wen <getfrank@gmail.com>
    Copyright (c) 2008 Toby Smithe
    MIT licence.

FluidR3's README credits as contributors: Suren M. Seron, Scott Hanan, Steve Aupperle, Chris Gillman,
Alex Taubr, Chris Prola, Andrew Klenk, Winfried Hubbe, Dylan, Tim, Gort, Uros Katic, Ethan Winer.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
# REUSE-IgnoreEnd


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes song i what it is. Two runs into one folder must agree on it."""

    seed: int
    split: str | None  # None: all three
    seconds: float  # about, a song
    soundfont_sha256: str
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Order:
    """Song `index` of a plan."""

    index: int
    seed: int
    family: str
    split: str

    @property
    def name(self) -> str:
        return f"{self.index:05d}-{self.family}"


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a song. clipped_samples: of the four stems together; hashes: song.json and stems -> SHA-256."""

    name: str
    split: str
    family: str
    chart: str
    length_samples: int
    clipped_samples: int
    hashes: Mapping[str, str]


def orders(seed: int, families: Mapping[str, str]) -> Iterator[Order]:
    """Without end. families: name -> split. A round has every family once; seeds never repeat within a corpus."""
    names = sorted(families)
    index = 0
    while True:
        turn = np.random.default_rng(np.random.SeedSequence([seed, 0, index // len(names)])).permutation(len(names))
        for chosen in turn:
            song_seed = int(np.random.SeedSequence([seed, 1, index]).generate_state(1)[0])
            name = names[int(chosen)]
            yield Order(index, song_seed, name, families[name])
            index += 1


def pcm_sha256(samples: NDArray[np.int16]) -> str:
    """Of 16-bit little-endian samples, in hex."""
    return hashlib.sha256(samples.astype("<i2", copy=False).tobytes()).hexdigest()


_RENDERER: list[Renderer] = []  # of this process: a soundfont is 300 MB and a second to load


def start_worker(soundfont: Path, alone: bool = False) -> None:
    if not alone:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others
    _RENDERER[:] = [Renderer(soundfont)]


def make_song(song: Song, folder: Path, midi: bool = False) -> Made:
    """Render a song into folder/split/name, unless it is there already, whole and the same.

    The folder appears at once, complete. Call `start_worker` first (a pool's initialiser does).
    """
    home = folder / song.split / song.name
    text = song.to_json()
    kept = _kept(home, text)
    if kept is None:
        part = home.with_name(home.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        (part / "song.json").write_text(text, encoding="utf-8", newline="\n")
        hashes = {"song.json": hashlib.sha256(text.encode()).hexdigest()}
        clipped = 0
        for stem, audio in _RENDERER[0].song(song).items():
            samples = to_pcm16(audio)
            clipped += int(np.count_nonzero((samples == 32767) | (samples == -32768)))
            sf.write(part / f"{stem}.flac", samples, SAMPLE_RATE_HZ, subtype="PCM_16", compression_level=COMPRESSION)
            hashes[stem] = pcm_sha256(samples)
        kept = {"hashes": hashes, "clipped_samples": clipped}
        (part / "hashes.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
        if home.exists():  # another writer's, or harmed: the list that knows it is no longer true
            (folder / "corpus.json").unlink(missing_ok=True)
            shutil.rmtree(home)
        os.replace(part, home)
    if midi and not (home / "song.mid").exists():
        from anacrusis.train.midi import write_midi

        write_midi(song, home / "song.mid")
    return Made(
        song.name, song.split, song.family, song.chart, song.length_samples, kept["clipped_samples"], kept["hashes"]
    )


def _kept(home: Path, text: str) -> dict[str, Any] | None:
    """What hashes.json says, if the song and every stem's samples agree with it."""
    try:
        if (home / "song.json").read_text(encoding="utf-8") != text:
            return None
        said = json.loads((home / "hashes.json").read_text(encoding="utf-8"))
        for stem in STEMS:
            samples, rate_hz = sf.read(home / f"{stem}.flac", dtype="int16")
            if rate_hz != SAMPLE_RATE_HZ or pcm_sha256(samples) != said["hashes"][stem]:
                return None
        int(said["clipped_samples"])
    except (OSError, ValueError, KeyError, TypeError, sf.LibsndfileError):
        return None
    return dict(said)


def write_corpus(
    folder: Path,
    *,
    seed: int,
    hours: float | None = None,
    songs: int | None = None,
    split: str | None = None,
    seconds: float = DEFAULT_SECONDS,
    soundfont: Path | None = None,
    workers: int | None = None,
    midi: bool = False,
    force: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Songs until there are `hours` of them, or `songs` many. Returns what corpus.json holds, and the time it took.

    Raises:
        CorpusError: nothing asked for, an unknown split, no soundfont, or a folder that holds something else.
    """
    if (hours is None) == (songs is None) or not (hours or songs or 0) > 0:
        raise CorpusError("say how much: --hours H or --songs N, more than 0")
    if split is not None and split not in SPLITS:
        raise CorpusError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    families = {name: family.split for name, family in FAMILIES.items() if split in (None, family.split)}
    soundfont = require_player(find_soundfont(soundfont))
    plan = Plan(seed, split, seconds, file_sha256(soundfont))
    _claim(folder, plan, force)
    workers = workers or os.cpu_count() or 1
    began = time.perf_counter()
    made: list[Made] = []

    def written() -> Iterator[Song]:
        wanted, length = None if hours is None else hours * 3600 * SAMPLE_RATE_HZ, 0
        for order in orders(seed, families):
            if (songs is not None and order.index >= songs) or (wanted is not None and length >= wanted):
                return
            song = write_song(order.seed, order.family, seconds=seconds, name=order.name)
            length += song.length_samples
            yield song

    total = round(hours * 3600) if hours is not None else None
    unit = {"unit": "s", "total": total} if total else {"unit": "song", "total": songs}
    with tqdm(desc="corpus", file=sys.stderr, disable=not progress, smoothing=0.05, **unit) as bar:
        for one in _made(written(), folder, soundfont, workers, midi):
            made.append(one)
            bar.update(round(one.length_samples / SAMPLE_RATE_HZ) if total else 1)
    _refuse_strangers(folder, {(one.split, one.name) for one in made})
    record = _record(plan, made)
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")
    part = folder / "corpus.json.part"
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, folder / "corpus.json")
    return {**record, "wall_s": time.perf_counter() - began, "workers": workers}


def _made(todo: Iterator[Song], folder: Path, soundfont: Path, workers: int, midi: bool) -> Iterator[Made]:
    """In the songs' order, with twice as many songs on their way as there are workers."""
    if workers == 1:
        start_worker(soundfont, alone=True)
        yield from (make_song(song, folder, midi) for song in todo)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), start_worker, (soundfont,))
    running: deque[Future[Made]] = deque()
    with pool:
        try:
            for song in todo:
                running.append(pool.submit(make_song, song, folder, midi))
                if len(running) > 2 * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool:
            raise CorpusError("a worker died (each needs 0.5 GB); run the same command with --workers 1") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _claim(folder: Path, plan: Plan, force: bool) -> None:
    """Write plan.json, or agree with the one that is there. force: throw that one's songs away (only ours)."""
    file = folder / "plan.json"
    said = json.dumps(asdict(plan), sort_keys=True) + "\n"
    try:
        if force and file.exists():
            for name in SPLITS:
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in ("plan.json", "corpus.json", "NOTICE"):
                (folder / name).unlink(missing_ok=True)
        if file.exists():
            if file.read_text(encoding="utf-8") != said:
                raise CorpusError(f"{folder} holds another corpus (see plan.json); choose another --out, or --force")
        elif folder.is_dir() and any(folder.iterdir()):
            raise CorpusError(f"{folder} holds something that is no corpus of ours; choose an empty --out")
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(said, encoding="utf-8", newline="\n")
    except OSError as error:
        raise CorpusError(f"cannot write into {folder}: {error}") from None


def _refuse_strangers(folder: Path, ours: set[tuple[str, str]]) -> None:
    """A smaller run into a larger corpus would leave songs that corpus.json does not know."""
    there = {(split, path.name) for split in SPLITS for path in (folder / split).glob("*") if path.is_dir()}
    if there - ours:
        more = f"{len(there - ours)} songs more than asked for"
        raise CorpusError(f"{folder} holds {more}; ask for as much as it had, choose another --out, or --force")


def _record(plan: Plan, made: Sequence[Made]) -> dict[str, Any]:
    return {
        **asdict(plan),
        "versions": package_versions(VERSIONS_OF),
        "hours": round(sum(one.length_samples for one in made) / SAMPLE_RATE_HZ / 3600, 4),
        "clipped_samples": sum(one.clipped_samples for one in made),
        "songs": [{**asdict(one), "hashes": dict(one.hashes)} for one in made],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.train.corpus", description="write a corpus of four-stem songs with known truth"
    )
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--hours", type=float, help="how much music")
    amount.add_argument("--songs", type=int, help="how many songs, instead of hours")
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same samples")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if needed; resumed if started")
    parser.add_argument("--split", choices=SPLITS, help="only the families of this split (default: all)")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="about, a song (default %(default)s)")
    parser.add_argument("--soundfont", type=Path, help="FluidR3_GM.sf2 (default: $ANACRUSIS_SOUNDFONT, usual places)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--midi", action="store_true", help="a song.mid beside each song.json")
    parser.add_argument("--force", action="store_true", help="throw away another corpus that DIR holds")
    parser.add_argument("--json", action="store_true", help="no progress bar; only the JSON line")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module. Returns the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        done = write_corpus(
            asked.out,
            seed=asked.seed,
            hours=asked.hours,
            songs=asked.songs,
            split=asked.split,
            seconds=asked.seconds,
            soundfont=asked.soundfont,
            workers=asked.workers,
            midi=asked.midi,
            force=asked.force,
            progress=not asked.json,
        )
    except AnacrusisError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    songs = done.pop("songs")
    per_split = {name: sum(song["split"] == name for song in songs) for name in SPLITS}
    rate = done["hours"] * 60 / max(done["wall_s"] / 60, 1e-9)
    if not asked.json:
        print(f"{len(songs)} songs, {done['hours']:.2f} h, in {done['wall_s']:.0f} s: {asked.out}")
    said = {**done, "wall_s": round(done["wall_s"], 2), "songs": len(songs), "per_split": per_split}
    print(json.dumps({**said, "music_minutes_per_minute": round(rate, 1)}, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
