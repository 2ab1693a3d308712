# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md, music: the corpus, both codecs, the ear on its own anchors, and what bundles score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from anacrusis.benchmarks.results_text import Record, interval, markdown, measured_with

# The judges that the check relies on.
SHOWN: Final = ("chord_cosine", "context_cosine", "grid_lock", "context_lock")
CODEC_COLUMNS: Final = ("onset_f1_50ms", "note_f1_25ms", "visqol", "mel_distance", "chroma_cosine", "level_db", "fad")


def corpus(records: Sequence[Record]) -> list[str]:
    """Whether the songs hold what they declare."""
    record = records[-1]
    hits = " / ".join(f"{record['stems'][stem]['hit_rate']:.2f}" for stem in ("bass", "drums", "guitar", "piano"))
    beats, chords = record["beats"], record["chords"]
    made = "made in" if record["hour_made"] else "would take"
    text = (
        f"{record['songs']} songs judged from their audio: notes with an onset within 25 ms of where the stem's are "
        f"heard (bass / drums / guitar / piano) {hits}; the declared beat found in {beats['on']}, met half a beat away "
        f"and confirmed by the chords in {beats['off-beat']}, missed in {beats['missed']}; chroma against the declared "
        f"chords {chords['declared']:.2f}, in the best other key {chords['other_keys']:.2f}, a bar away "
        f"{chords['moved']:.2f}. An hour of corpus {made} {record['seconds_an_hour']:.0f} s on {record['processes']} "
        "cores."
    )
    return ["", text, *measured_with([record])]


def codec(records: Sequence[Record]) -> list[str]:
    """Round trips of both codecs, stem by stem, and what they cost."""
    record = records[-1]
    head = ["onset F1", "note F1", "ViSQOL", "mel distance", "chroma", "level dB", "FAD"]
    note = (
        f"Round trips of {record['songs']} test songs, {record['seconds']:.0f} s each. Truth: the onset detector on "
        "the original. The roll codec plays its own recordings of the notes: the colour of another program is lost."
    )
    quality = [["stem", "codec", *head]]
    for one in record["quality"]:
        cells = ["-" if one.get(name) is None else f"{one[name]:.{_digits(name)}f}" for name in CODEC_COLUMNS]
        quality.append([one["stem"], one["codec"], *cells])
    costs = ["encode a window, ms", "decode 16 frames, ms", "share of 1.486 s, p50 / p95 / p99 (limit .15)"]
    timing = [["codec", *costs]]
    for one in record["timing"]:
        encode, decode = (one.get(f"{stage}_ms", {}).get("p50") for stage in ("encode", "decode"))
        shares = " / ".join(f"{one['rtf'][q]:.3f}" for q in ("p50", "p95", "p99"))
        timing.append([one["codec"], f"{encode:.1f}", f"{decode:.1f}", shares])
    return ["", note, "", *markdown(quality), "", *markdown(timing), *measured_with([record])]


def ear(records: Sequence[Record]) -> list[str]:
    """The judges on their own anchors, and the newest bundles they judged."""
    anchors = [record for record in records if not record["players"]][-1:]
    played = [record for record in records if record["players"]][-1:]
    out = [line for record in anchors for line in _anchors(record)]
    return [*out, *(line for record in played for line in _players(record)), *measured_with([*anchors, *played])]


def _digits(name: str) -> int:
    return 3 if "f1" in name or "cosine" in name else 1 if name in ("level_db", "fad") else 2


def _anchors(record: Record) -> list[str]:
    names = ["ceiling", "late", "codec", "floor"]
    note = (
        f"{record['songs']} test songs of {len(record['families'])} unseen families, {record['seconds']:.0f} s each, "
        "means with 95 % intervals over songs. Ceiling: the true stem; late: the same 41 ms late; codec: its round "
        "trip; floor: another song's. All judges: `report.md` of the run."
    )
    lines = [["judge", "stem", *names, "verdict"]]
    for row in _shown(record):
        cells = [interval(row["values"].get(name)) for name in names]
        lines.append([row["measure"].replace("_", " "), row["stem"], *cells, row["verdict"]])
    return ["", note, "", *markdown(lines)]


def _players(record: Record) -> list[str]:
    note = (
        "What bundles score through the live cycle, normalised (1 the true stem, 0 another song's), "
        f"{record['songs']} songs. Noise scores 0, which is a little above another song in another key."
    )
    lines = [["bundle, step:lead in frames", "judge", "stem", "score", "normalised"]]
    for label in (player["label"] for player in record["players"]):
        for row in _shown(record):
            if label in row["normalised"]:
                cells = [interval(row[kind][label]) for kind in ("values", "normalised")]
                lines.append([label, row["measure"].replace("_", " "), row["stem"], *cells])
    return ["", note, "", *markdown(lines)]


def _shown(record: Record) -> list[Record]:
    return [row for measure in SHOWN for row in record["rows"] if row["measure"] == measure]
