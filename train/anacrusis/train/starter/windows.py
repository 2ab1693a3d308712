# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Windows of songs as a network is trained on them: what is kept, what is heard, what is to be written.

Masks are drawn over all whole-frame steps and leads that a window allows, not over three: how many frames are generated
and how many context frames before the window's end are not heard yet. What may be wrong in a live cycle is made wrong
here too: history that starts in the middle of a song, a stem that joins after a rest, a past that a model wrote and not
a musician, a past that has nothing to do with the song, a context that is louder or softer.

`Batch` says nothing of a codec or an encoder but their channels; another data set fills the same arrays. Not covered:
transposition (the corpus is in all keys; more songs are cheaper than second latents of each).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.song import CorpusError

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
EVENT_PLANES = 4  # of `Piece.events`
FILTERBANK_SCALE = 8.0  # of `networks/filterbank.py`: feature = log1p(power / floor) / 8


@dataclass(frozen=True, slots=True)
class Piece:
    """A song as latents. latents [stems, C, frames]; contexts: who is heard, a bit a stem -> [E, frames], all heard.

    offset_samples: where in frame 0 the song begins, so that frames know nothing of its beats. events: what the latents
    are a code of, [frames, 4, rows] of all stems: a bit a hop where an onset is, its velocity of 255, a bit a hop where
    an end is, whether a note is carried over; None for latents of another kind.
    """

    name: str
    offset_samples: int
    latents: F16
    contexts: dict[int, F16]
    events: U8 | None = None

    @property
    def frames(self) -> int:
        return int(self.latents.shape[2])


@dataclass(frozen=True, slots=True)
class Drawing:
    """How windows are drawn: probabilities, and limits in frames.

    whole: share in which nothing is kept and the whole window is written: no live cycle does, but every frame teaches
    what latents are. even_step: share of steps drawn evenly up to the most (the others evenly in the logarithm: short
    ones are the paces of use, long ones teach more a window). retrospective, immediate, step_lead: shares of leads
    below 0, of 0, of the step; the rest is anything that is allowed. redraw_rest: how often a window in which the stem
    only rests is drawn again.
    """

    window_frames: int = 64
    most_new_frames: int = 32
    least_heard_frames: int = 2
    whole: float = 0.3
    even_step: float = 0.4
    retrospective: float = 0.12
    immediate: float = 0.15
    step_lead: float = 0.4
    all_others: float = 0.6
    nobody: float = 0.02
    redraw_rest: float = 0.6
    late_start: float = 0.15
    late_stem: float = 0.12
    other_past: float = 0.04
    past_noise: float = 0.5
    most_past_noise: float = 0.3
    gain: float = 0.5
    most_gain_db: float = 6.0

    def validate(self) -> None:
        """Raise CorpusError where a value cannot be."""
        if not 1 <= self.most_new_frames < self.window_frames - self.least_heard_frames:
            raise CorpusError(f"most_new_frames must leave {self.least_heard_frames} frames of the window: {self}")
        shares = (
            self.retrospective + self.immediate + self.step_lead,
            self.whole,
            self.even_step,
            self.all_others,
            self.redraw_rest,
            self.late_start + self.late_stem + self.other_past,
            self.past_noise,
            self.gain,
            self.nobody,
        )
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise CorpusError(f"a share of windows must be 0 to 1: {self}")


@dataclass(frozen=True, slots=True)
class Batch:
    """target, source [B, C, W]; keep [B, 1, W]; context [B, E, W] masked; label [B, L]. Float32.

    events [B, W, 4, rows] uint8 as `Piece` has them, right where they are to be written; of all stems.
    """

    target: F32
    source: F32
    keep: F32
    context: F32
    label: F32
    events: U8 | None = None


def draw_masks(rng: np.random.Generator, drawing: Drawing) -> tuple[int, int]:
    """(frames generated, context frames at the right that are not heard): a step and its lead in frames.

    A live cycle of step s and lead l on the grid of frames generates s frames and has not heard s + l; off the grid one
    more.
    """
    most = drawing.most_new_frames
    if rng.random() < drawing.even_step:
        new = int(rng.integers(1, most + 1))
    else:
        new = max(1, min(most, round(math.exp(rng.uniform(0.0, math.log(most + 0.49))))))
    limit = drawing.window_frames - drawing.least_heard_frames
    kind = rng.random()
    if kind < drawing.retrospective:
        unheard = int(rng.integers(0, new))
    elif kind < drawing.retrospective + drawing.immediate:
        unheard = new + int(rng.integers(0, 2))
    elif kind < drawing.retrospective + drawing.immediate + drawing.step_lead:
        unheard = 2 * new + int(rng.integers(0, 2))
    else:
        unheard = new + round(math.exp(rng.uniform(0.0, math.log(limit - new + 1)))) - 1
    if drawing.whole > 0 and rng.random() < drawing.whole:
        new = drawing.window_frames
    return new, max(0, min(unheard, limit))


def with_gain(features: F32, gain_db: float) -> F32:
    """Filterbank features of the same audio, louder by gain_db. Exact: every channel is a power under one logarithm."""
    power = np.expm1(FILTERBANK_SCALE * features) * np.float32(10 ** (gain_db / 10))
    louder: F32 = np.log1p(power) / np.float32(FILTERBANK_SCALE)
    return louder


def draw_batch(rng: np.random.Generator, pieces: Sequence[Piece], size: int, drawing: Drawing) -> Batch:
    """`size` windows; songs by their length, stems alike."""
    weights = np.array([piece.frames for piece in pieces], np.float64)
    weights /= weights.sum()
    stems, channels, _ = pieces[0].latents.shape
    encoded = next(iter(pieces[0].contexts.values())).shape[0]
    window = drawing.window_frames
    batch = Batch(
        np.zeros((size, channels, window), np.float32),
        np.zeros((size, channels, window), np.float32),
        np.zeros((size, 1, window), np.float32),
        np.zeros((size, encoded, window), np.float32),
        np.zeros((size, stems), np.float32),
        None if pieces[0].events is None else np.zeros((size, window, *pieces[0].events.shape[1:]), np.uint8),
    )
    for row in range(size):
        stem, (new, unheard) = int(rng.integers(stems)), draw_masks(rng, drawing)
        for _ in range(3):
            piece = pieces[int(rng.choice(len(pieces), p=weights))]
            right = int(rng.integers(min(new, piece.frames), piece.frames + 1))
            rests = not piece.latents[stem, :, max(right - new, 0) : right].any()
            if not rests or rng.random() >= drawing.redraw_rest:
                break
        _fill(batch, row, rng, pieces, piece, stem, right, new, unheard, drawing)
    return batch


def _fill(
    batch: Batch,
    row: int,
    rng: np.random.Generator,
    pieces: Sequence[Piece],
    piece: Piece,
    stem: int,
    right: int,
    new: int,
    unheard: int,
    drawing: Drawing,
) -> None:
    window = drawing.window_frames
    target, source, context = batch.target[row], batch.source[row], batch.context[row]
    n = min(right, window)
    old = window - new
    batch.label[row, stem] = 1.0
    batch.keep[row, 0, :old] = 1.0
    target[:, window - n :] = piece.latents[stem, :, right - n : right]
    if batch.events is not None and piece.events is not None:
        batch.events[row, window - n :] = piece.events[right - n : right]
    heard = _context(rng, piece, stem, right - n, right, drawing)
    if heard is not None:
        context[:, window - n :] = heard
    context[-1] = 1.0
    happens = rng.random()
    if happens < drawing.late_start:  # nothing was before
        cut = int(rng.integers(0, max(1, window - max(new, unheard))))
        target[:, :cut] = 0.0
        context[:-1, :cut] = 0.0
    elif happens < drawing.late_start + drawing.late_stem:  # the others play on, this stem has rested
        target[:, :old] = 0.0
    source[:, :old] = target[:, :old]
    if happens >= 1.0 - drawing.other_past:
        other = pieces[int(rng.integers(len(pieces)))]
        start = int(rng.integers(0, max(1, other.frames - old + 1)))
        stretch = other.latents[stem, :, start : start + old]
        source[:, old - stretch.shape[1] : old] = stretch
    if rng.random() < drawing.past_noise:
        noise = rng.standard_normal((source.shape[0], old), dtype=np.float32)
        played = source[:, :old].any(axis=0)
        source[:, :old] += np.float32(rng.uniform(0, drawing.most_past_noise)) * noise * played
    context[:, window - unheard :] = 0.0


def _context(rng: np.random.Generator, piece: Piece, stem: int, left: int, right: int, drawing: Drawing) -> F32 | None:
    """[E, right - left]: all the others, or some, or None for nobody."""
    chance = rng.random()
    if chance < drawing.nobody:
        return None
    everyone = ((1 << piece.latents.shape[0]) - 1) & ~(1 << stem)
    choices = sorted(mask for mask in piece.contexts if not mask >> stem & 1)
    who = everyone if chance < drawing.nobody + drawing.all_others else choices[int(rng.integers(len(choices)))]
    features = piece.contexts[who][:, left:right].astype(np.float32)
    if rng.random() < drawing.gain:
        features[:-1] = with_gain(features[:-1], rng.uniform(-drawing.most_gain_db, drawing.most_gain_db))
    return features
