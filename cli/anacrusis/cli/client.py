# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis client IN --stem bass --out DIR`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from anacrusis.cli.auto import add_auto_options, auto_pace, plan_with_server, wants_calibration
from anacrusis.cli.common import add_pace_options, step_bar

DESCRIPTION = """Play a recording in real time to a server, this project's or the released one, and write what a
listener heard: context.wav, a WAV per stem, mix.wav, report.json, run.png. A recording with as many channels as the
model has stems is taken as the stems; any other is mixed to mono and sent as the context. Exit codes: 0 it ran, 2 bad
input, 130 interrupted (what was heard until then is written)."""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("client", help="perform a recording with a running server", description=DESCRIPTION)
    parser.add_argument("input", type=Path, metavar="IN", help="recording of the band (WAV, FLAC, AIFF)")
    parser.add_argument("--out", type=Path, default=Path("out/client"), metavar="DIR", help="default: out/client")
    parser.add_argument(
        "--stem", action="append", metavar="STEM", help="stem to ask for; repeat for several (default bass)"
    )
    parser.add_argument("--seconds", type=float, help="play this long (default: the recording once)")
    parser.add_argument("--loop", action="store_true", help="repeat the recording to fill --seconds")
    wire = parser.add_argument_group("wire")
    wire.add_argument("--server-ip", default="127.0.0.1")
    wire.add_argument("--serverport", type=int, default=7000)
    wire.add_argument("--clientport", type=int, default=8000, help="port to listen on (0: any free one)")
    wire.add_argument("--package-size", type=int, default=4410, metavar="P", help="floats a datagram (default 4410)")
    wire.add_argument("--token", default="", help="for a server that asks for one")
    wire.add_argument("--no-extension", action="store_true", help="say no hello: behave as the released external")
    wire.add_argument("--wait-s", type=float, default=120.0, help="for the server's model (default 120)")
    wire.add_argument("--pause-s", type=float, default=2.0, help="the same for a released server (default 2)")
    text = "as the paper's r and w; frames, and a lead that is not w steps, need this project's server"
    add_auto_options(add_pace_options(parser, text, "the server's, else 264600"))
    parser.add_argument("--fade", type=float, default=0.02, help="crossfade in seconds (default 0.02)")
    parser.add_argument("--json", action="store_true", help="last line of stdout: the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from anacrusis.performer.connection import Connection
    from anacrusis.performer.files import read_recording
    from anacrusis.performer.live import perform
    from anacrusis.performer.live_report import report, summary
    from anacrusis.performer.live_write import prepare, write_take
    from anacrusis.performer.plan import Plan

    calibrated = wants_calibration(options)
    step_frames, lead_frames = (None, None) if calibrated else auto_pace(options, None)
    plan = Plan(
        stems=tuple(options.stem or ["bass"]),
        r=0.25 if options.r is None else options.r,
        w=options.w,
        step_frames=step_frames,
        step_samples=options.step_samples,
        lead_frames=lead_frames,
        lead_samples=options.lead_samples,
        window_samples=options.window_samples,
        fade=options.fade,
        package=options.package_size,
        token=options.token,
        seconds=options.seconds,
        loop=options.loop,
        extension=not options.no_extension,
        wait_s=options.wait_s,
        pause_s=options.pause_s,
    )
    plan.validate()
    recording = read_recording(options.input)
    with Connection(options.server_ip, options.serverport, options.clientport) as connection:
        if calibrated:
            plan = plan_with_server(options, plan, connection)
        prepare(options.out)
        with step_bar("client") as (on_wait, on_step):
            take = perform(recording, connection, plan, on_wait=on_wait, on_step=on_step)
        sent_to = ":".join(str(part) for part in connection.server)
        result = {**report(take), "sent_to": sent_to, "send_errors": connection.send_errors}
    written = write_take(options.out, take, result, f"{options.input.name} with {sent_to}: {summary(take)}")
    print(summary(take))
    if take.steps and all(step.silent for step in take.steps):
        print(
            f"nothing came back from {sent_to}: is a server running there, and does it answer to {options.clientport}?"
        )
    for path in written:
        print(f"wrote {path}")
    if options.json:
        print(json.dumps(result, separators=(",", ":")))
    return 0 if take.complete else 130
