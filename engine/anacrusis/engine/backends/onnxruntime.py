# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the embedded default on CPU; on CUDA where neither TensorRT nor torch can run.

Every tensor of a cycle is bound to preallocated memory once (IOBinding), so a cycle is nfe + 2 runs and no Python
arithmetic. On CUDA context, state, noise and conditioning stay on the device; audio, masks and noise go up, the
latents and the audio come down, and the few latent columns to decode go up again (a slice is no session of its own).

On a CPU a window that ends in silence is not encoded to its end, where the graph allows that (`silence.py`).

Not covered: CUDA graphs. ONNX Runtime's are one a session, so they cannot hold a cycle together; they refuse
graphs with a node outside the provider, which shape arithmetic of named dimensions is; and a captured id replays
the addresses of its first run whatever is bound. `torch-cuda`, above this rung, has the graph.
"""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.engine.backends.onnxruntime_memory import Bound, DeviceMemory, HostMemory, Memory, Slot, input_types
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.engine.pipeline import F32, Binding, CycleInputs, CycleOutputs, StageTimes
from anacrusis.engine.silence import SILENT_FRAMES, frames_to_encode

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

# The transforms are part of encode and decode and span 90 dB: TF32's ten bits are kept out of them. Denoise has
# none, and its networks are made for ten bits. The search for convolutions runs once per shape, in the cycle that
# warms up; named here because the provider's default has changed before.
CUDA_OPTIONS = {"device_id": "0", "cudnn_conv_algo_search": "EXHAUSTIVE", "cudnn_conv_use_max_workspace": "1"}
TF32 = {"encode": "0", "decode": "0", "denoise": "1"}


class OnnxRuntimeBackend:
    """A bundle's four sessions. `threads`: intra-op threads per session, 0 for the library's choice.

    memory: where tensors live; None takes what the provider needs. Raises BackendError where a graph cannot be
    loaded or the provider is listed but cannot start.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str = CPU,
        threads: int = 1,
        name: str = "onnxruntime",
        memory: Memory | None = None,
    ) -> None:
        self.name, self.bundle, self.provider = name, bundle, provider
        self.memory: Memory = memory or (DeviceMemory("cuda") if provider == CUDA else HostMemory())
        self.binds_at_once = not self.memory.moves  # new shapes are searched for their convolutions
        if provider == CUDA:
            _preload()
        self.sessions = {
            stage: open_session(
                bundle.stage(stage), provider=provider, threads=threads, options=provider_options(provider, stage)
            )
            for stage in ("encode", "denoise", "decode")
        }
        # Conditioning runs once per binding and is not worth a device.
        self.sessions["embed"] = open_session(bundle.stage("embed"), provider=CPU, threads=threads)

    def silent_frames(self) -> int | None:
        """How many silent frames `encode` must get at least (`silence.py`); None where it takes the whole window."""
        if self.memory.moves:  # every new length would be a search for convolutions, in the middle of a song
            return None
        said = self.sessions["encode"].get_modelmeta().custom_metadata_map.get(SILENT_FRAMES)
        return None if said is None else int(said)

    def bind(self, binding: Binding) -> OnnxRuntimePipeline:
        return OnnxRuntimePipeline(self, binding)


def provider_options(provider: str, stage: str) -> dict[str, str]:
    """What a stage's session asks of its provider."""
    return {**CUDA_OPTIONS, "use_tf32": TF32[stage]} if provider == CUDA else {}


def _preload() -> None:
    """Find CUDA and cuDNN in their wheels. What is missing shows when the provider starts."""
    import onnxruntime as ort

    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):  # it prints, and may raise OSError
        ort.preload_dlls()


def open_session(path: Path, *, provider: str, threads: int, options: dict[str, str] | None = None) -> Any:
    """One InferenceSession. Raises BackendError, in one line, where the graph cannot be loaded on `provider`."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 3
    settings.enable_mem_pattern = False  # it costs the second cycle of every shape and gains nothing measurable
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")  # silence decays into denormals
    if threads != 1:
        # A spinning pool starves the audio thread of a machine whose cores are shared.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), settings, providers=[(provider, options or {})])
    except Exception as error:
        line = " ".join(str(error).split())
        raise BackendError(f"ONNX Runtime ({provider}) cannot load {path.name}: {line[:300]}") from None
    if session.get_providers()[0] != provider:  # it falls back to the CPU and only logs why
        raise BackendError(f"{provider} did not start (its CUDA or cuDNN libraries are missing or of another version)")
    return session


class OnnxRuntimePipeline:
    """See `Pipeline`. One thread at a time."""

    def __init__(self, backend: OnnxRuntimeBackend, binding: Binding) -> None:
        manifest, memory = backend.bundle.manifest, backend.memory
        self._sessions, self._geometry, self._binding = backend.sessions, manifest.geometry, binding
        self._memory = memory
        self.inputs = CycleInputs.zeros(manifest, binding)
        table, shape = binding.table, self.inputs.source.shape
        self._channels = shape[1]
        self._latents = np.zeros(shape, np.float32)
        self._decodes: dict[int, tuple[Bound, F32, F32, list[Slot]]] = {}
        self._decode_latent = np.zeros(shape[0] * shape[1] * binding.max_decode_frames, np.float32)
        longest = self._geometry.decoded_samples(binding.max_decode_frames)
        self._decode_audio = np.zeros(shape[0] * longest, np.float32)
        self._decoder_takes_noise = bool(manifest.decoder_noise_shape)

        heard, keep, source = (
            memory.slot(array) for array in (self.inputs.heard, self.inputs.keep, self.inputs.source)
        )
        self._context = memory.slot(np.zeros((1, manifest.encoded_channels, shape[2]), np.float32))
        noises = [memory.slot(array) for array in self.inputs.noise[1:]]
        # u and b ping-pong: row i reads set i % 2 and writes the other; the last row's u goes to the host.
        state = [{n: memory.slot(np.zeros(shape, np.float32)) for n in ("u", "b")} for _ in range(2)]
        self._first = state[0]
        self._heard, self._silent_frames = heard, backend.silent_frames()
        self._encodes: dict[int, tuple[Bound, list[Slot]]] = {}
        self._encoder(self._geometry.window_frames)
        self._to_denoise: list[Slot] = [keep, source, *noises, state[0]["u"], state[0]["b"]]

        rows = table.coefficients(manifest.parametrisation)
        silent = memory.slot(np.zeros(shape, np.float32))  # stands for the noise of a row that injects none
        injected = iter(noises)
        self._denoise = []
        for i, row in enumerate(table.rows):
            now, after = state[i % 2], state[1 - i % 2]
            feeds: dict[str, Slot] = {
                **now,
                "source": source,
                "noise": next(injected) if row.mix is not None else silent,
                "context": self._context,
                "keep": keep,
                "row": memory.slot(rows[i]),
                **self._embed(row.sigma),
            }
            last = i == len(table.rows) - 1
            outputs = {"u_next": self._latents if last else after["u"], "b_next": after["b"]}
            self._denoise.append(Bound(self._sessions["denoise"], feeds, outputs))

    def _embed(self, sigma: float) -> dict[str, Slot]:
        """The conditioning of one row: every output of `embed` is the `denoise` input of the same name."""
        session, wanted = self._sessions["embed"], input_types(self._sessions["denoise"])
        feeds = {
            "sigma": np.full(self._binding.rows, sigma, np.float32),
            "label": np.ascontiguousarray(self._binding.labels),
        }
        names = [output.name for output in session.get_outputs()]
        made = dict(zip(names, session.run(names, feeds), strict=True))
        return {name: self._memory.slot(np.ascontiguousarray(made[name], wanted.get(name))) for name in names}

    def _decode(self, frames: int) -> tuple[Bound, F32, F32, list[Slot]]:
        if frames not in self._decodes:
            rows, channels, samples = (
                self._binding.rows,
                self._channels,
                self._geometry.decoded_samples(frames),
            )
            latent = self._decode_latent[: rows * channels * frames].reshape(rows, channels, frames)
            audio = self._decode_audio[: rows * samples].reshape(rows, samples)
            feeds = {"latent": self._memory.slot(latent)}
            if self._decoder_takes_noise:
                feeds["noise"] = self._memory.slot(self.inputs.decoder_noise_view(frames))
            bound = Bound(self._sessions["decode"], feeds, {"audio": audio})
            self._decodes[frames] = (bound, latent, audio, list(feeds.values()))
        return self._decodes[frames]

    def _encoder(self, frames: int) -> tuple[Bound, list[Slot]]:
        """Of the window's first so many frames."""
        if frames not in self._encodes:
            samples = self._geometry.frame_samples * frames + self._geometry.encode_tail_samples
            feeds = {"audio": self._memory.slot(self.inputs.audio[:, :samples]), "heard": self._heard}
            bound = Bound(self._sessions["encode"], feeds, {"latent": self._context})
            self._encodes[frames] = (bound, list(feeds.values()))
        return self._encodes[frames]

    def _encode(self) -> None:
        frames = self._geometry.window_frames
        if self._silent_frames is not None:
            frames = frames_to_encode(self._geometry, self.inputs.audio, self.inputs.heard, self._silent_frames)
        bound, to_encode = self._encoder(frames)
        _upload(to_encode)
        bound.run()

    def encode(self) -> F32:
        self._encode()
        self._context.download()
        return self._context.array

    def decode_frames(self, wanted: int) -> int:
        return wanted

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        times = StageTimes()
        latents = self.inputs.source
        mark = time.perf_counter()
        if generate:
            self._encode()
            times.encode_ms, mark = _lap(mark)
            u, b = self._first["u"].array, self._first["b"].array
            np.multiply(self.inputs.source, self.inputs.keep, out=u)
            u += self.inputs.noise[0]
            b[...] = u
            _upload(self._to_denoise)
            for row in self._denoise:
                row.run()
            latents = self._latents
            times.denoise_ms, mark = _lap(mark)
        bound, latent, audio, to_decode = self._decode(decode_frames)
        latent[...] = latents[:, :, decode_first : decode_first + decode_frames]
        _upload(to_decode)
        bound.run()
        times.decode_ms, mark = _lap(mark)
        context = None if self._memory.moves else self._context.array
        return CycleOutputs(latents, audio, context, times)


def _upload(slots: list[Slot]) -> None:
    for slot in slots:
        slot.upload()


def _lap(since: float) -> tuple[float, float]:
    now = time.perf_counter()
    return (now - since) * 1e3, now
