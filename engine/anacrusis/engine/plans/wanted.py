# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which plans a pace and its stems need, and the shapes their inputs are frozen to. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anacrusis.engine.bundle import Manifest
from anacrusis.engine.errors import PlanError
from anacrusis.engine.window import Pace

# `embed` has none: it runs once per table row when a pipeline is bound, on the CPU.
PLAN_STAGES = ("encode", "denoise", "decode")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One plan. dims: sizes of the graph's named dimensions, of which a stage has some."""

    stage: str
    dims: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return " ".join((self.stage, *(f"{name}={size}" for name, size in self.dims)))


def wanted_plans(
    manifest: Manifest, pace: Pace, stems: Iterable[int], stages: Sequence[str] = PLAN_STAGES
) -> tuple[Wanted, ...]:
    """Plans that this pace runs with each of these counts of stems: encode, denoise per count, decode per
    count and size (`Pace.decode_sizes`).

    Raises PlanError for a stage without a plan or a count that cannot be.
    """
    counts = sorted(set(stems))
    for stage in stages:
        if stage not in PLAN_STAGES:
            raise PlanError(f"stage {stage!r} has no plan; choose {', '.join(PLAN_STAGES)}")
    if not counts or counts[0] < 1 or counts[-1] > len(manifest.stems):
        raise PlanError(f"this model writes 1 to {len(manifest.stems)} stems, not {counts[-1] if counts else 0}")
    sizes = pace.decode_sizes(manifest.geometry)
    every = [
        encode_plan(manifest),
        *(denoise_plan(count) for count in counts),
        *(decode_plan(count, frames) for count in counts for frames in sizes),
    ]
    return tuple(plan for plan in every if plan.stage in stages)


def encode_plan(manifest: Manifest) -> Wanted:
    """The encoder over a whole window."""
    return Wanted("encode", (("frames", manifest.geometry.window_frames),))


def denoise_plan(stems: int) -> Wanted:
    """One network evaluation of so many rows."""
    return Wanted("denoise", (("stems", stems),))


def decode_plan(stems: int, frames: int) -> Wanted:
    """The decoder over so many frames of so many rows."""
    return Wanted("decode", (("frames", frames), ("stems", stems)))


def input_shapes(manifest: Manifest, plan: Wanted) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs that the graph contract (engine/README.md) states for a stage.

    The outputs of `embed` are not in it: only their first dimension is known, the stems (`freeze`).
    """
    geometry, channels = manifest.geometry, manifest.latent_channels
    dims = dict(plan.dims)
    stems, frames = dims.get("stems", 1), dims.get("frames", geometry.window_frames)
    if plan.stage == "encode":
        samples = geometry.frame_samples * frames + geometry.encode_tail_samples
        return {"audio": (1, samples), "heard": (1, 1, frames)}
    if plan.stage == "denoise":
        latents = (stems, channels, frames)
        return {
            **dict.fromkeys(("u", "b", "source", "noise"), latents),
            "context": (1, manifest.encoded_channels, frames),
            "keep": (1, 1, frames),
            "row": (8,),
        }
    shapes: dict[str, tuple[int, ...]] = {"latent": (stems, channels, frames)}
    if manifest.decoder_noise_shape:
        shapes["noise"] = (stems, frames, *manifest.decoder_noise_shape)
    return shapes


def freeze(name: str, shape: Sequence[int], known: dict[str, tuple[int, ...]], plan: Wanted) -> tuple[int, ...]:
    """The shape an input gets: the contract's, else its own with an open first dimension set to the stems.

    Raises PlanError where the graph and the contract cannot both be right.
    """
    stems = dict(plan.dims).get("stems")
    if name in known:
        frozen = known[name]
    else:
        frozen = tuple(stems if i == 0 and size < 0 and stems else size for i, size in enumerate(shape))
    fits = len(frozen) == len(shape) and all(a in (-1, b) for a, b in zip(shape, frozen, strict=True))
    if not fits or min(frozen, default=1) < 1:
        raise PlanError(
            f"{plan.stage}: input {name} is {list(shape)}, {list(frozen)} is needed; export the bundle again"
        )
    return frozen
