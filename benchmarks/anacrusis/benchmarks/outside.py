# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs that our writer did not write, as a corpus the ear can read: half of them MMA's, half from games.

    python -m anacrusis.benchmarks.outside --out out/outside
    python -m anacrusis.benchmarks.headline --bundle B --corpus out/outside --songs 10
    python -m anacrusis.benchmarks.music --bundle B --corpus out/outside

All are of the split `test`, have all four stems, last 50 to 90 s, and are played with the same soundfont as the corpus.
Of MMA's the chords and beats are known (`outside_mma.py`); of the games' the beats, from the file's tempo map
(`outside_games.py`), so no chart score exists there. A tempo map may count half or double time. So a game's song is
taken only where the beat tracker that will judge hears the file's beats in its drums (F1 of 0.7 or more): that makes
their beats easier to hear than games' beats are; those passed over are listed in corpus.json. The same seed and the
same versions of the packages give the same songs. The layout is that of `anacrusis.train.corpus`, DIR/test/NAME;
corpus.json is written last.

Needs: apt install mma freedoom simutrans-data openttd-openmsx; a soundfont, tinysoundfont, the judges. The music
belongs to its authors, under free licences (DIR/NOTICE): it is made on your machine to be listened to, none is shipped.

Exit code 0 done, 2 bad input, 130 interrupted (the same command goes on).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from anacrusis.benchmarks.judges.beats import beats
from anacrusis.benchmarks.judges.rhythm import beat_f1
from anacrusis.benchmarks.outside_games import SOURCES, game_songs, require_games
from anacrusis.benchmarks.outside_mma import mma_songs, require_mma
from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.corpus import Made, make_song, start_worker
from anacrusis.train.render import Renderer, file_sha256, find_soundfont, require_player
from anacrusis.train.song import SAMPLE_RATE_HZ, CorpusError, Song

KIND: Final = "outside"
HEARD_F1: Final = 0.7
SCHEMA: Final = 1  # of corpus.json, as train.dataset reads it
NOTICE: Final = """\
Songs made on this machine to judge an accompanist with. They are not part of Anacrusis and are not shipped with it.

mma-*: chord charts of Anacrusis (Apache-2.0), arranged by MMA and its styles (GPL-2+): /usr/share/doc/mma/copyright
"""


class HeardBeats:
    """Whether the tracker hears a song's beats in its drums. passed_over: F1 of those where it does not, by name."""

    def __init__(self) -> None:
        self._renderer: Renderer | None = None
        self.passed_over: dict[str, float] = {}

    def __call__(self, song: Song) -> bool:
        """Raises CorpusError, MissingExtraError, JudgeError."""
        if self._renderer is None:
            self._renderer = Renderer()
        drums = self._renderer.stem(song.parts["drums"], "drums", song.length_samples)
        at_s = np.array([beat.position_samples for beat in song.beats], np.float64) / SAMPLE_RATE_HZ
        f1 = beat_f1(beats(drums), at_s)
        if f1 < HEARD_F1:
            self.passed_over[song.name] = round(f1, 3)
        return f1 >= HEARD_F1


def outside_songs(count: int, seed: int, trusted: Callable[[Song], bool], root: Path = Path("/")) -> list[Song]:
    """MMA's first; of an odd count MMA has one more. Everything missing is said before anything is made.

    trusted: of a game's song. Raises CorpusError.
    """
    if count < 2:
        raise CorpusError(f"--songs is {count}; the judge needs at least 2")
    games = count // 2
    missing = []
    for check in (require_mma, lambda: require_games(root)):
        try:
            check()
        except CorpusError as error:
            missing.append(str(error))
    if missing:
        raise CorpusError("; ".join(missing))
    songs = [*mma_songs(count - games, seed), *game_songs(games, seed, root, trusted)]
    for song in songs:
        song.validate()
    return songs


def claim(folder: Path, plan: dict[str, Any], force: bool) -> None:
    """Write plan.json, or agree with the one that is there. CorpusError for a folder with anything else in it."""
    file, said = folder / "plan.json", json.dumps(plan, sort_keys=True) + "\n"
    try:
        if file.is_file():
            there = file.read_text(encoding="utf-8")
            if KIND not in there or (there != said and not force):
                raise CorpusError(f"{folder} holds other songs (plan.json); choose another --out, or --force")
        elif folder.is_dir() and any(folder.iterdir()):
            raise CorpusError(f"{folder} is not empty and no corpus of outside songs; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "corpus.json").unlink(missing_ok=True)
        file.write_text(said, encoding="utf-8", newline="\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot write into {folder}: {error}") from None


def write_outside(
    folder: Path,
    songs: Sequence[Song],
    plan: dict[str, Any],
    passed_over: Mapping[str, float],
    *,
    force: bool = False,
) -> dict[str, Any]:
    """Render the songs into folder. Returns what corpus.json holds. Raises CorpusError, MissingExtraError."""
    soundfont = require_player(find_soundfont())
    plan = {**plan, "kind": KIND, "soundfont_sha256": file_sha256(soundfont)}
    claim(folder, plan, force)
    start_worker(soundfont, alone=True)
    made: list[Made] = [make_song(song, folder) for song in tqdm(songs, desc="outside", unit="song", file=sys.stderr)]
    games = "".join(f"{s.name}-*: Debian's {s.package}: /usr/share/doc/{s.package}/copyright\n" for s in SOURCES)
    (folder / "NOTICE").write_text(NOTICE + games, encoding="utf-8")
    record = {
        **plan,
        "schema": SCHEMA,
        "hours": round(sum(one.length_samples for one in made) / SAMPLE_RATE_HZ / 3600, 4),
        "clipped_samples": sum(one.clipped_samples for one in made),
        "songs": [{**asdict(one), "hashes": dict(one.hashes)} for one in made],
        "passed_over_beat_f1": dict(passed_over),
        "about": {song.name: dict(song.about) for song in songs},
    }
    part = folder / "corpus.json.part"
    part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    os.replace(part, folder / "corpus.json")
    return record


def main(arguments: Sequence[str] | None = None, *, root: Path = Path("/")) -> int:
    """See the module. root: where the packages are, for tests."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.benchmarks.outside",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if needed")
    parser.add_argument("--songs", type=int, default=10, help="half MMA's, half from games (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice, of MMA's keys and chance (default 1)")
    parser.add_argument("--force", action="store_true", help="write over other outside songs in DIR")
    asked = parser.parse_args(arguments)
    try:
        trusted = HeardBeats()
        songs = outside_songs(asked.songs, asked.seed, trusted, root)
        plan = {"seed": asked.seed, "count": asked.songs}
        record = write_outside(asked.out, songs, plan, trusted.passed_over, force=asked.force)
    except AnacrusisError as error:
        print(f"outside: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("outside: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    for song in songs:
        stems = ", ".join(f"{stem} {len(part.notes)}" for stem, part in sorted(song.parts.items()))
        print(f"{song.name}: {song.length_samples / SAMPLE_RATE_HZ:.0f} s, {song.tempo_bpm:.0f} BPM, notes of {stems}")
    for name, f1 in record["passed_over_beat_f1"].items():
        print(f"passed over {name}: its beats are not those heard (F1 {f1:.2f})")
    said = {"out": str(asked.out), "songs": len(songs), "passed_over": len(trusted.passed_over)}
    said |= {name: record[name] for name in ("seed", "hours", "clipped_samples")}
    print(json.dumps(said, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
