# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""An ear is a set of measures over features; features are kept on disk, so that no sound is listened to twice.

A feature (chroma, beats, an embedding, ...) is a function of the sound alone and takes most of the time; scores are
arithmetic on the features of a signal, of its context and of the true stem. So a second bundle costs its own sounds
only, and another rule for a score costs nothing.

    features/HASH.npy  of the samples, the feature's name and what the ear says it depends on (its code, its judges'
                       versions): a changed judge or a song rendered again is heard again, not taken for what it was
    made/HASH          of a recipe: which samples it gave last time, so that a sound is not made again to be hashed

Not covered: a recipe's own code. Whoever changes the engine and not the bundle gives another --out, or --fresh.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.music_clips import F32, Known

Array = NDArray[Any]
Features = Mapping[str, Array]
Role = Literal["stem", "context"]

EMBEDDING: Final = "embedding"  # the feature that FAD is made of, [patches, dimensions]


@dataclass(frozen=True, slots=True)
class Measure:
    """One score. sign: 1 if more is better, -1 if less is, 0 if it only describes. stems: where it is judged.

    required: on these stems the run's check asks that it tells ceiling from floor. ranks: on these also late from both,
    and the codec from the floor. chance: what a signal that knows nothing scores on average, if that is known; a stem
    in another key is below it. relative: a distance from the true stem, so the ceiling is 0 by definition and no pair
    with it is a test.
    """

    name: str
    label: str
    sign: int
    stems: tuple[str, ...]
    required: tuple[str, ...] = ()
    ranks: tuple[str, ...] = ()
    chance: float | None = None
    relative: bool = False


class Ear(Protocol):
    """Pure and deterministic; passes to other processes by pickle, so it holds nothing heavy."""

    @property
    def measures(self) -> tuple[Measure, ...]: ...

    def require(self) -> None:
        """Raise AnacrusisError where something that it needs is not installed: better before a run than within it."""

    def identity(self, feature: str) -> str:
        """All that the feature depends on but the sound."""

    def needs(self, stem: str, role: Role) -> tuple[str, ...]:
        """Names of the features that `judge` asks for."""

    def feature(self, name: str, audio: F32) -> Array:
        """Of audio [n], mono, 44.1 kHz."""

    def judge(self, known: Known, heard: Features, context: Features, truth: Features) -> dict[str, float]:
        """Scores by measure, nan where one does not exist. heard: of the signal; truth: of the true stem."""

    def distance(self, embedded: F32, reference: F32) -> float:
        """FAD of two sets of patches [n, dimensions]."""


class Sound:
    """Samples that are made when they are needed. recipe: all that they depend on; None: always made."""

    def __init__(self, make: Callable[[], F32], recipe: str | None = None) -> None:
        self._make, self.recipe = make, recipe
        self._audio: F32 | None = None

    @property
    def audio(self) -> F32:
        if self._audio is None:
            self._audio = self._make()
        return self._audio


class Memory:
    """Features of sounds, computed once. Two processes may share a directory: files are put in place whole."""

    def __init__(self, ear: Ear, directory: Path | None, *, fresh: bool = False) -> None:
        """directory None: nothing is kept beyond this object. fresh: what is there is written over, not read."""
        self.ear, self.directory, self.fresh = ear, directory, fresh
        self.computed = self.found = 0

    def digest(self, sound: Sound) -> str:
        """SHA-256 of its samples; of a known recipe without making them."""
        if sound.recipe is None:
            return content_hash(sound.audio)
        file = None if self.directory is None else self.directory / "made" / text_hash(sound.recipe)
        if file is not None and not self.fresh and file.is_file():
            kept = file.read_text(encoding="ascii", errors="replace").strip()
            if len(kept) == 64:
                return kept
        digest = content_hash(sound.audio)
        if file is not None:
            _put(file, digest.encode("ascii"))
        return digest

    def features(self, sound: Sound, names: tuple[str, ...]) -> dict[str, Array]:
        """By name. Raises what the ear raises."""
        digest = self.digest(sound)
        return {name: self._feature(sound, digest, name) for name in names}

    def _feature(self, sound: Sound, digest: str, name: str) -> Array:
        file = None
        if self.directory is not None:
            key = text_hash(f"{digest} {name} {self.ear.identity(name)}")
            file = self.directory / "features" / f"{key}.npy"
            kept = None if self.fresh else _load(file)
            if kept is not None:
                self.found += 1
                return kept
        self.computed += 1
        array = np.asarray(self.ear.feature(name, sound.audio))
        if file is not None:
            _put(file, array)
        return array


def _load(file: Path) -> Array | None:
    try:
        array: Array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or damaged: heard again
    return array


def _put(file: Path, content: bytes | Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    passing = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    with passing.open("wb") as out:
        if isinstance(content, bytes):
            out.write(content)
        else:
            np.save(out, content, allow_pickle=False)
    passing.replace(file)


def content_hash(audio: F32) -> str:
    """SHA-256 of float32 samples."""
    return hashlib.sha256(np.ascontiguousarray(audio, "<f4").tobytes()).hexdigest()


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files_hash(files: list[Path]) -> str:
    """SHA-256 over names and contents, in the order of names."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda path: path.name):
        total.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
