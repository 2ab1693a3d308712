# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint (or seed) -> bundle. The one place that knows what the released models are.

Three sources: a Lightning checkpoint and the codec's weights; seeded networks of the same topology; the
copying bundle (`copying.py`, no torch).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from anacrusis.engine.bundle import Licence, Manifest, Precision, sha256
from anacrusis.engine.errors import CheckpointError, StemError
from anacrusis.engine.networks.music2latent import FRAMES_PER_LATENT
from anacrusis.engine.networks.stages import Networks
from anacrusis.engine.sampler import Parametrisation, SamplerConfig
from anacrusis.engine.window import Geometry
from anacrusis.export.checkpoint import Kind
from anacrusis.export.graphs import rounded, stage_specs, stage_to_onnx
from anacrusis.export.load import load_codec, load_unet
from anacrusis.export.seeded import Size, seeded_networks
from anacrusis.export.verify import verify_graphs
from anacrusis.export.write import Weights, new_bundle_directory, write_graphs, write_manifest

Report = Callable[[str], None]

HOP_SAMPLES, N_FFT = 512, 2048
FRAME_SAMPLES = HOP_SAMPLES * FRAMES_PER_LATENT
STEMS = ("bass", "drums", "guitar", "piano")
GEOMETRY = Geometry(
    frame_samples=FRAME_SAMPLES,
    window_frames=64,
    encode_tail_samples=N_FFT - HOP_SAMPLES,
    decode_taper_samples=N_FFT - HOP_SAMPLES,
)
TRAINED_MASKED_FRAMES = (0, 16, 32)

# What the original servers run (their rho for CD is the library's 7, not the 9 of their own configuration).
KINDS: dict[Kind, tuple[Parametrisation, SamplerConfig]] = {
    "cd": (
        Parametrisation("consistency", sigma_data=1.0, sigma_min=1e-4),
        SamplerConfig("consistency", steps=2, sigma_min=1e-4, sigma_max=80.0, rho=7.0),
    ),
    "diffusion": (
        Parametrisation("edm", sigma_data=1.0),
        SamplerConfig("dpm2", steps=5, sigma_min=1e-4, sigma_max=50.0, rho=9.0, resamples=2),
    ),
}

RELEASED = Licence(
    "LicenseRef-research-only",
    "Released weights: Music2Latent is CC BY-NC 4.0 (non-commercial), the accompaniment checkpoint states no "
    "licence. Do not redistribute this bundle.",
)
SEEDED = Licence("Apache-2.0", "Seeded, untrained weights: everything it writes sounds like noise.")

TYPES = {"fp32": torch.float32, "fp16": torch.float16}
PrecisionName = Literal["fp32", "fp16"]


@dataclass(frozen=True, slots=True)
class Options:
    """precision: what the networks compute in. stored: how weights are stored (None: as they compute)."""

    precision: PrecisionName = "fp32"
    stored: PrecisionName | None = None
    verify: bool = True
    force: bool = False
    threads: int = 1


def export_checkpoint(
    model: Path,
    codec: str | Path,
    out: Path,
    *,
    kind: Kind | Literal["auto"] = "auto",
    options: Options,
    report: Report,
) -> Manifest:
    """Write a bundle from the released files. Raises CheckpointError or BundleError; nothing is half-written."""
    report(f"read {model.name}")
    found, unet, metadata = load_unet(model, kind)
    report("read the codec")
    music2latent, codec_path, _ = load_codec(codec)
    if unet.config.label_dim != len(STEMS):
        raise StemError(f"{model.name} knows {unet.config.label_dim} stems; the released models know {len(STEMS)}")
    if music2latent.config.latent_channels != unet.config.resolution:
        raise CheckpointError(
            f"the codec has {music2latent.config.latent_channels} latent channels, the model "
            f"{unet.config.resolution}: they do not belong together"
        )
    provenance = {
        "model": {"file": model.name, "sha256": sha256(model), **metadata},
        "codec": {"file": codec_path.name, "sha256": sha256(codec_path)},
    }
    return _export(
        Networks(unet, music2latent), f"{model.stem}-{found}", found, RELEASED, provenance, out, options, report
    )


def export_seeded(size: Size, kind: Kind, seed: int, out: Path, *, options: Options, report: Report) -> Manifest:
    """Write a bundle of seeded networks. Raises BundleError; nothing is half-written."""
    report(f"draw {size} weights from seed {seed}")
    stored = TYPES[options.stored or options.precision]
    networks = seeded_networks(size, seed, round_to=stored if stored != torch.float32 else None)
    provenance = {"seeded": {"size": size, "seed": seed}}
    return _export(networks, f"{size}-{kind}", kind, SEEDED, provenance, out, options, report)


def manifest_of(
    networks: Networks, name: str, kind: Kind, precision: Precision, licence: Licence, provenance: dict[str, Any]
) -> Manifest:
    """What the released models are, said of these networks. `files` is filled when the bundle is written."""
    parametrisation, sampler = KINDS[kind]
    return Manifest(
        name=name,
        kind=kind,
        parametrisation=parametrisation,
        sampler=sampler,
        stems=STEMS,
        sample_rate_hz=44100,
        geometry=GEOMETRY,
        latent_channels=networks.codec.config.latent_channels,
        decoder_noise_shape=networks.decoder_noise_shape,
        trained_masked_frames=TRAINED_MASKED_FRAMES,
        precision=precision,
        licence=licence,
        files={},
        provenance=provenance,
    )


def _export(
    networks: Networks,
    name: str,
    kind: Kind,
    licence: Licence,
    provenance: dict[str, Any],
    out: Path,
    options: Options,
    report: Report,
) -> Manifest:
    compute, stored = TYPES[options.precision], TYPES[options.stored or options.precision]
    tools = {package: version(package) for package in ("anacrusis", "torch", "onnx", "onnxscript")}
    precision = Precision(_type_name(stored), _type_name(compute))
    manifest = manifest_of(networks, name, kind, precision, licence, {**provenance, "tools": tools})
    with new_bundle_directory(out, force=options.force) as directory:
        models = {}
        for spec in stage_specs(rounded(networks, stored), GEOMETRY, compute):
            report(f"trace {spec.name}")
            models[spec.name] = stage_to_onnx(spec)
        report("write graphs and weights")
        arrays = {n: t.detach().to(stored).numpy() for n, t in networks.state().items()}
        write_graphs(directory, models, Weights(arrays))
        del models, arrays
        if options.verify:
            checks = verify_graphs(directory, networks, manifest, threads=options.threads, report=report)
            manifest = replace(manifest, verification=checks)
        write_manifest(directory, manifest)
    report(f"wrote {out}")
    return manifest


def _type_name(dtype: torch.dtype) -> str:
    return str(np.dtype(str(dtype).removeprefix("torch.")))
