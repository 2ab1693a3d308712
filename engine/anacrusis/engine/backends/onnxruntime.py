# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the embedded default on CPU; other execution providers by name.

Every tensor of a cycle is bound to preallocated host memory once (IOBinding), so a cycle is nfe + 2 calls and
no Python arithmetic. With a GPU provider ONNX Runtime copies those arrays over itself: right, not fast; the
TensorRT backend is for speed.

Not covered: provider options beyond the defaults, CUDA graphs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.engine.pipeline import F32, Binding, CycleInputs, CycleOutputs, StageTimes


class OnnxRuntimeBackend:
    """A bundle's four sessions. `threads`: intra-op threads per session, 0 for the library's choice."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str = "CPUExecutionProvider",
        threads: int = 1,
        name: str = "onnxruntime",
    ) -> None:
        self.name, self.bundle, self.provider = name, bundle, provider
        self.sessions = {
            stage: open_session(bundle.stage(stage), provider=provider, threads=threads)
            for stage in ("encode", "embed", "denoise", "decode")
        }

    def bind(self, binding: Binding) -> OnnxRuntimePipeline:
        return OnnxRuntimePipeline(self, binding)


def open_session(path: Path, *, provider: str, threads: int) -> Any:
    """One InferenceSession. Raises BackendError, in one line, where the graph cannot be loaded."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # it costs the second cycle of every shape and gains nothing measurable
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # silence decays into denormals
    if threads != 1:
        # A spinning pool starves the audio thread of a machine whose cores are shared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        line = " ".join(str(error).split())
        raise BackendError(f"ONNX Runtime ({provider}) cannot load {path.name}: {line[:300]}") from None


class _Bound:
    """One session's IOBinding over host arrays that outlive it."""

    def __init__(self, session: Any, inputs: dict[str, F32], outputs: dict[str, F32]) -> None:
        self._session, self._keep_alive = session, (inputs, outputs)
        self._binding = session.io_binding()
        for name, array in inputs.items():
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


class OnnxRuntimePipeline:
    """See `Pipeline`. One thread at a time."""

    def __init__(self, backend: OnnxRuntimeBackend, binding: Binding) -> None:
        manifest = backend.bundle.manifest
        self._sessions, self._geometry, self._binding = backend.sessions, manifest.geometry, binding
        self.inputs = CycleInputs.zeros(manifest, binding)
        table, shape = binding.table, self.inputs.source.shape
        self._channels = shape[1]
        self._context = np.zeros((1, *shape[1:]), np.float32)
        # u and b ping-pong: row i reads set i % 2 and writes the other.
        self._state = [{n: np.zeros(shape, np.float32) for n in ("u", "b")} for _ in range(2)]
        self._decodes: dict[int, tuple[_Bound, F32, F32]] = {}
        self._decode_latent = np.zeros(shape[0] * shape[1] * binding.max_decode_frames, np.float32)
        longest = self._geometry.decoded_samples(binding.max_decode_frames)
        self._decode_audio = np.zeros(shape[0] * longest, np.float32)
        self._decoder_takes_noise = bool(manifest.decoder_noise_shape)

        self._encode = _Bound(
            self._sessions["encode"],
            {"audio": self.inputs.audio, "heard": self.inputs.heard},
            {"latent": self._context},
        )
        rows = table.coefficients(manifest.parametrisation)
        silent = np.zeros(shape, np.float32)  # stands for the noise of a row that injects none
        noises = iter(self.inputs.noise[1:])
        self._denoise = []
        for i, row in enumerate(table.rows):
            now, after = self._state[i % 2], self._state[1 - i % 2]
            feeds = {
                **now,
                "source": self.inputs.source,
                "noise": next(noises) if row.mix is not None else silent,
                "context": self._context,
                "keep": self.inputs.keep,
                "row": rows[i],
                **self._embed(row.sigma),
            }
            outputs = {"u_next": after["u"], "b_next": after["b"]}
            self._denoise.append(_Bound(self._sessions["denoise"], feeds, outputs))

    def _embed(self, sigma: float) -> dict[str, F32]:
        """The conditioning of one row: every output of `embed` is the `denoise` input of the same name."""
        session = self._sessions["embed"]
        feeds = {
            "sigma": np.full(self._binding.rows, sigma, np.float32),
            "label": np.ascontiguousarray(self._binding.labels),
        }
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feeds), strict=True))

    def _decode(self, frames: int) -> tuple[_Bound, F32, F32]:
        if frames not in self._decodes:
            rows, channels, samples = (
                self._binding.rows,
                self._channels,
                self._geometry.decoded_samples(frames),
            )
            latent = self._decode_latent[: rows * channels * frames].reshape(rows, channels, frames)
            audio = self._decode_audio[: rows * samples].reshape(rows, samples)
            feeds = {"latent": latent}
            if self._decoder_takes_noise:
                feeds["noise"] = self.inputs.decoder_noise_view(frames)
            self._decodes[frames] = (_Bound(self._sessions["decode"], feeds, {"audio": audio}), latent, audio)
        return self._decodes[frames]

    def encode(self) -> F32:
        self._encode.run()
        return self._context

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        times = StageTimes()
        latents = self.inputs.source
        mark = time.perf_counter()
        if generate:
            self._encode.run()
            times.encode_ms, mark = _lap(mark)
            u, b = self._state[0]["u"], self._state[0]["b"]
            np.multiply(self.inputs.source, self.inputs.keep, out=u)
            u += self.inputs.noise[0]
            b[...] = u
            for row in self._denoise:
                row.run()
            latents = self._state[len(self._denoise) % 2]["u"]
            times.denoise_ms, mark = _lap(mark)
        bound, latent, audio = self._decode(decode_frames)
        latent[...] = latents[:, :, decode_first : decode_first + decode_frames]
        bound.run()
        times.decode_ms, mark = _lap(mark)
        return CycleOutputs(latents, audio, self._context, times)


def _lap(since: float) -> tuple[float, float]:
    now = time.perf_counter()
    return (now - since) * 1e3, now
