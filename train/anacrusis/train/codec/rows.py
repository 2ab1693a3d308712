# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The rows of a note roll: which pitch of which stem is which row, and the grid in time.

A row is one sound of one stem: 28 bass pitches, 16 drum sounds, 37 guitar pitches, 53 piano pitches, in this order.
So a frame of roll says by itself which instrument plays, and the decoder needs no label.

Not covered: the sounds (`notes.py`), what a roll holds (`roll.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

HOP_SAMPLES: Final = 512  # 11.6 ms: a note's start moves by at most half of it
HOPS_PER_FRAME: Final = 8
FRAME_SAMPLES: Final = HOP_SAMPLES * HOPS_PER_FRAME

# The key that stands for a drum sound, and the General MIDI keys that are played as it.
DRUM_KEYS: Final[Mapping[int, tuple[int, ...]]] = {
    36: (35, 36),  # kick
    37: (37,),  # side stick
    38: (38, 40),  # snare
    39: (39,),  # clap
    42: (42, 44),  # closed and pedal hi-hat
    43: (41, 43),  # floor tom
    46: (46,),  # open hi-hat
    47: (45, 47),  # middle tom
    49: (49, 52, 55, 57),  # crash
    50: (48, 50),  # high tom
    51: (51, 59),  # ride
    53: (53,),  # ride bell
    54: (54,),  # tambourine
    56: (56, *range(58, 69)),  # cowbell; agogo, bongos, congas and timbales, for want of better
    70: (69, 70, 82),  # shaker
    75: (71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81),  # claves, blocks, other small percussion
}
CHOKED_BY: Final[Mapping[int, int]] = {46: 42}  # a closed hi-hat stops the open one


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one stem. pitches: MIDI, rising, one a row. rings: held or not makes no difference (drums)."""

    stem: str
    pitches: tuple[int, ...]
    rings: bool = False

    def row_of(self, pitch: int) -> int:
        """The row that plays a MIDI pitch (of drums a General MIDI key). Out of range: the nearest octave inside.

        Drum keys that no row stands for are played as claves: quiet, short and without pitch.
        """
        if self.rings:
            key = next((key for key, keys in DRUM_KEYS.items() if pitch in keys and key in self.pitches), None)
            return self.pitches.index(key) if key is not None else len(self.pitches) - 1
        low, high = self.pitches[0], self.pitches[-1]
        if pitch < low:
            pitch += -((pitch - low) // 12) * 12
        if pitch > high:
            pitch -= -((high - pitch) // 12) * 12
        return max(pitch, low) - low  # only a range under an octave needs the max

    def __len__(self) -> int:
        return len(self.pitches)


BASS: Final = Group("bass", tuple(range(28, 56)))
DRUMS: Final = Group("drums", tuple(sorted(DRUM_KEYS)), rings=True)
GUITAR: Final = Group("guitar", tuple(range(40, 77)))
PIANO: Final = Group("piano", tuple(range(36, 89)))
GROUPS: Final = (BASS, DRUMS, GUITAR, PIANO)


@dataclass(frozen=True, slots=True)
class Rows:
    """Groups one after another."""

    groups: Sequence[Group] = GROUPS

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

    def group(self, stem: str) -> Group:
        """Raises KeyError for a stem that has no rows."""
        return {group.stem: group for group in self.groups}[stem]

    def span(self, stem: str) -> slice:
        """The rows of one stem."""
        first = 0
        for group in self.groups:
            if group.stem == stem:
                return slice(first, first + len(group))
            first += len(group)
        raise KeyError(stem)
