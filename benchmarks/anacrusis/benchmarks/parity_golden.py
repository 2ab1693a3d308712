# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A golden set: a directory of arrays that the original networks produced.

The directory holds a `manifest.json` (size and SHA-256 of every file), `.npz` arrays, weights and checkpoints.
Its README describes every array. Case and run names, sizes, seeds and counts are read from the arrays' names and
shapes, so another set of the same layout works. Nothing in it is ever unpickled.

Not covered: sets of another layout; a name no stage knows is reported, never skipped in silence.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.bundle import sha256
from anacrusis.engine.errors import AnacrusisError

MANIFEST = "manifest.json"

Array = NDArray[Any]
F32 = NDArray[np.float32]


class ParityError(AnacrusisError):
    """Not a golden set, a damaged one, or a stage or backend that parity does not know."""


def chosen(
    what: str, asked: Iterable[str], known: tuple[str, ...], error: type[AnacrusisError] = ParityError
) -> tuple[str, ...]:
    """The asked-for ones in the order they run. Raises `error` for one that is not known, and for none."""
    asked = tuple(asked)
    for name in asked:
        if name not in known:
            raise error(f"unknown {what} {name!r}; choose from {', '.join(known)}")
    if not asked:
        raise error(f"no {what} asked for; choose from {', '.join(known)}")
    return tuple(name for name in known if name in asked)


class GoldenArrays(Mapping[str, Array]):
    """The arrays of one `.npz`, read when asked for; remembers which were."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.used: set[str] = set()
        try:
            self._file = np.load(path, allow_pickle=False)
            self._names = tuple(self._file.files)
        except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
            raise ParityError(f"{path} is not an .npz of arrays ({error}); get the golden set again") from None

    def __getitem__(self, name: str) -> Array:
        """Raises ParityError for an array that the file lacks."""
        if name not in self._names:
            raise ParityError(f"{self.name} lacks the array {name}: not a golden set of this layout")
        self.used.add(name)
        try:
            array: Array = self._file[name]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ParityError(f"{self.name}: the array {name} cannot be read ({error})") from None
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def groups(self, leaf: str) -> list[str]:
        """Prefixes p for which p/leaf is an array, in the file's order."""
        return [name.removesuffix(f"/{leaf}") for name in self if name.endswith(f"/{leaf}")]

    def number(self, name: str) -> int:
        return int(self[name])

    @property
    def unused(self) -> list[str]:
        return [f"{self.name}:{name}" for name in self if name not in self.used]


class Golden:
    """An opened, verified golden set."""

    def __init__(self, path: Path, files: Collection[str]) -> None:
        self.path, self.files = path, frozenset(files)
        self._opened: dict[str, GoldenArrays] = {}

    @classmethod
    def open(cls, path: str | Path) -> Golden:
        """Read every file once and compare its hash. Raises ParityError, in one line, saying which file differs."""
        path = Path(path)
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise ParityError(f"{path} is not a golden set: it has no {MANIFEST}; give the directory that holds it")
        try:
            entries = json.loads(manifest.read_text(encoding="utf-8"))
            hashes = {str(name): str(entry["sha256"]) for name, entry in entries.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ParityError(f"{manifest} is not a golden set's: it does not give a sha256 for every file") from None
        for name, digest in hashes.items():
            file = path / name
            if Path(name).name != name or not file.is_file():
                raise ParityError(f"{path} lacks {name}, which its {MANIFEST} lists; get the golden set again")
            if sha256(file) != digest:
                raise ParityError(f"{file} was changed or damaged (SHA-256 differs from {MANIFEST}); get it again")
        return cls(path, hashes)

    def require(self, files: Collection[str], stage: str) -> None:
        """Raise ParityError where the set lacks a file of a stage."""
        lacking = [name for name in files if name not in self.files]
        if lacking:
            raise ParityError(f"{self.path} lacks {lacking[0]} of stage {stage}: not a golden set of this layout")

    def file(self, name: str) -> Path:
        return self.path / name

    def arrays(self, name: str) -> GoldenArrays:
        if name not in self._opened:
            self._opened[name] = GoldenArrays(self.path / name)
        return self._opened[name]

    def unused(self) -> list[str]:
        """Arrays of the opened files that nothing read: neither compared nor an input."""
        return [name for arrays in self._opened.values() for name in arrays.unused]


def golden_noise(seed: int, shape: tuple[int, ...]) -> F32:
    """The set's noise recipe: sums of 8 bytes of a Mersenne twister, centred and scaled; the same on every machine."""
    count = int(np.prod(shape))
    octets = np.random.RandomState(seed).bytes(8 * count)
    sums = np.frombuffer(octets, np.uint8).reshape(count, 8).sum(axis=1, dtype=np.int64)
    noise: F32 = ((sums - 1020) / 209.0).astype(np.float32).reshape(shape)
    return noise
