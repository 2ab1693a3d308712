# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The note-roll codec against the spectral one: round trips of test stems, by numbers, pictures, WAVs, and their cost.

    python -m anacrusis.benchmarks.codec --corpus DIR [--songs 10] [--out out/codec] [--record]

Each codec makes the same stretch of the same stems again. `codec_scores.py` says what the columns mean; three things to
know. `truth` is the onset detector on the original: no codec can be expected to do better. The roll codec is given the
notes and plays its own recordings of them, so neither the waveform nor the colour of an instrument that it lacks can
come back; the spectral codec is given the audio. `seam dB` is how near the decodes of two live steps of 16 frames are
where the second takes over, past its taper (higher is better): where it is low, notes that last change their phase.

Music2Latent's published round trips (arXiv 2408.06500) are of whole mixes of MusicCaps, judged by SI-SDR, ViSQOL and
FAD of another embedding. SI-SDR is of no use for codecs that do not code the waveform; ViSQOL compares, with two
grains of salt: other music, single stems here. It is left out unless installed: pip install -e '.[visqol]', which
needs a C++ compiler.

Exit 0 done, 1 the chosen codec costs more than 0.15 of a step's time (median), or a stage of it could not be timed,
2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf
from tqdm import tqdm

from anacrusis.benchmarks import codec_scores as scores
from anacrusis.benchmarks.codec_plot import plot_round_trips
from anacrusis.benchmarks.codec_subjects import (
    FRAME_SAMPLES,
    LEAD_FRAMES,
    STEP_FRAMES,
    Audio,
    Clip,
    CodecMissingError,
    Subject,
    clips_of,
    open_subjects,
)
from anacrusis.benchmarks.codec_timing import LIMIT, measure
from anacrusis.benchmarks.judges.onsets import level_dbfs, onset_times_s
from anacrusis.benchmarks.record import conditions, publish
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.train.paths import ROLL_WEIGHTS, SPECTRAL_WEIGHTS
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "codec.jsonl"
CODECS: Final = ("roll", "spectral")
SEAMS: Final = 4
FIGURES: Final = {  # name in a record: heading, decimals
    "visqol": ("ViSQOL", 2),
    "si_sdr_db": ("SI-SDR dB", 1),
    "stft_distance": ("STFT dist.", 2),
    "mel_distance": ("mel dist.", 2),
    "log_spectral_db": ("log spec. dB", 1),
    "onset_f1_25ms": ("onset F1 25", 3),
    "onset_f1_50ms": ("onset F1 50", 3),
    "note_f1_25ms": ("note F1 25", 3),
    "chroma_cosine": ("chroma", 3),
    "level_db": ("level dB", 1),
    "seam_db": ("seam dB", 1),
    "fad": ("FAD", 1),
}


def judge(clip: Clip, made: Audio) -> dict[str, float]:
    """Figures of one round trip. made: [4096 * frames], aligned with the clip. Drums have no chroma."""
    truth = clip.audio
    return {
        **judge_onsets(clip, made),
        "visqol": scores.visqol(truth, made[: len(truth)]),
        "si_sdr_db": scores.si_sdr_db(truth, made),
        "stft_distance": scores.stft_distance(truth, made),
        "mel_distance": scores.mel_distance(truth, made),
        "log_spectral_db": scores.log_spectral_db(truth, made),
        "chroma_cosine": float("nan") if clip.stem == "drums" else scores.chroma_cosine(truth, made),
        "level_db": level_dbfs(made) - level_dbfs(truth),
    }


def judge_onsets(clip: Clip, made: Audio) -> dict[str, float]:
    """What the detector hears against the true notes, strums merged."""
    found_s, true_s = onset_times_s(made), scores.merged(np.array([time_s for time_s, _ in clip.note_times]))
    return {f"onset_f1_{ms}ms": scores.match_f1(true_s, found_s, ms / 1000) for ms in (25, 50)}


def round_trip(subject: Subject, clip: Clip) -> tuple[Audio, dict[str, float]]:
    """The clip made again, and its figures, the codec's own included."""
    latent = subject.latent(clip)
    whole = subject.decode(latent)
    made = whole[LEAD_FRAMES * FRAME_SAMPLES :]
    figures = judge(clip, made)
    notes = subject.notes(clip, latent)
    figures["note_f1_25ms"] = float("nan") if notes is None else scores.note_f1(*notes, 0.025)
    figures["seam_db"] = seam_db(subject, latent)
    return made, figures


def seam_db(subject: Subject, latent: Audio) -> float:
    """How well the decodes of two steps that follow each other agree, over the frame where one takes over.

    Energy of the later against the energy of their difference, over up to SEAMS joints of the clip; NaN where both are
    silent at all of them, 120 where they are equal.
    """
    sound = rest = 0.0
    joints = range(LEAD_FRAMES, latent.shape[1], STEP_FRAMES)
    for joint in joints[:: max(1, len(joints) // SEAMS)]:
        late = joint - subject.taper_frames
        pieces = [
            subject.decode(latent[:, begin : joint + 1])[-FRAME_SAMPLES:].astype(np.float64)
            for begin in (late - STEP_FRAMES, late)
        ]
        sound += float((pieces[1] ** 2).sum())
        rest += float(((pieces[1] - pieces[0]) ** 2).sum())
    if sound == 0 == rest:
        return float("nan")
    return float(np.clip(10 * np.log10(max(sound, 1e-20) / max(rest, 1e-20)), -120.0, 120.0))


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Mean of every figure over the rows that have one; None where none has."""
    out: dict[str, float | None] = {}
    for name in FIGURES:
        values = [row[name] for row in rows if name in row and np.isfinite(row[name])]
        out[name] = round(float(np.mean(values)), 4) if values else None
    return out


def distances(truth: Sequence[Audio], made: Mapping[str, Sequence[Audio]]) -> dict[str, float]:
    """FAD (musicnn's embedding) of each codec's clips of one stem; empty where the judge cannot run here."""
    try:
        from anacrusis.benchmarks.judges.fad import embed_all, frechet

        reference = embed_all(truth)
        return {name: frechet(embed_all(clips), reference) for name, clips in made.items()}
    except (ImportError, AnacrusisError) as error:
        print(f"no FAD: {error}", file=sys.stderr)
        return {}


def compare(
    clips: Sequence[Clip], subjects: Sequence[Subject], *, fad: bool = True, progress: bool = True
) -> tuple[list[dict[str, Any]], list[dict[str, Audio]]]:
    """Records (one a codec and stem, the truth included), and for each clip the audio that each codec made."""
    figures: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    made: list[dict[str, Audio]] = []
    for clip in tqdm(clips, desc="round trips", unit="clip", file=sys.stderr, disable=not progress):
        figures["truth", clip.stem].append(judge_onsets(clip, clip.audio))
        versions = {}
        for subject in subjects:
            versions[subject.name], row = round_trip(subject, clip)
            figures[subject.name, clip.stem].append(row)
        made.append(versions)
    records = []
    for stem in STEMS:
        here = [index for index, clip in enumerate(clips) if clip.stem == stem]
        if not here:
            continue
        sets = {subject.name: [made[index][subject.name] for index in here] for subject in subjects}
        apart = distances([clips[index].audio for index in here], sets) if fad else {}
        for name in ("truth", *sets):
            record = {"codec": name, "stem": stem, "clips": len(here), **means(figures[name, stem])}
            record["fad"] = round(apart[name], 2) if name in apart else None
            records.append(record)
    return records, made


def table(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines."""
    rows = [["stem", "codec", "clips", *(heading for heading, _ in FIGURES.values())]]
    for record in records:
        cells = ["-" if record[n] is None else f"{record[n]:.{digits}f}" for n, (_, digits) in FIGURES.items()]
        rows.append([record["stem"], record["codec"], str(record["clips"]), *cells])
    return _markdown(rows)


def timing_table(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines: medians of the stages, and the share of a step's time."""
    rows = [["codec", "encode ms", "decode ms", "frames decoded", "share p50", "p95", "p99", "limit"]]
    for record in records:
        stages = [f"{record[f'{s}_ms']['p50']:.1f}" if f"{s}_ms" in record else "-" for s in ("encode", "decode")]
        shares = [f"{record['rtf'][q]:.3f}" for q in ("p50", "p95", "p99")]
        rows.append([record["codec"], *stages, str(record["decoded_frames"]), *shares, f"{LIMIT:g}"])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]


def write_sounds(out: Path, clips: Sequence[Clip], made: Sequence[Mapping[str, Audio]]) -> None:
    """One clip a stem, of the first song that has it: truth and round trips as WAV, and the picture of them."""
    out.mkdir(parents=True, exist_ok=True)
    first = {clip.stem: index for index, clip in reversed(list(enumerate(clips)))}
    chosen = [first[stem] for stem in STEMS if stem in first]
    for index in chosen:
        for name, audio in {"truth": clips[index].audio, **made[index]}.items():
            sf.write(out / f"{clips[index].stem}-{name}.wav", np.clip(audio, -1, 1), SAMPLE_RATE_HZ, subtype="PCM_16")
    plot_round_trips(out / "codec.png", [clips[index] for index in chosen], [made[index] for index in chosen])


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: see the module."""
    options = _parser().parse_args(argv)
    try:
        return run(options)
    except AnacrusisError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace) -> int:
    """As `main`, errors raised."""
    import torch

    from anacrusis.train.dataset import open_dataset

    torch.set_num_threads(options.threads)
    before = conditions(options.threads)
    tracks = [track for track in open_dataset(options.corpus) if track.split == options.split][: options.songs]
    if not tracks:
        raise CodecMissingError(
            f"{options.corpus} has no {options.split} songs; make some: "
            f"python -m anacrusis.train.corpus --songs 10 --split {options.split} --seed 1 --out {options.corpus}"
        )
    subjects, missing = open_subjects(options.roll, options.spectral, options.soundfont)
    for line in missing:
        print(line, file=sys.stderr)
    clips = [
        clip
        for index, track in enumerate(tracks)
        for clip in clips_of(track, options.seconds, np.random.default_rng([options.seed, index]))
    ]
    records, made = compare(clips, subjects, fad=not options.no_fad)
    write_sounds(options.out, clips, made)
    latents = {subject.name: subject.latent(clips[0]) for subject in subjects}
    timings = measure(subjects, options.threads, options.repeats, latents)
    print("\n".join([*table(records), "", *timing_table(timings), ""]))
    shared = {
        "benchmark": "codec",
        **before,
        "songs": len(tracks),
        "seconds": options.seconds,
        "seed": options.seed,
        "split": options.split,
        "codecs": {subject.name: subject.about for subject in subjects},
    }
    publish(RESULTS if options.record else None, [{**shared, "quality": records, "timing": timings}])
    chosen = next((record for record in timings if record["codec"] == options.chosen), None)
    return 0 if chosen and not chosen["missing"] and chosen["rtf"]["p50"] <= LIMIT else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m anacrusis.benchmarks.codec", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="what anacrusis.train.corpus wrote, or Slakh2100")
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each song (default %(default)s)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0, help="which stretch of each song")
    parser.add_argument("--roll", type=Path, default=ROLL_WEIGHTS)
    parser.add_argument("--spectral", type=Path, default=SPECTRAL_WEIGHTS)
    parser.add_argument("--soundfont", type=Path, default=None)
    parser.add_argument("--chosen", choices=CODECS, default="roll", help="whose cost decides the exit code")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30, help="timed runs of each stage")
    parser.add_argument("--no-fad", action="store_true", help="leave out the distance of embeddings")
    parser.add_argument("--out", type=Path, default=Path("out/codec"), help="WAVs and the picture")
    parser.add_argument("--record", action="store_true", help=f"append to {RESULTS.relative_to(REPOSITORY)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
