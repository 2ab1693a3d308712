# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the performer set: one frozen snapshot, replaced by each control message that is valid.

A value of the wrong type or out of range raises RefusedError and changes nothing. Tolerances are the original
server's: numbers come as i, f, d, h, T or F, flags count as set iff they equal 1, spare flags are ignored.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from anacrusis.engine.window import step_from_ratio
from anacrusis.server.wire.messages import PACKAGE_MAX, PACKAGE_MIN, PACKAGE_USABLE
from anacrusis.server.wire.osc import Argument, Message, WireError

_log = logging.getLogger(__name__)


class RefusedError(WireError):
    """A well-formed message whose values cannot be. Changes nothing."""


@dataclass(frozen=True, slots=True)
class Controls:
    """package: floats per reply datagram. r, w, fade: as the wire has them. stems: asked for, in model order."""

    package: int = 5120
    r: float = 0.25
    w: float = 1.0
    fade: float = 0.02
    stems: tuple[str, ...] = ()
    verbose: bool = False

    def fade_samples(self, rate_hz: int) -> int:
        """F = trunc(fade * rate), in double as both original ends compute it."""
        return int(self.fade * rate_hz)

    def step_samples(self, window_samples: int) -> int:
        """s = trunc(T * r); 0 for r = 0."""
        return step_from_ratio(window_samples, self.r) if self.r > 0.0 else 0


Setter = Callable[[Controls, tuple[Argument, ...], Sequence[str]], Controls]


def apply(controls: Controls, message: Message, stems: Sequence[str]) -> Controls:
    """The snapshot after `message`. stems: the model's. Raises RefusedError; KeyError for an address not in SETTERS."""
    return SETTERS[message.address](controls, message.arguments, stems)


def _number(arguments: tuple[Argument, ...], low: float, high: float, what: str) -> float:
    if len(arguments) != 1:
        raise RefusedError(f"{what} takes one number, not {len(arguments)} arguments")
    value = arguments[0]
    if not isinstance(value, bool | int | float) or not math.isfinite(value) or not low <= value <= high:
        raise RefusedError(f"{what} must be a number from {low:g} to {high:g}, not {_shown(value)}")
    return float(value)


def _shown(value: Argument) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _package(controls: Controls, arguments: tuple[Argument, ...], stems: Sequence[str]) -> Controls:
    package = int(_number(arguments, PACKAGE_MIN, PACKAGE_MAX, "package size in floats"))
    if package > PACKAGE_USABLE:
        _log.warning("package size %d does not fit a datagram; replies use %d", package, PACKAGE_USABLE)
    return replace(controls, package=package)


def _r(controls: Controls, arguments: tuple[Argument, ...], stems: Sequence[str]) -> Controls:
    return replace(controls, r=_number(arguments, 0.0, 1.0, "r"))


def _w(controls: Controls, arguments: tuple[Argument, ...], stems: Sequence[str]) -> Controls:
    w = _number(arguments, -1.0, 1.0, "w")
    if w not in (-1.0, 0.0, 1.0):
        raise RefusedError(f"w must be -1, 0 or 1, not {w:g}; other leads come with /anacrusis/step")
    return replace(controls, w=w)


def _fade(controls: Controls, arguments: tuple[Argument, ...], stems: Sequence[str]) -> Controls:
    return replace(controls, fade=_number(arguments, 0.0, 1.0, "fade"))


def _flags(controls: Controls, arguments: tuple[Argument, ...], stems: Sequence[str]) -> Controls:
    for value in arguments:
        if not isinstance(value, bool | int | float):
            raise RefusedError(f"an instrument flag must be 0 or 1, not {_shown(value)}")
    if len(arguments) != len(stems):
        _log.info(
            "%d instrument flags for %d stems: missing ones are 0, spare ones ignored", len(arguments), len(stems)
        )
    return replace(controls, stems=tuple(stem for stem, flag in zip(stems, arguments, strict=False) if flag == 1))


def _verbose(controls: Controls, arguments: tuple[Argument, ...], stems: Sequence[str]) -> Controls:
    if len(arguments) != 1:
        raise RefusedError("verbose takes one number")
    try:
        return replace(controls, verbose=bool(int(arguments[0])))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise RefusedError(f"verbose must be 0 or 1, not {_shown(arguments[0])}") from None


SETTERS: Final[dict[str, Setter]] = {
    "/update_package_size": _package,
    "/update_r": _r,
    "/w": _w,
    "/update_fade": _fade,
    "/predict_instruments": _flags,
    "/verbose": _verbose,
}
