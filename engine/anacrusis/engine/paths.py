# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Every path the runtime looks for by itself. One environment variable: ANACRUSIS_BUNDLE."""

from __future__ import annotations

import os
from pathlib import Path

from anacrusis.engine.errors import BundleError

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
