# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Country train beat; waltzes: folk, musette, country. Patterns of our own, in the notation of family.py."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles.family import Comp, Family, Groove, programs

COUNTRY: Final = Family(
    name="country_train",
    split="train",
    about="running snare, root and fifth, boom-chick guitar, honky-tonk piano",
    tempo_bpm=(92, 144),
    quiet=(
        Groove.of("k x...x...x...x...", "s ggxgggxgggxgggxg"),
        Groove.of("k x.......x.......", "r ....x.......x...", "h x.x.x.x.x.x.x.x."),
    ),
    loud=(
        Groove.of("k x...x...x...x...", "s xxXxxxXxxxXxxxXx"),
        Groove.of("k x.......x.......", "s ....X.......X...", "h x.x.x.x.x.x.x.x."),
        Groove.of("k x...x...x...x...", "s ggXgggXgggXgggXg", "y x...x...x...x..."),
    ),
    bass=("1---....5---....", "1---5---1---5---", "1---5---1---5-a-", "1---1---5---a---", "1---3---5---a---"),
    guitar=(
        Comp("....d.......d.u.", "1-......5-......", size=4, shape="close", spread_ms=12),
        Comp("..d-..du..d-..du", "1...5...1...5...", size=4, spread_ms=12),
        Comp("1.3.2.3.1.3.2.4.", shape="full", size=3, gate=1.0),
        Comp("....x.......x...", size=3, spread_ms=8, velocity=0.66),
    ),
    piano=(
        Comp("....x.......x...", "1...5...1...5...", size=3),
        Comp("..x...x...x...x.", "1...5...1...5...", size=3),
        Comp("c-------c-------", "1-------5-------", size=3),
        Comp("x.xxx.xxx.xxx.xx", "", shape="octave", size=3, velocity=0.52),
    ),
    programs=programs((32, 33, 34), (0, 8, 40), (25, 26, 27), (0, 1)),
    modes=("major", "major", "major", "mixolydian"),
    flavours=("country", "country", "gospel", "grammar"),
    colours=("triad", "triad", "plain"),
    kick_variation=0.03,
    ghost=0.3,
    lead=0.3,
)

FOLK_WALTZ: Final = Family(
    name="folk_waltz",
    split="train",
    about="oom-pah-pah shared by bass and guitar, broken chords on piano",
    tempo_bpm=(84, 132),
    beats_per_bar=3,
    quiet=(
        Groove.of("k x.....", "r ..x.x."),
        Groove.of("k x.....", "s ..g.g.", "h x.x.x."),
    ),
    loud=(
        Groove.of("k x.....", "s ..x.x.", "h x.x.x."),
        Groove.of("k x....x", "s ..x.x.", "y x.x.x.", "q ..x.x."),
        Groove.of("k x..x..", "s ....X.", "h xxxxxx"),
    ),
    bass=("1-----", "1-----|5-----", "1-5-5-", "1---a-", "1-3-5-"),
    guitar=(
        Comp("..d-d-", "1-....", size=4, spread_ms=14),
        Comp("X-dud-", shape="barre", spread_ms=16),
        Comp("1-2-3-", shape="full", size=3, gate=1.4),
        Comp("123432", shape="full", size=3, gate=1.2, velocity=0.56),
    ),
    piano=(
        Comp("..x.x.", "1-....", size=3),
        Comp("123432", "1-----", shape="octave", size=3, gate=1.1, velocity=0.56),
        Comp("c-----", "1-----", size=3),
        Comp("..c-c-", "1-----|5-----", size=3),
    ),
    programs=programs((32, 33, 35), (0, 8, 40), (24, 25), (0, 1)),
    modes=("major", "major", "minor", "dorian", "mixolydian"),
    flavours=("country", "pop", "cliche", "grammar"),
    colours=("triad", "suspended"),
    kick_variation=0.1,
    lead=0.3,
)

MUSETTE: Final = Family(
    name="musette",
    split="train",
    about="quick minor waltz, chords on two and three, running lines",
    tempo_bpm=(124, 160),
    beats_per_bar=3,
    swing=(0.5, 0.6),
    quiet=(
        Groove.of("k x.....", "p ..x.x.", "s ..g.g."),
        Groove.of("k x.....", "r ..x.x.", "y x...x."),
    ),
    loud=(
        Groove.of("k x.....", "s ..x.x.", "y x.x.x."),
        Groove.of("k x...x.", "s ..x..x", "y x.xxx.", "p ..x.x."),
    ),
    bass=("1-----|5-----", "1---5-", "@walk", "1-----", "1-5-a-"),
    guitar=(
        Comp("..x.x.", "1-....", size=3, spread_ms=10, velocity=0.6),
        Comp("x.x.x.", size=3, spread_ms=10, gate=0.6),
        Comp("..xxx.", "1.....", size=3, spread_ms=9),
    ),
    piano=(
        Comp("..x.x.", "1-....|5-....", size=3),
        Comp("X-----|..x.x.", "1-----", shape="drop2"),
        Comp("123432", "", shape="octave", size=3, gate=0.9),
        Comp("...x..|x.....", "", shape="drop2"),
    ),
    programs=programs((32, 33), (0, 32, 40), (24, 25, 26), (0, 1)),
    modes=("minor", "minor", "major"),
    flavours=("latin", "jazz", "country", "grammar"),
    colours=("triad", "plain", "seventh"),
    fills="light",
    lead=0.35,
)

COUNTRY_WALTZ: Final = Family(
    name="country_waltz",
    split="validation",
    about="slow three with a soft shuffle, steel-string strums, simple changes",
    tempo_bpm=(80, 120),
    beats_per_bar=3,
    swing=(0.5, 0.64),
    quiet=(
        Groove.of("k x.....", "r ..x.x.", "h x.x.x."),
        Groove.of("k x.....", "s ..g.g.", "h x.xxxx"),
    ),
    loud=(
        Groove.of("k x.....", "s ..x.x.", "y x.xxxx"),
        Groove.of("k x....x", "s ..x.x.", "h x.x.x."),
    ),
    bass=("1-----", "1---5-", "1-----|5---a-"),
    guitar=(
        Comp("..d-du", "1-....", size=4, spread_ms=14),
        Comp("d-dudu", shape="barre", spread_ms=14, velocity=0.56),
        Comp("1-2-3-", shape="full", size=3, gate=1.3),
    ),
    piano=(
        Comp("..c-c-", "1-----", size=3),
        Comp("c-----", "1-----", size=3),
        Comp("X---c-", "1---5-", size=3),
    ),
    programs=programs((32, 33), (0, 40), (25, 26), (0, 1)),
    modes=("major", "major", "minor"),
    flavours=("country", "gospel", "pop", "grammar"),
    fills="light_triplet",
    kick_variation=0.06,
    lead=0.25,
)

FAMILIES: Final = (COUNTRY, FOLK_WALTZ, MUSETTE, COUNTRY_WALTZ)
