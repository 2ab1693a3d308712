# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A roll as sound: the sum over notes of gain(age) x the row's recorded note, hop by hop.

It is the convolution of onsets with recorded notes, written sparsely, because of the many thousand (row, age) pairs
few sound at a time:

    events    the loudest `events` onsets of the stretch: row r_e, hop t_e, gain g_e
    envelope  a_e[t] = g_e exp(H[r_e, t] - H[r_e, t_e]),  H the running sum of log hold, t >= t_e
    hop t     the `voices` loudest events of the hop: sum of (a_e[t-1] + ramp (a_e[t] - a_e[t-1])) note[r_e, t - t_e]

The gain moves in a line over a hop, so nothing clicks. Memory is finite: a row sounds for at most its recorded hops,
and a decode leaves its first `taper_hops` hops silent, which is the engine's taper. Rows recorded at a lower rate are
brought to 44.1 kHz by a causal FIR; its delay is taken out of the recorded notes beforehand (`advance_samples`), so
that no sample beyond the last hop is needed.

All shapes follow from the number of hops, so the module exports to ONNX. More than `events` onsets a stretch, or
`voices` a hop, drop the quietest. Not covered: making the recordings (`notes.py`), keeping them (`packing.py`), reading
a latent (`autoencoder.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.codec.packing import PackedNotes
from anacrusis.train.codec.rows import FRAME_SAMPLES, HOP_SAMPLES, HOPS_PER_FRAME, Group


@dataclass(frozen=True, slots=True)
class Bank:
    """The recorded notes of one group.

    notes: a row each, float32 [hops of the row, 512 / divisor], advanced by `advance_samples(divisor)`.
    divisor: 44,100 Hz over the recording's rate: 1, 2 or 4. release: the gain that a hop without hold leaves.
    chokes: (row, the row whose onset ends it). events, voices: see the module.
    """

    group: Group
    notes: Sequence[NDArray[np.float32]]
    divisor: int
    release: float
    events: int
    voices: int
    chokes: tuple[tuple[int, int], ...] = ()

    def validate(self) -> None:
        """Raise AnacrusisError where shapes do not fit."""
        hop = HOP_SAMPLES // self.divisor
        if len(self.notes) != len(self.group) or any(n.ndim != 2 or n.shape[1] != hop for n in self.notes):
            raise AnacrusisError(f"{self.group.stem}: {len(self.group)} notes in hops of {hop} samples are needed")
        if not 0.0 < self.release < 1.0:
            raise AnacrusisError(f"{self.group.stem}: release is {self.release}; it must lie between 0 and 1")


def taper_frames(longest_hops: int) -> int:
    """Whole frames before a decode's first good sample: the longest note, a hop of ramp, a hop of the FIR's past."""
    return -(-(longest_hops + 2) // HOPS_PER_FRAME)


def interpolator(divisor: int) -> NDArray[np.float32]:
    """The causal FIR [taps] at 44.1 kHz that fills in `divisor - 1` samples of each `divisor`. Odd, symmetric.

    Kaiser, 60 dB; passes 0.8 of the lower band, stops its first image. divisor 1: [1].
    """
    if divisor == 1:
        return np.ones(1, np.float32)
    half = 19 * divisor // 2
    at = np.arange(-half, half + 1)
    taps = np.sinc(at / divisor) * np.kaiser(len(at), 5.65)
    for phase in range(divisor):  # each filled-in sample sums to 1, or a note's offset whistles at the lower rate
        taps[phase::divisor] /= taps[phase::divisor].sum()
    return np.asarray(taps, np.float32)


def advance_samples(divisor: int) -> int:
    """How much earlier, at 44.1 kHz, a recording of this rate must start: the FIR's delay."""
    return len(interpolator(divisor)) // 2


class GroupPlayer(nn.Module):
    """One group. notes() is [hops of all rows, hop samples]; buffers `first` and `length` [rows] are in hops."""

    first: Tensor
    length: Tensor
    ramp: Tensor
    taps: Tensor

    def __init__(self, bank: Bank, taper_hops: int) -> None:
        super().__init__()
        bank.validate()
        lengths = [len(note) for note in bank.notes]
        if max(lengths) > taper_hops - 2:
            raise AnacrusisError(f"{bank.group.stem}: a note of {max(lengths)} hops is longer than the taper allows")
        self.taper_hops, self.divisor = taper_hops, bank.divisor
        self.events = min(bank.events, len(lengths) * taper_hops)  # no more than any stretch has places for
        self.voices, self.log_release = min(bank.voices, self.events), float(np.log(bank.release))
        self.rings, self.chokes = bank.group.rings, bank.chokes
        hop = HOP_SAMPLES // bank.divisor
        # A bass is low and its noise is where the ear is best: it gets four bits more than a byte, the others two.
        self.notes = PackedNotes(np.concatenate(list(bank.notes)).astype(np.float32), 4 if bank.divisor == 4 else 2)
        self.register_buffer("first", torch.tensor(np.cumsum([0, *lengths[:-1]]), dtype=torch.int64))
        self.register_buffer("length", torch.tensor(lengths, dtype=torch.int64))
        self.register_buffer("ramp", (torch.arange(hop, dtype=torch.float32) + 1) / hop)
        # Polyphase: output d of each low-rate sample is its own short filter over the past.
        taps = interpolator(bank.divisor)
        per = -(-len(taps) // bank.divisor)
        phases = np.zeros((per, bank.divisor), np.float32)
        phases.reshape(-1)[: len(taps)] = taps
        self.register_buffer("taps", torch.from_numpy(phases.T[:, None, ::-1].copy()))

    def forward(self, gain: Tensor, hold: Tensor) -> Tensor:
        """gain, hold [stems, rows, hops], hops > taper_hops -> audio [stems, (hops - taper_hops) * 512]."""
        stems, rows, hops = gain.shape
        begun = (gain > 0).to(gain.dtype)
        if self.rings:
            leak = torch.zeros_like(gain)
            if self.chokes:
                ends = [next((by for row, by in self.chokes if row == r), -1) for r in range(rows)]
                leak = torch.stack([leak[:, r] if by < 0 else begun[:, by] for r, by in enumerate(ends)], dim=1)
        else:
            leak = 1 - hold * (1 - begun)  # a new note on the row lets go of the one before
        level = torch.cumsum(leak * self.log_release, dim=-1)  # H

        loud, where = torch.topk(gain.transpose(1, 2).reshape(stems, -1), self.events, dim=1)
        start, row = where // rows, where % rows
        level_e = torch.gather(level, 1, row[:, :, None].expand(-1, -1, hops))
        at_start = torch.gather(level_e, 2, start[:, :, None])
        times = torch.arange(self.taper_hops - 2, hops, device=gain.device)
        envelope = loud[:, :, None] * torch.exp(torch.clamp(level_e[:, :, self.taper_hops - 2 :] - at_start, max=0.0))
        age = times[None, None, 1:] - start[:, :, None]
        sounds = ((age >= 0) & (age < self.length[row][:, :, None])).to(gain.dtype)
        before = torch.where(age == 0, loud[:, :, None].expand_as(age), envelope[:, :, :-1]) * sounds
        change = envelope[:, :, 1:] * sounds - before

        best, which = torch.topk(before.transpose(1, 2), self.voices, dim=2)  # [stems, hops, voices]
        change = torch.gather(change.transpose(1, 2), 2, which)
        place = self.first[row][:, :, None] + torch.minimum(age.clamp(min=0), self.length[row][:, :, None] - 1)
        place = torch.gather(place.transpose(1, 2), 2, which)
        notes = self.notes()[place]  # [stems, hops, voices, hop samples]
        mixed = torch.matmul(torch.stack([best, change], dim=2), notes)
        low = (mixed[:, :, 0] + self.ramp * mixed[:, :, 1]).reshape(stems, 1, -1)
        past = self.taps.shape[2] - 1
        low = low[:, :, HOP_SAMPLES // self.divisor - past :]
        return F.conv1d(low, self.taps).transpose(1, 2).reshape(stems, -1)


class Playback(nn.Module):
    """All groups. forward: gain, hold [stems, rows, hops] -> audio [stems, (hops - taper_hops) * 512]."""

    def __init__(self, banks: Sequence[Bank]) -> None:
        super().__init__()
        self.taper_frames = taper_frames(max(len(note) for bank in banks for note in bank.notes))
        self.sizes = [len(bank.group) for bank in banks]
        self.players = nn.ModuleList(GroupPlayer(bank, self.taper_frames * HOPS_PER_FRAME) for bank in banks)

    @property
    def taper_samples(self) -> int:
        return self.taper_frames * FRAME_SAMPLES

    def forward(self, gain: Tensor, hold: Tensor) -> Tensor:
        """See the class. hops > 8 taper_frames: less is an error of torch's."""
        parts = zip(self.players, torch.split(gain, self.sizes, 1), torch.split(hold, self.sizes, 1), strict=True)
        audio = [player(own_gain, own_hold) for player, own_gain, own_hold in parts]
        return torch.stack(audio).sum(dim=0)
