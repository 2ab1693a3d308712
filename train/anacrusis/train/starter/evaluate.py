# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The compass of training: what a network writes, as notes, against the song's own and another song's. No audio.

    python -m anacrusis.train.starter.evaluate --checkpoint FILE --corpus DIR --pieces DIR [--live] [--step 8 --lead 8]

Each stem of each song is continued: one step after the song's own past, or with --live many steps from silence, after
nothing but what the network itself wrote. Then, for what was written (made), the stem itself (true) and another song's
(other):

    chord      share of notes whose pitch class is in the chord that sounds (not of drums)
    onsets     F1 of onsets with the true stem's, within three hops (35 ms)
    lock       share of onsets within two hops (23 ms) of an onset of another stem
    density    notes written for each note of the true stem
    missing    share of stretches in which the true stem plays and nothing was written
    beyond     share in which nothing should have been written, and something was

`headline` is the mean, over what stems have, of (made - other) / (true - other) for chord, and of onsets' (made -
other) / (1 - other): 0 is another song, 1 the song. A compass, not a judge: `benchmarks.music` hears the audio. Exit 0
done, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.codec.rows import FRAME_SAMPLES, HOP_SAMPLES
from anacrusis.train.dataset import open_dataset
from anacrusis.train.song import STEMS, CorpusError, Note, Song
from anacrusis.train.starter.guidance import Guided
from anacrusis.train.starter.pieces import CODEC, NoteLatents, load_pieces, make_pieces
from anacrusis.train.starter.sample import Job, Voice, write
from anacrusis.train.starter.trainer import load_network
from anacrusis.train.starter.windows import Piece

F32 = NDArray[np.float32]
EVERYONE: Final = (1 << len(STEMS)) - 1
NEAR_HOPS, LOCKED_HOPS = 3, 2
CHORD_LOOK_SAMPLES: Final = 1024  # a humanised note may come a little before its chord


@dataclass(frozen=True, slots=True)
class Pace:
    """What is written: `stretches` a song and stem, each of `cycles` steps."""

    step_frames: int = 8
    lead_frames: int = 8
    stretches: int = 2
    cycles: int = 1
    live: bool = False

    @property
    def frames(self) -> int:
        return self.step_frames * self.cycles


LIVE: Final = Pace(stretches=1, cycles=16, live=True)


def jobs_of(pieces: Sequence[Piece], pace: Pace) -> list[Job]:
    """Songs in turn, stems within: continuing at even places of the song, live from its begin."""
    jobs = []
    for piece in pieces:
        for stem in range(len(STEMS)):
            room = piece.frames - 64 - pace.frames
            for k in range(pace.stretches):
                start = pace.lead_frames if pace.live else 64 + max(0, round(room * (k + 0.5) / pace.stretches))
                jobs.append(Job(piece, stem, start, EVERYONE & ~(1 << stem)))
    return jobs


def in_chord(notes: Sequence[Note], song: Song) -> int:
    """How many of the notes belong to the chord at their start."""
    starts = np.array([chord.start_samples for chord in song.chords])
    at = np.searchsorted(starts, [n.start_samples + CHORD_LOOK_SAMPLES for n in notes], side="right") - 1
    return sum(n.pitch % 12 in song.chords[max(int(i), 0)].pitch_classes for n, i in zip(notes, at, strict=True))


def hops_of(notes: Sequence[Note]) -> NDArray[np.int64]:
    """Onsets in hops, rising, each once."""
    return np.unique(np.array([n.start_samples // HOP_SAMPLES for n in notes], np.int64))


def matches(a: NDArray[np.int64], b: NDArray[np.int64], near: int) -> int:
    """Pairs within `near`, each onset used once, in order."""
    i = j = found = 0
    while i < len(a) and j < len(b):
        if abs(int(a[i]) - int(b[j])) <= near:
            found, i, j = found + 1, i + 1, j + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return found


def near_any(a: NDArray[np.int64], b: NDArray[np.int64], near: int) -> int:
    """How many of a have one of b within `near`."""
    if not len(a) or not len(b):
        return 0
    at = np.searchsorted(b, a)
    left, right = b[np.maximum(at - 1, 0)], b[np.minimum(at, len(b) - 1)]
    return int((np.minimum(np.abs(a - left), np.abs(a - right)) <= near).sum())


def compare(jobs: Sequence[Job], made: F32, songs: Mapping[str, Song], codec: NoteLatents) -> dict[str, Any]:
    """made [jobs, C, frames], each from its job's start_frame. Returns stem -> measure -> who -> value, and
    `headline`."""
    frames = made.shape[2]
    own = [_own(job, frames) for job in jobs]
    half = len(jobs) // 2 // len(STEMS) * len(STEMS) or len(STEMS)
    counts: dict[str, dict[str, dict[str, float]]] = {
        stem: {who: dict.fromkeys(_COUNTS, 0.0) for who in ("made", "true", "other")} for stem in STEMS
    }
    gaps = {stem: {"missing": 0, "beyond": 0, "stretches": 0} for stem in STEMS}
    for row, job in enumerate(jobs):
        song, stem = songs[job.piece.name], STEMS[job.stem]
        begin = job.start_frame * FRAME_SAMPLES - job.piece.offset_samples
        others = [_own(Job(job.piece, s, job.start_frame, 0), frames) for s in range(len(STEMS)) if s != job.stem]
        names = [s for s in STEMS if s != stem]
        around = [n for z, s in zip(others, names, strict=True) for n in codec.notes(z, s, begin)]
        around_hops = hops_of(around)
        stranger = next(
            (
                own[k]
                for k in _elsewhere(row, len(jobs), half)
                if jobs[k].stem == job.stem and jobs[k].piece is not job.piece
            ),
            own[row],
        )
        notes = {
            "made": codec.notes(made[row], stem, begin),
            "true": codec.notes(own[row], stem, begin),
            "other": codec.notes(stranger, stem, begin),
        }
        true_hops = hops_of(notes["true"])
        for who, played in notes.items():
            hops, count = hops_of(played), counts[stem][who]
            count["notes"] += len(played)
            count["in_chord"] += in_chord(played, song) if stem != "drums" and song.chords else 0
            count["onsets"] += len(hops)
            count["matched"] += matches(hops, true_hops, NEAR_HOPS)
            count["locked"] += near_any(hops, around_hops, LOCKED_HOPS)
        gap = gaps[stem]
        gap["stretches"] += 1
        gap["missing"] += bool(len(notes["true"]) > 1 and not notes["made"])
        gap["beyond"] += bool(not notes["true"] and notes["made"])
    return _report(counts, gaps)


_COUNTS: Final = ("notes", "in_chord", "onsets", "matched", "locked")


def _own(job: Job, frames: int) -> F32:
    """The song's own latents of a stretch [C, frames], silence beyond its end."""
    out = np.zeros((job.piece.latents.shape[1], frames), np.float32)
    stretch = job.piece.latents[job.stem, :, job.start_frame : job.start_frame + frames]
    out[:, : stretch.shape[1]] = stretch
    return out


def _elsewhere(row: int, size: int, half: int) -> list[int]:
    """Every other row, the one half a list away first: not the same song."""
    return [(row + half + k) % size for k in range(size)]


def _report(counts: Mapping[str, Any], gaps: Mapping[str, Any]) -> dict[str, Any]:
    stems: dict[str, Any] = {}
    parts: list[float] = []
    for stem, by_who in counts.items():
        true = by_who["true"]
        row: dict[str, Any] = {"chord": {}, "onsets": {}, "lock": {}}
        for who, c in by_who.items():
            if stem != "drums":
                row["chord"][who] = round(c["in_chord"] / max(c["notes"], 1), 4)
            row["onsets"][who] = round(2 * c["matched"] / max(c["onsets"] + true["onsets"], 1), 4)
            row["lock"][who] = round(c["locked"] / max(c["onsets"], 1), 4)
        row["density"] = round(by_who["made"]["notes"] / max(true["notes"], 1), 3)
        gap = gaps[stem]
        row |= {key: round(gap[key] / max(gap["stretches"], 1), 3) for key in ("missing", "beyond")}
        if stem != "drums":
            parts.append(_between(row["chord"]["made"], row["chord"]["other"], row["chord"]["true"]))
        parts.append(_between(row["onsets"]["made"], row["onsets"]["other"], 1.0))
        stems[stem] = row
    return {"stems": stems, "headline": round(float(np.mean(parts)), 4)}


def _between(made: float, floor: float, ceiling: float) -> float:
    return (made - floor) / max(ceiling - floor, 1e-3)


def compass(
    voice: Voice, pieces: Sequence[Piece], songs: Mapping[str, Song], codec: NoteLatents, pace: Pace, seed: int = 0
) -> tuple[dict[str, Any], list[Job], F32]:
    """What `compare` says of what the voice writes at a pace; and the jobs and latents, to look at."""
    jobs = jobs_of(pieces, pace)
    made = write(
        voice,
        jobs,
        step_frames=pace.step_frames,
        lead_frames=pace.lead_frames,
        cycles=pace.cycles,
        from_silence=pace.live,
        seed=seed,
    )
    return compare(jobs, made, songs, codec), jobs, made


def table(report: Mapping[str, Any]) -> str:
    """For people."""
    lines = ["stem     chord made true other   onsets made other   lock made true other   density missing beyond"]
    for stem, row in report["stems"].items():
        chord = [f"{row['chord'].get(who, float('nan')):.2f}" for who in ("made", "true", "other")]
        onsets = [f"{row['onsets'][who]:.2f}" for who in ("made", "other")]
        lock = [f"{row['lock'][who]:.2f}" for who in ("made", "true", "other")]
        lines.append(
            f"{stem:8} {' ' * 6}{' '.join(chord)}   {' ' * 7}{' '.join(onsets)}   {' ' * 6}{' '.join(lock)}"
            f"     {row['density']:.2f}    {row['missing']:.2f}    {row['beyond']:.2f}"
        )
    return "\n".join([*lines, f"headline {report['headline']:.3f}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.train.starter.evaluate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument(
        "--corpus", type=Path, required=True, help="songs unseen in training, such as the validation split"
    )
    parser.add_argument("--pieces", type=Path, required=True, help="where pieces-KEY folders are made or found")
    parser.add_argument("--codec", type=Path, default=CODEC)
    parser.add_argument("--step", type=int, default=8, help="frames (default 8)")
    parser.add_argument("--lead", type=int, default=8, help="frames (default 8)")
    parser.add_argument(
        "--live", action="store_true", help="many steps from silence instead of one after the true past"
    )
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--steps", type=int, help="noise levels of the sampler; of a student evaluations")
    parser.add_argument("--guidance", type=float, default=1.0, help="further from what it says without a context")
    parser.add_argument(
        "--shift", type=float, nargs="+", default=[0.0], help="off the logits of onsets, one a stem or one for all"
    )
    parser.add_argument("--average", type=int, default=0, help="which average of the weights; -1: none (default 0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="a PNG: what was written beside the truth")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        network, config, about = load_network(options.checkpoint, None if options.average < 0 else options.average)
        tracks = open_dataset(options.corpus)[: options.songs]
        paths = make_pieces(options.corpus, options.pieces, codec=options.codec)[: options.songs]
        if min(options.step, options.songs) < 1 or options.lead + options.step > 62:
            raise CorpusError("--step and --songs must be at least 1, --step + --lead at most 62")
        if len(options.shift) not in (1, len(STEMS)):
            raise CorpusError(f"--shift takes one number, or {len(STEMS)}")
        guided = options.guidance != 1.0 or any(options.shift)
        who = Guided(network, options.guidance, tuple(options.shift)) if guided else network
        voice = Voice.of(who, config.levels.sigma_data, config.method, options.steps)
        cycles = max(1, LIVE.frames // options.step) if options.live else 1
        pace = Pace(options.step, options.lead, 1 if options.live else 2, cycles, options.live)
        songs, codec = {track.name: track.song for track in tracks}, NoteLatents.load(options.codec)
        report, jobs, made = compass(voice, load_pieces(paths), songs, codec, pace, options.seed)
        if options.plot:
            from anacrusis.train.starter.plot import plot_jobs

            plot_jobs(jobs, made, songs, codec, options.plot)
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(table(report))
    print(json.dumps({**about, "pace": asdict(pace), "nfe": voice.table.nfe, **report}, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
