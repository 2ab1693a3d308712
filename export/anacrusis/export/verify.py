# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`--verify`: the written graphs through ONNX Runtime against the torch networks, on random inputs, per stage.

A graph of `encode` that takes less of a window that ends in silence is held against the whole window, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anacrusis.engine.backends.onnxruntime import open_session
from anacrusis.engine.backends.onnxruntime_memory import input_types
from anacrusis.engine.bundle import Manifest
from anacrusis.engine.errors import BundleError
from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage, Networks
from anacrusis.engine.silence import SILENT_FRAMES, frames_to_encode

F32 = NDArray[np.float32]

DECODE_FRAMES = 3
# Signal-to-noise against the float32 networks below which an export is refused. Float32 graphs reach 80 dB and
# more; float16 networks 40 to 60 (random latents are harder than music).
LEAST_SNR_DB = {"float32": 60.0, "float16": 25.0}


def snr_db(reference: NDArray[Any], got: NDArray[Any]) -> float:
    """10 log10 of signal over error power; inf where they are equal, -inf where `got` is not finite."""
    if not np.isfinite(got).all():
        return -math.inf
    reference, got = reference.astype(np.float64), got.astype(np.float64)
    error = float(np.mean((reference - got) ** 2))
    return math.inf if error == 0 else 10 * math.log10(max(float(np.mean(reference**2)), 1e-300) / error)


def verify_graphs(
    directory: Path,
    networks: Networks,
    manifest: Manifest,
    *,
    threads: int = 1,
    seed: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Errors per stage, as the manifest records them. `networks` must be float32.

    Raises BundleError, naming the stage, where a graph is further from torch than its precision explains.
    """
    least = LEAST_SNR_DB[manifest.precision.compute]
    results: dict[str, Any] = {}
    for stage, cases in _cases(networks, manifest, seed).items():
        report(f"verify {stage}")
        session = open_session(directory / f"{stage}.onnx", provider="CPUExecutionProvider", threads=threads)
        silent_frames = session.get_modelmeta().custom_metadata_map.get(SILENT_FRAMES)
        pairs: list[tuple[F32, F32]] = []
        for feeds, reference in cases:
            given = feeds if silent_frames is None else _shortened(feeds, manifest, int(silent_frames))
            typed = {name: given[name].astype(kind) for name, kind in input_types(session).items()}
            pairs += zip(reference, session.run(None, typed), strict=True)
        del session
        snr = min(snr_db(want, got) for want, got in pairs)
        worst = max(float(np.abs(want - got).max()) for want, got in pairs)
        results[stage] = {"max_abs_error": worst, "snr_db": snr if math.isfinite(snr) else None}
        if not snr >= least:
            raise BundleError(
                f"the {stage} graph is {snr:.1f} dB from torch (at least {least:.0f} wanted for "
                f"{manifest.precision.compute}): the export is wrong; please report it with your versions"
            )
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__, "inputs": f"random, seed {seed}", "stages": results}


def _shortened(feeds: dict[str, F32], manifest: Manifest, silent_frames: int) -> dict[str, F32]:
    geometry = manifest.geometry
    frames = frames_to_encode(geometry, feeds["audio"], feeds["heard"], silent_frames)
    samples = geometry.frame_samples * frames + geometry.encode_tail_samples
    return {**feeds, "audio": feeds["audio"][:, :samples]}


@torch.inference_mode()
def _cases(networks: Networks, manifest: Manifest, seed: int) -> Mapping[str, list[tuple[dict[str, F32], list[F32]]]]:
    """(inputs, outputs in torch) of each stage: one of each, and a window to encode that ends in silence."""
    generator = np.random.Generator(np.random.Philox(key=seed))

    def normal(*shape: int) -> F32:
        return generator.standard_normal(shape, dtype=np.float32)

    geometry, channels = manifest.geometry, manifest.latent_channels
    window, labels = geometry.window_frames, len(manifest.stems)
    heard = np.ones((1, 1, window), np.float32)
    heard[..., window // 2 :] = 0.0
    keep = 1 - heard
    row = np.array([0.7, 0.3, 0.9, 0.5, 0.4, 0.6, 1.0, 1.0], np.float32)

    encode = {"audio": 0.1 * normal(1, geometry.encode_samples), "heard": heard}
    quiet = {**encode, "audio": encode["audio"].copy()}
    quiet["audio"][:, window // 2 * geometry.frame_samples :] = 0.0
    embed = {"sigma": np.array([0.5, 40.0], np.float32), "label": np.eye(labels, dtype=np.float32)[[0, labels - 1]]}
    cond = EmbedStage(networks.unet)(*map(torch.from_numpy, embed.values()))
    denoise = {name: normal(2, channels, window) for name in ("u", "b", "source", "noise")}
    denoise |= {"context": normal(1, channels, window), "keep": keep, "row": row}
    decode = {"latent": normal(2, channels, DECODE_FRAMES)}
    decode["noise"] = normal(2, DECODE_FRAMES, *manifest.decoder_noise_shape)

    outputs = {
        "encode": _encoded(networks, encode),
        "embed": cond,
        "denoise": DenoiseStage(networks.unet)(*map(torch.from_numpy, denoise.values()), list(cond)),
        "decode": (DecodeStage(networks.codec)(*map(torch.from_numpy, decode.values())),),
    }
    denoise |= {f"cond_{i:02d}": bias.numpy() for i, bias in enumerate(cond)}
    feeds = {"encode": encode, "embed": embed, "denoise": denoise, "decode": decode}
    cases = {stage: [(feeds[stage], [t.numpy() for t in outputs[stage]])] for stage in feeds}
    cases["encode"].append((quiet, [t.numpy() for t in _encoded(networks, quiet)]))
    return cases


def _encoded(networks: Networks, feeds: dict[str, F32]) -> tuple[torch.Tensor]:
    return (EncodeStage(networks.codec)(*map(torch.from_numpy, feeds.values())),)
