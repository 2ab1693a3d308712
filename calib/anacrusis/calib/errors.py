# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The room's own error."""

from __future__ import annotations

from anacrusis.engine.errors import AnacrusisError


class CalibrationError(AnacrusisError):
    """A calibration that cannot be measured, read or used; the text says what to do next."""
