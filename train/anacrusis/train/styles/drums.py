# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The drummer: a groove of the family with this song's own kick, fills, crashes, stops and builds.

`song_groove` settles the kick before anyone plays, so that the bass can lock to it. Not covered: brushes as such,
hand percussion solos.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from anacrusis.train.styles.family import TICKS, VOICES, Family, Groove, parse
from anacrusis.train.styles.plan import Bar, Hit, Plan, pick

KICK: Final = VOICES["k"]
CRASH: Final = VOICES["C"]
LEVELS: Final = {"x": 0.68, "X": 0.92, "g": 0.28, "o": 0.72}
HATS: Final = frozenset({42, 44, 46})
# One or more beats, a character each sixteenth (triplet eighth): voices of VOICES, capital letters are accents.
FILLS: Final = {
    "straight": (
        "s.ss",
        "ssss",
        "s.s.ttmm",
        "ssssttmm",
        "..sss.mm",
        "s..s..s.",
        "k.s.k.ss",
        "sssstttt mmmmffff",
        "s.ss.sms t.tm.mff",
        "s...s.s. s.s.ssss",
        "k..sk..s k.s.tmff",
        "..s...s. ..ttmmff",
    ),
    "triplet": (
        "sss",
        "s.s",
        "stm",
        "s.sttm",
        "ssstmf",
        "k.sk.s",
        "sssttt mmmfff",
        "s.ss.s t.mf.f",
        "s..s.s sssttm",
    ),
    "light": ("..r.", "r.rr", "..s.", "s.t.", "r..r..t.", "..t.m.f.", "s...s.s."),
    "light_triplet": ("..s", "s.s", "t.m", "..s..s", "s.st.m"),
    "latin": ("ttmm", "t.tm", "r.t.tmff", "tt.mm.ff", "..t.t.mf", "ttttmmmm", "r..r..t. t.m.mfff"),
}
Bars = list[list[tuple[int, int, str]]]


def song_groove(family: Family, groove: Groove, line: str, rng: np.random.Generator) -> Bars:
    """The groove with this song's own kick. line: of the bass.

    An off-beat kick may go, or come where nobody hits hard; and kick and bass line are brought together.
    """
    bars = _towards(family, groove.bars(family.beats_per_bar), line, rng)
    grid = TICKS // 2 if family.fills.startswith("light") or family.swing[1] > 0.5 else TICKS // 4
    if family.fills.endswith("triplet"):
        grid = TICKS // 3
    for i, bar in enumerate(bars):
        kicks = {start for start, key, _ in bar if key == KICK}
        if not kicks:
            continue
        hard = {start for start, key, mark in bar if key in (38, 40, 39) and mark != "g"}
        for tick in range(grid, family.beats_per_bar * TICKS, grid):
            if rng.random() >= family.kick_variation * (0.6 if tick % TICKS else 0.25):
                continue
            if tick in kicks:
                bar = [hit for hit in bar if not (hit[1] == KICK and hit[0] == tick)]
            elif tick not in hard:
                bar = sorted([*bar, (tick, KICK, "x")])
        bars[i] = bar
    return bars


def _towards(family: Family, bars: Bars, line: str, rng: np.random.Generator) -> Bars:
    """Kicks where a written bass line has its notes, fewer where it has none."""
    if line.startswith("@"):
        return bars
    played = parse(line, family.beats_per_bar)
    if len(played) > len(bars):
        bars = bars * (len(played) // len(bars))
    out = []
    for i, bar in enumerate(bars):
        notes = {step.start for step in played[i % len(played)] if step.mark not in "ax"}
        hard = {start for start, key, mark in bar if key in (38, 39, 40) and mark != "g"}
        kicks = {start for start, key, _ in bar if key == KICK}
        # A line of running eighths has no figure to take up.
        running = notes >= set(range(0, family.beats_per_bar * TICKS, TICKS // 2))
        come = set() if running or not kicks else notes - kicks - hard
        go = {kick for kick in kicks - notes if kick % TICKS}
        come = {tick for tick in sorted(come) if rng.random() < family.lock}
        go = {tick for tick in sorted(go) if rng.random() < family.lock}
        kept = [hit for hit in bar if not (hit[1] == KICK and hit[0] in go)]
        out.append(sorted([*kept, *((tick, KICK, "x") for tick in come)]))
    return out


def kicks_of(bars: Bars, number: int) -> tuple[int, ...]:
    """Start ticks of the kick in the bar of that number."""
    return tuple(start for start, key, _ in bars[number % len(bars)] if key == KICK)


def play(family: Family, plan: Plan, quiet: Bars, loud: Bars, rng: np.random.Generator) -> list[Hit]:
    """Every hit of the song, in ticks."""
    hits: list[Hit] = []
    quiet_hats = rng.random() < 0.3  # intros of hats and kick alone
    for bar in plan.bars:
        if "drums" not in bar.playing:
            continue
        groove = loud if bar.loud else quiet
        meant = groove[bar.number % len(groove)]
        level = 0.72 + 0.28 * bar.intensity
        if bar.event == "end":
            hits += [Hit(bar.start, TICKS, KICK, 0.85), Hit(bar.start, 4 * TICKS, CRASH, 0.75)]
            continue
        if bar.event == "stop":
            hits += _stop(family, bar, rng)
            continue
        keep = bar.length
        if bar.event == "fill":
            fill, keep = _fill(family, bar, rng)
            hits += fill
        elif bar.event == "build":
            fill, keep = _build(family, bar)
            hits += fill
        for start, key, mark in meant:
            if start >= keep and not (key == KICK and start % TICKS == 0):
                continue
            if bar.section == "intro" and quiet_hats and key in (38, 40, 39):
                continue
            if mark == "g" and rng.random() > 0.5 + family.ghost * 2:
                continue
            if bar.opens and start == 0 and key in HATS and bar.loud:
                continue
            accent = 0.06 if start % TICKS == 0 else (-0.08 if key in HATS and start % (TICKS // 2) else 0.0)
            hits.append(Hit(bar.start + start, TICKS // 2, key, (LEVELS[mark] + accent) * level))
        if bar.opens and bar.intensity > 0.45 and not family.fills.startswith("light"):
            hits.append(Hit(bar.start, 4 * TICKS, CRASH, 0.8 * level))
        hits += _ghosts(family, bar, meant, keep, rng)
    return hits


def _ghosts(
    family: Family, bar: Bar, meant: list[tuple[int, int, str]], keep: int, rng: np.random.Generator
) -> list[Hit]:
    """Soft snares where the groove leaves a sixteenth free."""
    if family.fills.startswith("light") or not any(key == 38 for _, key, _ in meant):
        return []
    unit = TICKS // 3 if family.fills == "triplet" else TICKS // 4
    taken = {start for start, key, _ in meant if key in (38, KICK)}
    free = [t for t in range(unit, keep, unit) if t % (TICKS // 2) and t not in taken]
    return [Hit(bar.start + t, unit, 38, 0.2 + 0.1 * rng.random()) for t in free if rng.random() < family.ghost * 0.35]


def _fill(family: Family, bar: Bar, rng: np.random.Generator) -> tuple[list[Hit], int]:
    """A fill at the bar's end, longer when louder, and the tick it begins at."""
    unit = TICKS // 3 if family.fills.endswith("triplet") else TICKS // 4
    room = bar.length if bar.intensity > 0.5 else bar.length // 2
    texts = [t.replace(" ", "") for t in FILLS[family.fills]]
    text = pick(rng, [t for t in texts if len(t) * unit <= room])
    begin = bar.length - len(text) * unit
    level = (0.4 if family.fills.startswith("light") else 0.55) + 0.35 * bar.intensity
    hits = [
        Hit(bar.start + begin + i * unit, TICKS // 2, VOICES[mark], level * (0.8 + 0.2 * i / len(text)))
        for i, mark in enumerate(text)
        if mark != "."
    ]
    return hits, begin


def _build(family: Family, bar: Bar) -> tuple[list[Hit], int]:
    """A snare roll that grows through the bar: eighths, then sixteenths."""
    triplet = family.fills.endswith("triplet")
    slow, fast = (TICKS // 3, TICKS // 3) if triplet else (TICKS // 2, TICKS // 4)
    half = bar.length // 2
    ticks = [*range(0, half, slow), *range(half, bar.length, fast)]
    voice = VOICES["r"] if family.fills.startswith("light") else VOICES["s"]
    hits = [Hit(bar.start + t, TICKS // 4, voice, 0.3 + 0.5 * t / bar.length) for t in ticks]
    return hits + [Hit(bar.start + t, TICKS // 2, KICK, 0.7) for t in range(0, bar.length, TICKS)], 0


def _stop(family: Family, bar: Bar, rng: np.random.Generator) -> list[Hit]:
    """All hit the downbeat; the drummer alone leads out with the last beat."""
    hits = [Hit(bar.start, TICKS, KICK, 0.9), Hit(bar.start, TICKS, 38, 0.8), Hit(bar.start, 2 * TICKS, CRASH, 0.7)]
    if rng.random() < 0.6:
        unit = TICKS // 3 if family.fills.endswith("triplet") else TICKS // 4
        hits += [
            Hit(bar.start + t, unit, 38, 0.5 + 0.3 * rng.random()) for t in range(bar.length - TICKS, bar.length, unit)
        ]
    return hits
