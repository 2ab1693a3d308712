# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Tracks of a folder in Slakh2100's layout: four stems by instrument class, in the official split.

    {train,validation,test}/TrackXXXXX/
        metadata.yaml            stems: S00: {inst_class, audio_rendered, midi_saved, program_num, is_drum, ...}
        stems/S00.flac ...       one file an instrument; several of a class are summed
        MIDI/S00.mid ...         their notes
        all_src.mid              tempo and metre

The classes Bass, Drums, Guitar and Piano become stems; all others are left out (they are in mix.flac, which is not
read). A track need not have all four. omitted/ (the duplicates that the "redux" version takes out) is not read.
Beats come from the MIDI's tempo map and time signatures; chords are not known.

Slakh2100: E. Manilow, G. Wichern, P. Seetharaman, J. Le Roux, "Cutting music source separation some Slakh", WASPAA
2019; CC BY 4.0. Layout as its metadata describes it. Not covered: downloading it, babyslakh's 16 kHz WAV files are
read and converted as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from anacrusis.engine.errors import MissingExtraError
from anacrusis.train.dataset import Track, audio_length
from anacrusis.train.midi import Score, part_of, read_score, song_of
from anacrusis.train.song import SPLITS, STEMS, CorpusError, Part, Song

STEM_OF_CLASS: Final[Mapping[str, str]] = {stem.capitalize(): stem for stem in STEMS}
AUDIO_ENDINGS: Final = (".flac", ".wav")
LEAVE_OUT: Final = "leave the track out or download it again"


def slakh_tracks(path: Path) -> list[Track]:
    """Tracks of a data set, of one of its split folders, or of a plain folder of tracks (then split "test").

    A track in which none of the four classes was rendered is left out. Raises CorpusError for a broken track.
    """
    tracks = []
    for split in SPLITS:
        tracks += [track for folder in _homes(path / split) if (track := slakh_track(folder, split))]
    if not tracks:
        split = path.name if path.name in SPLITS else "test"
        tracks = [track for folder in _homes(path) if (track := slakh_track(folder, split))]
    return tracks


def _homes(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob("*/metadata.yaml"))


def slakh_track(home: Path, split: str) -> Track | None:
    """One track's folder; None if none of the four classes was rendered. Raises CorpusError for a broken one."""
    files: dict[str, list[Path]] = {}
    for key, stem in _stems(home):
        found = next((f for end in AUDIO_ENDINGS if (f := home / "stems" / (key + end)).is_file()), None)
        if found is None:
            raise CorpusError(f"{home / 'stems' / key}.flac is missing though metadata.yaml has it; {LEAVE_OUT}")
        files.setdefault(stem, []).append(found)
    if not files:
        return None
    length = max(audio_length(file) for of_stem in files.values() for file in of_stem)
    kept = {stem: tuple(found) for stem, found in files.items()}
    return Track(home.name, split, length, kept, partial(read_slakh_song, home, split, length))


def read_slakh_song(home: Path, split: str, length_samples: int) -> Song:
    """Notes of the rendered stems whose MIDI was saved, beats of all_src.mid (else of the first stem's file).

    Raises CorpusError for a MIDI file that is missing or broken.
    """
    scores: dict[str, list[Score]] = {}
    for key, stem in _stems(home, with_midi=True):
        scores.setdefault(stem, []).append(read_score(home / "MIDI" / f"{key}.mid"))
    whole = home / "all_src.mid"
    timing = read_score(whole) if whole.is_file() else next((s for found in scores.values() for s in found), None)
    if timing is None:
        raise CorpusError(f"{home} has no MIDI at all, so its beats are unknown; {LEAVE_OUT}")
    parts: dict[str, Part] = {}
    for stem, found in scores.items():
        voices = [voice for score in found for voice in score.voices]
        if not voices:
            continue
        part = part_of(voices, length_samples)
        parts[stem] = Part(0, part.notes) if stem == "drums" else part  # Slakh numbers kits 128, which is no kit
    beats = tuple(beat for beat in timing.beats if beat.position_samples < length_samples)
    metadata = _metadata(home)
    song = replace(
        song_of(timing, home.name, split=split, family="slakh2100"),
        chart=str(metadata.get("UUID", home.name)),
        length_samples=length_samples,
        beats=beats,
        parts=parts,
        about={"source": "slakh2100"},
    )
    song.validate()
    return song


def _stems(home: Path, *, with_midi: bool = False) -> list[tuple[str, str]]:
    """(S00, stem) of the four classes, of what was rendered (and has MIDI)."""
    stems = _metadata(home).get("stems")
    if not isinstance(stems, dict):
        raise CorpusError(f"{home / 'metadata.yaml'} lists no stems; {LEAVE_OUT}")
    found = []
    for key, about in sorted(stems.items()):
        if not isinstance(about, dict) or Path(str(key)).name != str(key):
            raise CorpusError(f"{home / 'metadata.yaml'}: stem {key!r} is not described; {LEAVE_OUT}")
        stem = STEM_OF_CLASS.get(str(about.get("inst_class")))
        if stem and about.get("audio_rendered", True) and (not with_midi or about.get("midi_saved", True)):
            found.append((str(key), stem))
    return found


def _metadata(home: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("Slakh2100's metadata needs PyYAML: pip install 'anacrusis[train]'") from None
    file = home / "metadata.yaml"
    try:
        # The C parser, where it was built: 1,710 tracks in two seconds instead of twenty.
        read = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = " ".join(str(error).split())
        raise CorpusError(f"cannot read {file} ({first}); {LEAVE_OUT}") from None
    if not isinstance(read, dict):
        raise CorpusError(f"{file} is no table; {LEAVE_OUT}")
    return read
