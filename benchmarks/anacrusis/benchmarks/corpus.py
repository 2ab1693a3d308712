# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Make songs, and judge from their audio that stems are aligned, and beats and chords are as declared.

    python -m anacrusis.benchmarks.corpus [--songs 10] [--seed 1] [--out out/corpus-check] [--hour] [--record]

Writes OUT/songs (a corpus) and OUT/NAME.png (piano roll above spectrograms) of each song. Checks, each on the audio:

    stems     every stem sounds, none clips; its onset envelope meets its notes best where notes of its program, alone
              or struck again, do (10 ms; samples take 0 to 50 ms to rise), and is there at least 4 times its mean
    beats     of every place within half a beat, the drums meet the declared grid best (25 ms). Styles that accent the
              off-beat meet it half a beat away: they are named, must be the minority, and guitar and piano must fit the
              chart better as declared than half a beat early or late
    chords    chroma fits the chart better than the chart in any of eleven other keys, and better than a bar early or
              late (where the chart differs from itself a bar away)
    seed      two of the songs made again, by another number of processes: the same hashes
    rate      an hour of music in under five minutes; from these songs, or with --hour by making that hour

Prints a table; the last line is JSON; --record appends it to results/corpus.jsonl. Exit 0 all checks passed, 1 one was
missed, 2 bad input. Not covered: whether the music is good; look at the pictures, and listen.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from anacrusis.benchmarks.corpus_checks import Alignment, ChordFit, alignment, beat_offset, chord_fit, rise_ms
from anacrusis.benchmarks.record import columns, conditions, publish
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.train.corpus import write_corpus
from anacrusis.train.dataset import Track, open_dataset
from anacrusis.train.look import draw
from anacrusis.train.render import Renderer
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "corpus.jsonl"
PACKAGES: Final = ("numpy", "soundfile", "tinysoundfont", "librosa")
LAG_MS: Final = 10.0
CONTRAST: Final = 4.0
BEAT_MS: Final = 25.0
CHART_MOVES: Final = 0.3  # a chart that differs from itself a bar away in less than this cannot tell a bar's shift
FIVE_MINUTES_S: Final = 300.0
PICTURE_S: Final = (8.0, 15.0)  # from, how long


@dataclass(frozen=True, slots=True)
class Judged:
    """One song. rises_ms: what each stem's program takes to rise, alone and struck again.

    beat_ms, beat_share: by how much, in time and in beats, the declared grid must move to meet the drums best.
    """

    name: str
    family: str
    stems: Mapping[str, Alignment]
    rises_ms: Mapping[str, tuple[float, float]]
    beat_ms: float
    beat_share: float
    chords: ChordFit
    peak_of_sum: float

    @property
    def aligned(self) -> bool:
        """Whether every stem that plays meets its notes."""
        return all(
            min(self.rises_ms[stem]) - LAG_MS <= one.lag_ms <= max(self.rises_ms[stem]) + LAG_MS
            and one.contrast >= CONTRAST
            for stem, one in self.stems.items()
            if one.onsets
        )

    @property
    def beat(self) -> str:
        """ "on": as declared. "off-beat": half a beat away, though the chords are as declared. "missed": neither."""
        if abs(self.beat_ms) <= BEAT_MS:
            return "on"
        half_ms = abs(self.beat_ms / self.beat_share) / 2 if self.beat_share else 0.0
        off_beat = abs(abs(self.beat_ms) - half_ms) <= BEAT_MS and self.chords.beat_margin > 0
        return "off-beat" if off_beat else "missed"

    @property
    def in_key(self) -> bool:
        """Whether the chart as declared fits better than in any other key, and than a bar away where that differs."""
        fit = self.chords
        return fit.declared > fit.other_keys and (fit.moves < CHART_MOVES or fit.declared > fit.moved)


def judge(track: Track, renderer: Renderer) -> Judged:
    """Read a track's audio and hold its song to account. Raises MissingExtraError without librosa."""
    song = track.song
    audio = {stem: track.stem(stem) for stem in STEMS}
    beat_ms, beat_share = beat_offset(song, [audio["drums"]])
    return Judged(
        name=song.name,
        family=song.family,
        stems={stem: alignment(song, stem, audio[stem]) for stem in STEMS},
        rises_ms={stem: rise_ms(renderer.stem, song, stem) for stem, part in song.parts.items() if part.notes},
        beat_ms=beat_ms,
        beat_share=beat_share,
        chords=chord_fit(song, audio["bass"], audio["guitar"], audio["piano"]),
        peak_of_sum=float(np.abs(np.sum(list(audio.values()), axis=0)).max()),
    )


def checks(judged: Sequence[Judged], corpus: Mapping[str, Any], same_hashes: bool, hour_s: float) -> dict[str, bool]:
    """Name -> whether it passed. corpus: what `write_corpus` returned; hour_s: seconds an hour of music takes."""
    on_beat = [one.beat for one in judged]
    return {
        "stems sound": all(alignment.onsets for one in judged for alignment in one.stems.values()),
        "nothing clips": corpus["clipped_samples"] == 0,
        "stems are aligned": all(one.aligned for one in judged),
        "beats are as declared": "missed" not in on_beat and on_beat.count("on") > len(on_beat) / 2,
        "chords are as declared": all(one.in_key for one in judged),
        "the same seed gives the same hashes": same_hashes,
        "an hour in under five minutes": hour_s < FIVE_MINUTES_S,
    }


def table(judged: Sequence[Judged]) -> list[str]:
    """A row a song."""
    rows: list[Sequence[str]] = [["song", *STEMS, "beat ms", "", "chart", "key", "bar", "half beat", "peak"]]
    for one in judged:
        stems = (
            f"{a.lag_ms:+.0f} ({'-'.join(f'{ms:.0f}' for ms in one.rises_ms.get(stem, ()))}) "
            f"x{a.contrast:.0f} {a.hit_rate:.2f}"
            for stem, a in one.stems.items()
        )
        fit = one.chords
        away = f"{fit.moved:.2f}" + ("" if fit.moves >= CHART_MOVES else " (same)")
        chords = (f"{fit.declared:.2f}", f"{fit.other_keys:.2f}", away, f"{-fit.beat_margin:+.3f}")
        rows.append([one.name, *stems, f"{one.beat_ms:+.0f}", one.beat, *chords, f"{one.peak_of_sum:.2f}"])
    return columns(rows, right=range(1, 12))


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Medians over the songs, by stem."""
    stems: dict[str, dict[str, float]] = {}
    for stem in STEMS:
        rows = [asdict(one.stems[stem]) for one in judged if one.stems[stem].onsets]
        stems[stem] = (
            {name: round(float(np.median([row[name] for row in rows])), 3) for name in rows[0]} if rows else {}
        )
    fits = [one.chords for one in judged]
    return {
        "stems": stems,
        "beats": {kind: sum(one.beat == kind for one in judged) for kind in ("on", "off-beat", "missed")},
        "off_beat": [one.family for one in judged if one.beat == "off-beat"],
        "chords": {
            name: round(float(np.median([getattr(fit, name) for fit in fits])), 3)
            for name in ("declared", "other_keys", "moved", "beat_margin")
        },
        "peak_of_sum": round(max(one.peak_of_sum for one in judged), 3),
    }


def run(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Everything. Returns the record, and whether all checks passed."""
    common: dict[str, Any] = {"seed": options.seed, "soundfont": options.soundfont}
    before = conditions(1, PACKAGES)
    home: Path = options.out / "songs"
    shutil.rmtree(home, ignore_errors=True)  # else songs that are there would make the rate look well
    corpus = write_corpus(home, songs=options.songs, workers=options.workers, **common)
    hour_s = corpus["wall_s"] / corpus["hours"]
    with tempfile.TemporaryDirectory() as folder:
        workers = 1 if corpus["workers"] > 1 else 2
        again = write_corpus(
            Path(folder) / "again", songs=min(2, options.songs), workers=workers, progress=False, **common
        )
        same = again["songs"] == corpus["songs"][: len(again["songs"])]
        if options.hour:
            whole = write_corpus(Path(folder) / "hour", hours=1.0, workers=options.workers, **common)
            hour_s = whole["wall_s"] / whole["hours"]
    judged, renderer = [], Renderer(options.soundfont)
    tracks = sorted(open_dataset(home), key=lambda track: track.name)
    for track in tqdm(tracks, desc="judging", unit="song", file=sys.stderr):
        judged.append(judge(track, renderer))
        if not options.no_pictures:
            start_s = min(PICTURE_S[0], track.length_samples / SAMPLE_RATE_HZ / 3)
            stems = {stem: track.stem(stem) for stem in STEMS}
            draw(track.song, stems, options.out / f"{track.name}.png", start_s=start_s, seconds=PICTURE_S[1])
    print("a stem: lag ms (what its program takes to rise: alone-struck again), envelope there in means, onsets heard")
    print("chart: chroma against it as declared, in the best other key, a bar away; gain of half a beat away")
    print("\n".join(table(judged)))
    passed = checks(judged, corpus, same, hour_s)
    print()
    for name, one in passed.items():
        print(f"{'ok  ' if one else 'MISS'}  {name}")
    made = "made" if options.hour else "would take, at the rate of these songs"
    print(f"an hour of music: {hour_s:.0f} s ({made}), {corpus['workers']} process(es), load {before['load_1min']}")
    record = {
        "benchmark": "corpus",
        "songs": len(judged),
        "seed": options.seed,
        "families": [one.family for one in judged],
        "soundfont_sha256": corpus["soundfont_sha256"],
        "checks": passed,
        **summary(judged),
        "seconds_an_hour": round(hour_s, 1),
        "hour_made": options.hour,
        "processes": corpus["workers"],
        **before,
    }
    return record, all(passed.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/corpus-check"), help="OUT/songs is made anew")
    parser.add_argument("--soundfont", type=Path, help="FluidR3_GM.sf2 (default: $ANACRUSIS_SOUNDFONT, usual places)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--hour", action="store_true", help="make a whole hour, to time it (1 GB, thrown away)")
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument("--record", action="store_true", help=f"append to {RESULTS.relative_to(REPOSITORY)}")
    options = parser.parse_args(arguments)
    try:
        record, passed = run(options)
    except AnacrusisError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    publish(RESULTS if options.record else None, [record])
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
