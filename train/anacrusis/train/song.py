# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A song as what is known of it: beats, chords and the notes of four stems, in samples at 44.1 kHz.

The one type that passes between the writer, the renderer, the codecs and the judges. A folder of Slakh2100 gives
the same type with fewer truths (no chords). Pure data: no torch, no audio.

    song.json   `Song.to_json`: one list a note, [start_samples, end_samples, pitch, velocity]

Not covered: tempo that drifts (beats are listed one by one, so nothing here forbids it), controllers, pitch bend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from anacrusis.engine.errors import AnacrusisError

SAMPLE_RATE_HZ: Final = 44100
STEMS: Final = ("bass", "drums", "guitar", "piano")  # the order of the released models
SPLITS: Final = ("train", "validation", "test")
SCHEMA: Final = 1
# Chord qualities and the semitones above the root that they sound.
QUALITIES: Final[Mapping[str, tuple[int, ...]]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "5": (0, 7),
    "6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "dim7": (0, 3, 6, 9),
    "min7b5": (0, 3, 6, 10),
    "9": (0, 4, 7, 10, 2),
    "maj9": (0, 4, 7, 11, 2),
    "min9": (0, 3, 7, 10, 2),
    "7sus4": (0, 5, 7, 10),
}


class CorpusError(AnacrusisError):
    """A song, a corpus or a data set that cannot be read or made."""


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Sounds from start_samples until end_samples. pitch: MIDI, of drums the General MIDI key; velocity 1 to 127."""

    start_samples: int
    end_samples: int
    pitch: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Part:
    """One stem. program: General MIDI, 0 to 127; of drums the kit (0 standard). notes: by start."""

    program: int
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Chord:
    """root, bass: pitch classes, C = 0. quality: a key of QUALITIES."""

    start_samples: int
    end_samples: int
    root: int
    quality: str
    bass: int

    @property
    def pitch_classes(self) -> frozenset[int]:
        """What sounds, the bass note included."""
        return frozenset({self.bass, *((self.root + step) % 12 for step in QUALITIES[self.quality])})


@dataclass(frozen=True, slots=True)
class Beat:
    """number: 1 is the downbeat."""

    position_samples: int
    number: int


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of form: "intro", "verse", ..."""

    start_samples: int
    name: str


@dataclass(frozen=True, slots=True)
class Song:
    """What is known of a song. tonic: pitch class. swing: where in a beat its second eighth falls, 0.5 straight.

    family, chart: what a split keeps apart. chords, beats, sections may be empty where they are not known.
    length_samples: audio may ring on beyond the last note, not beyond this.
    """

    name: str
    split: str
    family: str
    chart: str
    seed: int
    tempo_bpm: float
    beats_per_bar: int
    swing: float
    tonic: int
    mode: str
    length_samples: int
    beats: tuple[Beat, ...]
    chords: tuple[Chord, ...]
    sections: tuple[Section, ...]
    parts: Mapping[str, Part]
    about: Mapping[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        """Raise CorpusError where something cannot be."""
        for stem, part in self.parts.items():
            if stem not in STEMS:
                raise CorpusError(f"{self.name}: unknown stem {stem!r}; stems are {', '.join(STEMS)}")
            if list(part.notes) != sorted(part.notes):
                raise CorpusError(f"{self.name}: notes of {stem} are not in order")
            for note in part.notes:
                inside = 0 <= note.start_samples < note.end_samples <= self.length_samples
                if not (inside and 0 <= note.pitch <= 127 and 1 <= note.velocity <= 127):
                    raise CorpusError(f"{self.name}: {stem} has an impossible {note}")
        for chord in self.chords:
            if chord.quality not in QUALITIES:
                raise CorpusError(f"{self.name}: unknown chord quality {chord.quality!r}")

    def to_json(self) -> str:
        """One object; notes, beats and chords as plain lists, a line each stem."""
        body: dict[str, Any] = {"schema": SCHEMA}
        for name in _PLAIN:
            body[name] = getattr(self, name)
        body["beats"] = [[b.position_samples, b.number] for b in self.beats]
        body["chords"] = [[c.start_samples, c.end_samples, c.root, c.quality, c.bass] for c in self.chords]
        body["sections"] = [[s.start_samples, s.name] for s in self.sections]
        body["parts"] = {
            stem: {
                "program": part.program,
                "notes": [[n.start_samples, n.end_samples, n.pitch, n.velocity] for n in part.notes],
            }
            for stem, part in sorted(self.parts.items())
        }
        body["about"] = dict(self.about)
        return json.dumps(body, sort_keys=True, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "song.json") -> Song:
        """Raises CorpusError for anything but a song of this schema."""
        try:
            raw = json.loads(text)
            if raw["schema"] != SCHEMA:
                raise CorpusError(f"{where} has schema {raw['schema']!r}, this version reads {SCHEMA}; write it again")
            song = cls(
                **{name: raw[name] for name in _PLAIN},
                beats=tuple(Beat(*b) for b in raw["beats"]),
                chords=tuple(Chord(*c) for c in raw["chords"]),
                sections=tuple(Section(*s) for s in raw["sections"]),
                parts={
                    stem: Part(part["program"], tuple(Note(*n) for n in part["notes"]))
                    for stem, part in raw["parts"].items()
                },
                about=raw["about"],
            )
            song.validate()
        except CorpusError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(f"{where} is not a song ({type(error).__name__}: {error}); write it again") from None
        return song

    @classmethod
    def read(cls, path: Path) -> Song:
        """Raises CorpusError for a file that is missing or no song."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read {path}: {error}") from None


_PLAIN: Final = (
    "name",
    "split",
    "family",
    "chart",
    "seed",
    "tempo_bpm",
    "beats_per_bar",
    "swing",
    "tonic",
    "mode",
    "length_samples",
)
