# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m anacrusis.train.codec.look --out DIR`: a song of the writer beside its round trip through the codec.

Writes DIR/STEM.truth.wav, DIR/STEM.codec.wav (and with --noise DIR/STEM.noisy.wav) and DIR/look.png: spectrograms of
both with the onsets that each latent says. Prints per stem what a round trip costs: level, spectral distance, and by
how much the attacks moved. Last line: the same as JSON.

Spectral distance: mean absolute difference of log-mel spectra (80 bands to 16 kHz) in dB, where the truth is within
60 dB of its loudest. Truth is the corpus' rendering, with the programs that the song asks for: the codec plays one
program an instrument (`notes.py`), so the distance holds a change of instrument too; --own-programs takes it out.

Needs the soundfont, tinysoundfont and matplotlib.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.codec.codec import Latent, RollCodec
from anacrusis.train.codec.notes import VOICES
from anacrusis.train.codec.pool import families_of
from anacrusis.train.codec.rows import FRAME_SAMPLES
from anacrusis.train.paths import ROLL_WEIGHTS
from anacrusis.train.render import Renderer
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError, Note, Song
from anacrusis.train.writer import FAMILIES, write_song

Audio = NDArray[np.float32]
FFT, HOP, BANDS, TOP_HZ = 2048, 441, 80, 16_000.0
HEARD_DB: Final = 60.0
FARTHEST_HOPS: Final = 5


def log_mel(audio: Audio) -> NDArray[np.float64]:
    """[BANDS, frames of 10 ms] in dB."""
    padded = np.pad(audio, (FFT // 2, FFT // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP] * np.hanning(FFT)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    top = 2595 * np.log10(1 + TOP_HZ / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE_HZ)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.maximum(0, np.minimum(rise, fall))
    return np.asarray(10 * np.log10(bank @ power.T + 1e-9), np.float64)


def compare(truth: Audio, made: Audio) -> dict[str, float]:
    """Level of both in dB, distance of spectra in dB, and the shift in ms at which the attacks agree best.

    Positive: the second is late. A stem that is silent gives zeros.
    """
    a, b = log_mel(truth), log_mel(made)
    level = [float(10 * np.log10(np.square(x, dtype=np.float64).mean() + 1e-12)) for x in (truth, made)]
    heard = a > a.max() - HEARD_DB
    floor = a.max() - HEARD_DB
    rises = [np.maximum(0, np.diff(np.maximum(x, floor), axis=1)).sum(axis=0) for x in (a, b)]
    shifts = range(-FARTHEST_HOPS, FARTHEST_HOPS + 1)
    agree = [float((rises[0][8:-8] * np.roll(rises[1], -shift)[8:-8]).sum()) for shift in shifts]
    return {
        "truth_db": round(level[0], 2),
        "codec_db": round(level[1], 2),
        "distance_db": round(float(np.abs(a - np.maximum(b, floor))[heard].mean()), 2),
        "shift_ms": round(1000 * HOP / SAMPLE_RATE_HZ * shifts[int(np.argmax(agree))], 1),
    }


def with_codec_programs(song: Song) -> Song:
    """The song played by the codec's own programs."""
    programs = {voice.group.stem: voice.program for voice in VOICES}
    parts = {stem: dataclasses.replace(part, program=programs[stem]) for stem, part in song.parts.items()}
    return dataclasses.replace(song, parts=parts)


def noisy(latent: Latent, noise: float, seed: int) -> Latent:
    """Noise of a share of the latent's root mean square on every channel and frame."""
    rms = np.sqrt(np.square(latent).mean())
    return np.asarray(latent + noise * rms * np.random.default_rng(seed).standard_normal(latent.shape), np.float32)


def draw(
    path: Path, audio: Mapping[str, Mapping[str, Audio]], notes: Mapping[str, Mapping[str, Sequence[Note]]]
) -> None:
    """audio, notes: stem -> kind ("truth", "codec", ...) -> what to draw. A column each kind, a row each stem."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(next(iter(audio.values())))
    figure = Figure(figsize=(8 * len(kinds), 3 * len(audio)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(audio), len(kinds), squeeze=False, sharex=True)
    for line, (stem, by_kind) in zip(axes, audio.items(), strict=True):
        top = log_mel(by_kind[kinds[0]]).max()
        for ax, (kind, sound) in zip(line, by_kind.items(), strict=True):
            picture = log_mel(sound)
            ax.imshow(
                picture,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=top - 80,
                vmax=top,
                extent=(0, len(sound) / SAMPLE_RATE_HZ, 0, BANDS),
            )
            starts = [note.start_samples / SAMPLE_RATE_HZ for note in notes[stem][kind]]
            ax.vlines(starts, BANDS, BANDS + 5, color="tab:green", linewidth=0.8)
            ax.set_ylim(0, BANDS + 6)
            ax.set_title(f"{stem}: {kind}, {len(starts)} notes", fontsize=10)
            ax.set_yticks([])
    for ax in axes[-1]:
        ax.set_xlabel("seconds; mel bands to 16 kHz; green: onsets")
    figure.savefig(path, dpi=80)


def look(codec: RollCodec, song: Song, renderer: Renderer, out: Path, noise: float, *, own: bool, seed: int) -> Any:
    """Write the files and return the figures: stem -> `compare`, and notes told and meant."""
    song = with_codec_programs(song) if own else song
    frames = song.length_samples // FRAME_SAMPLES
    length = frames * FRAME_SAMPLES
    audio: dict[str, dict[str, Audio]] = {}
    notes: dict[str, dict[str, Sequence[Note]]] = {}
    figures: dict[str, Any] = {}
    for stem in STEMS:
        part = song.parts[stem]
        latents = {"codec": codec.encode(part, stem, length)}
        if noise:
            latents["noisy"] = noisy(latents["codec"], noise, seed)
        audio[stem] = {"truth": renderer.stem(part, stem, length)}
        notes[stem] = {"truth": part.notes}
        for kind, latent in latents.items():
            audio[stem][kind] = codec.decode(latent[None])[0]
            notes[stem][kind] = codec.notes(latent, stem)
        figures[stem] = compare(audio[stem]["truth"], audio[stem]["codec"])
        figures[stem] |= {f"notes_{kind}": len(found) for kind, found in notes[stem].items()}
        for kind, sound in audio[stem].items():
            soundfile.write(out / f"{stem}.{kind}.wav", sound, SAMPLE_RATE_HZ, subtype="PCM_16")
    for kind in audio["bass"]:
        mix = np.sum([by_kind[kind] for by_kind in audio.values()], axis=0)
        soundfile.write(out / f"mix.{kind}.wav", mix, SAMPLE_RATE_HZ, subtype="PCM_16")
    draw(out / "look.png", audio, notes)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.train.codec.look", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--codec", type=Path, default=ROLL_WEIGHTS, help="weights of `fit`")
    parser.add_argument("--out", type=Path, required=True, help="a folder, made where it is missing")
    parser.add_argument("--family", help="of the writer (default: the first of the test split)")
    parser.add_argument("--seed", type=int, default=1, help="of the song (default 1)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of music (default 20)")
    parser.add_argument("--noise", type=float, default=0.0, help="on the latent, a share of its rms: one more column")
    parser.add_argument("--own-programs", action="store_true", help="render the truth with the codec's programs")
    parser.add_argument("--soundfont", type=Path, help="default: where soundfonts are kept")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        family = asked.family or families_of("test")[0]
        if family not in FAMILIES:
            raise CorpusError(f"no family {family!r}; there are {', '.join(FAMILIES)}")
        codec = RollCodec.load(asked.codec, asked.soundfont)
        asked.out.mkdir(parents=True, exist_ok=True)
        song = write_song(asked.seed, family, seconds=asked.seconds)
        renderer = Renderer(asked.soundfont)
        figures = look(codec, song, renderer, asked.out, asked.noise, own=asked.own_programs, seed=asked.seed)
    except KeyboardInterrupt:
        return 130
    except (AnacrusisError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for stem, values in figures.items():
        print(f"{stem:8}" + "  ".join(f"{key} {value:g}" for key, value in values.items()))
    print(json.dumps({"song": song.name, "stems": figures}, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
