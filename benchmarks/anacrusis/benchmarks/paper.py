# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the paper reports, as far as it is known here, and its rule for real time. Data and one comparison.

Karchkhadze and Dubnov, "Towards Real-Time Human-AI Musical Co-Performance: Accompaniment Generation with Latent
Diffusion Models and MAX/MSP", arXiv 2604.07612. Its table 1 has four columns, one a set-up (machine and link). Known
here are the ranges over those four, some single figures, and the two smallest step ratios that it derives; not the four
columns themselves. So a table of ours has one column "paper", and a cell is empty where nothing is known. Nothing in
this module was measured by us, and nothing was filled in.

Not covered: the paper's judgements of the music.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from anacrusis.engine.bundle import Manifest

SOURCE: Final = "arXiv 2604.07612, ranges over its four set-ups at r = .25"
WINDOW_S: Final = 6.0  # its T
TABLE_1_R: Final = 0.25
TABLE_2_R: Final = (0.25, 0.125, 0.0625, 3 / 64, 1 / 64)


@dataclass(frozen=True, slots=True)
class Reported:
    """Milliseconds, least and most of what was reported; equal where it is one figure. note: of what."""

    least_ms: float
    most_ms: float
    note: str = ""

    def text(self) -> str:
        """For a cell: "17 to 188", or "1175" where it is one figure. The note is a line of its own."""
        return f"{self.least_ms:g}" if self.least_ms == self.most_ms else f"{self.least_ms:g} to {self.most_ms:g}"


# One way; the same range is reported for both.
_LINK: Final = Reported(17, 188, "17 to 25 on one machine, 107 over SSH in one city, 188 across the Atlantic")
_STAGES: Final = {
    "client -> server": _LINK,
    "encode": Reported(40, 56),
    "decode": Reported(72, 150),
    "server -> client": _LINK,
}
# By what a model is: "diffusion" (16 evaluations in the code, 10 in the text) or "cd" (2).
TABLE_1: Final[dict[str, dict[str, Reported]]] = {
    "diffusion": {**_STAGES, "sample": Reported(1175, 1175, "on an RTX 2070"), "full cycle": Reported(981, 1434)},
    "cd": {**_STAGES, "sample": Reported(130, 130, "on an RTX 2070"), "full cycle": Reported(331, 589)},
}
NFE: Final = {"diffusion": 16, "cd": 2}
# The smallest step ratios it derives, and their multiples of a latent frame. Which set-up each is of is not known here.
SMALLEST_R: Final[dict[float, str]] = {0.100: "7/64", 0.034: "3/64"}


def column_of(manifest: Manifest) -> str:
    """Which of the paper's two models a bundle stands beside."""
    return "cd" if manifest.sampler.name == "consistency" else "diffusion"


def notes(model: str) -> str:
    """What the cells of one model's column are of, in one line."""
    said = dict.fromkeys(f"{stage}: {figure.note}" for stage, figure in TABLE_1[model].items() if figure.note)
    return "; ".join(said)


def is_real_time(cycle_ms: float, r: float, window_s: float) -> bool:
    """The paper's condition: a full cycle, both transfers with it, within the step it is for, T * r."""
    return cycle_ms <= 1e3 * window_s * r


def paper_real_time(r: float, smallest_r: float) -> bool:
    """What table 2 says for a set-up whose smallest ratio is `smallest_r`: yes from there on."""
    return r >= smallest_r
