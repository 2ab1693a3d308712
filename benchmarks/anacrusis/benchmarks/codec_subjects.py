# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The codecs under comparison behind one small protocol, and the clips they are given.

The note-roll codec reads the true notes of a clip, as it does in training; the spectral codec reads the clip's audio.
Both are given LEAD_FRAMES of what came before, which are cut off again: a clip is judged as a stretch of a stream.

A codec whose weights, code or soundfont is missing is a `CodecMissingError` with one line; the other is still compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.song import SAMPLE_RATE_HZ, Part

FRAME_SAMPLES: Final = 4096
WINDOW_FRAMES: Final = 64
STEP_FRAMES: Final = 16  # of a live step: r = .25
LEAD_FRAMES: Final = 64
LEAST_PEAK: Final = 1e-3

Audio = NDArray[np.float32]


class CodecMissingError(AnacrusisError):
    """A codec that cannot be compared here; the line says what to do."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of one stem. heard: audio from LEAD_FRAMES before start_samples to the end; part: the whole song's."""

    song: str
    stem: str
    start_samples: int  # a multiple of a frame
    frames: int
    heard: Audio
    part: Part

    @property
    def audio(self) -> Audio:
        return self.heard[LEAD_FRAMES * FRAME_SAMPLES :]

    @property
    def note_times(self) -> list[tuple[float, int]]:
        """(seconds from the clip's start, pitch) of the notes that begin in it."""
        end = self.start_samples + self.frames * FRAME_SAMPLES
        inside = (n for n in self.part.notes if self.start_samples <= n.start_samples < end)
        return [((n.start_samples - self.start_samples) / SAMPLE_RATE_HZ, n.pitch) for n in inside]


@dataclass(frozen=True, slots=True)
class Graph:
    """A stage to be timed: a torch module and inputs that it is exported with."""

    module: Any
    example: tuple[Any, ...]


class Subject(Protocol):
    """name: what a table calls it. taper_frames: decoded before the frames that are used. graphs: encode and decode."""

    name: str
    taper_frames: int
    about: dict[str, Any]

    def latent(self, clip: Clip) -> Audio:
        """[64, LEAD_FRAMES + frames]."""
        ...

    def decode(self, latent: Audio) -> Audio:
        """[64, frames] -> [4096 * frames]; silence is what came before."""
        ...

    def notes(self, clip: Clip, latent: Audio) -> tuple[list[tuple[float, int]], list[tuple[float, int]]] | None:
        """(truth, found) as (seconds, row), or None where a latent says nothing of notes."""
        ...

    def graphs(self, decode_frames: int) -> dict[str, Graph]:
        """`encode` of a window of context, `decode` of so many frames."""
        ...


class RollSubject:
    """`anacrusis.train.codec.codec.RollCodec`, and the filterbank as what encodes the context."""

    name = "roll"

    def __init__(self, weights: Path, soundfont: Path | None = None) -> None:
        try:
            from anacrusis.train.codec.codec import RollCodec
        except ImportError as error:
            raise CodecMissingError(f"the note-roll codec cannot be imported ({error})") from None
        if not weights.is_file():
            raise CodecMissingError(
                f"no note-roll codec at {weights}; train one: python -m anacrusis.train.codec.fit --out {weights}"
            )
        self.codec = RollCodec.load(weights, soundfont)
        self.taper_frames = self.codec.decoder.taper_samples // FRAME_SAMPLES
        self.about = {key: value for key, value in self.codec.about.items() if isinstance(value, int | float | str)}

    def latent(self, clip: Clip) -> Audio:
        start = clip.start_samples - LEAD_FRAMES * FRAME_SAMPLES
        length = (LEAD_FRAMES + clip.frames) * FRAME_SAMPLES
        return self.codec.encode(clip.part, clip.stem, length, start)

    def decode(self, latent: Audio) -> Audio:
        audio: Audio = self.codec.decode(latent[None])[0]
        return audio

    def notes(self, clip: Clip, latent: Audio) -> tuple[list[tuple[float, int]], list[tuple[float, int]]] | None:
        group = self.codec.rows.group(clip.stem)
        found = self.codec.notes(latent[:, LEAD_FRAMES:], clip.stem)
        return (
            [(time_s, group.row_of(pitch)) for time_s, pitch in clip.note_times],
            [(n.start_samples / SAMPLE_RATE_HZ, group.row_of(n.pitch)) for n in found],
        )

    def graphs(self, decode_frames: int) -> dict[str, Graph]:
        import torch

        from anacrusis.engine.networks.filterbank import Filterbank

        window = (torch.zeros(1, WINDOW_FRAMES * FRAME_SAMPLES), torch.ones(1, 1, WINDOW_FRAMES))
        return {
            "encode": Graph(Filterbank(), window),
            "decode": Graph(self.codec.decoder, (torch.zeros(1, self.codec.channels, decode_frames),)),
        }


class SpectralSubject:
    """`anacrusis.train.spectral.codec.SpectralCodec`."""

    name = "spectral"

    def __init__(self, weights: Path) -> None:
        from anacrusis.train.spectral.codec import TAPER_SAMPLES, SpectralCodec

        self.codec = SpectralCodec.load(weights)
        self.taper_frames = TAPER_SAMPLES // FRAME_SAMPLES
        self.about = {key: value for key, value in self.codec.about.items() if isinstance(value, int | float | str)}

    def latent(self, clip: Clip) -> Audio:
        return self.codec.encode(clip.heard)

    def decode(self, latent: Audio) -> Audio:
        return self.codec.decode(latent)

    def notes(self, clip: Clip, latent: Audio) -> None:
        return None

    def graphs(self, decode_frames: int) -> dict[str, Graph]:
        import torch

        from anacrusis.train.spectral.codec import TAIL_SAMPLES

        channels = self.codec.network.config.channels
        return {
            "encode": Graph(self.codec.encoder, (torch.zeros(1, WINDOW_FRAMES * FRAME_SAMPLES + TAIL_SAMPLES),)),
            "decode": Graph(self.codec.decoder, (torch.zeros(1, channels, decode_frames),)),
        }


def clips_of(track: Any, seconds: float, rng: np.random.Generator) -> list[Clip]:
    """One stretch of a song, the same for all stems; stems that are silent there are left out."""
    frames = round(seconds * SAMPLE_RATE_HZ / FRAME_SAMPLES)
    last = max(0, track.length_samples // FRAME_SAMPLES - frames)
    start = int(rng.integers(last + 1)) * FRAME_SAMPLES
    lead = LEAD_FRAMES * FRAME_SAMPLES
    found = []
    for stem, part in sorted(track.song.parts.items()):
        heard = track.stem(stem, start - lead, lead + frames * FRAME_SAMPLES)
        clip = Clip(track.name, stem, start, frames, heard, part)
        if np.abs(clip.audio).max() > LEAST_PEAK:
            found.append(clip)
    return found


def open_subjects(roll: Path, spectral: Path, soundfont: Path | None) -> tuple[list[Subject], list[str]]:
    """Those that are there, and a line for each that is not. Raises CodecMissingError where none is."""
    there: list[Subject] = []
    missing: list[str] = []
    for make in (lambda: RollSubject(roll, soundfont), lambda: SpectralSubject(spectral)):
        try:
            there.append(make())
        except AnacrusisError as error:
            missing.append(str(error))
    for subject in there:
        if subject.taper_frames + STEP_FRAMES > LEAD_FRAMES:
            raise CodecMissingError(f"{subject.name} has a taper of {subject.taper_frames} frames; raise LEAD_FRAMES")
    if not there:
        raise CodecMissingError("; ".join(missing))
    return there, missing
