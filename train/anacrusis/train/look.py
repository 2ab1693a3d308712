# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Look at a song: the four parts as a piano roll with chords, sections and beats, above a spectrogram of each stem.

    python -m anacrusis.train.look DIR/test/NAME --out song.png [--start 20 --seconds 15]

TRACK_DIR is a song of a corpus, or a track of Slakh2100. All panels share one time axis. Needs matplotlib (extra
`plot`). Exit 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.train.dataset import Track
from anacrusis.train.slakh import slakh_track
from anacrusis.train.song import SAMPLE_RATE_HZ, SPLITS, STEMS, CorpusError, Song

Audio = NDArray[np.float32]
COLOURS: Final[Mapping[str, str]] = {"bass": "#3b6fb6", "drums": "#6b6b6b", "guitar": "#d9822b", "piano": "#2f8f5b"}
FFT_SAMPLES: Final = 4096
HOP_SAMPLES: Final = 512
LOWEST_HZ, HIGHEST_HZ = 40.0, 16000.0
ROWS: Final = 180  # of a spectrogram, evenly spaced in the logarithm of frequency
FLOOR_DB: Final = -90.0
FREQUENCY_TICKS_HZ: Final = (100, 1000, 10000)
PITCH_NAMES: Final = ("C", "D♭", "D", "E♭", "E", "F", "G♭", "G", "A♭", "A", "B♭", "B")
QUALITY_SIGNS: Final = {"maj": "", "min": "m", "min7": "m7", "min6": "m6", "min9": "m9", "dim": "°", "dim7": "°7"}
DRUM_NAMES: Final[Mapping[int, str]] = {
    **{35: "kick 2", 36: "kick", 37: "rim", 38: "snare", 39: "clap", 40: "snare 2", 42: "hat", 44: "pedal", 46: "open"},
    **{41: "tom", 43: "tom", 45: "tom", 47: "tom", 48: "tom", 50: "tom", 49: "crash", 57: "crash 2", 51: "ride"},
    **{53: "bell", 59: "ride 2", 54: "tamb.", 56: "cowbell", 69: "cabasa", 70: "shaker", 75: "claves", 76: "block"},
}


def log_spectrogram(audio: Audio, hop_samples: int = HOP_SAMPLES) -> NDArray[np.float32]:
    """Power in dB against full scale, float32 [ROWS, frames], rows from 40 Hz to 16 kHz.

    A Hann window of 4096 samples; a full-scale sine is 0 dB. A row takes the loudest of the bins it covers, and the
    value between two bins where it covers none. Frame k is centred on sample k * hop_samples.
    """
    padded = np.pad(audio.astype(np.float32), FFT_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::hop_samples]
    window = np.hanning(FFT_SAMPLES).astype(np.float32)
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)).T * (2.0 / window.sum())
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, ROWS + 1) * FFT_SAMPLES / SAMPLE_RATE_HZ  # in bins
    rows = np.empty((ROWS, magnitude.shape[1]), np.float32)
    for row, (low, high) in enumerate(pairwise(edges)):
        first, last = int(np.ceil(low)), int(np.floor(high))
        if last >= first:
            rows[row] = magnitude[first : last + 1].max(axis=0)
        else:
            below, share = int(low), (low + high) / 2 - int(low)
            rows[row] = (1 - share) * magnitude[below] + share * magnitude[below + 1]
    decibels: NDArray[np.float32] = np.maximum(20.0 * np.log10(np.maximum(rows, 1e-10)), FLOOR_DB).astype(np.float32)
    return decibels


def chord_name(root: int, quality: str, bass: int) -> str:
    """As musicians write it: Am7, F, G/B."""
    name = PITCH_NAMES[root] + QUALITY_SIGNS.get(quality, quality)
    return name if bass == root else f"{name}/{PITCH_NAMES[bass]}"


def draw(song: Song, stems: Mapping[str, Audio], out: Path, *, start_s: float = 0.0, seconds: float = 15.0) -> None:
    """Write the picture. stems: float32 [n] from the song's sample 0, each; one that is missing is left empty.

    Raises:
        MissingExtraError: matplotlib is not installed.
        CorpusError: nothing to see in that stretch, or the file cannot be written.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        raise MissingExtraError("pictures need matplotlib: pip install 'anacrusis[plot]'") from None
    end_s = min(start_s + seconds, song.length_samples / SAMPLE_RATE_HZ)
    if not 0.0 <= start_s < end_s:
        raise CorpusError(f"{song.name} has nothing from {start_s:g} s on; it is {end_s:.1f} s long")
    figure, panels = plt.subplots(
        2 + len(STEMS),
        1,
        figsize=(15, 13),
        sharex=True,
        height_ratios=(5, 1.4, 1.6, 1.6, 1.6, 1.6),
        layout="constrained",
    )
    _draw_roll(panels[0], song, start_s, end_s)
    _draw_drums(panels[1], song, start_s, end_s)
    for panel, stem in zip(panels[2:], STEMS, strict=True):
        draw_spectrogram(panel, stem, stems.get(stem, np.zeros(0, np.float32)), start_s, end_s)
    panels[-1].set_xlabel("seconds")
    panels[-1].set_xlim(start_s, end_s)
    metre = f"{song.beats_per_bar}/4, {song.tempo_bpm:.1f} bpm" + (
        f", swing {song.swing:.2f}" if song.swing > 0.5 else ""
    )
    key = "" if song.mode == "unknown" else f"{PITCH_NAMES[song.tonic]} {song.mode} · "
    figure.suptitle(f"{song.name} · {song.family} ({song.split}) · {key}{metre}", fontsize=13)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=90)
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot write {out}: {error}") from None
    finally:
        plt.close(figure)


def _beat_lines(panel: Any, song: Song, start_s: float, end_s: float) -> None:
    for beat in song.beats:
        at = beat.position_samples / SAMPLE_RATE_HZ
        if start_s <= at <= end_s:
            down = beat.number == 1
            panel.axvline(at, color="#888888" if down else "#dddddd", linewidth=0.9 if down else 0.5, zorder=0)


def _bars(panel: Any, notes: Sequence[tuple[float, float, float, float]], colour: str, height: float) -> None:
    """(start, end, row, velocity) as bars, quiet ones paler."""
    from matplotlib.colors import to_rgba

    if not notes:
        return
    starts, ends, rows, velocities = (np.array(column) for column in zip(*notes, strict=True))
    colours = [to_rgba(colour, 0.35 + 0.65 * v / 127) for v in velocities]
    panel.barh(rows, ends - starts, height, starts, color=colours, edgecolor="white", linewidth=0.3)


def _visible(song: Song, stem: str, start_s: float, end_s: float) -> list[tuple[float, float, int, int]]:
    notes = song.parts[stem].notes if stem in song.parts else ()
    seconds = [(n.start_samples / SAMPLE_RATE_HZ, n.end_samples / SAMPLE_RATE_HZ, n.pitch, n.velocity) for n in notes]
    return [note for note in seconds if note[1] > start_s and note[0] < end_s]


def _draw_roll(panel: Any, song: Song, start_s: float, end_s: float) -> None:
    from matplotlib.patches import Patch

    _beat_lines(panel, song, start_s, end_s)
    pitches = []
    for stem in ("piano", "guitar", "bass"):
        notes = _visible(song, stem, start_s, end_s)
        pitches += [note[2] for note in notes]
        _bars(panel, notes, COLOURS[stem], 0.8)
    low, high = (min(pitches) - 2, max(pitches) + 5) if pitches else (36, 84)
    panel.set_ylim(low, high)
    octaves = [pitch for pitch in range(128) if pitch % 12 == 0 and low <= pitch <= high]
    panel.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    panel.legend(
        handles=[Patch(color=COLOURS[s], label=s) for s in ("piano", "guitar", "bass")],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        ncols=3,
    )
    for chord in song.chords:
        at = max(chord.start_samples / SAMPLE_RATE_HZ, start_s)
        if at < end_s and chord.end_samples / SAMPLE_RATE_HZ > start_s:
            name = chord_name(chord.root, chord.quality, chord.bass)
            panel.text(at, high - 0.4, f" {name}", va="top", fontsize=9, clip_on=True)
    for section in song.sections:
        at = section.start_samples / SAMPLE_RATE_HZ
        if start_s <= at < end_s:
            panel.axvline(at, color="#b03060", linewidth=1.4)
            panel.text(at, high - 2.2, f" {section.name}", va="top", color="#b03060", fontsize=10, weight="bold")


def _draw_drums(panel: Any, song: Song, start_s: float, end_s: float) -> None:
    _beat_lines(panel, song, start_s, end_s)
    notes = _visible(song, "drums", start_s, end_s)
    keys = sorted({note[2] for note in notes})
    rows = {key: row for row, key in enumerate(keys)}
    shown = [(start, start + 0.05, rows[key], velocity) for start, _, key, velocity in notes]
    _bars(panel, shown, COLOURS["drums"], 0.7)
    panel.set_yticks(range(len(keys)), [DRUM_NAMES.get(key, str(key)) for key in keys], fontsize=7)
    panel.set_ylabel("drums")


def draw_spectrogram(panel: Any, stem: str, audio: Audio, start_s: float, end_s: float) -> None:
    """A spectrogram of those seconds, its level beside it. stem: what it is called."""
    begin, end = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
    heard = np.zeros(end - begin, np.float32)
    part = audio[begin:end]
    heard[: part.size] = part
    picture = log_spectrogram(heard)
    edges = (start_s, start_s + picture.shape[1] * HOP_SAMPLES / SAMPLE_RATE_HZ, 0, ROWS)
    top = max(float(picture.max()), FLOOR_DB + 10)
    panel.imshow(
        picture,
        origin="lower",
        aspect="auto",
        extent=edges,
        cmap="magma",
        vmin=top - 70,
        vmax=top,
        interpolation="none",
    )
    octaves = np.log(np.array(FREQUENCY_TICKS_HZ) / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ) * ROWS
    panel.set_yticks(octaves, [f"{hz / 1000:g}k" if hz >= 1000 else str(hz) for hz in FREQUENCY_TICKS_HZ])
    rms = float(np.sqrt(np.mean(np.square(heard, dtype=np.float64)))) if heard.size else 0.0
    level = f"{20 * np.log10(rms):.0f} dB" if rms > 0 else "silent"
    panel.set_ylabel(f"{stem}\n{level}", color=COLOURS.get(stem, "black"))


def open_track(folder: Path) -> Track:
    """The track of one folder: a song of a corpus, or a Slakh2100 track. Raises CorpusError for neither."""
    if (folder / "song.json").is_file():
        files = {stem: (file,) for stem in STEMS if (file := folder / f"{stem}.flac").is_file()}
        song = Song.read(folder / "song.json")
        return Track(folder.name, song.split, song.length_samples, files, partial(Song.read, folder / "song.json"))
    if (folder / "metadata.yaml").is_file():
        split = folder.parent.name if folder.parent.name in SPLITS else "test"
        if (track := slakh_track(folder, split)) is not None:
            return track
        raise CorpusError(f"{folder} has none of the four stems")
    raise CorpusError(f"{folder} holds neither song.json nor metadata.yaml; name one song's folder")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.look", description="draw a song and its audio")
    parser.add_argument("track", type=Path, metavar="TRACK_DIR", help="a song's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="X.png")
    parser.add_argument("--start", type=float, default=0.0, help="seconds into the song (default 0)")
    parser.add_argument("--seconds", type=float, default=15.0, help="how much of it (default 15)")
    asked = parser.parse_args(arguments)
    try:
        track = open_track(asked.track)
        draw(track.song, {s: track.stem(s) for s in STEMS}, asked.out, start_s=asked.start, seconds=asked.seconds)
    except AnacrusisError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps({"track": track.name, "picture": str(asked.out)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
