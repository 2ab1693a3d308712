# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The form of a song: sections, how loud each is, who plays in it, where fills, stops and builds come.

Not covered: what anybody plays (drums.py, bass.py, comping.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from anacrusis.train.song import STEMS
from anacrusis.train.styles.family import TICKS
from anacrusis.train.styles.plan import Bar, Change, pick
from anacrusis.train.theory import Symbol

ALL: Final = frozenset(STEMS)
INTENSITY: Final = {"intro": 0.35, "verse": 0.45, "chorus": 0.85, "bridge": 0.5, "outro": 0.6, "end": 0.7}
LETTER: Final = {"intro": "A", "verse": "A", "chorus": "B", "bridge": "C", "outro": "B", "end": "A"}
_INTROS: Final = (
    ("drums",),
    ("piano",),
    ("guitar",),
    ("bass", "drums"),
    ("drums", "guitar"),
    ("bass", "piano"),
    ("bass", "drums", "piano"),
    ("bass", "drums", "guitar"),
    STEMS,
    STEMS,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A section before it has chords."""

    name: str
    bars: int
    intensity: float
    playing: tuple[frozenset[str], frozenset[str]]  # first half, second half


def draw_form(total_bars: int, phrase_bars: dict[str, int], rng: np.random.Generator) -> list[Stretch]:
    """Sections of exactly total_bars bars together. phrase_bars: length of each letter's phrase."""
    names = ["verse", "chorus", "verse", "chorus", "bridge", "chorus"]
    if rng.random() < 0.2:
        names = ["chorus", *names]
    target = 8 if total_bars >= 22 and rng.random() < 0.7 else 4
    out: list[tuple[str, int]] = []
    left = total_bars
    if rng.random() < 0.85 and left > 8:
        out.append(("intro", pick(rng, (2, 4, 4))))
        left -= out[-1][1]
    turn = 0
    while left > 0:
        name = names[turn % len(names)]
        size = phrase_bars[LETTER[name]]
        bars = size * max(1, round(target / size))
        if left - bars < 2:
            bars = left
        elif left - bars <= 4 and rng.random() < 0.5:
            out.append((name, bars))
            left -= bars
            name, bars = "outro", left
        out.append((name, bars))
        left -= bars
        turn += 1
    return _everyone([_stretch(name, bars, i, rng) for i, (name, bars) in enumerate(out)])


def _everyone(stretches: list[Stretch]) -> list[Stretch]:
    """Bring each stem in, in the longest section that lacks it, until it plays in two fifths of the song."""
    total = sum(stretch.bars for stretch in stretches)
    for stem in STEMS:
        for _ in stretches:
            lacking = [0.0 if stem in s.playing[0] & s.playing[1] else float(s.bars) for s in stretches]
            heard = sum(s.bars * sum(stem in half for half in s.playing) / 2 for s in stretches)
            if heard >= 0.4 * total or not any(lacking):
                break
            i = lacking.index(max(lacking))
            first, second = stretches[i].playing
            stretches[i] = replace(stretches[i], playing=(first | {stem}, second | {stem}))
    return stretches


def _stretch(name: str, bars: int, number: int, rng: np.random.Generator) -> Stretch:
    intensity = float(np.clip(INTENSITY[name] + rng.normal(0.0, 0.08), 0.2, 1.0))
    draw = rng.random()
    first = second = ALL
    if name == "intro":
        first = frozenset(pick(rng, _INTROS))
        second = first | frozenset(pick(rng, _INTROS)) if rng.random() < 0.6 else first
    elif name == "verse":
        if draw < 0.45:
            first = ALL - {pick(rng, ("guitar", "piano"))}
            second = ALL if rng.random() < 0.4 else first
        elif draw < 0.53 and number > 1:
            first = frozenset({"bass", "drums"})
        elif draw < 0.6:
            first = frozenset({"drums", pick(rng, ("guitar", "piano"))})
    elif name == "chorus":
        if draw < 0.08:
            first = second = ALL - {pick(rng, ("guitar", "piano"))}
    elif name == "bridge":
        if draw < 0.3:
            first = ALL - {"drums"}
            second = first if rng.random() < 0.4 else ALL
        elif draw < 0.45:
            first = second = ALL - {pick(rng, ("bass", "guitar", "piano"))}
    elif draw < 0.3:
        second = ALL - {pick(rng, ("drums", "guitar", "piano"))}
    return Stretch(name, bars, intensity, (first, second))


def events(stretch: Stretch, following: Stretch | None, rng: np.random.Generator) -> list[str]:
    """One event a bar: "" mostly, fills at phrase ends, something bigger at the section's."""
    out = [""] * stretch.bars
    for i in range(3, stretch.bars - 1, 4):
        if rng.random() < (0.55 if i % 8 == 7 else 0.3):
            out[i] = "fill"
    grows = following is not None and following.intensity > stretch.intensity + 0.2
    draw = rng.random()
    if stretch.bars >= 4 and draw < 0.12 and following is not None:
        out[-1] = "stop"
    elif grows and draw < 0.3:
        out[-1] = "build"
    elif draw < 0.92:
        out[-1] = "fill"
    return out


def changes_of(symbols: tuple[Symbol, ...], start: int, beats_per_bar: int, tonic: int) -> tuple[Change, ...]:
    """A bar's chords in the key, evenly apart; of two in three beats the second comes on the third."""
    beat = [round(i * beats_per_bar / len(symbols) + 0.1) for i in range(len(symbols))]
    return tuple(
        Change(start + b * TICKS, (tonic + s.degree) % 12, s.quality, (tonic + s.bass) % 12)
        for b, s in zip(beat, symbols, strict=True)
    )


def lay_out(
    stretches: list[Stretch],
    phrases: dict[str, tuple[tuple[Symbol, ...], ...]],
    home: Symbol,
    beats_per_bar: int,
    tonic: int,
    rng: np.random.Generator,
) -> tuple[Bar, ...]:
    """Every bar of the song, and one more of the home chord to end on."""
    bars: list[Bar] = []
    length = beats_per_bar * TICKS
    for i, stretch in enumerate(stretches):
        following = stretches[i + 1] if i + 1 < len(stretches) else None
        phrase = phrases[LETTER[stretch.name]]
        what = events(stretch, following, rng)
        for j in range(stretch.bars):
            start = len(bars) * length
            late = 2 * j >= stretch.bars
            # Within a section the band swells a little towards its end.
            swell = 0.08 * (j / stretch.bars - 0.5)
            bars.append(
                Bar(
                    number=len(bars),
                    start=start,
                    length=length,
                    section=stretch.name,
                    changes=changes_of(phrase[j % len(phrase)], start, beats_per_bar, tonic),
                    intensity=min(1.0, max(0.1, stretch.intensity + swell)),
                    loud=stretch.intensity > 0.62,
                    playing=stretch.playing[late],
                    event=what[j],
                    opens=j == 0,
                )
            )
    start = len(bars) * length
    changes = changes_of((home,), start, beats_per_bar, tonic)
    bars.append(Bar(len(bars), start, length, "end", changes, INTENSITY["end"], True, ALL, "end", True))
    return tuple(bars)
