# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a performer sets, checked before any of it counts, and the load sequence that tells a server.

Initial values and ranges are the released external's, but for a datagram's limit: it accepts 16,384 floats, of which
a UDP datagram holds 13,095.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from anacrusis.engine.errors import AnacrusisError
from anacrusis.server.wire import messages

MAX_STEMS = 8


class SettingError(AnacrusisError, ValueError):
    """A setting out of its range. Nothing was changed and nothing was sent."""


@dataclass(frozen=True, slots=True)
class Settings:
    """window_samples: T. r: step ratio. w: slot. fade: seconds (as a ratio of one). package: floats a datagram."""

    window_samples: int = 0
    r: float = 0.0
    w: float = 0.0
    fade: float = 0.0
    package: int = 10_240
    flags: tuple[int, ...] = ()
    send_mode: int = 0  # 0: one sum of the context, 1: one plane a stem
    live_mode: int = 0  # 1: the buffer is a loop
    verbose: int = 0

    def validate(self) -> None:
        """Raise SettingError for the first value that cannot be."""
        _require(_integer(self.window_samples) and self.window_samples >= 0, "T", self.window_samples, "samples, >= 0")
        _require(_between(self.r, 0, 1), "r", self.r, "0 to 1")
        _require(_number(self.w) and self.w in (-1, 0, 1), "w", self.w, "-1, 0 or 1")
        _require(_between(self.fade, 0, 1), "fade", self.fade, "0 to 1 (seconds)")
        low, high = messages.PACKAGE_MIN, messages.PACKAGE_USABLE
        fits = _integer(self.package) and low <= self.package <= high
        _require(fits, "packet_size", self.package, f"{low} to {high} floats: more does not fit a datagram")
        _require(all(_one_or_zero(flag) for flag in self.flags), "predict_instruments", self.flags, "0 or 1 each")
        for name in ("send_mode", "live_mode", "verbose"):
            _require(_one_or_zero(getattr(self, name)), name, getattr(self, name), "0 or 1")

    @property
    def step_samples(self) -> int:
        """s = trunc(T * r), in double."""
        return int(self.window_samples * self.r)

    @property
    def slot_samples(self) -> int:
        """The lead that w asks for: trunc(w * r * T)."""
        return int(self.w * self.r * self.window_samples)

    def fade_samples(self, rate_hz: int) -> int:
        """F = trunc(fade * rate)."""
        return int(self.fade * rate_hz)

    def load_sequence(self) -> tuple[bytes, ...]:
        """The seven datagrams that set a server up, in their order; 30 ms belong between two of them."""
        return (
            messages.update_package_size(self.package),
            messages.update_r(self.r),
            messages.update_w(self.w),
            messages.update_fade(self.fade),
            messages.predict_instruments(self.flags),
            messages.verbose(self.verbose),
            messages.LOAD_MODEL,
        )


def _require(holds: bool, name: str, value: Any, wanted: str) -> None:
    if not holds:
        raise SettingError(f"{name} is {value!r}; it must be {wanted}")


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _integer(value) or (isinstance(value, float) and math.isfinite(value))


def _between(value: Any, low: float, high: float) -> bool:
    return _number(value) and low <= value <= high


def _one_or_zero(value: Any) -> bool:
    return _integer(value) and value in (0, 1)
