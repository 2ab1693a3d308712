# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Notes to audio: each stem of a song alone, dry, mono, at 44.1 kHz, with a General MIDI soundfont.

A note sounds from its own sample on: the synthesiser is asked for audio up to each event, then told the event. It
works in blocks of 64 samples with one envelope value a block, so the first 64 samples after an attack are asked for in
shorter pieces; without them a note with an attack envelope begins up to 1.5 ms late.

The same notes give the same bits, whatever was played before: voices are ended, and their last samples thrown away,
before each stem. Levels are fixed (`GAIN_DB`): nothing is normalised, so a stem's level is its music's.

Needs `tinysoundfont` (MIT, train/renderer.txt) and a soundfont, FluidR3 GM (MIT) for what this project publishes.
Not covered: reverb, chorus, panning, pitch bend, pedal, release after `length_samples` (a 20 ms fade ends the audio).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import MissingExtraError
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError, Note, Part, Song

Audio = NDArray[np.float32]

SOUNDFONT_VARIABLE: Final = "ANACRUSIS_SOUNDFONT"
SOUNDFONT_NAMES: Final = ("FluidR3_GM.sf2", "FluidR3_GM2-2.sf2", "FluidR3_GM.sf3", "default-GM.sf2")
GET_A_SOUNDFONT: Final = (
    f"get FluidR3_GM.sf2 (Debian, Ubuntu: apt install fluid-soundfont-gm) and name it with --soundfont or "
    f"{SOUNDFONT_VARIABLE}"
)
GET_TINYSOUNDFONT: Final = (
    "playing notes needs tinysoundfont: pip install --no-deps -r train/renderer.txt (tinysoundfont==0.3.7)"
)
MELODIC_CHANNEL: Final = 0
DRUM_CHANNEL: Final = 9
DRUM_BANK: Final = 128
MAX_VOICES: Final = 256
FADE_SAMPLES: Final = SAMPLE_RATE_HZ // 50
# A voice that is cut rings for 447 samples (measured); this many are thrown away between two stems.
FLUSH_SAMPLES: Final = 4096
# Lengths of the pieces asked for after a note begins. Together one block of the synthesiser.
ATTACK_PIECES: Final = (8, 8, 16, 32)
# FluidR3's programs differ in loudness by up to 17 dB. These gains bring written songs to an RMS, over the stretches in
# which the stem plays, of about -25 dB (bass) and -28 dB (guitar, piano); of kits and palm-muted guitar, whose peaks
# stand 25 dB above that, to peaks of about -4 dB. The sum of four stems peaks at 0.7 (median of 122 songs of 32
# families); 2 of them reach 1.04.
GAIN_DB: Final[Mapping[str, Mapping[int, float]]] = {
    "bass": {32: -10.5, 33: -10.5, 34: -10.0, 35: -11.0, 36: -7.5, 37: -7.5, 38: -1.5, 39: -11.5},
    "drums": {0: -10.5, 1: -10.5, 8: -11.5, 16: -12.5, 24: -12.5, 25: -14.5, 32: -12.0, 40: -12.0, 48: -5.0},
    "guitar": {24: -15.0, 25: -13.5, 26: -14.5, 27: -15.5, 28: -12.0, 29: -16.0, 30: -21.0, 31: -19.0},
    "piano": {0: -4.0, 1: -10.0, 2: -15.5, 3: -2.5, 4: -12.5, 5: -7.5, 6: -14.5, 7: -14.0},
}
OTHER_GAIN_DB: Final = -12.0  # of a program that no stem of ours has
# float32 to 16 bits: the factor and the limits.
PCM_SCALE: Final = 32768.0


def soundfont_folders() -> tuple[Path, ...]:
    """Where soundfonts are usually kept, here: Linux packages, macOS, Homebrew, Windows, the user's own."""
    home = Path.home()
    folders = [
        Path("/usr/share/sounds/sf2"),
        Path("/usr/share/soundfonts"),
        Path("/usr/local/share/soundfonts"),
        home / ".local/share/soundfonts",
        home / ".local/share/sounds/sf2",
    ]
    if sys.platform == "darwin":
        folders += [
            home / "Library/Audio/Sounds/Banks",
            Path("/Library/Audio/Sounds/Banks"),
            Path("/opt/homebrew/share/soundfonts"),
            Path("/usr/local/share/fluidsynth"),
            Path("/opt/homebrew/share/fluidsynth"),
        ]
    if sys.platform == "win32":
        folders += [Path(r"C:\soundfonts"), Path(r"C:\ProgramData\soundfonts"), home / "Documents/soundfonts"]
    return tuple(folders)


def find_soundfont(given: Path | None = None) -> Path:
    """The soundfont to play with: the one given, else of the environment variable, else of the usual folders.

    Raises:
        CorpusError: no such file; the text says how to get one.
    """
    named = given or (Path(os.environ[SOUNDFONT_VARIABLE]) if os.environ.get(SOUNDFONT_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise CorpusError(f"there is no soundfont {named}: {GET_A_SOUNDFONT}")
        return named
    for folder in soundfont_folders():
        for name in SOUNDFONT_NAMES:
            if (folder / name).is_file():
                return folder / name
    raise CorpusError(f"no General MIDI soundfont found: {GET_A_SOUNDFONT}")


def require_player(soundfont: Path) -> Path:
    """The same path, if notes can be played with it. Cheap: a second before the processes that will load it.

    Raises CorpusError for a file that is no soundfont, MissingExtraError without tinysoundfont.
    """
    try:
        with soundfont.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise CorpusError(f"cannot read {soundfont} ({error}): {GET_A_SOUNDFONT}") from None
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise CorpusError(f"{soundfont} is not a soundfont: {GET_A_SOUNDFONT}")
    if find_spec("tinysoundfont") is None:
        raise MissingExtraError(GET_TINYSOUNDFONT)
    return soundfont


def file_sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_pcm16(audio: Audio) -> NDArray[np.int16]:
    """Rounded, no dither (silence stays silence), clipped. float32 [n] -> int16 [n]."""
    return np.clip(np.round(audio * PCM_SCALE), -32768, 32767).astype(np.int16)


class Renderer:
    """One soundfont, loaded once (0.9 s and 300 MB for FluidR3). Not thread-safe: one a process or thread.

    Raises:
        CorpusError: no soundfont, or the file is none.
        MissingExtraError: tinysoundfont is not installed.
    """

    def __init__(self, soundfont: Path | None = None) -> None:
        self.soundfont = require_player(find_soundfont(soundfont))
        from tinysoundfont import Synth, _tinysoundfont

        self._synth: Any = Synth(samplerate=SAMPLE_RATE_HZ)
        try:
            self._font: int = self._synth.sfload(str(self.soundfont), max_voices=MAX_VOICES)
        except (RuntimeError, OSError, MemoryError) as error:
            raise CorpusError(f"{self.soundfont} is not a soundfont ({error}): {GET_A_SOUNDFONT}") from None
        # One channel: half the work of two, and no panning. `Synth` itself offers stereo only.
        self._engine: Any = self._synth.soundfonts[self._font]
        self._engine.set_output(_tinysoundfont.OutputMode.Mono, SAMPLE_RATE_HZ, 0.0)

    def song(self, song: Song) -> dict[str, Audio]:
        """Every stem of STEMS, float32 [song.length_samples]; of a part that the song has not, zeros."""
        silent = Part(0, ())
        return {stem: self.stem(song.parts.get(stem, silent), stem, song.length_samples) for stem in STEMS}

    def stem(self, part: Part, stem: str, length_samples: int) -> Audio:
        """One part alone: float32 [length_samples], faded out over its last 20 ms.

        Notes that begin at or after length_samples are not heard. Raises CorpusError for an unknown stem, or a program
        or kit that the soundfont has not.
        """
        if stem not in STEMS:
            raise CorpusError(f"unknown stem {stem!r}; stems are {', '.join(STEMS)}")
        audio = np.zeros(length_samples, np.float32)
        if not part.notes:
            return audio
        drums = stem == "drums"
        channel, bank = (DRUM_CHANNEL, DRUM_BANK) if drums else (MELODIC_CHANNEL, 0)
        self._hush()
        if self._synth.sfpreset_name(self._font, bank, part.program) is None:
            raise CorpusError(f"{self.soundfont.name} has no {'kit' if drums else 'program'} {part.program} for {stem}")
        self._synth.program_select(channel, self._font, bank, part.program, drums)
        self._play(part.notes, channel, audio)
        audio *= np.float32(10.0 ** (GAIN_DB[stem].get(part.program, OTHER_GAIN_DB) / 20.0))
        fade = min(FADE_SAMPLES, length_samples)
        audio[length_samples - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        return audio

    def _play(self, notes: tuple[Note, ...], channel: int, audio: Audio) -> None:
        """Fill audio. At one sample, ends come before beginnings, so that a key struck again sounds again."""
        ends = [(n.end_samples, 0, n.pitch, 0) for n in notes]
        begins = [(n.start_samples, 1, n.pitch, n.velocity) for n in notes]
        view = audio.data.cast("B")
        at, fine_until = 0, 0
        for when, kind, pitch, velocity in sorted(ends + begins):
            if when >= audio.size:
                break
            if when > at:
                self._advance(view, at, when, fine_until)
                at = when
            if kind:
                self._synth.noteon(channel, pitch, velocity)
                fine_until = at + sum(ATTACK_PIECES)
            else:
                self._synth.noteoff(channel, pitch)
        self._advance(view, at, audio.size, fine_until)

    def _advance(self, view: memoryview, begin: int, end: int, fine_until: int) -> None:
        """Ask for samples begin to end, those before fine_until in short pieces."""
        at = begin
        for piece in ATTACK_PIECES if begin < fine_until else ():
            stop = min(at + piece, end)
            if stop > at:
                self._engine.render(view[at * 4 : stop * 4], False)
            at = stop
        if end > at:
            self._engine.render(view[at * 4 : end * 4], False)

    def _hush(self) -> None:
        """End every voice and throw away what they still give, so that a stem starts from nothing."""
        self._synth.sounds_off()
        rest = np.zeros(FLUSH_SAMPLES, np.float32)
        self._engine.render(rest.data.cast("B"), False)
