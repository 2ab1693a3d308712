# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Look at what a demo played: spectrograms of its mix and of the stem, and the stem's notes among the clip's chords.

    anacrusis demo && python -m anacrusis.benchmarks.demo_look out/demo --png out/demo/look.png

Notes are what a listener could tell from the WAV: an onset (`judges/onsets.py`) and the pitch that follows it (pyin of
librosa), nothing the model said. Beats, key and chords are the shipped clip's own (assets/clip/clip.json), and the true
stem stands beside in every figure. Bands are the chord's tones, lines the beats. The last line of stdout is JSON.

Not covered: demos of another recording; chords of notes (the top of a guitar chord is what is found); a verdict.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges import onsets
from anacrusis.benchmarks.judges.packages import JudgeError, need
from anacrusis.benchmarks.judges.rhythm import grid_fit
from anacrusis.engine.errors import AnacrusisError, AudioError
from anacrusis.engine.paths import SHIPPED_CLIP
from anacrusis.performer.files import read_recording
from anacrusis.performer.plot import pyplot_of, save
from anacrusis.train.look import COLOURS, PITCH_NAMES, draw_spectrogram
from anacrusis.train.song import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
Note = tuple[float, float, int]  # start and end in seconds, MIDI pitch
ROOTS: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
QUALITIES: Final = {"m9": (0, 3, 7, 10, 2), "maj7": (0, 4, 7, 11), "add9": (0, 4, 7, 2), "7": (0, 4, 7, 10)}
MINOR: Final = (0, 2, 3, 5, 7, 8, 10)
BEATS_A_BAR: Final = 4
HOP_SAMPLES: Final = 512
LOWEST_HZ, HIGHEST_HZ = 38.0, 1400.0


@dataclass(frozen=True, slots=True)
class Chart:
    """The clip's truth. chords: (start, end, pitch classes, name)."""

    beats_s: NDArray[np.float64]
    key: frozenset[int]
    chords: tuple[tuple[float, float, frozenset[int], str], ...]

    @classmethod
    def of_clip(cls, folder: Path = SHIPPED_CLIP) -> Chart:
        """Raises JudgeError where clip.json is not one."""
        try:
            body = json.loads((folder / "clip.json").read_text(encoding="utf-8"))
            beats = np.array(body["beats_s"])
            bars = [*beats[::BEATS_A_BAR], beats[-1] + np.diff(beats).mean()]
            tonic = ROOTS[body["key"].split()[0]]
            named = zip(pairwise(bars), body["chords"], strict=True)
            chords = tuple((float(a), float(b), classes_of(name), name) for (a, b), name in named)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise JudgeError(f"{folder} is not the shipped clip: {error}") from None
        return cls(beats, frozenset((tonic + step) % 12 for step in MINOR), chords)


def classes_of(name: str) -> frozenset[int]:
    """Pitch classes of "Bbmaj7". Raises KeyError for a chord that the clip does not have."""
    flat = name[1:2] == "b"
    root = ROOTS[name[0]] - flat
    return frozenset((root + step) % 12 for step in QUALITIES[name[1 + flat :]])


def notes_of(audio: Audio) -> list[Note]:
    """What can be heard: from each onset to the next or to where the pitch ends."""
    librosa = need("librosa")
    hertz, voiced, _ = librosa.pyin(
        audio, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=SAMPLE_RATE_HZ, frame_length=4096, hop_length=HOP_SAMPLES
    )
    starts, length_s = onsets.onset_times_s(audio), len(audio) / SAMPLE_RATE_HZ
    found = []
    for begin, end in pairwise([*starts, length_s]):
        first, last = (round(at * SAMPLE_RATE_HZ / HOP_SAMPLES) for at in (begin, end))
        sounding = np.flatnonzero(voiced[first:last])
        if len(sounding):
            pitch = np.median(librosa.hz_to_midi(hertz[first:last][sounding]))
            until = (first + sounding[-1] + 1) * HOP_SAMPLES / SAMPLE_RATE_HZ
            found.append((float(begin), float(min(until, end)), round(float(pitch))))
    return found


def figures(audio: Audio, notes: Sequence[Note], chart: Chart) -> dict[str, Any]:
    """Of one stem; in_key, in_chord: shares of the notes' time; grid_*: `judges/rhythm.py`, against the true beats."""
    length_s = len(audio) / SAMPLE_RATE_HZ
    heard = onsets.onsets(audio)
    fit = grid_fit(heard, chart.beats_s[chart.beats_s <= length_s])
    in_key = in_chord = played = 0.0
    for begin, end, pitch in notes:
        played += end - begin
        in_key += (end - begin) * (pitch % 12 in chart.key)
        in_chord += sum(
            max(0.0, min(end, until) - max(begin, since))
            for since, until, classes, _ in chart.chords
            if pitch % 12 in classes
        )
    share = (lambda s: round(s / played, 3)) if played else (lambda s: None)
    return {
        "level_dbfs": round(onsets.level_dbfs(audio), 1),
        "silent_share": round(onsets.silence_ratio(audio), 3),
        "onsets": len(heard.times_s),
        "grid_lock": round(fit.lock, 3) if np.isfinite(fit.lock) else None,
        "grid_share": round(fit.share, 3) if np.isfinite(fit.share) else None,
        "grid_offset_ms": round(fit.offset_ms, 1) if np.isfinite(fit.offset_ms) else None,
        "notes": len(notes),
        "in_key": share(in_key),
        "in_chord": share(in_chord),
    }


def draw(
    path: Path, mix: Audio, stem: str, audio: Audio, notes: Sequence[Note], truth: Sequence[Note], chart: Chart
) -> None:
    """Three panels on one time axis. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    length_s = len(audio) / SAMPLE_RATE_HZ
    figure, panels = pyplot.subplots(3, 1, figsize=(14, 10), sharex=True, height_ratios=(3, 3, 4), layout="constrained")
    draw_spectrogram(panels[0], "mix", mix, 0.0, length_s)
    draw_spectrogram(panels[1], stem, audio, 0.0, length_s)
    roll = panels[2]
    pitches = [note[2] for note in (*notes, *truth)] or [36, 60]
    low, high = min(pitches) - 2, max(pitches) + 3
    for begin, end, classes, name in chart.chords:
        for pitch in range(low, high):
            if pitch % 12 in classes:
                roll.broken_barh([(begin, end - begin)], (pitch - 0.5, 1), color="#e8e2d0", zorder=0)
        if begin < length_s:
            roll.text(begin, high - 0.8, f" {name}", va="top", fontsize=9)
    for index, beat in enumerate(chart.beats_s):
        roll.axvline(beat, color="#888888" if index % BEATS_A_BAR == 0 else "#cccccc", linewidth=0.7, zorder=1)
    for some, colour, height, label in ((truth, "#999999", 0.9, "true stem"), (notes, COLOURS[stem], 0.5, "written")):
        bars = [(begin, end - begin) for begin, end, _ in some]
        roll.barh([n[2] for n in some], [b[1] for b in bars], height, [b[0] for b in bars], color=colour, label=label)
    named = [pitch for pitch in range(low, high) if pitch % 12 in chart.key]
    roll.set_yticks(named, [f"{PITCH_NAMES[p % 12]}{p // 12 - 1}" for p in named], fontsize=7)
    roll.set_ylim(low, high)
    roll.set_xlim(0, length_s)
    roll.set_xlabel("seconds; bands: the chord's tones, lines: beats")
    roll.legend(loc="upper right", fontsize=8)
    save(figure, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.benchmarks.demo_look",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("demo", type=Path, help="directory that `anacrusis demo` wrote")
    parser.add_argument("--stem", default="bass", choices=("bass", "guitar", "piano"))
    parser.add_argument("--png", type=Path, default=Path("out/demo/look.png"))
    options = parser.parse_args(arguments)
    try:
        chart, stem = Chart.of_clip(), options.stem
        mix, audio = (read(options.demo / f"{name}.wav") for name in ("mix", stem))
        true = read(SHIPPED_CLIP / f"{stem}.flac")[: len(audio)]
        written, truth = notes_of(audio), notes_of(true)
        draw(options.png, mix[: len(audio)], stem, audio, written, truth, chart)
        record = {"stem": stem, "seconds": round(len(audio) / SAMPLE_RATE_HZ, 2)}
        record |= {"written": figures(audio, written, chart), "true": figures(true, truth, chart)}
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.png}")
    print(json.dumps(record, separators=(",", ":")))
    return 0


def read(path: Path) -> Audio:
    """Mono float32 [n] at 44.1 kHz. Raises JudgeError."""
    try:
        recording = read_recording(path)
    except AudioError as error:
        raise JudgeError(f"{error}; run anacrusis demo") from None
    if recording.rate_hz != SAMPLE_RATE_HZ:
        raise JudgeError(f"{path} is at {recording.rate_hz} Hz, not {SAMPLE_RATE_HZ}")
    return recording.mono(SAMPLE_RATE_HZ)


if __name__ == "__main__":
    sys.exit(main())
