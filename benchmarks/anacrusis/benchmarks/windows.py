# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Windows to hear: real music, and what a stage may meet that no musician means. For precision and calibration sets.

Music: the demo clip's band at three places, and, where the corpus generator can play (a soundfont and tinysoundfont),
songs of families held out for tests, without one stem, as a live context is. Hostile: what `half_subjects.signals` has
(full scale, 20 dB beyond it, DC, noise, silence) and clicks, a window of subnormal floats, and noise at -80 dB.

The same for the same seed. Not covered: several windows of one song in a row (each stands alone).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.half_subjects import CLIP, signals
from anacrusis.engine.bundle import Manifest
from anacrusis.engine.errors import AnacrusisError
from anacrusis.performer.files import read_recording

F32 = NDArray[np.float32]

CLIP_AT_S: Final = (0.0, 6.0, 12.0)
SONG_AT_S: Final = 10.0  # past a count-in and a sparse first bar
CLICK_EVERY_S: Final = 0.25
SUBNORMAL: Final = 1e-40
QUIET: Final = 1e-4  # -80 dB


@dataclass(frozen=True, slots=True)
class Window:
    """audio [encode_samples] float32. source: where it came from, in words."""

    name: str
    audio: F32
    source: str
    hostile: bool = False


def hostile(manifest: Manifest, seed: int) -> list[Window]:
    """Signals without music."""
    length, rate_hz = manifest.geometry.encode_samples, manifest.sample_rate_hz
    rng = np.random.Generator(np.random.Philox(key=seed + 1))
    clicks = np.zeros(length, np.float32)
    clicks[:: int(CLICK_EVERY_S * rate_hz)] = 1.0
    clicks[1 :: 2 * int(CLICK_EVERY_S * rate_hz)] = -1.0
    found = {name: audio for name, audio in signals(manifest.geometry, rate_hz, seed).items() if name != "clip"}
    found["clicks"] = clicks
    found["subnormal"] = (SUBNORMAL * rng.choice((-1.0, 1.0), length)).astype(np.float32)
    found["quiet noise"] = (QUIET * rng.uniform(-1, 1, length)).astype(np.float32)
    return [Window(name, audio, "made", hostile=True) for name, audio in found.items()]


def of_clip(manifest: Manifest) -> list[Window]:
    """The demo clip's band; places that its end does not allow are left out."""
    length, rate_hz = manifest.geometry.encode_samples, manifest.sample_rate_hz
    clip = read_recording(CLIP).mono(rate_hz)
    out = []
    for at_s in CLIP_AT_S:
        begin = int(at_s * rate_hz)
        if begin + length <= clip.shape[0]:
            source = f"{CLIP.name} from {at_s:g} s"
            out.append(Window(f"clip {at_s:g} s", clip[begin : begin + length].copy(), source))
    return out


def of_corpus(
    manifest: Manifest, songs: int, seed: int, report: Callable[[str], None] = lambda _: None
) -> tuple[list[Window], str | None]:
    """(windows of written songs, each without one stem in turn; None) or ([], what would have to be installed)."""
    try:
        from anacrusis.train.render import Renderer
        from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS
        from anacrusis.train.writer import FAMILIES, write_song

        renderer = Renderer()
    except (ImportError, AnacrusisError) as error:
        return [], str(error)
    if manifest.sample_rate_hz != SAMPLE_RATE_HZ:
        return [], f"the corpus is at {SAMPLE_RATE_HZ} Hz, this bundle at {manifest.sample_rate_hz}"
    length, begin = manifest.geometry.encode_samples, int(SONG_AT_S * SAMPLE_RATE_HZ)
    held_out = sorted(name for name, family in FAMILIES.items() if family.split == "test") or sorted(FAMILIES)
    out = []
    for index in range(songs):
        family, missing = held_out[index % len(held_out)], STEMS[index % len(STEMS)]
        report(f"song {index + 1} of {songs}: {family}")
        song = write_song(seed + index, family, seconds=SONG_AT_S + 1 + length / SAMPLE_RATE_HZ)
        mix = sum((audio for stem, audio in renderer.song(song).items() if stem != missing), np.zeros(1, np.float32))
        part = np.asarray(mix, np.float32)[begin : begin + length]
        audio = np.zeros(length, np.float32)
        audio[: part.shape[0]] = part
        source = f"write_song({seed + index}, {family!r}) without {missing}, from {SONG_AT_S:g} s"
        out.append(Window(f"song {index + 1}", audio, source))
    return out, None


def windows(
    manifest: Manifest,
    *,
    songs: int = 4,
    seed: int = 0,
    only: Sequence[str] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Window]:
    """All of them; only: these names. Raises AnacrusisError for a name there is not."""
    music, rest = of_clip(manifest), hostile(manifest, seed)
    if songs and (only is None or any(name.startswith("song") for name in only)):
        made, why = of_corpus(manifest, songs, seed, report)
        if why is not None:
            report(f"no songs of the corpus: {why}")
        music += made
    found = music + rest
    if only is None:
        return found
    names = [window.name for window in found]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise AnacrusisError(f"unknown window {unknown[0]!r}; choose {', '.join(names)}")
    return [window for window in found if window.name in only]
