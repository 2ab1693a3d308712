# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The listening itself: every song and stem by turns, on one process or several, each with one thread.

A piece of work is one stem of one song with all its signals, because they share a context. Processes are spawned, are
deaf to Ctrl-C (the parent ends them), and share what they have heard through the directory of `music_hear.Memory`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from anacrusis.benchmarks import music_fad
from anacrusis.benchmarks.music_clips import F32, Excerpt, Track, known, plain_anchors
from anacrusis.benchmarks.music_codec import RoundTrip
from anacrusis.benchmarks.music_hear import EMBEDDING, Ear, Memory, Sound
from anacrusis.benchmarks.music_live import Player
from anacrusis.train.song import SAMPLE_RATE_HZ

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Heard:
    """One stem of one song. scores[signal][measure]; embedded[signal]: [patches, dimensions], for FAD.

    computed, found: features that were computed, or found on disk. cpu_s: processor time of this piece of work.
    """

    song: str
    stem: str
    scores: Mapping[str, Mapping[str, float]]
    embedded: Mapping[str, F32] = field(default_factory=dict)
    computed: int = 0
    found: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Session:
    """All that a process needs. floor[i]: the song whose stem stands at the floor of song i.

    kept: directory of what was heard before, or None. wav_songs: of this many songs every signal is written as a WAV,
    alone and with its context.
    """

    tracks: tuple[Track, ...]
    cuts: tuple[Excerpt, ...]
    floor: tuple[int, ...]
    ear: Ear
    players: tuple[Player, ...]
    codec: RoundTrip | None
    seed: int
    kept: Path | None = None
    fresh: bool = False
    wavs: Path | None = None
    wav_songs: int = 0

    def signals(self, index: int, stem: str) -> dict[str, Sound]:
        """By name: the anchors, then each player by its label. What is slow to make is made when it is listened to."""
        track, cut = self.tracks[index], self.cuts[index]
        other = self.floor[index]
        plain = plain_anchors(track, stem, cut, self.tracks[other], self.cuts[other])
        sounds = {name: Sound(partial(_itself, audio)) for name, audio in plain.items()}
        memory = Memory(self.ear, None)
        if self.codec is not None:
            recipe = self.codec.recipe(track, stem, cut, memory.digest(sounds["ceiling"]))
            sounds["codec"] = Sound(partial(self.codec.through, track, stem, cut), recipe)
        if self.players:
            context = track.context(stem, cut.start_samples, cut.length_samples)
            digest = memory.digest(Sound(partial(_itself, context)))
            for player in self.players:
                make = partial(_written, player, context, track.name, stem, self.seed, cut.warm_up_samples)
                recipe = f"{player.recipe(digest, track.name, stem, self.seed)} from {cut.warm_up_samples}"
                sounds[player.label] = Sound(make, recipe)
        return sounds

    def listen(self, index: int, stem: str) -> Heard:
        """One piece of work. Raises AnacrusisError."""
        begin = time.process_time()
        track, cut, ear = self.tracks[index], self.cuts[index], self.ear
        memory = Memory(ear, self.kept, fresh=self.fresh)
        sounds = self.signals(index, stem)
        context = track.context(stem, cut.scored_start_samples, cut.scored_samples)
        beside = memory.features(Sound(partial(_itself, context)), ear.needs(stem, "context"))
        names = ear.needs(stem, "stem")
        truths = known(track, stem, cut)
        truth = memory.features(sounds["ceiling"], names)
        scores, embedded = {}, {}
        for name, sound in sounds.items():
            if name == "instrument":
                wanted = tuple(feature for feature in names if feature == EMBEDDING)
                heard = memory.features(sound, wanted)
            else:
                heard = truth if name == "ceiling" else memory.features(sound, names)
                scores[name] = ear.judge(truths, heard, beside, truth)
            if EMBEDDING in heard:
                embedded[name] = heard[EMBEDDING]
            if self.wavs is not None and index < self.wav_songs and name != "instrument":
                _write_wavs(self.wavs, f"{track.name}-{stem}-{name}", sound.audio, context)
        spent = time.process_time() - begin
        return Heard(track.name, stem, scores, embedded, memory.computed, memory.found, spent)


def _itself(audio: F32) -> F32:
    return audio


def _written(player: Player, context: F32, song: str, stem: str, seed: int, warm_up_samples: int) -> F32:
    return player.write(context, song, stem, seed)[warm_up_samples:]


def _write_wavs(directory: Path, name: str, audio: F32, context: F32) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    safe = name.replace(" ", "_").replace(":", "_").replace("/", "_")
    for suffix, sound in (("", audio), ("-with-context", audio + context)):
        peak = max(1.0, float(np.abs(sound).max(initial=0.0)))
        soundfile.write(directory / f"{safe}{suffix}.wav", sound / peak, SAMPLE_RATE_HZ, subtype="PCM_16")


def listen_all(
    session: Session, stems: Sequence[str], jobs: int, on_heard: Callable[[Heard], None] = lambda heard: None
) -> list[Heard]:
    """Every song and stem, by song and then by stem whatever came first. Raises AnacrusisError, KeyboardInterrupt."""
    work = [(index, stem) for index in range(len(session.tracks)) for stem in stems]
    found: dict[tuple[int, str], Heard] = {}
    with _at_work(session, min(jobs, len(work))) as each:
        for (index, stem), heard in each(work):
            found[index, stem] = heard
            on_heard(heard)
    return [found[piece] for piece in work]


def distances_all(
    session: Session, heard: Sequence[Heard], stems: Sequence[str], jobs: int
) -> dict[str, music_fad.Scores]:
    """FAD by stem, where the ear embeds it; see `music_fad`."""
    work = []
    for stem in stems:
        mine = [piece for piece in heard if piece.stem == stem]
        if mine and mine[0].embedded:
            work.append((stem, {name: [piece.embedded[name] for piece in mine] for name in mine[0].embedded}))
    if not work:
        return {}
    if jobs <= 1 or len(work) == 1:
        scored = [(stem, music_fad.score(sets, session.ear.distance)) for stem, sets in work]
    else:
        with _pool(session, min(jobs, len(work))) as pool:
            scored = list(pool.imap(_distances_here, work))
    return {stem: scores for stem, scores in scored if scores is not None}


Each = Callable[[Sequence[tuple[int, str]]], Iterator[tuple[tuple[int, str], Heard]]]


@contextmanager
def _at_work(session: Session, jobs: int) -> Iterator[Each]:
    if jobs <= 1:
        yield lambda work: ((piece, session.listen(*piece)) for piece in work)
        return
    with _pool(session, jobs) as pool:
        yield lambda work: pool.imap_unordered(_listen_here, work)


@contextmanager
def _pool(session: Session, jobs: int) -> Iterator[Any]:
    """A pool whose processes have one thread each; ended at once if anything is raised."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(
        dict.fromkeys(ONE_THREAD, "1")
    )  # libraries read it when they are loaded, so before the processes begin
    try:
        with multiprocessing.get_context("spawn").Pool(jobs, _begin, (session,)) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_session: Session | None = None  # of a spawned process


def _begin(session: Session) -> None:
    global _session
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _session = session


def _listen_here(piece: tuple[int, str]) -> tuple[tuple[int, str], Heard]:
    assert _session is not None
    return piece, _session.listen(*piece)


def _distances_here(work: tuple[str, Mapping[str, Sequence[F32]]]) -> tuple[str, music_fad.Scores | None]:
    assert _session is not None
    stem, sets = work
    return stem, music_fad.score(sets, _session.ear.distance)
