# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The calibration set: what every stage of a bundle sees while it plays, for later work on INT8 and FP8.

One .npz a window, and recipe.json: how to make the same again, and the SHA-256 of every file. All of it is the float32
oracle's (`precision.py`), so the set does not depend on the rung that will be calibrated. Arrays of a window, float32:

    audio [encode_samples], heard [1, frames]          encode's inputs, as a cycle gives them
    context [E, frames]                                encode's output, denoise's context
    keep [1, frames], source [C, frames]               what is kept, and what is there
    row_00_u, row_01_u, ... [C, frames]                the noisy latent before every row, denoise's input
    row_00_estimate, ... [C, frames]                   what the network makes of it
    sigmas [rows]                                      the noise level of every row
    final [C, frames]                                  the latent after the last row
    decode_latent [C, n], decode_noise [n, ...]        decode's inputs
    decode_audio [samples]                             its output

Not covered: activations inside the networks (a calibrator runs the graphs itself), several stems.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.calib.precision import HEARD_SHARE, Oracle, PrecisionError, Truth, tasks_of
from anacrusis.engine.bundle import Bundle, sha256

F32 = NDArray[np.float32]
RECIPE: Final = "recipe.json"
SCHEMA: Final = 1


def arrays_of(truth: Truth, oracle: Oracle) -> dict[str, F32]:
    """What the file of one window holds."""
    manifest, state = oracle.bundle.manifest, truth.state
    geometry, decoded = manifest.geometry, oracle.bound.decoded
    audio = np.zeros(geometry.encode_samples, np.float32)
    heard_samples = state.heard_frames * geometry.frame_samples
    audio[:heard_samples] = truth.task.audio[:heard_samples]
    heard = np.zeros((1, geometry.window_frames), np.float32)
    heard[:, : state.heard_frames] = 1.0
    rows: dict[str, F32] = {}
    for index in range(oracle.table.nfe):
        rows[f"row_{index:02d}_u"] = truth.inputs[index]
        rows[f"row_{index:02d}_estimate"] = truth.estimates[index]
    return {
        "audio": audio,
        "heard": heard,
        "context": truth.context,
        "keep": state.keep[None],
        "source": state.source,
        **rows,
        "sigmas": np.array([row.sigma for row in oracle.table.rows], np.float32),
        "final": truth.final,
        "decode_latent": truth.final[:, -decoded:],
        "decode_noise": truth.decoder_noise,
        "decode_audio": truth.audio,
    }


def write_set(
    bundle: Bundle,
    windows: Mapping[str, F32],
    out: Path,
    *,
    sources: Mapping[str, str],
    threads: int = 1,
    seed: int = 0,
    sampler_steps: int | None = None,
    about: Mapping[str, Any],
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the set into `out`, which must be empty or absent; returns the recipe.

    windows: name -> [encode_samples] float32; sources: name -> where it came from, for the recipe; about: versions and
    commit. Raises PrecisionError, BackendError (no oracle).
    """
    tasks = tasks_of(windows, bundle.manifest)
    try:
        out.mkdir(parents=True, exist_ok=True)
        occupied = any(out.iterdir())
    except OSError as error:
        raise PrecisionError(f"{out} cannot be written ({error.strerror}); give another directory") from None
    if occupied:
        raise PrecisionError(f"{out} is not empty; give another directory, or empty it")
    oracle = Oracle(bundle, threads=threads, seed=seed, sampler_steps=sampler_steps)
    files: dict[str, Any] = {}
    for index, task in enumerate(tasks):
        report(f"window {index + 1} of {len(tasks)}: {task.name}")
        name = f"window_{index:03d}.npz"
        path = out / name
        np.savez_compressed(path, **arrays_of(oracle.truth(task), oracle))  # type: ignore[arg-type]
        heard = hashlib.sha256(np.ascontiguousarray(task.audio).tobytes()).hexdigest()
        files[name] = {
            "window": task.name,
            "source": sources.get(task.name, ""),
            "draw": task.draw,
            "audio_sha256": heard,
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
        }
    recipe = {
        "schema": SCHEMA,
        "what": "float32 inputs and outputs of every stage, for calibrating lower precisions",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.hash,
        "oracle": oracle.what,
        "seed": seed,
        "nfe": oracle.table.nfe,
        "sigmas": [row.sigma for row in oracle.table.rows],
        "heard_share": HEARD_SHARE,
        "generated_frames": oracle.bound.generated,
        "decoded_frames": oracle.bound.decoded,
        "files": files,
        **about,
    }
    (out / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    return recipe
