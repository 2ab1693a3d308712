# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis`: parses, calls one room, prints. No logic; rooms are imported when their command runs.

Exit codes: 0 done; 1 a check missed (parity, doctor); 2 bad input, said in one line; 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version

from anacrusis.cli import bench, build, calibrate, client, demo, doctor, export, parity, plans, serve, simulate
from anacrusis.engine.errors import AnacrusisError

COMMANDS = (demo, serve, client, calibrate, simulate, export, build, plans, parity, bench, doctor)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis", description="Real-time music accompaniment by latent diffusion, placed to the sample."
    )
    parser.add_argument("--version", action="version", version=f"anacrusis {version('anacrusis')}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is decided, such as refused backends")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = build_parser().parse_args(arguments)
    _log_to_stderr(logging.INFO if options.verbose else logging.WARNING)
    try:
        code: int = options.run(options)
    except AnacrusisError as error:
        print(f"anacrusis {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"anacrusis {options.command}: interrupted; nothing was left half-written", file=sys.stderr)
        return 130
    return code


class _Stderr(logging.Handler):
    """To whatever sys.stderr is when a line is written: tests and notebooks replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def _log_to_stderr(level: int) -> None:
    """Our own loggers only; libraries narrate as they are set up to."""
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("anacrusis")
    logger.handlers = [handler]
    logger.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
