# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Pop, ballad, new wave, lullaby. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

POP: Final = Family(
    name="pop",
    split="train",
    about="straight eighths, backbeat, strummed guitar and piano chords",
    tempo_bpm=(84, 132),
    quiet=(
        Groove.of("k x.......x.x.....", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.......x.......", "r ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.....x...x.....", "s ....x.......x.g.", "h x...x...x...x..."),
    ),
    loud=(
        Groove.of("k x.....x.x.......", "s ....X.......X...", "h x.x.x.x.x.x.x.o."),
        Groove.of("k x..x..x.x.......|x..x..x...x.x...", "s ....X.......X...", "y x.x.x.x.x.x.x.x."),
        Groove.of("k x...x...x...x...", "s ....X.......X...", "h ..o...o...o...o."),
        Groove.of("k x.....x.x.x.....", "s ....X.......X...", "h xxxxxxxxxxxxxxxx"),
    ),
    bass=(
        "@lock",
        "@lock",
        "1-1-1-1-1-1-1-1-",
        "1-----1-1-----a-",
        "1-----5-8---5-a-",
        "1-------1---5---",
        "1--1--1-1--1--a-",
    ),
    guitar=(
        Comp("d---d-u---u-d-u-", shape="barre", spread_ms=18),
        Comp("d---d-u-d---d-u-", shape="barre", spread_ms=14, velocity=0.56),
        Comp("1-3-4-3-2-3-4-3-", shape="full", size=3, gate=1.4, velocity=0.55),
        Comp("X---------------", shape="barre", spread_ms=24),
        Comp("x.mmx.m.x.mmx.m.", shape="close", size=3, spread_ms=8),
    ),
    piano=(
        Comp("c---c---c---c---", "1-------5-------"),
        Comp("c-------c-----c-", "1---------------"),
        Comp("c--c--c-c--c--c-", "1-------1-------", velocity=0.56),
        Comp("1-2-3-4-3-2-3-2-", "1-------5-------", shape="octave", size=3, gate=1.1, velocity=0.54),
        Comp("X---------------", "1---------------"),
    ),
    programs=programs((33, 34, 33), (0, 8, 16), (24, 25, 27), (0, 1, 4)),
    modes=("major", "major", "major", "minor", "mixolydian"),
    flavours=("pop", "pop", "grammar", "cliche"),
    colours=("triad", "triad", "suspended"),
)

BALLAD: Final = Family(
    name="ballad",
    split="train",
    about="slow, arpeggios, long bass notes",
    tempo_bpm=(70, 92),
    quiet=(
        Groove.of("k x...............", "r ........x.......", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.........x.....", "r ....x.......x...", "h x...x...x...x..."),
    ),
    loud=(
        Groove.of("k x.....x.x.......", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x......xx.......", "s ....x.......x...", "y x.x.x.x.x.x.x.x."),
        Groove.of("k x..x....x.x.....", "s ....x.......x..g", "h x.xxx.xxx.xxx.xx"),
    ),
    bass=("1---------------", "1-------5-----a-", "1-----1-1-----a-", "1-------8-----5-", "@lock"),
    guitar=(
        Comp("1-2-3-4-5-4-3-2-", shape="full", size=3, gate=1.6, velocity=0.5),
        Comp("1-3-2-4-3-2-4-3-", shape="drop2", gate=1.6, velocity=0.5),
        Comp("X---------------", shape="barre", spread_ms=25, velocity=0.5),
        Comp("1-2-34321-2-3432", shape="full", size=3, gate=1.4, velocity=0.48),
        Comp("d-----d-d---d-u-", shape="barre", spread_ms=22, velocity=0.5),
    ),
    piano=(
        Comp("c---c---c---c---", "1-------5-------", velocity=0.55),
        Comp("1-2-3-2-4-3-2-3-", "1---------------", shape="octave", size=3, gate=1.5, velocity=0.5),
        Comp("c-------c-------", "1-----5-8-------", velocity=0.55),
        Comp("..1-2-3-..1-2-3-", "1-5-----1-5-----", size=3, gate=1.5, velocity=0.5),
    ),
    programs=programs((32, 33, 35), (0, 8, 40), (24, 25), (0, 1, 4)),
    modes=("major", "major", "minor"),
    flavours=("pop", "gospel", "cliche", "grammar"),
    colours=("triad", "suspended", "seventh"),
    push_ms=5.0,
    kick_variation=0.1,
    lead=0.25,
)

NEW_WAVE: Final = Family(
    name="new_wave",
    split="train",
    about="driving eighths in the bass, off-beat hats, stabs",
    tempo_bpm=(118, 158),
    quiet=(
        Groove.of("k x...x...x...x...", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.....x.x.....x.", "e ....x.......x...", "h xxx.xxx.xxx.xxx."),
    ),
    loud=(
        Groove.of("k x...x...x...x...", "e ....X.......X...", "h ..o...o...o...o."),
        Groove.of("k x.x.....x.x.....", "e ....X.......X...", "h x.x.x.x.x.x.x.x.", "q ....x.......x..."),
        Groove.of("k x.....x.x.....x.", "s ....X.......X.x.", "h x.x.x.x.x.x.x.x."),
    ),
    bass=("1-1-1-1-1-1-1-1-", "1-1-8-1-1-1-8-1-", "1-8-1-8-1-8-1-8-", "1-1-1-1-5-5-1-a-", "@lock"),
    guitar=(
        Comp("x...x.x...x.x...", size=3, spread_ms=8),
        Comp("1.1.2.2.3.3.2.2.", size=3, gate=0.7),
        Comp("..x...x...x...x.", size=3, spread_ms=8, velocity=0.66),
        Comp("X-------X-----X-", shape="barre", spread_ms=12),
        Comp("1-2-3-1-2-3-1-2-", size=3, gate=0.9),
    ),
    piano=(
        Comp("X-------------X-", "", shape="drop2"),
        Comp("x..x..x...x..x..", "", size=3),
        Comp("c-------c-------", "1-------1-------"),
        Comp("1.2.3.2.1.2.3.2.", "", shape="octave", size=3, gate=0.7),
    ),
    programs=programs((33, 34), (8, 16, 24, 25), (27, 28), (1, 2, 5)),
    modes=("major", "minor", "minor", "mixolydian", "dorian"),
    flavours=("pop", "rock", "grammar"),
    jitter_ms=3.5,
    push_ms=-2.0,
)

LULLABY: Final = Family(
    name="lullaby",
    split="train",
    about="slow three, broken chords, hardly any drums",
    tempo_bpm=(70, 100),
    beats_per_bar=3,
    quiet=(
        Groove.of("k x.....", "p ..x.x."),
        Groove.of("k x.....", "r ....x.", "y x.x.x."),
    ),
    loud=(
        Groove.of("k x.....", "r ..x.x.", "y x.x.x."),
        Groove.of("k x....x", "s ..x.x.", "h x.x.x."),
    ),
    bass=("1-----", "1---5-", "1---a-", "1-5-8-"),
    guitar=(
        Comp("1-2-3-", shape="drop2", gate=1.5, velocity=0.5),
        Comp("123432", shape="full", size=3, gate=1.5, velocity=0.5),
        Comp("..d-d-", "1-----", spread_ms=16, velocity=0.5),
        Comp("X-----", shape="barre", spread_ms=25, velocity=0.5),
    ),
    piano=(
        Comp("..c-c-", "1-----", size=3, velocity=0.52),
        Comp("123432", "1-----", shape="octave", size=3, gate=1.4, velocity=0.5),
        Comp("c-----", "1-----", velocity=0.52),
        Comp("..1-2-", "1-----", size=3, gate=1.4, velocity=0.5),
    ),
    programs=programs((32, 33, 35), (40, 0), (24, 25), (0, 4, 5)),
    modes=("major", "major", "minor", "dorian"),
    flavours=("pop", "country", "cliche", "grammar"),
    colours=("triad", "seventh", "suspended"),
    fills="light",
    kick_variation=0.08,
    ghost=0.05,
    lead=0.3,
    push_ms=4.0,
)

FAMILIES: Final = (POP, BALLAD, NEW_WAVE, LULLABY)
