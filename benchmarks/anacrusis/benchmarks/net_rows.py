# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The bad networks that `net.py` plays through, as data. Pure.

Losses are of datagrams, unless named packets: a datagram of 4,410 floats is 22 kB, which a link of 1,500 bytes carries
in 15 packets and loses whole with any of them, where one of 288 floats is one packet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from anacrusis.benchmarks.faults import NO_FAULTS, Faults
from anacrusis.server.wire.messages import PACKAGE_ONE_FRAGMENT, context_bytes

PACKAGE: Final = 4410
PACKET_PAYLOAD_BYTES: Final = 1480  # of 1,500, after the IP header
HEADERS_BYTES: Final = 8  # UDP, in the first packet
UNPLUGGED_S: Final = 3.0
FITS: Final = 1.5  # of the rate that would take the whole budget: a third of it is left to compute
DOES_NOT_FIT: Final = 0.9  # of the audio's own rate: a queue grows until it drops
UP_SEED, DOWN_SEED = 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """One network, the same both ways but for the seed. package: floats a datagram. unplugged_s: in mid-run."""

    name: str
    faults: Faults = NO_FAULTS
    package: int = PACKAGE
    unplugged_s: float = 0.0
    quick: bool = False  # part of the short table

    @property
    def only_loss(self) -> bool:
        """Datagrams of the released size, lost one by one or not at all: the baseline of any transport work."""
        same = replace(NO_FAULTS, loss=self.faults.loss) == self.faults
        return same and self.package == PACKAGE and not self.unplugged_s and "packets" not in self.name

    def up(self) -> Faults:
        return replace(self.faults, seed=UP_SEED)

    def down(self) -> Faults:
        return replace(self.faults, seed=DOWN_SEED)


def step_bytes(samples: int, package: int = PACKAGE) -> int:
    """What `samples` of one plane weigh on the wire, UDP payload; either direction to 0.1 %."""
    whole, rest = divmod(samples, package)
    return whole * context_bytes(package) + (context_bytes(rest) if rest else 0)


def packets(package: int) -> int:
    """IP packets of 1,500 bytes that a datagram of `package` floats takes."""
    return -(-(context_bytes(package) + HEADERS_BYTES) // PACKET_PAYLOAD_BYTES)


def datagram_loss(packet_loss: float, package: int) -> float:
    """The chance that a datagram is lost where each packet is, by itself, with packet_loss."""
    loss: float = 1.0 - (1.0 - packet_loss) ** packets(package)
    return loss


def fitting_rate(step_samples: int, fade_samples: int, stems: int, budget_s: float) -> float:
    """Bytes a second at which a step up and its replies down take 1 / FITS of the budget, the rest being compute's.

    The step goes up once, a reply comes down for every stem, and both directions are in the budget one after the
    other: a link that carries the audio's own rate is far from enough.
    """
    return FITS * (step_bytes(step_samples) + stems * step_bytes(step_samples + fade_samples)) / budget_s


def overflowing_rate(step_samples: int, stems: int, step_s: float) -> float:
    """Bytes a second that are too few for the audio, whatever the deadline."""
    return DOES_NOT_FIT * stems * step_bytes(step_samples) / step_s


def rows(
    step_samples: int, lead_samples: int, fade_samples: int, rate_hz: int, stems: int, *, quick: bool = False
) -> list[Row]:
    """The table for one pace; quick: its most telling rows. Positive leads only: rates are fitted to the budget."""
    budget_s = (lead_samples - fade_samples) / rate_hz
    fits = fitting_rate(step_samples, fade_samples, stems, budget_s)
    overflows = overflowing_rate(step_samples, stems, step_samples / rate_hz)
    small = PACKAGE_ONE_FRAGMENT
    table = [
        Row("none", quick=True),
        Row("loss .1 %", Faults(loss=0.001)),
        Row("loss 1 %", Faults(loss=0.01), quick=True),
        Row("loss 5 %", Faults(loss=0.05)),
        Row("loss 1 % in bursts of 8", Faults(loss=0.01, burst_datagrams=8)),
        Row("duplication 5 %", Faults(duplicate=0.05)),
        Row("reordering 10 %", Faults(reorder=0.1)),
        Row("jitter 20 ms", Faults(jitter_ms=20)),
        Row("jitter 80 ms", Faults(jitter_ms=80), quick=True),
        Row(f"rate {fits / 1e6:.2f} MB/s, fits", Faults(rate_bytes_per_s=fits)),
        Row(f"rate {overflows / 1e6:.2f} MB/s, does not", Faults(rate_bytes_per_s=overflows)),
        Row(f"unplugged {UNPLUGGED_S:g} s", unplugged_s=UNPLUGGED_S, quick=True),
        Row("packets lost 1 %", Faults(loss=round(datagram_loss(0.01, PACKAGE), 4))),
        Row("none", package=small),
        Row("loss 5 %", Faults(loss=0.05), small),
        Row("packets lost 1 %", Faults(loss=round(datagram_loss(0.01, small), 4)), small),
    ]
    return [row for row in table if row.quick] if quick else table
