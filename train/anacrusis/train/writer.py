# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Write a song of four parts that follow one another, from a seed and a style family.

One plan (chords, form, who plays, fills, stops) is drawn first; drums, bass, guitar and piano then read it, the bass
also the drummer's kick, guitar and piano each other's pattern. Pure and deterministic: one seed is one song, with one
version of NumPy. Families belong to a split, and so does every phrase of chords (charts.split_of).

Not covered: sound (render.py), tempo that drifts, modulation, a tune that anybody would hum.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from anacrusis.train import charts
from anacrusis.train.humanise import Grid, perform, sway
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Beat, Chord, CorpusError, Part, Section, Song
from anacrusis.train.styles import bass, comping, drums, form, groups, vary
from anacrusis.train.styles.family import TICKS, VOICES, Family
from anacrusis.train.styles.plan import Change, Hit, Plan, pick
from anacrusis.train.theory import Symbol

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({family.name: family for family in groups.ALL})
RING_S: Final = 1.0  # after the last note
_JITTER: Final = {"bass": 1.0, "drums": 0.7, "guitar": 1.1, "piano": 1.0}


def write_song(seed: int, family: str, *, seconds: float = 60.0, name: str | None = None) -> Song:
    """A song of about that many seconds, ended properly, so a bar more or less. name: default "family-seed".

    Raises CorpusError for an unknown family, a negative seed, or less than five seconds.
    """
    if family not in FAMILIES:
        raise CorpusError(f"unknown family {family!r}; families are {', '.join(FAMILIES)}")
    if seed < 0 or not seconds >= 5.0:
        raise CorpusError(f"cannot write {seconds} s from seed {seed}; ask for 5 s or more, seeds from 0 up")
    style = FAMILIES[family]
    children = np.random.SeedSequence([seed, zlib.crc32(family.encode())]).spawn(7)
    key, shape, drum, low, comp, lead, hands = (np.random.default_rng(child) for child in children)

    mode = pick(key, style.modes)
    tonic = int(key.random() * 12)
    tempo_bpm = round(float(key.uniform(*style.tempo_bpm)), 2)
    swing = round(float(key.uniform(*style.swing)), 3)
    grid = Grid(tempo_bpm, round(float(key.uniform(0.0, 0.5)), 4), swing, style.swing_ticks)
    colour = pick(key, style.colours)
    plain = charts.draw_chart(style.split, style.flavours, mode, style.phrase_bars, key)
    chart = charts.coloured(plain, colour, key)

    plan = _plan(style, chart, mode, tonic, _bars(style, grid, seconds), shape)
    # Quiet, loud, bridge.
    lines = tuple(vary.line(pick(low, style.bass), style.beats_per_bar, low) for _ in range(3))
    quiet = drums.song_groove(style, vary.groove(style, pick(drum, style.quiet), drum), lines[0], drum)
    loud = drums.song_groove(style, vary.groove(style, pick(drum, style.loud), drum), lines[1], drum)
    kicks = tuple(drums.kicks_of(loud if bar.loud else quiet, bar.number) for bar in plan.bars)
    plan = replace(plan, kicks=kicks)
    line = bass.Bassist(style, plan, lines, low).play()
    hits = {
        "drums": [*drums.play(style, plan, quiet, loud, drum), *_pickup(plan, grid, drum)],
        "bass": line,
        **_comping(style, plan, line, comp, lead),
    }
    band_s = sway(len(plan.bars) * style.beats_per_bar + 8, 3.0, hands)
    parts = {}
    for stem in STEMS:
        notes = perform(
            hits[stem],
            grid,
            band_s,
            place_ms=style.push_ms + float(hands.normal(0.0, 4.0)),
            jitter_ms=style.jitter_ms * _JITTER[stem],
            legato=stem == "bass",
            rng=hands,
        )
        parts[stem] = Part(pick(hands, style.programs[stem]), notes)
    last = max(note.end_samples for part in parts.values() for note in part.notes)
    return Song(
        name=name if name is not None else f"{family}-{seed}",
        split=style.split,
        family=family,
        chart=plain.text(),
        seed=seed,
        tempo_bpm=tempo_bpm,
        beats_per_bar=style.beats_per_bar,
        swing=swing,
        tonic=tonic,
        mode=mode,
        length_samples=last + round(RING_S * SAMPLE_RATE_HZ),
        beats=_beats(plan, grid),
        chords=_chords(plan, grid, last + round(RING_S * SAMPLE_RATE_HZ)),
        sections=tuple(Section(grid.samples(bar.start), bar.section) for bar in plan.bars if bar.opens),
        parts=parts,
        about={"colour": colour, "played": chart.text(), "swing_unit_beats": style.swing_ticks / TICKS},
    )


def _bars(style: Family, grid: Grid, seconds: float) -> int:
    """Bars before the one that ends the song."""
    bar_s = style.beats_per_bar * 60.0 / grid.tempo_bpm
    return max(2, round((seconds - grid.first_beat_s - RING_S) / bar_s) - 1)


def _plan(style: Family, chart: charts.Chart, mode: str, tonic: int, bars: int, rng: np.random.Generator) -> Plan:
    stretches = form.draw_form(bars, {name: len(phrase) for name, phrase in chart.phrases.items()}, rng)
    used = [symbol for phrase in chart.phrases.values() for bar in phrase for symbol in bar]
    usual = Symbol(0, "min" if mode in charts.MINOR else "maj", 0)
    home = next((symbol for symbol in used if symbol.degree == 0 and symbol.bass == 0), usual)
    phrases = dict(chart.phrases)
    laid = form.lay_out(stretches, phrases, home, style.beats_per_bar, tonic, rng)
    return Plan(laid, style.beats_per_bar, tonic, mode)


def _comping(
    style: Family, plan: Plan, line: list[Hit], comp: np.random.Generator, lead: np.random.Generator
) -> dict[str, list[Hit]]:
    """Guitar and piano, their patterns chosen together; one of them may take a lead for a section."""
    pairs = [comping.pair(style.guitar, style.piano, style.beats_per_bar, comp) for _ in range(3)]
    beats = style.beats_per_bar
    players = {
        stem: comping.Player(stem, plan, tuple(vary.comp(pair[i], beats, comp) for pair in pairs), line, comp)
        for i, stem in enumerate(("guitar", "piano"))
    }
    if lead.random() < style.lead * 2:
        players[pick(lead, ("guitar", "piano"))].lead_sections = frozenset({pick(lead, ("bridge", "chorus", "intro"))})
    return {stem: player.play() for stem, player in players.items()}


def _pickup(plan: Plan, grid: Grid, rng: np.random.Generator) -> list[Hit]:
    """The drummer may lead in before the first beat, where there is time."""
    half_s = 30.0 / grid.tempo_bpm
    if rng.random() > 0.4 or "drums" not in plan.bars[0].playing or grid.first_beat_s < half_s + 0.03:
        return []
    return [Hit(-TICKS // 2, TICKS // 2, VOICES["s"], 0.5)]


def _beats(plan: Plan, grid: Grid) -> tuple[Beat, ...]:
    return tuple(
        Beat(grid.samples(bar.start + beat * TICKS), beat + 1)
        for bar in plan.bars
        for beat in range(plan.beats_per_bar)
    )


def _chords(plan: Plan, grid: Grid, length_samples: int) -> tuple[Chord, ...]:
    """The song's chords without gaps; a chord that comes again at once is one."""
    changes: list[Change] = []
    for bar in plan.bars:
        for change in bar.changes:
            if not changes or changes[-1][1:] != change[1:]:
                changes.append(change)
    starts = [0, *(grid.samples(change.start) for change in changes[1:]), length_samples]
    return tuple(
        Chord(starts[i], starts[i + 1], change.root, change.quality, change.bass) for i, change in enumerate(changes)
    )
