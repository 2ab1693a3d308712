# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the GPU measurements run: networks (tiny or full size) and every way of running them, by name.

A dry run takes the same names on a CPU: float16 becomes float32 (a CPU computes float16 a hundred times slower),
CUDA becomes the CPU with device memory apart, and TensorRT becomes the double of `device_double`.

Not covered: which of these are rungs of the ladder (`engine/ladder.py`); most exist to be compared with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError
from anacrusis.engine.paths import TINY_BUNDLE
from anacrusis.engine.pipeline import Backend, Binding, Pipeline
from anacrusis.engine.sampler import SamplerTable

SEED = 1
# Gflop at full size, measured with torch's counter on the networks as published: the encoder over a window, one
# evaluation of the U-Net for one stem, one decoded column of one stem.
ENCODE_GFLOP, EVALUATION_GFLOP, COLUMN_GFLOP = 278.84, 356.25, 29.09


def cycle_gflop(stems: int, nfe: int, decode_frames: int) -> float:
    """Work of one cycle of the full-size networks."""
    return ENCODE_GFLOP + stems * (nfe * EVALUATION_GFLOP + decode_frames * COLUMN_GFLOP)


class NotRunError(Exception):
    """This machine cannot run it; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run was told. onnx: a full-size bundle, if there is one. scratch: a directory for the weights drawn."""

    dry_run: bool
    scratch: Path
    onnx: Path | None = None

    @property
    def device(self) -> str:
        return "cpu" if self.dry_run else "cuda"


@dataclass(frozen=True, slots=True)
class Subject:
    """Networks to run. bundle: its manifest counts; its files only where `onnx`. weights: of networks without files."""

    name: str
    bundle: Bundle
    onnx: bool
    weights: Path | None = None

    @property
    def is_full(self) -> bool:
        return self.name.startswith("full")

    def networks(self) -> Any:
        """The torch networks, on the CPU. Raises NotRunError where neither bundle nor weights are there."""
        if self.onnx:
            return None  # the backend reads them from the bundle
        import torch

        from anacrusis.export.seeded import empty_networks

        if self.weights is None or not self.weights.is_file():
            raise NotRunError("the weights were not drawn")
        networks = empty_networks("full")
        networks.load(torch.load(self.weights, mmap=True, weights_only=True))
        return networks


def tiny_subject() -> Subject:
    return Subject("tiny-cd", Bundle.open(TINY_BUNDLE, verify=False), onnx=True)


def full_subject(setting: Setting) -> Subject:
    """The bundle given, else seeded networks without files; in a dry run the tiny bundle."""
    if setting.dry_run:
        return tiny_subject()
    if setting.onnx is not None:
        bundle = Bundle.open(setting.onnx, verify=False)
        return Subject(f"full: {bundle.manifest.name}", bundle, onnx=True)
    tiny = Bundle.open(TINY_BUNDLE, verify=False)
    manifest = replace(tiny.manifest, name="full-cd", provenance={"seeded": {"size": "full", "seed": SEED}})
    return Subject("full-cd", Bundle(tiny.path, manifest, "seeded"), onnx=False, weights=weights_file(setting))


def weights_file(setting: Setting) -> Path:
    return setting.scratch / "full.pt"


def draw_weights(setting: Setting) -> None:
    """Draw the full-size networks once, for every process that follows."""
    import torch

    from anacrusis.export.seeded import seeded_networks

    torch.save(seeded_networks("tiny" if setting.dry_run else "full", SEED).state(), weights_file(setting))


# -- ways of running them -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """One way. precision: inside the networks. prepares: whether decode sizes are named when it is bound."""

    precision: str
    open: Callable[[Subject, Setting], Backend]
    prepares: bool = True


def _torch(compute: str = "float16", *, compiled: str | None = None, **options: Any) -> Callable[..., Backend]:
    def open_(subject: Subject, setting: Setting) -> Backend:
        try:
            import torch

            from anacrusis.engine.backends.torch import TorchBackend, TorchOptions
            from anacrusis.engine.backends.torch_lane import Numerics
        except ImportError as error:
            raise NotRunError(f"torch does not import ({error})") from None
        device = options.get("device", setting.device)
        if device == "cuda" and not torch.cuda.is_available():
            raise NotRunError("torch sees no CUDA device")
        numerics = Numerics(options.get("tf32", False), options.get("autotune", False))
        chosen = TorchOptions(
            torch.float32 if setting.dry_run else getattr(torch, compute),
            channels_last=options.get("channels_last", False),
            graph=options.get("graph", False),
            compile_mode=None if setting.dry_run else compiled,
            numerics=numerics,
        )
        networks = subject.networks()
        threads = int(os.environ.get("ANACRUSIS_THREADS", "0"))
        backend = TorchBackend(subject.bundle, device=device, threads=threads, options=chosen, networks=networks)
        if setting.dry_run and compiled:  # tracing alone, of the smallest stage: a CPU has no minutes to spend on it
            encode = backend.stages["encode"]
            backend.stages["encode"] = torch.compile(encode, backend="eager", dynamic=False, fullgraph=True)
        return backend

    return open_


def _onnxruntime(subject: Subject, setting: Setting) -> Backend:
    from anacrusis.engine.backends.onnxruntime import CPU, CUDA, OnnxRuntimeBackend
    from anacrusis.engine.backends.onnxruntime_memory import DeviceMemory
    from anacrusis.engine.ladder import RUNGS

    if not subject.onnx:
        raise NotRunError("needs an exported bundle")
    reason = next(r for r in RUNGS if r.name == ("onnxruntime" if setting.dry_run else "onnxruntime-cuda")).probe()
    if reason is not None:
        raise NotRunError(f"wheel missing or of no use here: {reason}")
    provider = CPU if setting.dry_run else CUDA
    memory = DeviceMemory(setting.device)
    return OnnxRuntimeBackend(subject.bundle, provider=provider, memory=memory, name="onnxruntime-cuda")


Built = dict[tuple[str, tuple[tuple[str, int], ...]], bytes]


def tensorrt(
    name: str, target: str = "current", *, apart: bool = False, built: Built | None = None
) -> Callable[[Subject, Setting], Backend]:
    """name: "tensorrt-rtx" or "tensorrt". target: "current", "default" or "sm80". apart: without a graph.

    built: plans of this target that were built before, and those that will be.
    """

    def open_(subject: Subject, setting: Setting) -> Backend:
        from anacrusis.engine.backends.cuda_device import CudaDevice
        from anacrusis.engine.backends.tensorrt import TensorRtBackend, load_library

        if not subject.onnx:
            raise NotRunError("needs an exported bundle")
        plans: Callable[[str, Mapping[str, int]], bytes]
        if setting.dry_run:
            from anacrusis.benchmarks.device_double import DeviceDouble

            double = DeviceDouble(rtx=name == "tensorrt-rtx")
            device, library, plans = CudaDevice(double.driver), double.library, double.plans(subject.bundle)
        else:
            try:
                device, library = CudaDevice.open(), load_library(name)
            except AnacrusisError as error:
                raise NotRunError(f"wheel or driver missing: {error}") from None
            plans = plans_in_memory(name, library, subject.bundle, target, built)
        return TensorRtBackend(subject.bundle, device=device, library=library, plans=plans, name=name, profile=apart)

    return open_


def plans_in_memory(
    name: str, module: Any, bundle: Bundle, target: str, built: Built | None = None
) -> Callable[[str, Mapping[str, int]], bytes]:
    """Builds what is asked for, once, past the cache and past the list of supported cards: that is being tried."""
    from anacrusis.engine.plans.build import build_plan
    from anacrusis.engine.plans.library import Library
    from anacrusis.engine.plans.progress import BuildWatch
    from anacrusis.engine.plans.targets import Target
    from anacrusis.engine.plans.wanted import Wanted

    rtx = name == "tensorrt-rtx"
    library = Library("rtx" if rtx else "tensorrt", str(module.__version__), _WithCurrent(module) if rtx else module)
    sms: dict[str, tuple[Any, ...]] = {"current": ("_CURRENT",), "sm80": (80,), "default": ()}
    have: Built = {} if built is None else built

    def plan(stage: str, dims: Mapping[str, int]) -> bytes:
        key = (stage, tuple(sorted(dims.items())))
        if key not in have:
            wanted, chosen = Wanted(*key), Target(sms[target]) if rtx else None
            try:
                made = build_plan(library, bundle.manifest, bundle.stage(stage), wanted, chosen, BuildWatch(60.0))
            except AnacrusisError as error:
                raise BackendError(f"building {wanted} for {target}: {error}") from None
            have[key] = bytes(made.plan)
        return have[key]

    return plan


class _WithCurrent:
    """A library whose capability CURRENT has a name that `build.configure` can ask for."""

    def __init__(self, module: Any) -> None:
        self._module = module

        class Capabilities:
            SM_CURRENT = module.ComputeCapability.CURRENT
            SM80 = module.ComputeCapability.SM80

        self.ComputeCapability = Capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


FAST: dict[str, Any] = {"channels_last": True, "graph": True, "autotune": True}

WAYS: dict[str, Way] = {
    # Plain torch of a script: convolutions in TF32, products in float32. What the original server does.
    "eager-fp32": Way("float32, TF32 convolutions", _torch("float32", tf32=None)),
    "eager-fp32-strict": Way("float32", _torch("float32")),
    "eager-fp16": Way("float16", _torch()),
    "eager-fp16-nhwc": Way("float16", _torch(channels_last=True, autotune=True)),
    "launches-fp16": Way("float16", _torch(**FAST), prepares=False),
    "graph-fp16": Way("float16", _torch(**FAST)),
    "graph-fp16-nchw": Way("float16", _torch(graph=True, autotune=True)),
    "compile-fp16": Way("float16", _torch(compiled="max-autotune", channels_last=True)),
    "compile-graph-fp16": Way("float16", _torch(compiled="max-autotune-no-cudagraphs", **FAST)),
    "onnxruntime-cuda": Way("the bundle's", _onnxruntime),
    "tensorrt-rtx": Way("the bundle's", tensorrt("tensorrt-rtx")),
    "tensorrt": Way("the bundle's", tensorrt("tensorrt")),
    "oracle": Way("float32", _torch("float32", device="cpu")),
}


def open_way(way: str, subject: Subject, setting: Setting) -> Backend:
    """Raises NotRunError or BackendError."""
    return WAYS[way].open(subject, setting)


def bind_way(
    backend: Backend, way: str, table: SamplerTable, *, stems: int = 1, decode_frames: int = 17, new: int | None = None
) -> Pipeline:
    """Bound, its inputs filled with the same noise for everyone. new: frames generated (one less than decoded)."""
    manifest = backend.bundle.manifest
    labels = np.eye(len(manifest.stems), dtype=np.float32)[:stems]
    sizes = (decode_frames,) if WAYS[way].prepares else ()
    pipeline = backend.bind(Binding(labels, table, decode_frames, sizes))
    frames, made = manifest.geometry.window_frames, decode_frames - 1 if new is None else new
    rng = np.random.default_rng(SEED)
    inputs = pipeline.inputs
    for name, scale in (("audio", 0.1), ("source", 1.0), ("noise", 1.0), ("decoder_noise", 1.0)):
        array = getattr(inputs, name)
        array[...] = scale * rng.standard_normal(array.shape, dtype=np.float32)
    inputs.heard[...], inputs.keep[...] = 1.0, 1.0
    inputs.heard[..., frames - min(2 * made, frames // 2) :] = 0.0
    inputs.keep[..., frames - made :] = 0.0
    draws = rng.standard_normal((table.draws, *inputs.source.shape), dtype=np.float32)
    table.mix_noise(draws, inputs.keep, inputs.noise)
    return pipeline
