# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Guitar and piano: voicings in the rhythm of a comping pattern, phrase-end licks, and lead lines.

Voicings move as little as they can from chord to chord. Of two parts that comp, the patterns are chosen so that they
leave each other room (`pair`). Not covered: pedal, bends, counterpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anacrusis.train import theory
from anacrusis.train.song import QUALITIES
from anacrusis.train.styles.family import TICKS, Comp, Step, parse
from anacrusis.train.styles.plan import Bar, Change, Hit, Plan, pick

Rhythm = tuple[tuple[int, int], ...]  # (start, length) in ticks
RANGES = {"guitar": (40, 76), "piano": (36, 88)}


def onsets(comp: Comp, beats_per_bar: int) -> frozenset[int]:
    """Ticks of the first bar at which a pattern begins something."""
    rows = [row for row in (comp.hand, comp.low) if row and row[0] != "@"]
    return frozenset(step.start for row in rows for step in parse(row, beats_per_bar)[0] if step.mark != "m")


def pair(
    first: Sequence[Comp], second: Sequence[Comp], beats_per_bar: int, rng: np.random.Generator
) -> tuple[Comp, Comp]:
    """A pattern of each. The fuller the first, the likelier a sparse or interlocking second."""
    one = pick(rng, first)
    taken = onsets(one, beats_per_bar)
    weights = np.array([_room(taken, onsets(other, beats_per_bar)) for other in second])
    return one, second[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()))]


def _room(taken: frozenset[int], others: frozenset[int]) -> float:
    off = frozenset(t for t in taken & others if t % TICKS)
    return float(np.exp(-0.35 * len(off) - 0.12 * max(0, len(taken) + len(others) - 10)))


class Player:
    """One of guitar and piano. register: centre of the hand's range, chosen once a song."""

    def __init__(
        self, stem: str, plan: Plan, comps: tuple[Comp, ...], bass: Sequence[Hit], rng: np.random.Generator
    ) -> None:
        self.stem, self.plan, self.rng = stem, plan, rng
        self.comps = comps  # quiet, loud, bridge
        self.bass = bass  # by start, for those who double it
        low, high = RANGES[stem]
        if stem == "guitar":
            bottom = 45 + int(rng.random() * 8)
            self.hand = (max(low, bottom), min(high, bottom + 21))
        else:
            # Above the guitar more often than not.
            bottom = 59 + int(rng.random() * 7) if rng.random() < 0.6 else 52 + int(rng.random() * 8)
            self.hand = (bottom, bottom + 19)
        # Below the hand; a piano beside a bass player mostly leaves the lowest octave alone.
        self.low_range = (40, 52) if stem == "guitar" else pick(rng, ((43, 55), (43, 55), (36, 48)))
        self.before: tuple[int, ...] = ()
        self.scale = theory.scale_classes(plan.tonic, plan.mode)
        self.lick_chance = 0.15 + 0.35 * rng.random()
        self.lead_sections: frozenset[str] = frozenset()
        self.motif: tuple[Rhythm, ...] = ()

    def play(self) -> list[Hit]:
        """Every note of the song, in ticks."""
        hits: list[Hit] = []
        for bar in self.plan.bars:
            if self.stem not in bar.playing:
                continue
            comp = self.comps[bar.groove]
            if bar.event in ("end", "stop"):
                length = bar.length if bar.event == "end" else TICKS
                hits += self._chord(bar, Step(0, length, "X"), comp, bar.changes[0])
                root = theory.in_range(36 + bar.changes[0].bass, *self.low_range)
                hits.append(Hit(bar.start, length, root, 0.6))
            elif bar.section in self.lead_sections:
                hits += self._lead(bar)
            elif bar.event == "build":
                hits += self._build(bar, comp)
            else:
                hits += self._bar(bar, comp)
        return hits

    def _bar(self, bar: Bar, comp: Comp) -> list[Hit]:
        beats = self.plan.beats_per_bar
        if comp.hand == "@bass":
            return self._double(bar, comp)
        if comp.hand == "@kick":
            meant = self._with_kick(bar)
        else:
            bars = parse(comp.hand, beats)
            meant = list(bars[bar.number % len(bars)])
        steps = self._split(bar, meant)
        low = []
        if comp.low:
            lows = parse(comp.low, beats)
            low = self._split(bar, list(lows[bar.number % len(lows)]))
        lick: list[Hit] = []
        if bar.event == "fill" and self.rng.random() < self.lick_chance:
            begin = bar.length // 2 if beats == 4 else TICKS
            lick = self._lick(bar, begin)
            steps = [s._replace(length=min(s.length, begin - s.start)) for s in steps if s.start < begin]
        hits: list[Hit] = []
        for step in steps:
            early = step.mark == "p"
            chord = self.plan.next_change(bar, step.start) if early else self.plan.chord_at(bar, step.start)
            if step.mark in "123456":
                hits += self._string(bar, step, comp, chord)
            else:
                hits += self._chord(bar, step, comp, chord)
        hits += [self._low(bar, step, comp) for step in low]
        return hits + lick

    def _with_kick(self, bar: Bar) -> list[Step]:
        """A chord on every kick, each held until the next."""
        kicks = self.plan.kicks[bar.number]
        ends = (*kicks[1:], bar.length)
        return [Step(k, min(end - k, 2 * TICKS), "X") for k, end in zip(kicks, ends, strict=True)]

    def _double(self, bar: Bar, comp: Comp) -> list[Hit]:
        """The bass line an octave up (with its fifth, as power chords)."""
        line = [hit for hit in self.bass if bar.start <= hit.start < bar.start + bar.length]
        hits = []
        for hit in line:
            pitch = theory.in_range(hit.pitch + 12, 40, 64)
            shape = (pitch, pitch + 7) if comp.shape == "power" else (pitch,)
            at = Step(hit.start - bar.start, hit.length, "1")
            hits += [hit._replace(pitch=p, velocity=self._level(bar, at, comp)) for p in shape]
        return hits

    def _split(self, bar: Bar, steps: list[Step]) -> list[Step]:
        """A note held over a chord change is struck again there."""
        out = []
        for step in steps:
            begin, until = step.start, step.start + step.length
            for change in bar.changes[1:]:
                at = change.start - bar.start
                if begin < at < until and step.mark not in "mp":
                    out.append(step._replace(start=begin, length=at - begin))
                    begin = at
            out.append(step._replace(start=begin, length=until - begin))
        return out

    def _voicing(self, comp: Comp, chord: Change) -> tuple[int, ...]:
        if comp.shape == "power":
            return theory.power(chord.root, chord.quality, 40)
        if comp.shape == "barre":
            return theory.barre(chord.root, chord.quality, 40, self.hand[1])
        classes = theory.essential_tones(chord.root, chord.quality, comp.size)
        self.before = theory.voice(classes, self.before, *self.hand, comp.shape)
        return self.before

    def _level(self, bar: Bar, step: Step, comp: Comp) -> float:
        accent = 0.06 if step.start % TICKS == 0 else 0.0
        return comp.velocity + accent + 0.2 * (bar.intensity - 0.5)

    def _chord(self, bar: Bar, step: Step, comp: Comp, chord: Change) -> list[Hit]:
        pitches = self._voicing(comp, chord)
        level, mark = self._level(bar, step, comp), step.mark
        length = max(2, round(step.length * comp.gate))
        if mark == "m":
            pitches, level, length = pitches[-3:], level * 0.45, 1
        elif mark == "x":
            length = max(2, min(length, step.length - 1))
        elif mark == "X":
            level += 0.12
        elif mark == "u":
            pitches, level = pitches[-4:][::-1], level * 0.85
        spread = comp.spread_ms / max(1, len(pitches) - 1)
        return [
            Hit(bar.start + step.start, length, pitch, level - 0.02 * i, spread * i) for i, pitch in enumerate(pitches)
        ]

    def _string(self, bar: Bar, step: Step, comp: Comp, chord: Change) -> list[Hit]:
        pitches = self._voicing(comp, chord)
        number = int(step.mark) - 1
        octave, index = divmod(number, len(pitches))
        pitch = pitches[index] + 12 * octave
        pitch = pitch if pitch <= RANGES[self.stem][1] else pitches[index]
        length = max(2, round(step.length * comp.gate))
        return [Hit(bar.start + step.start, length, pitch, self._level(bar, step, comp))]

    def _low(self, bar: Bar, step: Step, comp: Comp) -> Hit:
        chord = self.plan.chord_at(bar, step.start)
        root = theory.in_range(36 + chord.bass, *self.low_range)
        pitch = root
        if step.mark == "8":
            pitch = root + 12 if root + 12 <= 60 else root
        elif step.mark in "53":
            tone = theory.chord_tone(chord.root, chord.quality, step.mark)
            pitch = root + (tone - root) % 12
            pitch = pitch - 12 if pitch > self.low_range[1] + 4 else pitch
        length = max(2, round(step.length * comp.gate))
        return Hit(bar.start + step.start, length, pitch, self._level(bar, step, comp) - 0.02)

    def _build(self, bar: Bar, comp: Comp) -> list[Hit]:
        hits = []
        for tick in range(0, bar.length, TICKS // 2 if self.stem == "guitar" else TICKS):
            step = Step(tick, TICKS // 2, "x")
            grown = [
                hit._replace(velocity=hit.velocity - 0.2 + 0.3 * tick / bar.length)
                for hit in self._chord(bar, step, comp, self.plan.chord_at(bar, tick))
            ]
            hits += grown
        return hits

    def _tones(self, chord: Change) -> list[int]:
        return [(chord.root + s) % 12 for s in QUALITIES[chord.quality]]

    def _lick(self, bar: Bar, begin: int) -> list[Hit]:
        """A short line into the next phrase: chord tones on the beat, scale steps between."""
        low, high = 57, RANGES[self.stem][1] - 2
        pitch = self.before[-1] if self.before else 67
        hits = []
        tick = begin
        while tick < bar.length:
            chord = self.plan.chord_at(bar, tick)
            classes = self._tones(chord) if tick % TICKS == 0 else (*self.scale, *self._tones(chord))
            near = [p for p in range(pitch - 5, pitch + 6) if p % 12 in classes and p != pitch and low <= p <= high]
            pitch = pick(self.rng, near) if near else theory.in_range(pitch, low, high)
            length = TICKS // 2 if self.rng.random() < 0.75 else TICKS
            hits.append(Hit(bar.start + tick, max(2, length - 1), pitch, 0.6 + 0.15 * bar.intensity))
            tick += length
        return hits

    def _lead(self, bar: Bar) -> list[Hit]:
        """A melody on a rhythm that returns every other bar: chord tones on beats, steps of the scale between."""
        low, high = (59, 76) if self.stem == "guitar" else (67, 86)
        if not self.motif:
            self.motif = tuple(self._rhythm() for _ in range(2))
        hits = []
        pitch = self.before[-1] if self.before and low <= self.before[-1] <= high else (low + high) // 2
        for start, length in self.motif[bar.number % 2]:
            chord = self.plan.chord_at(bar, start)
            tones = self._tones(chord)
            passing = start % TICKS and length < TICKS
            classes = {*tones, *self.scale} if passing else set(tones)
            near = [p for p in range(pitch - 5, pitch + 6) if p % 12 in classes and low <= p <= high]
            pitch = pick(self.rng, near) if near else theory.in_range(60 + tones[0], low, low + 12)
            hits.append(Hit(bar.start + start, max(2, length - 1), pitch, 0.66 + 0.15 * bar.intensity))
        self.before = (pitch,)
        return hits

    def _rhythm(self) -> Rhythm:
        """Starts and lengths of a bar: quarters, eighths, dotted pairs and rests."""
        cells = (((0, 12),), ((0, 6), (6, 6)), ((6, 6),), ((0, 12),), (), ((0, 6), (6, 6)))
        out = [(b * TICKS + s, n) for b in range(self.plan.beats_per_bar) for s, n in pick(self.rng, cells)]
        return tuple(out) or ((0, 2 * TICKS),)
