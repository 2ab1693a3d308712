# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where what was trained lies in a checkout."""

from __future__ import annotations

from typing import Final

from anacrusis.engine.paths import REPOSITORY

ROLL_WEIGHTS: Final = REPOSITORY / "assets" / "codec" / "roll.safetensors"
SPECTRAL_WEIGHTS: Final = REPOSITORY / "assets" / "codec" / "spectral.safetensors"
