# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a bundle writes to a context through the live cycle, at one pace: the signal that the ear judges.

`performer.simulate`: the context is unheard beyond `now`, each step lands where a player puts it, blended over 20 ms.
Noise is seeded by run and song, so a song's accompaniment is the same in any order and beside any others.

**Net look-ahead**, the x axis of the paper's Figure 6, is here the lead in seconds: how far beyond the newest sample
heard a step begins to sound, l / 44,100 = w T r / 44,100. Retrospective (l = -s) is negative, immediate 0, the
released default (r = .25, w = 1) +1.486 s. A step's samples then lie from lead to lead + step beyond `now`, so on the
average `mean_ahead_s` = lead + step / 2; lines of unlike steps are compared by that, and both are in the records.

Not covered: deadlines. A pace that no machine could play is judged like any other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anacrusis.benchmarks.music_clips import F32, MusicError
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine, check_stems, make_pace
from anacrusis.performer.simulate import simulate
from anacrusis.train.song import SAMPLE_RATE_HZ

FADE_SAMPLES = 882


@dataclass(frozen=True, slots=True)
class Player:
    """A bundle at a pace. label: unlike every other player's of the run; name: of the bundle, for people."""

    label: str
    name: str
    bundle: Path
    bundle_hash: str
    frame_samples: int
    step_frames: int
    lead_frames: int
    backend: str = "auto"
    sampler_steps: int | None = None

    @property
    def step_s(self) -> float:
        return self.step_frames * self.frame_samples / SAMPLE_RATE_HZ

    @property
    def net_look_ahead_s(self) -> float:
        """See the module's docstring."""
        return self.lead_frames * self.frame_samples / SAMPLE_RATE_HZ

    @property
    def mean_ahead_s(self) -> float:
        return self.net_look_ahead_s + self.step_s / 2

    def as_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "bundle": self.name,
            "bundle_hash": self.bundle_hash,
            "step_frames": self.step_frames,
            "lead_frames": self.lead_frames,
            "step_s": round(self.step_s, 4),
            "net_look_ahead_s": round(self.net_look_ahead_s, 4),
            "mean_ahead_s": round(self.mean_ahead_s, 4),
            "sampler_steps": self.sampler_steps,
            "backend": self.backend,
        }

    def recipe(self, context_digest: str, song: str, stem: str, seed: int) -> str:
        """All that `write` depends on, but the engine's code."""
        pace = f"{self.step_frames}:{self.lead_frames}:{FADE_SAMPLES}:{self.sampler_steps}:{self.backend}"
        return f"live {self.bundle_hash} {pace} {stem} {noise_seed(song, seed)} {context_digest}"

    def write(self, context: F32, song: str, stem: str, seed: int) -> F32:
        """context [n] -> the stem [n]; where the networks give what is no number the cycle writes silence.

        Raises BundleError, StemError, BackendError or GeometryError.
        """
        with Engine.open(
            Bundle.open(self.bundle, verify=False),  # `players` verified it
            backend=self.backend,
            stems=[stem],
            step_frames=self.step_frames,
            lead_frames=self.lead_frames,
            fade_samples=FADE_SAMPLES,
            sampler_steps=self.sampler_steps,
            seed=noise_seed(song, seed),
            threads=1,
        ) as engine:
            audio: F32 = simulate(engine, context).audio[0]
        return audio


def noise_seed(song: str, seed: int) -> int:
    """One for each song and run."""
    return zlib.crc32(f"{seed}/{song}".encode())


def parse_pace(text: str) -> tuple[int, int]:
    """ "16:-16" -> step and lead in frames. Raises MusicError."""
    step, colon, lead = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return int(step), int(lead)
    except ValueError:
        raise MusicError(f"--pace is {text!r}; it must be STEP:LEAD in frames, such as 16:16 or 16:-16") from None


def players(
    bundles: Sequence[Path],
    paces: Sequence[tuple[int, int]],
    stems: Sequence[str],
    backend: str = "auto",
    sampler_steps: int | None = None,
) -> list[Player]:
    """Every bundle at every pace, each refused before anything is judged. Raises AnacrusisError."""
    opened = [Bundle.open(path) for path in bundles]
    names = [bundle.manifest.name for bundle in opened]
    found = []
    for path, bundle, name in zip(bundles, opened, names, strict=True):
        manifest = bundle.manifest
        check_stems(manifest, stems)
        if manifest.sample_rate_hz != SAMPLE_RATE_HZ:
            raise MusicError(f"{path} writes at {manifest.sample_rate_hz} Hz; the ear judges {SAMPLE_RATE_HZ} Hz only")
        unique = name if names.count(name) == 1 else f"{name}-{bundle.hash[:6]}"
        for step, lead in dict.fromkeys(paces):
            make_pace(manifest.geometry, step_frames=step, lead_frames=lead, fade_samples=FADE_SAMPLES)
            found.append(
                Player(
                    f"{unique} {step}:{lead}",
                    unique,
                    path,
                    bundle.hash,
                    manifest.geometry.frame_samples,
                    step,
                    lead,
                    backend,
                    sampler_steps,
                )
            )
    if len({player.label for player in found}) < len(found):
        raise MusicError("a bundle is given twice; give each once, with --pace for each pace")
    return found


def longest_window_samples(players: Sequence[Player]) -> int:
    """0 without players."""
    return max((Bundle.open(p.bundle, verify=False).manifest.geometry.window_samples for p in players), default=0)
