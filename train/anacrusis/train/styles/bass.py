# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The bass player: written lines on the chord's degrees, lines locked to the kick, walking lines.

Every chord change is played, on its root or the slash chord's bass, unless the line took it early. Not covered:
slapping as a sound of its own, chords, glides.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from anacrusis.train import theory
from anacrusis.train.song import QUALITIES
from anacrusis.train.styles.family import TICKS, Family, Step, parse
from anacrusis.train.styles.plan import Bar, Change, Hit, Plan, pick

LOW, HIGH = 28, 55
GATE: Final = 0.92


class Bassist:
    """Keeps its hand where it is: each root is taken near the last."""

    def __init__(self, family: Family, plan: Plan, lines: tuple[str, ...], rng: np.random.Generator) -> None:
        self.family, self.plan, self.rng = family, plan, rng
        self.lines = lines  # quiet, loud, bridge
        self.centre = 33 + int(rng.random() * 8)
        self.last = self.centre
        self.scale = theory.scale_classes(plan.tonic, plan.mode)
        self.lock_hold = rng.random() < 0.6
        self.lock_eighths = rng.random() < 0.35

    def play(self) -> list[Hit]:
        """Every note of the song, in ticks, by start; lengths may run up to the next note."""
        hits: list[Hit] = []
        for bar in self.plan.bars:
            if "bass" not in bar.playing:
                continue
            if bar.event in ("end", "stop"):
                length = bar.length if bar.event == "end" else TICKS
                hits.append(Hit(bar.start, length, self._root(bar.changes[0]), 0.85))
                continue
            line = self.lines[bar.groove]
            if bar.event == "build":
                hits += [self._note(bar, Step(t, TICKS // 2, "1")) for t in range(0, bar.length, TICKS // 2)]
            elif line == "@walk":
                hits += self._walk(bar)
            else:
                hits += self._line(bar, self._lock(bar) if line == "@lock" else self._written(line, bar))
        return hits

    def _written(self, line: str, bar: Bar) -> list[Step]:
        bars = parse(line, self.plan.beats_per_bar)
        return list(bars[bar.number % len(bars)])

    def _lock(self, bar: Bar) -> list[Step]:
        """Roots with the kick, now and then an octave or the fifth off the beat, an approach at the end."""
        kicks = sorted({0, *self.plan.kicks[bar.number]})
        if self.lock_eighths and bar.loud:
            kicks = sorted({*kicks, *range(0, bar.length, TICKS // 2)})
        steps = []
        for i, start in enumerate(kicks):
            until = kicks[i + 1] if i + 1 < len(kicks) else bar.length
            length = until - start if self.lock_hold else min(until - start, TICKS)
            mark = "1"
            if start % TICKS and self.rng.random() < 0.3:
                mark = pick(self.rng, ("8", "5", "1"))
            steps.append(Step(start, length, mark))
        last = steps[-1]
        if self.rng.random() < 0.45 and bar.length - last.start > TICKS:
            cut = bar.length - TICKS // 2
            steps[-1] = last._replace(length=min(last.length, cut - last.start))
            steps.append(Step(cut, TICKS // 2, "a"))
        return steps

    def _line(self, bar: Bar, steps: list[Step]) -> list[Hit]:
        """Steps as notes, with a root put in where a chord changes within the bar and nothing is played."""
        before = self.plan.bars[bar.number - 1].changes[-1] if bar.number else bar.changes[0]
        if steps and steps[0].start == 0 and bar.changes[0][1:] != before[1:] and steps[0].mark in "35674x2":
            steps = [steps[0]._replace(mark="1"), *steps[1:]]
        for change in bar.changes[1:]:
            at = change.start - bar.start
            if not any(s.start == at or (s.mark in "np" and s.start < at <= s.start + s.length) for s in steps):
                steps = [s._replace(length=at - s.start) if s.start < at < s.start + s.length else s for s in steps]
                until = min([s.start for s in steps if s.start > at], default=bar.length)
                steps = sorted([*steps, Step(at, until - at, "1")])
            else:
                steps = [s._replace(mark="1") if s.start == at and s.mark in "a35674x2" else s for s in steps]
        if bar.event == "fill" and steps and self.rng.random() < 0.5:
            steps = self._run_up(bar, steps)
        return [self._note(bar, step) for step in steps]

    def _run_up(self, bar: Bar, steps: list[Step]) -> list[Step]:
        """The last beat of a phrase: two eighths, the second leading to the next chord."""
        begin = bar.length - TICKS
        half = TICKS // 2 if self.family.fills.endswith("straight") or self.family.swing[1] > 0.5 else TICKS // 3
        head = [s._replace(length=min(s.length, begin - s.start)) for s in steps if s.start < begin]
        first = "1" if any(c.start == bar.start + begin for c in bar.changes) else pick(self.rng, ("5", "8", "3"))
        return [*head, Step(begin, half, first), Step(begin + TICKS - half, half, "a")]

    def _note(self, bar: Bar, step: Step) -> Hit:
        chord = self.plan.chord_at(bar, step.start)
        accent = 0.08 if step.start % (2 * TICKS) == 0 else 0.0
        velocity = 0.62 + accent + 0.18 * bar.intensity
        length = max(2, round(step.length * GATE))
        mark = step.mark
        if mark == "x":
            return Hit(bar.start + step.start, min(step.length, 2), self._root(chord), 0.3)
        if mark == "n":
            pitch = self._root(self.plan.next_change(bar, step.start))
            # Held over the bar line; the next note ends it, wherever it comes.
            length = step.length + (TICKS if step.start + step.length == bar.length else 0)
        elif mark == "a":
            pitch = self._approach(chord, self.plan.next_change(bar, step.start))
        elif mark == "8":
            root = self._root(chord)
            pitch = root + 12 if root + 12 <= HIGH else root - 12
        elif mark == "1":
            pitch = self._root(chord)
        elif mark in "24":
            wanted = self._root(chord) + (2 if mark == "2" else 5)
            pitch = wanted if wanted % 12 in self.scale else wanted - 1
        else:
            root = self._root(chord)
            tone = theory.chord_tone(chord.root, chord.quality, mark)
            pitch = root + (tone - root) % 12
            # A fifth below is as good as one above, and keeps the line low.
            if mark == "5" and pitch > self.centre + 9 and pitch - 12 >= LOW:
                pitch -= 12
        self.last = self.last if mark in "83567" else pitch
        return Hit(bar.start + step.start, length, theory.in_range(pitch, LOW, HIGH), velocity)

    def _root(self, chord: Change) -> int:
        near = theory.nearest(chord.bass, round((self.centre * 2 + self.last) / 3))
        return theory.in_range(near, LOW, min(HIGH - 12, LOW + 16))

    def _approach(self, chord: Change, target: Change) -> int:
        """A semitone or a step of the scale from the next root; its fifth now and then."""
        goal = self._root(target)
        if target.bass == chord.bass:
            return pick(self.rng, (goal, theory.in_range(goal + 7, LOW, HIGH)))
        draw = self.rng.random()
        if draw < 0.35:
            return max(LOW, goal - 1)
        if draw < 0.45:
            return goal + 1
        if draw < 0.85:
            steps = (-1, -2) if self.rng.random() < 0.6 else (1, 2)
            return max(LOW, next((goal + s for s in steps if (goal + s) % 12 in self.scale), goal + steps[0]))
        return theory.in_range(goal + 7, LOW, HIGH)

    def _walk(self, bar: Bar) -> list[Hit]:
        """Quarters: root on the change, chord tones and steps towards the next root, an approach before it."""
        hits = []
        beats = bar.length // TICKS
        for beat in range(beats):
            tick = beat * TICKS
            chord = self.plan.chord_at(bar, tick)
            target = self.plan.next_change(bar, tick)
            new = chord.start == bar.start + tick
            if new or (beat == 0 and self.rng.random() < 0.75):
                pitch = self._root(chord)
            elif target.start == bar.start + tick + TICKS or (beat == beats - 1 and target.bass != chord.bass):
                pitch = self._approach(chord, target)
            else:
                pitch = self._between(chord, self._root(target))
            self.last = pitch
            velocity = 0.68 + 0.12 * bar.intensity + (0.05 if beat % 2 else 0.0)
            hits.append(Hit(bar.start + tick, TICKS - 1, theory.in_range(pitch, LOW, HIGH), velocity))
            if self.rng.random() < 0.12:
                hits.append(Hit(bar.start + tick + TICKS // 2, 2, hits[-1].pitch, 0.35))
        return hits

    def _between(self, chord: Change, goal: int) -> int:
        tones = [(chord.root + s) % 12 for s in QUALITIES[chord.quality]]
        away = [p for p in range(max(LOW, self.last - 7), min(HIGH - 4, self.last + 7) + 1) if p != self.last]
        near = [p for p in away if p % 12 in tones] or away
        steps = [p for p in away if p % 12 in self.scale and abs(p - self.last) <= 2]
        choices = sorted([*near, *steps], key=lambda p: abs(p - goal) + 0.5 * abs(p - self.centre - 3))
        return pick(self.rng, choices[:4])
