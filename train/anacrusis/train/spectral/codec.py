# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The spectral codec as a whole: audio at 44.1 kHz <-> latent [64, frames], its two graphs, and its file.

A rival to the note-roll codec, for any audio of one instrument. The latent holds magnitudes only; phases are made anew
by `phase.py`. So the waveform does not come back, only what it sounds like: SI-SDR says nothing about this codec.

Not covered: bundles (a model trained on these latents would need one), stereo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from anacrusis.engine.networks.stft import Stft
from anacrusis.train.paths import SPECTRAL_WEIGHTS
from anacrusis.train.song import CorpusError
from anacrusis.train.spectral.network import HOPS, SpectralConfig, SpectralNetwork
from anacrusis.train.spectral.phase import HOP_SAMPLES, N_FFT, Reconstruction

FRAME_SAMPLES: Final = HOPS * HOP_SAMPLES
TAIL_SAMPLES: Final = N_FFT - HOP_SAMPLES
TAPER_SAMPLES: Final = 8 * FRAME_SAMPLES  # a note whose attack lies in it has the phases that the step before gave it
NOISE_SAMPLES: Final = 16 * FRAME_SAMPLES  # of which an endless noise is made by repetition

Audio = NDArray[np.float32]


class EncodeModule(nn.Module):
    """The graph: audio [1, 4096 F + 1536] -> latent [1, 64, F]."""

    def __init__(self, network: SpectralNetwork) -> None:
        super().__init__()
        self.network, self.stft = network, Stft(scale=1.0, power=1.0)

    def magnitude(self, audio: Tensor) -> Tensor:
        spectrum: Tensor = self.stft(audio)
        return spectrum.square().sum(1).sqrt()

    def forward(self, audio: Tensor) -> Tensor:
        return self.network.encode(self.magnitude(audio))


class DecodeModule(nn.Module):
    """The graph: latent [stems, 64, F] -> audio [stems, 4096 F + TAPER_SAMPLES], zeros where no frame reaches."""

    def __init__(self, network: SpectralNetwork, rounds: int = 4) -> None:
        super().__init__()
        self.network, self.reconstruction = network, Reconstruction(rounds)
        noise = np.random.default_rng(0).standard_normal(NOISE_SAMPLES).astype(np.float32)
        self.noise: Tensor
        self.register_buffer("noise", torch.from_numpy(noise), persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        loudness, scale = self.network.decode(latent)
        samples = latent.shape[2] * FRAME_SAMPLES + TAIL_SAMPLES
        index = torch.remainder(torch.arange(samples, device=latent.device), NOISE_SAMPLES)
        noise = self.noise[index][None]
        audio = self.reconstruction(self.network.magnitude(loudness), self.network.share(scale), noise)
        return nn.functional.pad(audio, (0, TAPER_SAMPLES - TAIL_SAMPLES))


class SpectralCodec:
    """`encode`: audio float32 [n] -> latent [64, frames]; `decode`: latent [64, frames] -> audio [4096 frames]."""

    def __init__(self, network: SpectralNetwork, about: Mapping[str, Any] | None = None, rounds: int = 4) -> None:
        self.network, self.about = network.eval(), dict(about or {})
        self.encoder, self.decoder = EncodeModule(network).eval(), DecodeModule(network, rounds).eval()

    def encode(self, audio: Audio) -> Audio:
        """As many frames as begin within the audio; silence is assumed beyond its end."""
        frames = -(-audio.shape[-1] // FRAME_SAMPLES)
        padded = np.zeros(frames * FRAME_SAMPLES + TAIL_SAMPLES, np.float32)
        padded[: audio.shape[-1]] = audio
        with torch.no_grad():
            latent: Audio = self.encoder(torch.from_numpy(padded)[None])[0].numpy()
        return latent

    def decode(self, latent: Audio) -> Audio:
        """All frames; the first three hops fade in, as no frame before them is there."""
        with torch.no_grad():
            audio: Audio = self.decoder(torch.from_numpy(np.ascontiguousarray(latent))[None])[0].numpy()
        return audio[: latent.shape[-1] * FRAME_SAMPLES]

    def save(self, path: Path) -> None:
        """Weights as float16, what is known of them as metadata."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: value.half().contiguous() for name, value in self.network.state_dict().items()}
        about = {"config": self.network.config.to_dict(), "about": self.about}
        path.write_bytes(save(state, {"anacrusis.spectral": json.dumps(about, sort_keys=True)}))

    @classmethod
    def load(cls, path: Path = SPECTRAL_WEIGHTS, rounds: int = 4) -> SpectralCodec:
        """Raises CorpusError where there is no such file or it holds something else."""
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["anacrusis.spectral"])
                state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            network = SpectralNetwork(SpectralConfig(**about["config"]))
            network.load_state_dict(state)
        except FileNotFoundError:
            raise CorpusError(
                f"no spectral codec at {path}; train one: python -m anacrusis.train.spectral.fit --corpus DIR"
            ) from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CorpusError(f"{path} is not a spectral codec ({first}); train it again") from None
        return cls(network, about["about"], rounds)
