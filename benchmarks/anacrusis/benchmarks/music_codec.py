# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The anchor `codec`: a true stem through a codec and back; no model that writes its latents can sound more true.

    roll    the note-roll codec, from the true notes (not from the audio: that is how its targets are made)
    bundle  a bundle's own encode and decode graphs, where it encodes its targets from audio
    none    no such anchor

A bundle is asked window by window, as the live cycle asks it: of each window the middle half of the latents is kept,
where every frame has neighbours; of each decode what lies inside its taper.

Not covered: how good a codec is (`codec.py` compares them).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from anacrusis.benchmarks.music_clips import F32, Excerpt, MusicError, Track
from anacrusis.benchmarks.music_hear import files_hash, text_hash
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.paths import REPOSITORY
from anacrusis.engine.pipeline import Binding
from anacrusis.train.paths import ROLL_WEIGHTS

if TYPE_CHECKING:
    from anacrusis.train.codec.codec import RollCodec

CHOICES: Final = ("roll", "bundle", "none")


class RoundTrip(Protocol):
    """Passes to other processes by pickle, so it holds nothing heavy."""

    @property
    def name(self) -> str: ...

    def recipe(self, track: Track, stem: str, cut: Excerpt, truth_digest: str) -> str:
        """All that `through` depends on."""

    def through(self, track: Track, stem: str, cut: Excerpt) -> F32:
        """The scored region [scored_samples] of the true stem after the codec."""


class RollTrip:
    """The note-roll codec; the notes it plays are the soundfont's. Raises MusicError where it has no weights."""

    name = "roll"

    def __init__(self, weights: Path = ROLL_WEIGHTS) -> None:
        if not weights.is_file():
            raise MusicError(
                f"there are no weights of the note-roll codec at {weights}: "
                "make them with `python -m anacrusis.train.codec.fit`, or give --codec none"
            )
        self.weights = weights

    def recipe(self, track: Track, stem: str, cut: Excerpt, truth_digest: str) -> str:
        return f"roll {_roll_identity(self.weights)} {stem} {cut} {text_hash(repr(track.song.parts[stem].notes))}"

    def through(self, track: Track, stem: str, cut: Excerpt) -> F32:
        codec = _roll(self.weights)
        latent = codec.encode(track.song.parts[stem], stem, cut.length_samples, cut.start_samples)
        return np.asarray(codec.decode(latent[None])[0, cut.warm_up_samples : cut.length_samples], np.float32)


class BundleTrip:
    """A bundle's encode and decode. Raises MusicError where it does not encode its targets from audio."""

    name = "bundle"

    def __init__(self, bundle: Path, backend: str = "auto") -> None:
        opened = Bundle.open(bundle)
        if opened.manifest.context_channels is not None:
            raise MusicError(
                f"{bundle} does not encode its targets from audio (its context has latents of its own): "
                "--codec roll or --codec none"
            )
        self.bundle, self.backend, self.hash = bundle, backend, opened.hash

    def recipe(self, track: Track, stem: str, cut: Excerpt, truth_digest: str) -> str:
        return f"bundle {self.hash} {self.backend} {cut} {truth_digest}"

    def through(self, track: Track, stem: str, cut: Excerpt) -> F32:
        audio = track.stem(stem, cut.start_samples, cut.length_samples)
        return bundle_round_trip(self.bundle, self.backend, audio)[cut.warm_up_samples :]


def bundle_round_trip(bundle: Path, backend: str, audio: F32) -> F32:
    """audio [n] -> [n], through `encode` and `decode`; noise of the decoder from a fixed seed."""
    opened = Bundle.open(bundle, verify=False)
    manifest, geometry = opened.manifest, opened.manifest.geometry
    frame, window = geometry.frame_samples, geometry.window_frames
    margin, taper = window // 4, -(-geometry.decode_taper_samples // frame)
    labels = np.eye(len(manifest.stems), dtype=np.float32)[:1]
    pipeline = open_backend(opened, backend, 1).bind(Binding(labels, manifest.sampler.table(), window))
    inputs, rng = pipeline.inputs, np.random.default_rng(0)
    frames = -(-len(audio) // frame)
    inputs.heard[...] = 1.0
    latents = np.zeros((inputs.source.shape[1], frames + 2 * window), np.float32)  # [:, window] is the first frame's
    kept = window - 2 * margin
    for first in range(0, frames, kept):
        inputs.audio[...] = _cut(audio, (first - margin) * frame, geometry.encode_samples)
        encoded = pipeline.encode()[0]
        latents[:, window + first : window + first + kept] = encoded[:, margin : margin + kept]
    latents[:, window + frames :] = 0.0
    out = np.zeros(frames * frame, np.float32)
    new = window - taper
    for first in range(0, frames, new):
        inputs.source[0] = latents[:, window + first - taper : 2 * window + first - taper]
        inputs.decoder_noise[...] = rng.standard_normal(inputs.decoder_noise.shape, dtype=np.float32)
        decoded = pipeline.cycle(generate=False, decode_first=0, decode_frames=window).audio[0]
        piece = decoded[taper * frame : window * frame]
        out[first * frame : first * frame + len(piece)] = piece[: len(out) - first * frame]
    return out[: len(audio)]


def round_trip(
    choice: str, bundles: list[Path], backend: str = "auto", weights: Path = ROLL_WEIGHTS
) -> RoundTrip | None:
    """None: no anchor. Raises MusicError where the codec asked for is not there."""
    if choice == "none":
        return None
    if choice == "bundle":
        if len(bundles) != 1:
            raise MusicError(f"--codec bundle needs exactly one --bundle, not {len(bundles)}")
        return BundleTrip(bundles[0], backend)
    return RollTrip(weights)


def _cut(audio: F32, start: int, length: int) -> F32:
    """[start, start + length), silence outside."""
    out = np.zeros(length, np.float32)
    first, last = max(start, 0), min(start + length, len(audio))
    if first < last:
        out[first - start : last - start] = audio[first:last]
    return out


@lru_cache(maxsize=1)
def _roll(weights: Path) -> RollCodec:
    import torch

    from anacrusis.train.codec.codec import RollCodec

    torch.set_num_threads(1)
    return RollCodec.load(weights)


@lru_cache(maxsize=1)
def _roll_identity(weights: Path) -> str:
    from anacrusis.train.render import find_soundfont

    code = REPOSITORY / "train" / "anacrusis" / "train" / "codec"
    return files_hash([*code.glob("*.py"), weights, find_soundfont()])
