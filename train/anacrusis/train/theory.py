# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Scales, chord symbols on degrees, and voicings that move little.

A symbol is a chord seen from the tonic: `V7/2` in any key. Voicings are tuples of MIDI pitches, lowest first. Pure
functions on integers, no randomness.

Not covered: chords outside song.QUALITIES, spelling (everything is a pitch class), strict part writing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from anacrusis.train.song import QUALITIES, CorpusError

MODES: Final[dict[str, tuple[int, ...]]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "blues": (0, 2, 3, 4, 5, 7, 9, 10),
}
_ROMAN: Final = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_SYMBOL: Final = re.compile(r"([b#]?)(vii|iii|iv|vi|ii|v|i|VII|III|IV|VI|II|V|I)([^/]*)(?:/([b#]?)([1-7]))?")
# Suffix -> quality of an upper-case numeral, of a lower-case one.
_SUFFIX: Final = {
    "": ("maj", "min"),
    "7": ("7", "min7"),
    "maj7": ("maj7", "maj7"),
    "6": ("6", "min6"),
    "9": ("9", "min9"),
    "maj9": ("maj9", "maj9"),
    "sus2": ("sus2", "sus2"),
    "sus4": ("sus4", "sus4"),
    "7sus4": ("7sus4", "7sus4"),
    "5": ("5", "5"),
    "+": ("aug", "aug"),
    "o": ("dim", "dim"),
    "o7": ("dim7", "dim7"),
    "m7b5": ("min7b5", "min7b5"),
}
_MINOR_THIRD: Final = frozenset({"min", "min6", "min7", "min9", "dim", "dim7", "min7b5"})


@dataclass(frozen=True, slots=True)
class Symbol:
    """A chord on a degree. degree, bass: semitones above the tonic, 0 to 11. quality: a key of song.QUALITIES."""

    degree: int
    quality: str
    bass: int

    def text(self) -> str:
        """Degree, quality and, where it is not the root, the bass: "7:7" is V7, "0:maj/4" is I over its third."""
        return f"{self.degree}:{self.quality}" + (f"/{self.bass}" if self.bass != self.degree else "")


@lru_cache(maxsize=4096)
def parse_symbol(text: str) -> Symbol:
    """Read `bVII`, `ii7`, `V7sus4`, `vim7b5`, `I/3` (the bass is a degree of the major scale, b and # allowed).

    Raises CorpusError for anything else.
    """
    match = _SYMBOL.fullmatch(text)
    if match is None or match[3] not in _SUFFIX:
        raise CorpusError(f"unknown chord symbol {text!r}; write a roman numeral such as ii7, bVII or V7/2")
    accidental, numeral, suffix, bass_accidental, bass = match.groups()
    degree = (_ROMAN[numeral.lower()] + _shift(accidental)) % 12
    quality = _SUFFIX[suffix][numeral.islower()]
    if bass is None:
        return Symbol(degree, quality, degree)
    return Symbol(degree, quality, (MODES["major"][int(bass) - 1] + _shift(bass_accidental)) % 12)


def _shift(accidental: str | None) -> int:
    return {"b": -1, "#": 1}.get(accidental or "", 0)


def is_minor(quality: str) -> bool:
    """Whether the third is minor."""
    return quality in _MINOR_THIRD


def root_skeleton(degrees: Sequence[int]) -> tuple[int, ...]:
    """A loop of roots as one of a kind: repeats joined, the shortest period, the least rotation.

    Two progressions that differ in rate, in where the loop begins or in chord colours have the same skeleton.
    """
    joined = [d for i, d in enumerate(degrees) if i == 0 or d != degrees[i - 1]]
    if len(joined) > 1 and joined[0] == joined[-1]:
        joined.pop()
    size = len(joined)
    period = next(p for p in range(1, size + 1) if size % p == 0 and joined == joined[:p] * (size // p))
    loop = joined[:period]
    return min(tuple(loop[i:] + loop[:i]) for i in range(period))


def nearest(pitch_class: int, to_pitch: int) -> int:
    """The pitch of that class at most six semitones from to_pitch."""
    return to_pitch + (pitch_class - to_pitch + 6) % 12 - 6


def in_range(pitch: int, low: int, high: int) -> int:
    """The pitch moved by octaves into [low, high] (at least an octave wide)."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch


def chord_tone(root: int, quality: str, step: str) -> int:
    """Pitch class of the "3", "5", "7" or "6" of a chord; where it has none, the nearest thing that fits it."""
    steps = QUALITIES[quality]
    wanted = {"3": (4, 3, 5, 2), "5": (7, 6, 8), "7": (10, 11, 9), "6": (9, 10, 7)}[step]
    found = next((s for s in wanted if s in steps), 7 if 7 in steps else 0)
    return (root + found) % 12


def scale_classes(tonic: int, mode: str) -> tuple[int, ...]:
    """Pitch classes of a mode."""
    return tuple((tonic + step) % 12 for step in MODES[mode])


def essential_tones(root: int, quality: str, count: int) -> tuple[int, ...]:
    """At most count pitch classes that tell the chord: fifths go first, then roots of chords of four and more notes."""
    steps = list(QUALITIES[quality])
    for spare in (7, 0):
        if len(steps) > count and spare in steps:
            steps.remove(spare)
    return tuple((root + step) % 12 for step in steps[:count])


@lru_cache(maxsize=65536)
def _candidates(classes: tuple[int, ...], low: int, high: int, shape: str) -> tuple[tuple[int, ...], ...]:
    """Every voicing of a shape whose notes lie in [low, high]."""
    found = []
    for bottom in range(low, high + 1):
        if bottom % 12 not in classes:
            continue
        # The close position on this note, each next tone the nearest above.
        order = sorted(classes, key=lambda c: (c - bottom) % 12)
        close = [bottom + (c - bottom) % 12 for c in order]
        if shape == "drop2" and len(close) > 2:
            close = sorted([*close[:-2], close[-2] - 12, close[-1]])
        elif shape == "full":
            close = [*close, *(p + 12 for p in close)][:6]
        elif shape == "octave":
            close = [*close, bottom + 12]
        if close[0] >= low and close[-1] <= high:
            found.append(tuple(close))
    return tuple(found)


@lru_cache(maxsize=65536)
def voice(classes: tuple[int, ...], before: tuple[int, ...], low: int, high: int, shape: str) -> tuple[int, ...]:
    """The voicing of the classes that moves least from the one before, within [low, high].

    shape: "close", "drop2" (second from the top an octave down), "full" (doubled up to six notes), "octave" (the lowest
    doubled). before: the voicing before, or () to sit in the middle. Where nothing fits, each class alone in the range.
    """
    candidates = _candidates(tuple(sorted(set(classes))), low, high, shape)
    if not candidates:
        candidates = _candidates(tuple(sorted(set(classes))), low, high, "close")
    if not candidates:
        return tuple(sorted({in_range(60 + c % 12, low, high) for c in classes}))
    centre = sum(before) / len(before) if before else (low + high) / 2
    middle = (low + high) / 2

    def cost(voicing: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        mean = sum(voicing) / len(voicing)
        moved = sum(min(abs(p - q) for q in before) for p in voicing) if before else 0.0
        # The pull to the middle keeps a long line of small steps from leaving the register.
        return moved + 0.5 * abs(mean - centre) + 0.15 * abs(mean - middle), voicing

    return min(candidates, key=cost)


@lru_cache(maxsize=4096)
def barre(root: int, quality: str, low: int, high: int) -> tuple[int, ...]:
    """A guitar grip: the root low, its fifth, the root again, then the tones that tell the chord, up to six notes."""
    bottom = in_range(36 + root % 12, low, low + 11)
    steps = QUALITIES[quality]
    fifth = next((s for s in (7, 6, 8) if s in steps), 12)
    grip = [bottom, bottom + fifth, bottom + 12]
    grip += [bottom + 12 + s for s in sorted(steps) if s not in (0, fifth)]
    grip.append(bottom + 12 + fifth)
    return tuple(sorted({p for p in grip if p <= high}))[:6]


@lru_cache(maxsize=4096)
def power(root: int, quality: str, low: int) -> tuple[int, ...]:
    """Root, fifth (as the chord has it), octave, the root within an octave above low."""
    bottom = in_range(36 + root % 12, low, low + 11)
    fifth = next((s for s in (7, 6, 8) if s in QUALITIES[quality]), 12)
    return tuple(sorted({bottom, bottom + fifth, bottom + 12}))
