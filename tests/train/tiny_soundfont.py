# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A soundfont of one decaying tone, 50 kB, so that what plays notes can be tested without a download.

The tone is at its loudest in its first sample and rings for half a second: the first sample that is not zero is where
a note began. After the SoundFont 2.04 specification, chapters 7 and 8.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from anacrusis.train.song import SAMPLE_RATE_HZ, Beat, Chord, Note, Part, Section, Song

PRESETS = ((0, 0), (0, 25), (0, 33), (128, 0))  # (bank, program)
ROOT_KEY, TONE_HZ, TONE_SAMPLES = 60, 261.63, SAMPLE_RATE_HZ // 2
INSTRUMENT, SAMPLE_ID, RELEASE = 41, 53, 38  # generators


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _list(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def write_soundfont(path: Path, presets: tuple[tuple[int, int], ...] = PRESETS) -> Path:
    """The file. All presets play the same tone."""
    time = np.arange(TONE_SAMPLES) / SAMPLE_RATE_HZ
    tone = np.cos(2 * np.pi * TONE_HZ * time) * np.exp(-8 * time) * 0.8
    samples = np.concatenate([np.round(tone * 32767), np.zeros(64)]).astype("<i2")
    info = _list(b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 4)), _chunk(b"INAM", b"tiny\0\0"))
    headers = [
        struct.pack("<20sHHHIII", b"tone", program, bank, i, 0, 0, 0) for i, (bank, program) in enumerate(presets)
    ]
    count = len(presets)
    pdta = _list(
        b"pdta",
        _chunk(b"phdr", b"".join(headers) + struct.pack("<20sHHHIII", b"EOP", 0, 0, count, 0, 0, 0)),
        _chunk(b"pbag", b"".join(struct.pack("<HH", i, 0) for i in range(count + 1))),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", struct.pack("<HH", INSTRUMENT, 0) * count + bytes(4)),
        _chunk(b"inst", struct.pack("<20sH", b"tone", 0) + struct.pack("<20sH", b"EOI", 1)),
        _chunk(b"ibag", struct.pack("<HHHH", 0, 0, 2, 0)),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", struct.pack("<HhHH", RELEASE, -7973, SAMPLE_ID, 0) + bytes(4)),  # 10 ms
        _chunk(
            b"shdr",
            struct.pack(
                "<20sIIIIIBbHH", b"tone", 0, TONE_SAMPLES, 8, TONE_SAMPLES - 8, SAMPLE_RATE_HZ, ROOT_KEY, 0, 0, 1
            )
            + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
        ),
    )
    body = b"sfbk" + info + _list(b"sdta", _chunk(b"smpl", samples.tobytes())) + pdta
    path.write_bytes(_chunk(b"RIFF", body))
    return path


def tiny_song(name: str = "tiny", *, seed: int = 1, seconds: float = 2.0, family: str = "rock") -> Song:
    """Four parts at 120 beats a minute, from 0.1 s on; what they play depends on the seed."""
    rng = np.random.default_rng(seed)
    length, beat, lead = round(seconds * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ // 2, 4410
    beats = tuple(Beat(at, i % 4 + 1) for i, at in enumerate(range(lead, length - beat // 4, beat)))
    parts = {}
    for stem, program, low, high in (
        ("bass", 33, 30, 50),
        ("drums", 0, 36, 46),
        ("guitar", 25, 45, 70),
        ("piano", 0, 50, 80),
    ):
        pitches = rng.integers(low, high, len(beats))
        notes = [
            Note(b.position_samples, min(b.position_samples + beat // 2, length), int(p), int(rng.integers(60, 120)))
            for b, p in zip(beats, pitches, strict=True)
        ]
        parts[stem] = Part(program, tuple(notes))
    chord = Chord(0, length, 0, "maj", 0)
    return Song(
        name,
        "test",
        family,
        "c",
        seed,
        120.0,
        4,
        0.5,
        0,
        "major",
        length,
        beats,
        (chord,),
        (Section(0, "verse"),),
        parts,
    )
