# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Disco, house, hip-hop. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

DISCO: Final = Family(
    name="disco",
    split="train",
    about="four on the floor, octave bass, open hats off the beat, sixteenth guitar",
    tempo_bpm=(108, 130),
    quiet=(
        Groove.of("k x...x...x...x...", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x...x...x...x...", "h ..o...o...o...o."),
    ),
    loud=(
        Groove.of("k x...x...x...x...", "s ....X.......X...", "h x.o.x.o.x.o.x.o."),
        Groove.of("k x...x...x...x...", "s ....X.......X...", "c ....x.......x...", "h xxoxxxoxxxoxxxox"),
        Groove.of("k x...x...x...x.x.", "s ....X.......X..g", "h ..o...o...o...o.", "q xxxxxxxxxxxxxxxx"),
    ),
    bass=("1-8-1-8-1-8-1-8-", "1-.81-.81-.81-.8", "1-8-1-8-5-8-7-a-", "1-..8-1-..1-8-7-", "@lock"),
    guitar=(
        Comp("m.xmm.xmm.xmm.xm", size=3, spread_ms=7),
        Comp("xmxmxmmxmxmxxmxm", size=3, spread_ms=6, velocity=0.58),
        Comp("..x...x...x...x.", size=3, spread_ms=7),
        Comp("1.2.3.2.1.2.3.2.", size=3, gate=0.6),
    ),
    piano=(
        Comp("X---------------", "", shape="drop2"),
        Comp("x..x..x...x.x...", "1-------1-------", size=3),
        Comp("..c-..c-..c-..c-", "", shape="close"),
        Comp("c-----c---c-----", "1-------5-------"),
    ),
    programs=programs((33, 34, 36), (8, 0, 25), (27, 28), (0, 4, 2)),
    modes=("minor", "minor", "dorian", "major"),
    lock=0.0,
    flavours=("pop", "vamp", "jazz", "grammar"),
    colours=("triad", "seventh", "extended"),
    kick_variation=0.02,
    jitter_ms=3.5,
)

HOUSE: Final = Family(
    name="house",
    split="train",
    about="four on the floor, machine tight, chord stabs against the beat",
    tempo_bpm=(116, 130),
    swing=(0.5, 0.57),
    swing_ticks=6,
    quiet=(
        Groove.of("k x...x...x...x...", "h ..o...o...o...o."),
        Groove.of("k x...x...x...x...", "c ....x.......x...", "h xxxxxxxxxxxxxxxx"),
    ),
    loud=(
        Groove.of("k x...x...x...x...", "c ....X.......X...", "h ..o...o...o...o."),
        Groove.of("k x...x...x...x...", "e ....X.......X...", "h x.o.x.o.x.o.x.o.", "v .x.x.x.x.x.x.x.x"),
        Groove.of("k x...x...x...x..x", "c ....X.......X...", "h xxoxxxoxxxoxxxox", "r ...x..x....x..x."),
    ),
    bass=("..1-..1-..1-..1-", "1--1--1-..1-1-8-", "..11..11..11..1a", "1-..1-..1-.1..8-", "1---------1---7-"),
    guitar=(
        Comp("..x..x..x..x..x.", size=3, spread_ms=5),
        Comp("1..2..3.1..2..3.", size=3, gate=0.7),
        Comp("....x.......x..x", size=3, spread_ms=5),
        Comp("X---------------", size=4, spread_ms=12, velocity=0.5),
    ),
    piano=(
        Comp("x..x..x..x..x.x.", "", shape="drop2"),
        Comp("..x...x...x..xx.", "", shape="close", velocity=0.66),
        Comp("x..x.x..x..x.x..", "1..1.1..1..1.1..", size=3),
        Comp("X---------------", "", shape="drop2"),
    ),
    programs=programs((33, 36, 34), (24, 25), (27, 28, 26), (0, 2, 4)),
    modes=("minor", "minor", "dorian", "major"),
    lock=0.0,
    flavours=("vamp", "pop", "grammar"),
    colours=("seventh", "extended", "triad"),
    kick_variation=0.0,
    ghost=0.0,
    jitter_ms=2.0,
)

HIPHOP: Final = Family(
    name="hiphop",
    split="train",
    about="slow loops, swung sixteenths, long bass notes under sparse keys",
    tempo_bpm=(76, 102),
    swing=(0.54, 0.66),
    swing_ticks=6,
    quiet=(
        Groove.of("k x......x..x.....", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.x.......x.....", "c ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x..x...x..x.....|x..x...x.x....x.", "s ....X.......X...", "h x.x.x.xxx.x.x.x."),
        Groove.of("k x.....x..xx....x", "e ....X.......X...", "h x.xxx.x.x.xxx.xo"),
        Groove.of("k xx.....x..x.....", "s ....X.......X..g", "h x.x.x.x.x.x.x.x."),
    ),
    bass=("@lock", "@lock", "1------1--8-..a-", "1-------..1-5---", "1--1------1-----"),
    guitar=(
        Comp("@kick", size=3, spread_ms=8, gate=0.6, velocity=0.56),
        Comp("1-2-..3---2-..1-", size=3, gate=1.1, velocity=0.54),
        Comp("....x......x....", size=3, spread_ms=10),
        Comp("X---------------", size=4, spread_ms=22, velocity=0.5),
        Comp("..m.x..m..m.x..m", size=3, spread_ms=8, velocity=0.54),
    ),
    piano=(
        Comp("X-------........", "1---------------", shape="drop2"),
        Comp("x..x..x.........", "1-------1-------"),
        Comp("c-----.c--......", "1---------------", shape="close"),
        Comp("1-2-3-4-3-2-....", "1---------------", shape="drop2", gate=1.2, velocity=0.52),
    ),
    programs=programs((32, 33, 34, 36), (8, 24, 25), (24, 26, 27), (4, 5, 0)),
    modes=("minor", "minor", "dorian", "phrygian"),
    lock=0.6,
    flavours=("vamp", "vamp", "jazz", "grammar"),
    colours=("seventh", "triad", "extended"),
    push_ms=8.0,
    kick_variation=0.25,
)

FAMILIES: Final = (DISCO, HOUSE, HIPHOP)
