# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Torch eager: the reference and the oracle. It runs the modules that export traced, from the bundle's weights.

Not covered: CUDA graphs and channels_last (the development path where TensorRT cannot run).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError, BundleError
from anacrusis.engine.networks import music2latent, songunet
from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage, Networks
from anacrusis.engine.pipeline import F32, Binding, CycleInputs, CycleOutputs, StageTimes


class TorchBackend:
    """A bundle's networks on one device. Computes in float32 whatever the bundle's precision: it is the oracle."""

    def __init__(self, bundle: Bundle, *, device: str = "cpu", threads: int = 1, name: str = "torch") -> None:
        self.name, self.bundle, self.device = name, bundle, torch.device(device)
        if device == "cpu" and threads:
            torch.set_num_threads(threads)
        networks = load_networks(bundle)
        self.stages = {
            "encode": EncodeStage(networks.codec),
            "embed": EmbedStage(networks.unet),
            "denoise": DenoiseStage(networks.unet),
            "decode": DecodeStage(networks.codec),
        }
        for stage in self.stages.values():
            stage.eval().to(self.device)

    def bind(self, binding: Binding) -> TorchPipeline:
        return TorchPipeline(self, binding)


def load_networks(bundle: Bundle) -> Networks:
    """The bundle's networks from its weights. Raises BackendError where they are of another architecture."""
    from safetensors.torch import load_file

    try:
        tensors = {name: tensor.float() for name, tensor in load_file(bundle.weights).items()}
        own = [{n.removeprefix(p): t for n, t in tensors.items() if n.startswith(p)} for p in ("unet.", "codec.")]
        shapes = [{n: tuple(t.shape) for n, t in part.items()} for part in own]
        networks = Networks(
            songunet.SongUNet(songunet.infer_config(shapes[0])),
            music2latent.Music2Latent(music2latent.infer_config(shapes[1])),
        )
        networks.load(tensors)
    except (KeyError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise BackendError(f"the torch backend does not know this bundle's networks ({line})") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{bundle.weights} cannot be read ({error}); export the bundle again") from None
    return networks


class TorchPipeline:
    """See `Pipeline`. One thread at a time."""

    def __init__(self, backend: TorchBackend, binding: Binding) -> None:
        manifest = backend.bundle.manifest
        self._stages, self._device = backend.stages, backend.device
        self.inputs = CycleInputs.zeros(manifest, binding)
        self._table = binding.table
        self._rows = self._to_device(binding.table.coefficients(manifest.parametrisation))
        labels = self._to_device(np.ascontiguousarray(binding.labels))
        with torch.inference_mode():
            self._cond = [
                list(self._stages["embed"](torch.full((binding.rows,), row.sigma, device=self._device), labels))
                for row in binding.table.rows
            ]

    def _to_device(self, array: F32) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    @torch.inference_mode()
    def encode(self) -> F32:
        return self._numpy(self._encoded())

    def _encoded(self) -> Tensor:
        out: Tensor = self._stages["encode"](self._to_device(self.inputs.audio), self._to_device(self.inputs.heard))
        return out

    @staticmethod
    def _numpy(tensor: Tensor) -> F32:
        array: F32 = tensor.cpu().numpy()
        return array

    @torch.inference_mode()
    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        times = StageTimes()
        source = self._to_device(self.inputs.source)
        latents, context = source, None
        lap = self._clock()
        if generate:
            encoded = self._encoded()
            times.encode_ms = lap()
            latents = self._sample(source, encoded)
            times.denoise_ms = lap()
            context = self._numpy(encoded)
        part = latents[:, :, decode_first : decode_first + decode_frames]
        noise = self._to_device(self.inputs.decoder_noise_view(decode_frames))
        audio = self._numpy(self._stages["decode"](part, noise))
        times.decode_ms = lap()
        return CycleOutputs(self._numpy(latents), audio, context, times)

    def _sample(self, source: Tensor, context: Tensor) -> Tensor:
        keep, noise = self._to_device(self.inputs.keep), self._to_device(self.inputs.noise)
        u = b = keep * source + noise[0]
        silent, injected = torch.zeros_like(u), iter(noise[1:])
        for row, coefficients, cond in zip(self._table.rows, self._rows, self._cond, strict=True):
            n = next(injected) if row.mix is not None else silent
            u, b = self._stages["denoise"](u, b, source, n, context, keep, coefficients, cond)
        return u

    def _clock(self) -> Callable[[], float]:
        mark = time.perf_counter()

        def lap() -> float:
            nonlocal mark
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            now = time.perf_counter()
            elapsed, mark = (now - mark) * 1e3, now
            return elapsed

        return lap
