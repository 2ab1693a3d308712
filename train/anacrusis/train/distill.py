# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Distil a diffusion model to one or two evaluations: a consistency model, on one or two CPU cores.

    python -m anacrusis.train.distill --teacher OUT/checkpoint.pt --corpus DIR [DIR ...] --validation DIR --out OUT2
    python -m anacrusis.train.distill ... --out OUT2 --resume

What it leaves in OUT2: `starter/run.py`. What is learned: `starter/distil.py`. Settings: `starter/config.py`. Exit 0
done, 2 bad input, 130 stopped by a signal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from anacrusis.train.starter.run import main as train
from anacrusis.train.starter.run import parser_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code."""
    parser = parser_of("python -m anacrusis.train.distill", __doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, help="a checkpoint of anacrusis.train.diffusion (not with --resume)")
    return train(parser.parse_args(arguments), "distillation")


if __name__ == "__main__":
    sys.exit(main())
