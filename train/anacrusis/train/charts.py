# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Progressions: a bank of phrases by flavour, a small grammar for more, and the split that keeps them apart.

A phrase is bars of chord symbols on degrees (theory.parse_symbol): blanks between bars, a comma between two chords.
The split of a phrase is drawn from a checksum of its skeleton (theory.root_skeleton: roots only, repeats joined, any
rotation), so two phrases of different splits differ in more than colour, rate or starting point. The phrases are common
practice, written down from general knowledge.

Not covered: modulation within a song, melodies.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from anacrusis.train import theory
from anacrusis.train.styles.plan import pick
from anacrusis.train.theory import Symbol

Phrase = tuple[tuple[Symbol, ...], ...]  # the chords of each bar
MAJOR, MINOR = ("major", "mixolydian"), ("minor", "dorian", "phrygian")
_TRIES: Final = 1000
_ENOUGH: Final = 4  # phrases of one flavour, mode and split

# flavour -> "kinds of mode: phrase". Kinds: M major and mixolydian, m minor, dorian and phrygian.
PROGRESSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "pop": (
        "M: I V vi IV",
        "M: vi IV I V",
        "M: I vi IV V",
        "M: I IV V IV",
        "M: I iii IV V",
        "M: IV V iii vi",
        "M: I V/7 vi iii IV I/3 ii V",
        "M: I ii IV V",
        "M: I IV vi V",
        "M: vi V IV V",
        "M: IV I V vi",
        "M: I I/3 IV V",
        "M: I V IV IV",
        "M: ii IV I V",
        "M: I V/7 vi I/5 IV I/3 ii V7sus4,V",
        "M: IV iii ii I",
        "m: i bVI bIII bVII",
        "m: i bVII bVI bVII",
        "m: i iv bVI V",
        "m: i bIII bVII iv",
        "m: bVI bVII i i",
        "m: i v bVI bVII",
        "m: i bVII/b7 bVI/b6 V7",
        "m: i iv bVII bIII",
    ),
    "rock": (
        "M: I bVII IV I",
        "M: I IV I V",
        "M: I IV bVII IV",
        "M: I bIII IV I",
        "M: I V bVII IV",
        "M: I I IV IV V IV I V",
        "M: I bVI bVII I",
        "m: i bVII bVI bVII",
        "m: i bIII iv i",
        "m: i iv i bVII",
        "m: i i bVI bVII",
        "m: i bVI iv V",
        "m: i bII i bVII",
        "m: i bIII bVII bVI",
    ),
    "vamp": (
        "M: I7 IV7",
        "M: I bVII",
        "M: I7 I7 I7 IV7",
        "M: I9 bVII9",
        "M: I ii7",
        "M: I7 bIII IV7 I7",
        "m: i7 IV7",
        "m: i7 ii7",
        "m: i7 i7 bVII7 i7",
        "m: i bII",
        "m: i7 bVI7",
        "m: i7 bIII bVII7 IV7",
        "m: i7 iv7",
        "m: i9 bVII9 bVImaj7 V7",
        "m: i7 v7",
        "m: i bIII,bII i i",
    ),
    "jazz": (
        "M: ii7 V7 Imaj7 vi7",
        "M: Imaj7 vi7 ii7 V7",
        "M: iii7 VI7 ii7 V7",
        "M: Imaj7 I7 IVmaj7 iv6 iii7 VI7 ii7 V7",
        "M: ii7 V7 Imaj7 Imaj7 iii7 VI7 ii7 V7",
        "M: Imaj7 #io7 ii7 V7",
        "M: Imaj7 IVmaj7 iii7 VI7 ii7 V7 Imaj7 ii7,V7",
        "M: III7 III7 VI7 VI7 II7 II7 V7 V7",
        "M: Imaj7 II7 ii7 V7",
        "M: Imaj7 bVII7 Imaj7 VI7 ii7 V7 iii7,VI7 ii7,V7",
        "M: iv7 bVII7 Imaj7 Imaj7 ii7 V7 Imaj7 Imaj7",
        "m: i6 iim7b5,V7 i6 V7",
        "m: iim7b5 V7 i7 i7",
        "m: iv7 bVII7 bIIImaj7 bVImaj7 iim7b5 V7 i6 i6",
        "m: i7 i7/b7 bVImaj7 V7",
        "m: i7 bVI7 V7 i7",
        "m: i6 iv7 i6 iim7b5,V7",
    ),
    "blues": (
        "M: I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
        "M: I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
        "M: I7 IV7 I7 I7 IV7 #ivo7 I7 VI7 ii7 V7 I7,VI7 ii7,V7",
        "M: I7 I7 I7 I7 IV7 IV7 I7 I7 V7 V7 I7 I7",
        "M: I7 V7 IV7 IV7 I7 V7 I7,IV7 I7,V7",
        "M: I7 I7 IV7 IV7 I7 V7 I7 V7",
        "M: I7 IV7 I7 VI7 ii7 V7 I7 V7",
        "M: I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 I7",
        "M: I7 IV7 I7 I7 IV7 IV7 I7 I7 ii7 V7 I7 V7",
        "M: I7 I7 I7 I7 IV7 IV7 I7 I7 V7 bVI7,V7 I7 V7",
        "M: I7 I7 IV7 I7 IV7 IV7 I7 I7 V7 IV7 I7 IV7,V7",
        "M: I7 I7 I7 I7 IV7 bVII7 I7 VI7 ii7 V7 I7 V7",
        "m: i7 i7 i7 i7 iv7 iv7 i7 i7 v7 iv7 i7 v7",
        "m: i7 i7 iv7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 i7",
        "m: i6 iv7 i6 i6 iv7 iv7 i6 bVI7 iim7b5 V7 i6 V7",
        "m: i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7",
        "m: i7 iv7 i7 i7 iv7 iv7 i7 i7 iim7b5 V7 i7 V7",
    ),
    "gospel": (
        "M: I I7/3 IV iv6",
        "M: I III7 vi IV I/5 V7 I V7",
        "M: I I7 IV #ivo7 I/5 VI7 II7 V7",
        "M: IV I/3 ii7 V7sus4",
        "M: I V/7 vi7 I7/5 IV I/3 ii7 V7sus4,V7",
        "M: I IV/1 I V7sus4",
        "M: vi7 III7/7 I/5 II7 IV iv6 I V7",
    ),
    "latin": (
        "M: I IV V7 IV",
        "M: I V7 V7 I",
        "M: I VI7 ii7 V7",
        "M: I I7 IV V7",
        "M: ii7 V7 I VI7",
        "m: i iv V7 i",
        "m: i V7 V7 i",
        "m: i bVII bVI V7",
        "m: iv i V7 i",
        "m: i i V7 V7 iv i V7 i",
        "m: i I7 iv iv V7 V7 i V7",
    ),
    "country": (
        "M: I I IV I V V I I",
        "M: I IV I V",
        "M: I I V V V V I I",
        "M: I IV V I",
        "M: I II7 V7 I",
        "M: I I7 IV I I V7 I V7",
        "M: IV I V I",
        "M: I V I IV I V I I",
        "m: i bVII i bVII i i bVII i",
        "m: i bIII bVII i",
    ),
    "cliche": (
        "m: i i/7 i/b7 i6/6",
        "m: i i/7 i/b7 IV/6",
        "m: i i/b7 bVI V7",
        "M: I Imaj7 I7 IV",
        "M: I I+ I6 I7",
        "M: I IV/1 V/1 I",
        "M: I bVII/1 IV/1 I",
        "m: i bVII/1 bVI/1 i",
    ),
}
# What may follow a degree, with weights; the grammar walks these and closes the phrase.
_MAJOR_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    "I": ("IV", "IV", "V", "vi", "vi", "ii", "iii", "bVII", "I/3", "VI7"),
    "I/3": ("IV", "IV", "ii"),
    "ii": ("V", "V", "V", "IV", "vi", "V7sus4"),
    "iii": ("vi", "IV", "IV", "ii", "VI7"),
    "IV": ("V", "V", "I", "I", "ii", "iv", "I/3", "bVII", "#ivo7"),
    "iv": ("I", "bVII", "V"),
    "V": ("I", "I", "vi", "IV", "V/7", "III7"),
    "V/7": ("vi", "vi", "I"),
    "V7sus4": ("V", "I"),
    "vi": ("IV", "IV", "ii", "V", "iii", "II7"),
    "bVII": ("IV", "IV", "I", "bVI"),
    "bVI": ("bVII", "V"),
    "VI7": ("ii", "ii", "II7"),
    "II7": ("V", "ii", "IV"),
    "III7": ("vi", "VI7"),
    "#ivo7": ("V", "I/5"),
    "I/5": ("V", "VI7"),
}
_MINOR_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    "i": ("iv", "iv", "bVI", "bVI", "bVII", "bVII", "bIII", "v", "V7", "i/b7", "iim7b5", "bII"),
    "i/b7": ("bVI", "iv"),
    "iim7b5": ("V7", "V7"),
    "bII": ("i", "V7", "bIII"),
    "bIII": ("bVII", "bVI", "iv", "IV"),
    "iv": ("i", "V7", "bVII", "bVII", "bVI", "bIII"),
    "IV": ("i", "bVII", "bIII"),
    "v": ("i", "bVI", "iv"),
    "V7": ("i", "i", "i", "bVI"),
    "bVI": ("bVII", "bVII", "V7", "bIII", "iv", "iim7b5"),
    "bVII": ("i", "i", "bVI", "bIII", "IV"),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """Phrases by the section that plays them: "A" verse, "B" chorus, "C" bridge."""

    phrases: Mapping[str, Phrase]

    def text(self) -> str:
        """What a split keeps apart, readable: degrees and qualities, bars apart by blanks."""
        return "; ".join(f"{name}={phrase_text(phrase)}" for name, phrase in self.phrases.items())


def phrase_text(phrase: Phrase) -> str:
    """Bars apart by blanks, chords of a bar by commas."""
    return " ".join(",".join(symbol.text() for symbol in bar) for bar in phrase)


def parse_phrase(text: str) -> Phrase:
    """Raises CorpusError for a chord symbol it does not know."""
    return tuple(tuple(theory.parse_symbol(symbol) for symbol in bar.split(",")) for bar in text.split())


def split_of(phrase: Phrase) -> str:
    """train (70 %), validation (10 %) or test (20 %) by the skeleton's CRC-32: the same on every machine."""
    skeleton = theory.root_skeleton([symbol.degree for bar in phrase for symbol in bar])
    bucket = zlib.crc32(f"{_SALT}:{skeleton}".encode()) % 10
    return "train" if bucket < 7 else "validation" if bucket < 8 else "test"


_SALT: Final = "phrases 169"  # of two hundred, one that spreads the bank and keeps the plainest loops in train


def _from_grammar(minor: bool, bars: int, rng: np.random.Generator) -> Phrase:
    following = _MINOR_NEXT if minor else _MAJOR_NEXT
    home = "i" if minor else "I"
    at = home if rng.random() < 0.65 else pick(rng, sorted(following))
    names = [at]
    while len(names) < bars:
        at = pick(rng, following[at])
        names.append(at)
    if rng.random() < 0.4:
        names[-1] = "V7" if minor else pick(rng, ("V", "V7sus4", "V"))
    cells = [[name] for name in names]
    for i in range(1, bars, 2):
        if rng.random() < 0.12:
            cells[i].append(pick(rng, following.get(cells[i][0], (home,))))
    return tuple(tuple(theory.parse_symbol(name) for name in cell) for cell in cells)


def draw_phrase(
    split: str, flavours: tuple[str, ...], mode: str, bars: tuple[int, ...], rng: np.random.Generator
) -> Phrase:
    """A phrase of that split, from the bank or the grammar. flavours: of PROGRESSIONS, or "grammar".

    mode "blues" takes the phrases of major. The harmonic rhythm is drawn too: a short phrase may be played at half
    its rate, a long one at twice.
    """
    minor = mode in MINOR
    bank = _bank(pick(rng, flavours), minor, split)
    # Where a split has few phrases of a flavour, the grammar fills in: no phrase is to be heard all the time.
    if rng.random() * _ENOUGH < len(bank):
        return _at_rate(pick(rng, bank), max(bars), rng)
    for _ in range(_TRIES):
        phrase = _from_grammar(minor, pick(rng, (4, 4, 8)), rng)
        if split_of(phrase) == split:
            return _at_rate(phrase, max(bars), rng)
    raise AssertionError("the grammar reaches every split")  # pragma: no cover


@cache
def _bank(flavour: str, minor: bool, split: str) -> tuple[Phrase, ...]:
    kind = "m: " if minor else "M: "
    texts = [text[3:] for text in PROGRESSIONS.get(flavour, ()) if text.startswith(kind)]
    return tuple(phrase for phrase in map(parse_phrase, texts) if split_of(phrase) == split)


def _at_rate(phrase: Phrase, most_bars: int, rng: np.random.Generator) -> Phrase:
    draw = rng.random()
    if draw < 0.15 and 2 * len(phrase) <= most_bars:
        return tuple(bar for bar in phrase for _ in range(2))
    if draw > 0.88 and len(phrase) == 4 and all(len(bar) == 1 for bar in phrase):
        return (phrase[0] + phrase[1], phrase[2] + phrase[3])
    return phrase


def draw_chart(
    split: str, flavours: tuple[str, ...], mode: str, bars: tuple[int, ...], rng: np.random.Generator
) -> Chart:
    """Phrases for verse, chorus and bridge, all of that split; the chorus may share the verse's."""
    verse = draw_phrase(split, flavours, mode, bars, rng)
    chorus = verse if rng.random() < 0.2 else draw_phrase(split, flavours, mode, bars, rng)
    bridge = draw_phrase(split, (*flavours, "grammar"), mode, bars, rng)
    return Chart({"A": verse, "B": chorus, "C": bridge})


def coloured(chart: Chart, colour: str, rng: np.random.Generator) -> Chart:
    """The chart with a family's chord colours, each symbol always the same within a song.

    colour: "triad", "seventh", "extended", "power", "plain" (sevenths away), "suspended" (some sus2 and sus4).
    """
    known: dict[Symbol, Symbol] = {}

    def colour_of(symbol: Symbol) -> Symbol:
        if symbol not in known:
            quality = _colour(symbol, colour, rng)
            known[symbol] = Symbol(symbol.degree, quality, symbol.bass)
        return known[symbol]

    return Chart(
        {
            name: tuple(tuple(colour_of(symbol) for symbol in bar) for bar in phrase)
            for name, phrase in chart.phrases.items()
        }
    )


_PLAIN: Final = {"maj7": "maj", "6": "maj", "9": "7", "maj9": "maj", "min7": "min", "min9": "min", "min6": "min"}


def _colour(symbol: Symbol, colour: str, rng: np.random.Generator) -> str:
    quality, degree = symbol.quality, symbol.degree
    if colour == "power":
        return "5" if quality in ("maj", "min", "7", "min7", "sus4", "maj7") else quality
    if colour == "plain":
        return _PLAIN.get(quality, quality)
    if colour == "suspended" and quality in ("maj", "min") and degree and rng.random() < 0.35:  # home stays home
        return pick(rng, ("sus2", "sus4"))
    if colour in ("seventh", "extended"):
        if quality == "maj":
            quality = "7" if degree in (7, 10) and rng.random() < 0.8 else pick(rng, ("maj7", "maj7", "6"))
        elif quality == "min":
            quality = pick(rng, ("min7", "min7", "min7", "min6" if degree in (0, 5) else "min7"))
    if colour == "extended":
        rich = {"maj7": "maj9", "7": "9", "min7": "min9"}
        if quality in rich and rng.random() < 0.5:
            quality = rich[quality]
    return quality
