# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Reggae, ska, Afrobeat. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

REGGAE: Final = Family(
    name="reggae",
    split="train",
    about="drop on three, chords off the beat, bass that leaves the one",
    tempo_bpm=(70, 92),
    swing=(0.5, 0.6),
    swing_ticks=6,
    quiet=(
        Groove.of("k ........x.......", "r ........x.......", "h x.x.x.x.x.x.x.x."),
        Groove.of("k ........x.......", "r ........x...x.x.", "h x.xxx.x.x.xxx.x."),
    ),
    loud=(
        Groove.of("k x.......x.......", "s ........X.......", "h x.x.x.x.x.x.x.o."),
        Groove.of("k x...x...x...x...", "s ........X.......", "h x.xxx.xxx.xxx.xx"),
        Groove.of("k x...x...x...x...", "r ....x.......x...", "h ..x...x...x...o."),
    ),
    bass=(
        "1-.15-..1-.1..5-",
        "....1-1-..3-5-..",
        "1-1-..5-5-..3-a-",
        "1---..3-5---..a-",
        "1-..1-..5-8-5-3-",
    ),
    guitar=(
        Comp("....x.......x...", size=3, spread_ms=8, velocity=0.68),
        Comp("..x...x...x...x.", size=3, spread_ms=8, gate=0.6),
        Comp("....xm......xm..", size=3, spread_ms=8),
        Comp("....x.......x.u.", size=4, spread_ms=10),
    ),
    piano=(
        Comp("....x.......x...", "", size=3),
        Comp("..xx..xx..xx..xx", "", size=3, velocity=0.54),
        Comp("..x.x.x...x.x.x.", "", shape="close", size=3, velocity=0.56),
        Comp("X---------------", "", shape="drop2", velocity=0.5),
    ),
    programs=programs((32, 33, 33), (0, 8, 16), (27, 28), (0, 4, 2)),
    modes=("major", "minor", "minor", "dorian"),
    lock=0.1,
    flavours=("pop", "vamp", "grammar"),
    colours=("triad", "triad", "seventh"),
    kick_variation=0.05,
    push_ms=5.0,
)

SKA: Final = Family(
    name="ska",
    split="test",
    about="fast, chords on every off-beat, walking bass, backbeat",
    tempo_bpm=(116, 158),
    quiet=(
        Groove.of("k x...x...x...x...", "r ....x.......x...", "h ..x...x...x...x."),
        Groove.of("k ....x.......x...", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x...x...x...x...", "s ....X.......X...", "h ..o...o...o...o."),
        Groove.of("k x.......x.x.....", "s ....X.......X...", "h x.x.x.x.x.x.x.x."),
    ),
    bass=("@walk", "1---3---5---6---", "1-1-3-3-5-5-3-a-", "1---8---5---a---"),
    guitar=(
        Comp("..x...x...x...x.", size=3, spread_ms=7, velocity=0.68),
        Comp("..u...u...u...u.", size=4, spread_ms=9, gate=0.6),
        Comp("..x...x...x...xm", size=3, spread_ms=7),
    ),
    piano=(
        Comp("..x...x...x...x.", "", size=3),
        Comp("..x...x...x...x.", "1---5---1---5---", size=3),
        Comp("X-------X-------", "", shape="close"),
    ),
    programs=programs((32, 33, 34), (0, 8), (26, 27), (0, 1)),
    modes=("major", "major", "minor"),
    flavours=("pop", "jazz", "latin", "grammar"),
    colours=("triad", "plain"),
    push_ms=-3.0,
)

AFROBEAT: Final = Family(
    name="afrobeat",
    split="test",
    about="long vamps, interlocking guitar and keys, kick and bass in short figures",
    tempo_bpm=(96, 126),
    quiet=(
        Groove.of("k x..x......x..x..", "r ....x..x....x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.....x...x.....", "s ....x..g.g..x..g", "h x.xxx.xxx.xxx.xx", "v x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x..x..x...x..x..", "s ....x..x.x..x..x", "h x.o.x.o.x.o.x.o."),
        Groove.of("k x..x......x.x...", "s ...gx..g.g..x.g.", "h xxxxxxxxxxxxxxxx", "n x..x..x...x.x..."),
    ),
    bass=("1-.1..5-..7-8...", "1..1-.....1-5-7-", "1-..3-5-..1-..5-", "@lock", "8-.5..1-..1-7-5-"),
    guitar=(
        Comp("@bass", velocity=0.6),
        Comp("1.2.3.1.2.3.1.2.", size=3, gate=0.6),
        Comp("..x..x....x..x..", size=3, spread_ms=6),
        Comp("1..2.3..1..2.3..", size=3, gate=0.7),
        Comp("m.xmm.xmm.xmm.xm", size=3, spread_ms=6),
    ),
    piano=(
        Comp("...x..x.......x.", "", shape="close"),
        Comp("x.....x...x.....", "", shape="drop2"),
        Comp("X-------....x.x.", "", shape="close"),
    ),
    programs=programs((33, 34), (0, 8), (27, 28), (4, 5, 0)),
    modes=("dorian", "dorian", "minor", "mixolydian"),
    lock=0.7,
    flavours=("vamp", "vamp", "grammar"),
    colours=("seventh", "extended", "triad"),
    ghost=0.25,
    kick_variation=0.2,
)

FAMILIES: Final = (REGGAE, SKA, AFROBEAT)
