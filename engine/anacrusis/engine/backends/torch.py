# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Torch: the networks that export traced, from the bundle's weights. Eager float32 is the oracle of every rung.

The fast form, for CUDA cards that TensorRT-RTX does not know, computes in float16 and channels_last and runs a
cycle as one CUDA graph (`torch_graph.py`). What is between the two (eager float16, torch.compile) are options of
the same class, for measuring; none of them is a rung.

Not covered: gradients, several devices, `torch.export` packages.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from anacrusis.engine.backends.torch_graph import GraphPipeline, Stages
from anacrusis.engine.backends.torch_lane import Numerics, open_lane
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError, BundleError
from anacrusis.engine.networks import music2latent, songunet
from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage, Networks
from anacrusis.engine.pipeline import F32, Binding, CycleInputs, CycleOutputs, Pipeline, StageTimes


@dataclass(frozen=True, slots=True)
class TorchOptions:
    """How the networks run. The default is the oracle.

    compute: the type inside the networks; transforms, sampler state and its affine row are float32 always.
    graph: one prepared run per cycle over fixed buffers. compile_mode: a mode of torch.compile for the three
    stages of a cycle ("max-autotune-no-cudagraphs" with graph). numerics: see there.
    """

    compute: torch.dtype = torch.float32
    channels_last: bool = False
    graph: bool = False
    compile_mode: str | None = None
    numerics: Numerics = field(default_factory=Numerics)

    def validate(self) -> None:
        """Raise BackendError for what cannot be combined."""
        if self.compute not in (torch.float32, torch.float16, torch.bfloat16):
            raise BackendError(f"the torch backend computes in float32, float16 or bfloat16, not {self.compute}")
        if self.graph and self.compile_mode in ("max-autotune", "reduce-overhead"):
            raise BackendError(f"compile_mode {self.compile_mode!r} makes graphs of its own; take it without graph")


M = TypeVar("M", bound=nn.Module)

ORACLE = TorchOptions()
FAST = TorchOptions(torch.float16, channels_last=True, graph=True, numerics=Numerics(autotune=True))


class TorchBackend:
    """A bundle's networks on one device. Reads bundles of either precision; `options` says what they run in.

    networks: taken instead of the bundle's weights and left as they are, so that a benchmark needs no file.
    Raises BackendError where the networks are of another architecture or the device cannot hold them.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        threads: int = 1,
        name: str = "torch",
        options: TorchOptions = ORACLE,
        networks: Networks | None = None,
    ) -> None:
        options.validate()
        self.name, self.bundle, self.options, self.device = name, bundle, options, torch.device(device)
        self.binds_at_once = not options.graph
        if device == "cpu" and threads:
            torch.set_num_threads(threads)
        host = load_networks(bundle) if networks is None else networks
        # Conditioning runs once per binding, so it stays on the host and in float32 whatever the rest is.
        embed = EmbedStage(host.unet).eval()
        compute = options.compute
        with ours(f"put the networks on {device}"):
            unet, codec = self._placed(host.unet), self._placed(host.codec)
            self.stages: dict[str, Any] = {
                "encode": self._stage(EncodeStage(codec, compute)),
                "embed": embed,
                "denoise": self._stage(DenoiseStage(unet, compute)),
                "decode": self._stage(DecodeStage(codec, compute)),
            }

    def _placed(self, module: M) -> M:
        if self.device.type == "cpu" and self.options.compute == torch.float32 and not self.options.channels_last:
            return module
        placed = copy.deepcopy(module).to(self.device, self.options.compute)
        if self.options.channels_last:
            for parameter in placed.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return placed

    def _stage(self, stage: nn.Module) -> Any:
        stage = stage.eval().to(self.device)
        mode = self.options.compile_mode
        return stage if mode is None else torch.compile(stage, mode=mode, dynamic=False, fullgraph=True)

    def bind(self, binding: Binding) -> Pipeline:
        """Raises BackendError where the device cannot hold the buffers or a graph cannot be captured."""
        with ours("prepare a cycle"):
            if not self.options.graph:
                return TorchPipeline(self, binding)
            own = self.stages
            stages = Stages(own["encode"], own["denoise"], own["decode"], self.conditioning(binding))
            manifest = self.bundle.manifest
            return GraphPipeline(stages, open_lane(self.device), manifest, binding, self.options.numerics)

    @torch.inference_mode()
    def conditioning(self, binding: Binding) -> list[list[Tensor]]:
        """Per table row, every output of `embed` in the networks' type, on the device."""
        labels = torch.from_numpy(np.ascontiguousarray(binding.labels))
        rows = [self.stages["embed"](torch.full((binding.rows,), row.sigma), labels) for row in binding.table.rows]
        return [[bias.to(self.device, self.options.compute) for bias in row] for row in rows]


@contextlib.contextmanager
def ours(what: str) -> Iterator[None]:
    """Torch's errors (memory, capture, kernels) as one line of ours."""
    try:
        yield
    except RuntimeError as error:
        line = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise BackendError(f"torch could not {what}: {line}") from None


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
    """Every operation launched on its own. See `Pipeline`. One thread at a time."""

    def __init__(self, backend: TorchBackend, binding: Binding) -> None:
        manifest = backend.bundle.manifest
        self._backend, self._device, self._numerics = backend, backend.device, backend.options.numerics
        self.inputs = CycleInputs.zeros(manifest, binding)
        self._table = binding.table
        self._rows = self._to_device(binding.table.coefficients(manifest.parametrisation))
        self._cond = backend.conditioning(binding)

    def _to_device(self, array: F32) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    @torch.inference_mode()
    def encode(self) -> F32:
        with self._numerics.hold():
            return self._numpy(self._encoded())

    def decode_frames(self, wanted: int) -> int:
        return wanted

    def _encoded(self) -> Tensor:
        heard = self._to_device(self.inputs.heard)
        out: Tensor = self._backend.stages["encode"](self._to_device(self.inputs.audio), heard)
        return out

    @staticmethod
    def _numpy(tensor: Tensor) -> F32:
        array: F32 = tensor.cpu().numpy()
        return array

    @torch.inference_mode()
    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        if self._backend.options.compile_mode is not None:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with self._numerics.hold():
            return self._cycle(generate, decode_first, decode_frames)

    def _cycle(self, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
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
        audio = self._numpy(self._backend.stages["decode"](part, noise))
        times.decode_ms = lap()
        return CycleOutputs(self._numpy(latents), audio, context, times)

    def _sample(self, source: Tensor, context: Tensor) -> Tensor:
        keep, noise = self._to_device(self.inputs.keep), self._to_device(self.inputs.noise)
        u = keep * source + noise[0]
        b = u.clone()  # one tensor given twice is another case to torch.compile
        silent, injected = torch.zeros_like(u), iter(noise[1:])
        for row, coefficients, cond in zip(self._table.rows, self._rows, self._cond, strict=True):
            n = next(injected) if row.mix is not None else silent
            u, b = self._backend.stages["denoise"](u, b, source, n, context, keep, coefficients, cond)
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
