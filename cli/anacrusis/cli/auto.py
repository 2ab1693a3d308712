# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`--step auto --lead auto`: what `anacrusis calibrate` measured, for the commands that play."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from anacrusis.engine.errors import GeometryError

if TYPE_CHECKING:
    from anacrusis.performer.connection import Connection
    from anacrusis.performer.plan import Plan

AUTO = "auto"
HERE = "this machine"  # as `anacrusis calibrate` names a client of its own
ASK_S = 10.0  # for a server that is still starting


@dataclass(frozen=True, slots=True)
class Playing:
    """What is going to be played, as far as it is known.

    rung, threads, client: None where the calibration may be of any. nfe None: the bundle's own.
    """

    bundle: str
    bundle_sha256: str
    stems: int
    rung: str | None = None
    threads: int | None = None
    nfe: int | None = None
    client: str | None = HERE


def add_auto_options(parser: Any) -> None:
    text = "frames, or auto: what `anacrusis calibrate` measured here (without it 16)"
    parser.add_argument("--step", type=_frames, metavar="auto|FRAMES", help=f"step in {text}")
    parser.add_argument("--lead", type=_frames, metavar="auto|FRAMES", help=f"lead in {text}")


def _frames(text: str) -> str | int:
    if text == AUTO:
        return AUTO
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number of frames") from None


def wants_calibration(options: argparse.Namespace) -> bool:
    return AUTO in (options.step, options.lead)


def auto_pace(options: argparse.Namespace, playing: Playing | None, why_not: str = "") -> tuple[int | None, int | None]:
    """(step, lead) in frames of --step and --lead; None for what was not given and is not `auto`.

    playing None: nobody knows, because of why_not. Says on stderr what was taken. Without a calibration one line says
    why, and the pace is the released one. Raises CalibrationError where what is given and what was measured disagree.
    """
    given = {name: value for name in ("step", "lead") if (value := getattr(options, name)) is not None}
    for name in given:
        if any(getattr(options, f"{name}_{unit}", None) is not None for unit in ("frames", "samples")):
            raise GeometryError(f"give the {name} once, not as --{name} and --{name}-frames or --{name}-samples")
    step = given.get("step", getattr(options, "step_frames", None))
    lead = given.get("lead", getattr(options, "lead_frames", None))
    if AUTO not in (step, lead):
        return step, lead
    for name, value in (("step", step), ("lead", lead)):
        if value is None and any(getattr(options, other, None) is not None for other in ("r", f"{name}_samples")):
            raise GeometryError(f"auto counts in frames: give the {name} as --{name} or --{name}-frames")
    from anacrusis.calib.choice import DEFAULT_FRAMES, complete
    from anacrusis.calib.errors import CalibrationError

    fixed_step, fixed_lead = (None if value == AUTO else value for value in (step, lead))
    try:
        if playing is None:
            raise CalibrationError(why_not)
        measured = _find(playing)
    except CalibrationError as error:
        step = fixed_step or DEFAULT_FRAMES
        lead = fixed_lead if fixed_lead is not None else max(step, DEFAULT_FRAMES)
        print(f"no calibration: {error}; playing at step {step}, lead {lead} frames", file=sys.stderr)
        return step, lead
    chosen = complete(measured.candidates(), measured.recommended(), fixed_step, fixed_lead)
    print(f"calibrated: step {chosen.step_frames}, lead {chosen.lead_frames} frames ({chosen.why})", file=sys.stderr)
    return chosen.step_frames, chosen.lead_frames


def plan_with_server(options: argparse.Namespace, plan: Plan, connection: Connection) -> Plan:
    """`plan` at the pace that this machine was calibrated for with the server's bundle, where it is on this machine."""
    from anacrusis.performer.ask import ask_server
    from anacrusis.server.wire.sockets import is_loopback

    server = ask_server(connection, plan.token, min(plan.wait_s, ASK_S)) if plan.extension else None
    if server is None:
        print("no calibration: the server does not say what it plays; playing as given, else r = .25", file=sys.stderr)
        return plan
    why_not = ""
    playing: Playing | None = Playing(server.bundle, server.bundle_sha256, len(plan.stems))
    if not is_loopback(connection.server[0]):
        playing, why_not = None, "the server is another machine; run `anacrusis calibrate` there and give what it says"
    step, lead = auto_pace(options, playing, why_not)
    return replace(plan, step_frames=step, lead_frames=lead)


def step_costs(playing: Playing) -> list[tuple[int, float]]:
    """(samples of a step, median seconds of its cycle) of every step measured; [] without a calibration. For pacing."""
    from anacrusis.calib.errors import CalibrationError

    try:
        one = _find(playing)
    except CalibrationError:
        return []
    frame = one.geometry.frame_samples
    return [(step.step_frames * frame, step.compute.p50_ms / 1000) for step in one.steps if one.is_real_time(step)]


def _find(playing: Playing) -> Any:
    from anacrusis.calib.machine import this_machine
    from anacrusis.calib.store import Store
    from anacrusis.engine.paths import calibration_file

    return Store(calibration_file()).find(
        this_machine(),
        playing.bundle_sha256,
        playing.stems,
        bundle=playing.bundle,
        rung=playing.rung,
        threads=playing.threads,
        nfe=playing.nfe,
        client=playing.client,
    )
