# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Calibrations that were not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anacrusis.calib.calibration import STAGES, Calibration, StepResult
from anacrusis.calib.machine import Machine
from anacrusis.calib.tail import Tail, summarise
from anacrusis.engine.window import Geometry

MACHINE = Machine("Linux x86_64", "a processor", 8, "")
GEOMETRY = Geometry(4096, 64, 1536, 1536)
RATE_HZ = 44_100


def exactly(ms: float) -> Tail:
    """Every repeat took this long."""
    return summarise([ms] * 8)


def step_result(step_frames: int, compute_ms: float, transfer_ms: float = 0.0, wake_ms: float = 0.0) -> StepResult:
    total = exactly(compute_ms + transfer_ms + wake_ms)
    stages = dict.fromkeys(STAGES, compute_ms / 4)
    return StepResult(step_frames, 1, stages, exactly(compute_ms), exactly(transfer_ms), exactly(wake_ms), total)


def calibration(steps: Mapping[int, float], transfer_ms: float = 0.0, **other: Any) -> Calibration:
    """steps: frames -> milliseconds of a cycle."""
    values: dict[str, Any] = {
        "machine": MACHINE,
        "bundle": "some",
        "bundle_sha256": "ab" * 32,
        "rung": "onnxruntime",
        "threads": 1,
        "stems": 1,
        "nfe": 2,
        "bundle_nfe": 2,
        "client": "this machine",
        "rate_hz": RATE_HZ,
        "geometry": GEOMETRY,
        "trained_masked_frames": (0, 16, 32),
        "fade_samples": 882,
        "package": 4410,
        "interface_ms": 0.0,
        "quantile": 0.999,
        "confidence": 0.95,
        "steps": tuple(step_result(frames, ms, transfer_ms) for frames, ms in steps.items()),
        "measured_at": "2026-01-01T00:00:00.000+00:00",
        "version": "0.1.0",
    }
    return Calibration(**{**values, **other})
