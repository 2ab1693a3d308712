# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Every path the runtime looks for by itself. Two environment variables: ANACRUSIS_BUNDLE and ANACRUSIS_CACHE."""

from __future__ import annotations

import os
from pathlib import Path

from anacrusis.engine.errors import BundleError, MissingExtraError

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED_BUNDLE = REPOSITORY / "bundles" / "tiny-cd"
SHIPPED_CLIP = REPOSITORY / "assets" / "clip"


def default_bundle() -> Path:
    """ANACRUSIS_BUNDLE, else the bundle shipped in the repository. Raises BundleError where neither is there."""
    named = os.environ.get("ANACRUSIS_BUNDLE", "")
    if named:
        return Path(named)
    if SHIPPED_BUNDLE.is_dir():
        return SHIPPED_BUNDLE
    raise BundleError("no bundle given: use --bundle DIR or set ANACRUSIS_BUNDLE (the repository ships one)")


def plans_directory(cache: Path | None = None) -> Path:
    """Where TensorRT plans are kept: below `cache`, else below ANACRUSIS_CACHE, else below the user's cache directory.

    Makes nothing. Raises MissingExtraError where platformdirs is needed and not installed.
    """
    root = cache or Path(os.environ.get("ANACRUSIS_CACHE", ""))
    if root != Path():
        return root / "plans"
    try:
        import platformdirs
    except ImportError:
        raise MissingExtraError(
            "platformdirs is not installed (pip install 'anacrusis[tensorrt]'); or set ANACRUSIS_CACHE"
        ) from None
    return platformdirs.user_cache_path("anacrusis", appauthor=False) / "plans"
