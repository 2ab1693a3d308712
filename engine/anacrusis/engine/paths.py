# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Every path the runtime looks for by itself. Two environment variables: ANACRUSIS_BUNDLE and ANACRUSIS_CACHE."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from anacrusis.engine.errors import BundleError

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED_BUNDLE = REPOSITORY / "bundles" / "starter-cd"
TINY_BUNDLE = REPOSITORY / "bundles" / "tiny-cd"  # the released networks' topology, small and untrained
SHIPPED_CLIP = REPOSITORY / "assets" / "clip"


def default_bundle() -> Path:
    """ANACRUSIS_BUNDLE, else the bundle shipped in the repository. Raises BundleError where neither is there."""
    named = os.environ.get("ANACRUSIS_BUNDLE", "")
    if named:
        return Path(named)
    if SHIPPED_BUNDLE.is_dir():
        return SHIPPED_BUNDLE
    raise BundleError("no bundle given: use --bundle DIR or set ANACRUSIS_BUNDLE (the repository ships one)")


def cache_directory(cache: Path | None = None) -> Path:
    """What can be made again: `cache`, else ANACRUSIS_CACHE, else the user's cache directory. Makes nothing."""
    root = cache or Path(os.environ.get("ANACRUSIS_CACHE", ""))
    return root if root != Path() else platformdirs.user_cache_path("anacrusis", appauthor=False)


def plans_directory(cache: Path | None = None) -> Path:
    """Where TensorRT plans are kept, in `cache_directory`."""
    return cache_directory(cache) / "plans"


def calibration_file(cache: Path | None = None) -> Path:
    """Where `anacrusis calibrate` keeps what it measured, in `cache_directory`."""
    return cache_directory(cache) / "calibration.json"
