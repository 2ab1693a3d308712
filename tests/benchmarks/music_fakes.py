# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs of clicks and an ear of arithmetic: what the tests of the ear stand on. No judge package, no soundfont."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from anacrusis.benchmarks.music_clips import F32, Known
from anacrusis.benchmarks.music_hear import Features, Measure, Role
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Beat, Chord, Note, Part, Song

PERIOD_SAMPLES = 32768  # of the copying bundle: it repeats what it heard eight frames before


def click_song(name: str, seconds: float, offset_samples: int, chart: str = "chart") -> Song:
    """A note of each stem every 32,768 samples from offset_samples; the stems are a quarter of that apart."""
    length = round(seconds * SAMPLE_RATE_HZ)
    starts = range(offset_samples, length - PERIOD_SAMPLES, PERIOD_SAMPLES)
    parts = {
        stem: Part(0, tuple(Note(start + 8192 * place, start + 8192 * place + 2000, 40, 100) for start in starts))
        for place, stem in enumerate(STEMS)
    }
    beats = tuple(Beat(start, index % 4 + 1) for index, start in enumerate(starts))
    return Song(
        name=name,
        split="test",
        family="clicks",
        chart=chart,
        seed=0,
        tempo_bpm=60 * SAMPLE_RATE_HZ / PERIOD_SAMPLES,
        beats_per_bar=4,
        swing=0.5,
        tonic=0,
        mode="major",
        length_samples=length,
        beats=beats,
        chords=(Chord(0, length, 0, "maj", 0),),
        sections=(),
        parts=parts,
    )


@dataclass(frozen=True)
class ClickTrack:
    """A song whose audio is its notes' first samples: one, where a note starts."""

    song: Song

    @property
    def name(self) -> str:
        return self.song.name

    @property
    def split(self) -> str:
        return self.song.split

    @property
    def length_samples(self) -> int:
        return self.song.length_samples

    def stem(self, name: str, start_samples: int = 0, length_samples: int | None = None) -> F32:
        length = self.length_samples - start_samples if length_samples is None else length_samples
        audio = np.zeros(length, np.float32)
        at = np.array([note.start_samples - start_samples for note in self.song.parts[name].notes], np.int64)
        audio[at[(at >= 0) & (at < length)]] = 1.0
        return audio

    def context(self, without: str, start_samples: int = 0, length_samples: int | None = None) -> F32:
        others = [self.stem(name, start_samples, length_samples) for name in STEMS if name != without]
        return np.asarray(np.sum(others, axis=0), np.float32)


def click_tracks(count: int, seconds: float = 12.0) -> list[ClickTrack]:
    """Each song's clicks lie elsewhere, so another song's stem is wrong at every click."""
    return [ClickTrack(click_song(f"song{i}", seconds, 700 * i, f"chart{i}")) for i in range(count)]


@dataclass(frozen=True)
class ClickEar:
    """Hears where clicks are. f1: share of the true stem's that are met to the sample; near: within 3,000 samples."""

    version: str = "1"

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("exact", "exact", 1, STEMS, required=STEMS),
            Measure("near", "within 68 ms", 1, STEMS),
            Measure("density_off", "clicks, off by", -1, STEMS, relative=True),
            Measure("density", "clicks", 0, STEMS),
        )

    def require(self) -> None: ...

    def identity(self, feature: str) -> str:
        return f"{feature} {self.version}"

    def needs(self, stem: str, role: Role) -> tuple[str, ...]:
        return ("clicks", "embedding") if role == "stem" else ("clicks",)

    def feature(self, name: str, audio: F32) -> np.ndarray[Any, Any]:
        clicks = np.flatnonzero(audio > 0.5)
        if name == "clicks":
            return clicks
        return np.array([[len(clicks), position] for position in [0, *(clicks % PERIOD_SAMPLES)]], np.float64)

    def judge(self, known: Known, heard: Features, context: Features, truth: Features) -> dict[str, float]:
        mine, true = heard["clicks"], truth["clicks"]
        if not len(mine):
            return {"exact": 0.0, "near": float("nan"), "density": 0.0, "density_off": float(len(true))}
        apart = np.abs(true[:, None] - mine[None, :]).min(axis=1)
        near = float((apart < 3000).mean())
        off = float(abs(len(mine) - len(true)))
        return {"exact": float((apart == 0).mean()), "near": near, "density": float(len(mine)), "density_off": off}

    def distance(self, embedded: F32, reference: F32) -> float:
        return float(((embedded.mean(0) - reference.mean(0)) ** 2).sum())
