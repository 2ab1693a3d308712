# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What every timing is a ratio to: the original server's cost structure, on the torch rung, in the same run.

The same weights in float32, launched operation by operation (no graph, no compiler), the whole window encoded however
much of it is silence, the original's cycle (`engine/upstream.py`: its window of 264,600 samples, its integers, its
ramp), and the inverse STFT on the host, by an FFT, after the spectrum was copied there. Our own transforms, the shorter
encode, the graph and whatever a rung does are what a ratio then shows.

Kept from ours because it costs the original at most as much: conditioning is computed once, not in every evaluation.
Where a bundle cannot run in the original's cycle (it encodes what it hears otherwise than what it writes), ours is run.
Where torch does not know the bundle's networks (they exist as graphs only), the graphs themselves are run operation by
operation in ONNX Runtime, every optimisation of it off, the whole window encoded: what the graphs cost before a runtime
makes anything of them. That is another library's eager mode, not the original's. `Yardstick.what` says which it is.

Not covered: the original's own Python outside its networks (sockets, tuples, timers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.backends.onnxruntime_plain import PlainGraphs
from anacrusis.engine.backends.torch import TorchBackend
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import BackendError
from anacrusis.engine.networks.music2latent import Music2Latent
from anacrusis.engine.networks.stages import DecodeStage
from anacrusis.engine.networks.stft import InverseStft

TORCH = "torch float32 eager, whole window encoded, inverse STFT on the host"
GRAPHS = (
    "the bundle's own graphs in ONNX Runtime with every optimisation off, whole window encoded (torch cannot run them)"
)
UPSTREAM, NATIVE = "the original's cycle", "our own cycle"


def host_audio(spectrum: Tensor, like: InverseStft) -> Tensor:
    """Compressed spectrum [B, 2, 1024, L] on any device -> audio [B, 2048 + 512 (L - 1)] on the host, by an FFT.

    like: whose scale, exponent and window. The same as `like(spectrum)` to rounding.
    """
    z = spectrum.detach().cpu() / like.scale
    magnitude = torch.hypot(z[:, 0], z[:, 1])
    gain = torch.where(magnitude > 0, magnitude.clamp_min(1e-12) ** (1 / like.power - 1), torch.zeros_like(magnitude))
    half = F.pad(torch.complex(z[:, 0] * gain, z[:, 1] * gain), (0, 0, 0, 1))  # the dropped Nyquist bin is zero
    frames = torch.fft.irfft(half, n=like.n_fft, dim=1) * like.gain.cpu()[:, None]
    length = like.n_fft + like.hop_samples * (frames.shape[2] - 1)
    added = F.fold(frames, (1, length), (1, like.n_fft), stride=(1, like.hop_samples))
    return added[:, 0, 0].clamp(-1.0, 1.0)


class HostDecodeStage(nn.Module):
    """`DecodeStage` with the original's ending: the spectrum leaves the device and becomes audio on the host."""

    def __init__(self, stage: DecodeStage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, latent: Tensor, noise: Tensor) -> Tensor:
        """As `DecodeStage.forward`."""
        stems, frames, planes, bins, columns = noise.shape
        flat = noise.permute(0, 2, 3, 1, 4).reshape(stems, planes, bins, frames * columns)
        return host_audio(self.stage.codec.decode(latent, flat, self.stage.compute), self.stage.istft)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """An engine to take turns with. what: how it runs, for the record."""

    engine: Engine
    what: str


def yardstick_backend(bundle: Bundle, *, device: str = "cpu", threads: int = 1) -> TorchBackend | PlainGraphs:
    """Torch's where it knows the networks, else their graphs'. Raises BackendError where neither runs."""
    try:
        backend = TorchBackend(bundle, device=device, threads=threads, name="yardstick")
    except BackendError:
        if bundle.manifest.precision.compute != "float32":
            raise
        return PlainGraphs(bundle, threads=threads, name="yardstick")
    stage: Any = backend.stages["decode"]
    if isinstance(stage, DecodeStage) and isinstance(stage.codec, Music2Latent):
        backend.stages["decode"] = HostDecodeStage(stage)
    return backend


def open_yardstick(
    backend: TorchBackend | PlainGraphs,
    *,
    stems: Sequence[str],
    r: float,
    w: float = 1.0,
    sampler_steps: int | None = None,
) -> Yardstick:
    """One session on a `yardstick_backend`, at r of its own window. Raises GeometryError, StemError.

    Several stems are one generation, as in the original, so a time is that of one stem whatever `stems` is.
    """
    library = TORCH if isinstance(backend, TorchBackend) else GRAPHS
    common: dict[str, Any] = {"backend": backend, "stems": stems, "r": r, "w": w, "sampler_steps": sampler_steps}
    if backend.bundle.manifest.context_channels is None:
        return Yardstick(Engine.open(backend.bundle, compat="upstream", **common), f"{library}; {UPSTREAM}")
    common["stems"] = stems[:1]
    return Yardstick(Engine.open(backend.bundle, **common), f"{library}; {NATIVE}")


def try_backend(
    bundle: Bundle, *, device: str = "cpu", threads: int = 1
) -> tuple[TorchBackend | PlainGraphs | None, str]:
    """(backend, "") or (None, why there is no yardstick for this bundle)."""
    try:
        return yardstick_backend(bundle, device=device, threads=threads), ""
    except BackendError as error:
        return None, str(error)
