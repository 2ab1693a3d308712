# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The curve: what a bundle writes through the live cycle against lead, step and evaluations (NFE), and what a short
lead is worth.

    python -m anacrusis.benchmarks.curve --bundle bundles/starter-cd --diffusion bundles/starter-diffusion \\
        --corpus out/test40 --songs 8

Leads {-step, 0, one frame, one step} x steps {1, 4, 16 frames} x {1, 2} evaluations of a consistency bundle; a
diffusion bundle with its own evaluations at 4 and 16. A lead of -step is the paper's retrospective regime: a step is
written when all of it has been heard. Net look-ahead is the lead in seconds (`music_live.py`).

Harmony is the mean over the stems that have one, rhythm over bass and drums; the plot shows one judge of each
(--harmony, --rhythm), the tables all. Silence counts as chance (`music_columns.py`).

**The worth of a short lead**: at equal step, the score with a lead of one frame less the score with a lead of one step,
song by song, with a bootstrap interval over songs. It is called real where the interval leaves out 0, over five songs
or more. A table of many worths has one such by chance in twenty: read neighbours together.

What was heard is kept in OUT (the cache of `music.py`) player by player: an interrupted run goes on. The default is
16 s of each of 8 songs after a window of warm-up, all four stems: a step of one frame is then 237 cycles a clip. What
will run is counted on stderr first. OUT/{curve.md,curve.png,scores.jsonl}; --record appends to
benchmarks/results/curve.jsonl, from which `curve_plot.py` draws the picture again.

Exit code 0 done, 2 bad input, 130 interrupted. Not covered: deadlines (a pace that no machine could play is judged like
any other), FAD.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from anacrusis.benchmarks import music
from anacrusis.benchmarks.curve_plot import plot_curve
from anacrusis.benchmarks.curve_report import JUDGES, point_table, points, sentences, stems_of, worth_table, worths
from anacrusis.benchmarks.headline import VERSIONS_OF
from anacrusis.benchmarks.music_clips import MusicError, Track
from anacrusis.benchmarks.music_hear import Ear
from anacrusis.benchmarks.music_live import Player, players
from anacrusis.benchmarks.music_work import Session
from anacrusis.benchmarks.record import append_jsonl, conditions
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.plot import require_drawable
from anacrusis.train.song import STEMS

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "curve.jsonl"
STEPS: Final = (1, 4, 16)
DIFFUSION_STEPS: Final = (4, 16)  # of one frame it would be hundreds of evaluations a second


def paces(steps: Sequence[int]) -> list[tuple[int, int]]:
    """(step, lead) in frames, each once."""
    return list(dict.fromkeys((step, lead) for step in steps for lead in (-step, 0, 1, step)))


def curve_players(
    consistency: Path,
    diffusion: Path | None,
    stems: Sequence[str],
    *,
    steps: Sequence[int] = STEPS,
    nfes: Sequence[int] = (1, 2),
    backend: str = "auto",
    sampler_steps: int | None = None,
) -> list[tuple[Player, int]]:
    """Players and their NFE; the name says both. sampler_steps: of the diffusion bundle.

    Raises AnacrusisError; MusicError where `consistency` is no consistency bundle.
    """
    found = []
    for nfe in dict.fromkeys(nfes):
        found += _named(consistency, stems, paces(steps), backend, nfe)
        if found[-1][1] != nfe:
            raise MusicError(f"{consistency} cannot run {nfe} evaluations: --bundle must be a consistency bundle")
    if diffusion is not None:
        few = [step for step in steps if step in DIFFUSION_STEPS] or list(steps)
        found += _named(diffusion, stems, paces(few), backend, sampler_steps)
    if len({player.label for player, _ in found}) < len(found):
        raise MusicError("--diffusion names the same bundle as --bundle; leave it out")
    return found


def _named(
    bundle: Path, stems: Sequence[str], paced: Sequence[tuple[int, int]], backend: str, sampler_steps: int | None
) -> list[tuple[Player, int]]:
    nfe = Bundle.open(bundle).manifest.sampler.table(sampler_steps).nfe
    found = []
    for player in players([bundle], paced, stems, backend, sampler_steps):
        name = f"{player.name}, {nfe} NFE"
        label = f"{name} {player.step_frames}:{player.lead_frames}"
        found.append((replace(player, name=name, label=label), nfe))
    return found


def work(session: Session, nfe: dict[str, int], stems: int) -> tuple[int, int]:
    """(cycles, evaluations) of a run that finds nothing in its cache."""
    cycles = evaluations = 0
    for cut in session.cuts:
        for player in session.players:
            steps = -(-cut.length_samples // (player.step_frames * player.frame_samples)) * stems
            cycles, evaluations = cycles + steps, evaluations + steps * nfe[player.label]
    return cycles, evaluations


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.benchmarks.curve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="CD", help="a consistency bundle")
    add("--diffusion", type=Path, metavar="B", help="a diffusion bundle, with its own evaluations or --sampler-steps")
    music.add_listening(parser, Path("out/curve"), 16.0, 8)
    add("--steps", type=int, nargs="+", default=list(STEPS), metavar="FRAMES", help="default 1 4 16")
    add("--nfe", type=int, nargs="+", default=[1, 2], help="of the consistency bundle (default 1 2)")
    add("--harmony", choices=JUDGES["harmony"], default=JUDGES["harmony"][0], help="judge in the plot's first panel")
    add("--rhythm", choices=JUDGES["rhythm"], default=JUDGES["rhythm"][0], help="and in its second")
    add("--record", action="store_true", help=f"append to {RESULTS.relative_to(REPOSITORY)}")
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
        if not any(stems_of(panel, options.stem) for panel in JUDGES):
            raise MusicError(f"neither harmony nor rhythm is judged on {', '.join(options.stem)}; add bass")
        ear = music.listener(options, ear, embeds=False)
        picture = options.out / "curve.png"
        require_drawable(picture)
        playing = curve_players(
            options.bundle,
            options.diffusion,
            options.stem,
            steps=options.steps,
            nfes=options.nfe,
            backend=options.backend,
            sampler_steps=options.sampler_steps,
        )
        nfe = {player.label: count for player, count in playing}
        before = conditions(1, VERSIONS_OF)
        chosen = [player for player, _ in playing]
        session = music.session_with(options, tracks(options.corpus, options.split), ear, chosen)
        cycles, evaluations = work(session, nfe, len(options.stem))
        print(f"{len(chosen)} players, {cycles} cycles, {evaluations} evaluations at most", file=sys.stderr)
        heard, rows = music.run(options, session)
        record = music.record_of(options, session, heard, rows) | before
        record |= {
            "benchmark": "curve",
            "rows": None,  # of each stem and player: OUT/scores.jsonl has them all
            "stems_harmony": list(stems_of("harmony", options.stem)),
            "stems_rhythm": list(stems_of("rhythm", options.stem)),
            "shown": {"harmony": options.harmony, "rhythm": options.rhythm},
            "players": [player.as_dict() | {"nfe": nfe[player.label]} for player in chosen],
            "cycles": cycles,
            "evaluations": evaluations,
            "points": points(heard, session.players, options.stem),
            "worths": worths(heard, session.players, options.stem),
        }
        record["wall_s"] = round(time.perf_counter() - begin, 1)
        text = report(record)
        plot_curve(picture, record)
        (options.out / "curve.md").write_text("\n".join(text) + "\n", encoding="utf-8")
        music.write_scores(options.out, music.score_lines(session, heard))
        if options.record:
            append_jsonl(RESULTS, record)
    except (AnacrusisError, OSError, KeyboardInterrupt) as error:
        return music.ended("curve", options.out, error)
    print("\n".join(text))
    print(f"wrote {options.out}/curve.md, curve.png, scores.jsonl")
    print(json.dumps(record, separators=(",", ":")))
    return 0


def report(record: dict[str, Any]) -> list[str]:
    """Markdown, of a record alone."""
    return [
        f"{record['songs']} songs of {record['corpus']} ({record['split']}, {len(record['families'])} families), "
        f"{record['seconds']:g} s each, seed {record['seed']}. Harmony: mean of {', '.join(record['stems_harmony'])}; "
        f"rhythm: mean of {', '.join(record['stems_rhythm'])}. Means with 95 % intervals over songs.",
        "",
        *sentences(record),
        "",
        *worth_table(record),
        "",
        *point_table(record),
    ]


if __name__ == "__main__":
    sys.exit(main())
