# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A song's own version of a written pattern, as text: so that nobody can know a family by heart.

Chord rhythms lose, gain or move an off-beat; broken chords go another way round; bass lines take other degrees; hats
run at another rate. What makes a style (its backbeat, its bass on the root) stays. Not covered: kicks (drums.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from anacrusis.train.styles.family import Comp, Family, Groove
from anacrusis.train.styles.plan import pick

CHANCE: Final = 0.5  # that a pattern is varied at all
_HATS: Final = {
    2: ("xx", "x.", "xx", ".x"),
    3: ("xxx", "x.x", "x..", "xxx"),
    4: ("x.x.", "xxxx", "x...", "..x.", "x.xx", "xxx."),
}
_CHORDS: Final = "xXcdu"


def _bars(text: str) -> list[list[str]]:
    return [list(bar) for bar in text.replace(" ", "").split("|")]


def _text(bars: list[list[str]]) -> str:
    return "|".join("".join(bar) for bar in bars)


def comp(pattern: Comp, beats: int, rng: np.random.Generator) -> Comp:
    """The pattern, or with CHANCE another of its kind."""
    if pattern.hand.startswith("@") or rng.random() > CHANCE:
        return pattern
    bars = _bars(pattern.hand)
    digits = sorted({mark for bar in bars for mark in bar if mark.isdigit()})
    if digits:
        turned = dict(zip(digits, rng.permutation(digits).tolist(), strict=True))
        return replace(pattern, hand=_text([[turned.get(mark, mark) for mark in bar] for bar in bars]))
    per_beat = len(bars[0]) // beats
    off = [i for i in range(len(bars[0])) if i % per_beat]
    struck = [i for i in off if bars[0][i] in _CHORDS]
    free = [i for i in off if bars[0][i] in ".-" and (per_beat < 4 or i % 2 == 0 or rng.random() < 0.3)]
    draw = rng.random()
    leave = pick(rng, struck) if struck and draw < 0.6 else None
    come = pick(rng, free) if free and draw > 0.3 else None
    mark = next((m for m in bars[0] if m in _CHORDS), "x")
    for bar in bars:
        if leave is not None and bar[leave] in _CHORDS:
            bar[leave] = "-" if leave and bar[leave - 1] != "." else "."
        if come is not None and bar[come] in ".-":
            bar[come] = mark
    if not any(mark in _CHORDS for bar in bars for mark in bar):
        return pattern
    return replace(pattern, hand=_text(bars))


def line(text: str, beats: int, rng: np.random.Generator) -> str:
    """A bass line, or with CHANCE one of its kind: other degrees, one note fewer, an approach at the end."""
    if text.startswith("@") or rng.random() > CHANCE:
        return text
    bars = _bars(text)
    other = dict(
        zip("3567", pick(rng, (("3", "5", "6", "7"), ("5", "8", "5", "5"), ("8", "3", "8", "6"))), strict=True)
    )
    drop = rng.random() < 0.4
    for bar in bars:
        per_beat = len(bar) // beats
        for i in range(1, len(bar)):
            if bar[i] == "1" and rng.random() < 0.12:
                bar[i] = pick(rng, ("8", "5", "3"))
            else:
                bar[i] = other.get(bar[i], bar[i])
        weak = [i for i in range(1, len(bar)) if i % per_beat and bar[i].isdigit()]
        if drop and weak:
            i = pick(rng, weak)
            bar[i] = "-" if bar[i - 1] != "." else "."
        tail = max(1, per_beat // 2)
        if rng.random() < 0.35 and "n" not in bar and all(mark in "-." for mark in bar[-tail:]):
            bar[-tail:] = ["a", *["-"] * (tail - 1)]
    return _text(bars)


def groove(family: Family, pattern: Groove, rng: np.random.Generator) -> Groove:
    """A drum pattern, or with CHANCE one with hats at another rate or on the ride, another snare.

    Families of light drums keep theirs: there the cymbal is the style.
    """
    if family.fills.startswith("light") or rng.random() > CHANCE:
        return pattern
    rows = []
    for row in pattern.rows:
        voice, text = row[0], row[1:]
        bars = _bars(text)
        per_beat, rest = divmod(len(bars[0]), family.beats_per_bar)
        if voice in "hy" and not rest and per_beat in _HATS and rng.random() < 0.6:
            cell = pick(rng, _HATS[per_beat])
            text = _text([list(cell * family.beats_per_bar) for _ in bars])
            voice = pick(rng, ("h", "h", "y"))
            if voice == "h" and rng.random() < 0.3:
                text = text[:-per_beat] + text[-per_beat:].replace("x", "o", 1) if "x" in text[-per_beat:] else text
        elif voice in "se" and rng.random() < 0.25:
            voice = "e" if voice == "s" else "s"
        rows.append(f"{voice} {text}")
    return Groove(tuple(rows))
