# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Samba, son, bolero, cumbia. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

SAMBA: Final = Family(
    name="samba",
    split="train",
    about="two-feel bass drum, running sixteenths, tamborim figures in the chords",
    tempo_bpm=(92, 128),
    quiet=(
        Groove.of("k x..xx..xx..xx..x", "r x.x..x.x.x.x..x.", "v xxxxxxxxxxxxxxxx"),
        Groove.of("k x..xx..xx..xx..x", "h xxxxxxxxxxxxxxxx", "p ..x...x...x...x."),
    ),
    loud=(
        Groove.of("k x..xx..xx..xx..x", "s x.x..x.x.x.x..x.", "h xxxxxxxxxxxxxxxx", "w x...x...x..x..x."),
        Groove.of("k x..xX..xx..xX..x", "s gxggxgxggxgxggxg", "y x.x.x.x.x.x.x.x."),
    ),
    bass=("1--15--51--15--5", "1-----155-----5-", "1--15--58--85--a", "1---5--51---5--n"),
    guitar=(
        Comp("x.x..x.x.x.x..x.", size=3, spread_ms=7, velocity=0.6),
        Comp("..x.x..x..x.x..x", size=3, spread_ms=7),
        Comp("x..x..x...x..x..", "1.......5.......", size=3, spread_ms=8),
        Comp("1.2.3.4.3.2.1.2.", shape="drop2", gate=0.9),
    ),
    piano=(
        Comp("X-----x...x..x..", shape="drop2", velocity=0.58),
        Comp("...x..x....x..x.", shape="close"),
        Comp("c-------c-----p-", "1-------5-------", size=3),
        Comp("x..x..x..x..x.x.", shape="octave", size=3),
    ),
    programs=programs((32, 33, 35), (0, 8), (24, 25), (0, 4, 1)),
    modes=("major", "major", "minor", "dorian"),
    lock=0.0,
    flavours=("jazz", "latin", "grammar"),
    colours=("seventh", "triad", "extended"),
    fills="latin",
    kick_variation=0.04,
    push_ms=-2.0,
)

SON: Final = Family(
    name="son",
    split="train",
    about="clave, bass that takes the next chord early, piano montuno in octaves",
    tempo_bpm=(84, 120),
    quiet=(
        Groove.of("n x..x..x...x.x...", "z x.xxx.xxx.xxx.xx", "k ...x..x....x..x."),
        Groove.of("n ..x.x...x..x..x.", "w x...x...x...x...", "m ............x.x.", "k ......x.......x."),
    ),
    loud=(
        Groove.of("n x..x..x...x.x...", "w x.xxx.xxx.xxx.xx", "t ......x.......xx", "k ...x..x....x..x."),
        Groove.of("n ..x.x...x..x..x.", "b x.x.xx.xx.x.xx.x", "k ......x.......x.", "m ....x.......x.x."),
    ),
    bass=("1-----5-----n---", "1-----5-----n---", "......5-----n---", "1--5--8-..5-n---"),
    guitar=(
        Comp("1.2.3.2.1.2.3.2.", size=3, gate=0.7),
        Comp("x..x..x.x..x..x.", size=3, spread_ms=8),
        Comp("..x...x...x...x.", size=3, spread_ms=7),
        Comp("1.23.2.12.3.2.1.", shape="drop2", gate=0.8),
    ),
    piano=(
        Comp("x.xx.x.x.x.x.x.x", shape="octave", size=3, velocity=0.64),
        Comp("x..xx.x..x.xx.x.", shape="octave", size=3, velocity=0.64),
        Comp("1.41.2.4.1.4.2.4", "1.......1.......", shape="octave", size=3, gate=0.7),
        Comp("c-----x...x...p-", "1-------........", size=3),
    ),
    programs=programs((32, 33, 35), (0, 8), (24, 25), (0, 1)),
    modes=("minor", "minor", "major", "dorian"),
    lock=0.2,
    flavours=("latin", "latin", "grammar"),
    colours=("triad", "plain", "seventh"),
    fills="latin",
    kick_variation=0.05,
    ghost=0.05,
)

BOLERO: Final = Family(
    name="bolero",
    split="train",
    about="slow, maracas in eighths, arpeggios, bass in one, three, four",
    tempo_bpm=(70, 104),
    quiet=(
        Groove.of("z xxxxxxxx", "k x...x...", "r ......x."),
        Groove.of("z Xxxxxxxx", "m ....x.xx", "k x......."),
    ),
    loud=(
        Groove.of("z Xxxxxxxx", "m ....x.xx", "t ..x.....", "k x...x..."),
        Groove.of("z xxxxxxxx", "s ..x...x.", "m .....xxx", "k x...x.x."),
    ),
    bass=("1---5-8-", "1---3-5-", "1---1-a-", "1---5-a-"),
    guitar=(
        Comp("1-2-3-4-3-2-3-2-", shape="drop2", gate=1.3, velocity=0.56),
        Comp("12343432", shape="full", size=3, gate=1.3, velocity=0.54),
        Comp("d-d-d-d-", "", size=4, spread_ms=22, velocity=0.5),
        Comp("X---d-d-", shape="barre", spread_ms=22, velocity=0.54),
    ),
    piano=(
        Comp("..c...c.", "1---5-8-", size=3, velocity=0.54),
        Comp("X-------", "1-------", shape="drop2", velocity=0.52),
        Comp("1-2-3-2-", "1---5---", shape="octave", size=3, gate=1.1, velocity=0.54),
        Comp("c-cc-cc-", "1---5---", size=3, velocity=0.5),
    ),
    programs=programs((32, 35), (0, 40), (24, 25), (0, 0, 4)),
    modes=("minor", "minor", "major"),
    flavours=("latin", "cliche", "jazz", "grammar"),
    colours=("triad", "seventh"),
    fills="latin",
    kick_variation=0.05,
    ghost=0.0,
    push_ms=4.0,
    lead=0.3,
)

CUMBIA: Final = Family(
    name="cumbia",
    split="validation",
    about="scraper on and off the beat, off-beat chords, bass in root, third, fifth",
    tempo_bpm=(84, 112),
    quiet=(
        Groove.of("v x.xxx.xxx.xxx.xx", "k x...x...x...x...", "r ....x.......x..."),
        Groove.of("z x.xxx.xxx.xxx.xx", "k x.......x.......", "m ......xx......xx"),
    ),
    loud=(
        Groove.of("v x.xxx.xxx.xxx.xx", "w x...x...x...x...", "k x...x...x...x...", "m ......xx......xx"),
        Groove.of("h x.ox.xo.", "w x...x...x...x...", "k x...x...x...x...", "s ....x.......x..."),
    ),
    bass=("1---3-5-1---3-5-", "1-------3---5---", "1---5-5-1---5-a-"),
    guitar=(
        Comp("..x...x...x...x.", size=3, spread_ms=8),
        Comp("..xx..xx..xx..xx", size=3, spread_ms=6),
        Comp("1.2.3.2.1.2.3.2.", size=3, gate=0.7),
    ),
    piano=(
        Comp("..x...x...x...x.", "", size=3),
        Comp("..x...x...x...x.", "1---5---1---5---", size=3),
        Comp("c-----x.c-----x.", "", shape="octave", size=3),
    ),
    programs=programs((32, 33), (0, 8), (25, 27), (0, 1)),
    modes=("minor", "minor", "major"),
    flavours=("latin", "latin", "pop", "grammar"),
    fills="latin",
    kick_variation=0.03,
)

FAMILIES: Final = (SAMBA, SON, BOLERO, CUMBIA)
