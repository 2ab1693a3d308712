# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Standard MIDI files: a song out, and notes, tempo and metre in.

    write_midi(song, path)      beats on the file's own grid, chords and sections as markers
    read_score(path)            every voice (channel and program), beats from tempo map and time signatures
    song_of(score, name)        the four parts by General MIDI program family

Reading is for other people's files: a broken one is a CorpusError of one line. Not covered: controllers, pitch bend,
pedal (a note ends at its note-off), files of type 2 and SMPTE time.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from anacrusis.engine.errors import MissingExtraError
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Beat, CorpusError, Note, Part, Song

TICKS_PER_BEAT: Final = 9600  # of written files: 0.09 ms at 70 beats a minute
DEFAULT_TEMPO_US: Final = 500_000  # of a file that says none: 120 beats a minute
BEAT_TOLERANCE_SAMPLES: Final = 22  # half a millisecond: within this a written tempo is kept
DRUM_CHANNEL: Final = 9
MAX_SECONDS: Final = 4 * 3600.0
MAX_BEATS: Final = 100_000
RING_OUT_SAMPLES: Final = SAMPLE_RATE_HZ
# General MIDI program families, and the program a part has where its voices do not say.
FAMILY_PROGRAMS: Final = {"bass": range(32, 40), "guitar": range(24, 32), "piano": range(8)}
KITS: Final = (0, 8, 16, 24, 25, 32, 40, 48)  # General MIDI 2; any other is played with the standard kit
CHANNELS: Final = {"bass": 0, "guitar": 1, "piano": 2, "drums": DRUM_CHANNEL}
PITCH_NAMES: Final = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


@dataclass(frozen=True, slots=True)
class Voice:
    """What one channel played with one program. notes: by start, no two of a pitch overlap."""

    program: int
    is_drums: bool
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """A MIDI file in samples at 44.1 kHz. tempo_bpm: of the median beat; beats_per_bar: of the first bar."""

    voices: tuple[Voice, ...]
    beats: tuple[Beat, ...]
    tempo_bpm: float
    beats_per_bar: int
    length_samples: int  # the last note's end and a second


def merge_notes(*lines: Iterable[Note], length_samples: int | None = None) -> tuple[Note, ...]:
    """One line of many, by start. A pitch struck again ends its earlier note; of two at one sample the louder stays.

    length_samples: notes end there at the latest; what begins there or later goes.
    """
    kept: dict[int, list[Note]] = defaultdict(list)
    everything = sorted(
        (n for line in lines for n in line), key=lambda n: (n.start_samples, -n.velocity, n.end_samples)
    )
    for note in everything:
        if length_samples is not None:
            if note.start_samples >= length_samples:
                continue
            end = min(note.end_samples, length_samples)
            note = Note(note.start_samples, end, note.pitch, note.velocity)
        line = kept[note.pitch]
        if line and line[-1].start_samples == note.start_samples:
            continue
        if line and line[-1].end_samples > note.start_samples:
            last = line[-1]
            line[-1] = Note(last.start_samples, note.start_samples, last.pitch, last.velocity)
        line.append(note)
    return tuple(sorted(note for line in kept.values() for note in line))


def by_family(score: Score) -> dict[str, Part]:
    """The four parts: bass 32 to 39, guitar 24 to 31, piano 0 to 7, drums of channel 10. Only parts that have notes.

    A part's program is that of its voice with the most notes.
    """
    voices: dict[str, list[Voice]] = {stem: [] for stem in STEMS}
    for voice in score.voices:
        if voice.is_drums:
            voices["drums"].append(voice)
            continue
        for stem, programs in FAMILY_PROGRAMS.items():
            if voice.program in programs:
                voices[stem].append(voice)
    parts = {stem: part_of(found, score.length_samples) for stem, found in voices.items() if found}
    if "drums" in parts and parts["drums"].program not in KITS:
        parts["drums"] = Part(0, parts["drums"].notes)
    return parts


def part_of(voices: Sequence[Voice], length_samples: int) -> Part:
    """Voices as one part. Its program is that of the voice with the most notes."""
    most = max(voices, key=lambda v: (len(v.notes), -v.program))
    return Part(most.program, merge_notes(*(v.notes for v in voices), length_samples=length_samples))


def song_of(score: Score, name: str, *, split: str = "test", family: str = "midi") -> Song:
    """A song with what a MIDI file tells: notes and beats. Chords and sections stay empty, tonic is 0, mode unknown."""
    return Song(
        name=name,
        split=split,
        family=family,
        chart=name,
        seed=0,
        tempo_bpm=score.tempo_bpm,
        beats_per_bar=score.beats_per_bar,
        swing=0.5,
        tonic=0,
        mode="unknown",
        length_samples=score.length_samples,
        beats=score.beats,
        chords=(),
        sections=(),
        parts=by_family(score),
        about={"source": "midi"},
    )


def read_score(path: Path) -> Score:
    """Every note of a MIDI file, with its tempo map applied.

    Raises:
        CorpusError: not there, no MIDI file, broken, of type 2 or SMPTE time, or longer than four hours.
    """
    file = _load(path)
    if file.type == 2:
        raise CorpusError(f"{path} is a MIDI file of type 2 (independent songs); save it as type 0 or 1")
    if file.ticks_per_beat <= 0:
        raise CorpusError(f"{path} counts in SMPTE frames or not at all; save it with ticks per quarter note")
    events = _in_order(file)
    tempo = _TempoMap(file.ticks_per_beat, [(tick, m.tempo) for tick, m in events if m.type == "set_tempo"])
    voices = _voices(events, tempo)
    last_tick = max((tick for tick, m in events if m.type in ("note_on", "note_off")), default=0)
    if tempo.seconds(last_tick) > MAX_SECONDS:
        raise CorpusError(f"{path} says it is {tempo.seconds(last_tick) / 3600:.0f} hours long; its tempo is broken")
    metres = [(tick, m.numerator, m.denominator) for tick, m in events if m.type == "time_signature"]
    beats, beats_per_bar = _beats(path, file.ticks_per_beat, tempo, metres, last_tick)
    length = max((n.end_samples for v in voices for n in v.notes), default=0) + RING_OUT_SAMPLES
    gaps = np.diff([b.position_samples for b in beats])
    bpm = 60.0 * SAMPLE_RATE_HZ / max(float(np.median(gaps)), 1.0) if gaps.size else 60e6 / tempo.first_us
    return Score(voices, beats, bpm, beats_per_bar, length)


def _load(path: Path) -> Any:
    try:
        import mido
        from mido.midifiles.meta import KeySignatureError  # which mido raises beside its documented errors
    except ImportError:
        raise MissingExtraError("MIDI files need mido: pip install 'anacrusis[train]'") from None
    broken = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, struct.error, KeySignatureError)
    try:
        return mido.MidiFile(path, clip=True)
    except broken as error:
        why = str(error) or type(error).__name__
        raise CorpusError(f"cannot read {path} as MIDI ({why}); leave it out or save it again") from None


def _in_order(file: Any) -> list[tuple[int, Any]]:
    """(tick, message) of all tracks; at one tick in the tracks' order."""
    events = []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            events.append((tick, message))
    events.sort(key=lambda event: event[0])
    return events


class _TempoMap:
    """Ticks to seconds, piecewise linear."""

    def __init__(self, ticks_per_beat: int, changes: Sequence[tuple[int, int]]) -> None:
        self._ticks_per_beat = ticks_per_beat
        self._ticks, self._seconds, self._tempi_us = [0], [0.0], [DEFAULT_TEMPO_US]
        for tick, tempo_us in changes:
            here = self.seconds(tick)
            if tick == self._ticks[-1]:
                self._tempi_us[-1] = tempo_us
            else:
                self._ticks.append(tick)
                self._seconds.append(here)
                self._tempi_us.append(tempo_us)
        self.first_us = max(self._tempi_us[0], 1)

    def seconds(self, tick: int) -> float:
        """Of a tick that no later change precedes, while the map is built; of any tick afterwards."""
        index = bisect_right(self._ticks, tick) - 1
        beats = (tick - self._ticks[index]) / self._ticks_per_beat
        return self._seconds[index] + beats * self._tempi_us[index] * 1e-6

    def samples(self, tick: int) -> int:
        return round(self.seconds(tick) * SAMPLE_RATE_HZ)


def _voices(events: Sequence[tuple[int, Any]], tempo: _TempoMap) -> tuple[Voice, ...]:
    programs = [0] * 16
    sounding: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)  # first in, first out
    notes: dict[tuple[int, int], list[Note]] = defaultdict(list)
    last = max((tick for tick, _ in events), default=0)

    def close(channel: int, pitch: int, end_tick: int) -> None:
        begin_tick, velocity, program = sounding[channel, pitch].pop(0)
        begin = tempo.samples(begin_tick)
        end = max(tempo.samples(end_tick), begin + 1)
        notes[channel, program].append(Note(begin, end, pitch, velocity))

    for tick, message in events:
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type == "note_on" and message.velocity > 0:
            key = (message.channel, message.note)
            sounding[key].append((tick, message.velocity, programs[message.channel]))
        elif message.type in ("note_on", "note_off") and sounding[message.channel, message.note]:
            close(message.channel, message.note, tick)
    for channel, pitch in list(sounding):
        while sounding[channel, pitch]:
            close(channel, pitch, last)
    return tuple(
        Voice(program, channel == DRUM_CHANNEL, merge_notes(line)) for (channel, program), line in sorted(notes.items())
    )


def _beats(
    path: Path, ticks_per_beat: int, tempo: _TempoMap, metres: Sequence[tuple[int, int, int]], last_tick: int
) -> tuple[tuple[Beat, ...], int]:
    """Beats until the last note. A compound metre (6/8, 9/8, 12/8) has a beat of three eighths."""
    shapes = []
    for tick, numerator, denominator in metres if metres and metres[0][0] == 0 else [(0, 4, 4), *metres]:
        compound = denominator >= 8 and numerator > 3 and numerator % 3 == 0
        beat_ticks = ticks_per_beat * 4 / denominator * (3 if compound else 1)
        shapes.append((tick, max(numerator // 3 if compound else numerator, 1), beat_ticks))
    total = sum(
        (end - tick) / size
        for (tick, _, size), (end, *_) in zip(shapes, [*shapes[1:], (last_tick, 0, 0)], strict=True)
        if end > tick
    )
    if total > MAX_BEATS:
        raise CorpusError(f"{path} has {total:.0f} beats; its metre is broken")
    beats = []
    for index, (tick, numerator, size) in enumerate(shapes):
        end = shapes[index + 1][0] if index + 1 < len(shapes) else last_tick + 1
        count = 0
        while tick + count * size < min(end, last_tick + 1):
            beats.append(Beat(tempo.samples(round(tick + count * size)), count % numerator + 1))
            count += 1
    return tuple(beats), shapes[0][1]


def write_midi(song: Song, path: Path) -> None:
    """A type 1 file: tempo, metre, chords and sections on the first track, then a track a part.

    The song's beats fall on whole beats of the file: time before the first one is a bar of its own, and the tempo is
    set again where it would miss a beat by more than half a millisecond. Notes keep their place to half a tick.
    """
    try:
        import mido
    except ImportError:
        raise MissingExtraError("MIDI files need mido: pip install 'anacrusis[train]'") from None
    grid = _grid(song)
    head: list[tuple[int, Any]] = []
    changes = _tempo_changes(grid)
    for index, tempo_us in changes:
        head.append((index * TICKS_PER_BEAT, mido.MetaMessage("set_tempo", tempo=tempo_us)))
    tempo = _TempoMap(TICKS_PER_BEAT, [(index * TICKS_PER_BEAT, us) for index, us in changes])
    samples = np.array([tempo.samples(i * TICKS_PER_BEAT) for i in range(len(grid))])

    def tick(position: int) -> int:
        index = min(max(int(np.searchsorted(samples, position, side="right")) - 1, 0), len(samples) - 2)
        share = float((position - samples[index]) / (samples[index + 1] - samples[index]))
        return max(round((index + share) * TICKS_PER_BEAT), 0)

    lead = grid.size - len(song.beats) - 1
    downbeat = next((i for i, beat in enumerate(song.beats) if beat.number == 1), 0) + lead
    if downbeat:
        head.append((0, mido.MetaMessage("time_signature", numerator=downbeat, denominator=4)))
    metre = mido.MetaMessage("time_signature", numerator=song.beats_per_bar, denominator=4)
    head.append((downbeat * TICKS_PER_BEAT, metre))
    head += [(tick(s.start_samples), mido.MetaMessage("marker", text=s.name)) for s in song.sections]
    for chord in song.chords:
        slash = f"/{PITCH_NAMES[chord.bass]}" if chord.bass != chord.root else ""
        text = f"{PITCH_NAMES[chord.root]}:{chord.quality}{slash}"
        head.append((tick(chord.start_samples), mido.MetaMessage("text", text=text)))
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    file.tracks.append(_track(mido, song.name, head))
    for stem in STEMS:
        if stem not in song.parts:
            continue
        part, channel = song.parts[stem], CHANNELS[stem]
        events = [(0, mido.Message("program_change", channel=channel, program=part.program))]
        for note in part.notes:
            begin = tick(note.start_samples)
            end = max(tick(note.end_samples), begin + 1)
            events.append((begin, mido.Message("note_on", channel=channel, note=note.pitch, velocity=note.velocity)))
            events.append((end, mido.Message("note_off", channel=channel, note=note.pitch, velocity=0)))
        file.tracks.append(_track(mido, stem, events))
    try:
        file.save(path)
    except OSError as error:
        raise CorpusError(f"cannot write {path}: {error}") from None


def _grid(song: Song) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Samples of the file's beats: 0 if the song's first beat is later, the song's beats, one more."""
    positions = [b.position_samples for b in song.beats] or [0]
    step = positions[-1] - positions[-2] if len(positions) > 1 else round(60 * SAMPLE_RATE_HZ / song.tempo_bpm)
    positions.append(positions[-1] + step)
    return np.array([0, *positions] if positions[0] > BEAT_TOLERANCE_SAMPLES else [0, *positions[1:]])


def _tempo_changes(grid: np.ndarray[Any, np.dtype[np.int64]]) -> list[tuple[int, int]]:
    """(beat, microseconds) as few as keep every beat within the tolerance of where the song has it."""
    changes: list[tuple[int, int]] = []
    at, tempo_us = 0.0, 0
    for index, wanted in enumerate(grid[1:]):
        reached = at + tempo_us * 1e-6 * SAMPLE_RATE_HZ
        if not changes or abs(reached - wanted) > BEAT_TOLERANCE_SAMPLES:
            # Aim at the beats ahead that are as far apart, so that rounding to samples does not ask for a change each.
            ahead = grid[index + 1 : index + 17]
            steps = np.arange(1, ahead.size + 1)
            fits = np.abs(at + (ahead[-1] - at) / steps[-1] * steps - ahead).max() < BEAT_TOLERANCE_SAMPLES / 2
            length = (ahead[-1] - at) / steps[-1] if fits else wanted - at
            tempo_us = min(max(round(length / SAMPLE_RATE_HZ * 1e6), 1), (1 << 24) - 1)
            changes.append((index, tempo_us))
            reached = at + tempo_us * 1e-6 * SAMPLE_RATE_HZ
        at = reached
    return changes


def _track(mido: Any, name: str, events: Sequence[tuple[int, Any]]) -> Any:
    """Events at ticks as a track. At one tick: meta and program first, then note-offs, then note-ons."""
    order = {"note_off": 1, "note_on": 2}
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    at = 0
    for when, message in sorted(events, key=lambda e: (e[0], order.get(e[1].type, 0))):
        track.append(message.copy(time=when - at))
        at = when
    return track
