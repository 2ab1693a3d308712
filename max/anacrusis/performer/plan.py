# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a performance is asked to be, and the pace that comes of it once the server has said what it has.

Ratios, seconds and frames end here; behind it all positions are samples. A lead that is no multiple of the step, and
anything in the codec's frames, needs a server that answers our hello.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from anacrusis.engine.errors import GeometryError, StemError
from anacrusis.performer.settings import SettingError, Settings
from anacrusis.server.wire.extension import ServerHello
from anacrusis.server.wire.messages import STEMS

RATE_HZ, WINDOW_SAMPLES = 44_100, 264_600  # the released server's, which it never says
NEEDS_OURS = "needs a server that answers our hello, and none did (is it running? was --no-extension given?)"


@dataclass(frozen=True, slots=True)
class Plan:
    """stems: to predict. Give the step as r, frames or samples, and the lead as w, frames or samples.

    fade: seconds of crossfade. package: floats a datagram. seconds: how long to play (None: the recording once).
    loop: repeat the recording to fill `seconds`. wait_s: for a model to be ready. pause_s: the same for a server that
    does not say. extension False: behave as the released external and say no hello.
    """

    stems: tuple[str, ...] = ("bass",)
    r: float = 0.25
    w: float = 1.0
    step_frames: int | None = None
    step_samples: int | None = None
    lead_frames: int | None = None
    lead_samples: int | None = None
    window_samples: int | None = None
    fade: float = 0.02
    package: int = 4410
    token: str = ""
    seconds: float | None = None
    loop: bool = False
    extension: bool = True
    wait_s: float = 120.0
    pause_s: float = 2.0

    def validate(self) -> None:
        """What can be known before a server answered. Raises SettingError, GeometryError or StemError."""
        if not self.stems or len(set(self.stems)) != len(self.stems):
            raise StemError(f"stems to predict are {self.stems}; give each once, and at least one")
        for name in ("step", "lead"):
            if getattr(self, f"{name}_frames") is not None and getattr(self, f"{name}_samples") is not None:
                raise GeometryError(f"give the {name} once, not as {name}_frames and {name}_samples")
        if not (math.isfinite(self.r) and 0 < self.r <= 1):
            raise GeometryError(f"r = {self.r} is not a step ratio; it must be greater than 0 and at most 1")
        if not (math.isfinite(self.w) and self.w >= -1):
            raise GeometryError(f"w = {self.w} is not a look-ahead; it must be at least -1")
        if self.window_samples is not None and self.window_samples < 1:
            raise GeometryError(f"T is {self.window_samples} samples; it must be at least 1")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds > 0):
            raise SettingError(f"seconds is {self.seconds}; it must be greater than 0")
        if self.loop and self.seconds is None:
            raise SettingError("a recording that loops never ends; say how long with --seconds")
        for name in ("wait_s", "pause_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise SettingError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        Settings(fade=self.fade, package=self.package).validate()

    @property
    def needs_ours(self) -> bool:
        """Frames, or a lead that is no slot: no released server can do it."""
        if self.step_frames is not None or self.lead_frames is not None:
            return True
        step = self.step_samples or int((self.window_samples or WINDOW_SAMPLES) * self.r)
        return self.w not in (-1, 0, 1) if self.lead_samples is None else self.lead_samples not in (-step, 0, step)

    def pace(self, server: ServerHello | None) -> Pace:
        """Raises GeometryError for a step or lead that this server (None: the released one) cannot keep."""
        window = self.window_samples or (server.window_samples if server else WINDOW_SAMPLES)
        step = self._samples("step", server)
        if step is None:
            step = int(window * self.r)
        if not 1 <= step <= window:
            raise GeometryError(f"a step of {step} samples; it must be 1 to T = {window}")
        r = self.r if int(window * self.r) == step else ratio_of(step, window)
        lead = self._samples("lead", server)
        if lead is None:
            lead = int(self.w * r * window)
        if lead < -step:
            raise GeometryError(f"a lead of {lead} samples; the lowest is minus a step, {-step} (w = -1)")
        if lead not in (-step, 0, step) and server is None:
            raise GeometryError(f"a lead of {lead} samples is not w * step for w = -1, 0 or 1: that {NEEDS_OURS}")
        rate_hz = server.rate_hz if server else RATE_HZ
        return Pace(rate_hz, window, r, step, lead, Settings(fade=self.fade).fade_samples(rate_hz))

    def _samples(self, name: str, server: ServerHello | None) -> int | None:
        samples: int | None = getattr(self, f"{name}_samples")
        frames: int | None = getattr(self, f"{name}_frames")
        if frames is None:
            return samples
        if server is None:
            raise GeometryError(f"a {name} in frames {NEEDS_OURS}; give it in samples, or as r and w")
        return frames * server.frame_samples

    def targets(self, known: tuple[str, ...]) -> tuple[int, ...]:
        """Indices of the stems to predict, in the server's order. Raises StemError."""
        for stem in self.stems:
            if stem not in known:
                raise StemError(f"unknown stem {stem!r}; this server plays {', '.join(known)}")
        return tuple(i for i, name in enumerate(known) if name in self.stems)


@dataclass(frozen=True, slots=True)
class Pace:
    """When what happens, in samples at rate_hz. r: such that trunc(T * r) is the step."""

    rate_hz: int
    window_samples: int
    r: float
    step_samples: int
    lead_samples: int
    fade_samples: int

    @property
    def w(self) -> int:
        """The slot that the stock messages can name; exact where the lead is one."""
        return (self.lead_samples > 0) - (self.lead_samples < 0)

    @property
    def is_slot(self) -> bool:
        return self.lead_samples == self.w * self.step_samples


def stems_of(server: ServerHello | None) -> tuple[str, ...]:
    return tuple(server.stems.split(",")) if server else STEMS


def ratio_of(step_samples: int, window_samples: int) -> float:
    """An r for which both ends compute trunc(T * r) = step."""
    r = step_samples / window_samples
    return r if int(window_samples * r) == step_samples else math.nextafter(r, 2.0)
