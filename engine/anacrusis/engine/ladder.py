# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ladder: backends from fastest to surest, each tried in order, each refusal with its reason."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError
from anacrusis.engine.pipeline import Backend

log = logging.getLogger("anacrusis.ladder")


@dataclass(frozen=True, slots=True)
class Rung:
    """One backend on one device. probe: None if it can run here, else why not, cheaply and without a bundle."""

    name: str
    what: str
    probe: Callable[[], str | None]
    open: Callable[[Bundle, int], Backend]


def default_threads() -> int:
    """Intra-op threads: ANACRUSIS_THREADS, else half of the cores the process may use, at most 4.

    Half, because a performer's machine also runs the host, the server's threads and the audio driver.
    """
    value = os.environ.get("ANACRUSIS_THREADS", "")
    if value.isdigit() and int(value) > 0:
        return int(value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores // 2))


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _probe_ort(provider: str) -> Callable[[], str | None]:
    def probe() -> str | None:
        if not _has("onnxruntime"):
            return "onnxruntime is not installed (pip install onnxruntime)"
        have = importlib.import_module("onnxruntime").get_available_providers()
        return None if provider in have else f"this onnxruntime has no {provider} (it has {', '.join(have)})"

    return probe


def _probe_torch(device: str) -> Callable[[], str | None]:
    def probe() -> str | None:
        if not _has("torch") or not _has("safetensors"):
            return "torch is not installed (pip install 'anacrusis[torch]')"
        torch = importlib.import_module("torch")
        if device == "cuda" and torch.version.cuda is None:
            return f"this torch ({torch.__version__}) was built without CUDA"
        if device == "cuda" and not torch.cuda.is_available():
            return "torch sees no CUDA device"
        if device == "mps" and not torch.backends.mps.is_available():
            return "torch sees no MPS device"
        return None

    return probe


def _open_ort(name: str, provider: str) -> Callable[[Bundle, int], Backend]:
    def open_(bundle: Bundle, threads: int) -> Backend:
        from anacrusis.engine.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(bundle, provider=provider, threads=threads, name=name)

    return open_


def _open_torch(name: str, device: str) -> Callable[[Bundle, int], Backend]:
    def open_(bundle: Bundle, threads: int) -> Backend:
        from anacrusis.engine.backends.torch import FAST, ORACLE, TorchBackend

        options = FAST if device == "cuda" else ORACLE
        return TorchBackend(bundle, device=device, threads=threads, name=name, options=options)

    return open_


def _ort_rung(name: str, what: str, provider: str) -> Rung:
    return Rung(name, what, _probe_ort(provider), _open_ort(name, provider))


def _torch_rung(name: str, what: str, device: str) -> Rung:
    return Rung(name, what, _probe_torch(device), _open_torch(name, device))


def _tensorrt_rung(name: str, what: str) -> Rung:
    def probe() -> str | None:
        from anacrusis.engine.backends.tensorrt import probe

        return probe(name)

    def open_(bundle: Bundle, threads: int) -> Backend:
        from anacrusis.engine.backends.tensorrt import open_tensorrt

        return open_tensorrt(bundle, name, threads)

    return Rung(name, what, probe, open_)


# "auto" tries these in order. torch before ONNX Runtime on CUDA: it has the one graph a cycle.
RUNGS = (
    _tensorrt_rung("tensorrt-rtx", "TensorRT-RTX, float16, one CUDA graph a cycle"),
    _tensorrt_rung("tensorrt", "TensorRT, float16, one CUDA graph a cycle"),
    _torch_rung("torch-cuda", "torch on a CUDA device, float16, one CUDA graph a cycle", "cuda"),
    _ort_rung("onnxruntime-cuda", "ONNX Runtime, CUDA provider", "CUDAExecutionProvider"),
    _torch_rung("torch-mps", "torch eager on Apple's GPU", "mps"),
    _ort_rung("onnxruntime", "ONNX Runtime on the CPU: the embedded default", "CPUExecutionProvider"),
    _torch_rung("torch", "torch eager on the CPU: the reference", "cpu"),
)


def open_backend(
    bundle: Bundle, name: str = "auto", threads: int | None = None, *, passing: Mapping[str, str] | None = None
) -> Backend:
    """Open the named rung, or with "auto" the first that can run this bundle here.

    passing: rungs that opened but could not be bound, with the reason; they are not tried again. Logs one line a
    refusal. Raises BackendError listing every reason if none can. Any thread; may take seconds.
    """
    if name != "auto" and name not in {rung.name for rung in RUNGS}:
        raise BackendError(f"unknown backend {name!r}; choose auto, {', '.join(r.name for r in RUNGS)}")
    count = default_threads() if threads is None else threads
    reasons = []
    for rung in RUNGS:
        if name not in ("auto", rung.name):
            continue
        reason = (passing or {}).get(rung.name) or rung.probe()
        if reason is None:
            try:
                backend = rung.open(bundle, count)
            except AnacrusisError as error:
                reason = str(error)
            else:
                log.info("backend %s (%s)", rung.name, rung.what)
                return backend
        reason = " ".join(reason.split())  # one line, whatever a library said
        log.info("backend %s refused: %s", rung.name, reason)
        reasons.append(f"{rung.name}: {reason}")
    raise BackendError("no backend can run this bundle here. " + "; ".join(reasons))
