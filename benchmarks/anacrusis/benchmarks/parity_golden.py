# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A golden set: a directory of arrays that the original networks produced, and how close we must come to them.

The directory holds a `manifest.json` (size and SHA-256 of every file), `.npz` arrays, weights and checkpoints.
Its README describes every array. Case and run names, sizes, seeds and counts are read from the arrays' names and
shapes, so another set of the same layout works. Nothing in it is ever unpickled.

Not covered: sets of another layout; a name no stage knows is reported, never skipped in silence.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anacrusis.engine.bundle import sha256
from anacrusis.engine.errors import AnacrusisError

MANIFEST = "manifest.json"

Array = NDArray[Any]
F32 = NDArray[np.float32]
# What an error may grow with. "fixed": nothing. "peak": the array's largest magnitude, if above 1; "rows": the same
# for each entry of the first axis. "element": each value's own magnitude. "differs": not an error but a distance,
# which must be at least the limit.
Scale = Literal["fixed", "peak", "rows", "element", "differs"]


class ParityError(AnacrusisError):
    """Not a golden set, a damaged one, or a stage or backend that parity does not know."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest error allowed, and (if given) the largest root mean square. `floor` joins an "element" limit."""

    max_abs: float
    rms: float | None = None
    scale: Scale = "fixed"
    floor: float = 0.0

    def limits(self, reference: Array) -> Array:
        """The allowed error, broadcastable to `reference`."""
        magnitude = np.abs(reference.astype(np.float64))
        if self.scale == "element":
            return self.floor + self.max_abs * magnitude
        if self.scale == "peak" and magnitude.size:
            return np.asarray(self.max_abs * max(1.0, float(magnitude.max())))
        if self.scale == "rows" and magnitude.size:
            peak: Array = magnitude.max(axis=tuple(range(1, magnitude.ndim)), keepdims=True)
            return self.max_abs * np.maximum(1.0, peak)
        return np.asarray(self.max_abs)


# Every tolerance, by the quantity it is for. README: the golden set's, "How to check, and what accuracy to expect".
TOLERANCES: dict[str, Tolerance] = {
    # README: "Suggested float32 limits: 1e-4 for networks and samplers".
    "block": Tolerance(1e-4),
    "network output": Tolerance(1e-4),
    "network tap": Tolerance(1e-4),
    "denoised": Tolerance(1e-4),
    "sampler output": Tolerance(1e-4),
    # The same limit, relative where noise of sigma 50 makes the state itself that large.
    "sampler trace": Tolerance(1e-4, scale="rows"),
    # "as float32 computed by the original code": rho = 9 amplifies the rounding of a level (6e-8) up to twentyfold.
    "schedule": Tolerance(2e-6, scale="element", floor=1e-9),
    # The original takes sigma_down as a difference of float32 squares: 4.4604e-7 where 4.4664e-7 is exact.
    "step constant": Tolerance(1e-5, scale="element", floor=1e-9),
    # README: "2e-3 for encoder latents (1e-4 rms)".
    "latent": Tolerance(2e-3, rms=1e-4),
    # Taps lie before the encoder's output, so its limit, relative where features are larger than latents.
    "encoder tap": Tolerance(2e-3, scale="peak"),
    # |X|^.65 amplifies float32 rounding in near-silent bins: a plain float32 FFT is 1.9e-4 from float64 here.
    "stft": Tolerance(2e-3),
    # Sums over those bins: a float64 FFT is 8e-6 from them.
    "stft sum": Tolerance(1e-4, scale="element"),
    # README: "1e-4 for decoder audio".
    "audio": Tolerance(1e-4),
    # The decoder's inside, by the same limit; spectra relative to their largest value.
    "decoder tap": Tolerance(1e-4),
    "spectrum": Tolerance(1e-4, scale="peak"),
    # A few float32 operations (7e-8 each) on the way to three scalars.
    "scalar": Tolerance(1e-6, scale="element"),
    # README: "3e-2 max / 3e-3 rms for end-to-end latents, 1e-3 for end-to-end audio". Context latents too: "Near-silent
    # context buffers (case C, first cycles) amplify float32 rounding in the encoder ..., hence the wider end-to-end
    # limits".
    "cycle latent": Tolerance(3e-2, rms=3e-3),
    "cycle audio": Tolerance(1e-3),
    # README: "server cycles with the golden context latent fed in: 8e-5", so the limits of the stages themselves.
    "golden context, latent": Tolerance(1e-3, rms=1e-4),
    "golden context, audio": Tolerance(1e-4),
    # Not these numbers but `widened`, only where a limit above was missed.
    "ill-conditioned": Tolerance(0.0),
    # Sums of up to 264,600 float32 magnitudes: rounding of the terms only.
    "abs sum": Tolerance(1e-5, scale="element", floor=1e-9),
    # Integers, labels and text: the error counts entries that differ.
    "exact": Tolerance(0.5),
    # Another network's output is whole units away; 100 times the limit for networks cannot be rounding.
    "other network": Tolerance(1e-2, scale="differs"),
}


# Two float32 transforms round independently, each about as far from exact as the other.
WIDENED = 3.0


def widened(pairs: Iterable[tuple[Array, Array]]) -> Tolerance:
    """WIDENED times the worst distance in pairs (float32, float64) of one quantity: its conditioning, golden-free."""
    errors = [np.abs(a.astype(np.float64) - b.astype(np.float64)) for a, b in pairs]
    worst = max(float(error.max()) for error in errors)
    return Tolerance(WIDENED * worst, rms=WIDENED * max(float(np.sqrt(np.mean(error**2))) for error in errors))


@dataclass(frozen=True, slots=True)
class Check:
    """One golden array against ours. limit: what max_abs was held to where it came closest; ratio: error / limit.

    ratio is infinite for a wrong shape and for values that are not finite. rms is None for exact quantities.
    """

    stage: str
    backend: str
    quantity: str
    array: str
    max_abs: float
    rms: float
    limit: float
    rms_limit: float | None
    ratio: float

    @property
    def passed(self) -> bool:
        return self.ratio <= 1.0


def compare(
    stage: str, backend: str, quantity: str, array: str, got: ArrayLike, want: Array, tolerance: Tolerance
) -> Check:
    """The verdict on one array. Any thread."""
    have, rms_limit = np.asarray(got), tolerance.rms

    def verdict(max_abs: float, rms: float, limit: float, ratio: float) -> Check:
        return Check(stage, backend, quantity, array, max_abs, rms, limit, rms_limit, ratio)

    failed = verdict(math.inf, math.inf, tolerance.max_abs, math.inf)
    if have.shape != want.shape:
        return failed
    if quantity == "exact":
        differing = float((have != want).sum())
        return verdict(differing, 0.0, tolerance.max_abs, differing / tolerance.max_abs)
    error = np.abs(have.astype(np.float64) - want.astype(np.float64))
    if not error.size or not np.isfinite(error).all():
        return failed
    max_abs, rms = float(error.max()), float(np.sqrt(np.mean(error**2)))
    if tolerance.scale == "differs":
        return verdict(max_abs, rms, tolerance.max_abs, tolerance.max_abs / max_abs if max_abs else math.inf)
    limits = np.broadcast_to(tolerance.limits(want), error.shape)
    # A limit of 0 (a relative one where the reference is 0) allows no error.
    ratios = np.divide(error, limits, out=np.where(error > 0, np.inf, 0.0), where=limits > 0)
    worst = int(ratios.argmax())
    ratio = float(ratios.flat[worst])
    if rms_limit is not None:
        ratio = max(ratio, rms / rms_limit if rms_limit else math.inf)
    return verdict(max_abs, rms, float(limits.flat[worst]), ratio)


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


class Recorder:
    """Collects the verdicts of one stage on one backend."""

    def __init__(self, stage: str, backend: str, add: Callable[[Check], None]) -> None:
        self._stage, self._backend, self._add = stage, backend, add

    def check(self, quantity: str, arrays: GoldenArrays, name: str, got: ArrayLike) -> None:
        """Hold `got` to an array of the set."""
        self.record(quantity, f"{arrays.name}:{name}", got, arrays[name])

    def record(
        self, quantity: str, label: str, got: ArrayLike, want: ArrayLike, tolerance: Tolerance | None = None
    ) -> None:
        """Hold `got` to what the set says, with the quantity's tolerance unless one is given."""
        self._add(self._compared(quantity, label, got, want, tolerance))

    def conditioned(
        self, quantity: str, arrays: GoldenArrays, name: str, got: ArrayLike, tolerance: Callable[[], Tolerance]
    ) -> None:
        """As `check`, but what misses its limit is held to `tolerance()`, and listed apart."""
        if self._compared(quantity, "", got, arrays[name], None).passed:
            self.check(quantity, arrays, name, got)
        else:
            self.record("ill-conditioned", f"{arrays.name}:{name}", got, arrays[name], tolerance())

    def _compared(
        self, quantity: str, label: str, got: ArrayLike, want: ArrayLike, tolerance: Tolerance | None
    ) -> Check:
        chosen = TOLERANCES[quantity] if tolerance is None else tolerance
        return compare(self._stage, self._backend, quantity, label, got, np.asarray(want), chosen)


def golden_noise(seed: int, shape: tuple[int, ...]) -> F32:
    """The set's noise recipe: sums of 8 bytes of a Mersenne twister, centred and scaled; the same on every machine."""
    count = int(np.prod(shape))
    octets = np.random.RandomState(seed).bytes(8 * count)
    sums = np.frombuffer(octets, np.uint8).reshape(count, 8).sum(axis=1, dtype=np.int64)
    noise: F32 = ((sums - 1020) / 209.0).astype(np.float32).reshape(shape)
    return noise
