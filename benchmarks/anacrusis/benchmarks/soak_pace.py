# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""--step and --lead of a soak: frames, or what `anacrusis calibrate` found for this machine, bundle and rung.

Not covered: a pace in samples or as r and w, which is the plan's own business.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError

if TYPE_CHECKING:
    from anacrusis.calib.calibration import Calibration


def resolve(options: argparse.Namespace) -> str | None:
    """--step and --lead into frames in `options`; why that pace, or None where none of the two was given.

    A step without a lead looks one step ahead. Raises AnacrusisError: where nothing was calibrated, with what to do.
    """
    step, lead = options.step, options.lead
    if step is None and lead is None:
        return None
    if options.step_frames is not None or options.lead_frames is not None:
        raise AnacrusisError("give the pace as --step and --lead, or as --step-frames and --lead-frames")
    if "auto" not in (step, lead):
        if step is None:
            raise AnacrusisError("--lead without --step; give both")
        options.step_frames, options.lead_frames = step, step if lead is None else lead
        return "as given"
    from anacrusis.calib.choice import complete

    found = calibrated(options)
    step_frames, lead_frames = (None if given == "auto" else given for given in (step, lead))
    if step_frames is not None and lead is None:
        lead_frames = step_frames
    choice = complete(found.candidates(), found.recommended(), step_frames, lead_frames)
    options.step_frames, options.lead_frames = choice.step_frames, choice.lead_frames
    return f"calibrated {found.measured_at}: {choice.why}"


def calibrated(options: argparse.Namespace) -> Calibration:
    """What `anacrusis calibrate` found for the options' bundle, stems, backend and threads. Raises CalibrationError."""
    from anacrusis.calib.machine import this_machine
    from anacrusis.calib.store import Store
    from anacrusis.engine.paths import calibration_file

    bundle = Bundle.open(options.bundle, verify=False)
    return Store(calibration_file()).find(
        this_machine(),
        bundle.hash,
        options.stems,
        bundle=bundle.manifest.name,
        rung=None if options.backend == "auto" else options.backend,
        threads=options.threads,
    )


def frames_or_auto(text: str) -> int | str:
    """ "auto", or a number of frames. Raises ValueError, as argparse wants it."""
    return text if text == "auto" else int(text)
