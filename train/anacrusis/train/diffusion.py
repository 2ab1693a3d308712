# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Train a diffusion model: denoising score matching on a corpus' latents, on one or two CPU cores.

    python -m anacrusis.train.diffusion --corpus DIR [DIR ...] --validation DIR --out OUT --minutes 120 --processes 2
    python -m anacrusis.train.diffusion ... --out OUT --resume

What it leaves in OUT: `starter/run.py`. What is learned: `starter/losses.py`. Settings: `starter/config.py`. Exit 0
done, 2 bad input, 130 stopped by a signal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from anacrusis.train.starter.run import main as train
from anacrusis.train.starter.run import parser_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code."""
    parser = parser_of("python -m anacrusis.train.diffusion", __doc__.split("\n")[0])
    return train(parser.parse_args(arguments), "diffusion")


if __name__ == "__main__":
    sys.exit(main())
