# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Bundle in, one cycle of audio out. Knows no socket, no file of audio, no plot."""

from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.cycle import Step
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.window import Geometry, Pace

__all__ = ["AnacrusisError", "Bundle", "Engine", "Geometry", "Manifest", "Pace", "Step"]
