# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Write the demo clip in assets/clip: an original 24 s tune for bass, drums, guitar and piano.

The tune is data in this file: ten bars of 4/4 at 100 BPM in D minor, two phrases of five bars, each
closing with a fill. Every line shares one 3+3+2 figure, which is how the parts follow one another.
Each part is played alone through a General MIDI soundfont, every note started on its exact sample,
and the four are scaled by one common gain. The same soundfont and synthesiser give the same samples.

    pip install --no-deps tinysoundfont        # its pyaudio dependency is only for live playback
    apt install fluid-soundfont-gm             # FluidR3 GM, MIT licence
    python scripts/make_clip.py [--soundfont FluidR3_GM.sf2] [--out assets/clip]
"""

import argparse
import hashlib
import json
import random
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
import tinysoundfont  # type: ignore[import-untyped, import-not-found, unused-ignore]
from numpy.typing import NDArray

SEED = 20260
RATE_HZ = 44100
BPM = 100
BARS = 10
STEPS = 16  # sixteenths in a bar
STEP = RATE_HZ * 60 // BPM // 4  # samples in a sixteenth: 6615, a whole number
LENGTH = BARS * STEPS * STEP  # 1058400 samples, 24 s
FADE = RATE_HZ // 50  # the last 20 ms, so that ringing notes do not end in a click
STRUM = RATE_HZ // 125  # 8 ms between the strings of a strummed chord
PEAK = 10 ** (-3 / 20)  # of the sum of the four stems

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
OUT = Path(__file__).resolve().parents[1] / "assets" / "clip"


class Part(NamedTuple):
    bank: int
    preset: int
    level_db: float  # the fader, before the common gain


class Chord(NamedTuple):
    name: str
    root: int  # the bass note, MIDI
    third: int  # semitones above it
    guitar: tuple[int, ...]
    piano: tuple[int, ...]


class Note(NamedTuple):
    start: int  # samples
    stop: int
    key: int
    velocity: int


PARTS = {
    "bass": Part(0, 32, 0.0),
    "drums": Part(128, 0, 4.0),
    "guitar": Part(0, 26, -4.0),
    "piano": Part(0, 0, 9.0),
}

DM = Chord("Dm9", 38, 3, (50, 57, 60, 64, 69), (53, 57, 60, 64))
BB = Chord("Bbmaj7", 34, 4, (53, 58, 62, 65, 69), (53, 57, 58, 62))
FM = Chord("Fmaj7", 41, 4, (53, 57, 60, 64, 69), (52, 57, 60, 65))
CA = Chord("Cadd9", 36, 4, (52, 55, 60, 62, 67), (52, 55, 62, 64))
GM = Chord("Gm9", 31, 3, (55, 58, 62, 65, 69), (53, 57, 58, 62))
A7 = Chord("A7", 33, 4, (52, 57, 61, 64, 67), (52, 55, 57, 61))
CHORDS = (DM, BB, FM, CA, GM, DM, BB, FM, GM, A7)

# A grid is one bar of sixteenths; "." means nothing new happens. Bars take grids by these letters:
FORM = "abab1" + "abab2"  # 1 and 2 are the fills

# Drums: X loud, x normal, o soft. Every beat is struck by a kick, a snare or a tom.
KICK, SNARE, HAT, OPEN, CRASH, TOM_HI, TOM_MID, TOM_LOW = 36, 38, 42, 46, 49, 50, 47, 43
STRIKE = {"X": 116, "x": 98, "o": 62}
DRUMS = {  # a, b, 1, 2
    KICK: ("X..x....X..x....", "X..x....X..x..o.", "X..x....X.......", "X..x....X...X..."),
    SNARE: ("....X.......X...", "....X..o.o..X...", "....X..o....X.xX", "....X.oxX......."),
    HAT: ("x.o.x.o.x.o.x.o.", "x.o.x.o.x.o.x...", "x.o.x.o.........", "x.o.x..........."),
    OPEN: ("................", "..............o.", "................", "................"),
    TOM_HI: ("................", "................", "........xo......", ".........oo....."),
    TOM_MID: ("................", "................", "..........o.....", "...........ox..."),
    TOM_LOW: ("................", "................", "................", ".............oox"),
}

# Bass: R root, 3 third, 5 fifth, 8 octave, a a semitone under the next root, _ silence.
BASS = {"a": "R..R_.5_R..8_.5.", "b": "R..R_.8_R..5_.Ra", "1": "R..R_.8_R.3.5.8a", "2": "R..R_.8_8.5.3.Ra"}

# Guitar: digits are strings of the chord, low to high; S strums them all.
GUITAR = {"a": "S..2..3.1..3..4.", "b": "0..2..4.3..2..1.", "1": "S..3..4.S.4.3.21", "2": "S..3..4.0.123.4S"}

# Piano, left hand: C strikes the chord, _ lifts it. Right hand: pitch/sixteenths, r a rest.
PIANO = {"a": "C....._.C..C..._", "b": "C..C.._.C....._.", "1": "C..C..C.C..._...", "2": "C..C..C.C...C..."}
MELODY = (
    "A4/3 D5/3 E5/2 F5/6 E5/2",
    "D5/3 C5/3 A4/2 D5/6 r/2",
    "A4/3 C5/3 E5/2 G5/6 F5/2",
    "E5/3 D5/3 C5/2 G4/6 A4/2",
    "Bb4/3 D5/3 F5/2 A5/4 G5/2 F5/2",
    "E5/3 F5/3 A5/2 F5/6 E5/2",
    "F5/3 D5/3 C5/2 A4/6 C5/2",
    "C5/3 A4/3 G4/2 A4/4 C5/4",
    "D5/3 F5/3 G5/2 F5/4 D5/2 Bb4/2",
    "C#5/3 E5/3 G5/2 E5/2 C#5/2 A4/4",
)


class Player:
    """Collects the notes of one part, giving each a slightly different velocity."""

    def __init__(self, part: str) -> None:
        self.notes: list[Note] = []
        self._rng = random.Random(f"{SEED} {part}")

    def play(self, step: int, steps: float, key: int, velocity: int, late: int = 0) -> None:
        accent = 4 if step % 4 == 0 else 0
        loudness = velocity + accent + round(10 * (self._rng.random() - 0.5))
        start = step * STEP + late
        stop = min(step * STEP + round(steps * STEP), LENGTH)
        self.notes.append(Note(start, stop, key, max(1, min(127, loudness))))


def strokes(grid: str) -> list[tuple[int, int, str]]:
    """(step, steps until the next sign or the bar's end, sign) for every sign in a bar's grid."""
    at = [i for i, sign in enumerate(grid) if sign != "."]
    return [(i, j - i, grid[i]) for i, j in zip(at, [*at[1:], STEPS], strict=False)]


def drums() -> list[Note]:
    player = Player("drums")
    player.play(0, STEPS, CRASH, 92)
    player.play(5 * STEPS, STEPS, CRASH, 92)
    for bar, form in enumerate(FORM):
        for key, grids in DRUMS.items():
            for step, _, sign in strokes(grids["ab12".index(form)]):
                player.play(bar * STEPS + step, STEPS, key, STRIKE[sign])
    return player.notes


def bass() -> list[Note]:
    player = Player("bass")
    for bar, (form, chord) in enumerate(zip(FORM, CHORDS, strict=True)):
        following = CHORDS[(bar + 1) % BARS].root
        keys = {"R": 0, "3": chord.third, "5": 7, "8": 12, "a": following - 1 - chord.root}
        for step, steps, sign in strokes(BASS[form]):
            if sign != "_":
                player.play(bar * STEPS + step, 0.92 * steps, chord.root + keys[sign], 98)
    return player.notes


def guitar() -> list[Note]:
    player = Player("guitar")
    for bar, (form, chord) in enumerate(zip(FORM, CHORDS, strict=True)):
        for step, _, sign in strokes(GUITAR[form]):
            strings = range(len(chord.guitar)) if sign == "S" else [int(sign)]
            for late, string in enumerate(strings):
                ring = min(6, STEPS - step)
                player.play(bar * STEPS + step, ring, chord.guitar[string], 86, late * STRUM)
    return player.notes


def piano() -> list[Note]:
    player = Player("piano")
    for bar, (form, chord, line) in enumerate(zip(FORM, CHORDS, MELODY, strict=True)):
        for step, steps, sign in strokes(PIANO[form]):
            for key in chord.piano if sign == "C" else ():
                player.play(bar * STEPS + step, 0.95 * steps, key, 64)
        step = bar * STEPS
        for token in line.split():
            pitch, steps = token.split("/")[0], int(token.split("/")[1])
            if pitch != "r":
                player.play(step, 0.97 * steps, midi(pitch), 94)
            step += steps
    return player.notes


def midi(pitch: str) -> int:
    """The MIDI key of a name such as C#5 or Bb4 (C4 is 60)."""
    accidental = pitch.count("#") - pitch[1:].count("b")
    return 12 * (int(pitch[-1]) + 1) + "C D EF G A B".index(pitch[0]) + accidental


def render(part: Part, notes: list[Note], soundfont: Path) -> NDArray[np.float64]:
    """One part alone, mono, LENGTH samples: the synthesiser runs up to each event, then takes it."""
    synth = tinysoundfont.Synth(samplerate=RATE_HZ)
    font = synth.sfload(str(soundfont))
    is_drums = part.bank == 128
    synth.program_select(0, font, part.bank, part.preset, is_drums)
    events: list[tuple[int, int, int, int]] = []
    struck: dict[int, int] = {}  # where each key is struck next
    for note in sorted(notes, reverse=True):
        events.append((note.start, 1, note.key, note.velocity))
        if not is_drums:  # a drum rings out; any other key stops before it is struck again
            events.append((min(note.stop, struck.get(note.key, LENGTH)), 0, note.key, 0))
        struck[note.key] = note.start
    stereo, now = [], 0
    for at, on, key, velocity in [*sorted(events), (LENGTH, 0, 0, 0)]:
        if at > now:
            stereo.append(np.frombuffer(synth.generate_simple(at - now), dtype=np.float32).copy())
            now = at
        if on:
            synth.noteon(0, key, velocity)
        else:
            synth.noteoff(0, key)
    mono: NDArray[np.float64] = np.concatenate(stereo).astype(np.float64).reshape(-1, 2).mean(axis=1)
    mono[-FADE:] *= np.linspace(1, 0, FADE)
    return mono * 10 ** (part.level_db / 20)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the demo clip: four stems, a band, clip.json.")
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()

    score = {"bass": bass(), "drums": drums(), "guitar": guitar(), "piano": piano()}
    parts = {name: render(PARTS[name], notes, args.soundfont) for name, notes in score.items()}
    gain = PEAK / np.abs(np.sum(list(parts.values()), axis=0)).max()
    stems = {name: np.rint(32767 * gain * part).astype("<i2") for name, part in parts.items()}

    args.out.mkdir(parents=True, exist_ok=True)
    band = stems["drums"] + stems["guitar"] + stems["piano"]
    for name, pcm in {**stems, "band": band}.items():
        sf.write(args.out / f"{name}.flac", pcm, RATE_HZ, subtype="PCM_16")
        level = 20 * np.log10(np.sqrt(np.mean((pcm / 32768.0) ** 2)))
        peak = 20 * np.log10(np.abs(pcm / 32768.0).max())
        print(f"{name:7s} rms {level:6.1f} dBFS  peak {peak:6.1f} dBFS")
    clip = {
        "title": "Turnaround",
        "bpm": BPM,
        "time_signature": "4/4",
        "bars": BARS,
        "key": "D minor",
        "chords": [chord.name for chord in CHORDS],
        "fill_bars": [i for i, form in enumerate(FORM, start=1) if form.isdigit()],
        "beats_s": [round(4 * beat * STEP / RATE_HZ, 6) for beat in range(4 * BARS)],
        "sample_rate_hz": RATE_HZ,
        "samples": LENGTH,
        "peak_dbfs": -3.0,
        "stems": list(stems),
        "band": ["drums", "guitar", "piano"],
        "sha256_int16_le": {name: hashlib.sha256(pcm.tobytes()).hexdigest() for name, pcm in stems.items()},
        "soundfont": "FluidR3 GM",
        "soundfont_licence": "MIT",
        "soundfont_sha256": hashlib.sha256(args.soundfont.read_bytes()).hexdigest(),
        "synthesiser": f"tinysoundfont {version('tinysoundfont')}",
        "command": "python scripts/make_clip.py",
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in clip.items())
    (args.out / "clip.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
