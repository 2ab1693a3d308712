# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Magnitudes of an STFT -> audio: phases in closed form, then a few rounds of fast Griffin-Lim. Nothing is learned.

The two derivatives of the phase follow from those of the log magnitude s (Prusa, Balazs and Sondergaard 2017, "PGHI"):
exactly for a Gaussian window, which a Hann window of N samples nearly is (gamma = 0.25645 N^2):

    frequency of what sounds in bin k, in bins    k + N^2 / (2 pi gamma) ds/dk
    how late in the window it sounds, samples     N / pi (atan(exp(ds/dframe)) - pi / 4)

The second line is for a Hann window and hops of N / 4: a click x samples after the middle of a frame has magnitudes
cos^2(pi (x -+ N / 4) / N) in the frames after and before it, the root of whose ratio is tan(pi x / N + pi / 4).

PGHI integrates them bin by bin from the loudest one, which no graph can do. Here: at an attack (s rises) phases are
summed along frequency, so that a click is one; from there on along time, so that a tone is one. Both are cumulative
sums, "the last attack of this bin" is a running maximum. What follows an attack does not depend on where the decode
began, so two decodes of a note agree if both saw its attack.

Noise has no such phases: `excite` mixes in the spectrum of a given noise, as much as asked, bin by bin.
Fast Griffin-Lim: Perraudin, Balazs and Sondergaard 2013.

Not covered: notes whose attack lies before the decode (their phase begins anew), stereo.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.networks.stft import InverseStft, Stft

N_FFT: Final = 2048
HOP_SAMPLES: Final = 512
GAMMA: Final = 0.25645 * N_FFT**2
ATTACK_NEPERS: Final = 0.5  # a rise of the log magnitude between two hops that counts as an attack
FLOOR: Final = 1e-3  # of the magnitude, before its logarithm: -114 dB of a full-scale sine
MAX_BINS: Final = 2.0  # half the main lobe; the estimate means nothing further out
MAX_HOPS: Final = 1 << 11  # the longest decode whose last attack is still found: 24 s


def _padded(x: Tensor, time: tuple[int, int] = (0, 0), frequency: tuple[int, int] = (0, 0)) -> Tensor:
    """x [B, bins, hops] with its edge repeated."""
    return F.pad(x[:, None], (*time, *frequency), mode="replicate")[:, 0]


def phases(magnitude: Tensor) -> Tensor:
    """magnitude [B, bins, hops] -> phase in radians, of frames whose first sample is time 0 (`Stft`)."""
    bins, hops = magnitude.shape[1], magnitude.shape[2]
    s = torch.log(magnitude + FLOOR)
    wide, tall = _padded(s, time=(1, 1)), _padded(s, frequency=(1, 1))
    per_hop = 0.5 * (wide[:, :, 2:] - wide[:, :, :-2])
    per_bin = 0.5 * (tall[:, 2:] - tall[:, :-2])
    beside = (N_FFT**2 / (2 * math.pi * GAMMA) * per_bin).clamp(-MAX_BINS, MAX_BINS)
    late = N_FFT / math.pi * (torch.atan(torch.exp(per_hop)) - math.pi / 4)

    # In turns, as seen from the middle of the frame; whole turns of the bin's own frequency are left out.
    k = torch.arange(bins, dtype=s.dtype, device=s.device)[None, :, None]
    between = 0.5 * (beside + _padded(beside, time=(1, 0))[:, :, :-1])
    along_time = torch.cumsum(torch.remainder(k * (HOP_SAMPLES / N_FFT), 1.0) + between * (HOP_SAMPLES / N_FFT), 2)
    step = -late / N_FFT
    along_frequency = torch.cumsum(0.5 * (step + _padded(step, frequency=(1, 0))[:, :-1]), 1)

    index = torch.arange(hops, dtype=s.dtype, device=s.device)
    attack = torch.where(per_hop > ATTACK_NEPERS, index, torch.zeros_like(index))
    reach = 1
    while reach < MAX_HOPS:  # a fixed number of doublings, so that the graph holds for any length
        attack = torch.maximum(attack, F.pad(attack, (reach, 0))[:, :, :hops])
        reach *= 2
    since = attack.long()
    turns = along_frequency.gather(2, since) + along_time - along_time.gather(2, since)
    return 2 * math.pi * (turns - 0.5 * torch.remainder(k, 2.0))  # the middle of the frame is half a window away


class Reconstruction(nn.Module):
    """magnitude, share of noise [B, 1024, hops] in 0..1, noise [B, 512 (hops + 3)] -> audio [B, 512 (hops + 3)].

    rounds: of fast Griffin-Lim, each an inverse and a forward transform. Silence stays exactly silent.
    """

    def __init__(self, rounds: int = 4, momentum: float = 0.99) -> None:
        super().__init__()
        self.rounds, self.momentum = rounds, momentum
        self.stft, self.inverse = Stft(scale=1.0, power=1.0), InverseStft(scale=1.0, power=1.0)

    def excite(self, magnitude: Tensor, share: Tensor, noise: Tensor) -> Tensor:
        """The first guess, [B, 2, bins, hops]: a tone and noise of unit power in every bin, mixed, times the magnitude.

        magnitude is the median over what a bin may hold; of noise that is sqrt(ln 2) of its root mean square.
        """
        angle = phases(magnitude)
        tone = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
        hiss: Tensor = self.stft(noise) * (1.0 / math.sqrt(0.375 * N_FFT))  # the power of a Hann window
        gain = magnitude * (1.0 + share * (1.0 / math.sqrt(math.log(2.0)) - 1.0))
        kept = torch.sqrt((1.0 - share * share).clamp_min(0.0))
        return (kept[:, None] * tone + share[:, None] * hiss) * gain[:, None]

    def forward(self, magnitude: Tensor, share: Tensor, noise: Tensor) -> Tensor:
        spectrum = self.excite(magnitude, share, noise)
        wanted = spectrum.square().sum(1, keepdim=True).sqrt()
        before = None
        for _ in range(self.rounds):
            seen = self.stft(self.inverse(spectrum))
            guess = seen if before is None else seen + self.momentum * (seen - before)
            before = seen
            size = guess.square().sum(1, keepdim=True).add(1e-12).sqrt()
            spectrum = guess * (wanted / size)
        audio: Tensor = self.inverse(spectrum)
        return audio
