# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs that somebody else's arranger plays: chord charts of our own through MMA, whose styles are not our writer's.

MMA (Musical MIDI Accompaniment, GPL-2+; Debian: `mma`) is run on the user's machine and gives a MIDI file; nothing of
it is in this repository. The grooves named here have all four stems. The chart is ours, so chords and beats are known:
the tempo is constant and a bar is four beats.

Not covered: solos and melodies, other metres, intros and endings.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from anacrusis.train.midi import read_score, song_of
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Chord, CorpusError, Song

INSTALL: Final = "MMA is not installed: apt install mma"
BEATS: Final = 4
LEAST_SECONDS: Final = 50.0
TIMEOUT_S: Final = 60
FLATS: Final = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
PITCHES: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# What follows the root, in the charts and in MMA alike -> the quality as `train.song` names it.
SUFFIXES: Final = {
    "": "maj",
    "m": "min",
    "7": "7",
    "M7": "maj7",
    "m7": "min7",
    "m7b5": "min7b5",
    "dim7": "dim7",
    "sus4": "sus4",
    "6": "6",
    "m6": "min6",
    "9": "9",
    "m9": "min9",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """bars: chords of a bar joined by a comma, halves of it. swing: where MMA's groove puts a beat's second eighth."""

    name: str
    groove: str
    tempo_bpm: int
    tonic: int
    mode: str
    bars: str
    swing: float = 0.5


CHARTS: Final = (
    Chart("porch", "8Beat", 108, 0, "major", "C Em7 F G C Em7 Dm7,G7 C Am7 Em7 F C Dm7 F Gsus4 G7"),
    Chart("corner", "DSoul", 98, 2, "minor", "Dm7 Gm7 Dm7 Am7 Bb C Am7 Dm7 Bb F Gm7 Am7 Bb Gm7 A7 A7"),
    Chart("harbour", "Samba", 104, 7, "major", "GM7 E7 Am7 D7 Bm7 Bbdim7 Am7 D7 Dm7 G7 CM7 Cm6 Bm7,E7 Am7,D7 G6 D7"),
    Chart("lantern", "SlowBolero", 84, 9, "minor", "Am Am Dm Dm G G C E7 F Dm Am Am Bm7b5 E7 Am E7"),
    Chart(
        "ferry",
        "ShuffleBoggie",
        112,
        5,
        "major",
        "FM7 Dm7 Gm7 C7 FM7 Dm7 Bb C7 BbM7 Am7 Gm7 FM7 BbM7 Am7 Gm7 C7",
        swing=2 / 3,
    ),
    Chart("arcade", "Twist", 152, 4, "major", "E E A B7 E C#m A B7 A A E E B7 A E B7"),
    Chart("depot", "FastBlues", 126, 10, "major", "Bb7 Eb7 Bb7 Bb7 Eb7 Eb7 Bb7 G7 Cm7 F7 Bb7,G7 Cm7,F7"),
    Chart("balcony", "LightTango", 112, 4, "minor", "Em Em B7 B7 B7 B7 Em Em Am Am Em Em F#m7b5 B7 Em B7"),
    Chart("attic", "ModernJazz", 120, 3, "major", "EbM7 Cm7 Fm7 Bb7 Gm7 C7 Fm7 Bb7 AbM7 Db9 Gm7 C7 Fm7 Bb7 Eb6 Bb7"),
    Chart("meadow", "Foxtrot", 118, 0, "major", "C6 A7 D7 G7 C6 A7 D7 G7 F6 Fm6 C6 A7 D7 G7 C6 G7"),
)


@dataclass(frozen=True, slots=True)
class Symbol:
    """root: pitch class."""

    root: int
    suffix: str

    def moved(self, semitones: int) -> Symbol:
        return Symbol((self.root + semitones) % 12, self.suffix)

    @property
    def text(self) -> str:
        return FLATS[self.root] + self.suffix


def parse(text: str) -> Symbol:
    """ "F#m7b5" -> Symbol. Raises CorpusError."""
    found = re.fullmatch(r"([A-G])([#b]?)(.*)", text)
    if found is None or found[3] not in SUFFIXES:
        raise CorpusError(f"{text!r} is no chord of a chart")
    return Symbol((PITCHES[found[1]] + {"#": 1, "b": -1, "": 0}[found[2]]) % 12, found[3])


def bars_of(chart: Chart, semitones: int) -> list[list[Symbol]]:
    """The chart in another key, repeated until it lasts `LEAST_SECONDS`. A bar is one chord or two halves."""
    once = [[parse(text).moved(semitones) for text in bar.split(",")] for bar in chart.bars.split()]
    bar_s = BEATS * 60.0 / chart.tempo_bpm
    return once * int(np.ceil(LEAST_SECONDS / (bar_s * len(once))))


def score_text(chart: Chart, bars: list[list[Symbol]], random_seed: int) -> str:
    """What MMA reads."""
    lines = [f"RndSeed {random_seed}", f"Tempo {chart.tempo_bpm}", f"Groove {chart.groove}"]
    for number, bar in enumerate(bars, 1):
        halves = [f"{symbol.text} /" if len(bar) == 2 else symbol.text for symbol in bar]
        lines.append(f"{number} {' '.join(halves)}")
    return "\n".join(lines) + "\n"


def chords_of(chart: Chart, bars: list[list[Symbol]]) -> Iterator[Chord]:
    """In samples, the first at 0; what is repeated is one chord."""
    bar_samples = BEATS * 60.0 * SAMPLE_RATE_HZ / chart.tempo_bpm
    open_: tuple[Symbol, float] | None = None
    flat = [(symbol, index + half / len(bar)) for index, bar in enumerate(bars) for half, symbol in enumerate(bar)]
    for symbol, at in [*flat, (None, float(len(bars)))]:
        if open_ is not None and symbol != open_[0]:
            last, since = open_
            begin, end = round(since * bar_samples), round(at * bar_samples)
            yield Chord(begin, end, last.root, SUFFIXES[last.suffix], last.root)
            open_ = None
        if symbol is not None and open_ is None:
            open_ = (symbol, at)


def require_mma() -> str:
    """Its path. Raises CorpusError where it is not installed."""
    found = shutil.which("mma")
    if found is None:
        raise CorpusError(INSTALL)
    return found


def mma_songs(count: int, seed: int) -> list[Song]:
    """`count` of the charts, in an order, in keys and with MMA's own chance by seed. Raises CorpusError."""
    if count > len(CHARTS):
        raise CorpusError(f"there are {len(CHARTS)} charts for MMA, not {count}; ask for fewer songs")
    order = np.random.default_rng(np.random.SeedSequence([seed, 11])).permutation(len(CHARTS))
    return [mma_song(CHARTS[int(index)], int(index), seed) for index in order[:count]]


def mma_song(chart: Chart, index: int, seed: int) -> Song:
    """One chart through MMA. Raises CorpusError where MMA does not play it, or not with all four stems."""
    program = require_mma()
    rng = np.random.default_rng(np.random.SeedSequence([seed, 12, index]))
    semitones, random_seed = int(rng.integers(-5, 7)), int(rng.integers(1, 1 << 30))
    bars = bars_of(chart, semitones)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "chart.mma", Path(folder) / "chart.mid"
        source.write_text(score_text(chart, bars, random_seed), encoding="ascii")
        try:
            done = subprocess.run(
                [program, str(source), "-f", str(target)],
                capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CorpusError(f"mma did not end within {TIMEOUT_S} s on groove {chart.groove}") from None
        if done.returncode or not target.is_file():
            said = (done.stdout + done.stderr).strip().splitlines()
            raise CorpusError(f"mma does not play groove {chart.groove}: {said[-1] if said else 'it says nothing'}")
        score = read_score(target)
    song = song_of(score, f"mma-{chart.name}", family="mma")
    missing = [stem for stem in STEMS if stem not in song.parts]
    if missing:
        raise CorpusError(f"mma plays groove {chart.groove} without {', '.join(missing)}; is this another version?")
    return replace(
        song,
        chart=f"mma-{chart.name}",
        seed=seed,
        tempo_bpm=float(chart.tempo_bpm),
        swing=chart.swing,
        tonic=(chart.tonic + semitones) % 12,
        mode=chart.mode,
        chords=tuple(chords_of(chart, bars)),
        about={"source": "mma", "groove": chart.groove, "random_seed": random_seed},
    )
