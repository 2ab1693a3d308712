# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in time: pure functions on integers, in samples and frames.

No numpy, no torch, no clock, no float position. Positions are counted from the start of the epoch. The
latent grid is anchored to the stream: frame j covers samples [j * frame, (j + 1) * frame) for ever, so
latents are carried by whole frames and nothing is ever resampled or re-encoded.

The three regimes of the paper (section 3.1) are leads: `lead = -step` retrospective, `0` immediate,
`step` look-ahead (w = 1). Ratios r and w exist only in `step_from_ratio` and `lead_from_w`.

Not covered: the arithmetic of the original server, which lives in `upstream.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from anacrusis.engine.errors import GeometryError


def floor_div(a: int, b: int) -> int:
    """Largest integer q with q * b <= a; b > 0."""
    return a // b


def ceil_div(a: int, b: int) -> int:
    """Smallest integer q with q * b >= a; b > 0."""
    return -(-a // b)


@dataclass(frozen=True, slots=True)
class Geometry:
    """The codec's grid, as a bundle's manifest states it. All values in samples, except `window_frames`."""

    frame_samples: int
    window_frames: int
    encode_tail_samples: int
    decode_taper_samples: int

    def validate(self) -> None:
        """Raise GeometryError where a value cannot be."""
        if self.frame_samples < 1 or self.window_frames < 2:
            raise GeometryError(f"a window needs a frame of >= 1 sample and >= 2 frames, not {self}")
        if self.encode_tail_samples < 0 or self.decode_taper_samples < 0:
            raise GeometryError(f"tail and taper cannot be negative: {self}")

    @property
    def window_samples(self) -> int:
        return self.frame_samples * self.window_frames

    @property
    def encode_samples(self) -> int:
        """What the encoder reads: the window and its STFT tail, which lies in the unheard future."""
        return self.window_samples + self.encode_tail_samples

    def decoded_samples(self, frames: int) -> int:
        """Length of a decode of `frames` frames, its tapered ends included."""
        return frames * self.frame_samples + self.decode_taper_samples


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is emitted per cycle, and how far ahead.

    step_samples: emitted per cycle (s). lead_samples: where it starts, from `now` (l; the paper's w * T * r).
    fade_samples: headroom before it, for the player's crossfade (F).
    context_tail_samples: how much must be heard beyond a context frame before that frame is used.
    """

    step_samples: int
    lead_samples: int
    fade_samples: int = 0
    context_tail_samples: int = 0

    def validate(self, geometry: Geometry) -> None:
        """Raise GeometryError, saying what would fit, where the window cannot hold this pace."""
        frame, window = geometry.frame_samples, geometry.window_frames
        s, lead = self.step_samples, self.lead_samples
        if s < 1:
            raise GeometryError(f"step is {s} samples; it must be at least 1 (r > 0)")
        if s > geometry.window_samples:
            raise GeometryError(
                f"step of {s} samples is longer than the window of {geometry.window_samples} (r must be <= 1)"
            )
        if lead < -s:
            raise GeometryError(
                f"lead of {lead} samples starts before the step that was just heard; "
                f"the lowest lead is -step = {-s} samples (w >= -1)"
            )
        if not 0 <= self.fade_samples <= geometry.window_samples // 2:
            raise GeometryError(
                f"fade of {self.fade_samples} samples; it must be 0 to {geometry.window_samples // 2} (half a window)"
            )
        if not 0 <= self.context_tail_samples <= frame:
            raise GeometryError(
                f"context tail of {self.context_tail_samples} samples; it must be 0 to a frame ({frame})"
            )
        heard = window - ceil_div(lead + s, frame) - 1
        if heard < 1:
            raise GeometryError(
                f"a step of {s} samples with a lead of {lead} leaves no heard frame in a window of {window} "
                f"frames; step + lead must be at most {(window - 2) * frame} samples"
            )
        if ceil_div(s - 1, frame) + 1 > window - 1 or s + frame + geometry.decode_taper_samples > window * frame:
            raise GeometryError(
                f"a step of {s} samples needs {ceil_div(s - 1, frame) + 1} new frames; "
                f"the window of {window} must keep at least one"
            )

    def max_generated_frames(self, geometry: Geometry) -> int:
        """Most frames one cycle of this pace generates in steady state."""
        return ceil_div(self.step_samples - 1, geometry.frame_samples) + 1

    def decode_sizes(self, geometry: Geometry) -> tuple[int, ...]:
        """How many frames a cycle of this pace decodes, rising. Rungs that must prepare a decode prepare these.

        The larger is enough wherever in a frame the emission starts; the smaller, if there is one, while `now` is a
        whole number of steps, which it is until a step of another length comes.
        """
        frame, step = geometry.frame_samples, self.step_samples
        margin = self.fade_samples + geometry.decode_taper_samples

        def frames(start: int) -> int:
            whole = ceil_div(start + step, frame) - floor_div(start - margin, frame)
            return min(whole, geometry.window_frames)

        # Over the starts of a frame the number has one rise, where the end enters the next frame, and one fall: it is
        # largest at the first start after the rise.
        rise, grid = 1 - step, math.gcd(step, frame)
        on_grid = rise + (self.lead_samples - rise) % grid
        return tuple(sorted({frames(on_grid), frames(rise)}))

    def max_decoded_frames(self, geometry: Geometry) -> int:
        """Most frames one cycle of this pace decodes in steady state."""
        return self.decode_sizes(geometry)[-1]

    def max_masked_frames(self, geometry: Geometry) -> int:
        """Most context frames that are not wholly heard, with `context_tail_samples` 0."""
        return ceil_div(self.lead_samples + self.step_samples, geometry.frame_samples) + 1


@dataclass(frozen=True, slots=True)
class Held:
    """What the previous cycle left, in absolute samples (frame edges are multiples of a frame).

    origin: first generated frame edge of the epoch; before it is silence. generated: latents exist up to
    here. decode_start, decode_end: samples of the held decode that lie outside its tapers.
    emit_end: end of the last emission.
    """

    origin: int
    generated: int
    decode_start: int
    decode_end: int
    emit_end: int


@dataclass(frozen=True, slots=True)
class CyclePlan:
    """One cycle in absolute samples. Frame edges are multiples of a frame."""

    now: int
    emit_start: int
    emit_end: int
    fade_start: int  # headroom [fade_start, emit_start) precedes the emission
    origin: int
    generate_start: int  # G: frame edge, generated up to here before this cycle
    generate_end: int  # G': frame edge, right edge of the window
    window_start: int
    masked_frames: int  # context frames at the right of the window that are not wholly heard
    decode_start: int  # frame edge of the first decoded frame
    valid_start: int  # first sample of the decode outside its left taper
    decode: bool  # False: emit from the held decode

    def generated_frames(self, geometry: Geometry) -> int:
        return (self.generate_end - self.generate_start) // geometry.frame_samples

    def decoded_frames(self, geometry: Geometry) -> int:
        return (self.generate_end - self.decode_start) // geometry.frame_samples if self.decode else 0

    def held_after(self) -> Held:
        """State for the next cycle, if this plan is carried out (the held decode is taken over by the caller)."""
        return Held(
            origin=self.origin,
            generated=self.generate_end,
            decode_start=self.valid_start,
            decode_end=self.generate_end,
            emit_end=self.emit_end,
        )


def plan_cycle(geometry: Geometry, pace: Pace, now: int, held: Held | None, *, contiguous: bool = False) -> CyclePlan:
    """Plan the cycle that answers the context heard up to `now` (absolute samples, exclusive end).

    held: None on the first cycle of an epoch. contiguous: start where the last emission ended instead of at
    now + lead, so that across a change of pace or a skip every sample is emitted once and in order (as far
    back as the window reaches); a reply on the stock wire wants False.
    Pure; any thread. Raises GeometryError for an impossible pace.
    """
    pace.validate(geometry)
    frame = geometry.frame_samples
    emit_end = now + pace.lead_samples + pace.step_samples
    emit_start = now + pace.lead_samples
    right = ceil_div(emit_end, frame) * frame
    left = right - geometry.window_samples
    if contiguous and held is not None:
        reachable = left + geometry.decode_taper_samples + pace.fade_samples
        emit_start = min(max(held.emit_end, reachable), max(emit_end, held.emit_end))
        emit_end = max(emit_end, emit_start)
        right = max(right, ceil_div(emit_end, frame) * frame)
        left = right - geometry.window_samples

    first = floor_div(emit_start, frame) * frame
    if held is None or first < held.origin:
        # The first cycle, or a lead so much shorter that the emission lies before anything generated.
        origin = generate_start = first
    else:
        origin = held.origin
        # A shorter lead or step regenerates, with newer context, what was made for the old one.
        generate_start = min(held.generated, ceil_div(emit_start, frame) * frame)
    generate_start = max(generate_start, left)  # a skip longer than the window: the rest cannot be had

    fade_start = emit_start - pace.fade_samples
    needed = right // frame - floor_div(fade_start - geometry.decode_taper_samples, frame)
    decoded = next((size for size in pace.decode_sizes(geometry) if size >= needed), needed)
    decode_start = max(right - decoded * frame, left)
    holds = (
        held is not None
        and generate_start == right
        and held.decode_start <= max(fade_start, held.origin)
        and emit_end <= held.decode_end
    )
    valid_start = held.decode_start if holds and held is not None else decode_start + geometry.decode_taper_samples
    heard_edge = floor_div(now - pace.context_tail_samples, frame) * frame
    masked = min(max(ceil_div(right - heard_edge, frame), 0), geometry.window_frames)
    return CyclePlan(
        now=now,
        emit_start=emit_start,
        emit_end=emit_end,
        fade_start=fade_start,
        origin=origin,
        generate_start=generate_start,
        generate_end=right,
        window_start=left,
        masked_frames=masked,
        decode_start=decode_start,
        valid_start=valid_start,
        decode=not holds,
    )


def step_from_ratio(window_samples: int, r: float) -> int:
    """s = trunc(T * r), as the stock client computes it. Raises GeometryError unless 0 < r <= 1."""
    if not (math.isfinite(r) and 0.0 < r <= 1.0):
        raise GeometryError(f"r = {r:g} is not a step ratio; it must be greater than 0 and at most 1")
    return int(window_samples * r)


def lead_from_w(window_samples: int, r: float, w: float) -> int:
    """l = trunc(w * r * T), as the stock client computes it. Raises GeometryError unless w >= -1."""
    step_from_ratio(window_samples, r)
    if not (math.isfinite(w) and w >= -1.0):
        raise GeometryError(f"w = {w:g} is not a look-ahead; it must be at least -1 (retrospective)")
    return int(w * r * window_samples)
