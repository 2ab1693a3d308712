# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a style family is: its tempi, its patterns, its instruments. And the notation the patterns are written in.

A pattern is text. Bars are separated by `|`; the characters of a bar divide it evenly (16 characters in 4/4 are
sixteenths, 12 eighth triplets); blanks are ignored. A beat is TICKS ticks.

    drums   x hit, X accent, g ghost, o open hat, . nothing; a row begins with its voice (see VOICES)
    bass    1 3 5 6 7 degree of the chord, 8 the root an octave up, 2 4 step of the scale, n root of the next chord,
            a approach to the next root, x dead note, - hold, . rest; "@lock" roots on the kick, "@walk" walking
    hand    x short chord, X accented and held, c held, d u strum down, up (held), m muted strum,
            p the next chord early, 1..6 a note of the voicing, - hold, . rest; "@kick" a chord on each kick,
            "@bass" doubles the bass
    low     1 root, 5 fifth, 8 octave, 3 third, - hold, . rest

Not covered: patterns that cross from one family into another; everything about pitch (bass.py, comping.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from anacrusis.train.song import CorpusError

TICKS: Final = 12  # a beat: sixteenths are 3, triplet eighths 4

# Letter of a row -> General MIDI key.
VOICES: Final[Mapping[str, int]] = {
    "k": 36,
    "s": 38,
    "e": 40,
    "r": 37,
    "c": 39,
    "h": 42,
    "o": 46,
    "p": 44,
    "y": 51,
    "b": 53,
    "t": 50,
    "m": 47,
    "l": 45,
    "f": 43,
    "q": 54,
    "w": 56,
    "v": 69,
    "z": 70,
    "n": 75,
    "j": 76,
    "C": 49,
}


class Step(NamedTuple):
    """One character of a pattern that begins something. start, length: ticks in the bar; length runs over its holds."""

    start: int
    length: int
    mark: str


Bars = tuple[tuple[Step, ...], ...]


@lru_cache(maxsize=4096)
def parse(text: str, beats_per_bar: int) -> Bars:
    """Steps of each bar; a hold at a bar's start holds nothing. Raises CorpusError where a bar cannot be divided."""
    bars = []
    for bar in text.replace(" ", "").split("|"):
        ticks, rest = divmod(beats_per_bar * TICKS, len(bar)) if bar else (0, 1)
        if rest:
            raise CorpusError(f"the bar {bar!r} does not divide {beats_per_bar} beats; use 8, 12 or 16 characters")
        steps: list[Step] = []
        for i, mark in enumerate(bar):
            if mark == "-" and steps and steps[-1].start + steps[-1].length == i * ticks:
                steps[-1] = steps[-1]._replace(length=steps[-1].length + ticks)
            elif mark not in "-.":
                steps.append(Step(i * ticks, ticks, mark))
        bars.append(tuple(steps))
    return tuple(bars)


@dataclass(frozen=True, slots=True)
class Groove:
    """Rows of a drum pattern, each "voice bars"."""

    rows: tuple[str, ...]

    @classmethod
    def of(cls, *rows: str) -> Groove:
        """Rows as written in the families."""
        return cls(rows)

    def bars(self, beats_per_bar: int) -> list[list[tuple[int, int, str]]]:
        """Of every bar (start ticks, General MIDI key, mark), in order. Rows of fewer bars repeat."""
        parsed = [(row[0], parse(row[1:], beats_per_bar)) for row in self.rows]
        size = max(len(bars) for _, bars in parsed)
        out: list[list[tuple[int, int, str]]] = []
        for i in range(size):
            hits = []
            for voice, bars in parsed:
                for step in bars[i % len(bars)]:
                    key = VOICES["o"] if voice == "h" and step.mark == "o" else VOICES[voice]
                    hits.append((step.start, key, step.mark))
            out.append(sorted(hits))
        return out


@dataclass(frozen=True, slots=True)
class Comp:
    """How guitar or piano accompanies. hand: the chords; low: roots beneath them, "" for none (see the notation).

    shape: of the voicing, as theory.voice, or "barre", "power". spread_ms: from the first string to the last.
    gate: sounding share of a note's length. velocity: 0 to 1. size: notes of the voicing.
    """

    hand: str
    low: str = ""
    shape: str = "close"
    spread_ms: float = 0.0
    gate: float = 0.9
    velocity: float = 0.62
    size: int = 4


@dataclass(frozen=True, slots=True)
class Family:
    """A style: what a song of it is drawn from.

    tempo_bpm, swing: (least, most); swing is where in the swung unit (swing_ticks) its second half falls.
    modes, colours, flavours: drawn from evenly, so a repeat weighs more. flavours: of charts.PROGRESSIONS or "grammar".
    quiet, loud: drum grooves of verse and chorus. fills: a key of drums.FILLS.
    push_ms: the band's place against the grid, late positive. jitter_ms: of one note.
    kick_variation: chance that a song moves an off-beat kick. lock: chance that the kick takes up a note of the bass
    line, or leaves one that the line has not. ghost: how many soft snares. lead: half the chance that a song has a lead
    line in a section. phrase_bars: a phrase slowed to half its rate is at most this long (the greatest counts).
    """

    name: str
    split: str
    about: str
    tempo_bpm: tuple[float, float]
    quiet: tuple[Groove, ...]
    loud: tuple[Groove, ...]
    bass: tuple[str, ...]
    guitar: tuple[Comp, ...]
    piano: tuple[Comp, ...]
    programs: Mapping[str, tuple[int, ...]]
    beats_per_bar: int = 4
    swing: tuple[float, float] = (0.5, 0.5)
    swing_ticks: int = TICKS
    modes: tuple[str, ...] = ("major", "minor")
    flavours: tuple[str, ...] = ("pop", "grammar")
    colours: tuple[str, ...] = ("triad",)
    fills: str = "straight"
    push_ms: float = 0.0
    jitter_ms: float = 5.0
    kick_variation: float = 0.15
    lock: float = 0.35
    ghost: float = 0.15
    lead: float = 0.15
    phrase_bars: tuple[int, ...] = field(default=(4, 8))


def programs(
    bass: tuple[int, ...], drums: tuple[int, ...], guitar: tuple[int, ...], piano: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """General MIDI programs of the four stems (of drums the kits)."""
    return {"bass": bass, "drums": drums, "guitar": guitar, "piano": piano}
