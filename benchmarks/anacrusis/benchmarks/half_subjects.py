# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the float16 report is about: whose networks, which sampler tables, and what they are made to hear.

Importing this needs no torch. Not covered: several stems at once (rows of a batch do not meet) and windows that
hold no silent future (a cycle with a lead always has one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from anacrusis.benchmarks.parity_golden import F32, Golden, ParityError
from anacrusis.engine.bundle import Bundle, Licence, Manifest, Precision
from anacrusis.engine.paths import SHIPPED_CLIP
from anacrusis.engine.sampler import SamplerTable
from anacrusis.engine.window import Geometry
from anacrusis.performer.files import read_recording

if TYPE_CHECKING:
    from anacrusis.engine.networks.stages import Networks
    from anacrusis.export.checkpoint import Kind
    from anacrusis.export.seeded import Size

CLIP = SHIPPED_CLIP / "band.flac"
CLIP_FROM_S = 6.0  # past the first bars, where the whole band plays
CLIPPED_GAIN = 10.0  # 20 dB too loud

KINDS = ("cd", "diffusion")
GOLDEN_TAGS = {"cd": "cd", "diffusion": "diff"}
# One evaluation is a setting of its own for the distilled models, so its row is tried too.
ALSO_STEPS = {"consistency": (1,)}


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a source: float32 networks, what its manifest would say, and its sampler tables by name."""

    kind: str
    networks: Networks
    manifest: Manifest
    tables: dict[str, SamplerTable]


@dataclass(frozen=True, slots=True)
class Source:
    """Models that share a codec."""

    name: str
    models: tuple[Model, ...]


def tables_of(manifest: Manifest) -> dict[str, SamplerTable]:
    """The manifest's own table last, its final latents being what is decoded."""
    sampler = manifest.sampler
    counts = [steps for steps in ALSO_STEPS.get(sampler.name, ()) if steps != sampler.steps]
    tables = [sampler.table(steps) for steps in counts] + [sampler.table()]
    return {f"{manifest.kind}, {table.nfe} NFE": table for table in tables}


def from_bundle(path: Path) -> Source:
    """Raises BundleError or BackendError."""
    from anacrusis.engine.backends.torch import load_networks

    bundle = Bundle.open(path)
    manifest = bundle.manifest
    return Source(manifest.name, (Model(manifest.kind, load_networks(bundle), manifest, tables_of(manifest)),))


def from_seed(size: Size, seed: int, kinds: Sequence[str], report: Callable[[str], None]) -> Source:
    """Weights as drawn, not rounded to float16 beforehand: rounding them is part of what is measured."""
    from anacrusis.export.export import manifest_of
    from anacrusis.export.seeded import seeded_networks

    report(f"draw {size} weights from seed {seed}")
    networks = seeded_networks(size, seed)
    precision, licence = Precision("float32", "float32"), Licence("Apache-2.0", "Seeded, untrained weights.")
    models = []
    for kind in map(_kind, kinds):
        manifest = manifest_of(networks, f"{size}-{kind}", kind, precision, licence, {"seeded": seed})
        models.append(Model(kind, networks, manifest, tables_of(manifest)))
    return Source(f"{size}, seed {seed}", tuple(models))


@contextmanager
def from_golden(path: Path, kinds: Sequence[str], threads: int, report: Callable[[str], None]) -> Iterator[Source]:
    """The networks of a golden set. Raises ParityError for what is not one."""
    from anacrusis.benchmarks.parity_runners import Workbench

    golden = Golden.open(path)
    tags = [GOLDEN_TAGS[kind] for kind in kinds]
    golden.require(["m2l.safetensors", *(f"unet_{tag}.safetensors" for tag in tags)], "half")
    with TemporaryDirectory(prefix="anacrusis-half-") as directory:
        bench = Workbench(golden, Path(directory), threads=threads, report=report)
        models = []
        for kind, tag in zip(kinds, tags, strict=True):
            manifest = bench.manifest(tag)
            models.append(Model(kind, bench.networks(tag), manifest, tables_of(manifest)))
        yield Source("golden", tuple(models))


def _kind(name: str) -> Kind:
    return "cd" if name == "cd" else "diffusion"


def signals(geometry: Geometry, sample_rate_hz: int, seed: int) -> dict[str, F32]:
    """What a window may hold, [encode_samples] each, in [-1, 1]: the clip as it is, the clip at full scale, white
    noise at full scale, the clip 20 dB beyond full scale and clipped, DC at full scale, and silence."""
    length = geometry.encode_samples
    begin = int(CLIP_FROM_S * sample_rate_hz)
    clip = read_recording(CLIP).mono(sample_rate_hz)[begin : begin + length]
    if clip.shape[0] < length:
        raise ParityError(f"{CLIP} is too short for a window of {length} samples; get the clip again")
    loud = clip / np.abs(clip).max()
    noise = np.random.Generator(np.random.Philox(key=seed)).uniform(-1, 1, length).astype(np.float32)
    return {
        "clip": clip,
        "loud clip": loud,
        "loud noise": noise,
        "clipped": np.clip(loud * CLIPPED_GAIN, -1, 1),
        "dc": np.ones(length, np.float32),
        "silent": np.zeros(length, np.float32),
    }


SIGNALS = ("clip", "loud clip", "loud noise", "clipped", "dc", "silent")
