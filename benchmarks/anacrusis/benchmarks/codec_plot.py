# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of the comparison: spectrograms, a row for the truth and one a codec, a column a stem; onsets on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from anacrusis.benchmarks.codec_scores import SAMPLE_RATE_HZ, Audio, spectrum
from anacrusis.benchmarks.codec_subjects import Clip
from anacrusis.performer.plot import pyplot_of, save

SHOWN_S: Final = 4.0
HOP_SAMPLES: Final = 256
RANGE_DB: Final = 80.0


def plot_round_trips(path: Path, clips: Sequence[Clip], made: Sequence[Mapping[str, Audio]]) -> None:
    """made: for each clip, codec name -> audio. The first SHOWN_S seconds. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    rows = ["truth", *made[0]]
    size = (3.6 * len(clips), 2.5 * len(rows))
    figure, axes = pyplot.subplots(
        len(rows), len(clips), figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    for column, (clip, versions) in enumerate(zip(clips, made, strict=True)):
        onsets_s = sorted({time_s for time_s, _ in clip.note_times if time_s < SHOWN_S})
        reference = None
        for row, name in enumerate(rows):
            audio = clip.audio if name == "truth" else versions[name]
            shown = 20 * np.log10(spectrum(audio[: round(SHOWN_S * SAMPLE_RATE_HZ)], 2048, HOP_SAMPLES).T + 1e-3)
            reference = float(shown.max()) if reference is None else reference
            axis = axes[row][column]
            axis.imshow(
                shown,
                origin="lower",
                aspect="auto",
                extent=(0, SHOWN_S, 0, SAMPLE_RATE_HZ / 2000),
                vmin=reference - RANGE_DB,
                vmax=reference,
                cmap="magma",
            )
            axis.vlines(onsets_s, 10.0, 10.6, color="w", linewidth=0.7)
            axis.set_ylim(0, 10.6)
            if row == 0:
                axis.set_title(f"{clip.stem} ({clip.song})", fontsize=8)
            if column == 0:
                axis.set_ylabel(f"{name}\nkHz", fontsize=8)
            if row == len(rows) - 1:
                axis.set_xlabel("s; white: notes begin", fontsize=8)
    save(figure, path)
