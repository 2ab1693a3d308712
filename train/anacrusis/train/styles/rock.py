# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Rock, punk, heavy, surf; blues as a shuffle and slow in twelve. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

ROCK: Final = Family(
    name="rock",
    split="train",
    about="backbeat, power chords and barre strums, bass on the kick",
    tempo_bpm=(96, 148),
    quiet=(
        Groove.of("k x.......x.......", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.x.....x.......", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.....x.x.......", "r ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x.x.....x.x.....", "s ....X.......X...", "h XxXxXxXx", "C x...............|................"),
        Groove.of("k x.....x.x.x.....", "s ....X.......X...", "y x.x.x.x.x.x.x.x."),
        Groove.of("k x..x..x...x.x...", "s ....X.......X...", "h o.o.o.o.o.o.o.o."),
        Groove.of("k x.x...x.x.x...x.|x.x...x.x..x..x.", "s ....X.......X...", "b x...x...x...x..."),
    ),
    bass=("@lock", "1-1-1-1-1-1-1-1-", "1-1-1-1-1-1-5-a-", "1-----1-1---5-a-", "1---1-8---1-5-3-"),
    guitar=(
        Comp("@bass", shape="power", velocity=0.7),
        Comp("X---x.X-----x.x.", shape="power", spread_ms=8, velocity=0.7),
        Comp("x.x.x.x.x.x.x.x.", shape="power", spread_ms=5, gate=0.6),
        Comp("d---d-u---u-d-u-", shape="barre", spread_ms=14, velocity=0.68),
        Comp("X-----X-X-----X-", shape="power", spread_ms=10, velocity=0.72),
        Comp("1-2-3-2-4-2-3-2-", shape="full", size=3, gate=1.2),
        Comp("X---m.x.X---m.xx", shape="barre", spread_ms=12, velocity=0.66),
    ),
    piano=(
        Comp("c---c---c---c---", "1-------1-------", size=3),
        Comp("X---------------", "1-------5-------", size=3),
        Comp("x.x.x.x.x.x.x.x.", "1---1---1---1---", size=3, velocity=0.58),
        Comp("c-----c-------c-", "1-------1-------", size=3),
    ),
    programs=programs((33, 34), (0, 8, 16), (27, 29, 30), (0, 1, 2)),
    modes=("major", "mixolydian", "mixolydian", "minor", "minor", "dorian"),
    flavours=("rock", "rock", "pop", "grammar"),
    colours=("triad", "power", "power"),
)

PUNK: Final = Family(
    name="punk",
    split="train",
    about="fast eighths in every part, few chords",
    tempo_bpm=(140, 160),
    quiet=(
        Groove.of("k x...x...x...x...", "s ..x...x...x...x.", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x.....x.x.......", "s ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x...x...x...x...", "s ..X...X...X...X.", "h o.o.o.o.o.o.o.o."),
        Groove.of("k x.x...x.x.x...x.", "s ....X.......X...", "C x.......x......."),
        Groove.of("k x..x..x.x..x..x.", "s ....X.......X...", "y x.x.x.x.x.x.x.x."),
    ),
    bass=("1-1-1-1-1-1-1-1-", "1-1-1-1-1-1-1-a-", "1-1-1-1-1-1-2-3-", "@lock"),
    guitar=(
        Comp("d-d-d-d-d-d-d-d-", shape="power", spread_ms=6, velocity=0.74),
        Comp("X---x.x.X---x.x.", shape="power", spread_ms=7, velocity=0.74),
        Comp("x.x.x.x.x.x.x.x.", shape="power", spread_ms=5, gate=0.5, velocity=0.64),
        Comp("X---------------", shape="power", spread_ms=10, velocity=0.74),
    ),
    piano=(
        Comp("x.x.x.x.x.x.x.x.", "", shape="octave", size=3),
        Comp("c---c---c---c---", "1---1---1---1---", size=3),
        Comp("X---------------", "1---------------", size=3),
    ),
    programs=programs((34, 33), (0, 16), (29, 30), (1, 2)),
    modes=("major", "major", "minor", "mixolydian"),
    flavours=("rock", "rock", "grammar"),
    colours=("power", "plain"),
    push_ms=-4.0,
)

HEAVY: Final = Family(
    name="heavy",
    split="train",
    about="palm-muted riffs that bass and kick double, half-time choruses",
    tempo_bpm=(90, 156),
    quiet=(
        Groove.of("k x..x..x.x..x..x.", "s ....x.......x...", "h x...x...x...x..."),
        Groove.of("k x.xxx.xxx.xxx.xx", "s ....x.......x...", "h x...x...x...x..."),
    ),
    loud=(
        Groove.of("k x.....x..xx.....", "s ........X.......", "C x...x...x...x..."),
        Groove.of("k xx..xx..xx..xx..", "s ....X.......X...", "y x.x.x.x.x.x.x.x."),
        Groove.of("k x..x..x.....x.x.", "s ....X.......X...", "b x...x...x...x..."),
    ),
    bass=("@lock", "@lock", "1-1-1-1-1-1-1-1-", "1-11111111111-a-"),
    guitar=(
        Comp("@bass", shape="power", velocity=0.74),
        Comp("@kick", shape="power", spread_ms=5, gate=0.8, velocity=0.74),
        Comp("X---xx.xxx.xX---", shape="power", spread_ms=5, gate=0.6, velocity=0.74),
        Comp("X..x..x.x..x..x.", shape="power", spread_ms=5, gate=0.8, velocity=0.74),
        Comp("X-------------x.", shape="power", spread_ms=10, velocity=0.76),
        Comp("xxx.xxx.xxx.xxx.", shape="power", spread_ms=4, gate=0.5, velocity=0.66),
    ),
    piano=(
        Comp("X---------------", "1---------------", size=3),
        Comp("1-2-3-2-1-2-3-2-", "1---------------", shape="octave", size=3, gate=1.1),
        Comp("c-------c-------", "1-------1-------", size=3),
    ),
    programs=programs((33, 34), (16, 0), (29, 30), (0, 2)),
    modes=("minor", "minor", "phrygian", "dorian"),
    lock=0.6,
    flavours=("rock", "vamp", "grammar"),
    colours=("power",),
    ghost=0.03,
)

SURF: Final = Family(
    name="surf",
    split="test",
    about="fast, tom grooves, twangy eighth-note lines over driving chords",
    tempo_bpm=(128, 160),
    quiet=(
        Groove.of("k x...x...x...x...", "f x.x.x.x.x.x.x.x.", "s ....x.x.....x..."),
        Groove.of("k x.......x.......", "s ....x.x.....x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x.......x.......", "s ....X.X.....X...", "y x.x.x.x.x.x.x.x."),
        Groove.of("k x.......x.x.....", "s ....X.X.....X.X.", "h o.o.o.o.o.o.o.o."),
    ),
    bass=("1---1---5---5---", "1-1-3-3-5-5-6-5-", "1-1-1-1-1-1-1-1-", "1---8---5---3---"),
    guitar=(
        Comp("@bass", shape="close", velocity=0.7),
        Comp("1.1.2.2.3.3.2.2.", shape="full", size=3, gate=0.8, velocity=0.68),
        Comp("X---x...X---x...", shape="barre", spread_ms=10, velocity=0.68),
        Comp("1111222233332222", size=3, gate=0.7, velocity=0.62),
        Comp("d---d-u---u-d-u-", shape="barre", spread_ms=12),
    ),
    piano=(
        Comp("x.x.x.x.x.x.x.x.", "1---5---1---5---", size=3, velocity=0.56),
        Comp("..x...x...x...x.", "1---5---1---5---", size=3),
        Comp("X-------X-------", "1-------5-------", size=3),
    ),
    programs=programs((33, 34), (0, 8), (26, 27), (0, 1)),
    modes=("minor", "minor", "major", "phrygian"),
    flavours=("rock", "country", "latin", "grammar"),
    colours=("triad", "plain"),
    push_ms=-3.0,
    lead=0.35,
)

BLUES_SHUFFLE: Final = Family(
    name="blues_shuffle",
    split="train",
    about="swung eighths, boogie in bass and guitar, twelve bars",
    tempo_bpm=(84, 140),
    swing=(0.6, 0.67),
    quiet=(
        Groove.of("k x...x...", "s ..x...x.", "h xxxxxxxx"),
        Groove.of("k x...x..x", "s ..x...x.", "h x.xxx.xx"),
    ),
    loud=(
        Groove.of("k x.x.x.x.", "s ..X...X.", "y xxxxxxxx"),
        Groove.of("k x..xx...", "s .gX..gX.", "y x.xxx.xx"),
        Groove.of("k x...x...", "s x.Xxx.Xx", "h x.x.x.x."),
    ),
    bass=("1-3-5-6-", "1-1-3-3-5-5-6-5-", "1-3-5-6-|8-6-5-3-", "1-1-5-5-", "@walk", "11335566"),
    guitar=(
        Comp("x.x.x.x.x.x.x.x.", shape="close", size=3, spread_ms=8, gate=0.8),
        Comp("d-ud-ud-", shape="barre", spread_ms=14),
        Comp("..X-..X-", size=3, spread_ms=10, velocity=0.68),
        Comp("X--x....", size=3, spread_ms=10),
        Comp("1-2-3-2-", shape="close", size=4, gate=1.0),
    ),
    piano=(
        Comp("X--x..x.", "1---5---", size=3),
        Comp("xxxxxxxx", "1-5-1-5-", size=3, velocity=0.54),
        Comp("..x...x.", "1-5-8-5-", size=3),
        Comp("X-------", "1-3-5-3-", size=3, shape="octave"),
    ),
    programs=programs((32, 33, 34), (0, 8, 32), (26, 27, 29), (0, 1, 2)),
    modes=("blues", "blues", "mixolydian", "dorian"),
    flavours=("blues", "blues", "blues", "grammar"),
    colours=("seventh", "triad", "extended"),
    fills="triplet",
    phrase_bars=(12, 8),
    push_ms=3.0,
    lead=0.3,
)

SLOW_BLUES: Final = Family(
    name="slow_blues",
    split="train",
    about="slow twelve: triplets on the hat, sparse bass, long chords",
    tempo_bpm=(70, 88),
    quiet=(
        Groove.of("k x.....x.....", "s ...x.....x..", "h xxxxxxxxxxxx"),
        Groove.of("k x.....x.x...", "r ...x.....x..", "h xxxxxxxxxxxx"),
    ),
    loud=(
        Groove.of("k x.x...x.x...", "s ...X.....X..", "y xxxxxxxxxxxx"),
        Groove.of("k x....xx.....", "s ...X..g..X.g", "y x.xx.xx.xx.x"),
    ),
    bass=("1-----5--8--", "1--3--5--6--", "1--1-35--5-a", "1-----1-1--a", "@walk"),
    guitar=(
        Comp("...X-----X--", size=3, spread_ms=12),
        Comp("123432123432", shape="full", size=3, gate=1.2, velocity=0.54),
        Comp("x..x-ux..x-u", shape="barre", spread_ms=15, velocity=0.56),
        Comp("X-----------", shape="barre", spread_ms=22),
    ),
    piano=(
        Comp("xxxxxxxxxxxx", "1-----5-----", size=3, velocity=0.5),
        Comp("c--c--c--c--", "1-----5-----", size=3, velocity=0.56),
        Comp("X-----c--c-c", "1-----------", size=4),
        Comp("..x..x..x..x", "1--5--1--5--", size=3),
    ),
    programs=programs((32, 33, 35), (0, 8, 32, 40), (26, 27, 29), (0, 2, 4)),
    modes=("blues", "minor", "major"),
    flavours=("blues", "blues", "gospel", "grammar"),
    colours=("seventh", "triad", "extended"),
    fills="triplet",
    phrase_bars=(12, 8),
    push_ms=6.0,
    jitter_ms=6.0,
    lead=0.35,
)

FAMILIES: Final = (ROCK, PUNK, HEAVY, SURF, BLUES_SHUFFLE, SLOW_BLUES)
