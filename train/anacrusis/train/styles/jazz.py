# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Swing, jazz waltz, bossa. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

SWING: Final = Family(
    name="swing",
    split="train",
    about="ride cymbal, walking bass, comping that answers",
    tempo_bpm=(100, 160),
    swing=(0.6, 0.67),
    quiet=(
        Groove.of("y x.xxx.xx", "p ..x...x.", "k x...x..."),
        Groove.of("y x.x.x.xx", "p ..x...x.", "r ......x."),
        Groove.of("h x.ox.xo.", "k x...x..."),
    ),
    loud=(
        Groove.of("y x.xxx.xx", "p ..x...x.", "s ...g...x|.x...g..", "k x...x..."),
        Groove.of("y x.xxx.xx", "p ..x...x.", "s .....x..|..g..x..", "k .......x|...x...."),
        Groove.of("y x.xxx.xx", "p ..x...x.", "s ..x...x.", "k x.x.x.x."),
    ),
    bass=("@walk", "@walk", "@walk", "1---5---", "1-3-5-a-"),
    guitar=(
        Comp("x-x-x-x-", size=3, spread_ms=10, gate=0.8, velocity=0.5),
        Comp("X--x....|...x..x.", size=3, spread_ms=10, shape="drop2"),
        Comp(".x...x..|..x....p", size=3, spread_ms=10),
        Comp("X-------", size=4, shape="drop2", spread_ms=14, velocity=0.52),
    ),
    piano=(
        Comp("X--x....|.x....x.", shape="drop2"),
        Comp(".x....x.|...x...p", shape="close"),
        Comp("..x.....|.x...x..", shape="drop2"),
        Comp("X-----x.|........", "1-------|1-------", size=3),
        Comp("...x...p|-...x...", shape="close"),
    ),
    programs=programs((32, 32, 35), (32, 40, 0), (26, 26, 24), (0, 0, 1)),
    modes=("major", "major", "minor", "dorian"),
    lock=0.1,
    flavours=("jazz", "jazz", "jazz", "blues", "grammar"),
    colours=("seventh", "seventh", "extended"),
    fills="light_triplet",
    phrase_bars=(8, 12),
    jitter_ms=6.0,
    lead=0.35,
)

JAZZ_WALTZ: Final = Family(
    name="jazz_waltz",
    split="test",
    about="swung three, ride with the hat on two, walking or dotted bass",
    tempo_bpm=(104, 158),
    beats_per_bar=3,
    swing=(0.58, 0.66),
    quiet=(
        Groove.of("y x.xxx.", "p ..x...", "k x....."),
        Groove.of("y x.x.xx", "p ..x...", "r ....x."),
    ),
    loud=(
        Groove.of("y x.xxx.", "p ..x...", "s ...x..|.....x", "k x..x.."),
        Groove.of("y x.xxxx", "p ..x.x.", "s ..g..x", "k x....."),
    ),
    bass=("@walk", "@walk", "1--5--", "1---5-", "1-----|1---a-"),
    guitar=(
        Comp("x-x-x-", size=3, spread_ms=10, gate=0.8, velocity=0.5),
        Comp("X--x..|...x..", size=3, spread_ms=10, shape="drop2"),
        Comp("..x.x.", size=3, spread_ms=10),
    ),
    piano=(
        Comp("X--x..|.x....", shape="drop2"),
        Comp("..x..x|...x..", shape="close"),
        Comp("X-----", "1-----", size=3),
    ),
    programs=programs((32, 35), (32, 40, 0), (26, 24), (0, 4)),
    modes=("major", "minor", "dorian"),
    lock=0.2,
    flavours=("jazz", "jazz", "grammar"),
    colours=("seventh", "extended"),
    fills="light_triplet",
    phrase_bars=(8,),
    jitter_ms=6.0,
    lead=0.3,
)

BOSSA: Final = Family(
    name="bossa",
    split="train",
    about="cross-stick over straight eighths, root and fifth, syncopated nylon guitar",
    tempo_bpm=(100, 146),
    quiet=(
        Groove.of("k x..xx..x", "r x..x..x.|..x.x...", "h xxxxxxxx"),
        Groove.of("k x..xx..x", "r ..x..x..|x..x..x.", "v xxxxxxxx"),
    ),
    loud=(
        Groove.of("k x..xx..x", "r x..x..x.|..x.x...", "y xxxxxxxx"),
        Groove.of("k x..xx..x", "r ..x.x...|x..x..x.", "h xxxxxxxx", "p ..x...x."),
        Groove.of("k x..xx..x", "r x..x..x.|..x..x..", "v xxxxxxxx", "y x.x.x.x."),
    ),
    bass=("1--55--1", "1--15--5", "1---5---", "1--58--a", "1--55--n"),
    guitar=(
        Comp("x..x..x.|.x..x.p-", "1...5...", size=3, spread_ms=8, gate=0.8),
        Comp("..x..x.x|..x.x...", "1...5...", size=3, spread_ms=8),
        Comp("X-.x-.x-|.x-.x-p-", size=4, shape="drop2", spread_ms=8),
        Comp("1234..32", shape="drop2", gate=1.1, velocity=0.54),
    ),
    piano=(
        Comp("..x.....|...x..x.", shape="drop2", velocity=0.56),
        Comp("X-------|c-----p-", shape="drop2", velocity=0.54),
        Comp(".x..x...|.x....x.", shape="close", velocity=0.56),
        Comp("c--c----", "1---5---", size=3, velocity=0.54),
    ),
    programs=programs((32, 33, 35), (0, 32, 40), (24, 24, 26), (0, 4)),
    modes=("major", "major", "minor", "dorian"),
    lock=0.1,
    flavours=("jazz", "jazz", "latin", "grammar"),
    colours=("seventh", "extended"),
    fills="light",
    kick_variation=0.06,
    lead=0.25,
)

FAMILIES: Final = (SWING, JAZZ_WALTZ, BOSSA)
