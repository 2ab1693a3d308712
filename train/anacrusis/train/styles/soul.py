# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Funk, gospel, Motown, soul, R&B. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

FUNK: Final = Family(
    name="funk",
    split="train",
    about="sixteenths, ghost notes, syncopated bass on the kick, scratch guitar",
    tempo_bpm=(88, 122),
    swing=(0.5, 0.56),
    swing_ticks=6,
    quiet=(
        Groove.of("k x.....x...x.....", "s ....x..g.g..x..g", "h xxxxxxxxxxxxxxxx"),
        Groove.of("k x..x......x..x..", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x.x....x..x..x..", "s ....X..g.g..X..g", "h x.x.x.x.x.xox.x."),
        Groove.of("k x..x..x...x.....|x..x..x..x......", "s ....X..g....X.g.", "h xxxxxxxoxxxxxxxx"),
        Groove.of("k x.x...x...xx....", "s .g..X..g.g..Xg..", "h x.x.x.x.x.x.x.o."),
    ),
    bass=(
        "@lock",
        "@lock",
        "1--x..1-x.8-x.7-",
        "1-.1..8-.5.7..a-",
        "1...x.1-..5-7-8-",
        "1-1-..x1..8.7.5.|1-1-..x1..5.7.a-",
        "1--8.x1-..x.5-7-",
    ),
    guitar=(
        Comp("@bass", velocity=0.66),
        Comp("@kick", size=3, spread_ms=6, gate=0.5, velocity=0.64),
        Comp("m.xmm.mxm.xmm.xm", size=3, spread_ms=8, velocity=0.6),
        Comp("..x...x...x...xm", size=3, spread_ms=6, velocity=0.62),
        Comp("mmmmXmmmmmmmXmm.", size=3, spread_ms=8, velocity=0.6),
        Comp("1.2..3.1.2..3.2.", size=3, gate=0.6),
        Comp("x.mx.mx.m.x.mx.m", size=3, spread_ms=7, velocity=0.58),
    ),
    piano=(
        Comp("X-----.x..x.....", "", shape="drop2"),
        Comp("...x..x....x..x.", "", size=3, shape="close"),
        Comp("x..x..x...x..x..", "1.......1.......", size=3),
        Comp("c-------......p-", "", shape="drop2"),
    ),
    programs=programs((33, 34, 36), (0, 8, 16), (27, 28), (4, 5, 0)),
    modes=("dorian", "dorian", "mixolydian", "minor", "blues"),
    lock=0.9,
    flavours=("vamp", "vamp", "vamp", "grammar"),
    colours=("seventh", "extended", "extended"),
    ghost=0.35,
    jitter_ms=4.0,
    kick_variation=0.22,
)

GOSPEL: Final = Family(
    name="gospel",
    split="train",
    about="triplet feel, rich piano, bass that climbs to the next chord",
    tempo_bpm=(70, 110),
    quiet=(
        Groove.of("k x.....x.....", "r ...x.....x..", "h xxxxxxxxxxxx"),
        Groove.of("k x.....x....x", "s ...x.....x..", "h x.xx.xx.xx.x"),
    ),
    loud=(
        Groove.of("k x....xx.....", "s ...X.....X..", "y x.xx.xx.xx.x", "q ...x.....x.."),
        Groove.of("k x..x..x..x..", "s ...X..g..X.g", "h x.xx.xx.xx.o"),
    ),
    bass=("1-----1-5--a", "1--5--8--5-a", "1----11--3-5", "@walk", "1-----5---3a"),
    guitar=(
        Comp("...x.....x..", size=3, spread_ms=10),
        Comp("d--d-ud--d-u", shape="barre", spread_ms=16, velocity=0.54),
        Comp("1-23-21-23-2", shape="drop2", gate=1.2, velocity=0.52),
        Comp("X-----X-----", size=4, spread_ms=18, velocity=0.54),
    ),
    piano=(
        Comp("c--c-cc--c-c", "1--5--1--5--", velocity=0.64),
        Comp("X-----c--c--", "1-----8-----", shape="octave", velocity=0.64),
        Comp("..c..c..c..c", "1--1--5--5--", shape="octave"),
        Comp("c-----c----c", "1----51----5", velocity=0.62),
    ),
    programs=programs((32, 33, 35), (0, 8), (26, 27, 25), (0, 1, 4)),
    modes=("major", "major", "mixolydian", "minor"),
    flavours=("gospel", "gospel", "cliche", "grammar"),
    colours=("seventh", "triad", "extended"),
    fills="triplet",
    push_ms=4.0,
)

MOTOWN: Final = Family(
    name="motown",
    split="validation",
    about="snare or tambourine on every beat, busy melodic bass, off-beat guitar",
    tempo_bpm=(100, 136),
    quiet=(
        Groove.of("k x.....x.x.......", "s x...x...x...x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.x.....x.x.....", "s ....x.......x...", "q ..x...x...x...x."),
    ),
    loud=(
        Groove.of("k x.....x.x.....x.", "s X...X...X...X...", "q x.x.x.x.x.x.x.x."),
        Groove.of("k x.x.....x.x.....", "s ....X.......X...", "q ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    bass=("1--1..5-6-5-3-a-", "1---1-135-6-8-5-", "1-.18-.61-.15-a-", "@lock"),
    guitar=(
        Comp("....x.......x...", size=3, spread_ms=8, velocity=0.68),
        Comp("..x...x...x...x.", size=3, spread_ms=8),
        Comp("x...x.x.x...x.x.", shape="close", size=3, spread_ms=10),
    ),
    piano=(
        Comp("x...x...x...x...", "1...1...1...1...", size=3),
        Comp("c-----c-c-----c-", "1-------5-------", size=3),
        Comp("X-----------x.x.", "1-------1-------"),
    ),
    programs=programs((32, 33), (0, 8), (26, 27), (0, 1)),
    modes=("major", "major", "minor", "mixolydian"),
    lock=0.5,
    flavours=("pop", "gospel", "cliche", "grammar"),
    colours=("triad", "seventh"),
)

SOUL: Final = Family(
    name="soul",
    split="test",
    about="relaxed backbeat, melodic syncopated bass, double stops on guitar",
    tempo_bpm=(76, 116),
    quiet=(
        Groove.of("k x.......x.x.....", "r ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x..x....x..x....", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x..x...xx..x....", "s ....X.......X..g", "h x.x.x.x.x.x.x.o."),
        Groove.of("k x.....xxx.x.....", "s ....X..g....X...", "y x.x.x.x.x.x.x.x."),
    ),
    bass=("1-....1-5-..6-a-", "1--1..8-..5-6-5-", "@lock", "1---..1-3-5-..a-"),
    guitar=(
        Comp("....X-......x...", size=3, spread_ms=10),
        Comp("1-..2-3-..2-1-..", size=3, gate=1.0),
        Comp("x...m.x.x...m.xm", size=3, spread_ms=8),
        Comp("2-34..3-2-34..3-", shape="drop2", gate=1.0, velocity=0.56),
    ),
    piano=(
        Comp("X-------c-----c-", "1-------1-------"),
        Comp("c--c--c---c-----", "1-------5-------"),
        Comp("..c...c...c...c.", "1---5---1---5---", size=3),
    ),
    programs=programs((33, 34, 32), (0, 8, 16), (26, 27), (0, 4, 1)),
    modes=("major", "major", "minor", "dorian", "mixolydian"),
    lock=0.6,
    flavours=("gospel", "vamp", "pop", "grammar"),
    colours=("triad", "seventh", "seventh"),
    push_ms=4.0,
    ghost=0.25,
)

RNB: Final = Family(
    name="rnb",
    split="test",
    about="slow swung sixteenths, electric piano in ninths, bass laid back on the kick",
    tempo_bpm=(70, 98),
    swing=(0.54, 0.64),
    swing_ticks=6,
    quiet=(
        Groove.of("k x......x..x.....", "r ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x..x......x.....", "c ....x.......x...", "h xxxxxxx.xxxxxxx."),
    ),
    loud=(
        Groove.of("k x..x...x..x....x", "s ....X.......X...", "h x.xxx.x.x.xxx.xo"),
        Groove.of("k x.x....x.xx.....", "e ....X.......X...", "c ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    bass=("@lock", "@lock", "1------1..8-..5-", "1--.....1--5..a-"),
    guitar=(
        Comp("....x.......x..m", size=3, spread_ms=8),
        Comp("1-2-3-4-..3-2-..", shape="drop2", gate=1.2, velocity=0.5),
        Comp("...x..m....x..m.", size=3, spread_ms=8),
    ),
    piano=(
        Comp("X-----------..p-", "1---------------", shape="drop2", velocity=0.56),
        Comp("c-----.c--..c---", "1---------------", shape="close", velocity=0.56),
        Comp("c--c----..c-----", "1-------1-------", shape="drop2", velocity=0.56),
    ),
    programs=programs((33, 34, 36), (8, 24, 25, 16), (26, 27), (4, 5)),
    modes=("minor", "major", "dorian"),
    lock=0.6,
    flavours=("jazz", "vamp", "pop", "grammar"),
    colours=("seventh", "extended", "extended"),
    push_ms=7.0,
    jitter_ms=4.0,
)

FAMILIES: Final = (FUNK, GOSPEL, MOTOWN, SOUL, RNB)
