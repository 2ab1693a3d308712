# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The plans cache: a directory of plans, each with a sidecar and its list of layers.

    denoise-0f3a....plan             the plan (0.5 GB at full size)
    denoise-0f3a....json             its key, size, header, hash and history (`sidecar.py`); written last
    denoise-0f3a....layers.json.gz   its fused layers
    denoise-0f3a....<random>.tmp     being written; without a living builder it is swept
    .locks/denoise-0f3a....lock      an empty file, locked while that plan is built

A plan appears whole or not at all: it is written under another name in the same directory and renamed. On a hit only
its size and its first bytes are looked at; `verify` reads all of it. Any thread; any number of processes.

Not covered: one directory shared between machines over a network (its locks would have to work there).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anacrusis.engine.bundle import sha256
from anacrusis.engine.errors import MissingExtraError, PlanError
from anacrusis.engine.plans.build import Built
from anacrusis.engine.plans.key import PlanKey
from anacrusis.engine.plans.layers import Layer, histogram
from anacrusis.engine.plans.memory import peak_memory_bytes
from anacrusis.engine.plans.progress import PastBuild, expected_seconds
from anacrusis.engine.plans.sidecar import LAYERS_SUFFIX, PLAN_SUFFIX, SIDECAR_SUFFIX, Entry

log = logging.getLogger("anacrusis.plans")

LOCKS, LOCK_SUFFIX, TEMPORARY_SUFFIX = ".locks", ".lock", ".tmp"
HEADER_BYTES = 64  # TensorRT-RTX 1.7.1's engine_header_size: magic, length, version and targets


@dataclass(frozen=True, slots=True)
class Obtained:
    """hit: the plan was there."""

    entry: Entry
    hit: bool


class Store:
    """The plans below `root`, which is made when something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- looking ----------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Every plan with a readable sidecar, oldest first. Does not look at the plans themselves."""
        found = []
        for sidecar in sorted(self.root.glob(f"*{SIDECAR_SUFFIX}")) if self.root.is_dir() else []:
            with suppress(PlanError):
                found.append(Entry.read(sidecar))
        return sorted(found, key=lambda entry: entry.built_at)

    def find(self, key: PlanKey) -> Entry | None:
        """The plan of this key, or None where there is none or it is damaged. Reads its first bytes only."""
        return self._look(key)[0]

    def missing(self, key: PlanKey) -> str:
        """Why there is no plan of this key, in a few words: the field in which the nearest one differs."""
        return key.difference(entry.key for entry in self.entries())

    def damage(self, entry: Entry) -> str | None:
        """What is wrong with a plan by its size and first bytes, or None."""
        try:
            size = entry.path.stat().st_size
            with entry.path.open("rb") as file:
                header = file.read(HEADER_BYTES)
        except OSError as error:
            return f"{entry.path.name} cannot be read ({error.strerror})"
        if size != entry.size_bytes:
            return f"{entry.path.name} has {size} of {entry.size_bytes} bytes"
        return None if header.hex() == entry.header else f"{entry.path.name} does not begin as it was written"

    def verify(self, entry: Entry) -> str | None:
        """As `damage`, and reads the whole plan against its SHA-256."""
        wrong = self.damage(entry)
        if wrong is None and sha256(entry.path) != entry.sha256:
            wrong = f"{entry.path.name} was changed or damaged (SHA-256 differs)"
        return wrong

    def layers(self, entry: Entry) -> tuple[Layer, ...]:
        """The fused layers of a plan, in order of execution. Raises PlanError where their file is not readable."""
        try:
            return tuple(Layer.from_dict(raw) for raw in json.loads(gzip.decompress(entry.layers.read_bytes())))
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            raise PlanError(f"{entry.layers} cannot be read; remove the plan and build it again") from None

    # -- building ---------------------------------------------------------------------------------

    def obtain(
        self,
        key: PlanKey,
        bundle: str,
        make: Callable[[float], Built],
        *,
        on_miss: Callable[[str], None] = lambda why: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Obtained:
        """The plan of this key; built by make(expected seconds) where it is not there.

        bundle: the model's name. on_miss(why): before make. on_wait: another process is building this very plan; what
        it builds is then taken. A damaged plan is one warning and a rebuild. Raises PlanError where the directory
        cannot be written, and what make raises; nothing is left half-written in any case.
        """
        entry, _ = self._look(key)
        if entry is None:
            self._make_root()
            with self._locked(key, on_wait):
                entry, wrong = self._look(key)
                if entry is None:
                    if wrong is not None:
                        log.warning("%s; building it again", wrong)
                    why = "damaged" if wrong is not None else self.missing(key)
                    self._sweep(key)
                    on_miss(why)
                    return Obtained(self._write(key, bundle, make(self._expected_s(key))), hit=False)
        with suppress(OSError):
            os.utime(entry.sidecar)  # when it was last used: what `prune` goes by
        return Obtained(entry, hit=True)

    def _look(self, key: PlanKey) -> tuple[Entry | None, str | None]:
        """(the entry, None), (None, what is damaged) or (None, None)."""
        sidecar = self.root / f"{key.file_stem}{SIDECAR_SUFFIX}"
        if not sidecar.is_file():
            return None, None
        try:
            entry = Entry.read(sidecar)
        except PlanError as error:
            return None, str(error).split(";")[0]
        wrong = self.damage(entry)
        return (None, wrong) if wrong is not None or entry.key != key else (entry, None)

    def _expected_s(self, key: PlanKey) -> float:
        past = [PastBuild(e.key.stage, f"{e.key.onnx} {e.key.precision}", e.build_s) for e in self.entries()]
        return expected_seconds(key.stage, f"{key.onnx} {key.precision}", past)

    def _write(self, key: PlanKey, bundle: str, built: Built) -> Entry:
        path = self.root / f"{key.file_stem}{PLAN_SUFFIX}"
        plan = memoryview(built.plan).cast("B")
        entry = Entry(
            path=path,
            key=key,
            bundle=bundle,
            size_bytes=len(plan),
            sha256=hashlib.sha256(plan).hexdigest(),
            header=bytes(plan[:HEADER_BYTES]).hex(),
            build_s=round(built.seconds, 3),
            peak_memory_bytes=peak_memory_bytes(),
            kernels=len(built.layers),
            built_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            kernel_types=histogram(built.layers),
        )
        layers = json.dumps([layer.to_dict() for layer in built.layers], separators=(",", ":")).encode()
        # A rebuilt plan's old sidecar must not describe the new one for the moment between two renames.
        entry.sidecar.unlink(missing_ok=True)
        self._replace(path, plan)
        self._replace(entry.layers, gzip.compress(layers, mtime=0))
        self._replace(entry.sidecar, entry.to_json().encode())
        return entry

    def _replace(self, path: Path, data: Any) -> None:
        """Write `data` under another name in the same directory, then rename."""
        stem = path.name.split(".", 1)[0]
        temporary: Path | None = None
        try:
            with tempfile.NamedTemporaryFile(
                dir=self.root, prefix=f"{stem}.", suffix=TEMPORARY_SUFFIX, delete=False
            ) as file:
                temporary = Path(file.name)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise PlanError(f"cannot write {path} ({error.strerror}); free space or set ANACRUSIS_CACHE") from None
        finally:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)

    # -- removing ---------------------------------------------------------------------------------

    def remove(self, entry: Entry) -> int:
        """Remove a plan; the bytes that were freed. Raises PlanError where it is in use (Windows)."""
        return self._unlink(entry.files)

    def leftovers(self) -> list[Path]:
        """Files that belong to no entry: temporaries, plans without a sidecar, sidecars that cannot be read."""
        kept = {file for entry in self.entries() for file in entry.files}
        ours = (PLAN_SUFFIX, LAYERS_SUFFIX, SIDECAR_SUFFIX, TEMPORARY_SUFFIX)
        files = self.root.iterdir() if self.root.is_dir() else []
        return sorted(file for file in files if file.name.endswith(ours) and file not in kept)

    def remove_leftover(self, file: Path) -> int | None:
        """Remove one of `leftovers`; the bytes freed, or None where its plan is being built right now."""
        stem = file.name.split(".", 1)[0]
        with self._try_lock(stem) as held:
            return self._unlink((file,)) if held else None

    def _sweep(self, key: PlanKey) -> None:
        """Temporaries of this plan: its lock is held here, so whoever wrote them is dead."""
        for file in self.root.glob(f"{key.file_stem}.*{TEMPORARY_SUFFIX}"):
            self._unlink((file,))

    def _unlink(self, files: tuple[Path, ...]) -> int:
        freed = 0
        for file in files:
            try:
                size = file.stat().st_size
                file.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PlanError(f"{file} cannot be removed ({error.strerror}); stop what uses it first") from None
            freed += size
        return freed

    # -- locks ------------------------------------------------------------------------------------

    def _make_root(self) -> None:
        try:
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlanError(f"cannot make {self.root} ({error.strerror}); set ANACRUSIS_CACHE") from None

    @contextmanager
    def _locked(self, key: PlanKey, on_wait: Callable[[], None]) -> Iterator[None]:
        filelock = _filelock()
        lock = filelock.FileLock(self.root / LOCKS / f"{key.file_stem}{LOCK_SUFFIX}")
        try:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                on_wait()
                lock.acquire()
        except OSError as error:
            raise PlanError(f"cannot lock {self.root} ({error.strerror}); set ANACRUSIS_CACHE") from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _try_lock(self, stem: str) -> Iterator[bool]:
        filelock = _filelock()
        lock = filelock.FileLock(self.root / LOCKS / f"{stem}{LOCK_SUFFIX}")
        try:
            lock.acquire(timeout=0)
        except (filelock.Timeout, OSError):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def _filelock() -> Any:
    try:
        import filelock
    except ImportError:
        raise MissingExtraError("filelock is not installed (pip install 'anacrusis[tensorrt]')") from None
    return filelock
